//! A model of settlement: the outbox, driven as `src/worker/objects/account.rs` drives it, against a chain in memory that
//! does everything chains and nodes do to one: transactions dropped, stuck below a rising fee, taken by another gateway of
//! the same account, run ahead of by strangers, cancelled, reorganised away within the configured depth; and against
//! itself: it dies at any moment and goes on from what it had persisted.
//!
//! Bounds: three authorizations that expire after 60, 120 and 300 seconds; schedules of up to 60 events of 19 kinds; 1 to 3
//! confirmations with reorganisations below that depth; 400 schedules per property, drawn anew at each run. After its
//! schedule the chain behaves, and after at most 900 more seconds everything must have come to its end.
//!
//! Rising fees, and transactions that nobody takes, are not mixed with what makes gaps: see the ignored scenario.
//!
//! Left out on purpose: reorganisations that delay a stranger's transfer for longer than the configured depth; another gateway that leaves a transaction of the account below the market's fee for ever (the nonces
//! behind it hang until somebody replaces it); reorganisations at or beyond the configured depth, and strangers that send an authorization after our
//! own transaction with it has reverted for lack of the payer's money, or was given up (nothing but its expiry can prevent that).
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod batches;
mod chain;
mod escrow;
mod identity;
mod patience;
mod scenarios;
mod sessions;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use chain::{Call, Chain, Sender, Set, Tx};
use escrow::{Contracts, ESCROW, TOKEN};
use mpp_edge::binary::{decode, encode};
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::escrow::{Opening, Payout, SignedVoucher, ToppingUp, channel_id};
use mpp_edge::evm::jsonrpc::NodeError;
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::evm::multicall::MULTICALL3;
use mpp_edge::evm::signature::Signature;
use mpp_edge::evm::transaction::GasPrice;
use mpp_edge::money::Amount;
use mpp_edge::settlement::{Effect, Failure, Operation, Outbox, Purpose, Receipts, Transfer, Verdict};
use mpp_edge::time::{Timestamp, UnixSeconds};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

const START: u64 = 1_800_000_000;
const CHAIN_ID: u64 = 11124;
const LIFETIMES: [u64; 3] = [60, 120, 300];
const DEPOSIT: u128 = 10_000;
const ADDITION: u128 = 5_000;

/// Where the purposes of the channel stand behind the transfers. The larger settlement needs the addition.
const OPEN: usize = 3;
const TOP_UP: usize = 4;
const SETTLE: usize = 5;
const SETTLE_MORE: usize = 6;
const CLOSE: usize = 7;
/// The first settlement's repetition, should that fail.
const SETTLE_AGAIN: usize = 8;
const PAYOUTS: [(usize, u128, u32); 4] = [(SETTLE, 4_000, 0), (SETTLE_MORE, 12_000, 0), (CLOSE, 9_000, 0), (SETTLE_AGAIN, 4_000, 1)];

/// Signing is slow without optimisation, and what the payer signed does not matter here.
static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap());
static SIGNATURE: LazyLock<Signature> = LazyLock::new(|| KEY.sign(keccak256("payer")));
static PURPOSES: LazyLock<Vec<Purpose>> = LazyLock::new(|| {
    let mut purposes: Vec<Purpose> = (1..).zip(LIFETIMES).map(|(nonce, lifetime)| transfer(nonce, lifetime)).collect();
    let opening = opening(DEPOSIT, 200);
    let channel_id = channel_id(&opening, CHAIN_ID);
    purposes.push(Purpose::Open(opening));
    let addition = ToppingUp { escrow: ESCROW, token: TOKEN, channel_id, salt: B256::ZERO, signed: authorize(ESCROW, ADDITION, 300) };
    let signed = with_nonce(addition.signed, addition.nonce());
    purposes.push(Purpose::TopUp(ToppingUp { signed, ..addition }));
    purposes.extend(PAYOUTS.map(|(index, cumulative, epoch)| payout(index, channel_id, cumulative, epoch)));
    purposes
});

fn authorize(to: Address, value: u128, lifetime: u64) -> SignedAuthorization {
    let authorization = Authorization {
        from: Address::repeat_byte(0xf0),
        to,
        value: Amount::from_base_units(value),
        valid_after: UnixSeconds::new(0),
        valid_before: UnixSeconds::new(START + lifetime),
        nonce: B256::ZERO,
    };
    SignedAuthorization { authorization, signature: *SIGNATURE }
}

const fn with_nonce(signed: SignedAuthorization, nonce: B256) -> SignedAuthorization {
    SignedAuthorization { authorization: Authorization { nonce, ..signed.authorization }, ..signed }
}

fn transfer(nonce: u8, lifetime: u64) -> Purpose {
    let signed = with_nonce(authorize(Address::repeat_byte(0x10), 10_000, lifetime), B256::repeat_byte(nonce));
    Purpose::Transfer(Transfer { token: TOKEN, signed, since: Some(Timestamp::from_millis(START * 1000)) })
}

fn opening(deposit: u128, lifetime: u64) -> Opening {
    let payee = Address::repeat_byte(0x10);
    let signed = authorize(ESCROW, deposit, lifetime);
    let opening = Opening { escrow: ESCROW, token: TOKEN, payee, salt: B256::ZERO, authorized_signer: Address::ZERO, signed };
    Opening { signed: with_nonce(signed, opening.nonce()), ..opening }
}

fn payout(index: usize, channel_id: B256, cumulative: u128, epoch: u32) -> Purpose {
    let voucher = SignedVoucher { cumulative: Amount::from_base_units(cumulative), signature: *SIGNATURE };
    let payout = Payout { escrow: ESCROW, channel_id, voucher, epoch };
    if index == CLOSE { Purpose::Close(payout) } else { Purpose::Settle(payout) }
}

/// What goes wrong while the outbox works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// No endpoint answers.
    Unreachable,
    /// The process ends before anything is persisted.
    DiesBeforePersisting,
    /// The process ends with everything persisted and nothing sent.
    DiesBeforeSending,
    /// What is sent is lost on its way.
    SendsInVain,
    /// The process ends right after sending.
    DiesAfterSending,
    /// The search is answered by a node that does not know the last two seconds.
    SearchLags,
    /// Its state knows them, its logs do not.
    LogsLag,
    /// The node will not say whether transactions are mined.
    ReceiptsRefused,
    /// The logs cannot be searched.
    CannotInvestigate,
    /// The process ends with conclusions drawn and not persisted.
    DiesBeforePersistingConclusions,
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    /// A payer's or a channel's object asks for this.
    Submit(usize, Fault),
    /// So many of the transfers are asked for at once, and go together.
    SubmitAll(usize, Fault),
    /// It has seen that this can no longer be done and asks what was.
    LookUp(usize, Fault),
    Poll(Fault),
    Restart,
    Pass(u64),
    Mine(usize),
    Reorganise {
        depth: usize,
        lossy: bool,
        most: usize,
    },
    Drop(usize),
    OtherGateway,
    OtherGatewaySells(usize),
    FrontRun(usize),
    Cancel(usize),
    Withdraw,
    FeesRise,
    FeesFall,
    RefuseLowFees(bool),
    Broke(bool),
    BatchesBreak(bool),
    /// Nodes change their mind about what they take.
    Unacceptable(usize),
    /// Whoever makes blocks changes his.
    Shunned(usize),
}

/// The outbox in its shell, over a chain.
struct World {
    now: Timestamp,
    chain: Chain,
    outbox: Outbox,
    /// What is persisted, in binary form.
    stored: BTreeMap<B256, Vec<u8>>,
    /// Verdicts that somebody may have been told.
    told: BTreeMap<B256, Verdict>,
    confirmations: u64,
    sent: Vec<Tx>,
    /// What was taken on in batches, and persisted.
    taken: BTreeSet<usize>,
}

impl World {
    fn new(confirmations: u64) -> Self {
        let chain = Chain::new(KEY.address(), &PURPOSES, START);
        let outbox = Outbox::new(CHAIN_ID, KEY.clone(), confirmations, []);
        let now = Timestamp::from_millis(START * 1000);
        Self { now, chain, outbox, stored: BTreeMap::new(), told: BTreeMap::new(), confirmations, sent: Vec::new(), taken: BTreeSet::new() }
    }

    fn operation(&self, id: &B256) -> Option<Operation> {
        self.stored.get(id).map(|bytes| decode(bytes).unwrap())
    }

    fn restart(&mut self) {
        let operations: Vec<Operation> = self.stored.values().map(|bytes| decode(bytes).unwrap()).collect();
        let open = operations.into_iter().filter(|operation| !operation.is_finished());
        self.outbox = Outbox::new(CHAIN_ID, KEY.clone(), self.confirmations, open);
    }

    fn persist(&mut self, id: B256, operation: &Operation) {
        if let Some(verdict) = operation.verdict() {
            let told = *self.told.entry(id).or_insert(verdict);
            assert_eq!(told, verdict, "a verdict was changed");
        }
        self.stored.insert(id, encode(operation).unwrap());
    }

    fn persist_all(&mut self) {
        for (id, operation) in self.outbox.take_changed() {
            self.persist(id, &operation);
        }
        self.outbox.drop_finished();
    }

    fn look(&mut self) -> Vec<mpp_edge::evm::jsonrpc::TransactionReceipt> {
        let receipts = self.chain.receipts(&self.outbox.pending_hashes());
        self.outbox.look(self.chain.view(), self.now);
        receipts
    }

    /// As `Account::settle` does.
    fn submit(&mut self, index: usize, gas_limit: Option<u64>, fault: Fault) {
        let purpose = PURPOSES[index];
        let id = purpose.id();
        let known = !self.outbox.lacks(&id, gas_limit) || self.operation(&id).is_some_and(|operation| operation.verdict().is_some());
        if known {
            return;
        }
        if gas_limit.is_some() && self.outbox.is_stale(self.now) {
            if fault == Fault::Unreachable {
                return;
            }
            self.look();
        }
        let raw = self.outbox.submit(purpose, gas_limit, self.now);
        if fault == Fault::DiesBeforePersisting {
            return self.restart();
        }
        let operation = self.outbox.get(&id).unwrap().clone();
        self.persist(id, &operation);
        self.send(raw.into_iter().map(|raw| (id, raw)).collect(), fault);
    }

    /// As `Account::settle` does where transfers go in batches.
    fn submit_all(&mut self, indices: impl Iterator<Item = usize>, fault: Fault) {
        let ended = |index: &usize| self.operation(&PURPOSES[*index].id()).is_some_and(|operation| operation.verdict().is_some());
        let fresh = |index: &usize| self.outbox.lacks(&PURPOSES[*index].id(), Some(100_000)) && !ended(index);
        let wanted: Vec<usize> = indices.filter(fresh).collect();
        if self.outbox.is_stale(self.now) {
            if fault == Fault::Unreachable {
                return;
            }
            self.look();
        }
        let transfers = wanted.iter().filter_map(|index| match PURPOSES[*index] {
            Purpose::Transfer(transfer) => Some((transfer, 100_000)),
            _ => None,
        });
        let Some((id, raw)) = self.outbox.submit_batch(MULTICALL3, transfers.collect(), self.now) else { return };
        if fault == Fault::DiesBeforePersisting {
            return self.restart();
        }
        self.persist_all();
        self.taken.extend(wanted);
        self.send(vec![(id, raw)], fault);
    }

    fn send(&mut self, transactions: Vec<(B256, Bytes)>, fault: Fault) {
        if fault == Fault::DiesBeforeSending {
            return self.restart();
        }
        let mut instead = Vec::new();
        for (id, raw) in transactions {
            let persisted = self.operation(&id).expect("sent before it was persisted");
            let hash = keccak256(&raw);
            let attempt = persisted.attempts().iter().find(|attempt| attempt.hash == hash).expect("sent before it was persisted");
            let GasPrice::Dynamic { max_fee, .. } = attempt.price else { panic!("the chain has a base fee") };
            let holds = |part: &[u8]| raw.windows(part.len()).any(|there| there == part);
            let call = if holds(MULTICALL3.as_slice()) {
                let wanted = Set::of((0..OPEN).filter(|index| holds(&PURPOSES[*index].call().data)));
                assert!(wanted.has(index(&id)) && wanted.indices().count() > 1, "a batch of several, and of whoever leads it");
                Call::All { wanted, done: Set::default() }
            } else if holds(&persisted.purpose.call().data) {
                Call::Do(index(&id))
            } else {
                Call::Nothing
            };
            let tx = Tx { hash, sender: Sender::Outbox, nonce: attempt.nonce, fee: max_fee, call };
            self.sent.push(tx);
            if matches!(fault, Fault::SendsInVain | Fault::Unreachable) {
                continue;
            }
            if let Err(error) = self.chain.send(tx) {
                if error == NodeError::Unacceptable {
                    // Nobody has it, unless he had it before.
                    self.sent.pop();
                }
                instead.extend(self.outbox.refused(&id, &error, self.now).map(|raw| (id, raw)));
            }
        }
        if fault == Fault::DiesBeforePersistingConclusions {
            return self.restart();
        }
        self.persist_all();
        if !instead.is_empty() {
            return self.send(instead, fault);
        }
        if fault == Fault::DiesAfterSending {
            self.restart();
        }
    }

    /// As `Account::poll` does.
    fn poll(&mut self, fault: Fault) {
        if fault == Fault::Unreachable {
            return;
        }
        let receipts = self.look();
        let receipts = if fault == Fault::ReceiptsRefused {
            Receipts { mined: Vec::new(), unknown: self.outbox.pending_hashes().into_iter().collect() }
        } else {
            Receipts { mined: receipts, ..Receipts::default() }
        };
        let effects = self.outbox.review(&receipts, self.now);
        if fault == Fault::DiesBeforePersisting {
            return self.restart();
        }
        self.persist_all();
        let broadcasts = effects.iter().filter_map(|(id, effect)| match effect {
            Effect::Broadcast(raw) => Some((*id, raw.clone())),
            Effect::Investigate => None,
        });
        self.send(broadcasts.collect(), fault);
        if matches!(fault, Fault::DiesBeforeSending | Fault::DiesAfterSending | Fault::CannotInvestigate) {
            return;
        }
        for (id, _) in effects.iter().filter(|(_, effect)| *effect == Effect::Investigate) {
            let now = self.now.seconds().get();
            let (state, logs) = match fault {
                Fault::SearchLags => (now - 2, now - 2),
                Fault::LogsLag => (now, now - 2),
                _ => (now, now),
            };
            let search = self.chain.search(index(id), state, logs);
            self.outbox.conclude(id, &search, self.now);
        }
        if fault == Fault::DiesBeforePersistingConclusions {
            return self.restart();
        }
        self.persist_all();
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.saturating_add(Duration::from_secs(seconds));
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            // Whoever asks simulates first: what has happened is only looked for.
            Event::Submit(index, fault) if self.chain.would_succeed(index, self.now.seconds().get()) => {
                self.submit(index, Some(100_000), fault);
            }
            Event::Submit(index, fault) | Event::LookUp(index, fault) => {
                if self.chain.is_used(index, u64::MAX) {
                    self.submit(index, None, fault);
                }
            }
            Event::SubmitAll(among, fault) => {
                let now = self.now.seconds().get();
                let viable: Vec<usize> = (0..OPEN).filter(|index| *index != among && self.chain.would_succeed(*index, now)).collect();
                self.submit_all(viable.into_iter(), fault);
            }
            Event::Poll(fault) => self.poll(fault),
            Event::Restart => self.restart(),
            Event::Pass(seconds) => self.pass(seconds),
            Event::Mine(most) => self.chain.mine(self.now.seconds().get(), most),
            Event::Reorganise { depth, lossy, most } => {
                // What strangers sent comes back at once, if at all: see above.
                let most = if self.chain.has_strangers() { 100 } else { most };
                let deepest = usize::try_from(self.confirmations).unwrap() - 1;
                self.chain.reorganise(depth.min(deepest), lossy, most);
            }
            Event::Drop(which) => self.chain.drop_one(which),
            Event::OtherGateway => self.chain.send_other(Sender::OtherOutbox, Call::Nothing),
            Event::OtherGatewaySells(index) => self.chain.send_other(Sender::OtherOutbox, Call::Do(index)),
            Event::FrontRun(index) => self.chain.send_other(Sender::Stranger, Call::Do(index)),
            Event::Cancel(index) => self.chain.send_other(Sender::Stranger, Call::Cancel(index)),
            Event::Withdraw => self.chain.send_other(Sender::Stranger, Call::Withdraw),
            Event::FeesRise => self.chain.floor = (self.chain.floor * 5).min(10_000_000),
            Event::FeesFall => self.chain.floor = (self.chain.floor / 5).max(100),
            Event::RefuseLowFees(refuses) => self.chain.refuses_low_fees = refuses,
            Event::Broke(broke) => self.chain.broke = broke,
            Event::BatchesBreak(breaks) => self.chain.breaks_batches = breaks,
            Event::Unacceptable(index) => toggle(&mut self.chain.unacceptable, index),
            Event::Shunned(index) => toggle(&mut self.chain.shunned, index),
        }
    }

    /// The chain behaves from here on.
    fn recover(&mut self) -> Result<(), TestCaseError> {
        self.chain.broke = false;
        self.chain.raise_others();
        self.restart();
        for _ in 0..300 {
            if self.outbox.is_idle() && self.chain.pool_is_empty() {
                break;
            }
            self.pass(3);
            self.chain.mine(self.now.seconds().get(), 100);
            self.poll(Fault::None);
        }
        let operations = self.stored.values().map(|bytes| decode::<Operation>(bytes).unwrap());
        let open: Vec<_> = operations
            .filter(|operation| !operation.is_finished())
            .map(|operation| (operation.verdict(), operation.attempts().iter().map(|attempt| attempt.nonce).collect::<Vec<_>>()))
            .collect();
        prop_assert!(self.outbox.is_idle(), "not idle 900 seconds later: {open:?}");
        Ok(())
    }

    /// Every transaction that was ever sent may turn up again, as long as its nonce is free; the account goes on with others.
    fn haunt(&mut self) {
        self.chain.floor = 0;
        let highest = self.sent.iter().map(|tx| tx.nonce).max().unwrap_or(0);
        while self.chain.count() <= highest {
            for tx in self.sent.clone() {
                let _ = self.chain.send(Tx { fee: u128::MAX / 4, ..tx });
            }
            self.chain.mine(self.now.seconds().get(), 100);
            self.chain.send_other(Sender::OtherOutbox, Call::Nothing);
            self.chain.mine(self.now.seconds().get(), 100);
        }
    }

    /// What was told is what is on the chain.
    fn check(&self) -> Result<(), TestCaseError> {
        for (index, purpose) in PURPOSES.iter().enumerate() {
            let id = purpose.id();
            match self.told.get(&id) {
                None => {
                    let given_up = self.operation(&id).is_none_or(|operation| operation.is_finished());
                    prop_assert!(given_up && !self.taken.contains(&index), "{index} has no verdict");
                }
                Some(Verdict::Settled { transaction }) => {
                    let found = self.chain.successful(*transaction);
                    let right = found.is_some_and(|(tx, after)| brings_about(&tx, &after, index));
                    prop_assert!(right, "{index} is said to be settled in {transaction}; the chain has {:?}", self.chain.done_by(index));
                }
                Some(Verdict::Failed(failure)) => self.check_failed(index, *failure)?,
            }
        }
        Ok(())
    }

    fn check_failed(&self, index: usize, failure: Failure) -> Result<(), TestCaseError> {
        let done = self.chain.done_by(index);
        let lost = match &PURPOSES[index] {
            // A stranger's transaction may wait in a pool while nobody takes ours.
            Purpose::Transfer(_) if failure == Failure::NotMined => done.filter(|tx| tx.sender == Sender::Outbox),
            Purpose::Transfer(_) => done.filter(|tx| tx.sender != Sender::OtherOutbox),
            // Others may do it after our transaction has reverted.
            Purpose::Open(_) | Purpose::TopUp(_) if matches!(failure, Failure::Reverted | Failure::NotMined) => {
                done.filter(|tx| tx.sender == Sender::Outbox)
            }
            Purpose::Open(_) | Purpose::TopUp(_) => done,
            Purpose::Settle(payout) | Purpose::Close(payout) => {
                let end = self.chain.contracts(u64::MAX);
                let ended_with_less = end.finalized && end.settled < payout.voucher.cumulative.base_units();
                prop_assert!(
                    matches!(failure, Failure::Reverted | Failure::NotMined) || (failure == Failure::UsedElsewhere && ended_with_less),
                    "{failure:?}: {end:?}"
                );
                done.filter(|tx| tx.sender == Sender::Outbox)
            }
        };
        prop_assert_eq!(lost, None, "{} is said to have failed ({:?})", index, failure);
        Ok(())
    }

    /// The payer has opened the channel itself, with as much as everything takes.
    fn with_channel(confirmations: u64) -> Self {
        let mut world = Self::new(confirmations);
        world.chain.send_other(Sender::Stranger, Call::PayerOpens(DEPOSIT + ADDITION));
        for _ in 0..confirmations {
            world.chain.mine(START, 100);
        }
        world
    }

    fn run(confirmations: u64, opened: bool, events: &[Event]) -> Result<(), TestCaseError> {
        let mut world = if opened { Self::with_channel(confirmations) } else { Self::new(confirmations) };
        for event in events {
            world.happen(event);
        }
        world.recover()?;
        world.check()?;
        world.haunt();
        world.check()
    }
}

fn toggle(set: &mut BTreeSet<usize>, index: usize) {
    if !set.remove(&index) {
        set.insert(index);
    }
}

fn index(id: &B256) -> usize {
    PURPOSES.iter().position(|purpose| purpose.id() == *id).unwrap()
}

/// Whether a transaction that left the contracts like this is one that a verdict may name.
fn brings_about(tx: &Tx, after: &Contracts, index: usize) -> bool {
    match &PURPOSES[index] {
        // What another gateway of the account has sold is not ours to sell.
        Purpose::Transfer(_) => tx.does(index) && tx.sender != Sender::OtherOutbox,
        Purpose::Open(_) | Purpose::TopUp(_) => tx.does(index),
        Purpose::Settle(payout) => after.settled >= payout.voucher.cumulative.base_units(),
        Purpose::Close(payout) => after.finalized && after.settled >= payout.voucher.cumulative.base_units(),
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Unreachable),
        1 => Just(Fault::DiesBeforePersisting),
        1 => Just(Fault::DiesBeforeSending),
        1 => Just(Fault::SendsInVain),
        1 => Just(Fault::DiesAfterSending),
        1 => Just(Fault::ReceiptsRefused),
        1 => Just(Fault::CannotInvestigate),
        2 => Just(Fault::SearchLags),
        1 => Just(Fault::LogsLag),
        1 => Just(Fault::DiesBeforePersistingConclusions),
    ]
}

fn event(with: Weights, among: Range<usize>) -> impl Strategy<Value = Event> {
    let index = || among.clone();
    let mut kinds: Vec<(u32, BoxedStrategy<Event>)> = vec![
        (6, (index(), fault()).prop_map(|(index, fault)| Event::Submit(index, fault)).boxed()),
        (1, (index(), fault()).prop_map(|(index, fault)| Event::LookUp(index, fault)).boxed()),
        (12, fault().prop_map(Event::Poll).boxed()),
        (1, Just(Event::Restart).boxed()),
        (8, (0u64..20).prop_map(Event::Pass).boxed()),
        (8, (0usize..4).prop_map(Event::Mine).boxed()),
        (2, (0usize..4).prop_map(Event::Drop).boxed()),
    ];
    let mut add = |weight: u32, kind: BoxedStrategy<Event>| {
        if weight > 0 {
            kinds.push((weight, kind));
        }
    };
    let reorganise = (1usize..3, any::<bool>(), 0usize..4).prop_map(|(depth, lossy, most)| Event::Reorganise { depth, lossy, most });
    add(with.reorganisations, reorganise.boxed());
    // One of the transfers is left out, or none.
    add(if among.start < OPEN { 4 } else { 0 }, (0..=OPEN, fault()).prop_map(|(but, fault)| Event::SubmitAll(but, fault)).boxed());
    add(with.broke, any::<bool>().prop_map(Event::BatchesBreak).boxed());
    add(with.others, Just(Event::OtherGateway).boxed());
    add(with.others, index().prop_map(Event::OtherGatewaySells).boxed());
    add(with.strangers, index().prop_map(Event::FrontRun).boxed());
    add(with.strangers, index().prop_map(Event::Cancel).boxed());
    add(with.strangers, Just(Event::Withdraw).boxed());
    add(with.fees, Just(Event::FeesRise).boxed());
    add(with.fees, Just(Event::FeesFall).boxed());
    add(with.fees, any::<bool>().prop_map(Event::RefuseLowFees).boxed());
    add(with.broke, any::<bool>().prop_map(Event::Broke).boxed());
    add(with.refusals, index().prop_map(Event::Unacceptable).boxed());
    add(with.refusals, index().prop_map(Event::Shunned).boxed());
    add(with.refusals, (100u64..200).prop_map(Event::Pass).boxed());
    proptest::strategy::Union::new_weighted(kinds)
}

/// How often what happens, beside what always does.
#[derive(Clone, Copy)]
struct Weights {
    reorganisations: u32,
    others: u32,
    strangers: u32,
    fees: u32,
    broke: u32,
    refusals: u32,
}

const CALM: Weights = Weights { reorganisations: 0, others: 0, strangers: 0, fees: 0, broke: 0, refusals: 0 };
const MIXED: Weights = Weights { reorganisations: 2, others: 1, strangers: 1, ..CALM };

/// Whether there is a channel, and what happens.
fn schedule(with: Weights, among: Range<usize>) -> impl Strategy<Value = (bool, Vec<Event>)> {
    (any::<bool>(), prop::collection::vec(event(with, among), 1..60))
}

const ALL: Range<usize> = 0..SETTLE_AGAIN + 1;
const CHANNEL: Range<usize> = OPEN..SETTLE_AGAIN + 1;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn crashes_and_lost_transactions((opened, events) in schedule(CALM, ALL)) {
        World::run(1, opened, &events)?;
    }

    #[test]
    fn rising_fees((opened, events) in schedule(Weights { fees: 3, ..CALM }, ALL)) {
        World::run(1, opened, &events)?;
    }

    #[test]
    fn another_gateway_with_the_same_account((opened, events) in schedule(Weights { others: 2, ..CALM }, ALL)) {
        World::run(1, opened, &events)?;
    }

    #[test]
    fn strangers_that_send_or_cancel_first((opened, events) in schedule(Weights { strangers: 2, ..CALM }, ALL)) {
        World::run(1, opened, &events)?;
    }

    #[test]
    fn reorganisations(confirmations in 2u64..4, (opened, events) in schedule(Weights { reorganisations: 4, ..CALM }, ALL)) {
        World::run(confirmations, opened, &events)?;
    }

    #[test]
    fn payers_without_money((opened, events) in schedule(Weights { broke: 3, others: 2, ..CALM }, ALL)) {
        World::run(1, opened, &events)?;
    }

    /// Whatever is refused for good or shunned, also after its schedule.
    #[test]
    fn transactions_that_nobody_takes((opened, events) in schedule(Weights { refusals: 3, ..CALM }, ALL)) {
        World::run(1, opened, &events)?;
    }

    #[test]
    fn all_at_once(confirmations in 1u64..4, (opened, events) in schedule(MIXED, ALL)) {
        World::run(confirmations, opened, &events)?;
    }

    #[test]
    fn a_channel_in_the_calm((opened, events) in schedule(CALM, CHANNEL)) {
        World::run(1, opened, &events)?;
    }

    #[test]
    fn a_channel_that_others_work_on((opened, events) in schedule(Weights { others: 2, strangers: 1, ..CALM }, CHANNEL)) {
        World::run(1, opened, &events)?;
    }

    #[test]
    fn a_channel_reorganised(confirmations in 2u64..4, (opened, events) in schedule(Weights { reorganisations: 4, ..CALM }, CHANNEL)) {
        World::run(confirmations, opened, &events)?;
    }

    #[test]
    fn a_channel_with_all_at_once(confirmations in 1u64..4, (opened, events) in schedule(MIXED, CHANNEL)) {
        World::run(confirmations, opened, &events)?;
    }
}
