//! A channel's ledger with what the shell keeps beside it: the clock, the alarm, and what it was asked to do. After each step
//! the invariants are checked.

use super::invariants;
use alloy_primitives::{Address, B256};
use mpp_edge::channel::{
    Answer, Bought, Channel, Collection, Delivery, Drawn, Effect, Event, Expected, Key, Kind, Order, Policy, PresentedVoucher, Refusal,
    Reuse, Status,
};
use mpp_edge::evm::escrow::{EscrowFacts, OnChain, SignedVoucher};
use mpp_edge::evm::reading::Reading;
use mpp_edge::evm::signature::Signature;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Asset;
use mpp_edge::settlement::{Failure, Verdict};
use mpp_edge::time::{Timestamp, UnixSeconds};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const START: u64 = 1_800_000_000;
pub(crate) const ID: B256 = B256::repeat_byte(0x1d);
pub(crate) const ESCROW: Address = Address::repeat_byte(0xe5);
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
pub(crate) const ASSET: Asset = Asset { chain_id: 1, token: TOKEN };
pub(crate) const PAYER: Address = Address::repeat_byte(0xf0);
pub(crate) const PAYEE: Address = Address::repeat_byte(0xee);
/// Signs the payer's vouchers.
pub(crate) const SIGNER: Address = Address::repeat_byte(0x51);
pub(crate) const STRANGER: Address = Address::repeat_byte(0x66);
pub(crate) const SEPARATOR: B256 = B256::repeat_byte(0x5e);
pub(crate) const TRANSACTION: B256 = B256::repeat_byte(0x7a);

/// The ledger tries a failed collection again after this.
pub(crate) const RETRY: Duration = Duration::from_secs(30);

pub(crate) const POLICY: Policy = Policy {
    settle_amount: Amount::from_base_units(1000),
    settle_after: Duration::from_secs(3600),
    settle_minimum: Amount::ZERO,
    close_idle: Duration::from_secs(86_400),
    delivery_window: Duration::from_secs(40),
    min_delta: Amount::ZERO,
};

/// After this, what was booked counts as delivered whenever it was booked: the window, and the longest that a bucket is open.
pub(crate) const MATURITY: Duration = Duration::from_secs(45);

pub(crate) const FACTS: EscrowFacts = EscrowFacts { grace_period: Duration::from_secs(900), separator: SEPARATOR };

pub(crate) const EXPECTED: Expected =
    Expected { escrow: ESCROW, separator: SEPARATOR, payee: PAYEE, asset: ASSET, price: Amount::from_base_units(10) };

pub(crate) fn amount(units: u128) -> Amount {
    Amount::from_base_units(units)
}

/// Not signed by anybody: the ledger compares signers that were recovered before. Each total has a signature of its own.
pub(crate) fn voucher(cumulative: u128) -> SignedVoucher {
    let mut bytes = [0; 65];
    bytes[31] = 1;
    bytes[48..64].copy_from_slice(&cumulative.to_be_bytes());
    bytes[47] = 1;
    bytes[64] = 27;
    SignedVoucher { cumulative: amount(cumulative), signature: Signature::from_bytes(&bytes).unwrap() }
}

pub(crate) fn presented(cumulative: u128) -> PresentedVoucher {
    PresentedVoucher { voucher: voucher(cumulative), signer: SIGNER, source: None, fresh: false }
}

pub(crate) fn order(price: u128, reuse: Reuse) -> Order {
    Order { price: amount(price), least: 1, most: 1, kind: Kind::Request, reuse, key: None, attempt: 0, since: 0 }
}

pub(crate) fn once(price: u128) -> Order {
    order(price, Reuse::Once)
}

pub(crate) fn draw_down(price: u128) -> Order {
    order(price, Reuse::DrawDown)
}

pub(crate) fn stream(price: u128, most: u64) -> Order {
    Order { most, kind: Kind::Stream, ..draw_down(price) }
}

pub(crate) fn key(name: u8, target: u8) -> Key {
    Key { name: B256::repeat_byte(name), target: B256::repeat_byte(target) }
}

pub(crate) fn on_chain(deposit: u128, settled: u128) -> OnChain {
    OnChain {
        finalized: false,
        close_requested_at: UnixSeconds::new(0),
        payer: PAYER,
        payee: PAYEE,
        token: TOKEN,
        authorized_signer: SIGNER,
        deposit: amount(deposit),
        settled: amount(settled),
    }
}

pub(crate) fn requested(on_chain: OnChain) -> OnChain {
    OnChain { close_requested_at: UnixSeconds::new(START), ..on_chain }
}

/// What the escrow says of a channel that it does not know.
pub(crate) const ABSENT: OnChain = OnChain {
    finalized: false,
    close_requested_at: UnixSeconds::new(0),
    payer: Address::ZERO,
    payee: Address::ZERO,
    token: Address::ZERO,
    authorized_signer: Address::ZERO,
    deposit: Amount::ZERO,
    settled: Amount::ZERO,
};

/// What the escrow says of a channel that is closed, whoever closed it.
pub(crate) const FINALIZED: OnChain = OnChain { finalized: true, ..ABSENT };

pub(crate) const DONE: Verdict = Verdict::Settled { transaction: TRANSACTION };
pub(crate) const REVERTED: Verdict = Verdict::Failed(Failure::Reverted);

/// Seen in a block that is as late as any.
pub(crate) const fn seen(on_chain: OnChain) -> Reading {
    Reading { block: BLOCK, on_chain, signer_has_code: false }
}

/// The block in which the channel was taken on.
pub(crate) const BLOCK: u64 = 100;

/// Changes nothing.
pub(crate) const NOTHING: Event =
    Event::Delivery(Delivery::Release { booking: u64::MAX, amount: Amount::ZERO, voucher: Amount::ZERO, begun: false });

/// A ledger in its shell.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) channel: Channel,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    pub(crate) alarm: Option<Timestamp>,
    /// What the last step asked for.
    pub(crate) effects: Vec<Effect>,
    /// Purchases tried.
    pub(crate) attempts: u64,
    /// What each metered sale was told to be reserved for it.
    pub(crate) reserved: BTreeMap<u64, u64>,
}

impl Ledger {
    pub(crate) fn new(deposit: u128) -> Self {
        Self::adopted(&on_chain(deposit, 0))
    }

    pub(crate) fn adopted(on_chain: &OnChain) -> Self {
        let now = Timestamp::from_millis(START * 1000);
        let channel = Channel::adopt(ID, &seen(*on_chain), &FACTS, &EXPECTED, now).unwrap();
        Self { channel, policy: POLICY, now, alarm: None, effects: Vec::new(), attempts: 0, reserved: BTreeMap::new() }
    }

    pub(crate) fn step(&mut self, event: Event) -> Result<Answer, Refusal> {
        if event == Event::Woken {
            self.alarm = None;
        }
        let before = self.channel.clone();
        let (after, outcome) = before.clone().step(event.clone(), &self.policy, self.now);
        invariants::of_step(&before, &event, &after, &outcome, &self.policy, self.now).unwrap();
        for effect in &outcome.effects {
            if let Effect::WakeAt(at) = effect {
                assert!(self.alarm.is_none_or(|earlier| *at < earlier), "the alarm is set once for the earliest reason");
                self.alarm = Some(*at);
            }
        }
        self.channel = after;
        self.effects = outcome.effects;
        outcome.answer
    }

    /// The event again changes nothing, but that time has passed.
    pub(crate) fn again(&mut self, event: Event) {
        let _ = self.step(NOTHING);
        let before = self.channel.clone();
        let _ = self.step(event);
        assert_eq!(self.channel, before);
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now = self.now.saturating_add(duration);
    }

    /// The alarm goes off, when it is set, at its time.
    pub(crate) fn wake(&mut self) -> Option<Collection> {
        let at = self.alarm?;
        self.now = self.now.max(at);
        self.step(Event::Woken).unwrap();
        self.submitted()
    }

    /// The alarm goes off until something is submitted. Who asks what the chain shows is told `shown`.
    pub(crate) fn submits(&mut self, shown: OnChain) -> Option<Collection> {
        for _ in 0..5 {
            self.alarm?;
            let submitted = self.wake();
            if self.effects.contains(&Effect::Inspect) {
                self.observe(shown);
            }
            if submitted.is_some() {
                return submitted;
            }
        }
        None
    }

    /// The alarm goes off until nothing is left to be done before `until`. What is submitted is done.
    pub(crate) fn run(&mut self, until: Timestamp) -> Vec<Collection> {
        let mut done = Vec::new();
        while self.alarm.is_some_and(|at| at <= until) {
            if let Some(collection) = self.wake() {
                self.step(Event::Concluded(collection, DONE)).unwrap();
                done.push(collection);
            }
            assert!(done.len() < 100, "it does not come to rest");
        }
        self.now = self.now.max(until);
        done
    }

    pub(crate) fn submitted(&self) -> Option<Collection> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Submit(collection) => Some(*collection),
            _ => None,
        })
    }

    pub(crate) fn voucher(&mut self, cumulative: u128) -> Result<Answer, Refusal> {
        self.step(Event::Voucher(presented(cumulative), None))
    }

    /// Buys, in an attempt of its own.
    pub(crate) fn buy(&mut self, cumulative: u128, order: Order) -> Result<Bought, Refusal> {
        self.attempts += 1;
        let order = Order { attempt: self.attempts, since: self.attempts, ..order };
        match self.step(Event::Voucher(presented(cumulative), Some(order)))? {
            Answer::Bought(bought) => {
                self.reserved.insert(bought.booking, bought.units);
                Ok(bought)
            }
            answer => panic!("{answer:?}"),
        }
    }

    /// Buys and gets the booking's name.
    pub(crate) fn bought(&mut self, cumulative: u128, order: Order) -> u64 {
        let bought = self.buy(cumulative, order).unwrap();
        assert!(!bought.replayed);
        bought.booking
    }

    pub(crate) fn release(&mut self, booking: u64, units: u128, voucher: u128) {
        assert_eq!(self.step(release(booking, units, voucher)), Ok(Answer::Noted));
    }

    pub(crate) fn draw(&mut self, sale: u64, delivered: u64, wanted: u64) -> Result<Drawn, Refusal> {
        let reserved = self.reserved[&sale];
        match self.step(Event::Delivery(Delivery::Draw { sale, delivered, reserved, wanted }))? {
            Answer::Drawn(drawn) => {
                if let Drawn::Units(units) = drawn {
                    self.reserved.insert(sale, reserved + units);
                }
                Ok(drawn)
            }
            answer => panic!("{answer:?}"),
        }
    }

    pub(crate) fn end(&mut self, sale: u64, delivered: u64) {
        assert_eq!(self.step(Event::Delivery(Delivery::End { sale, delivered, begun: false })), Ok(Answer::Noted));
    }

    pub(crate) fn observe(&mut self, on_chain: OnChain) {
        assert_eq!(self.step(Event::Observed(seen(on_chain))), Ok(Answer::Noted));
    }

    pub(crate) fn conclude(&mut self, collection: Collection, verdict: Verdict) -> Answer {
        self.step(Event::Concluded(collection, verdict)).unwrap()
    }

    /// Accepted, spent and delivered.
    pub(crate) fn counters(&self) -> (u128, u128, u128) {
        let balance = self.channel.balance(Amount::ZERO, Reuse::Once, &self.policy);
        (balance.accepted.base_units(), balance.spent.base_units(), self.channel.delivered().base_units())
    }

    pub(crate) fn settled(&self) -> u128 {
        self.channel.settled().base_units()
    }

    pub(crate) fn required(&self, price: u128, reuse: Reuse) -> u128 {
        self.channel.balance(amount(price), reuse, &self.policy).required.base_units()
    }

    pub(crate) fn status(&self) -> Status {
        self.channel.status()
    }

    /// Asserts that an event is refused, and changes nothing.
    pub(crate) fn refuses(&mut self, event: Event, refusal: Refusal) {
        let before = self.channel.clone();
        assert_eq!(self.step(event), Err(refusal));
        assert_eq!(self.channel, before, "a refused event changes nothing");
    }
}

pub(crate) fn release(booking: u64, units: u128, voucher: u128) -> Event {
    Event::Delivery(Delivery::Release { booking, amount: amount(units), voucher: amount(voucher), begun: false })
}
