//! A27, A28: settlements that fail, and those that are not worth their gas.

use super::fixture::*;
use mpp_edge::channel::{Answer, CloseReason, CollectBy, Collection, Drawn, Effect, Event, Policy, PresentedVoucher, Refusal, Status};
use mpp_edge::evm::escrow::OnChain;
use mpp_edge::settlement::{Failure, Verdict};
use std::time::Duration;

const REFUSED: Verdict = Verdict::Failed(Failure::Refused);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn taken(collection: Collection) -> (CollectBy, u128) {
    (collection.by, collection.payout.voucher.cumulative.base_units())
}

/// 1000 are sold and about to be settled.
fn settling() -> (Ledger, Collection) {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    let collection = ledger.wake().unwrap();
    (ledger, collection)
}

/// Whatever is submitted fails; what the chain shows is told to who asks. Returns the tries, each with the seconds since the last.
fn fail(ledger: &mut Ledger, shown: OnChain, verdict: Verdict, time: Duration) -> Vec<(CollectBy, u64)> {
    let end = ledger.now.saturating_add(time);
    let (mut tries, mut last) = (Vec::new(), ledger.now);
    while ledger.alarm.is_some_and(|at| at <= end) {
        let submitted = ledger.wake();
        if ledger.effects.contains(&Effect::Inspect) {
            ledger.observe(shown);
        }
        if let Some(collection) = submitted {
            tries.push((collection.by, ledger.now.since(last).as_secs()));
            last = ledger.now;
            ledger.conclude(collection, verdict);
        }
        assert!(tries.len() < 200, "it never rests");
    }
    ledger.now = ledger.now.max(end);
    tries
}

#[test]
fn a27_after_a_failed_settlement_nothing_is_sold_until_one_succeeds() {
    for verdict in [REVERTED, REFUSED] {
        let (mut ledger, collection) = settling();
        let sale = ledger.bought(2000, stream(10, 8));
        ledger.conclude(collection, verdict);
        for order in [Some(once(10)), Some(draw_down(10)), Some(draw_down(0)), Some(stream(10, 8)), None] {
            ledger.refuses(Event::Voucher(presented(3000), order), Refusal::Uncollectable);
        }
        // What is under way is brought to its end.
        assert_eq!(ledger.draw(sale, 8, 8), Ok(Drawn::Over));
        let mut shown = ledger.clone();
        let again = ledger.submits(on_chain(10_000, 0)).unwrap();
        ledger.conclude(again, DONE);
        ledger.bought(3000, draw_down(10));
        // Or the chain shows that it was settled after all.
        shown.observe(on_chain(10_000, 1000));
        shown.bought(3000, draw_down(10));
        assert_eq!((shown.channel.failures(), shown.channel.reverts()), (0, 0));
    }
}

#[test]
fn a27_retries_are_ever_more_seldom() {
    let (mut ledger, collection) = settling();
    ledger.conclude(collection, REFUSED);
    let tries = fail(&mut ledger, on_chain(10_000, 0), REFUSED, DAY - HOUR);
    let waits: Vec<u64> = tries.iter().map(|(_, seconds)| *seconds).collect();
    assert_eq!(waits[..8], [30, 60, 120, 240, 480, 960, 1920, 3600]);
    assert!(waits[8..].iter().all(|seconds| *seconds == 3600) && waits.len() < 32, "{waits:?}");
    assert_eq!(ledger.channel.reverts(), 0, "what is not sent costs nothing");
}

/// It simulates well, is mined, and reverts, each time (A19): 74M gas were spent in 144 s on 3 units.
#[test]
fn a27_little_gas_is_lost_on_one_channel() {
    let (mut ledger, collection) = settling();
    ledger.conclude(collection, REVERTED);
    let tries = fail(&mut ledger, on_chain(10_000, 0), REVERTED, DAY - HOUR);
    assert_eq!(tries, [(CollectBy::Settle, 30), (CollectBy::Settle, 60), (CollectBy::Settle, 120)]);
    // One a day from there on, of whatever kind, until it is unused and later.
    let tries = fail(&mut ledger, on_chain(10_000, 0), REVERTED, 10 * DAY);
    assert!((9..=11).contains(&tries.len()), "{tries:?}");
    // Nor does its payer get more of it by asking for the end.
    for total in 1001..1050 {
        ledger.step(Event::Close(presented(total))).unwrap();
        if let Some(collection) = ledger.submitted() {
            ledger.conclude(collection, REVERTED);
        }
    }
    assert!(ledger.channel.reverts() <= 16, "{}", ledger.channel.reverts());
}

/// The payer is blacklisted by the token: `close` reverts where it refunds, `settle` pays.
fn blacklisted(ledger: &mut Ledger, time: Duration) -> Vec<(CollectBy, bool)> {
    let end = ledger.now.saturating_add(time);
    let mut tries = Vec::new();
    while ledger.alarm.is_some_and(|at| at <= end) && ledger.status() != (Status::Closed { transaction: None }) {
        let submitted = ledger.wake();
        if ledger.effects.contains(&Effect::Inspect) {
            let shown = on_chain(10_000, ledger.settled());
            let is_forced = ledger.status() == Status::Closing(CloseReason::Requested);
            ledger.observe(if is_forced { requested(shown) } else { shown });
        }
        if let Some(collection) = submitted {
            let pays = collection.by == CollectBy::Settle;
            tries.push((collection.by, pays));
            ledger.conclude(collection, if pays { DONE } else { REFUSED });
        }
        assert!(tries.len() < 200, "it never rests");
    }
    ledger.now = ledger.now.max(end);
    tries
}

#[test]
fn a27_where_a_close_fails_a_settlement_pays() {
    let used = || {
        let mut ledger =
            Ledger { policy: Policy { settle_amount: amount(10_000), settle_after: 10 * DAY, ..POLICY }, ..Ledger::new(10_000) };
        ledger.bought(500, draw_down(400));
        ledger
    };
    let (mut idle, mut asked, mut forced) = (used(), used(), used());
    idle.pass(2 * DAY);
    asked.step(Event::Close(presented(600))).unwrap();
    let close = asked.submitted().unwrap();
    asked.conclude(close, REFUSED);
    forced.observe(requested(on_chain(10_000, 0)));
    for (mut ledger, settled, closes) in [(idle, 500, 4), (asked, 600, 3), (forced, 500, 1)] {
        let tries = blacklisted(&mut ledger, 10 * DAY);
        assert_eq!(ledger.settled(), settled, "{tries:?}");
        // Then it only helps the payer, and is not tried for ever.
        let count = |by| tries.iter().filter(|(tried, _)| *tried == by).count();
        assert_eq!((count(CollectBy::Settle), count(CollectBy::Close)), (1, closes), "{tries:?}");
        assert!(matches!(ledger.status(), Status::Closing(_)));
        for _ in 0..3 {
            ledger.step(Event::Woken).unwrap();
            assert_eq!(ledger.submitted(), None);
        }
    }
}

/// The grace period runs: hours of waiting, or gas that was lost before, do not let the money escape.
#[test]
fn a27_a_forced_close_is_tried_within_its_grace_period() {
    for (verdict, most) in [(REFUSED, 12), (REVERTED, 10)] {
        let (mut ledger, collection) = settling();
        ledger.conclude(collection, verdict);
        fail(&mut ledger, on_chain(10_000, 0), verdict, DAY / 2);
        let before = ledger.channel.reverts();
        ledger.observe(requested(on_chain(10_000, 0)));
        let tries = fail(&mut ledger, requested(on_chain(10_000, 0)), verdict, Duration::from_secs(600));
        assert!(tries.len() >= 5, "{tries:?}");
        assert!(tries.len() <= most && tries.iter().all(|(_, seconds)| *seconds <= 120), "{tries:?}");
        assert!(tries.iter().any(|(payment, _)| *payment == CollectBy::Settle), "{tries:?}");
        assert!(ledger.channel.reverts() <= 10 && ledger.channel.reverts() >= before);
    }
}

/// The payer who has asked us, and whose close fails, asks the escrow: what was put off is tried at once, and again in time.
#[test]
fn a27_so_is_one_that_was_asked_for_before() {
    let (mut ledger, collection) = settling();
    ledger.conclude(collection, REFUSED);
    ledger.step(Event::Close(presented(1001))).unwrap();
    ledger.conclude(ledger.channel.collection().unwrap(), REFUSED);
    fail(&mut ledger, on_chain(10_000, 0), REFUSED, DAY / 2);
    ledger.observe(requested(on_chain(10_000, 0)));
    assert_eq!(ledger.status(), Status::Closing(CloseReason::Asked));
    let tries = fail(&mut ledger, requested(on_chain(10_000, 0)), REFUSED, Duration::from_secs(600));
    assert!(tries.len() >= 5 && tries.iter().all(|(_, seconds)| *seconds <= 120), "{tries:?}");
}

fn worth(minimum: u128) -> Policy {
    Policy { settle_minimum: amount(minimum), settle_after: Duration::from_secs(5), close_idle: Duration::from_secs(60), ..POLICY }
}

/// Five units over 17 s made five settlements.
#[test]
fn a28_a_settlement_is_worth_its_gas() {
    for (minimum, settlements) in [(0, 5), (5, 1), (6, 0)] {
        let policy = Policy { delivery_window: Duration::from_secs(1), close_idle: DAY, ..worth(minimum) };
        let mut ledger = Ledger { policy, ..Ledger::new(10_000) };
        let mut made = 0;
        for index in 1..=5 {
            ledger.bought(index, draw_down(1));
            let until = ledger.now.saturating_add(Duration::from_secs(7));
            made += ledger.run(until).len();
        }
        assert_eq!(made, settlements, "at least {minimum}");
        // Of age is what has waited, so the next unit that makes it enough is settled soon.
        ledger.bought(6, draw_down(1));
        made += ledger.run(ledger.now.saturating_add(Duration::from_secs(7))).len();
        assert_eq!(made, if minimum == 5 { 1 } else { settlements + 1 }, "at least {minimum}");
    }
}

#[test]
fn a28_an_idle_channel_is_closed_where_that_brings_enough() {
    for (minimum, is_closed) in [(99, true), (100, true), (101, false)] {
        let mut ledger = Ledger { policy: Policy { settle_after: DAY, ..worth(minimum) }, ..Ledger::new(10_000) };
        ledger.bought(100, draw_down(100));
        ledger.run(ledger.now.saturating_add(10 * DAY));
        assert_eq!(matches!(ledger.status(), Status::Closed { .. }), is_closed, "at least {minimum}");
    }
}

#[test]
fn a28_money_at_risk_is_brought_in_however_little() {
    let mut ledger = Ledger { policy: worth(1_000_000), ..Ledger::new(10_000) };
    ledger.bought(1, draw_down(1));
    let mut asked = ledger.clone();
    ledger.observe(requested(on_chain(10_000, 0)));
    assert_eq!(ledger.wake().map(taken), Some((CollectBy::Close, 1)));
    let close = Event::Close(PresentedVoucher { fresh: true, ..presented(1) });
    assert_eq!(asked.step(close), Ok(Answer::Closing));
    assert_eq!(asked.submitted().map(taken), Some((CollectBy::Close, 1)));
}

/// A19, A27: a settlement that the policy did not ask for has failed, since the signer had code for a while.
#[test]
fn a27_what_failed_is_made_up_for_however_little_it_brings() {
    let mut ledger = Ledger::new(10_000);
    ledger.policy.settle_minimum = amount(500);
    ledger.bought(10, once(10));
    ledger.pass(3 * ledger.policy.delivery_window);
    let with_code = Event::Observed(mpp_edge::evm::reading::Reading { signer_has_code: true, ..seen(on_chain(10_000, 0)) });
    ledger.step(with_code).unwrap();
    let tried = ledger.submits(on_chain(10_000, 0)).unwrap();
    ledger.conclude(tried, REFUSED);
    ledger.observe(on_chain(10_000, 0));
    ledger.refuses(Event::Voucher(presented(20), Some(once(10))), Refusal::Uncollectable);
    let again = ledger.submits(on_chain(10_000, 0)).unwrap();
    assert_eq!(taken(again), (CollectBy::Settle, 10));
    ledger.conclude(again, DONE);
    ledger.bought(20, once(10));
}
