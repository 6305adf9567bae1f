//! Metered sales: units are reserved, drawn, reported, released.

use super::fixture::*;
use mpp_edge::channel::{Answer, Delivery, Drawn, Event, Head, Kind, Meter, Metering, Order, Refusal, Reuse, SILENCE, Status};
use std::time::Duration;

fn metered(price: u128, most: u64) -> Order {
    Order { most, kind: Kind::Metered, ..draw_down(price) }
}

#[test]
fn units_are_reserved_and_what_is_left_goes_back() {
    let mut ledger = Ledger::new(1000);
    let sale = ledger.bought(200, stream(10, 8));
    assert_eq!(ledger.counters(), (200, 80, 0));
    assert_eq!(ledger.draw(sale, 8, 16), Ok(Drawn::Units(12)));
    assert_eq!(ledger.counters(), (200, 200, 80));
    ledger.end(sale, 15);
    assert_eq!(ledger.counters(), (200, 150, 150));
    ledger.again(Event::Delivery(Delivery::End { sale, delivered: 15, begun: false }));
    ledger.again(Event::Delivery(Delivery::End { sale, delivered: 20, begun: false }));
    assert_eq!(ledger.draw(sale, 15, 1), Err(Refusal::NoSale));
}

#[test]
fn a_stream_whose_balance_ends_goes_on_after_a_voucher_or_a_top_up() {
    let mut ledger = Ledger::new(100);
    let sale = ledger.bought(80, stream(10, 8));
    assert_eq!(ledger.draw(sale, 8, 1), Ok(Drawn::Exhausted));
    ledger.voucher(100).unwrap();
    assert_eq!(ledger.draw(sale, 8, 16), Ok(Drawn::Units(2)));
    assert_eq!(ledger.draw(sale, 10, 16), Ok(Drawn::Exhausted));
    assert_eq!(ledger.step(Event::Voucher(presented(110), None)), Err(Refusal::ExceedsDeposit));
    ledger.observe(on_chain(200, 0));
    ledger.voucher(110).unwrap();
    assert_eq!(ledger.draw(sale, 10, 1), Ok(Drawn::Units(1)));
    assert_eq!(ledger.counters(), (110, 110, 100));
}

#[test]
fn a_report_asks_for_nothing() {
    let mut ledger = Ledger::new(1000);
    let sale = ledger.bought(80, stream(10, 8));
    assert_eq!(ledger.draw(sale, 3, 0), Ok(Drawn::Units(0)));
    assert_eq!(ledger.counters(), (80, 80, 30));
    // An older report, and one of more than was reserved.
    assert_eq!(ledger.draw(sale, 2, 0), Ok(Drawn::Units(0)));
    assert_eq!(ledger.counters(), (80, 80, 30));
    assert_eq!(ledger.draw(sale, 99, 0), Ok(Drawn::Units(0)));
    assert_eq!(ledger.counters(), (80, 80, 80));
    ledger.voucher(100).unwrap();
    assert_eq!(ledger.draw(sale, 8, 2), Ok(Drawn::Units(2)));
    assert_eq!(ledger.counters(), (100, 100, 80));
}

#[test]
fn a_draw_whose_answer_was_lost_is_repeated() {
    let mut ledger = Ledger::new(1000);
    let sale = ledger.bought(200, stream(10, 8));
    let draw = |wanted| Event::Delivery(Delivery::Draw { sale, delivered: 8, reserved: 8, wanted });
    let four = Ok(Answer::Drawn(Drawn::Units(4)));
    assert_eq!(ledger.step(draw(4)), four);
    for wanted in [4, 8, 0] {
        let before = ledger.channel.clone();
        assert_eq!(ledger.step(draw(wanted)), four, "those that were reserved before");
        assert_eq!(ledger.channel, before);
    }
    ledger.end(sale, 12);
    assert_eq!(ledger.counters(), (200, 120, 120));
}

#[test]
fn a_new_stream_ends_the_older_one() {
    let mut ledger = Ledger::new(1000);
    let first = ledger.bought(500, stream(10, 8));
    let download = ledger.bought(500, metered(10, 8));
    let second = ledger.bought(500, stream(10, 8));
    assert_eq!(ledger.draw(first, 5, 8), Ok(Drawn::Over));
    assert_eq!(ledger.draw(download, 5, 1), Ok(Drawn::Units(1)));
    assert_eq!(ledger.draw(second, 5, 1), Ok(Drawn::Units(1)));
    assert_eq!(ledger.counters(), (500, 260, 150));
    ledger.end(first, 6);
    assert_eq!(ledger.counters(), (500, 240, 160));
    // A download ends no stream.
    ledger.bought(500, metered(10, 1));
    assert_eq!(ledger.draw(second, 5, 1), Ok(Drawn::Units(1)));
}

#[test]
fn it_is_over_when_the_channel_does_not_sell() {
    for news in [requested(on_chain(1000, 0)), ABSENT] {
        let mut ledger = Ledger::new(1000);
        let sale = ledger.bought(200, stream(10, 8));
        ledger.observe(news);
        assert_eq!(ledger.draw(sale, 8, 8), Ok(Drawn::Over));
        assert_eq!(ledger.counters(), (200, 80, 80));
        ledger.end(sale, 8);
        assert_eq!(ledger.counters(), (200, 80, 80));
    }
    let mut ledger = Ledger::new(1000);
    let sale = ledger.bought(200, stream(10, 8));
    ledger.step(Event::Close(presented(200))).unwrap();
    assert_eq!(ledger.draw(sale, 2, 8), Ok(Drawn::Over));
    ledger.end(sale, 3);
    assert_eq!(ledger.counters(), (200, 30, 30));
}

#[test]
fn one_that_is_silent_for_long_counts_as_delivered() {
    let mut ledger = Ledger::new(1000);
    let sale = ledger.bought(80, stream(10, 8));
    ledger.pass(SILENCE - Duration::from_secs(1));
    assert_eq!(ledger.draw(sale, 2, 0), Ok(Drawn::Units(0)));
    ledger.pass(SILENCE - Duration::from_secs(1));
    ledger.voucher(81).unwrap();
    assert_eq!(ledger.counters(), (81, 80, 20));
    ledger.pass(Duration::from_secs(1));
    assert_eq!(ledger.draw(sale, 2, 0), Err(Refusal::NoSale));
    assert_eq!(ledger.counters(), (81, 80, 80));
    ledger.again(Event::Delivery(Delivery::End { sale, delivered: 2, begun: false }));
}

#[test]
fn more_sales_than_can_be_under_way_are_refused_until_one_has_ended() {
    let mut ledger = Ledger::new(10_000);
    let first = ledger.bought(10_000, metered(10, 2));
    for _ in 0..31 {
        ledger.bought(10_000, metered(10, 2));
    }
    assert_eq!(ledger.counters(), (10_000, 640, 0));
    for kind in [Kind::Metered, Kind::Stream] {
        assert_eq!(ledger.buy(10_000, Order { kind, ..metered(10, 2) }), Err(Refusal::Busy));
    }
    assert_eq!(ledger.counters(), (10_000, 640, 0));
    // What has a fixed price is sold all the same.
    ledger.bought(10_000, draw_down(10));
    ledger.end(first, 1);
    ledger.bought(10_000, metered(10, 2));
    assert_eq!(ledger.counters(), (10_000, 660, 10));
}

#[test]
fn sales_of_different_prices_do_not_mix() {
    let mut ledger = Ledger::new(1000);
    let cheap = ledger.bought(1000, metered(1, 10));
    let dear = ledger.bought(1000, metered(100, 2));
    ledger.draw(cheap, 5, 5).unwrap();
    ledger.draw(dear, 1, 2).unwrap();
    assert_eq!(ledger.counters(), (1000, 415, 105));
    ledger.end(cheap, 7);
    ledger.end(dear, 4);
    assert_eq!(ledger.counters(), (1000, 407, 407));
}

#[test]
fn a_voucher_whose_metered_purchase_was_not_delivered_may_buy_again() {
    let order = Order { key: Some(key(1, 1)), kind: Kind::Metered, ..once(10) };
    let mut ledger = Ledger::new(1000);
    let sale = ledger.bought(100, order);
    ledger.end(sale, 0);
    let sale = ledger.bought(100, order);
    ledger.end(sale, 1);
    ledger.refuses(Event::Voucher(presented(100), Some(once(10))), Refusal::Insufficient);
    // Where vouchers are drawn down, what failed gives none free: another may have bought with it.
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, once(10));
    let sale = ledger.bought(100, metered(10, 8));
    ledger.end(sale, 0);
    ledger.refuses(Event::Voucher(presented(100), Some(once(10))), Refusal::Insufficient);
}

#[test]
fn a_stream_of_ten_thousand_units() {
    let mut ledger = Ledger::new(10_000);
    let order = Meter::Event.order(amount(1), 1, Reuse::DrawDown, None);
    let bought = ledger.buy(10_000, order).unwrap();
    let head = Head { is_event_stream: true, reported: None, has_body: true };
    let Metering::Counted(mut meter) = Metering::of(Meter::Event, order.price, bought, head) else { panic!() };
    let mut calls = 1;
    for _ in 0..9_999 {
        if meter.left() == 0 {
            let Ok(Answer::Drawn(Drawn::Units(units))) = ledger.step(Event::Delivery(meter.draw(1))) else { panic!() };
            meter.drawn(units);
            calls += 1;
        }
        meter.gather(1);
        meter.went_out();
    }
    ledger.step(Event::Delivery(meter.end(Ok(()), || panic!("nobody needs to know")))).unwrap();
    assert_eq!((ledger.counters(), calls), ((10_000, 9_999, 9_999), 16));
}

/// The usual course of a long answer: it pauses, what was delivered meanwhile is settled, and it goes on.
#[test]
fn a_stream_is_settled_while_it_pauses_and_after_it() {
    let mut ledger = Ledger::new(10_000);
    let sale = ledger.bought(1000, stream(10, 100));
    assert_eq!(ledger.draw(sale, 100, 1), Ok(Drawn::Exhausted));
    let soon = ledger.now.saturating_add(Duration::from_secs(60));
    assert_eq!(ledger.run(soon).len(), 1);
    assert_eq!(ledger.settled(), 1000);
    ledger.voucher(3000).unwrap();
    assert_eq!(ledger.draw(sale, 100, 200), Ok(Drawn::Units(200)));
    ledger.end(sale, 300);
    let soon = ledger.now.saturating_add(Duration::from_secs(60));
    assert_eq!(ledger.run(soon).len(), 1);
    assert_eq!((ledger.settled(), ledger.status()), (3000, Status::Open));
}
