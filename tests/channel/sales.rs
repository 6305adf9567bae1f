//! Vouchers and what they buy (rows A1–A5, A14 and A15 of the attacks, as the ledger sees them).

use super::fixture::*;
use mpp_edge::channel::{Answer, Bought, CloseReason, Delivery, Event, Kind, Order, Policy, PresentedVoucher, Refusal, Reuse, Status};
use mpp_edge::evm::Address;

fn by(signer: Address, cumulative: u128) -> PresentedVoucher {
    PresentedVoucher { signer, ..presented(cumulative) }
}

#[test]
fn a_purchase_costs_its_price_and_not_the_raise() {
    let mut ledger = Ledger::new(1000);
    assert_eq!(ledger.buy(100, once(10)), Ok(Bought { booking: 0, units: 1, replayed: false }));
    assert_eq!(ledger.counters(), (100, 10, 0));
    assert_eq!(ledger.buy(110, once(10)), Ok(Bought { booking: 1, units: 1, replayed: false }));
    assert_eq!(ledger.counters(), (110, 20, 0));
}

#[test]
fn a1_who_did_not_sign_is_told_nothing_else() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, once(10));
    let mut closing = ledger.clone();
    closing.observe(requested(on_chain(1000, 0)));
    let mut suspended = ledger.clone();
    suspended.observe(ABSENT);
    let mut closed = ledger.clone();
    closed.observe(FINALIZED);
    for mut ledger in [ledger, closing, suspended, closed] {
        for signer in [STRANGER, PAYER, PAYEE, Address::ZERO] {
            for cumulative in [0, 99, 100, 101, 1001, u128::MAX] {
                ledger.refuses(Event::Voucher(by(signer, cumulative), Some(draw_down(10))), Refusal::SignerMismatch);
                ledger.refuses(Event::Voucher(by(signer, cumulative), None), Refusal::SignerMismatch);
                ledger.refuses(Event::Close(by(signer, cumulative)), Refusal::SignerMismatch);
            }
        }
    }
}

#[test]
fn the_payer_signs_when_nobody_else_is_authorized() {
    let mut ledger = Ledger::adopted(&mpp_edge::evm::escrow::OnChain { authorized_signer: Address::ZERO, ..on_chain(1000, 0) });
    assert_eq!(ledger.channel.signer(), PAYER);
    ledger.refuses(Event::Voucher(presented(10), None), Refusal::SignerMismatch);
    assert_eq!(ledger.step(Event::Voucher(by(PAYER, 10), None)), Ok(Answer::Noted));
}

#[test]
fn a_source_is_the_payer_or_the_signer() {
    let mut ledger = Ledger::new(1000);
    for source in [PAYER, SIGNER] {
        let presented = PresentedVoucher { source: Some(source), ..presented(10) };
        assert_eq!(ledger.step(Event::Voucher(presented, None)), Ok(Answer::Noted));
    }
    for source in [STRANGER, PAYEE, Address::ZERO] {
        let presented = PresentedVoucher { source: Some(source), ..presented(20) };
        ledger.refuses(Event::Voucher(presented, Some(once(10))), Refusal::ForeignSource);
        ledger.refuses(Event::Close(presented), Refusal::ForeignSource);
    }
}

#[test]
fn a2_a_raise_that_does_not_pay_is_kept_and_buys_nothing() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    assert_eq!(ledger.buy(1001, once(1000)), Err(Refusal::Insufficient));
    assert_eq!(ledger.counters(), (1001, 1000, 0));
    assert_eq!(ledger.channel.best(), Some(voucher(1001)));
    assert_eq!((ledger.required(1000, Reuse::Once), ledger.required(1000, Reuse::DrawDown)), (2000, 2000));
    assert_eq!(ledger.buy(1999, draw_down(1000)), Err(Refusal::Insufficient));
    ledger.bought(2000, once(1000));
}

#[test]
fn a3_a_voucher_below_the_price_opens_and_buys_nothing() {
    for cumulative in [0, 9] {
        let mut ledger = Ledger::new(1000);
        for order in [once(10), draw_down(10), stream(10, 8)] {
            assert_eq!(ledger.buy(cumulative, order), Err(Refusal::Insufficient));
        }
        assert_eq!(ledger.counters(), (cumulative, 0, 0));
    }
}

#[test]
fn a4_what_was_there_before_moves_nothing() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, once(10));
    for cumulative in [100, 9, 1, 0] {
        ledger.again(Event::Voucher(presented(cumulative), None));
    }
    // A smaller one that covers what was spent is kept, for a close would take no more; once, and no counter moves.
    for cumulative in [99, 50, 10] {
        ledger.voucher(cumulative).unwrap();
        ledger.again(Event::Voucher(presented(cumulative), None));
        ledger.again(Event::Voucher(presented(99), None));
    }
    assert_eq!(ledger.counters(), (100, 10, 0));
    assert_eq!(ledger.channel.best(), Some(voucher(100)));
}

#[test]
fn a5_a_voucher_buys_once() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, once(10));
    for order in [once(10), once(1), Order { most: 8, kind: Kind::Stream, ..once(10) }] {
        ledger.refuses(Event::Voucher(presented(100), Some(order)), Refusal::Insufficient);
    }
    // The rest of its balance is there for the next.
    ledger.bought(101, once(91));
    assert_eq!(ledger.counters(), (101, 101, 0));
}

#[test]
fn a5_a_voucher_is_drawn_down_to_its_end_and_not_beyond() {
    let mut ledger = Ledger::new(1000);
    for _ in 0..10 {
        ledger.bought(100, draw_down(10));
    }
    ledger.refuses(Event::Voucher(presented(100), Some(draw_down(10))), Refusal::Insufficient);
    ledger.refuses(Event::Voucher(presented(100), Some(draw_down(1))), Refusal::Insufficient);
    assert_eq!(ledger.counters(), (100, 100, 0));
}

#[test]
fn a_route_that_draws_down_does_not_use_a_voucher_up_for_one_that_does_not() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, draw_down(10));
    ledger.bought(100, once(10));
    ledger.refuses(Event::Voucher(presented(100), Some(once(10))), Refusal::Insufficient);
    ledger.bought(100, draw_down(10));
}

#[test]
fn a14_of_two_that_race_the_highest_stays() {
    for pair in [[4000, 2000], [2000, 4000]] {
        let mut ledger = Ledger::new(10_000);
        for cumulative in pair {
            ledger.bought(cumulative, once(1000));
        }
        assert_eq!(ledger.counters(), (4000, 2000, 0));
        assert_eq!(ledger.channel.best(), Some(voucher(4000)));
    }
}

#[test]
fn a15_nothing_above_the_deposit() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, once(10));
    for cumulative in [1001, u128::MAX] {
        ledger.refuses(Event::Voucher(presented(cumulative), None), Refusal::ExceedsDeposit);
        ledger.refuses(Event::Voucher(presented(cumulative), Some(once(10))), Refusal::ExceedsDeposit);
        ledger.refuses(Event::Close(presented(cumulative)), Refusal::ExceedsDeposit);
    }
    ledger.bought(1000, once(10));
}

#[test]
fn the_largest_numbers_do_not_wrap() {
    let mut ledger = Ledger::new(u128::MAX);
    ledger.bought(u128::MAX, once(u128::MAX));
    assert_eq!(ledger.counters(), (u128::MAX, u128::MAX, 0));
    assert_eq!(ledger.required(u128::MAX, Reuse::DrawDown), u128::MAX);
    assert_eq!(ledger.buy(u128::MAX, draw_down(1)), Err(Refusal::Insufficient));

    let mut ledger = Ledger::new(u128::MAX);
    let order = Order { least: u64::MAX, most: u64::MAX, kind: Kind::Metered, ..draw_down(u128::MAX) };
    assert_eq!(ledger.buy(u128::MAX, order).unwrap().units, u64::MAX);
    assert_eq!(ledger.counters().1, u128::MAX);
}

#[test]
fn what_costs_nothing_is_sold_for_nothing() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(0, draw_down(0));
    assert_eq!(ledger.buy(0, stream(0, 8)).unwrap().units, 8);
    assert_eq!(ledger.counters(), (0, 0, 0));
}

#[test]
fn the_least_raise() {
    let mut ledger = Ledger { policy: Policy { min_delta: amount(50), ..POLICY }, ..Ledger::new(1000) };
    ledger.refuses(Event::Voucher(presented(49), Some(once(10))), Refusal::DeltaTooSmall);
    ledger.bought(50, once(10));
    for cumulative in [51, 99] {
        ledger.refuses(Event::Voucher(presented(cumulative), Some(once(10))), Refusal::DeltaTooSmall);
    }
    // One that raises nothing is judged by what it may buy.
    ledger.bought(50, draw_down(10));
    ledger.bought(20, once(10));
    assert_eq!((ledger.required(10, Reuse::Once), ledger.required(10, Reuse::DrawDown)), (100, 40));
    ledger.bought(100, once(10));
    // The last one raises as little as it likes.
    assert_eq!(ledger.step(Event::Close(presented(101))), Ok(Answer::Closing));
    assert_eq!(ledger.counters().0, 101);
}

#[test]
fn vouchers_out_of_order_buy_once_each() {
    let mut ledger = Ledger::new(10_000);
    let order: Vec<u128> = (1..=64).map(|index| (index * 29 % 65) * 10).collect();
    for cumulative in &order {
        // The balance is that of the highest; the price is such that it always pays.
        ledger.bought(*cumulative, once(1));
    }
    for cumulative in &order {
        ledger.refuses(Event::Voucher(presented(*cumulative), Some(once(1))), Refusal::Insufficient);
    }
    assert_eq!(ledger.counters(), (640, 64, 0));
}

#[test]
fn one_that_comes_too_late_counts_as_used() {
    let mut ledger = Ledger::new(10_000);
    let skipped = 5;
    for cumulative in (1..=66).filter(|cumulative| *cumulative != skipped) {
        ledger.bought(cumulative * 10, once(1));
    }
    // 64 are remembered by name; with the 65th the lowest became the floor.
    ledger.bought(skipped * 10, once(1));
    for cumulative in 67..=72 {
        ledger.bought(cumulative * 10, once(1));
    }
    ledger.refuses(Event::Voucher(presented(55), Some(once(1))), Refusal::Insufficient);
    ledger.refuses(Event::Voucher(presented(skipped * 10), Some(once(1))), Refusal::Insufficient);
    ledger.bought(725, once(1));
}

#[test]
fn a_metered_sale_reserves_what_the_balance_pays_for() {
    for (cumulative, least, most, units) in [(100, 1, 8, 8), (35, 1, 8, 3), (10, 1, 8, 1), (80, 8, 8, 8), (1000, 8, 8, 8)] {
        let mut ledger = Ledger::new(1000);
        let order = Order { least, most, kind: Kind::Metered, ..once(10) };
        assert_eq!(ledger.buy(cumulative, order).unwrap().units, units);
        assert_eq!(ledger.counters(), (cumulative, u128::from(units) * 10, 0));
    }
    let mut ledger = Ledger::new(1000);
    let order = Order { least: 8, most: 8, kind: Kind::Metered, ..once(10) };
    assert_eq!(ledger.buy(79, order), Err(Refusal::Insufficient));
    assert_eq!(ledger.counters(), (79, 0, 0));
}

#[test]
fn nothing_is_sold_on_a_channel_that_is_not_open() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, once(10));
    let mut asked = ledger.clone();
    asked.step(Event::Close(presented(100))).unwrap();
    let mut requesting = ledger.clone();
    requesting.observe(requested(on_chain(1000, 0)));
    let mut suspended = ledger.clone();
    suspended.observe(ABSENT);
    let mut closed = ledger.clone();
    closed.observe(FINALIZED);
    for (mut ledger, status, refusal) in [
        (asked, Status::Closing(CloseReason::Asked), Refusal::Closing),
        (requesting, Status::Closing(CloseReason::Requested), Refusal::Closing),
        (suspended, Status::Suspended, Refusal::Suspended),
        (closed, Status::Closed { transaction: None }, Refusal::Closed),
    ] {
        assert_eq!(ledger.status(), status);
        for order in [None, Some(once(10)), Some(draw_down(10)), Some(draw_down(0)), Some(stream(10, 8))] {
            ledger.refuses(Event::Voucher(presented(200), order), refusal);
        }
    }
}

#[test]
fn refusals_are_told_as_the_wire_has_them() {
    for (refusal, status) in [
        (Refusal::SignerMismatch, 402),
        (Refusal::ForeignSource, 402),
        (Refusal::Closed, 410),
        (Refusal::Closing, 410),
        (Refusal::Suspended, 503),
        (Refusal::Busy, 503),
        (Refusal::Uncollectable, 503),
        (Refusal::ExceedsDeposit, 402),
        (Refusal::DeltaTooSmall, 402),
        (Refusal::Insufficient, 402),
        (Refusal::Unproven, 402),
        (Refusal::KeyOfAnother, 400),
        (Refusal::KeySpent, 400),
        (Refusal::NoSale, 400),
    ] {
        assert_eq!(refusal.problem().kind.status(), status, "{refusal:?}");
    }
}

#[test]
fn a_purchase_whose_answer_was_lost_is_asked_for_again() {
    for order in [once(10), draw_down(10), stream(10, 8), Order { key: Some(key(1, 1)), ..once(10) }] {
        let mut ledger = Ledger::new(1000);
        let event = Event::Voucher(presented(100), Some(Order { attempt: 7, ..order }));
        let answer = ledger.step(event.clone());
        for _ in 0..5 {
            let before = ledger.channel.clone();
            assert_eq!(ledger.step(event.clone()), answer);
            assert_eq!(ledger.channel, before);
        }
        assert!(ledger.buy(200, draw_down(10)).is_ok_and(|bought| bought.booking == 1));
    }
}

/// B8: the object resets with 160 purchases in flight, and each is asked for again.
#[test]
fn b8_as_many_attempts_are_remembered_as_are_in_flight() {
    let mut ledger = Ledger::new(10_000);
    let attempt = |number| Event::Voucher(presented(10_000), Some(Order { attempt: number, since: 1, ..draw_down(10) }));
    let answers: Vec<_> = (1..=160).map(|number| ledger.step(attempt(number))).collect();
    for number in 1..=160 {
        assert_eq!(ledger.step(attempt(number)), answers[usize::try_from(number).unwrap() - 1]);
    }
    assert_eq!(ledger.counters().1, 1600);
}

/// B8: nobody got the answer, so nobody gets what was bought: it is released, once, and what comes late buys nothing.
#[test]
fn b8_what_is_cancelled_is_released_whether_it_has_come_or_not() {
    for order in [once(10), draw_down(10), stream(10, 8), Order { key: Some(key(1, 1)), ..once(10) }] {
        let cancel = Event::Delivery(Delivery::Cancel { attempt: 7, kind: order.kind, price: order.price, voucher: amount(100) });
        let buy = Event::Voucher(presented(100), Some(Order { attempt: 7, ..order }));
        for comes_first in [true, false] {
            let mut ledger = Ledger::new(1000);
            ledger.voucher(100).unwrap();
            if comes_first {
                assert!(matches!(ledger.step(buy.clone()), Ok(Answer::Bought(_))));
                assert!(ledger.counters().1 > 0);
            }
            for _ in 0..3 {
                assert_eq!(ledger.step(cancel.clone()), Ok(Answer::Noted));
                assert_eq!(ledger.counters().1, 0);
            }
            ledger.refuses(buy.clone(), Refusal::Cancelled);
            assert_eq!(ledger.counters().1, 0);
            // The voucher and the key buy anew.
            ledger.bought(100, order);
        }
    }
}
