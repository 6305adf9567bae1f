use super::super::sample::{self, CHAIN, Sample, TOKEN, call, key, other_key, rlp, rlp_list, transfer};
use super::super::transaction::Fees;
use super::*;
use crate::evm::U256;
use alloc::vec;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const END: u64 = 1_800_000_025;

fn sponsor() -> Sponsor {
    let policy = Policy {
        gas: 2_000_000,
        fee_per_gas: 100_000_000_000,
        priority_fee_per_gas: 10_000_000_000,
        fee: 50_000_000_000_000_000,
        at_once: 2,
    };
    Sponsor { key: other_key(), fee_token: TOKEN, policy }
}

fn judged(sample: &Sample) -> Result<Sponsored, Refused> {
    let bytes = sample.for_fee_payer(&key(), key().address());
    sponsor().judge(&super::super::transaction::Transaction::decode(&bytes).unwrap())
}

#[test]
fn only_what_the_policy_allows_is_paid_for() {
    let sample = || Sample::paying(10_000, END);
    let fee = 800_000 * 25_000_000_000;
    assert_eq!(judged(&sample()), Ok(Sponsored { sponsor: other_key().address(), fee }));
    let with = |place, field| judged(&sample().with(place, field));
    let list = rlp_list(&[rlp_list(&[rlp(&TOKEN), rlp_list(&[])])]);
    assert_eq!(with(sample::ACCESS_LIST, list.clone()), Err(Refused::Lists));
    assert_eq!(with(sample::AUTHORIZATIONS, list), Err(Refused::Lists));
    assert_eq!(with(sample::NONCE_KEY, rlp(&7u8)), Err(Refused::Nonce));
    assert_eq!(with(sample::NONCE_KEY, rlp(&(U256::MAX - U256::from(1)))), Err(Refused::Nonce));
    assert_eq!(with(sample::NONCE, rlp(&1u8)), Err(Refused::Nonce));
    assert_eq!(with(sample::GAS, rlp(&0u8)), Err(Refused::Gas));
    assert_eq!(with(sample::GAS, rlp(&2_000_001u64)), Err(Refused::Gas));
    assert!(with(sample::GAS, rlp(&2_000_000u64)).is_ok());
    assert_eq!(with(sample::MAX_FEE, rlp(&0u8)), Err(Refused::FeePerGas));
    assert_eq!(with(sample::MAX_FEE, rlp(&100_000_000_001u64)), Err(Refused::FeePerGas));
    assert_eq!(with(sample::PRIORITY_FEE, rlp(&10_000_000_001u64)), Err(Refused::PriorityFee));
    let low = sample().with(sample::MAX_FEE, rlp(&999_999_999u64));
    assert_eq!(judged(&low), Err(Refused::PriorityFee), "more than maxFeePerGas");
    // 2 000 000 × 25 000 000 001
    let dear = sample().with(sample::GAS, rlp(&2_000_000u64)).with(sample::MAX_FEE, rlp(&25_000_000_001u64));
    assert_eq!(judged(&dear), Err(Refused::Fee));
    let bounded = sample().with(sample::GAS, rlp(&2_000_000u64)).with(sample::MAX_FEE, rlp(&25_000_000_000u64));
    assert!(judged(&bounded).is_ok());
}

#[test]
fn what_is_signed_is_the_sender_s_transaction_and_nothing_else() {
    let sample = Sample::calling(&[call(TOKEN, &transfer(sample::RECIPIENT, 5))], END);
    let bytes = sample.for_fee_payer(&key(), key().address());
    let transaction = Transaction::decode(&bytes).unwrap();
    let sealed = sponsor().seal(&transaction, key().address());
    assert_eq!(sealed, sponsor().seal(&transaction, key().address()), "it can be made again after a restart");
    let finished = Transaction::decode(&sealed.raw).unwrap();
    let Fees::Signed(signature) = finished.fees else { panic!("signed") };
    assert_eq!(finished.fee_token, Some(TOKEN));
    assert_eq!(signature.recover(finished.fee_payer_digest(TOKEN, key().address())), Ok(other_key().address()));
    assert_ne!(signature.recover(finished.fee_payer_digest(TOKEN, other_key().address())), Ok(other_key().address()));
    assert_eq!(finished.signature.recover(finished.sender_digest()), Ok(key().address()));
}

fn promise(transaction: u8, until: u64) -> Promise {
    let transaction = B256::repeat_byte(transaction);
    Promise { chain_id: CHAIN, sponsor: Address::ZERO, transaction, until: UnixSeconds::new(until), at_once: 2 }
}

#[test]
fn so_many_are_promised_at_once_and_no_more() {
    let (mut budget, now) = (Budget::default(), UnixSeconds::new(1_000));
    assert_eq!(budget.until(), None);
    assert_eq!(budget.promise(&promise(1, 1_020), now), Ok(()));
    assert_eq!(budget.promise(&promise(1, 1_020), now), Ok(()), "asking again is asking once");
    assert_eq!(budget.promise(&promise(2, 1_025), now), Ok(()));
    assert_eq!(budget.promise(&promise(3, 1_025), now), Err(Exhausted));
    assert_eq!(budget.promise(&promise(2, 1_025), now), Ok(()), "also when it is exhausted");
    budget.release(B256::repeat_byte(2));
    assert_eq!(budget.promise(&promise(3, 1_030), now), Ok(()));
    // One whose end is past does not count, but not at once: blocks may be dated earlier than our clock.
    assert_eq!(budget.promise(&promise(4, 1_090), UnixSeconds::new(1_049)), Err(Exhausted));
    assert_eq!(budget.promise(&promise(4, 1_090), UnixSeconds::new(1_050)), Ok(()));
    assert_eq!(budget.until(), Some(UnixSeconds::new(1_120)));
    let stored = crate::binary::encode(&budget).unwrap();
    assert_eq!(crate::binary::decode::<Budget>(&stored), Ok(budget));
}

#[test]
fn nothing_of_the_key_is_shown() {
    let shown = alloc::format!("{:?}", vec![sponsor()]);
    assert!(!shown.contains("59c6995e"), "{shown}");
}
