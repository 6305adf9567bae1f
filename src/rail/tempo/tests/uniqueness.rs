//! What makes a payment one.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// However it is signed, sponsored, sent or shown.
#[test]
fn one_challenge_is_paid_once() {
    let gateway = sponsoring();
    let payment = pull(&gateway);
    let again = paying(&gateway).with(sample::VALID_BEFORE, rlp(&(END + 1))).signed(&key());
    let again = read(&gateway, &signed(&again)).unwrap();
    let sponsored = pull_sponsored(&gateway);
    let hash = read(&gateway, &pushed(hash_of(&payment))).unwrap();
    let another_hash = read(&gateway, &pushed(B256::repeat_byte(1))).unwrap();
    for other in [&again, &sponsored, &hash, &another_hash] {
        assert_eq!((payment.id(), payment.holder()), (other.id(), other.holder()));
        assert_ne!(&payment, other);
    }
    assert_ne!(hash_of(&payment), hash_of(&sponsored));
    // Its payer's signature resumes it; a hash only if it is that of what was sent, since anybody can read others off the chain.
    assert!(payment.is_same(&again) && payment.is_same(&sponsored) && payment.is_same(&hash) && hash.is_same(&payment));
    assert!(!payment.is_same(&another_hash) && !another_hash.is_same(&payment) && !another_hash.is_same(&hash));
    // So none of them buys a second time.
    let (mut purchase, _) = Purchase::present(None, payment, None, NOW, false).unwrap();
    purchase.settle(B256::repeat_byte(2).into());
    let (lease, _) = purchase.hand_over(NOW, LEASE).unwrap();
    purchase.deliver(lease, NOW).unwrap();
    for other in [again, sponsored, hash] {
        assert_eq!(Purchase::present(Some(purchase.clone()), other, None, NOW, false).unwrap_err(), Refusal::Spent);
    }
    assert_eq!(Purchase::present(Some(purchase), another_hash, None, NOW, false).unwrap_err(), Refusal::OtherChallenge);
}

#[test]
fn other_payers_challenges_and_tokens_are_other_payments() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let other = read_as(&gateway, &challenge(&gateway).0, &signed(&paying(&gateway).signed(&other_key())), None).unwrap();
    assert!(payment.holder() != other.holder() && !payment.is_same(&other));
    let of = |edit: fn(&mut Charge)| {
        let mut charge = charge(&payment).clone();
        edit(&mut charge);
        Payment::Tempo(charge)
    };
    let another = of(|charge| {
        charge.challenge = ID.into();
        charge.bound = Bound::to(sample::REALM, ID);
    });
    assert!(another.id() != payment.id() && !payment.is_same(&another));
    let elsewhere = of(|charge| charge.chain_id = 4217);
    assert!(elsewhere.holder() != payment.holder() && !payment.is_same(&elsewhere));
    assert!(gateway.rails[0].owns(&payment) && !gateway.rails[0].owns(&elsewhere) && !gateway.rails[0].can_finish(&elsewhere));
}
