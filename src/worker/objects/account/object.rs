//! The account's object, one per settlement key and chain: the only writer on chain for its key. It runs
//! the outbox: signs, persists, broadcasts, polls, driven by the requests that wait and by alarms. And it makes
//! rounds over the channels. There is one alarm for both: who wants it first gets it.

use super::intake::{Intake, Order, Waiting, salt, submit_in_batches};
use super::rounds::Rounds;
use super::{AccountMessage, AccountReply, Errand, SettleMessage, SettleReply, own_key};
use crate::evm::B256;
use crate::evm::jsonrpc::{
    Block, Count, LoggedAt, NodeAnswer, NodeError, Request as RpcRequest, TransactionReceipt, decode, decode_u64, decode_u128,
};
use crate::evm::key::PrivateKey;
use crate::settlement::{AccountView, Effect, Ending, Operation, Outbox, Purpose, Receipts, Search, Verdict, Watched};
use crate::time::Timestamp;
use crate::worker::clock::now;
use crate::worker::config::{Isolate, load};
use crate::worker::connection::Connection;
use crate::worker::gathering::{Gathered, Gathering};
use crate::worker::objects::alarm::Alarm;
use crate::worker::objects::object::{Object, unconfigured};
use crate::worker::objects::table::{Table, once};
use crate::worker::rpc::{Network, Unreachable};
use crate::worker::together::join_all;
use crate::worker::waiting::{Bell, Waiters};
use alloy_primitives::Bytes;
use futures_util::future::join;
use litemap::LiteMap;
use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;
use worker::{Env, Result, State, console_error, console_log};

/// A finished operation is remembered for this long after it matters no more, so that whoever asks late gets
/// the same verdict.
const REMEMBER: Duration = Duration::from_secs(48 * 60 * 60);

/// The longest that one alarm works before it hands over to the next.
const ALARM_SHIFT: Duration = Duration::from_secs(30);

/// An object that died during its work is woken after this.
const WATCHDOG: Duration = Duration::from_secs(3);

/// After a node has said that the account cannot pay for gas, nothing new is taken on for this long, or until
/// it takes what is on its way.
const DRY: Duration = Duration::from_secs(10);

/// See the module.
pub(in crate::worker::objects) struct Account {
    state: State,
    env: Env,
    /// The place of its rail in the configuration, and the account's key.
    own: OnceCell<(usize, PrivateKey)>,
    operations: OnceCell<Table>,
    outbox: OnceCell<RefCell<Outbox>>,
    /// What is about to be taken on.
    intake: Intake,
    /// What is wanted from the chain by all calls.
    gathering: Gathering,
    /// What has ended since the chain was last looked at: those who wait for it need not read it.
    ended: RefCell<LiteMap<B256, Verdict>>,
    alarm: Alarm,
    /// Whether a call is polling the chain for all.
    polling: Cell<bool>,
    /// Those who wait for the next news.
    waiting: Waiters,
    /// Wakes the poller from its pause.
    hurry: Bell,
    /// The account had no money for gas; nothing is taken on before this.
    dry_until: Cell<Option<Timestamp>>,
    /// The channels that are watched.
    rounds: Rounds,
}

impl Object for Account {
    type Message = AccountMessage;
    type Reply = AccountReply;

    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            own: OnceCell::new(),
            operations: OnceCell::new(),
            outbox: OnceCell::new(),
            intake: Intake::default(),
            gathering: Gathering::default(),
            ended: RefCell::default(),
            alarm: Alarm::default(),
            polling: Cell::new(false),
            waiting: Waiters::default(),
            hurry: Bell::default(),
            dry_until: Cell::default(),
            rounds: Rounds::default(),
        }
    }

    async fn answer(&self, message: AccountMessage) -> Result<AccountReply> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        let connection = self.connection(isolate)?;
        let outbox = self.outbox(connection)?;
        Ok(match message {
            AccountMessage::Settle(message) => {
                let SettleMessage { purpose, errand } = *message;
                let deadline = now().saturating_add(connection.limits.settlement_timeout);
                AccountReply::Settlement(self.settle(connection, purpose, errand, deadline).await?)
            }
            AccountMessage::Watch { escrow, channel_id, signer } => {
                self.rounds.watch(&self.state, connection, Watched::new(escrow, channel_id, signer)).await?;
                self.set_alarm(outbox).await?;
                AccountReply::Noted
            }
            AccountMessage::Use { channel_id } => {
                if self.rounds.use_channel(&self.state, connection, channel_id).await? {
                    self.set_alarm(outbox).await?;
                }
                AccountReply::Noted
            }
        })
    }

    async fn wake(&self) -> Result<()> {
        self.alarm.rang();
        let work = self.work_on().await;
        self.alarm.or_later(&self.state, "account", work).await
    }
}

impl Account {
    /// A shift of the work that no request waits for.
    async fn work_on(&self) -> Result<()> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        let connection = self.connection(isolate)?;
        let outbox = self.outbox(connection)?;
        let round_is_due = self.rounds.begin(&self.state, connection).await?;
        self.stay_awake().await?;
        let round = async { if round_is_due { self.rounds.make(&self.state, &self.env, isolate, connection).await } else { Ok(()) } };
        let shift = async {
            let deadline = now().saturating_add(ALARM_SHIFT);
            while !outbox.borrow().is_idle() && now() < deadline {
                self.poll_or_wait(connection, deadline).await?;
            }
            Ok(())
        };
        // Neither is to suffer from the other.
        let (round, shift): (Result<()>, Result<()>) = join(round, shift).await;
        round.and(shift)?;
        self.set_alarm(outbox).await
    }

    /// Sets the alarm for what comes first.
    async fn set_alarm(&self, outbox: &RefCell<Outbox>) -> Result<()> {
        let round = self.rounds.next(&self.state).await?;
        // From here on there is no await: who has taken something on meanwhile has set the alarm for it.
        let watchdog = (!outbox.borrow().is_idle()).then(|| now().saturating_add(WATCHDOG));
        let prune = self.operations()?.prune(now())?;
        self.alarm.at(&self.state, [round, watchdog, prune].into_iter().flatten().min()).await
    }

    /// The endpoints, for all calls of this object at once.
    const fn chain<'a>(&'a self, connection: &'a Connection) -> Gathered<'a> {
        Gathered { rpc: &connection.rpc, gathering: &self.gathering }
    }

    fn operations(&self) -> Result<&Table> {
        once(&self.operations, || Table::open(&self.state, "operations"))
    }

    /// That of the account's rail; of the first one where several tokens of a chain are moved by the same key.
    fn connection<'a>(&self, isolate: &'a Isolate) -> Result<&'a Connection> {
        let (place, _) = once(&self.own, || {
            for (place, connection) in isolate.connections().enumerate() {
                if let Some(key) = own_key(connection, &self.env, &self.state)? {
                    return Ok((place, key));
                }
            }
            // The key or the chain was changed: another object serves the new one, and this one cannot sign for the old.
            Err("the configuration is for another account".into())
        })?;
        isolate.connections().nth(*place).ok_or_else(unconfigured)
    }

    /// The outbox, read from storage at first.
    fn outbox(&self, connection: &Connection) -> Result<&RefCell<Outbox>> {
        once(&self.outbox, || {
            let operations = self.operations()?.open_values::<Operation>()?;
            let rail = &connection.rail;
            let (_, key) = self.own.get().ok_or_else(unconfigured)?;
            Ok(RefCell::new(Outbox::new(rail.chain_id, key.clone(), rail.confirmations, operations)))
        })
    }

    /// Makes sure that the object goes on by itself if this call does not.
    async fn stay_awake(&self) -> Result<()> {
        let watchdog = now().saturating_add(WATCHDOG);
        let round = self.rounds.next(&self.state).await?;
        self.alarm.by(&self.state, round.map_or(watchdog, |round| round.min(watchdog))).await
    }

    /// Runs an errand, unless it was run before, and waits for the verdict until `deadline`.
    async fn settle(&self, connection: &Connection, purpose: Purpose, errand: Errand, deadline: Timestamp) -> Result<SettleReply> {
        let id = purpose.id();
        let outbox = self.outbox(connection)?;
        let gas_limit = match errand {
            Errand::Send { gas_limit } => Some(gas_limit),
            Errand::Search | Errand::Inquire => None,
        };
        let mut taken = false;
        loop {
            if let Some(verdict) = self.verdict(outbox, &id)? {
                return Ok(SettleReply::Ended(verdict));
            }
            if let Errand::Inquire = errand {
                let known = outbox.borrow().get(&id).is_some();
                return Ok(if known { SettleReply::Pending } else { SettleReply::NotTaken });
            }
            if outbox.borrow().lacks(&id, gas_limit) {
                // Taken on before, it was a search in vain.
                if taken || !self.take_on(connection, purpose, gas_limit).await? {
                    return Ok(SettleReply::NotTaken);
                }
                taken = true;
                continue;
            }
            taken = true;
            if now() >= deadline {
                return Ok(SettleReply::Pending);
            }
            self.poll_or_wait(connection, deadline).await?;
        }
    }

    /// Signs, persists and broadcasts. `false` when the chain cannot be asked for what signing needs, the account
    /// has no money for gas, or a rival is on its way: then nothing was begun.
    async fn take_on(&self, connection: &Connection, purpose: Purpose, gas_limit: Option<u64>) -> Result<bool> {
        let (taken, all) = self.intake.enter(Order { purpose, gas_limit }, connection.rail.batching.as_ref()).await;
        if !all.is_empty() {
            self.take_all_on(connection, all).await?;
        }
        // Whoever was to do it has failed, and says so itself.
        taken.await.map_err(|_| "nothing could be taken on".into())
    }

    async fn take_all_on(&self, connection: &Connection, waiting: Vec<Waiting>) -> Result<()> {
        let outbox = self.outbox(connection)?;
        let is_dry = self.is_dry();
        let is_stale = waiting.iter().any(|(order, _)| order.gas_limit.is_none() || !is_dry) && outbox.borrow().is_stale(now());
        let is_blind = is_stale && self.look(connection).await.is_err();
        let transfers = waiting.iter().filter(|(order, _)| order.transfer().is_some()).count();
        let batching = match connection.rail.batching.as_ref().filter(|_| transfers > 1) {
            Some(batching) if self.intake.has_multicall(self.chain(connection), batching.multicall).await => Some(batching),
            _ => None,
        };
        // Somebody else may have begun or even finished one meanwhile. From here on there is no await until all are stored.
        let mut raws = Vec::new();
        let mut together = Vec::new();
        let mut answers = Vec::with_capacity(waiting.len());
        for (order, caller) in waiting {
            let Order { purpose, gas_limit } = order;
            let id = purpose.id();
            let is_hindered = is_blind || (is_dry && gas_limit.is_some());
            if !outbox.borrow().lacks(&id, gas_limit) || self.verdict(outbox, &id)?.is_some() {
                answers.push((caller, true));
            } else if is_hindered || (gas_limit.is_some() && outbox.borrow().has_rival(&purpose)) {
                answers.push((caller, false));
            } else {
                answers.push((caller, true));
                let gas_limit = gas_limit.map(|gas| Ok::<_, worker::Error>(gas.saturating_add(salt()?))).transpose()?;
                match (Order { purpose, gas_limit }.transfer(), batching) {
                    (Some(transfer), Some(_)) => together.push(transfer),
                    _ => raws.extend(outbox.borrow_mut().submit(purpose, gas_limit, now()).map(|raw| (id, raw))),
                }
            }
        }
        if let Some(batching) = batching {
            raws.extend(submit_in_batches(&mut outbox.borrow_mut(), batching, together));
        }
        self.persist_all(outbox)?;
        self.stay_awake().await?;
        if !raws.is_empty() {
            self.broadcast(connection, raws).await?;
        }
        // Something young is to be looked for.
        self.hurry.ring();
        for (caller, is_taken) in answers {
            // One that is gone does not mind.
            let _ = caller.send(is_taken);
        }
        Ok(())
    }

    /// Whether the account had no money for gas a moment ago.
    fn is_dry(&self) -> bool {
        self.dry_until.get().is_some_and(|until| now() < until)
    }

    /// How the operation ended, from memory or from storage.
    fn verdict(&self, outbox: &RefCell<Outbox>, id: &B256) -> Result<Option<Verdict>> {
        if let Some(operation) = outbox.borrow().get(id) {
            return Ok(operation.verdict());
        }
        if let Some(verdict) = self.ended.borrow().get(id) {
            return Ok(Some(*verdict));
        }
        Ok(self.operations()?.get::<Operation>(id)?.and_then(|operation| operation.verdict()))
    }

    /// Polls the chain for everybody, or waits for whoever does.
    async fn poll_or_wait(&self, connection: &Connection, deadline: Timestamp) -> Result<()> {
        if self.polling.replace(true) {
            self.waiting.wait(deadline.since(now())).await;
            return Ok(());
        }
        let polling = Polling(self);
        let outbox = self.outbox(connection)?;
        // A transaction that is sent meanwhile is young, and looked for sooner; but a stream of them must not put
        // the poll off.
        let mut until = deadline;
        loop {
            until = until.min(now().saturating_add(outbox.borrow().poll_delay(now())));
            if !self.hurry.wait(until.since(now())).await {
                break;
            }
        }
        let result = self.poll(connection, outbox).await;
        drop(polling);
        result
    }

    /// Looks at the chain once and does what every operation needs.
    async fn poll(&self, connection: &Connection, outbox: &RefCell<Outbox>) -> Result<()> {
        self.stay_awake().await?;
        let Ok(receipts) = self.look(connection).await else { return Ok(()) };
        self.ended.borrow_mut().clear();
        let effects = outbox.borrow_mut().review(&receipts, now());
        let mut broadcasts = Vec::new();
        let mut investigations = Vec::new();
        for (id, effect) in effects {
            match effect {
                Effect::Broadcast(raw) => broadcasts.push((id, raw)),
                Effect::Investigate => investigations.push(id),
            }
        }
        self.persist_all(outbox)?;
        self.broadcast(connection, broadcasts).await?;
        let from_block = outbox.borrow().search_from();
        let searches = investigations.iter().map(|id| {
            let purpose = outbox.borrow().get(id).map(|operation| operation.purpose);
            async move { Some((id, search(self.chain(connection), &purpose?, from_block).await)) }
        });
        for (id, search) in join_all(searches).await.into_iter().flatten() {
            match search {
                Ok(search) => outbox.borrow_mut().conclude(id, &search, now()),
                Err(Unreachable) => console_error!("account: operation {id}: the chain could not be searched for its end"),
            }
        }
        self.persist_all(outbox)
    }

    /// Reads the account's state and the receipts of everything on its way, in one RPC request.
    async fn look(&self, connection: &Connection) -> std::result::Result<Receipts, Unreachable> {
        let outbox = self.outbox(connection).map_err(|_| Unreachable)?;
        let account = outbox.borrow().account();
        let mut requests = Vec::from([
            RpcRequest::latest_block(),
            RpcRequest::transaction_count(account, Count::Latest),
            RpcRequest::transaction_count(account, Count::Pending),
            RpcRequest::gas_price(),
        ]);
        let hashes = outbox.borrow().pending_hashes();
        requests.extend(hashes.iter().copied().map(RpcRequest::receipt));
        let answers = self.chain(connection).batch(requests).await?;
        let (view, answers) = read(&answers).ok_or(Unreachable)?;
        connection.rpc.note_price(view.price);
        let mut receipts = Receipts::default();
        for (hash, answer) in hashes.into_iter().zip(answers) {
            match answer.as_ref().ok().and_then(|answer| decode::<Option<TransactionReceipt>>(answer).ok()) {
                Some(mined) => receipts.mined.extend(mined),
                None => {
                    receipts.unknown.push(hash);
                }
            }
        }
        outbox.borrow_mut().look(view, now());
        Ok(receipts)
    }

    /// Sends transactions that are persisted. What becomes of them is seen by polling; those that no node will ever take make room
    /// for others at once.
    async fn broadcast(&self, connection: &Connection, transactions: Vec<(B256, Bytes)>) -> Result<()> {
        let outbox = self.outbox(connection)?;
        let mut transactions = transactions;
        while !transactions.is_empty() {
            let sends = transactions.iter().map(|(id, raw)| async move { (*id, self.chain(connection).send(raw).await) });
            let answers = join_all(sends).await;
            let mut instead = Vec::new();
            for (id, answer) in answers {
                match answer {
                    Ok(Ok(())) => self.dry_until.set(None),
                    Ok(Err(NodeError::AlreadyKnown)) => {}
                    Ok(Err(NodeError::InsufficientFunds)) => {
                        console_error!("account: {} has no money left for gas", outbox.borrow().account());
                        self.dry_until.set(Some(now().saturating_add(DRY)));
                    }
                    Ok(Err(error)) => {
                        console_log!("account: operation {id}: {error}");
                        instead.extend(outbox.borrow_mut().refused(&id, &error, now()).map(|raw| (id, raw)));
                    }
                    Err(Unreachable) => console_error!("account: operation {id}: no endpoint took the transaction"),
                }
            }
            self.persist_all(outbox)?;
            transactions = instead;
        }
        Ok(())
    }

    /// Writes every operation that changed, and forgets in memory what is finished.
    fn persist_all(&self, outbox: &RefCell<Outbox>) -> Result<()> {
        let operations = self.operations()?;
        let mut outbox = outbox.borrow_mut();
        for (id, operation) in outbox.take_changed() {
            save(operations, &id, &operation)?;
            let Some(verdict) = operation.verdict() else { continue };
            self.ended.borrow_mut().insert(id, verdict);
            if let Some(channel_id) = operation.purpose.channel_id(outbox.chain_id()) {
                self.rounds.forget(&self.state, channel_id)?;
            }
        }
        outbox.drop_finished();
        Ok(())
    }
}

/// Whoever polls tells the others when it is done, however it ends.
struct Polling<'a>(&'a Account);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.polling.set(false);
        self.0.waiting.wake();
    }
}

fn save(operations: &Table, id: &B256, operation: &Operation) -> Result<()> {
    let finished = operation.is_finished();
    let forget_at = operation.purpose.matters_until().unwrap_or_else(now).saturating_add(REMEMBER);
    operations.put(id, operation, finished.then_some(forget_at))
}

/// The account's state, and the answers about receipts.
fn read(answers: &[NodeAnswer]) -> Option<(AccountView, &[NodeAnswer])> {
    let [block, latest, pending, gas_price, receipts @ ..] = answers else { return None };
    let block: Block = decode(block.as_ref().ok()?).ok()?;
    let gas_price = decode_u128(gas_price.as_ref().ok()?).ok()?;
    let count = |answer: &NodeAnswer| decode_u64(answer.as_ref().ok()?).ok();
    let latest_count = count(latest)?;
    let view =
        AccountView { block, latest_count, pending_count: count(pending).unwrap_or(latest_count), price: block.suggest_price(gas_price) };
    Some((view, receipts))
}

/// Searches for the end of a purpose.
async fn search(chain: Gathered<'_>, purpose: &Purpose, from_block: u64) -> std::result::Result<Search, Unreachable> {
    let plan = purpose.search();
    let [state] = chain.ask([RpcRequest::call(&plan.state)]).await?;
    let used = purpose.is_used(&decoded::<Bytes>(state)?).ok_or(Unreachable)?;
    if !used {
        return Ok(Search { used, ending: None });
    }
    let [logs] = chain.ask([RpcRequest::logs(plan.contract, &plan.filter, from_block)]).await?;
    let logs: Vec<LoggedAt> = decoded(logs)?;
    let ending = match logs.last() {
        Some(log) => Some(ending(chain, log).await?),
        None => None,
    };
    Ok(Search { used, ending })
}

async fn ending(chain: Gathered<'_>, log: &LoggedAt) -> std::result::Result<Ending, Unreachable> {
    let [receipt, block] = chain.ask([RpcRequest::receipt(log.transaction_hash), RpcRequest::block(log.block_number())]).await?;
    let block: Block = decoded(block)?;
    Ok(Ending { receipt: decoded(receipt)?, mined_at: block.timestamp() })
}

fn decoded<T: serde::de::DeserializeOwned>(answer: NodeAnswer) -> std::result::Result<T, Unreachable> {
    decode(&answer.map_err(|_| Unreachable)?).map_err(|_| Unreachable)
}
