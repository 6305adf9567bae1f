//! What the chain shows: taking channels on, settlements and ends by others, requests to close, reorganisations.

use super::fixture::*;
use mpp_edge::channel::{Answer, Channel, CloseReason, CollectBy, Collection, Effect, Event, Expected, Policy, Refusal, Status, Unfit};
use mpp_edge::evm::Address;
use mpp_edge::evm::escrow::{EscrowFacts, OnChain};
use mpp_edge::evm::reading::Reading;
use mpp_edge::rail::evm::Asset;
use mpp_edge::settlement::{Failure, Verdict};
use mpp_edge::time::{Timestamp, UnixSeconds};
use std::time::Duration;

fn taken(collection: Collection) -> (CollectBy, u128) {
    (collection.by, collection.payout.voucher.cumulative.base_units())
}

#[test]
fn what_is_not_taken_on() {
    let fit = on_chain(1000, 0);
    let adopt = |on_chain: OnChain, facts: EscrowFacts| {
        Channel::adopt(ID, &seen(on_chain), &facts, &EXPECTED, Timestamp::from_millis(START * 1000)).map(|channel| channel.status())
    };
    assert_eq!(adopt(fit, FACTS), Ok(Status::Open));
    for (unfit, why) in [
        (ABSENT, Unfit::Absent),
        (FINALIZED, Unfit::Finalized),
        (OnChain { finalized: true, ..fit }, Unfit::Finalized),
        (OnChain { payee: STRANGER, ..fit }, Unfit::OtherPayee),
        (OnChain { token: STRANGER, ..fit }, Unfit::OtherToken),
        (requested(fit), Unfit::CloseRequested),
        (on_chain(9, 0), Unfit::TooSmall),
        (on_chain(1000, 991), Unfit::TooSmall),
        (on_chain(1000, 1000), Unfit::TooSmall),
        (on_chain(1000, 1001), Unfit::TooSmall),
    ] {
        assert_eq!(adopt(unfit, FACTS), Err(why));
    }
    assert_eq!(adopt(on_chain(1000, 990), FACTS), Ok(Status::Open));
    let short = EscrowFacts { grace_period: Duration::from_secs(599), ..FACTS };
    assert_eq!(adopt(fit, short), Err(Unfit::GracePeriod));
    let just = EscrowFacts { grace_period: Duration::from_secs(600), ..FACTS };
    assert_eq!(adopt(fit, just), Ok(Status::Open));
    let other = EscrowFacts { separator: ID, ..FACTS };
    assert_eq!(adopt(fit, other), Err(Unfit::OtherDomain));
    let expected = Expected { escrow: STRANGER, ..EXPECTED };
    let channel = Channel::adopt(ID, &seen(fit), &FACTS, &expected, Timestamp::from_millis(0)).unwrap();
    assert_eq!((channel.escrow(), channel.payer(), channel.signer(), channel.id()), (STRANGER, PAYER, SIGNER, ID));
}

#[test]
fn only_a_wrong_configuration_has_no_answer_for_the_client() {
    for (unfit, status) in [
        (Unfit::Absent, Some(410)),
        (Unfit::Finalized, Some(410)),
        (Unfit::CloseRequested, Some(410)),
        (Unfit::OtherPayee, Some(402)),
        (Unfit::OtherToken, Some(402)),
        (Unfit::TooSmall, Some(402)),
        (Unfit::GracePeriod, None),
        (Unfit::OtherDomain, None),
    ] {
        assert_eq!(unfit.problem().map(|problem| problem.kind.status()), status, "{unfit:?}");
    }
}

#[test]
fn what_is_settled_was_sold_before() {
    let mut ledger = Ledger::adopted(&on_chain(1000, 300));
    assert_eq!((ledger.counters(), ledger.settled()), ((300, 300, 300), 300));
    for cumulative in [300, 100] {
        assert_eq!(ledger.buy(cumulative, once(0)), Err(Refusal::Insufficient));
    }
    assert_eq!(ledger.counters(), (300, 300, 300));
    assert_eq!(ledger.buy(305, once(10)), Err(Refusal::Insufficient));
    ledger.bought(310, once(10));
    let until = ledger.now.saturating_add(2 * POLICY.settle_after);
    assert_eq!(ledger.run(until).into_iter().map(taken).collect::<Vec<_>>(), [(CollectBy::Settle, 310)]);
}

#[test]
fn another_gateway_of_the_payee_has_settled() {
    // (settled, then: accepted, spent, delivered), where 500 is accepted, 200 spent and 100 delivered.
    for (settled, counters) in
        [(50, (500, 200, 100)), (100, (500, 200, 100)), (150, (500, 200, 200)), (300, (500, 300, 300)), (900, (900, 900, 900))]
    {
        let mut ledger = Ledger::new(1000);
        ledger.bought(100, once(100));
        ledger.pass(MATURITY);
        let booking = ledger.bought(500, once(100));
        ledger.observe(on_chain(1000, settled));
        assert_eq!((ledger.counters(), ledger.settled()), (counters, settled));
        ledger.again(Event::Observed(seen(on_chain(1000, settled))));
        // What is settled cannot be released.
        ledger.release(booking, 100, 500);
        assert_eq!(ledger.counters().1, if settled <= 100 { 100 } else { counters.1 });
        ledger.bought(1000, once(100));
    }
}

#[test]
fn somebody_has_ended_it() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, once(500));
    ledger.observe(FINALIZED);
    assert_eq!(ledger.status(), Status::Closed { transaction: None });
    ledger.refuses(Event::Close(presented(500)), Refusal::Closed);
    ledger.again(Event::Observed(seen(FINALIZED)));
    // An alarm that was set before finds nothing to do.
    assert_eq!((ledger.wake(), ledger.alarm), (None, None));
}

/// A node that lags behind must not undo what another has shown: a request to close, an addition, a reorganisation.
#[test]
fn an_earlier_block_has_nothing_to_say() {
    let at = |block, on_chain| Event::Observed(Reading { block, on_chain, signer_has_code: false });
    for (later, earlier) in [
        (requested(on_chain(1000, 0)), on_chain(1000, 0)),
        (on_chain(1000, 0), on_chain(500, 0)),
        (ABSENT, on_chain(1000, 0)),
        (on_chain(1000, 500), on_chain(1000, 0)),
        (on_chain(1000, 0), FINALIZED),
    ] {
        let mut ledger = Ledger::new(1000);
        ledger.bought(1000, once(1000));
        ledger.step(at(BLOCK + 2, later)).unwrap();
        let seen = ledger.channel.clone();
        assert_eq!(ledger.step(at(BLOCK + 1, earlier)), Ok(Answer::Behind));
        assert_eq!(ledger.channel, seen, "{later:?}, {earlier:?}");
        // Its own block may be read again, and the next says something.
        ledger.step(at(BLOCK + 2, earlier)).unwrap();
        assert_ne!(ledger.channel, seen, "{later:?}, {earlier:?}");
    }
}

/// A node that told of a block that never was is not believed for ever, nor is a chain that was begun anew ignored.
#[test]
fn a_block_that_never_was_is_forgotten_after_five_minutes() {
    let at = |block| Event::Observed(Reading { block, on_chain: requested(on_chain(1000, 0)), signer_has_code: false });
    let mut ledger = Ledger::new(1000);
    ledger.step(Event::Observed(Reading { block: u64::MAX, on_chain: on_chain(1000, 0), signer_has_code: false })).unwrap();
    ledger.pass(Duration::from_secs(299));
    assert_eq!(ledger.step(at(BLOCK)), Ok(Answer::Behind));
    ledger.pass(Duration::from_secs(1));
    assert_eq!(ledger.step(at(BLOCK)), Ok(Answer::Noted));
    assert_eq!(ledger.status(), Status::Closing(CloseReason::Requested));
}

#[test]
fn a_channel_of_another_payee_or_token_is_outdated() {
    let channel = Ledger::new(1000).channel;
    let Expected { payee, asset, .. } = EXPECTED;
    assert_eq!(channel.check_payee(payee, asset), Ok(()));
    assert_eq!(channel.check_payee(asset.token, asset), Err(Refusal::Outdated));
    assert_eq!(channel.check_payee(payee, Asset { token: payee, ..asset }), Err(Refusal::Outdated));
    assert_eq!(Refusal::Outdated.problem().kind.status(), 410);
}

#[test]
fn our_own_end_is_seen_before_it_is_told() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, once(500));
    ledger.step(Event::Close(presented(500))).unwrap();
    let close = ledger.submitted().unwrap();
    ledger.observe(FINALIZED);
    assert_eq!(ledger.status(), Status::Closing(CloseReason::Asked));
    assert_eq!(ledger.conclude(close, DONE), Answer::Closed(TRANSACTION));
    assert_eq!(ledger.status(), Status::Closed { transaction: Some(TRANSACTION) });
}

#[test]
fn a_settlement_on_its_way_ends_with_the_channel() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(1000, once(1000));
    let settle = ledger.wake().unwrap();
    ledger.observe(FINALIZED);
    assert_eq!((ledger.status(), ledger.channel.collection()), (Status::Closed { transaction: None }, None));
    ledger.again(Event::Concluded(settle, REVERTED));
}

/// Whoever was faster: our close can only fail from then on.
#[test]
fn somebody_has_ended_it_while_our_end_was_on_its_way() {
    for (first_shown, verdict) in [
        (true, Verdict::Failed(Failure::UsedElsewhere)),
        (true, REVERTED),
        (false, Verdict::Failed(Failure::UsedElsewhere)),
        (false, REVERTED),
    ] {
        let mut ledger = Ledger::new(1000);
        ledger.bought(500, once(500));
        ledger.observe(requested(on_chain(1000, 0)));
        let close = ledger.wake().unwrap();
        if first_shown {
            ledger.observe(FINALIZED);
        }
        ledger.conclude(close, verdict);
        let mut tries = 0;
        while let Some(again) = ledger.submits(FINALIZED) {
            tries += 1;
            assert!(tries < 3, "it never ends");
            if ledger.channel.collection() == Some(again) {
                ledger.conclude(again, REVERTED);
            }
        }
        assert_eq!((ledger.status(), ledger.alarm), (Status::Closed { transaction: None }, None));
    }
}

#[test]
fn a11_a_request_to_close_freezes_and_brings_what_was_spent() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(100, once(100));
    ledger.voucher(400).unwrap();
    let sale = ledger.bought(500, stream(10, 8));
    ledger.observe(requested(on_chain(1000, 0)));
    assert_eq!(ledger.status(), Status::Closing(CloseReason::Requested));
    assert_eq!(ledger.alarm, Some(ledger.now), "at once");
    ledger.refuses(Event::Voucher(presented(600), Some(once(10))), Refusal::Closing);
    ledger.end(sale, 3);
    // 130 are spent: the smallest voucher that covers them.
    let close = ledger.wake().unwrap();
    assert_eq!(taken(close), (CollectBy::Close, 400));
    ledger.again(Event::Observed(seen(requested(on_chain(1000, 0)))));
    ledger.conclude(close, DONE);
    assert_eq!(ledger.status(), Status::Closed { transaction: Some(TRANSACTION) });
}

#[test]
fn a_request_while_a_settlement_is_on_its_way() {
    for verdict in [DONE, REVERTED] {
        let mut ledger = Ledger::new(10_000);
        ledger.bought(1000, once(1000));
        let settle = ledger.wake().unwrap();
        ledger.bought(1200, once(100));
        ledger.observe(requested(on_chain(10_000, 0)));
        ledger.conclude(settle, verdict);
        let (since, settled) = (ledger.now, ledger.settled());
        let close = ledger.submits(requested(on_chain(10_000, settled))).unwrap();
        assert_eq!(taken(close), (CollectBy::Close, 1200));
        assert!(ledger.now.since(since) <= 2 * RETRY);
    }
}

#[test]
fn where_nothing_is_at_risk_the_payer_withdraws_by_itself() {
    let mut unused = Ledger::new(1000);
    let mut settled = Ledger::new(1000);
    settled.bought(1000, once(1000));
    let until = settled.now.saturating_add(2 * MATURITY);
    assert_eq!(settled.run(until).len(), 1);
    settled.alarm = None;
    unused.observe(requested(on_chain(1000, 0)));
    settled.observe(requested(on_chain(1000, 1000)));
    for mut ledger in [unused, settled] {
        assert_eq!((ledger.status(), ledger.alarm), (Status::Closing(CloseReason::Requested), None));
        ledger.step(Event::Woken).unwrap();
        assert_eq!(ledger.effects, []);
        ledger.observe(FINALIZED);
        assert_eq!(ledger.status(), Status::Closed { transaction: None });
    }
}

#[test]
fn a_request_is_taken_back_by_a_top_up() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, once(500));
    ledger.observe(requested(on_chain(1000, 0)));
    let mut begun = ledger.clone();
    ledger.observe(on_chain(2000, 0));
    assert_eq!(ledger.status(), Status::Open);
    ledger.bought(1500, once(500));
    // What was begun ends.
    let close = begun.wake().unwrap();
    begun.observe(on_chain(2000, 0));
    assert_eq!((begun.status(), begun.channel.collection()), (Status::Closing(CloseReason::Requested), Some(close)));
    begun.conclude(close, DONE);
    assert_eq!(begun.status(), Status::Closed { transaction: Some(TRANSACTION) });
}

#[test]
fn what_the_payer_asked_us_is_not_taken_back_by_a_top_up() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, once(500));
    ledger.step(Event::Close(presented(500))).unwrap();
    ledger.conclude(ledger.channel.collection().unwrap(), REVERTED);
    ledger.observe(requested(on_chain(1000, 0)));
    ledger.observe(on_chain(2000, 0));
    assert_eq!(ledger.status(), Status::Closing(CloseReason::Asked));
    assert_eq!(ledger.submits(on_chain(2000, 0)).map(taken), Some((CollectBy::Close, 500)));
}

#[test]
fn a18_a_settlement_that_is_taken_back_is_made_again() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    let first = ledger.wake().unwrap();
    ledger.conclude(first, DONE);
    ledger.observe(on_chain(10_000, 1000));
    ledger.bought(1100, once(100));
    ledger.observe(on_chain(10_000, 0));
    assert_eq!((ledger.settled(), ledger.counters()), (0, (1100, 1100, 1000)));
    ledger.again(Event::Observed(seen(on_chain(10_000, 0))));
    let second = ledger.submits(on_chain(10_000, 0)).unwrap();
    assert_eq!(taken(second), (CollectBy::Settle, 1000));
    assert_ne!(first, second);
    // The chain brings the first back meanwhile: both ends are the same.
    ledger.observe(on_chain(10_000, 1000));
    ledger.again(Event::Concluded(first, DONE));
    ledger.conclude(second, DONE);
    assert_eq!(ledger.settled(), 1000);
}

/// What was read before the settlement was mined may be told after it was concluded.
#[test]
fn a_settlement_that_a_reading_is_too_old_to_show_is_not_made_again() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    let first = ledger.wake().unwrap();
    ledger.conclude(first, DONE);
    ledger.observe(on_chain(10_000, 0));
    let ends = ledger.wake();
    assert_eq!((ends, ledger.effects.contains(&Effect::Inspect)), (None, true));
    ledger.observe(on_chain(10_000, 1000));
    assert_eq!((ledger.settled(), ledger.channel.collection()), (1000, None));
}

#[test]
fn a_settlement_on_its_way_is_not_begun_again_by_a_reorganisation() {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    let settle = ledger.wake().unwrap();
    ledger.observe(on_chain(10_000, 1000));
    ledger.observe(on_chain(10_000, 0));
    assert_eq!(ledger.channel.collection(), Some(settle));
    assert_eq!(ledger.wake(), Some(settle));
    ledger.conclude(settle, DONE);
    assert_eq!(ledger.settled(), 1000);
}

#[test]
fn a18_an_opening_that_is_taken_back_suspends() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, once(100));
    ledger.observe(ABSENT);
    assert_eq!(ledger.status(), Status::Suspended);
    ledger.refuses(Event::Voucher(presented(600), Some(once(10))), Refusal::Suspended);
    ledger.refuses(Event::Close(presented(600)), Refusal::Suspended);
    ledger.observe(on_chain(1000, 0));
    assert_eq!((ledger.status(), ledger.counters()), (Status::Open, (500, 100, 0)));
    ledger.bought(600, once(100));
}

#[test]
fn an_addition_that_is_taken_back_suspends_when_it_was_relied_on() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, once(100));
    ledger.observe(on_chain(2000, 0));
    let mut relied_on = ledger.clone();
    relied_on.bought(1500, once(100));
    for (mut ledger, status) in [(ledger, Status::Open), (relied_on, Status::Suspended)] {
        ledger.observe(on_chain(1000, 0));
        assert_eq!(ledger.status(), status);
        ledger.observe(on_chain(2000, 0));
        assert_eq!(ledger.status(), Status::Open);
    }
}

#[test]
fn a_suspended_channel_whose_payer_asks_for_the_end_is_closing() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, once(100));
    ledger.observe(ABSENT);
    ledger.observe(requested(on_chain(1000, 0)));
    assert_eq!(ledger.status(), Status::Closing(CloseReason::Requested));
    assert_eq!(ledger.wake().map(taken), Some((CollectBy::Close, 500)));
}

#[test]
fn an_opening_that_is_taken_back_during_a_request_suspends() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(500, once(100));
    ledger.observe(requested(on_chain(1000, 0)));
    ledger.observe(ABSENT);
    assert_eq!(ledger.status(), Status::Suspended);

    // One reorganisation takes an addition and a request back.
    let mut ledger = Ledger::new(1000);
    ledger.observe(on_chain(2000, 0));
    ledger.bought(1500, once(100));
    ledger.observe(requested(on_chain(2000, 0)));
    ledger.observe(on_chain(1000, 0));
    assert_eq!(ledger.status(), Status::Suspended);
}

/// The escrow takes no voucher above the deposit; a smaller one is better than none.
#[test]
fn the_end_takes_no_more_than_the_deposit() {
    let relied_on = || {
        let mut ledger = Ledger::new(1000);
        ledger.bought(500, once(100));
        ledger.observe(on_chain(2000, 0));
        ledger.bought(1500, once(100));
        ledger
    };
    let mut requesting = relied_on();
    requesting.observe(requested(on_chain(1000, 0)));
    let mut suspended = relied_on();
    suspended.observe(on_chain(1000, 0));
    suspended.observe(requested(on_chain(1000, 0)));
    let mut asked = relied_on();
    asked.step(Event::Close(presented(1500))).unwrap();
    asked.conclude(asked.channel.collection().unwrap(), REVERTED);
    asked.observe(on_chain(1000, 0));
    for mut ledger in [requesting, suspended, asked] {
        let shown = OnChain { close_requested_at: UnixSeconds::new(START), ..on_chain(1000, 0) };
        assert_eq!(ledger.submits(shown).map(taken), Some((CollectBy::Close, 500)), "{:?}", ledger.status());
    }
}

/// Nor does that of a channel that was not used: if what covers all that was spent exceeds it, the best that does not.
#[test]
fn the_end_of_an_unused_channel_takes_no_more_than_the_deposit() {
    // One that settles nothing before.
    let policy = Policy { settle_amount: amount(10_000), settle_after: 2 * POLICY.close_idle, ..POLICY };
    let mut ledger = Ledger { policy, ..Ledger::new(1000) };
    ledger.bought(500, once(100));
    ledger.observe(on_chain(2000, 0));
    ledger.bought(1500, once(600));
    let close = ledger.wake().unwrap();
    assert_eq!((taken(close), ledger.status()), ((CollectBy::Close, 1500), Status::Closing(CloseReason::Idle)));
    ledger.conclude(close, REVERTED);
    ledger.observe(on_chain(1000, 0));
    assert_eq!(ledger.submits(on_chain(1000, 0)).map(taken), Some((CollectBy::Close, 500)));
}

#[test]
fn what_the_rest_of_the_deposit_does_not_hold_is_not_at_risk() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(1000, once(1000));
    let settle = ledger.wake().unwrap();
    ledger.conclude(settle, DONE);
    ledger.observe(on_chain(2000, 1000));
    ledger.bought(1500, once(100));
    ledger.observe(requested(on_chain(1000, 1000)));
    assert_eq!(ledger.submits(requested(on_chain(1000, 1000))), None);
    assert_eq!(ledger.alarm, None);
    // The addition comes back.
    ledger.observe(requested(on_chain(2000, 1000)));
    assert_eq!(ledger.submits(requested(on_chain(2000, 1000))).map(taken), Some((CollectBy::Close, 1500)));
}

/// A voucher for nothing closes a channel, but not one that is not there.
#[test]
fn a_channel_that_is_not_there_is_not_closed() {
    let mut ledger = Ledger::new(1000);
    ledger.step(Event::Close(presented(0))).unwrap();
    ledger.conclude(ledger.channel.collection().unwrap(), REVERTED);
    ledger.observe(ABSENT);
    assert_eq!(ledger.submits(ABSENT), None);
    ledger.observe(on_chain(1000, 0));
    assert_eq!(ledger.submits(on_chain(1000, 0)).map(taken), Some((CollectBy::Close, 0)));
}

#[test]
fn an_end_for_which_no_voucher_is_good_waits_for_the_chain() {
    // Taken back is everything that was deposited, or all but less than the smallest voucher.
    for shown in [ABSENT, on_chain(400, 0)] {
        let mut ledger = Ledger::new(1000);
        ledger.bought(500, once(100));
        ledger.step(Event::Close(presented(500))).unwrap();
        ledger.pass(Duration::from_secs(1));
        ledger.conclude(ledger.channel.collection().unwrap(), Verdict::Failed(Failure::UsedElsewhere));
        ledger.observe(shown);
        let (mut wakes, mut looks) = (0, 0);
        while ledger.alarm.is_some_and(|at| at <= Timestamp::from_millis((START + 600) * 1000)) {
            assert_eq!(ledger.wake().map(taken), None);
            if ledger.effects.contains(&Effect::Inspect) {
                ledger.observe(shown);
                looks += 1;
            }
            wakes += 1;
            assert!(wakes <= 40, "woken all the time");
        }
        assert!(looks > 0, "what made it fail is looked at");
        ledger.observe(on_chain(1000, 0));
        assert_eq!(ledger.submits(on_chain(1000, 0)).map(taken), Some((CollectBy::Close, 500)));
    }
}

#[test]
fn the_signer_of_the_chain_is_the_payer_or_the_authorized() {
    assert_eq!(on_chain(1, 0).signer(), SIGNER);
    assert_eq!(OnChain { authorized_signer: Address::ZERO, ..on_chain(1, 0) }.signer(), PAYER);
}

const fn with_code(on_chain: mpp_edge::evm::escrow::OnChain) -> Event {
    Event::Observed(Reading { signer_has_code: true, ..seen(on_chain) })
}

/// The escrow asks the code of a signer that has some: what was sold may not be collected any more, and nothing else is sold.
#[test]
fn a_signer_with_code_sells_nothing_and_what_was_sold_is_settled_at_once() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(300, once(300));
    ledger.step(with_code(on_chain(1000, 0))).unwrap();
    assert_eq!(ledger.status(), Status::Suspended);
    ledger.refuses(Event::Voucher(presented(400), Some(once(100))), Refusal::SignerHasCode);
    ledger.refuses(Event::Voucher(presented(400), None), Refusal::SignerHasCode);
    // As soon as it counts as delivered, however little it is.
    let begun = ledger.now;
    let collection = ledger.wake().unwrap();
    assert!(ledger.now.since(begun) <= MATURITY);
    assert_eq!((collection.by, collection.payout.voucher), (CollectBy::Settle, voucher(300)));
    // Its code refuses it: it is tried again later, and sells no more for that.
    ledger.conclude(collection, REVERTED);
    assert_eq!(ledger.status(), Status::Suspended);
    assert_eq!((ledger.wake(), ledger.effects.contains(&Effect::Inspect)), (None, true));
    ledger.step(with_code(on_chain(1000, 0))).unwrap();
    let again = ledger.wake().unwrap();
    assert_ne!(again, collection);
    ledger.conclude(again, DONE);
    assert_eq!((ledger.settled(), ledger.wake()), (300, None));
}

#[test]
fn a_signer_whose_code_is_gone_sells_again() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(300, once(300));
    ledger.step(with_code(on_chain(1000, 0))).unwrap();
    ledger.observe(on_chain(1000, 0));
    assert_eq!(ledger.status(), Status::Open);
    ledger.bought(400, once(100));
}

/// Where the deposit is not shown either, there is nothing to settle from.
#[test]
fn a_signer_with_code_on_a_channel_that_is_not_shown_settles_nothing() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(300, once(300));
    ledger.step(with_code(ABSENT)).unwrap();
    ledger.pass(MATURITY);
    assert_eq!((ledger.status(), ledger.wake()), (Status::Suspended, None));
    ledger.refuses(Event::Voucher(presented(400), Some(once(100))), Refusal::Suspended);
}

#[test]
fn a_payer_closes_a_channel_whose_signer_has_code() {
    let mut ledger = Ledger::new(1000);
    ledger.bought(300, once(300));
    ledger.step(with_code(on_chain(1000, 0))).unwrap();
    assert_eq!(ledger.step(Event::Close(presented(300))), Ok(Answer::Closing));
    assert_eq!(ledger.submitted().map(|collection| collection.by), Some(CollectBy::Close));
}

#[test]
fn a_channel_whose_signer_has_code_is_not_taken_on() {
    let reading = Reading { signer_has_code: true, ..seen(on_chain(1000, 0)) };
    let adopted = Channel::adopt(ID, &reading, &FACTS, &EXPECTED, Timestamp::from_millis(START * 1000));
    assert_eq!(adopted.unwrap_err(), Unfit::SignerHasCode);
}
