//! One payment, step by step.

use super::*;
use crate::evm::B256;
use crate::evm::erc3009::{Authorization, SignedAuthorization};
use crate::evm::keccak256;
use crate::evm::key::PrivateKey;
use crate::rail::evm::Asset;
use crate::rail::evm::charge::{Binding, Charge};
use crate::time::UnixSeconds;
use alloy_primitives::Address;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const TX: B256 = B256::repeat_byte(7);
const LEASE: Duration = Duration::from_secs(10);

fn charge(id: &str) -> Payment {
    let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
    let authorization = Authorization {
        from: key.address(),
        to: Address::repeat_byte(2),
        value: Amount::from_base_units(10_000),
        valid_after: UnixSeconds::new(0),
        valid_before: NOW.seconds().saturating_add(300),
        nonce: B256::repeat_byte(3),
    };
    Payment::Evm(Charge {
        binding: Binding::Challenge { id: id.into(), expires: NOW.saturating_add(Duration::from_secs(300)), binds_nonce: true },
        asset: Asset { chain_id: 1, token: Address::repeat_byte(1) },
        signed: SignedAuthorization { authorization, signature: key.sign(keccak256(b"x")) },
    })
}

fn later(seconds: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(seconds))
}

fn claimed() -> Purchase {
    Purchase::present(None, charge("a"), None, NOW, false).unwrap().0
}

fn settled() -> Purchase {
    let mut payment = claimed();
    payment.submit(Some(1));
    payment.conclude(Verdict::Settled { transaction: TX });
    payment
}

fn present(payment: &Purchase, now: Timestamp) -> Result<Next, Refusal> {
    Purchase::present(Some(payment.clone()), charge("a"), None, now, false).map(|(_, next)| next)
}

#[test]
fn a_new_charge_is_simulated_and_its_copies_wait() {
    let payment = claimed();
    assert_eq!(Purchase::present(Some(payment.clone()), charge("a"), None, NOW, true).unwrap_err(), Refusal::Busy);
    // After a restart nobody is at work on it.
    assert_eq!(present(&payment, NOW), Ok(Next::Prepare));
}

#[test]
fn delivery_happens_once_and_needs_the_latest_lease() {
    let mut payment = settled();
    let (first, _) = payment.hand_over(NOW, LEASE).unwrap();
    assert_eq!(present(&payment, later(9)), Err(Refusal::Busy));
    assert_eq!(present(&payment, later(10)), Ok(Next::Deliver));
    let (second, _) = payment.hand_over(later(10), LEASE).unwrap();
    assert_eq!(payment.deliver(first, NOW), Err(Lost));
    assert_eq!(payment.deliver(second, NOW), Ok(TX.into()));
    // The answer may have been lost: the same holder may ask again, and nobody else.
    assert_eq!(payment.deliver(second, NOW), Ok(TX.into()));
    assert_eq!(payment.deliver(first, NOW), Err(Lost));
    assert_eq!(present(&payment, later(100)), Err(Refusal::Spent));
}

#[test]
fn a_failed_origin_leaves_the_payment_to_be_presented_again_even_late() {
    let mut payment = settled();
    let (lease, _) = payment.hand_over(NOW, LEASE).unwrap();
    let payment = payment.release(lease, Undelivered::Failed, NOW).unwrap();
    assert_eq!(present(&payment, later(10_000)), Ok(Next::Deliver));
    assert_eq!(payment.clone().deliver(lease, NOW), Err(Lost));
    assert_eq!(payment.forget_at(), later(300 + 86_400));
}

#[test]
fn a_broken_delivery_can_be_reopened_by_who_delivered() {
    let mut payment = settled();
    let (lease, _) = payment.hand_over(NOW, LEASE).unwrap();
    assert_eq!(payment.reopen(lease, NOW), Err(Lost));
    payment.deliver(lease, NOW).unwrap();
    assert_eq!(payment.reopen(lease + 1, NOW), Err(Lost));
    assert_eq!(payment.reopen(lease, NOW), Ok(()));
    assert_eq!(present(&payment, NOW), Ok(Next::Deliver));
}

#[test]
fn a_delivery_is_reopened_a_few_times_only() {
    let mut payment = settled();
    for _ in 1..MAX_CALLS {
        let (lease, _) = payment.hand_over(NOW, LEASE).unwrap();
        payment.deliver(lease, NOW).unwrap();
        payment.reopen(lease, NOW).unwrap();
    }
    let (lease, _) = payment.hand_over(NOW, LEASE).unwrap();
    payment.deliver(lease, NOW).unwrap();
    assert_eq!(payment.reopen(lease, NOW), Err(Lost));
}

#[test]
fn a_delivery_is_reopened_within_an_hour_of_the_first_one() {
    let mut payment = settled();
    let (lease, _) = payment.hand_over(NOW, LEASE).unwrap();
    payment.deliver(lease, NOW).unwrap();
    assert_eq!(payment.clone().reopen(lease, later(3_600)), Err(Lost));
    payment.reopen(lease, later(3_599)).unwrap();
    let (lease, _) = payment.hand_over(later(3_599), LEASE).unwrap();
    payment.deliver(lease, later(3_599)).unwrap();
    assert_eq!(payment.reopen(lease, later(3_600)), Err(Lost));
}

/// Calls the origin and leaves, time and again, until nothing is to be done; returns how often it was called.
fn leave_again_and_again(mut payment: Purchase, how: impl Fn(u32) -> Undelivered) -> (u32, Refusal) {
    for calls in 0..1_000 {
        let (presented, next) = match Purchase::present(Some(payment), charge("a"), None, NOW, false) {
            Ok(presented) => presented,
            Err(refusal) => return (calls, refusal),
        };
        payment = presented;
        let lease = match next {
            Next::Deliver => payment.hand_over(NOW, LEASE).unwrap().0,
            Next::Prepare => payment.reserve(NOW, LEASE).unwrap(),
            Next::Settle { .. } | Next::Replay { .. } => panic!("{next:?}"),
        };
        payment = payment.release(lease, how(calls), NOW).unwrap();
    }
    panic!("there is no end to it")
}

#[test]
fn a_client_that_leaves_has_the_origin_called_four_times_whether_it_has_paid_or_not() {
    for payment in [settled(), claimed()] {
        assert_eq!(leave_again_and_again(payment.clone(), |_| Undelivered::Unfinished), (4, Refusal::UsedUp));
        let failing_first = |calls| if calls < 5 { Undelivered::Failed } else { Undelivered::Unfinished };
        assert_eq!(leave_again_and_again(payment.clone(), failing_first), (9, Refusal::UsedUp));
        assert_eq!(leave_again_and_again(payment, |_| Undelivered::Failed), (8, Refusal::Resting(REST)));
    }
}

#[test]
fn a_lease_that_is_never_heard_of_again_counts() {
    let mut payment = settled();
    for turn in 0..4 {
        assert_eq!(present(&payment, later(10 * turn)), Ok(Next::Deliver));
        payment.hand_over(later(10 * turn), LEASE).unwrap();
    }
    assert_eq!(present(&payment, later(40)), Err(Refusal::UsedUp));
}

#[test]
fn a_client_that_left_before_the_origin_was_called_has_lost_nothing() {
    let mut payment = settled();
    for _ in 0..100 {
        let (lease, _) = payment.hand_over(NOW, LEASE).unwrap();
        payment = payment.release(lease, Undelivered::Uncalled, NOW).unwrap();
        assert_eq!(present(&payment, NOW), Ok(Next::Deliver));
    }
}

fn key(name: &str, body: &str) -> Option<Key> {
    Some(Key::new("a", name, "POST", "/v1/answers", keccak256(body)))
}

fn present_with(payment: &Purchase, key: Option<Key>) -> Result<(Purchase, Next), Refusal> {
    Purchase::present(Some(payment.clone()), charge("a"), key, NOW, false)
}

fn delivered_under(key: Option<Key>) -> (Purchase, LeaseId) {
    let mut payment = present_with(&settled(), key).unwrap().0;
    let (lease, _) = payment.hand_over(NOW, LEASE).unwrap();
    payment.deliver(lease, NOW).unwrap();
    (payment, lease)
}

#[test]
fn what_was_delivered_under_a_key_is_repeated_under_it_three_times() {
    let (mut payment, lease) = delivered_under(key("k", "question"));
    for _ in 0..3 {
        let (repeated, next) = present_with(&payment, key("k", "question")).unwrap();
        assert_eq!(next, Next::Replay { reference: TX.into() });
        payment = repeated;
        // Who holds the first delivery back does not get its price back for what its repetition got.
        assert_eq!(payment.reopen(lease, NOW), Err(Lost));
    }
    assert_eq!(present_with(&payment, key("k", "question")), Err(Refusal::Spent));
}

#[test]
fn a_key_stands_for_one_request() {
    let (payment, _) = delivered_under(key("k", "question"));
    assert_eq!(present_with(&payment, key("k", "another question")), Err(Refusal::KeyOfAnother));
    assert_eq!(present_with(&payment, key("l", "question")), Err(Refusal::Spent));
    assert_eq!(present_with(&payment, None), Err(Refusal::Spent));
    let (without, _) = delivered_under(None);
    assert_eq!(present_with(&without, key("k", "question")), Err(Refusal::Spent));
}

#[test]
fn the_key_is_that_of_the_request_that_was_delivered() {
    // Another request was begun before, and failed: its key repeats nothing.
    let first = present_with(&settled(), key("k", "first")).unwrap().0;
    assert_eq!(present_with(&first, key("k", "second")), Err(Refusal::KeyOfAnother));
    let mut payment = present_with(&first, key("l", "second")).unwrap().0;
    let (lease, _) = payment.hand_over(NOW, LEASE).unwrap();
    payment.deliver(lease, NOW).unwrap();
    assert_eq!(present_with(&payment, key("k", "first")), Err(Refusal::Spent));
    assert!(present_with(&payment, key("l", "second")).is_ok());
}

#[test]
fn a_reservation_that_called_the_origin_is_remembered() {
    let mut payment = claimed();
    let lease = payment.reserve(NOW, LEASE).unwrap();
    assert_eq!(payment.clone().release(lease, Undelivered::Uncalled, NOW), None);
    let called = payment.clone().release(lease, Undelivered::Unfinished, NOW).unwrap();
    assert_eq!((called.stage(), called.reserves(NOW, false)), (&Stage::Claimed, Amount::ZERO));
    // The transfer turns out not to succeed, after the origin was called: the next one is the second call.
    payment.resume(lease).unwrap();
    assert_eq!(leave_again_and_again(payment.forgo().unwrap(), |_| Undelivered::Unfinished), (3, Refusal::UsedUp));
    assert_eq!(claimed().forgo(), None);
}

#[test]
fn a_reservation_is_settled_by_its_holder_or_forgotten() {
    let mut payment = claimed();
    let lease = payment.reserve(NOW, LEASE).unwrap();
    assert_eq!(payment.reserves(NOW, false), Amount::from_base_units(10_000));
    assert_eq!(payment.reserves(later(10), false), Amount::ZERO);
    assert_eq!(payment.clone().release(lease, Undelivered::Uncalled, NOW), None);
    assert_eq!(payment.resume(lease + 1), Err(Lost));
    assert_eq!(payment.resume(lease), Ok(()));
    assert_eq!(payment.resume(lease), Err(Lost));
    payment.submit(Some(9));
    assert_eq!(payment.forget_at(), later(300 + 86_400));
    assert_eq!(present(&payment, later(280)), Ok(Next::Settle { gas_limit: Some(9) }));
    assert_eq!(present(&payment, later(10_000)), Ok(Next::Settle { gas_limit: None }));
}

#[test]
fn a_settled_reservation_stays_with_its_holder_unless_that_is_gone() {
    let mut payment = claimed();
    let lease = payment.reserve(NOW, LEASE).unwrap();
    payment.resume(lease).unwrap();
    payment.submit(Some(9));
    let mut abandoned = payment.clone().release(lease, Undelivered::Failed, NOW).unwrap();
    for payment in [&mut payment, &mut abandoned] {
        payment.conclude(Verdict::Settled { transaction: TX });
    }
    assert_eq!(payment.hand_back(lease, NOW, LEASE), Ok(TX.into()));
    assert_eq!(payment.deliver(lease, NOW), Ok(TX.into()));
    assert_eq!(payment.reopen(lease, NOW), Ok(()));
    assert_eq!(abandoned.hand_back(lease, NOW, LEASE), Err(Lost));
    assert_eq!(present(&abandoned, NOW), Ok(Next::Deliver));
}

#[test]
fn only_what_was_begun_in_time_is_finished_late() {
    assert!(matches!(Purchase::present(None, charge("a"), None, later(300), false), Err(Refusal::Untimely(_))));
    assert!(matches!(present(&claimed(), later(300)), Err(Refusal::Untimely(_))));
    assert!(matches!(Purchase::present(None, charge("a"), None, later(290), false), Err(Refusal::Untimely(_))));
    assert!(Purchase::present(None, charge("a"), None, later(289), false).is_ok());
}

#[test]
fn one_authorization_belongs_to_one_challenge() {
    assert_eq!(Purchase::present(Some(settled()), charge("b"), None, NOW, false).unwrap_err(), Refusal::OtherChallenge);
}

#[test]
fn a_verdict_is_final() {
    let mut payment = settled();
    payment.conclude(Verdict::Failed(Failure::Reverted));
    assert_eq!(payment.stage(), &Stage::Settled { reference: TX.into() });
    let mut failed = claimed();
    failed.conclude(Verdict::Failed(Failure::Expired));
    failed.conclude(Verdict::Settled { transaction: TX });
    assert_eq!(present(&failed, NOW), Err(Refusal::Failed(Failure::Expired)));
}
