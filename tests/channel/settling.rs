//! When money is brought onto the chain, with which voucher, and what comes of it.

use super::fixture::*;
use mpp_edge::channel::{Answer, CloseReason, CollectBy, Collection, Delivery, Drawn, Effect, Event, PresentedVoucher, Refusal, Status};
use mpp_edge::settlement::{Failure, Verdict};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn what(collection: Collection) -> (CollectBy, u128, u32) {
    (collection.by, collection.payout.voucher.cumulative.base_units(), collection.payout.epoch)
}

fn later(ledger: &Ledger, duration: Duration) -> mpp_edge::time::Timestamp {
    ledger.now.saturating_add(duration)
}

#[test]
fn nothing_bought_nothing_to_do() {
    let mut ledger = Ledger::new(1000);
    assert_eq!(ledger.alarm, None);
    ledger.voucher(500).unwrap();
    assert_eq!(ledger.alarm, None);
    ledger.pass(10 * DAY);
    ledger.step(Event::Woken).unwrap();
    assert_eq!((ledger.status(), ledger.channel.collection()), (Status::Open, None));
}

#[test]
fn by_amount_as_soon_as_it_counts_as_delivered() {
    let mut ledger = Ledger::new(10_000);
    for index in 1..=10 {
        assert_eq!(ledger.submitted(), None);
        ledger.bought(index * 100, once(100));
    }
    let collection = ledger.wake().unwrap();
    assert!(ledger.now.since(mpp_edge::time::Timestamp::from_millis(START * 1000)) >= POLICY.delivery_window);
    assert!(ledger.now.since(mpp_edge::time::Timestamp::from_millis(START * 1000)) <= MATURITY);
    assert_eq!(what(collection), (CollectBy::Settle, 1000, 0));
    assert_eq!((collection.payout.escrow, collection.payout.channel_id, collection.payout.voucher), (ESCROW, ID, voucher(1000)));
    assert_eq!(ledger.conclude(collection, DONE), Answer::Noted);
    assert_eq!((ledger.settled(), ledger.status()), (1000, Status::Open));
}

#[test]
fn below_the_amount_by_age() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(100, once(100));
    ledger.pass(HOUR / 2);
    ledger.bought(200, once(100));
    let until = later(&ledger, HOUR / 2 - Duration::from_secs(1));
    assert_eq!(ledger.run(until), []);
    let collection = ledger.wake().unwrap();
    assert_eq!((what(collection), ledger.now.millis()), ((CollectBy::Settle, 200, 0), (START + 3600) * 1000));
}

#[test]
fn what_was_released_does_not_age() {
    let mut ledger = Ledger::new(10_000);
    let booking = ledger.bought(100, once(100));
    ledger.release(booking, 100, 100);
    ledger.pass(HOUR - Duration::from_secs(60));
    ledger.bought(200, once(100));
    let until = later(&ledger, HOUR - Duration::from_secs(60));
    assert_eq!(ledger.run(until), []);
    assert_eq!(ledger.run(later(&ledger, HOUR)).len(), 1);
}

#[test]
fn never_more_than_was_delivered() {
    let mut ledger = Ledger::new(10_000);
    // One large voucher, drawn down: nothing can be settled before all of it is delivered.
    for _ in 0..9 {
        ledger.bought(1000, draw_down(100));
    }
    let until = later(&ledger, DAY / 2);
    assert_eq!(ledger.run(until), []);
    ledger.bought(1000, draw_down(100));
    let until = later(&ledger, DAY / 2);
    assert_eq!(ledger.run(until).into_iter().map(what).collect::<Vec<_>>(), [(CollectBy::Settle, 1000, 0)]);
}

#[test]
fn what_may_still_be_released_is_left_out() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1500, once(1500));
    ledger.pass(MATURITY);
    ledger.bought(1600, once(100));
    assert_eq!(what(ledger.wake().unwrap()), (CollectBy::Settle, 1500, 0));
}

#[test]
fn what_a_stream_reserves_is_left_out() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1500, once(1500));
    let sale = ledger.bought(1580, stream(10, 8));
    ledger.pass(MATURITY);
    assert_eq!(ledger.draw(sale, 7, 0), Ok(Drawn::Units(0)));
    let collection = ledger.wake().unwrap();
    assert_eq!(what(collection), (CollectBy::Settle, 1500, 0));
    ledger.conclude(collection, DONE);
    ledger.end(sale, 8);
    let until = later(&ledger, HOUR);
    assert_eq!(ledger.run(until).into_iter().map(what).collect::<Vec<_>>(), [(CollectBy::Settle, 1580, 0)]);
}

#[test]
fn it_is_submitted_again_until_its_end_is_known() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    let collection = ledger.wake().unwrap();
    // Whoever submitted it died, or asks twice.
    for _ in 0..3 {
        let before = ledger.now;
        assert_eq!(ledger.wake(), Some(collection));
        assert_eq!(ledger.now.since(before), RETRY);
    }
    ledger.step(Event::Woken).unwrap();
    assert_eq!(ledger.submitted(), Some(collection));
    // Meanwhile it goes on selling.
    ledger.bought(3000, once(1000));
    assert_eq!(ledger.channel.collection(), Some(collection));
    ledger.conclude(collection, DONE);
    assert_eq!(ledger.channel.collection(), None);
    assert_eq!(ledger.settled(), 1000);
}

#[test]
fn one_that_failed_is_another_when_it_is_tried_again() {
    for failure in [Failure::Reverted, Failure::UsedElsewhere, Failure::Expired] {
        let mut ledger = Ledger::new(10_000);
        ledger.bought(1000, once(1000));
        let first = ledger.wake().unwrap();
        assert_eq!(ledger.conclude(first, Verdict::Failed(failure)), Answer::Noted);
        assert_eq!((ledger.settled(), ledger.channel.collection()), (0, None));
        let failed = ledger.now;
        // Not at once, and after a look at the chain.
        ledger.step(Event::Woken).unwrap();
        assert_eq!(ledger.submitted(), None);
        while ledger.alarm.is_some() && !ledger.effects.contains(&Effect::Inspect) {
            assert_eq!(ledger.wake(), None, "it looks first");
        }
        ledger.observe(on_chain(10_000, 0));
        let second = ledger.submits(on_chain(10_000, 0)).unwrap();
        assert!(ledger.now.since(failed) >= RETRY && ledger.now.since(failed) <= 2 * RETRY);
        assert_eq!(what(second), (CollectBy::Settle, 1000, 1));
        // The end of the first is no news.
        ledger.again(Event::Concluded(first, DONE));
        ledger.again(Event::Concluded(first, REVERTED));
        ledger.conclude(second, DONE);
        ledger.again(Event::Concluded(second, DONE));
        assert_eq!(ledger.settled(), 1000);
    }
}

#[test]
fn a_channel_that_is_not_used_is_closed_with_what_was_spent() {
    // The price of the second purchase, and the smallest voucher that covers both.
    for (price, covering) in [(50, 200), (100, 200), (101, 700)] {
        let mut ledger = Ledger::new(10_000);
        ledger.bought(100, once(100));
        ledger.voucher(200).unwrap();
        ledger.voucher(700).unwrap();
        ledger.bought(700, once(price));
        let until = later(&ledger, DAY - Duration::from_secs(1));
        assert_eq!(ledger.run(until).last().copied().map(what), Some((CollectBy::Settle, if price == 50 { 100 } else { 200 }, 0)));
        let close = ledger.wake().unwrap();
        assert_eq!((what(close), ledger.status()), ((CollectBy::Close, covering, 0), Status::Closing(CloseReason::Idle)));
        assert_eq!(ledger.conclude(close, DONE), Answer::Closed(TRANSACTION));
        assert_eq!(ledger.status(), Status::Closed { transaction: Some(TRANSACTION) });
        assert_eq!((ledger.wake(), ledger.alarm), (None, None));
    }
}

#[test]
fn use_keeps_it_open() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(100, once(100));
    for cumulative in 101..110 {
        let until = later(&ledger, DAY - Duration::from_secs(1));
        ledger.run(until);
        ledger.voucher(cumulative).unwrap();
    }
    assert_eq!(ledger.status(), Status::Open);
    let sale = ledger.bought(120, stream(1, 1));
    for delivered in 0..300 {
        ledger.run(later(&ledger, Duration::from_secs(500)));
        ledger.draw(sale, delivered, 0).unwrap();
    }
    assert_eq!(ledger.status(), Status::Open);
    ledger.end(sale, 1);
    ledger.run(later(&ledger, DAY));
    assert!(matches!(ledger.status(), Status::Closed { .. }));
}

/// The longest pause is counted from the last units that were reserved.
#[test]
fn a_stream_that_draws_is_in_use() {
    let mut ledger = Ledger::new(10_000);
    let sale = ledger.bought(1000, stream(1, 1));
    for delivered in 1..=300 {
        ledger.run(later(&ledger, Duration::from_secs(500)));
        assert_eq!(ledger.draw(sale, delivered, 1), Ok(Drawn::Units(1)));
    }
    ledger.end(sale, 301);
    ledger.run(later(&ledger, DAY - Duration::from_secs(1)));
    assert_eq!(ledger.status(), Status::Open);
    ledger.run(later(&ledger, Duration::from_secs(1)));
    assert!(matches!(ledger.status(), Status::Closed { .. }));
}

/// One that reserved enough at the start only reports; it is used up to its end.
#[test]
fn a_stream_that_only_reports_is_in_use_until_it_ends() {
    let mut ledger = Ledger::new(10_000);
    let sale = ledger.bought(1000, stream(1, 1000));
    for _ in 0..300 {
        ledger.run(later(&ledger, Duration::from_secs(500)));
        ledger.step(Event::Delivery(Delivery::Draw { sale, delivered: 1, reserved: 1000, wanted: 0 })).unwrap();
    }
    ledger.end(sale, 1000);
    ledger.run(later(&ledger, DAY - Duration::from_secs(1)));
    assert_eq!(ledger.status(), Status::Open);
    ledger.run(later(&ledger, Duration::from_secs(1)));
    assert!(matches!(ledger.status(), Status::Closed { .. }));
}

/// Whoever served it died, and nobody ever calls again.
#[test]
fn a_sale_that_never_ends_does_not_keep_it_open() {
    for cumulative in [80, 200] {
        let mut ledger = Ledger::new(10_000);
        ledger.bought(cumulative, stream(10, 8));
        ledger.run(later(&ledger, 2 * DAY));
        assert_eq!((ledger.status(), ledger.settled()), (Status::Closed { transaction: Some(TRANSACTION) }, cumulative));
    }
}

#[test]
fn the_payer_asks_for_the_end() {
    // A lower one than the best is taken where it covers what was spent.
    for (last, taken) in [(100, 100), (50, 50), (10, 10), (9, 100), (0, 100), (130, 130)] {
        let mut ledger = Ledger::new(1000);
        ledger.bought(100, once(10));
        assert_eq!(ledger.step(Event::Close(presented(last))), Ok(Answer::Closing));
        let close = ledger.submitted().unwrap();
        assert_eq!((what(close), ledger.status()), ((CollectBy::Close, taken, 0), Status::Closing(CloseReason::Asked)));
        // Asked again, it is the same.
        ledger.again(Event::Close(presented(last)));
        assert_eq!(ledger.submitted(), Some(close));
        assert_eq!(ledger.conclude(close, DONE), Answer::Closed(TRANSACTION));
        for last in [last, 0, 100] {
            assert_eq!(ledger.step(Event::Close(presented(last))), Ok(Answer::Closed(TRANSACTION)));
            assert_eq!(ledger.effects, []);
        }
        assert_eq!(ledger.step(Event::Concluded(close, DONE)), Ok(Answer::Closed(TRANSACTION)));
        ledger.refuses(Event::Voucher(presented(200), None), Refusal::Closed);
    }
}

#[test]
fn the_end_of_a_channel_that_bought_nothing() {
    let mut ledger = Ledger::new(1000);
    assert_eq!(ledger.step(Event::Close(presented(0))), Ok(Answer::Closing));
    assert_eq!(what(ledger.submitted().unwrap()), (CollectBy::Close, 0, 0));
}

#[test]
fn the_end_waits_for_a_settlement_that_is_on_its_way() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    let settle = ledger.wake().unwrap();
    assert_eq!(ledger.step(Event::Close(presented(1500))), Ok(Answer::Closing));
    assert_eq!(ledger.submitted(), Some(settle));
    ledger.conclude(settle, DONE);
    ledger.step(Event::Woken).unwrap();
    assert_eq!(what(ledger.submitted().unwrap()), (CollectBy::Close, 1500, 0));
}

#[test]
fn a_close_that_is_refused_begins_nothing() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    ledger.pass(MATURITY);
    let foreign = PresentedVoucher { source: Some(STRANGER), ..presented(1000) };
    for (close, refusal) in [(foreign, Refusal::ForeignSource), (presented(10_001), Refusal::ExceedsDeposit)] {
        assert_eq!(ledger.step(Event::Close(close)), Err(refusal));
        assert_eq!(ledger.submitted(), None);
    }
    ledger.observe(ABSENT);
    assert_eq!(ledger.step(Event::Close(presented(1000))), Err(Refusal::Suspended));
    assert_eq!(ledger.submitted(), None);
}

#[test]
fn a_failed_close_is_tried_again_and_may_be_asked_for_at_once() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, once(10));
    ledger.step(Event::Close(presented(100))).unwrap();
    let first = ledger.submitted().unwrap();
    ledger.conclude(first, REVERTED);
    assert_eq!(ledger.status(), Status::Closing(CloseReason::Asked));
    let mut asked = ledger.clone();
    // By itself a settlement is tried, which pays where only the refund reverts.
    let second = ledger.submits(on_chain(1000, 0)).unwrap();
    assert_eq!(what(second), (CollectBy::Settle, 100, 1));
    ledger.conclude(second, DONE);
    ledger.step(Event::Woken).unwrap();
    assert_eq!(ledger.submits(on_chain(1000, 100)).map(what), Some((CollectBy::Close, 100, 1)));
    asked.step(Event::Close(presented(120))).unwrap();
    assert_eq!(asked.submitted().map(what), Some((CollectBy::Close, 120, 1)));
}

#[test]
fn a_closed_channel_rests() {
    let mut ledger = Ledger::new(10_000);
    let booking = ledger.bought(1000, once(100));
    let sale = ledger.bought(1100, stream(10, 8));
    ledger.step(Event::Close(presented(1500))).unwrap();
    let close = ledger.submitted().unwrap();
    ledger.conclude(close, DONE);
    ledger.step(Event::Woken).unwrap();
    let closed = ledger.channel.clone();
    for event in [
        Event::Woken,
        release(booking, 100, 1000),
        Event::Delivery(Delivery::End { sale, delivered: 0, begun: false }),
        Event::Observed(seen(on_chain(1000, 0))),
        Event::Observed(seen(requested(on_chain(1000, 0)))),
        Event::Observed(seen(FINALIZED)),
        Event::Observed(seen(ABSENT)),
        Event::Concluded(close, REVERTED),
        Event::Close(presented(2000)),
    ] {
        let _ = ledger.step(event);
        assert_eq!(ledger.effects, []);
    }
    assert_eq!(ledger.channel, closed);
    ledger.pass(10 * DAY);
    ledger.step(Event::Woken).unwrap();
    assert_eq!(ledger.effects, []);
}

/// However fast vouchers come, settlements keep up with what is delivered.
#[test]
fn a_busy_channel_is_settled_all_the_time() {
    let mut ledger = Ledger::new(1_000_000_000);
    let mut settlements = 0;
    for index in 1..=10_000_u128 {
        ledger.bought(index * 10, once(10));
        ledger.pass(Duration::from_millis(100));
        if ledger.alarm.is_some_and(|at| at <= ledger.now) {
            let now = ledger.now;
            settlements += ledger.run(now).len();
        }
        // What was booked a window and two buckets ago could be settled, but for the least amount and what lies between vouchers.
        let booked = index.saturating_sub(500) * 10;
        assert!(ledger.settled() + 2 * 1000 + 2500 >= booked, "{} of {booked} after {index}", ledger.settled());
    }
    assert!((40..=110).contains(&settlements), "{settlements}");
}
