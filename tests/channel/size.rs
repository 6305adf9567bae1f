//! The state of a channel is bounded, however many vouchers pass.

use super::fixture::*;
use super::properties::MOST_BYTES;
use mpp_edge::binary::{VERSION, encode};
use mpp_edge::channel::{Event, Kind, Order, PresentedVoucher};
use std::time::Duration;

fn bytes(ledger: &Ledger) -> usize {
    encode(&ledger.channel).unwrap().len()
}

/// What is stored after so many purchases, each with its own voucher, ten per second.
fn after(vouchers: u128, order: Order) -> usize {
    let mut ledger = Ledger::new(1_000_000_000_000);
    for index in 1..=vouchers {
        ledger.bought(index * 10_000, order);
        ledger.pass(Duration::from_millis(100));
        if ledger.alarm.is_some_and(|at| at <= ledger.now) {
            let now = ledger.now;
            ledger.run(now);
        }
    }
    bytes(&ledger)
}

#[test]
fn ten_thousand_vouchers_take_little_more_than_ten() {
    for (name, order, most) in [("draw-down", draw_down(10_000), 1_000), ("once", once(10_000), 1_300)] {
        let [ten, thousand, ten_thousand] = [10, 1_000, 10_000].map(|vouchers| after(vouchers, order));
        println!("{name}: {ten} bytes after 10 vouchers, {thousand} after 1 000, {ten_thousand} after 10 000");
        assert!(ten_thousand <= most, "{ten_thousand}");
        assert!(ten_thousand - thousand <= 200, "digits only");
    }
}

/// Everything that is remembered, as much of it as there can be, with the largest numbers.
fn worst() -> Ledger {
    let mut ledger = Ledger::new(u128::MAX);
    let base = u128::MAX / 2;
    // Vouchers that come out of order, with keys; every other one fails.
    let bookings: Vec<u64> = (0..1100_u128)
        .map(|index| {
            let name = u8::try_from(index % 251).unwrap();
            let booking = ledger.bought(base + index, Order { key: Some(key(name, 1)), ..once(base / 2048) });
            ledger.pass(Duration::from_millis(36));
            booking
        })
        .collect();
    for (booking, index) in bookings.iter().zip(0..).filter(|(_, index)| index % 2 == 0) {
        ledger.release(*booking, base / 2048, index);
    }
    for index in 0..32 {
        ledger.bought(base + 2000 + index, Order { most: 1_000_000, kind: Kind::Metered, ..once(base / 1_000_000_000) });
    }
    ledger.pass(Duration::from_secs(2));
    ledger.step(Event::Woken).unwrap();
    ledger
}

#[test]
fn at_its_worst() {
    let worst = bytes(&worst());
    println!("{worst} bytes at its worst");
    assert!((6_000..MOST_BYTES).contains(&worst), "{worst}");
}

/// Who changes what is stored raises `mpp_edge::binary::VERSION`, and pins the new form here.
#[test]
fn the_stored_form_is_that_of_its_version() {
    let mut open = Ledger::new(1_000_000);
    open.bought(500, Order { key: Some(key(1, 1)), ..once(100) });
    open.bought(600, stream(10, 3));
    open.pass(2 * POLICY.settle_after);
    open.step(Event::Woken).unwrap();
    let mut closed = open.clone();
    closed.observe(FINALIZED);
    let forms = [open, closed].map(|ledger| alloy_primitives::keccak256(encode(&ledger.channel).unwrap()).to_string());
    assert_eq!(
        (VERSION, forms[0].as_str(), forms[1].as_str()),
        (
            4,
            "0x352b0cfa964f7fcb1adfdb7e4a9740cdcde537d5e05d5620e453f7d19a3d0348",
            "0x8a55eac90bc8f14fd9151ec918722d142c29c0dc74415f80787d4f2a35d66e1c"
        )
    );
}

/// Of a channel that is closed nothing is needed any more but how it ended.
#[test]
fn closed() {
    let mut ledger = worst();
    ledger.observe(FINALIZED);
    let closed = bytes(&ledger);
    println!("{closed} bytes when it is closed");
    assert!(closed <= 1200, "{closed}");
}

/// What is written costs; whoever is refused must not be able to have us pay for it.
#[test]
fn who_is_refused_changes_nothing_but_what_time_does() {
    let by_stranger = PresentedVoucher { signer: STRANGER, ..presented(2_000) };
    for (name, voucher, order) in [
        ("spent once", presented(1_000), Some(once(100))),
        ("drawn down", presented(1_000), Some(draw_down(100))),
        ("over the deposit", presented(5_001), Some(once(100))),
        ("raised too little", presented(1_001), None),
        ("signed by somebody else", by_stranger, None),
    ] {
        let mut ledger = Ledger::new(5_000);
        ledger.policy.min_delta = amount(10);
        ledger.bought(1_000, once(1_000));
        for passed in [Duration::ZERO, POLICY.delivery_window / 2, 2 * MATURITY] {
            ledger.pass(passed);
            let before = ledger.channel.clone();
            assert!(ledger.step(Event::Voucher(voucher, order)).is_err(), "{name}");
            assert_eq!(ledger.channel, before.matured(ledger.now), "{name}, after {passed:?}");
        }
    }
}
