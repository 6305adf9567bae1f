//! One run: payers come and buy, their channels are settled by a policy, and the outbox brings that onto a chain whose fees spike.
//! What decides is the crate's own: [`Channel::step`], [`Outbox`], [`Tried::judge`]. Here is only what is around it.

use super::chain::{BEGINS, CHAIN_ID, Chain, FIRST_BLOCK};
use super::market::{BLOCK, CALM, Market};
use super::payers::{Leaving, Payer, pause};
use super::random::Random;
use alloy_primitives::{Address, B256, keccak256};
use mpp_edge::channel::{Channel, Collection, Effect, Event, Expected, Kind, Order, Policy, PresentedVoucher, Reuse, Status};
use mpp_edge::evm::escrow::{EscrowFacts, OnChain, SignedVoucher};
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::evm::reading::Reading;
use mpp_edge::evm::signature::Signature;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Asset;
use mpp_edge::settlement::{self, Failure, Outbox, Receipts, Search, Tried, Verdict};
use mpp_edge::time::{Timestamp, UnixSeconds};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// How often money at risk is noted, in seconds.
pub(crate) const SAMPLE: u64 = 900;
/// `session.watchSeconds`, and the escrow's grace period.
const WATCH: u64 = 120;
const GRACE: u64 = 900;
const DEPOSIT: u128 = 10_000_000_000;

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Block,
    Arrives(usize),
    Buys(usize),
    Wakes(usize, Timestamp),
    Observes(usize),
    Withdraws(usize),
    Sample,
}

struct Session {
    ledger: Option<Channel>,
    payer: usize,
    bought: u128,
    left: u64,
    alarm: Option<Timestamp>,
    at_risk: u128,
}

/// What a run came to. Money in base units, a millionth of a dollar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) sold: u128,
    pub(crate) collected: u128,
    /// Sold, and withdrawn by the payer.
    pub(crate) lost: u128,
    /// Sold, and neither collected nor lost at the end: too little to be worth its gas.
    pub(crate) left: u128,
    pub(crate) transactions: u64,
    pub(crate) gas: u64,
    pub(crate) wei: u128,
    /// Of that, what was paid while fees had spiked.
    pub(crate) wei_in_spikes: u128,
    /// Channels that payers had to open because theirs was closed.
    pub(crate) reopened: u64,
    /// Money at risk, every [`SAMPLE`] seconds.
    pub(crate) risk: Vec<u128>,
}

impl Found {
    pub(crate) fn mean_risk(&self) -> u128 {
        self.risk.iter().sum::<u128>() / u128::try_from(self.risk.len().max(1)).unwrap()
    }

    pub(crate) fn most_at_risk(&self) -> u128 {
        self.risk.iter().copied().max().unwrap_or_default()
    }
}

struct Run<'a> {
    policy: &'a Policy,
    waits: bool,
    buying: u64,
    payers: &'a [Payer],
    chain: Chain<'a>,
    outbox: Outbox,
    random: Random,
    signature: Signature,
    expected: Expected,
    now: Timestamp,
    queue: BinaryHeap<Reverse<(Timestamp, u64, What)>>,
    queued: u64,
    mines: bool,
    sessions: Vec<Session>,
    by_id: BTreeMap<B256, usize>,
    submitted: BTreeMap<B256, (usize, Collection)>,
    verdicts: BTreeMap<B256, Verdict>,
    at_risk: u128,
    found: Found,
}

/// Runs a policy, and perhaps waits spikes out, which the crate does not: for so many seconds payers buy, and after so many it ends.
pub(crate) fn run((policy, waits): (&Policy, bool), payers: &[Payer], market: &Market, seed: u64, (buying, seconds): (u64, u64)) -> Found {
    let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
    let [token, escrow] = [1, 2].map(Address::repeat_byte);
    let separator = B256::repeat_byte(3);
    let payee = key.address();
    let expected = Expected { escrow, separator, payee, asset: Asset { chain_id: CHAIN_ID, token }, price: Amount::from_base_units(1_000) };
    let mut run = Run {
        policy,
        waits,
        buying,
        payers,
        chain: Chain::new(market, payee, escrow),
        // Ledgers compare signers that were recovered before: one signature does for all.
        signature: key.sign(B256::ZERO),
        outbox: Outbox::new(CHAIN_ID, key, 1, []),
        random: Random::new(seed),
        expected,
        now: at(0),
        queue: BinaryHeap::new(),
        queued: 0,
        mines: false,
        sessions: Vec::new(),
        by_id: BTreeMap::new(),
        submitted: BTreeMap::new(),
        verdicts: BTreeMap::new(),
        at_risk: 0,
        found: Found::default(),
    };
    for (index, payer) in payers.iter().enumerate() {
        run.plan(at(payer.arrives), What::Arrives(index));
    }
    for second in (0..seconds).step_by(usize::try_from(SAMPLE).unwrap()) {
        run.plan(at(second), What::Sample);
    }
    while let Some(Reverse((time, _, what))) = run.queue.pop().filter(|Reverse((time, ..))| *time < at(seconds)) {
        run.now = time;
        run.happen(what);
    }
    run.end()
}

const fn at(second: u64) -> Timestamp {
    Timestamp::from_millis((BEGINS + second) * 1_000)
}

impl Run<'_> {
    fn plan(&mut self, time: Timestamp, what: What) {
        self.queued += 1;
        self.queue.push(Reverse((time.max(self.now), self.queued, what)));
    }

    fn plan_in(&mut self, seconds: u64, what: What) {
        self.plan(self.now.saturating_add(Duration::from_secs(seconds)), what);
    }

    fn second(&self) -> u64 {
        self.now.since(at(0)).as_secs()
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Block => self.mine(),
            What::Arrives(payer) => self.open(payer, self.payers[payer].requests),
            What::Buys(session) => self.buy(session),
            What::Wakes(session, alarm) => {
                if self.sessions[session].alarm != Some(alarm) {
                    return;
                }
                if let Some(end) = self.waits_until(session) {
                    self.sessions[session].alarm = Some(end);
                    self.plan(end, What::Wakes(session, end));
                } else {
                    self.sessions[session].alarm = None;
                    self.step(session, Event::Woken);
                }
            }
            What::Observes(session) => {
                let id = self.id(session);
                let reading = Reading { block: self.block_now(), on_chain: self.chain.channel(&id), signer_has_code: false };
                self.step(session, Event::Observed(reading));
            }
            What::Withdraws(session) => {
                let id = self.id(session);
                self.chain.channel_mut(&id).finalized = true;
                self.plan_in(WATCH, What::Observes(session));
            }
            What::Sample => self.found.risk.push(self.at_risk),
        }
    }

    /// What the crate does not do: a channel that nobody wants closed is left alone until fees are calm again, and looked at every minute.
    fn waits_until(&self, session: usize) -> Option<Timestamp> {
        let is_open = self.sessions[session].ledger.as_ref().is_some_and(|ledger| ledger.status() == Status::Open);
        let is_dear = self.chain.market.base_fee(self.second() / BLOCK) > 3 * CALM;
        (self.waits && is_open && is_dear).then(|| self.now.saturating_add(Duration::from_secs(60)))
    }

    fn block_now(&self) -> u64 {
        FIRST_BLOCK + self.second() / BLOCK
    }

    fn id(&self, session: usize) -> B256 {
        self.sessions[session].ledger.as_ref().unwrap().id()
    }

    fn open(&mut self, payer: usize, left: u64) {
        let session = self.sessions.len();
        let id = keccak256(session.to_be_bytes());
        let on_chain = OnChain {
            finalized: false,
            close_requested_at: UnixSeconds::new(0),
            payer: Address::from_word(keccak256(payer.to_be_bytes())),
            payee: self.expected.payee,
            token: self.expected.asset.token,
            authorized_signer: Address::ZERO,
            deposit: Amount::from_base_units(DEPOSIT),
            settled: Amount::ZERO,
        };
        self.chain.open(id, on_chain);
        let reading = Reading { block: self.block_now(), on_chain, signer_has_code: false };
        let facts = EscrowFacts { grace_period: Duration::from_secs(GRACE), separator: self.expected.separator };
        let ledger = Channel::adopt(id, &reading, &facts, &self.expected, self.now).unwrap();
        self.sessions.push(Session { ledger: Some(ledger), payer, bought: 0, left, alarm: None, at_risk: 0 });
        self.by_id.insert(id, session);
        self.plan(self.now, What::Buys(session));
    }

    fn presented(&self, session: usize, cumulative: u128) -> PresentedVoucher {
        let voucher = SignedVoucher { cumulative: Amount::from_base_units(cumulative), signature: self.signature };
        PresentedVoucher { voucher, signer: self.sessions[session].ledger.as_ref().unwrap().signer(), source: None, fresh: true }
    }

    fn buy(&mut self, session: usize) {
        let payer = &self.payers[self.sessions[session].payer];
        let cumulative = self.sessions[session].bought + payer.price;
        let order = Order {
            price: Amount::from_base_units(payer.price),
            least: 1,
            most: 1,
            kind: Kind::Request,
            reuse: Reuse::DrawDown,
            key: None,
            attempt: self.queued,
            since: self.queued,
        };
        let voucher = self.presented(session, cumulative);
        if !self.step(session, Event::Voucher(voucher, Some(order))) {
            // The gateway has closed the channel, or cannot collect: who wants more opens another.
            self.found.reopened += 1;
            let Session { payer, left, .. } = self.sessions[session];
            return self.open(payer, left);
        }
        let second = self.second();
        let at = &mut self.sessions[session];
        at.bought = cumulative;
        at.left -= 1;
        if at.left > 0 && second < self.buying {
            let pause = pause(&mut self.random);
            return self.plan_in(pause, What::Buys(session));
        }
        match payer.leaving {
            Leaving::Vanishes => {}
            Leaving::Closes => {
                let last = self.presented(session, cumulative);
                self.step(session, Event::Close(last));
            }
            Leaving::Forces => {
                let id = self.id(session);
                self.chain.request_close(&id, self.second());
                self.plan_in(WATCH - self.second() % WATCH, What::Observes(session));
                self.plan_in(GRACE, What::Withdraws(session));
            }
        }
    }

    /// Steps a ledger, and does what comes of it. Returns whether it took the event.
    fn step(&mut self, session: usize, event: Event) -> bool {
        let ledger = self.sessions[session].ledger.take().unwrap();
        let (ledger, outcome) = ledger.step(event, self.policy, self.now);
        let spent = ledger.balance(Amount::ZERO, Reuse::DrawDown, self.policy).spent;
        let open = spent.saturating_sub(ledger.settled()).base_units();
        let is_over = matches!(ledger.status(), Status::Closed { .. });
        let at = &mut self.sessions[session];
        self.at_risk -= at.at_risk;
        at.at_risk = if is_over { 0 } else { open };
        self.at_risk += at.at_risk;
        at.ledger = Some(ledger);
        for effect in outcome.effects {
            match effect {
                Effect::WakeAt(time) => {
                    let time = time.max(self.now.saturating_add(Duration::from_millis(100)));
                    self.sessions[session].alarm = Some(time);
                    self.plan(time, What::Wakes(session, time));
                }
                Effect::Inspect => self.plan(self.now, What::Observes(session)),
                Effect::Submit(collection) => self.submit(session, collection),
            }
        }
        outcome.answer.is_ok()
    }

    /// Has a collection brought onto the chain, as the account's object does.
    fn submit(&mut self, session: usize, collection: Collection) {
        let purpose = collection.purpose();
        let id = purpose.id();
        if let Some(verdict) = self.verdicts.get(&id).copied() {
            self.step(session, Event::Concluded(collection, verdict));
            return;
        }
        self.submitted.insert(id, (session, collection));
        if !self.outbox.lacks(&id, Some(0)) {
            return;
        }
        // It is tried out first: what would revert is not sent.
        if self.chain.channel(&collection.payout.channel_id).finalized {
            self.step(session, Event::Concluded(collection, Verdict::Failed(Failure::Refused)));
            return;
        }
        let tried = Tried { outcome: Ok(()), gas: Ok(Chain::gas(&purpose)) };
        let gas_limit = tried.judge(purpose.gas_cap(CHAIN_ID)).unwrap();
        if !self.mines {
            self.chain.mine(self.second() / BLOCK);
        }
        if self.outbox.is_stale(self.now) {
            self.outbox.look(self.chain.view(), self.now);
        }
        self.outbox.submit(purpose, Some(gas_limit), self.now).unwrap();
        self.outbox.take_changed();
        self.broadcast(&id);
        if !self.mines {
            self.mines = true;
            self.plan_in(BLOCK, What::Block);
        }
    }

    fn broadcast(&mut self, id: &B256) {
        let Some(operation) = self.outbox.get(id) else { return };
        let Some(attempt) = operation.attempts().last() else { return };
        self.chain.receive(attempt.nonce, attempt.hash, &attempt.raw, attempt.price, operation.purpose);
    }

    /// A block is made, and the outbox looks at it.
    fn mine(&mut self) {
        let second = self.second();
        for mined in self.chain.mine(second / BLOCK) {
            self.found.transactions += 1;
            self.found.gas += mined.gas;
            self.found.wei += mined.wei;
            self.found.collected += mined.collected.base_units();
            if self.chain.market.is_spike(second) {
                self.found.wei_in_spikes += mined.wei;
            }
        }
        self.outbox.look(self.chain.view(), self.now);
        let mined = self.outbox.pending_hashes().iter().filter_map(|hash| self.chain.receipt(hash)).collect();
        for (id, effect) in self.outbox.review(&Receipts { mined, ..Receipts::default() }, self.now) {
            match effect {
                settlement::Effect::Broadcast(_) => self.broadcast(&id),
                settlement::Effect::Investigate => {
                    let channel = self.submitted[&id].1.payout.channel_id;
                    let search = Search { used: self.chain.channel(&channel).finalized, ending: None };
                    self.outbox.conclude(&id, &search, self.now);
                }
            }
        }
        for (id, operation) in self.outbox.take_changed() {
            let Some(verdict) = operation.verdict() else { continue };
            if self.verdicts.insert(id, verdict).is_none() {
                let (session, collection) = self.submitted[&id];
                self.step(session, Event::Concluded(collection, verdict));
            }
        }
        self.outbox.drop_finished();
        self.mines = !self.outbox.is_idle();
        if self.mines {
            self.plan_in(BLOCK, What::Block);
        }
    }

    fn end(mut self) -> Found {
        for session in &self.sessions {
            let ledger = session.ledger.as_ref().unwrap();
            let settled = self.chain.channel(&ledger.id());
            let missing = session.bought.saturating_sub(settled.settled.base_units());
            self.found.sold += session.bought;
            if settled.finalized {
                self.found.lost += missing;
            } else {
                self.found.left += missing;
            }
        }
        assert_eq!(self.found.sold, self.found.collected + self.found.lost + self.found.left, "money is neither made nor lost unseen");
        self.found
    }
}
