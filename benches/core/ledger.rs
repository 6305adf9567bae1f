//! The ledger of a channel: a voucher that buys, on a channel of ten purchases and on one that holds as much as it can.

use super::bench::Bench;
use super::setting::{CHAIN_ID, CHANNEL, ESCROW, NOW, PAYER, RECIPIENT, TOKEN, signed};
use alloy_primitives::{Address, B256};
use mpp_edge::channel::{Answer, Bought, Channel, Delivery, Event, Expected, Key, Kind, Order, Policy, PresentedVoucher, Reuse};
use mpp_edge::evm::escrow::{EscrowFacts, OnChain, SignedVoucher};
use mpp_edge::evm::reading::Reading;
use mpp_edge::evm::signature::Signature;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Asset;
use mpp_edge::time::{Timestamp, UnixSeconds};
use std::time::Duration;

const POLICY: Policy = Policy {
    settle_amount: Amount::from_base_units(u128::MAX),
    settle_after: Duration::from_secs(3600),
    settle_minimum: Amount::ZERO,
    close_idle: Duration::from_secs(86_400),
    delivery_window: Duration::from_secs(40),
    min_delta: Amount::ZERO,
};

pub(crate) fn all(bench: &mut Bench) {
    for (collection, mut ledger, sold) in [("ledger-step-small", small(), 10_000), ("ledger-step-large", large(), SHARE)] {
        // Not the first voucher again.
        let event = ledger.purchase(ledger.highest + sold, Order { attempt: u64::MAX, ..once(sold) });
        let (_, outcome) = ledger.channel.clone().step(event.clone(), &POLICY, ledger.now);
        assert!(matches!(outcome.answer, Ok(Answer::Bought(Bought { replayed: false, .. }))), "{:?}", outcome.answer);
        let input = || (ledger.channel.clone(), event.clone());
        bench.ours(collection, input, |(channel, event)| channel.step(event, &POLICY, ledger.now));
    }
}

/// A ledger with its clock.
struct Ledger {
    channel: Channel,
    now: Timestamp,
    highest: u128,
    attempts: u64,
    signature: Signature,
}

impl Ledger {
    fn new() -> Self {
        let on_chain = OnChain {
            finalized: false,
            close_requested_at: UnixSeconds::new(0),
            payer: PAYER,
            payee: RECIPIENT,
            token: TOKEN,
            authorized_signer: Address::ZERO,
            deposit: Amount::from_base_units(u128::MAX),
            settled: Amount::ZERO,
        };
        let separator = B256::repeat_byte(0x5e);
        let reading = Reading { block: 1, on_chain, signer_has_code: false };
        let facts = EscrowFacts { grace_period: Duration::from_secs(900), separator };
        let expected = Expected {
            escrow: ESCROW,
            separator,
            payee: RECIPIENT,
            asset: Asset { chain_id: CHAIN_ID, token: TOKEN },
            price: Amount::from_base_units(10),
        };
        let channel = Channel::adopt(CHANNEL, &reading, &facts, &expected, NOW).unwrap();
        // The ledger compares signers that were recovered before: any signature will do.
        let signature = Signature::from_bytes(&signed(B256::repeat_byte(3))).unwrap();
        Self { channel, now: NOW, highest: 0, attempts: 0, signature }
    }

    fn purchase(&mut self, cumulative: u128, order: Order) -> Event {
        self.highest = cumulative;
        let voucher = SignedVoucher { cumulative: Amount::from_base_units(cumulative), signature: self.signature };
        Event::Voucher(PresentedVoucher { voucher, signer: PAYER, source: None, fresh: false }, Some(order))
    }

    fn step(&mut self, event: Event) -> Answer {
        let (channel, outcome) = self.channel.clone().step(event, &POLICY, self.now);
        self.channel = channel;
        outcome.answer.unwrap()
    }

    fn buy(&mut self, cumulative: u128, order: Order) -> u64 {
        self.attempts += 1;
        let event = self.purchase(cumulative, Order { attempt: self.attempts, since: self.attempts, ..order });
        match self.step(event) {
            Answer::Bought(bought) => bought.booking,
            answer => panic!("{answer:?}"),
        }
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now = self.now.saturating_add(Duration::from_millis(milliseconds));
    }
}

fn once(price: u128) -> Order {
    Order {
        price: Amount::from_base_units(price),
        least: 1,
        most: 1,
        kind: Kind::Request,
        reuse: Reuse::Once,
        key: None,
        attempt: 0,
        since: 0,
    }
}

/// Ten purchases, one every 100 ms.
fn small() -> Ledger {
    let mut ledger = Ledger::new();
    for cumulative in (1..=10).map(|index| index * 10_000) {
        ledger.buy(cumulative, once(10_000));
        ledger.pass(100);
    }
    ledger
}

const BASE: u128 = u128::MAX / 2;
const SHARE: u128 = BASE / 2048;

/// Vouchers of the largest numbers with idempotency keys, every other of which is given back, and open metered sales: what
/// tests/channel/size.rs finds to be the most there can be.
fn large() -> Ledger {
    let mut ledger = Ledger::new();
    let mut bookings = Vec::new();
    for index in 0..1_100_u64 {
        let name = B256::repeat_byte(u8::try_from(index % 251).unwrap());
        let key = Some(Key { name, target: B256::repeat_byte(1) });
        bookings.push(ledger.buy(BASE + u128::from(index), Order { key, ..once(SHARE) }));
        ledger.pass(36);
    }
    for (booking, index) in bookings.into_iter().zip(0_u128..).step_by(2) {
        let voucher = Amount::from_base_units(BASE + index);
        ledger.step(Event::Delivery(Delivery::Release { booking, amount: Amount::from_base_units(SHARE), voucher, begun: false }));
    }
    for index in 0..32 {
        let order = Order { most: 1_000_000, kind: Kind::Metered, ..once(BASE / 1_000_000_000) };
        ledger.buy(BASE + 2_000 + index, order);
    }
    assert!(serde_json::to_string(&ledger.channel).unwrap().len() > 15_000);
    ledger
}
