//! The payer's object, one per payer and token: which of its charges are claimed, settled, delivered.

use super::store::Store;
use super::{PayerMessage, PayerReply, ask_holder};
use crate::evm::B256;
use crate::money::Amount;
use crate::ordered;
use crate::purchase::{LeaseId, Lost, Next, Purchase, Stage};
use crate::rail::tempo::sponsor::{Promise, budget_of};
use crate::rail::{Answer, Ask, Payment, Prepared, Progress, Reference, Send, Step};
use crate::settlement::{Failure, Purpose, Verdict};
use crate::wire::idempotency::Key;
use crate::wire::problem::{Problem, ProblemKind};
use crate::worker::clock::now;
use crate::worker::config::load;
use crate::worker::objects::account::{Errand, SettleMessage, SettleReply, ask_account};
use crate::worker::objects::alarm::Alarm;
use crate::worker::objects::object::{Object, unconfigured};
use crate::worker::rail::RailState;
use crate::worker::waiting::Waiters;
use litemap::LiteMap;
use std::cell::RefCell;
use std::time::Duration;
use worker::{Env, Result, State, console_error};

/// A lease outlives the origin's time-out by this, so that an answer in the last moment is delivered.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// So many of a payer's purchases are remembered that are not over; more of them are not, while they wait for the payer's balance.
const MOST_OPEN: usize = 64;

/// A rail that has been answered so often in one go has lost its way.
const MOST_ANSWERS: usize = 16;

/// An open verdict is asked for again after this.
const SOON: Duration = Duration::from_secs(5);

/// A round is made at least this long after a claim, and again as long as a verdict is open.
const ROUND: Duration = Duration::from_secs(30);

/// See the module.
pub(in crate::worker::objects) struct Payer {
    store: Store,
    env: Env,
    /// Ids of payments that a call of this object is preparing or settling right now, with what is reserved for each. One that waits for a
    /// place among the payer's charges has none.
    at_work: RefCell<LiteMap<B256, Option<Amount>>>,
    /// Those who wait for a place.
    waiting: Waiters,
    alarm: Alarm,
}

/// Marks a payment as being worked on until dropped.
struct AtWork<'a> {
    payer: &'a Payer,
    id: B256,
}

impl<'a> AtWork<'a> {
    fn on(payer: &'a Payer, id: B256, reserved: Option<Amount>) -> Self {
        payer.at_work.borrow_mut().insert(id, reserved);
        Self { payer, id }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.payer.at_work.borrow_mut().remove(&self.id);
        self.payer.waiting.wake();
    }
}

impl Object for Payer {
    type Message = PayerMessage<'static>;
    type Reply = PayerReply;

    fn new(state: State, env: Env) -> Self {
        Self { store: Store::new(state), env, at_work: RefCell::default(), waiting: Waiters::default(), alarm: Alarm::default() }
    }

    async fn answer(&self, message: PayerMessage<'static>) -> Result<PayerReply> {
        self.handle(message).await
    }

    async fn wake(&self) -> Result<()> {
        self.alarm.rang();
        let open = self.conclude_abandoned().await.unwrap_or_else(|error| {
            console_error!("payer: {error}");
            true
        });
        let next = self.store.prune()?;
        if open {
            self.wake_within(ROUND).await?;
        } else if let Some(next) = next {
            self.wake_within(next.since(now()).max(ROUND)).await?;
        } else if self.at_work.borrow().is_empty() && self.store.last_channel()?.is_none() {
            // Nothing is left, and nobody is about to write: the storage goes before anything else happens.
            self.store.vanish().await?;
            self.alarm.forget();
        }
        Ok(())
    }
}

/// What a part of the work gave, or the problem to answer with.
type Outcome<T> = std::result::Result<T, Problem>;

impl Payer {
    async fn handle(&self, message: PayerMessage<'static>) -> Result<PayerReply> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        match message {
            PayerMessage::Claim { payment, key, identifier, reserve } => {
                let rail = isolate.rail_of(&payment).ok_or_else(unconfigured)?;
                self.claim(rail, payment.into_owned(), key, identifier, reserve).await
            }
            PayerMessage::Settle { id, lease } => {
                let purchase = self.store.read(&id)?.ok_or("a purchase in progress is gone")?;
                let rail = isolate.rail_of(purchase.payment()).ok_or_else(unconfigured)?;
                self.settle_reserved(rail, id, lease).await
            }
            PayerMessage::Deliver { id, lease } => {
                self.change(&id, |purchase| purchase.deliver(lease, now()).map_or_else(lost, |_| PayerReply::Noted))
            }
            PayerMessage::Reopen { id, lease } => self.reopen(&id, lease),
            PayerMessage::Release { id, lease, how } => {
                self.keep_or_forget(&id, |purchase| purchase.release(lease, how, now()))?;
                Ok(PayerReply::Noted)
            }
            PayerMessage::Opened { method, channel_id } => {
                self.store.save_last_channel((method, channel_id))?;
                Ok(PayerReply::Noted)
            }
            PayerMessage::LastChannel => Ok(PayerReply::Channel(self.store.last_channel()?)),
            PayerMessage::Promise(promise) => {
                let mut budget = self.store.budget()?;
                let is_promised = budget.promise(&promise, now().seconds()).is_ok();
                self.store.save_budget(&budget)?;
                self.wake_within(ROUND).await?;
                Ok(PayerReply::Promised(is_promised))
            }
            PayerMessage::Redeemed(transaction) => {
                let mut budget = self.store.budget()?;
                budget.release(transaction);
                self.store.save_budget(&budget)?;
                Ok(PayerReply::Noted)
            }
        }
    }

    /// A delivery broke off by the origin's fault.
    fn reopen(&self, id: &B256, lease: LeaseId) -> Result<PayerReply> {
        let (mut reopened, now) = (self.store.reopened()?, now());
        if !reopened.allows(now) {
            return Ok(lost(Lost));
        }
        if self.change(id, |purchase| purchase.reopen(lease, now))?.is_err() {
            return Ok(lost(Lost));
        }
        reopened.note(now);
        self.store.save_reopened(&reopened)?;
        Ok(PayerReply::Noted)
    }

    /// Reads, changes and writes one purchase, without an await between.
    fn change<T>(&self, id: &B256, change: impl FnOnce(&mut Purchase) -> T) -> Result<T> {
        let mut purchase = self.store.read(id)?.ok_or("a purchase in progress is gone")?;
        let result = change(&mut purchase);
        self.save(purchase)?;
        Ok(result)
    }

    fn save(&self, purchase: Purchase) -> Result<()> {
        let is_open = purchase.is_open();
        self.store.save(purchase)?;
        if !is_open {
            self.waiting.wake();
        }
        Ok(())
    }

    /// Changes one purchase into what is to be remembered of it.
    fn keep_or_forget(&self, id: &B256, change: impl FnOnce(Purchase) -> Option<Purchase>) -> Result<()> {
        let Some(purchase) = self.store.read(id)? else { return Ok(()) };
        match change(purchase) {
            Some(purchase) => self.save(purchase),
            None => self.store.remove(id),
        }
    }

    async fn claim(
        &self,
        rail: &RailState,
        payment: Payment,
        key: Option<Key>,
        identifier: Option<B256>,
        reserve: bool,
    ) -> Result<PayerReply> {
        let id = payment.id();
        let at_work = self.at_work.borrow().contains_key(&id);
        let known = self.store.read(&id)?;
        // What is stored was presented and found to be good.
        let was_good = known.is_some();
        let (purchase, next) = match Purchase::present(known, payment, key, now(), at_work) {
            Ok(presented) => presented,
            Err(refusal) => return Ok(PayerReply::Refused(refusal.into_problem().into())),
        };
        if next == Next::Prepare {
            let _at_work = AtWork::on(self, id, None);
            return self.begin(rail, purchase, identifier, reserve, was_good).await;
        }
        self.save(purchase.clone())?;
        let _at_work = AtWork::on(self, id, Some(purchase.payment().amount()));
        self.wake_within(ROUND).await?;
        match next {
            Next::Prepare => Err("a payment that was to be prepared is not".into()),
            Next::Deliver => self.hand_over(rail, &id, None),
            Next::Replay { reference } => Ok(PayerReply::Replayed { reference }),
            // It was said to be used, which may have been a mistake: nothing was sent yet.
            Next::Settle { gas_limit: None } if !purchase.payment().is_too_late(now()) && purchase.payment().search(now()).is_some() => {
                match self.prepare(rail, &purchase, true).await? {
                    Prepared::Send(send) => self.settle(rail, purchase, *send).await,
                    Prepared::Settled(reference) => self.hand_over(rail, &id, Some(reference)),
                    Prepared::Refused(problem) | Prepared::Later(problem) | Prepared::Unknown(problem) => {
                        Ok(PayerReply::Refused(problem.into()))
                    }
                }
            }
            Next::Settle { gas_limit } => {
                let purpose = purchase.payment().search(purchase.presented());
                let found = match purpose {
                    Some(purpose) => self.transact(rail, purchase, purpose, gas_limit).await?,
                    None => self.request(rail, purchase, None).await?,
                };
                self.hand_over_if(rail, &id, found)
            }
        }
    }

    /// Begins a payment for which nothing was sent. Nothing is stored of one that proves to be no good.
    async fn begin(
        &self,
        rail: &RailState,
        mut purchase: Purchase,
        identifier: Option<B256>,
        reserve: bool,
        was_good: bool,
    ) -> Result<PayerReply> {
        let id = purchase.payment().id();
        if let Err(problem) = self.take_place(rail, purchase.payment()).await? {
            return Ok(PayerReply::Refused(problem.into()));
        }
        let prepared = self.prepare(rail, &purchase, was_good).await?;
        match prepared {
            Prepared::Refused(problem) => {
                self.keep_or_forget(&id, Purchase::forgo)?;
                return Ok(PayerReply::Refused(problem.into()));
            }
            Prepared::Later(problem) => {
                self.wake_within(ROUND).await?;
                if self.store.look_at_open(LiteMap::len)? < MOST_OPEN {
                    self.save(purchase)?;
                }
                return Ok(PayerReply::Refused(problem.into()));
            }
            Prepared::Unknown(problem) => return Ok(PayerReply::Refused(problem.into())),
            Prepared::Send(_) | Prepared::Settled(_) => {}
        }
        self.wake_within(ROUND).await?;
        if let Some(identifier) = identifier
            && !self.store.identify(&identifier, purchase.payment())?
        {
            let detail = "extensions.payment-identifier.info.id: is that of another payment of this payer; take another one";
            return Ok(PayerReply::Refused(Problem::new(ProblemKind::Conflict, detail).into()));
        }
        // What it becomes first is stored with it.
        match prepared {
            Prepared::Send(send) if reserve && send.is_ours() => {
                let reserved = |lease| PayerReply::Reserved { lease };
                let reply = purchase.reserve(now(), lease_duration(rail)).map_or_else(lost, reserved);
                self.save(purchase)?;
                Ok(reply)
            }
            Prepared::Send(send) => self.settle(rail, purchase, *send).await,
            Prepared::Settled(reference) => {
                let reply = hand_over(rail, &mut purchase, Some(reference));
                self.save(purchase)?;
                Ok(reply)
            }
            Prepared::Refused(_) | Prepared::Later(_) | Prepared::Unknown(_) => Err("a payment that is refused is begun".into()),
        }
    }

    /// Asks the rail's network until the rail says what becomes of a payment for which nothing was sent.
    async fn prepare(&self, rail: &RailState, purchase: &Purchase, was_good: bool) -> Result<Prepared> {
        self.advance(rail, purchase, &mut progress(purchase, was_good)).await
    }

    /// This is the loop that serves all rails.
    async fn advance(&self, rail: &RailState, purchase: &Purchase, progress: &mut Progress) -> Result<Prepared> {
        let payment = purchase.payment();
        loop {
            match rail.rail.next(payment, progress) {
                Step::Ask(_) if progress.answers.len() >= MOST_ANSWERS => return Err("a rail asks without end".into()),
                Step::Ask(Ask::Promise(promise)) => progress.answers.push(self.promised(rail, promise).await),
                Step::Ask(ask) => progress.answers.push(rail.ask(ask).await),
                Step::Prepared(prepared) => return Ok(prepared),
            }
            if !payment.is_of_one_payer() {
                continue;
            }
            let others = self.on_their_way(&payment.id())?;
            let sum = others.into_iter().try_fold(Amount::ZERO, |sum, (_, amount)| sum.checked_add(amount));
            progress.reserved = sum.unwrap_or(Amount::from_base_units(u128::MAX));
        }
    }

    /// Asks the sponsor's object whether the fees of a transaction may be paid.
    async fn promised(&self, rail: &RailState, promise: Promise) -> Answer {
        let holder = budget_of(promise.chain_id, promise.sponsor);
        match ask_holder(rail, &self.env, &holder, &PayerMessage::Promise(promise)).await {
            Ok(PayerReply::Promised(is_promised)) => Answer::Promised(is_promised),
            _ => Answer::Nothing,
        }
    }

    /// It is known what became of a payment: what was promised for it is free again. If that cannot be told, it is when it ends.
    async fn redeem(&self, rail: &RailState, payment: &Payment) {
        if let Some((holder, transaction)) = payment.promised() {
            let _ = ask_holder(rail, &self.env, &holder, &PayerMessage::Redeemed(transaction)).await;
        }
    }

    /// Waits for a place among the payer's charges that are on their way, as long as clients wait for a settlement.
    async fn take_place(&self, rail: &RailState, payment: &Payment) -> Result<Outcome<()>> {
        let deadline = now().saturating_add(rail.limits.settlement_timeout);
        loop {
            let places = self.store.record()?.places(now());
            if places == 0 {
                let detail = "payload.from: transfers of this payer have reverted several times, so none is sent for it for a day";
                return Ok(Err(Problem::new(ProblemKind::VerificationFailed, detail)));
            }
            if !payment.is_of_one_payer() || self.on_their_way(&payment.id())?.len() < places {
                let reserved = payment.is_of_one_payer().then(|| payment.amount());
                self.at_work.borrow_mut().insert(payment.id(), reserved);
                return Ok(payment.untimely(now()).map_or(Ok(()), Err));
            }
            let left = deadline.since(now());
            if left.is_zero() {
                return Ok(Err(Problem::unavailable("as many of this payer's charges are on their way as may be at once")));
            }
            self.waiting.wait(left).await;
        }
    }

    fn hand_over(&self, rail: &RailState, id: &B256, settled: Option<Reference>) -> Result<PayerReply> {
        self.change(id, |purchase| hand_over(rail, purchase, settled))
    }

    /// Has the payment settled, and hands it over when it is.
    async fn settle(&self, rail: &RailState, purchase: Purchase, send: Send) -> Result<PayerReply> {
        let id = purchase.payment().id();
        let sent = self.send(rail, purchase, send).await?;
        self.hand_over_if(rail, &id, sent)
    }

    fn hand_over_if(&self, rail: &RailState, id: &B256, sent: Outcome<Reference>) -> Result<PayerReply> {
        match sent {
            Ok(reference) => self.hand_over(rail, id, Some(reference)),
            Err(problem) => Ok(PayerReply::Refused(problem.into())),
        }
    }

    /// The origin has answered: settles the reserved purchase for the request that holds it.
    async fn settle_reserved(&self, rail: &RailState, id: B256, lease: LeaseId) -> Result<PayerReply> {
        // The lease had run out, and another request is taking the purchase over.
        if self.at_work.borrow().contains_key(&id) {
            return Ok(lost(Lost));
        }
        let resumed = self.change(&id, |purchase| purchase.resume(lease).map(|()| purchase.clone()))?;
        let purchase = match resumed {
            Ok(purchase) => purchase,
            Err(gone) => return Ok(lost(gone)),
        };
        let _at_work = AtWork::on(self, id, Some(purchase.payment().amount()));
        // What was found out first is as old as the origin was slow.
        let sent = match self.prepare(rail, &purchase, true).await? {
            Prepared::Send(send) => self.send(rail, purchase, *send).await?,
            Prepared::Settled(reference) => Ok(reference),
            Prepared::Refused(problem) | Prepared::Later(problem) | Prepared::Unknown(problem) => {
                self.keep_or_forget(&id, Purchase::forgo)?;
                Err(problem)
            }
        };
        let paid = |reference| PayerReply::Paid { lease, reference };
        Ok(match sent {
            Ok(reference) => self.change(&id, |purchase| {
                purchase.settle(reference);
                purchase.hand_back(lease, now(), LEASE_MARGIN).map_or_else(lost, paid)
            })?,
            Err(problem) => PayerReply::Refused(problem.into()),
        })
    }

    /// Does what moves the money, and waits for what comes of it: what names it on its rail when it is there, which the caller stores
    /// with what comes next.
    async fn send(&self, rail: &RailState, purchase: Purchase, send: Send) -> Result<Outcome<Reference>> {
        match send {
            Send::Transaction { purpose, gas_limit } => self.transact(rail, purchase, purpose, gas_limit).await,
            Send::Request(request) | Send::Watch(request) => self.request(rail, purchase, Some(request)).await,
        }
    }

    /// Sends the rail's request, which from here on may move money; without one, finds out what came of one that was sent before.
    async fn request(&self, rail: &RailState, mut purchase: Purchase, request: Option<Ask>) -> Result<Outcome<Reference>> {
        let id = purchase.payment().id();
        // Remembered before it is sent, until it is known what came of it.
        purchase.submit(None);
        self.save(purchase.clone())?;
        let mut progress = Progress { is_sent: true, ..progress(&purchase, true) };
        let mut next = request;
        loop {
            if let Some(request) = next.take() {
                progress.answers.push(rail.ask(request).await);
            }
            let refused = match self.advance(rail, &purchase, &mut progress).await? {
                Prepared::Send(send) => match *send {
                    Send::Request(request) | Send::Watch(request) if progress.answers.len() < MOST_ANSWERS => {
                        next = Some(request);
                        continue;
                    }
                    _ => return Err("a rail sends without end, or by another way than it began".into()),
                },
                Prepared::Settled(reference) => {
                    self.redeem(rail, purchase.payment()).await;
                    return Ok(Ok(reference));
                }
                Prepared::Refused(problem) => problem,
                Prepared::Later(problem) | Prepared::Unknown(problem) => {
                    self.wake_within(SOON).await?;
                    return Ok(Err(problem));
                }
            };
            self.change(&id, |purchase| purchase.conclude(Verdict::Failed(Failure::Declined)))?;
            self.redeem(rail, purchase.payment()).await;
            return Ok(Err(refused));
        }
    }

    /// Hands the payment to the settlement account and waits for the verdict. Without a `gas_limit` nothing
    /// new is sent.
    async fn transact(
        &self,
        rail: &RailState,
        mut purchase: Purchase,
        purpose: Purpose,
        gas_limit: Option<u64>,
    ) -> Result<Outcome<Reference>> {
        let id = purchase.payment().id();
        let connection = rail.connection().ok_or_else(unconfigured)?;
        // From here on it may be on chain: remembered until the verdict is known.
        purchase.submit(gas_limit);
        self.save(purchase)?;
        let errand = gas_limit.map_or(Errand::Search, |gas_limit| Errand::Send { gas_limit });
        let open = match ask_account(connection, &self.env, &SettleMessage { purpose, errand }).await {
            Ok(SettleReply::Ended(Verdict::Settled { transaction })) => return Ok(Ok(transaction.into())),
            Ok(SettleReply::Ended(verdict @ Verdict::Failed(failure))) => {
                let submitted = self.change(&id, |purchase| {
                    let stage = purchase.stage().clone();
                    purchase.conclude(verdict);
                    stage
                })?;
                self.note(&submitted, verdict)?;
                return Ok(Err(failure.problem()));
            }
            Ok(SettleReply::Pending) => Problem::unavailable("the transfer is not settled yet"),
            // Nothing was begun this time; an earlier call may still be on its way.
            Ok(SettleReply::NotTaken) => Problem::unavailable("nothing can be sent to the chain at the moment"),
            Err(problem) => problem,
        };
        self.wake_within(SOON).await?;
        Ok(Err(open))
    }

    /// Remembers what the payer has cost us for nothing.
    fn note(&self, before: &Stage, verdict: Verdict) -> Result<()> {
        let (Stage::Submitted { gas_limit: Some(_) }, Verdict::Failed(failure)) = (before, verdict) else { return Ok(()) };
        let mut record = self.store.record()?;
        if record.note(failure, now()) {
            self.store.save_record(&record)?;
        }
        Ok(())
    }

    /// The payer's other charges on their way, and what each will take.
    fn on_their_way(&self, id: &B256) -> Result<LiteMap<B256, Amount>> {
        let now = now();
        let at_work = self.at_work.borrow();
        let reserved = |id: &B256| at_work.get(id).copied().flatten();
        let mut others = ordered::map(at_work.keys().filter_map(|id| Some((*id, reserved(id)?))));
        self.store.look_at_open(|open| {
            for (id, purchase) in open {
                let amount = purchase.reserves(now, reserved(id).is_some());
                if amount > Amount::ZERO {
                    others.insert(*id, amount);
                }
            }
        })?;
        others.remove(id);
        Ok(others)
    }

    /// Sees to it that an alarm goes off within `delay`: it forgets what may be forgotten, and concludes what no
    /// client waits for.
    async fn wake_within(&self, delay: Duration) -> Result<()> {
        self.alarm.by(&self.store.state, now().saturating_add(delay)).await
    }

    /// Asks for the verdicts on purchases whose client did not wait for it: until then they would count against
    /// what the payer can still pay. Returns whether any is still open.
    async fn conclude_abandoned(&self) -> Result<bool> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        let mut open = false;
        for purchase in self.store.open()? {
            let Stage::Submitted { .. } = purchase.stage() else { continue };
            let id = purchase.payment().id();
            let rail = isolate.rail_of(purchase.payment()).ok_or_else(unconfigured)?;
            let Some(purpose) = purchase.payment().search(purchase.presented()) else {
                open |= self.conclude_request(rail, &id).await.unwrap_or_else(|error| {
                    console_error!("payer: {error}");
                    true
                });
                continue;
            };
            let message = SettleMessage { purpose, errand: Errand::Inquire };
            let answer = ask_account(rail.connection().ok_or_else(unconfigured)?, &self.env, &message).await;
            open |= !self.take_note(&id, answer)?;
        }
        Ok(open)
    }

    /// Finds out what came of a request to a provider that nobody waits for. Returns whether that is still open.
    async fn conclude_request(&self, rail: &RailState, id: &B256) -> Result<bool> {
        if self.at_work.borrow().contains_key(id) {
            return Ok(true);
        }
        // It may have been concluded since the round began.
        let is_open = |purchase: &Purchase| matches!(purchase.stage(), Stage::Submitted { .. });
        let Some(purchase) = self.store.read(id)?.filter(is_open) else { return Ok(false) };
        let _at_work = AtWork::on(self, *id, Some(purchase.payment().amount()));
        if let Ok(reference) = self.request(rail, purchase, None).await? {
            self.change(id, |purchase| purchase.settle(reference))?;
        }
        Ok(self.store.read(id)?.as_ref().is_some_and(is_open))
    }

    /// Takes note of what the account said about an abandoned purchase, unless somebody works on it or it is
    /// concluded already. Returns whether it is settled one way or the other.
    fn take_note(&self, id: &B256, answer: Outcome<SettleReply>) -> Result<bool> {
        let Some(mut purchase) = self.store.read(id)? else { return Ok(true) };
        if self.at_work.borrow().contains_key(id) || !matches!(purchase.stage(), Stage::Submitted { .. }) {
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

/// Of a payment that nothing was asked about yet.
fn progress(purchase: &Purchase, was_good: bool) -> Progress {
    Progress { answers: Vec::new(), presented: purchase.presented(), was_good, is_sent: false, reserved: Amount::ZERO }
}

/// Gives a purchase to the request that presented it. It is settled, or is now.
fn hand_over(rail: &RailState, purchase: &mut Purchase, settled: Option<Reference>) -> PayerReply {
    if let Some(reference) = settled {
        purchase.settle(reference);
    }
    let paid = |(lease, reference)| PayerReply::Paid { lease, reference };
    purchase.hand_over(now(), lease_duration(rail)).map_or_else(lost, paid)
}

fn lost(lost: Lost) -> PayerReply {
    PayerReply::Refused(lost.into_problem().into())
}

fn lease_duration(rail: &RailState) -> Duration {
    rail.limits.origin_timeout + LEASE_MARGIN
}
