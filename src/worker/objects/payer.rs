//! The payer's object, one per payer and token: which of its charges are claimed, settled, delivered.

use super::export::Object;
use super::table::{Table, set_alarm};
use super::{Errand, PayerMessage, PayerReply, SettleMessage, SettleReply, unconfigured};
use crate::evm::jsonrpc::{Answer, Request as RpcRequest, decode, has_code};
use crate::evm::transaction::Call;
use crate::evm::{B256, U256, erc3009};
use crate::money::Amount;
use crate::purchase::{LeaseId, Lost, Next, Purchase, Record, Reopened, Stage};
use crate::rail::evm::charge::Charge;
use crate::rail::evm::simulation::{Simulated, Simulation, Unfit};
use crate::settlement::{Tried, Verdict};
use crate::time::Timestamp;
use crate::wire::idempotency::Key;
use crate::wire::problem::{Problem, ProblemKind};
use crate::worker::clock::{now, within};
use crate::worker::config::load;
use crate::worker::connection::Connection;
use alloy_primitives::Bytes;
use futures_channel::oneshot;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;
use worker::{Env, Result, State, console_error};

/// A lease outlives the origin's time-out by this, so that an answer in the last moment is delivered.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// An open verdict is asked for again after this.
const SOON: Duration = Duration::from_secs(5);

/// A round is made at least this long after a claim, and again as long as a verdict is open.
const ROUND: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Payer {
    state: State,
    env: Env,
    purchases: OnceCell<Table>,
    /// The purchase that was read or written last, as it is stored: a charge is looked at time and again.
    latest: RefCell<Option<Purchase>>,
    /// Nonces that a call of this object is simulating or settling right now, with what is reserved for each. One that waits for a
    /// place among the payer's charges has none.
    at_work: RefCell<BTreeMap<B256, Option<Amount>>>,
    /// Those who wait for a place.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

/// Marks a nonce as being worked on until dropped.
struct AtWork<'a> {
    payer: &'a Payer,
    nonce: B256,
}

impl<'a> AtWork<'a> {
    fn on(payer: &'a Payer, nonce: B256, reserved: Option<Amount>) -> Self {
        payer.at_work.borrow_mut().insert(nonce, reserved);
        Self { payer, nonce }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.payer.at_work.borrow_mut().remove(&self.nonce);
        self.payer.make_room();
    }
}

impl Object for Payer {
    type Message = PayerMessage;
    type Reply = PayerReply;

    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            purchases: OnceCell::new(),
            latest: RefCell::default(),
            at_work: RefCell::default(),
            waiting: RefCell::default(),
        }
    }

    async fn answer(&self, message: PayerMessage) -> Result<PayerReply> {
        self.handle(message).await
    }

    async fn wake(&self) -> Result<()> {
        let open = self.conclude_abandoned().await.unwrap_or_else(|error| {
            console_error!("payer: {error}");
            true
        });
        self.latest.replace(None);
        let (purchases, records, reopened, names) = (self.purchases()?, self.records()?, self.reopened()?, self.names()?);
        let pruned = [purchases.prune(now())?, records.prune(now())?, reopened.prune(now())?, names.prune(now())?];
        let next = pruned.into_iter().flatten().min();
        if open {
            self.wake_within(ROUND).await?;
        } else if let Some(next) = next {
            self.wake_within(next.since(now()).max(ROUND)).await?;
        } else if self.at_work.borrow().is_empty() && self.last_channel()?.is_empty()? {
            // Nothing is left, and nobody is about to write: the storage goes before anything else happens.
            purchases.vanish();
            self.state.storage().delete_all().await?;
        }
        Ok(())
    }
}

/// What a step of the work gave, or the problem to answer with.
type Step<T> = std::result::Result<T, Problem>;

impl Payer {
    fn purchases(&self) -> Result<&Table> {
        if let Some(table) = self.purchases.get() {
            return Ok(table);
        }
        let table = Table::open(&self.state, "payments")?;
        Ok(self.purchases.get_or_init(|| table))
    }

    async fn handle(&self, message: PayerMessage) -> Result<PayerReply> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        match message {
            PayerMessage::Claim { charge, key, identifier, reserve } => {
                let connection = isolate.connection_of(charge.asset).ok_or_else(unconfigured)?;
                self.claim(connection, *charge, key, identifier, reserve).await
            }
            PayerMessage::Settle { nonce, lease } => {
                let asset = self.read(&nonce)?.ok_or("a purchase in progress is gone")?.charge().asset;
                let connection = isolate.connection_of(asset).ok_or_else(unconfigured)?;
                self.settle_reserved(connection, nonce, lease).await
            }
            PayerMessage::Deliver { nonce, lease } => {
                self.change(&nonce, |purchase| purchase.deliver(lease, now()).map_or_else(lost, |_| PayerReply::Noted))
            }
            PayerMessage::Reopen { nonce, lease } => self.reopen(&nonce, lease),
            PayerMessage::Release { nonce, lease, how } => {
                self.keep_or_forget(&nonce, |purchase| purchase.release(lease, how, now()))?;
                Ok(PayerReply::Noted)
            }
            PayerMessage::Opened { method, channel_id } => {
                self.last_channel()?.put(&B256::ZERO, &(method, channel_id), false, None)?;
                Ok(PayerReply::Noted)
            }
            PayerMessage::LastChannel => Ok(PayerReply::Channel(self.last_channel()?.get(&B256::ZERO)?)),
        }
    }

    /// One row: the channel that the payer opened last.
    fn last_channel(&self) -> Result<Table> {
        Table::open(&self.state, "last_channel")
    }

    /// A delivery broke off by the origin's fault.
    fn reopen(&self, nonce: &B256, lease: LeaseId) -> Result<PayerReply> {
        let (table, now) = (self.reopened()?, now());
        let mut reopened: Reopened = table.get(&B256::ZERO)?.unwrap_or_default();
        if !reopened.allows(now) {
            return Ok(lost(Lost));
        }
        if self.change(nonce, |purchase| purchase.reopen(lease, now))?.is_err() {
            return Ok(lost(Lost));
        }
        reopened.note(now);
        table.put(&B256::ZERO, &reopened, false, reopened.forget_at())?;
        Ok(PayerReply::Noted)
    }

    /// One row: when deliveries were reopened.
    fn reopened(&self) -> Result<Table> {
        Table::open(&self.state, "reopened")
    }

    /// Whether a charge is the first that the client calls so, or the same again; remembered as long as the charge is.
    fn identify(&self, identifier: &B256, charge: &Charge) -> Result<bool> {
        let (names, nonce) = (self.names()?, charge.signed.authorization.nonce);
        if let Some(named) = names.get::<B256>(identifier)? {
            return Ok(named == nonce);
        }
        names.put(identifier, &nonce, false, Some(charge.resumable_until()))?;
        Ok(true)
    }

    /// The nonces of charges that clients have named, by the hash of the name.
    fn names(&self) -> Result<Table> {
        Table::open(&self.state, "names")
    }

    /// One row: the payer's charges that cost gas for nothing.
    fn records(&self) -> Result<Table> {
        Table::open(&self.state, "records")
    }

    fn record(&self) -> Result<Record> {
        Ok(self.records()?.get(&B256::ZERO)?.unwrap_or_default())
    }

    /// Reads, changes and writes one purchase, without an await between.
    fn change<T>(&self, nonce: &B256, change: impl FnOnce(&mut Purchase) -> T) -> Result<T> {
        let mut purchase = self.read(nonce)?.ok_or("a purchase in progress is gone")?;
        let result = change(&mut purchase);
        self.save(purchase)?;
        Ok(result)
    }

    fn read(&self, nonce: &B256) -> Result<Option<Purchase>> {
        let is_it = |purchase: &&Purchase| purchase.charge().signed.authorization.nonce == *nonce;
        if let Some(purchase) = self.latest.borrow().as_ref().filter(is_it) {
            return Ok(Some(purchase.clone()));
        }
        let purchase = self.purchases()?.get::<Purchase>(nonce)?;
        self.latest.replace(purchase.clone());
        Ok(purchase)
    }

    fn save(&self, purchase: Purchase) -> Result<()> {
        // Should writing fail, nothing is known.
        self.latest.replace(None);
        let nonce = purchase.charge().signed.authorization.nonce;
        self.purchases()?.put(&nonce, &purchase, purchase.is_open(), Some(purchase.forget_at()))?;
        if !purchase.is_open() {
            self.make_room();
        }
        self.latest.replace(Some(purchase));
        Ok(())
    }

    fn remove(&self, nonce: &B256) -> Result<()> {
        self.latest.replace(None);
        self.purchases()?.remove(nonce)
    }

    /// Changes one purchase into what is to be remembered of it.
    fn keep_or_forget(&self, nonce: &B256, change: impl FnOnce(Purchase) -> Option<Purchase>) -> Result<()> {
        let Some(purchase) = self.read(nonce)? else { return Ok(()) };
        match change(purchase) {
            Some(purchase) => self.save(purchase),
            None => self.remove(nonce),
        }
    }

    async fn claim(
        &self,
        connection: &Connection,
        charge: Charge,
        key: Option<Key>,
        identifier: Option<B256>,
        reserve: bool,
    ) -> Result<PayerReply> {
        let nonce = charge.signed.authorization.nonce;
        let at_work = self.at_work.borrow().contains_key(&nonce);
        let known = self.read(&nonce)?;
        // What is stored was presented and found to be good: whoever has used the authorization since then had it from the payer.
        let counts_if_used = known.is_some() || charge.is_bound();
        let (purchase, next) = match Purchase::present(known, charge, key, now(), at_work) {
            Ok(presented) => presented,
            Err(refusal) => return Ok(PayerReply::Refused(refusal.into_problem().into())),
        };
        let value = purchase.charge().signed.authorization.value;
        if next == Next::Simulate {
            let _at_work = AtWork::on(self, nonce, None);
            return self.begin(connection, purchase, identifier, reserve, counts_if_used).await;
        }
        self.save(purchase.clone())?;
        let _at_work = AtWork::on(self, nonce, Some(value));
        self.wake_within(ROUND).await?;
        match next {
            Next::Simulate => Err("a charge that was to be simulated is not".into()),
            Next::Deliver => self.hand_over(connection, &nonce),
            Next::Replay { transaction } => Ok(PayerReply::Replayed { transaction }),
            // It was said to be used, which may have been a mistake: nothing was sent yet.
            Next::Settle { gas_limit: None } if !purchase.charge().is_too_late(now()) => {
                match self.simulate(connection, &purchase, true).await? {
                    Err(flaw) => Ok(PayerReply::Refused(flaw.into_problem().into())),
                    Ok(simulated) => self.settle(connection, &purchase, simulated.gas_limit()).await,
                }
            }
            Next::Settle { gas_limit } => self.settle(connection, &purchase, gas_limit).await,
        }
    }

    /// Begins a charge for which nothing was sent. Nothing is stored of one that proves to be no good.
    async fn begin(
        &self,
        connection: &Connection,
        purchase: Purchase,
        identifier: Option<B256>,
        reserve: bool,
        counts_if_used: bool,
    ) -> Result<PayerReply> {
        let nonce = purchase.charge().signed.authorization.nonce;
        if let Err(problem) = self.take_place(connection, purchase.charge()).await? {
            return Ok(PayerReply::Refused(problem.into()));
        }
        let simulated = match self.simulate(connection, &purchase, counts_if_used).await? {
            Ok(simulated) => simulated,
            Err(flaw) => {
                if flaw.is_good() {
                    self.wake_within(ROUND).await?;
                    self.save(purchase)?;
                } else if flaw.is_final() {
                    self.keep_or_forget(&nonce, Purchase::forgo)?;
                }
                return Ok(PayerReply::Refused(flaw.into_problem().into()));
            }
        };
        self.wake_within(ROUND).await?;
        if let Some(identifier) = identifier
            && !self.identify(&identifier, purchase.charge())?
        {
            let detail = "extensions.payment-identifier.info.id: is that of another payment of this payer; take another one";
            return Ok(PayerReply::Refused(Problem::new(ProblemKind::Conflict, detail).into()));
        }
        self.save(purchase.clone())?;
        if reserve && let Simulated::Viable { .. } = simulated {
            let duration = lease_duration(connection);
            return self
                .change(&nonce, |purchase| purchase.reserve(now(), duration).map_or_else(lost, |lease| PayerReply::Reserved { lease }));
        }
        self.settle(connection, &purchase, simulated.gas_limit()).await
    }

    /// Waits for a place among the payer's charges that are on their way, as long as clients wait for a settlement.
    async fn take_place(&self, connection: &Connection, charge: &Charge) -> Result<Step<()>> {
        let authorization = &charge.signed.authorization;
        let deadline = now().saturating_add(connection.limits.settlement_timeout);
        loop {
            let places = self.record()?.places(now());
            if places == 0 {
                let detail = "payload.from: transfers of this payer have reverted several times, so none is sent for it for a day";
                return Ok(Err(Problem::new(ProblemKind::VerificationFailed, detail)));
            }
            if self.on_their_way(&authorization.nonce)?.len() < places {
                self.at_work.borrow_mut().insert(authorization.nonce, Some(authorization.value));
                return Ok(charge.untimely(now()).map_or(Ok(()), Err));
            }
            let left = deadline.since(now());
            if left.is_zero() {
                return Ok(Err(Problem::unavailable("as many of this payer's charges are on their way as may be at once")));
            }
            let (sender, room) = oneshot::channel();
            self.waiting.borrow_mut().push(sender);
            let _ = within(left, room).await;
        }
    }

    /// One that was on its way is not any more.
    fn make_room(&self) {
        for sender in self.waiting.borrow_mut().drain(..) {
            // A waiter that is gone does not mind.
            let _ = sender.send(());
        }
    }

    /// Gives the settled purchase to the request that presented it.
    fn hand_over(&self, connection: &Connection, nonce: &B256) -> Result<PayerReply> {
        let duration = lease_duration(connection);
        let paid = |(lease, transaction)| PayerReply::Paid { lease, transaction };
        self.change(nonce, |purchase| purchase.hand_over(now(), duration).map_or_else(lost, paid))
    }

    /// Has the charge settled, and hands it over when it is.
    async fn settle(&self, connection: &Connection, purchase: &Purchase, gas_limit: Option<u64>) -> Result<PayerReply> {
        let nonce = purchase.charge().signed.authorization.nonce;
        Ok(match self.await_verdict(connection, purchase, gas_limit).await? {
            Ok(Verdict::Settled { .. }) => self.hand_over(connection, &nonce)?,
            Ok(Verdict::Failed(failure)) => PayerReply::Refused(failure.problem().into()),
            Err(problem) => PayerReply::Refused(problem.into()),
        })
    }

    /// The origin has answered: settles the reserved purchase for the request that holds it.
    async fn settle_reserved(&self, connection: &Connection, nonce: B256, lease: LeaseId) -> Result<PayerReply> {
        let resumed = self.change(&nonce, |purchase| purchase.resume(lease).map(|()| purchase.clone()))?;
        let purchase = match resumed {
            Ok(purchase) => purchase,
            Err(gone) => return Ok(lost(gone)),
        };
        let _at_work = AtWork::on(self, nonce, Some(purchase.charge().signed.authorization.value));
        // The first simulation is as old as the origin was slow.
        let gas_limit = match self.simulate(connection, &purchase, true).await? {
            Ok(simulated) => simulated.gas_limit(),
            Err(flaw) => {
                self.keep_or_forget(&nonce, Purchase::forgo)?;
                return Ok(PayerReply::Refused(flaw.into_problem().into()));
            }
        };
        Ok(match self.await_verdict(connection, &purchase, gas_limit).await? {
            Ok(Verdict::Settled { .. }) => {
                let paid = |transaction| PayerReply::Paid { lease, transaction };
                self.change(&nonce, |purchase| purchase.hand_back(lease, now(), LEASE_MARGIN).map_or_else(lost, paid))?
            }
            Ok(Verdict::Failed(failure)) => PayerReply::Refused(failure.problem().into()),
            Err(problem) => PayerReply::Refused(problem.into()),
        })
    }

    /// Hands the charge to the settlement account and waits for the verdict. Without a `gas_limit` nothing
    /// new is sent.
    async fn await_verdict(&self, connection: &Connection, purchase: &Purchase, gas_limit: Option<u64>) -> Result<Step<Verdict>> {
        let nonce = purchase.charge().signed.authorization.nonce;
        // From here on it may be on chain: remembered until the verdict is known.
        self.change(&nonce, |purchase| purchase.submit(gas_limit))?;
        let errand = gas_limit.map_or(Errand::Search, |gas_limit| Errand::Send { gas_limit });
        let verdict = match connection.ask_account(&self.env, &SettleMessage { purpose: purchase.purpose(), errand }).await {
            Ok(SettleReply::Ended(verdict)) => verdict,
            Ok(SettleReply::Pending) => {
                self.wake_within(SOON).await?;
                return Ok(Err(Problem::unavailable("the transfer is not settled yet")));
            }
            // Nothing was begun this time; an earlier call may still be on its way.
            Ok(SettleReply::NotTaken) => {
                self.wake_within(SOON).await?;
                return Ok(Err(Problem::unavailable("nothing can be sent to the chain at the moment")));
            }
            Err(problem) => {
                self.wake_within(SOON).await?;
                return Ok(Err(problem));
            }
        };
        let submitted = self.change(&nonce, |purchase| {
            let stage = purchase.stage();
            purchase.conclude(verdict);
            stage
        })?;
        self.note(submitted, verdict)?;
        Ok(Ok(verdict))
    }

    /// Remembers what the payer has cost us for nothing.
    fn note(&self, before: Stage, verdict: Verdict) -> Result<()> {
        let (Stage::Submitted { gas_limit: Some(_) }, Verdict::Failed(failure)) = (before, verdict) else { return Ok(()) };
        let mut record = self.record()?;
        if record.note(failure, now()) {
            self.records()?.put(&B256::ZERO, &record, false, record.forget_at())?;
        }
        Ok(())
    }

    /// Asks the chain whether the transfer would succeed.
    async fn simulate(
        &self,
        connection: &Connection,
        purchase: &Purchase,
        counts_if_used: bool,
    ) -> Result<std::result::Result<Simulated, Unfit>> {
        let charge = purchase.charge();
        let authorization = &charge.signed.authorization;
        let sender = connection.rail.settlement_key.address();
        let to_token = |data: Vec<u8>| Call { to: charge.asset.token, data: data.into() };
        let purpose = purchase.purpose();
        let gas_cap = purpose.gas_cap(connection.rail.chain_id);
        let more = Vec::from([
            RpcRequest::call(&to_token(authorization.state_call())),
            RpcRequest::call(&to_token(erc3009::balance_call(authorization.from))),
            RpcRequest::code(authorization.from),
        ]);
        let tried = connection.rpc.try_out(sender, &purpose.call(), gas_cap, more).await;
        let Some(simulation) = tried.ok().and_then(|(tried, answers)| read(tried, answers)) else {
            return Ok(Err(Unfit::Unknown));
        };
        let others = self.on_their_way(&authorization.nonce)?;
        let reserved = others.into_values().try_fold(Amount::ZERO, Amount::checked_add).unwrap_or(Amount::from_base_units(u128::MAX));
        Ok(simulation.judge(authorization.value, reserved, gas_cap, counts_if_used))
    }

    /// The payer's other charges on their way, and what each will take.
    fn on_their_way(&self, nonce: &B256) -> Result<BTreeMap<B256, Amount>> {
        let now = now();
        let at_work = self.at_work.borrow();
        let reserved = |nonce: &B256| at_work.get(nonce).copied().flatten();
        let mut others: BTreeMap<B256, Amount> = at_work.keys().filter_map(|nonce| Some((*nonce, reserved(nonce)?))).collect();
        for purchase in self.purchases()?.open_values::<Purchase>()? {
            let nonce = purchase.charge().signed.authorization.nonce;
            let amount = purchase.reserves(now, reserved(&nonce).is_some());
            if amount > Amount::ZERO {
                others.insert(nonce, amount);
            }
        }
        others.remove(nonce);
        Ok(others)
    }

    /// Sees to it that an alarm goes off within `delay`: it forgets what may be forgotten, and concludes what no
    /// client waits for.
    async fn wake_within(&self, delay: Duration) -> Result<()> {
        let at = now().saturating_add(delay);
        let earlier = self.state.storage().get_alarm().await?.and_then(|alarm| u64::try_from(alarm).ok());
        if earlier.is_some_and(|earlier| Timestamp::from_millis(earlier) <= at) {
            return Ok(());
        }
        set_alarm(&self.state, at).await
    }

    /// Asks for the verdicts on purchases whose client did not wait for it: until then they would count against
    /// what the payer can still pay. Returns whether any is still open.
    async fn conclude_abandoned(&self) -> Result<bool> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        let mut open = false;
        for purchase in self.purchases()?.open_values::<Purchase>()? {
            let Stage::Submitted { .. } = purchase.stage() else { continue };
            let message = SettleMessage { purpose: purchase.purpose(), errand: Errand::Inquire };
            let connection = isolate.connection_of(purchase.charge().asset).ok_or_else(unconfigured)?;
            let answer = connection.ask_account(&self.env, &message).await;
            open |= !self.take_note(&purchase.charge().signed.authorization.nonce, answer)?;
        }
        Ok(open)
    }

    /// Takes note of what the account said about an abandoned purchase, unless somebody works on it or it is
    /// concluded already. Returns whether it is settled one way or the other.
    fn take_note(&self, nonce: &B256, answer: Step<SettleReply>) -> Result<bool> {
        let Some(mut purchase) = self.read(nonce)? else { return Ok(true) };
        if self.at_work.borrow().contains_key(nonce) || !matches!(purchase.stage(), Stage::Submitted { .. }) {
            return Ok(true);
        }
        match answer {
            Ok(SettleReply::Ended(verdict)) => {
                self.note(purchase.stage(), verdict)?;
                purchase.conclude(verdict);
            }
            Ok(SettleReply::NotTaken) => purchase.withdraw(),
            Ok(SettleReply::Pending) | Err(_) => return Ok(false),
        }
        self.save(purchase)?;
        Ok(true)
    }
}

fn lost(lost: Lost) -> PayerReply {
    PayerReply::Refused(lost.into_problem().into())
}

fn lease_duration(connection: &Connection) -> Duration {
    connection.limits.origin_timeout + LEASE_MARGIN
}

/// The answers to the simulation's requests. The authorization's state, the balance and the code must be readable.
fn read(tried: Tried, answers: Vec<Answer>) -> Option<Simulation> {
    let [used, balance, code] = <[Answer; 3]>::try_from(answers).ok()?;
    let word = |answer: Answer| decode::<Bytes>(&answer.ok()?).ok().and_then(|bytes| U256::try_from_be_slice(&bytes));
    Some(Simulation {
        tried,
        used: !word(used)?.is_zero(),
        balance: Amount::from_base_units(word(balance)?.saturating_to()),
        payer_has_code: has_code(&code.ok()?).ok()?,
    })
}
