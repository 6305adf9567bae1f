//! What was booked and not delivered is released, once, until it counts as delivered; and idempotency keys.

use super::fixture::*;
use mpp_edge::channel::{Bought, Delivery, Event, Kind, Order, Refusal};
use std::time::Duration;

#[test]
fn it_is_released_once() {
    let mut ledger = Ledger::new(1000);
    let booking = ledger.bought(100, once(10));
    ledger.release(booking, 10, 100);
    assert_eq!(ledger.counters(), (100, 0, 0));
    ledger.again(release(booking, 10, 100));
    // Nor from the next booking's money.
    ledger.bought(110, once(10));
    ledger.again(release(booking, 10, 100));
    assert_eq!(ledger.counters(), (110, 10, 0));
}

#[test]
fn what_was_never_booked_is_not_released() {
    let mut ledger = Ledger::new(1000);
    ledger.again(release(0, 10, 100));
    ledger.bought(100, once(10));
    for (booking, units) in [(1, 10), (u64::MAX, 10), (0, 11), (0, u128::MAX)] {
        ledger.again(release(booking, units, 100));
    }
    ledger.release(0, 10, 100);
}

#[test]
fn a_voucher_whose_purchase_failed_may_buy_again() {
    let mut ledger = Ledger::new(1000);
    let first = ledger.bought(100, once(10));
    ledger.release(first, 10, 100);
    let second = ledger.bought(100, once(10));
    // The first release once more does not free it again.
    ledger.again(release(first, 10, 100));
    ledger.refuses(Event::Voucher(presented(100), Some(once(10))), Refusal::Insufficient);
    ledger.release(second, 10, 100);
    ledger.bought(100, once(10));
    assert_eq!(ledger.counters(), (100, 10, 0));
}

#[test]
fn what_is_delivered_is_not_released() {
    let mut ledger = Ledger::new(1000);
    let booking = ledger.bought(100, once(10));
    ledger.pass(POLICY.delivery_window);
    assert_eq!(ledger.counters(), (100, 10, 0));
    ledger.pass(MATURITY - POLICY.delivery_window);
    ledger.again(release(booking, 10, 100));
    assert_eq!(ledger.buy(100, once(10)), Err(Refusal::Insufficient));
    assert_eq!(ledger.counters(), (100, 10, 10));
}

#[test]
fn a_booking_has_its_whole_window() {
    // Whenever in its bucket it was made.
    for offset in 0..=50 {
        let mut ledger = Ledger::new(10_000);
        ledger.bought(100, once(10));
        ledger.pass(Duration::from_millis(offset * 100));
        let booking = ledger.bought(200, once(10));
        ledger.pass(POLICY.delivery_window);
        ledger.release(booking, 10, 200);
        assert_eq!(ledger.counters().1, 10, "after {offset}");
        // … and not much more.
        let booking = ledger.bought(300, once(10));
        ledger.pass(MATURITY);
        ledger.again(release(booking, 10, 300));
        assert_eq!(ledger.counters().1, 20, "after {offset}");
    }
}

#[test]
fn each_booking_matures_by_itself() {
    let mut ledger = Ledger::new(10_000);
    let bookings: Vec<u64> = (1..=20)
        .map(|index| {
            let booking = ledger.bought(index * 100, once(10));
            ledger.pass(Duration::from_secs(6));
            booking
        })
        .collect();
    // 120 s after the first: the last seven are younger than their window or its bucket.
    let before = ledger.counters().1;
    for (booking, index) in bookings.iter().zip(1..) {
        ledger.release(*booking, 10, index * 100);
    }
    assert_eq!((before, ledger.counters().1), (200, 130));
    assert_eq!(ledger.counters().2, 130);
}

/// In an outage all of them fail, and many at once time out in whatever order.
#[test]
fn an_outage_is_released_in_full() {
    let orders: [fn(usize) -> usize; 4] = [
        |index| index,
        |index| 3999 - index,
        // Two by two they are the wrong way round.
        |index| index ^ 1,
        // Of each four the middle ones are.
        |index| [0, 2, 1, 3][index % 4] + index / 4 * 4,
    ];
    for order in orders {
        let mut ledger = Ledger::new(100_000);
        let bookings: Vec<u64> = (1..=4000).map(|index| ledger.bought(index * 10, once(10))).collect();
        for index in (0..4000).map(order) {
            ledger.release(bookings[index], 10, 0);
        }
        assert_eq!(ledger.counters(), (40_000, 0, 0));
        for booking in bookings {
            ledger.again(release(booking, 10, 0));
        }
    }
}

/// Of those that were released long ago nothing is remembered that would be in the way.
#[test]
fn failures_now_and_then_are_released_for_ever() {
    let mut ledger = Ledger::new(100_000);
    for index in 1..=3000 {
        let booking = ledger.bought(index * 10, draw_down(10));
        if index % 2 == 0 {
            ledger.release(booking, 10, 0);
        }
        ledger.pass(Duration::from_secs(1));
    }
    assert_eq!(ledger.counters().1, 15_000);
}

/// Scattered failures are remembered one by one; of very many at once some are not released, and none is twice.
#[test]
fn very_many_scattered_failures() {
    let mut ledger = Ledger::new(100_000);
    let bookings: Vec<u64> = (1..=2000).map(|index| ledger.bought(index * 10, draw_down(10))).collect();
    for booking in bookings.iter().step_by(2) {
        ledger.release(*booking, 10, 0);
    }
    let given = (20_000 - ledger.counters().1) / 10;
    assert_eq!(given, 512);
    for booking in bookings.iter().step_by(2).take(512) {
        ledger.again(release(*booking, 10, 0));
    }
}

#[test]
fn after_the_end_nothing_is_released() {
    let mut ledger = Ledger::new(1000);
    let booking = ledger.bought(100, once(10));
    ledger.observe(FINALIZED);
    ledger.again(release(booking, 10, 100));
    assert_eq!(ledger.counters().1, 10);
}

#[test]
fn while_it_is_closed_it_may_still_be_released() {
    let mut ledger = Ledger::new(1000);
    let booking = ledger.bought(100, once(10));
    ledger.observe(requested(on_chain(1000, 0)));
    ledger.release(booking, 10, 100);
    assert_eq!(ledger.counters(), (100, 0, 0));
}

fn keyed(order: Order, name: u8) -> Order {
    Order { key: Some(key(name, 1)), ..order }
}

#[test]
fn a_repeated_key_is_not_charged() {
    for order in [once(10), draw_down(10)] {
        let mut ledger = Ledger::new(1000);
        let booking = ledger.bought(100, keyed(order, 1));
        for _ in 0..3 {
            assert_eq!(ledger.buy(100, keyed(order, 1)), Ok(Bought { booking, units: 0, replayed: true }));
        }
        ledger.refuses(Event::Voucher(presented(100), Some(keyed(order, 1))), Refusal::KeySpent);
        assert_eq!(ledger.counters(), (100, 10, 0));
        // With another voucher, too: the key decides.
        assert_eq!(ledger.buy(200, keyed(order, 1)), Err(Refusal::KeySpent));
        ledger.bought(200, keyed(order, 2));
    }
}

/// Whoever holds the first answer back until its repetition is there, and lets it fail then, has what was bought.
#[test]
fn what_was_repeated_is_not_released() {
    for order in [once(10), draw_down(10)] {
        let mut ledger = Ledger::new(1000);
        let booking = ledger.bought(100, keyed(order, 1));
        assert!(ledger.buy(100, keyed(order, 1)).unwrap().replayed);
        ledger.again(release(booking, 10, 100));
        // Its key is still known, and nothing can be bought with it anew.
        assert_eq!(ledger.buy(100, keyed(order, 1)), Ok(Bought { booking, units: 0, replayed: true }));
        // When it was delivered nobody knows, so it is settled no earlier than any other.
        assert_eq!(ledger.counters(), (100, 10, 0));
        // Those beside it are released.
        let next = ledger.bought(200, keyed(order, 2));
        ledger.release(next, 10, 200);
        ledger.pass(MATURITY);
        ledger.again(release(booking, 10, 100));
        assert_eq!(ledger.counters(), (200, 10, 10));
    }
}

/// Where there is no room for one more scattered failure there is none for a seal, until those that failed before are forgotten.
#[test]
fn what_was_repeated_after_very_many_scattered_failures_is_not_released() {
    let mut ledger = Ledger::new(100_000);
    let bookings: Vec<u64> = (1..=1024).map(|index| ledger.bought(index * 10, draw_down(10))).collect();
    for booking in bookings.iter().step_by(2) {
        ledger.release(*booking, 10, 0);
    }
    ledger.pass(POLICY.delivery_window / 2);
    let booking = ledger.bought(20_000, keyed(draw_down(10), 1));
    let replayed = ledger.buy(20_000, keyed(draw_down(10), 1)).is_ok_and(|bought| bought.replayed);
    ledger.pass(MATURITY - POLICY.delivery_window / 2);
    let before = ledger.counters().1;
    ledger.release(booking, 10, 20_000);
    assert!(!replayed || ledger.counters().1 == before, "it was delivered and released");
}

#[test]
fn a_key_stands_for_one_target_and_one_amount() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, keyed(once(10), 1));
    for order in [
        keyed(once(11), 1),
        keyed(once(9), 1),
        Order { least: 2, most: 2, ..keyed(once(10), 1) },
        Order { key: Some(key(1, 2)), ..once(10) },
    ] {
        ledger.refuses(Event::Voucher(presented(100), Some(order)), Refusal::KeyOfAnother);
    }
    assert_eq!(ledger.buy(100, keyed(once(10), 1)).map(|bought| bought.replayed), Ok(true));
}

#[test]
fn a_key_that_bought_nothing_is_not_known() {
    let mut ledger = Ledger::new(1000);
    assert_eq!(ledger.buy(5, keyed(once(10), 1)), Err(Refusal::Insufficient));
    ledger.bought(20, keyed(once(20), 1));
}

#[test]
fn a_key_whose_purchase_was_released_buys_anew() {
    let mut ledger = Ledger::new(1000);
    let booking = ledger.bought(100, keyed(once(10), 1));
    ledger.release(booking, 10, 100);
    let second = ledger.bought(100, keyed(once(10), 1));
    assert_ne!(booking, second);
    assert_eq!(ledger.counters(), (100, 10, 0));
}

#[test]
fn a_metered_sale_is_not_repeated() {
    for kind in [Kind::Metered, Kind::Stream] {
        let mut ledger = Ledger::new(1000);
        let order = Order { kind, ..keyed(draw_down(10), 1) };
        ledger.bought(100, order);
        ledger.refuses(Event::Voucher(presented(100), Some(order)), Refusal::KeySpent);
    }
}

#[test]
fn sixteen_keys_are_remembered() {
    let mut ledger = Ledger::new(1000);
    for name in 1..=17 {
        ledger.bought(1000, keyed(draw_down(10), name));
    }
    assert!(ledger.buy(1000, keyed(draw_down(10), 2)).unwrap().replayed);
    assert!(!ledger.buy(1000, keyed(draw_down(10), 1)).unwrap().replayed, "the oldest was forgotten");
}

#[test]
fn a_channel_that_sells_nothing_repeats_nothing() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, keyed(once(10), 1));
    ledger.observe(requested(on_chain(1000, 0)));
    ledger.refuses(Event::Voucher(presented(100), Some(keyed(once(10), 1))), Refusal::Closing);
}

fn broken(booking: u64, units: u128, voucher: u128) -> Event {
    Event::Delivery(Delivery::Release { booking, amount: amount(units), voucher: amount(voucher), begun: true })
}

/// A22: who finds a way to have answers break off reads all of them, or most.
#[test]
fn a22_what_broke_off_is_released_three_times_per_voucher() {
    let mut ledger = Ledger::new(100_000);
    for tries in 1..=10 {
        let booking = ledger.bought(100_000, draw_down(10));
        let _ = ledger.step(broken(booking, 10, 100_000));
        ledger.again(broken(booking, 10, 100_000));
        assert_eq!(ledger.counters().1, if tries <= 3 { 0 } else { (tries - 3) * 10 });
    }
    // What nothing of had gone out is released without end, and is no measure of the others.
    for _ in 0..50 {
        let booking = ledger.bought(100_000, draw_down(10));
        ledger.release(booking, 10, 100_000);
    }
    assert_eq!(ledger.counters().1, 70);
}

#[test]
fn a22_and_eight_times_per_channel_and_hour() {
    let mut ledger = Ledger::new(100_000);
    let mut charged = 0;
    for index in 1..=20 {
        let booking = ledger.bought(index * 10, draw_down(10));
        let _ = ledger.step(broken(booking, 10, index * 10));
        charged += if index <= 8 { 0 } else { 10 };
        assert_eq!(ledger.counters().1, charged);
        ledger.pass(Duration::from_secs(60));
    }
    // An hour after the first there is room for one more, and a minute later for the next.
    ledger.pass(Duration::from_secs(40 * 60));
    for index in 21..=23 {
        let booking = ledger.bought(index * 10, draw_down(10));
        let _ = ledger.step(broken(booking, 10, index * 10));
        assert_eq!(ledger.counters().1, charged, "{index}");
        ledger.pass(Duration::from_secs(60));
    }
}

/// Of what the origin counts nobody knows how much went out.
#[test]
fn a22_a_metered_answer_that_broke_off_stays_charged_beyond_that() {
    let mut ledger = Ledger::new(100_000);
    for tries in 1..=10 {
        let sale = ledger.bought(1000, Order { least: 5, most: 5, kind: Kind::Metered, ..draw_down(10) });
        assert_eq!(ledger.step(Event::Delivery(Delivery::End { sale, delivered: 0, begun: true })), Ok(mpp_edge::channel::Answer::Noted));
        assert_eq!(ledger.counters().1, if tries <= 8 { 0 } else { (tries - 8) * 50 });
    }
    // Those of which nothing had gone out, and those that were counted, are no such breaks.
    for (delivered, begun) in [(0, false), (2, true)] {
        let before = ledger.counters().1;
        let sale = ledger.bought(1000, Order { least: 5, most: 5, kind: Kind::Metered, ..draw_down(10) });
        ledger.step(Event::Delivery(Delivery::End { sale, delivered, begun })).unwrap();
        assert_eq!(ledger.counters().1, before + u128::from(delivered) * 10);
    }
}

/// What stays charged is settled like anything else.
#[test]
fn a22_what_stays_charged_counts_as_delivered() {
    let mut ledger = Ledger::new(100_000);
    let bookings: Vec<u64> = (0..4).map(|_| ledger.bought(40, draw_down(10))).collect();
    for booking in bookings {
        let _ = ledger.step(broken(booking, 10, 40));
    }
    ledger.pass(MATURITY);
    ledger.step(NOTHING).unwrap();
    assert_eq!(ledger.counters(), (40, 10, 10));
}
