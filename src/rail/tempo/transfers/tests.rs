use super::super::sample::{ID, REALM, RECIPIENT, TOKEN, transfer, transfer_with_memo};
use super::*;
use alloc::vec;
use alloy_primitives::{Bytes, keccak256};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PARTNER: Address = Address::repeat_byte(7);
const PAYER: Address = Address::repeat_byte(9);

fn units(units: u128) -> Amount {
    Amount::from_base_units(units)
}

/// 9 000 to the recipient, and 500 to each of two, who are one.
fn dues() -> Dues {
    let split = Due { recipient: PARTNER, amount: units(500) };
    Dues { token: TOKEN, primary: Due { recipient: RECIPIENT, amount: units(9_000) }, splits: vec![split, split] }
}

fn bound() -> Bound {
    Bound::to(REALM, ID)
}

fn memo() -> B256 {
    bound().memo(Some("an agent"))
}

fn calls<'a>(data: &'a [Vec<u8>]) -> Vec<Call<'a>> {
    data.iter().map(|data| Call { to: TOKEN, data }).collect()
}

fn good() -> Vec<Vec<u8>> {
    vec![transfer_with_memo(RECIPIENT, 9_000, memo()), transfer(PARTNER, 500), transfer(PARTNER, 500)]
}

fn matched(data: &[Vec<u8>]) -> Result<B256, Mismatch> {
    dues().match_calls(&calls(data), &bound())
}

#[test]
fn selectors_and_topics_are_those_of_their_signatures() {
    for (selector, signature) in [
        (TRANSFER, "transfer(address,uint256)"),
        (TRANSFER_WITH_MEMO, "transferWithMemo(address,uint256,bytes32)"),
        (APPROVE, "approve(address,uint256)"),
        (SWAP, "swapExactAmountOut(address,address,uint128,uint128)"),
    ] {
        assert_eq!(keccak256(signature)[..4], selector, "{signature}");
    }
    assert_eq!(TRANSFERRED, keccak256("Transfer(address,address,uint256)"));
    assert_eq!(TRANSFERRED_WITH_MEMO, keccak256("TransferWithMemo(address,address,uint256,bytes32)"));
}

#[test]
fn each_payment_is_matched_by_a_call_of_its_own() {
    let mut data = good();
    for _ in 0..3 {
        data.rotate_left(1);
        assert_eq!(matched(&data), Ok(memo()));
    }
    let missing = Mismatch::Missing(dues().splits[1]);
    assert_eq!(matched(&data[..2]), Err(missing), "one transfer does not count twice");
    assert_eq!(matched(&data[1..]), Err(Mismatch::Missing(dues().primary)));
    for (place, wrong, error) in [
        (0, transfer_with_memo(RECIPIENT, 8_999, memo()), Mismatch::Missing(dues().primary)),
        (0, transfer_with_memo(RECIPIENT, 9_001, memo()), Mismatch::Missing(dues().primary)),
        (0, transfer_with_memo(PARTNER, 9_000, memo()), Mismatch::Missing(dues().primary)),
        (0, transfer(RECIPIENT, 9_000), Mismatch::Unbound),
        (0, transfer_with_memo(RECIPIENT, 9_000, B256::repeat_byte(1)), Mismatch::Unbound),
        (0, transfer_with_memo(RECIPIENT, 9_000, Bound::to(REALM, "another").memo(None)), Mismatch::OtherChallenge),
        (0, transfer_with_memo(RECIPIENT, 9_000, Bound::to("other.example.com", ID).memo(None)), Mismatch::OtherChallenge),
        (1, transfer_with_memo(PARTNER, 500, Bound::to(REALM, "another").memo(None)), Mismatch::OtherChallenge),
        (2, transfer(PARTNER, 501), missing),
        (2, transfer(RECIPIENT, 500), missing),
    ] {
        let mut data = good();
        data[place] = wrong;
        assert_eq!(matched(&data), Err(error), "{place}");
    }
    // A split may have a memo, also the same one.
    let mut data = good();
    data[1] = transfer_with_memo(PARTNER, 500, memo());
    data[2] = transfer_with_memo(PARTNER, 500, B256::repeat_byte(1));
    assert_eq!(matched(&data), Ok(memo()));
}

/// The memo is on the primary, also where a split is the same transfer.
#[test]
fn the_primary_takes_the_transfer_with_the_memo() {
    let due = Due { recipient: RECIPIENT, amount: units(5) };
    let dues = Dues { token: TOKEN, primary: due, splits: vec![due] };
    let data = [transfer(RECIPIENT, 5), transfer_with_memo(RECIPIENT, 5, memo())];
    assert_eq!(dues.match_calls(&calls(&data), &bound()), Ok(memo()));
    assert_eq!(dues.match_calls(&calls(&data[..1]), &bound()), Err(Mismatch::Unbound));
}

#[test]
fn nothing_else_may_be_called() {
    let with = |extra: Vec<u8>| {
        let mut data = good();
        data.push(extra);
        matched(&data)
    };
    assert_eq!(with(transfer(PARTNER, 500)), Err(Mismatch::More));
    assert_eq!(with(transfer(Address::repeat_byte(1), 0)), Err(Mismatch::More));
    for other in [vec![], vec![0xa9, 0x05, 0x9c], keccak256("burn(uint256)")[..4].to_vec(), [&APPROVE[..], &[0; 64]].concat()] {
        assert_eq!(with(other), Err(Mismatch::OtherCall));
    }
    // Another token's transfer.
    let data = good();
    let mut elsewhere = calls(&data);
    elsewhere[0].to = Address::repeat_byte(0x20);
    assert_eq!(dues().match_calls(&elsewhere, &bound()), Err(Mismatch::OtherCall));
}

#[test]
fn calldata_has_one_form() {
    for edit in [
        |data: &mut Vec<u8>| data.push(0),
        |data: &mut Vec<u8>| data.truncate(data.len() - 1),
        |data: &mut Vec<u8>| data.extend([0; 32]),
        |data: &mut Vec<u8>| data[4] = 1,
        |data: &mut Vec<u8>| data[15] = 1,
    ] {
        for place in 0..2 {
            let mut data = good();
            edit(&mut data[place]);
            assert_eq!(matched(&data), Err(Mismatch::OtherCall));
        }
    }
    // An amount beyond what any price is.
    let mut data = good();
    data[0][36] = 1;
    assert_eq!(matched(&data), Err(Mismatch::Missing(dues().primary)));
}

#[test]
fn a_swap_may_come_first_if_it_is_for_just_this() {
    const FROM: Address = Address::repeat_byte(0x21);
    let word = |value: u128| U256::from(value).to_be_bytes::<32>();
    let approve = |spender: Address, amount: u128| [&APPROVE[..], spender.into_word().as_slice(), &word(amount)].concat();
    let swap = |from: Address, to: Address, out: u128, most: u128| {
        [&SWAP[..], from.into_word().as_slice(), to.into_word().as_slice(), &word(out), &word(most)].concat()
    };
    let judge = |approve: (Address, Vec<u8>), swap: (Address, Vec<u8>), transfers: &[Vec<u8>]| {
        let mut calls = vec![Call { to: approve.0, data: &approve.1 }, Call { to: swap.0, data: &swap.1 }];
        calls.extend(transfers.iter().map(|data| Call { to: TOKEN, data }));
        dues().match_calls(&calls, &bound())
    };
    let good_swap = || (EXCHANGE, swap(FROM, TOKEN, 10_000, 10_100));
    let good_approval = || (FROM, approve(EXCHANGE, 10_100));
    assert_eq!(judge(good_approval(), good_swap(), &good()), Ok(memo()));
    for (approval, swap) in [
        ((FROM, approve(PARTNER, 10_100)), good_swap()),
        ((FROM, approve(EXCHANGE, 10_101)), good_swap()),
        ((TOKEN, approve(EXCHANGE, 10_100)), good_swap()),
        (good_approval(), (PARTNER, swap(FROM, TOKEN, 10_000, 10_100))),
        (good_approval(), (EXCHANGE, swap(FROM, PARTNER, 10_000, 10_100))),
        (good_approval(), (EXCHANGE, swap(FROM, TOKEN, 9_999, 10_100))),
        (good_approval(), (EXCHANGE, swap(FROM, TOKEN, 10_001, 10_100))),
        (good_approval(), (EXCHANGE, transfer(PARTNER, 1))),
        ((FROM, [approve(EXCHANGE, 10_100), vec![0]].concat()), good_swap()),
    ] {
        assert_eq!(judge(approval, swap, &good()), Err(Mismatch::Swap));
    }
    assert_eq!(judge(good_approval(), good_swap(), &good()[1..]), Err(Mismatch::Missing(dues().primary)));
    // Later than first, or twice, it is another call.
    let data = [good()[0].clone(), approve(EXCHANGE, 1), swap(FROM, TOKEN, 10_000, 1)];
    assert_eq!(matched(&data), Err(Mismatch::OtherCall));
}

fn log(token: Address, from: Address, to: Address, amount: u128, memo: Option<B256>) -> Log {
    let event = if memo.is_some() { TRANSFERRED_WITH_MEMO } else { TRANSFERRED };
    let topics = [event, from.into_word(), to.into_word()].into_iter().chain(memo).collect();
    Log { address: token, topics, data: Bytes::from(U256::from(amount).to_be_bytes_vec()) }
}

/// As the token logs a transfer.
fn logs(to: Address, amount: u128, memo: Option<B256>) -> Vec<Log> {
    let both = memo.map(|memo| log(TOKEN, PAYER, to, amount, Some(memo)));
    [log(TOKEN, PAYER, to, amount, None)].into_iter().chain(both).collect()
}

fn good_logs() -> Vec<Log> {
    [logs(RECIPIENT, 9_000, Some(memo())), logs(PARTNER, 500, None), logs(PARTNER, 500, None)].concat()
}

fn matched_logs(logs: &[Log]) -> Result<B256, Mismatch> {
    dues().match_logs(PAYER, logs, &bound())
}

#[test]
fn each_payment_is_matched_by_logs_of_its_own() {
    assert_eq!(matched_logs(&good_logs()), Ok(memo()));
    // Either log may come first, and others between transfers.
    let mut swapped = good_logs();
    swapped.swap(0, 1);
    swapped.insert(0, log(TOKEN, PAYER, EXCHANGE, 3, None));
    swapped.insert(3, log(PARTNER, PAYER, PARTNER, 500, None));
    swapped.push(Log { address: TOKEN, topics: vec![], data: Bytes::new() });
    assert_eq!(matched_logs(&swapped), Ok(memo()));
    // A transfer with a memo is one payment, though it logs two.
    let missing = Err(Mismatch::Missing(dues().splits[1]));
    let one_split = [logs(RECIPIENT, 9_000, Some(memo())), logs(PARTNER, 500, Some(memo()))].concat();
    assert_eq!(matched_logs(&one_split), missing);
    let two = [one_split, logs(PARTNER, 500, Some(memo()))].concat();
    assert_eq!(matched_logs(&two), Ok(memo()));
    // A memo alone moves nothing.
    let mut alone = good_logs();
    alone[3] = log(PARTNER, PAYER, PARTNER, 500, None);
    alone.push(log(TOKEN, PAYER, PARTNER, 500, Some(memo())));
    assert_eq!(matched_logs(&alone), missing);
}

#[test]
fn logs_must_be_of_the_payer_the_token_the_amount_and_the_challenge() {
    for (place, wrong) in [
        (2, log(TOKEN, PARTNER, PARTNER, 500, None)),
        (2, log(PARTNER, PAYER, PARTNER, 500, None)),
        (2, log(TOKEN, PAYER, PARTNER, 499, None)),
        (2, log(TOKEN, PAYER, RECIPIENT, 500, None)),
        (2, Log { data: Bytes::from(vec![0; 64]), ..log(TOKEN, PAYER, PARTNER, 500, None) }),
    ] {
        let mut logs = good_logs();
        logs[place] = wrong;
        assert_eq!(matched_logs(&logs), Err(Mismatch::Missing(dues().splits[1])));
    }
    let without_memo = [logs(RECIPIENT, 9_000, None), logs(PARTNER, 500, None), logs(PARTNER, 500, None)].concat();
    assert_eq!(matched_logs(&without_memo), Err(Mismatch::Unbound));
    assert_eq!(dues().match_logs(PARTNER, &good_logs(), &bound()), Err(Mismatch::Missing(dues().primary)));
}

/// Else the splits of one could be paid for by those of the other.
#[test]
fn a_transaction_pays_for_one_challenge() {
    let another = Bound::to(REALM, "another").memo(None);
    for from in [PAYER, PARTNER] {
        let mut logs = good_logs();
        logs.push(log(TOKEN, from, RECIPIENT, 9_000, None));
        logs.push(log(TOKEN, from, RECIPIENT, 9_000, Some(another)));
        assert_eq!(matched_logs(&logs), Err(Mismatch::OtherChallenge));
    }
}

#[test]
fn what_is_looked_for_in_logs_names_all_that_is_known() {
    let LogFilter(topics) = dues().log_filter(PAYER, memo());
    assert_eq!(topics, [TRANSFERRED_WITH_MEMO, PAYER.into_word(), RECIPIENT.into_word(), memo()].map(|word| vec![word]));
}
