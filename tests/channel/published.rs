//! A20: what the chain shows, or who estimates gas, anybody can present. And no more is shown than what was sold needs.

use super::fixture::*;
use mpp_edge::channel::{Answer, CloseReason, CollectBy, Effect, Event, Order, Policy, PresentedVoucher, Refusal, Reuse, Status};
use mpp_edge::money::Amount;
use proptest::prelude::*;
use std::time::Duration;

fn fresh(cumulative: u128) -> PresentedVoucher {
    PresentedVoucher { fresh: true, ..presented(cumulative) }
}

fn taken(ledger: &Ledger) -> (CollectBy, u128) {
    let collection = ledger.submitted().unwrap();
    (collection.by, collection.payout.voucher.cumulative.base_units())
}

/// A payer who has signed ahead: 3000 are sold and about to be settled, 500 000 are signed for.
fn settling() -> Ledger {
    let mut ledger = Ledger::new(1_000_000);
    for index in 1..=3 {
        ledger.bought(index * 1000, draw_down(1000));
    }
    ledger.voucher(500_000).unwrap();
    ledger.wake().unwrap();
    assert_eq!(taken(&ledger), (CollectBy::Settle, 3000));
    ledger
}

#[test]
fn a20_a_stranger_who_reads_a_settlement_buys_nothing_and_closes_nothing() {
    let on_its_way = settling();
    let mut settled = on_its_way.clone();
    settled.conclude(settled.channel.collection().unwrap(), DONE);
    let mut failed = on_its_way.clone();
    failed.conclude(failed.channel.collection().unwrap(), REVERTED);
    for mut ledger in [on_its_way, settled] {
        for cumulative in [0, 1, 1000, 2999, 3000] {
            for order in [draw_down(1000), draw_down(0), once(1000), stream(10, 8)] {
                ledger.refuses(Event::Voucher(presented(cumulative), Some(order)), Refusal::Insufficient);
            }
            ledger.refuses(Event::Close(presented(cumulative)), Refusal::Unproven);
            // Handed in alone it is harmless.
            ledger.again(Event::Voucher(presented(cumulative), None));
        }
        // What is asked for then is a proof, of however little; and the best one is one.
        assert_eq!((ledger.required(1, Reuse::DrawDown), ledger.required(1000, Reuse::DrawDown)), (3001, 4000));
        let mut other = ledger.clone();
        other.bought(3001, draw_down(1));
        ledger.bought(500_000, draw_down(1000));
    }
    // That it failed does not make others forget it.
    failed.refuses(Event::Close(presented(3000)), Refusal::Unproven);
}

#[test]
fn a20_with_a_fresh_signature_the_same_voucher_draws_down_and_closes() {
    let mut ledger = settling();
    ledger.conclude(ledger.channel.collection().unwrap(), DONE);
    let order = Order { attempt: 99, ..draw_down(1000) };
    assert!(matches!(ledger.step(Event::Voucher(fresh(3000), Some(order))), Ok(Answer::Bought(_))));
    // Where each voucher buys once, it does so with a fresh signature as well.
    let order = |attempt| Some(Order { attempt, ..once(1000) });
    assert!(matches!(ledger.step(Event::Voucher(fresh(3000), order(98))), Ok(Answer::Bought(_))));
    ledger.refuses(Event::Voucher(fresh(3000), order(97)), Refusal::Insufficient);
    let mut ledger = settling();
    ledger.conclude(ledger.channel.collection().unwrap(), DONE);
    assert_eq!(ledger.step(Event::Close(fresh(3000))), Ok(Answer::Closing));
    // 3000 were spent, and nothing asks for more.
    assert_eq!(taken(&ledger), (CollectBy::Close, 3000));
}

#[test]
fn a20_a_close_takes_what_was_spent_unless_it_asks_for_more() {
    // The voucher of the close, and what is taken then; 3000 are spent.
    for (last, expected) in [(3001, 3001), (4000, 4000), (499_999, 499_999), (500_000, 500_000), (600_000, 600_000)] {
        let mut ledger = settling();
        ledger.conclude(ledger.channel.collection().unwrap(), DONE);
        assert_eq!(ledger.step(Event::Close(presented(last))), Ok(Answer::Closing));
        assert_eq!(taken(&ledger), (CollectBy::Close, expected));
        // Repeated by its own client it is the same, though everybody may know it by now; and by others as well.
        for total in [last, 3000, 0] {
            ledger.again(Event::Close(presented(total)));
            assert_eq!(taken(&ledger), (CollectBy::Close, expected));
        }
    }
    // Asked for by nobody, or on chain: what is spent and no more.
    let mut idle = settling();
    idle.conclude(idle.channel.collection().unwrap(), DONE);
    let mut asked_on_chain = idle.clone();
    idle.run(idle.now.saturating_add(POLICY.close_idle));
    assert_eq!((idle.status(), idle.settled()), (Status::Closed { transaction: Some(TRANSACTION) }, 3000));
    asked_on_chain.observe(requested(on_chain(1_000_000, 3000)));
    assert_eq!(asked_on_chain.status(), Status::Closing(CloseReason::Requested));
    assert_eq!(asked_on_chain.submits(requested(on_chain(1_000_000, 3000))), None, "nothing is at risk");
    let mut at_risk = settling();
    at_risk.bought(500_000, draw_down(1));
    at_risk.conclude(at_risk.channel.collection().unwrap(), DONE);
    at_risk.observe(requested(on_chain(1_000_000, 3000)));
    at_risk.wake().unwrap();
    assert_eq!(taken(&at_risk), (CollectBy::Close, 500_000), "no smaller one covers 3001");
}

#[test]
fn a20_what_was_settled_before_it_was_taken_on_proves_nothing() {
    let mut ledger = Ledger::adopted(&on_chain(1000, 300));
    ledger.refuses(Event::Close(presented(300)), Refusal::Unproven);
    ledger.refuses(Event::Voucher(presented(300), Some(draw_down(0))), Refusal::Insufficient);
    assert_eq!(ledger.step(Event::Close(fresh(300))), Ok(Answer::Closing));
    // Nor what another gateway of the payee has settled since.
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, draw_down(10));
    ledger.observe(on_chain(1000, 200));
    ledger.refuses(Event::Voucher(presented(200), Some(draw_down(10))), Refusal::Insufficient);
    ledger.refuses(Event::Close(presented(200)), Refusal::Unproven);
    // A reorganisation does not make anybody forget it.
    ledger.observe(on_chain(1000, 0));
    ledger.refuses(Event::Close(presented(200)), Refusal::Unproven);
    ledger.bought(500, draw_down(10));
}

/// A close that failed has shown more than what is spent, and an addition took the request back.
#[test]
fn a20_what_is_required_is_above_what_a_failed_close_has_shown() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, draw_down(100));
    ledger.bought(900, draw_down(100));
    ledger.observe(requested(on_chain(1000, 0)));
    ledger.wake().unwrap();
    assert_eq!(taken(&ledger), (CollectBy::Close, 900));
    ledger.conclude(ledger.channel.collection().unwrap(), REVERTED);
    ledger.observe(on_chain(2000, 0));
    assert_eq!(ledger.status(), Status::Open);
    // What failed is settled by now as far as it is delivered.
    ledger.pass(MATURITY);
    ledger.observe(on_chain(2000, 100));
    for reuse in [Reuse::Once, Reuse::DrawDown] {
        assert_eq!(ledger.required(100, reuse), 901);
    }
    ledger.refuses(Event::Voucher(presented(900), Some(draw_down(100))), Refusal::Insufficient);
    ledger.bought(901, draw_down(100));
}

#[test]
fn a20_a_stranger_does_not_keep_a_channel_in_use() {
    let mut ledger = settling();
    ledger.conclude(ledger.channel.collection().unwrap(), DONE);
    let end = ledger.now.saturating_add(POLICY.close_idle + Duration::from_secs(1));
    while ledger.now < end && ledger.status() == Status::Open {
        ledger.voucher(3000).unwrap();
        let soon = ledger.now.saturating_add(POLICY.close_idle / 10);
        ledger.run(soon);
    }
    assert!(matches!(ledger.status(), Status::Closed { .. }));
}

/// One of each thousand, of which two are not delivered.
#[test]
fn a20_an_unused_channel_is_closed_with_what_was_spent() {
    let policy = Policy { settle_amount: amount(1_000_000), settle_after: 2 * POLICY.close_idle, ..POLICY };
    let mut ledger = Ledger { policy, ..Ledger::new(100_000) };
    let bookings: Vec<u64> = (1..=8).map(|index| ledger.bought(index * 1000, once(1000))).collect();
    for (booking, voucher) in bookings.into_iter().zip([1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000]).skip(6) {
        ledger.release(booking, 1000, voucher);
    }
    ledger.wake().unwrap();
    assert_eq!((taken(&ledger), ledger.status()), ((CollectBy::Close, 6000), Status::Closing(CloseReason::Idle)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A close takes at most a third of what lay between the delivered and the best, when a voucher was dropped, more than the
    /// payer's vouchers would have allowed it to.
    #[test]
    fn a20_a_close_exceeds_what_was_signed_for_by_little(
        raises in prop::collection::vec((1..100_u128, 1..100_u128, 0..10_000_u64, prop::bool::weighted(0.3)), 1..120),
    ) {
        let policy = Policy { settle_amount: amount(u128::MAX), settle_after: 2 * POLICY.close_idle, ..POLICY };
        let mut ledger = Ledger { policy, ..Ledger::new(u128::MAX) };
        let (mut signed, mut widest) = (Vec::new(), 0);
        for (raise, price, millis, fails) in raises {
            let total = signed.last().copied().unwrap_or(0) + raise;
            signed.push(total);
            let bought = ledger.buy(total, draw_down(price));
            let (accepted, _, delivered) = ledger.counters();
            widest = widest.max(accepted - delivered);
            if let Ok(bought) = bought && fails {
                ledger.release(bought.booking, price, total);
            }
            ledger.pass(Duration::from_millis(millis));
            let mut quiet = ledger.clone();
            let idle = quiet.now.saturating_add(POLICY.close_idle + MATURITY);
            while quiet.alarm.is_some_and(|at| at <= idle) && quiet.submitted().is_none() {
                quiet.now = quiet.now.max(quiet.alarm.unwrap());
                quiet.step(Event::Woken).unwrap();
            }
            let Some(Effect::Submit(close)) = quiet.effects.first() else { continue };
            let spent = quiet.counters().1;
            let least = signed.iter().copied().find(|total| *total >= spent).unwrap();
            let taken = close.payout.voucher.cumulative;
            prop_assert!(taken >= amount(least), "{taken} does not cover {spent}");
            prop_assert!(taken <= amount(least + widest / 3), "{taken} for {spent}, where {least} was signed; {widest}");
            prop_assert_eq!(quiet.channel.published(), Some(taken).filter(|taken| *taken > Amount::ZERO));
        }
    }
}
