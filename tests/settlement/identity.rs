//! What makes two purposes the same, what they have to do with each other, and what proves them.

use super::escrow::{ESCROW, TOKEN, authorized, use_of};
use super::{ADDITION, CHAIN_ID, CLOSE, DEPOSIT, KEY, OPEN, PURPOSES, SETTLE, START, TOP_UP, opening, with_nonce};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use mpp_edge::binary::{VERSION, encode};
use mpp_edge::evm::erc3009::Authorization;
use mpp_edge::evm::escrow::{Opening, Payout, ToppingUp};
use mpp_edge::evm::jsonrpc::Log;
use mpp_edge::evm::reading::Reading;
use mpp_edge::evm::transaction::GasPrice;
use mpp_edge::money::Amount;
use mpp_edge::settlement::{AccountView, Ending, Failure, Outbox, Purpose, Search, Transfer, Verdict, Watched};
use mpp_edge::time::{Timestamp, UnixSeconds};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(START * 1000);
pub(crate) const GAS: Option<u64> = Some(100_000);

fn outbox() -> Outbox {
    let mut outbox = Outbox::new(CHAIN_ID, KEY.clone(), 1, []);
    let block = serde_json::from_value(json!({ "number": "0x9", "timestamp": format!("{START:#x}") })).unwrap();
    outbox.look(AccountView { block, latest_count: 0, pending_count: 0, price: GasPrice::Legacy(1) }, NOW);
    outbox
}

fn topping_up() -> ToppingUp {
    let Purpose::TopUp(topping_up) = PURPOSES[TOP_UP] else { panic!() };
    topping_up
}

fn payout() -> Payout {
    let Purpose::Settle(payout) = PURPOSES[SETTLE] else { panic!() };
    payout
}

#[test]
fn every_purpose_has_an_id_of_its_own() {
    let opening = opening(DEPOSIT, 200);
    let mut others = PURPOSES.clone();
    // The nonce of an opening binds neither the deposit nor its time, nor the escrow.
    others.push(Purpose::Open(super::opening(DEPOSIT + 1, 200)));
    others.push(Purpose::Open(super::opening(DEPOSIT, 201)));
    others.push(Purpose::Open(Opening { escrow: TOKEN, ..opening }));
    others.push(Purpose::Open(Opening { token: ESCROW, ..opening }));
    others.push(Purpose::TopUp(ToppingUp { signed: opening.signed, ..topping_up() }));
    others.push(Purpose::Transfer(Transfer { token: TOKEN, signed: opening.signed, since: None }));
    // A settlement and the end with the same voucher, and whatever differs.
    others.push(Purpose::Close(payout()));
    others.push(Purpose::Settle(Payout { epoch: 7, ..payout() }));
    others.push(Purpose::Settle(Payout { escrow: TOKEN, ..payout() }));
    others.push(Purpose::Settle(Payout { channel_id: B256::ZERO, ..payout() }));
    let ids: BTreeSet<B256> = others.iter().map(Purpose::id).collect();
    assert_eq!(ids.len(), others.len());
}

#[test]
fn another_signature_of_the_same_is_the_same() {
    let signature = KEY.sign(keccak256("again"));
    let mut settling = payout();
    settling.voucher.signature = signature;
    assert_eq!(Purpose::Settle(settling).id(), PURPOSES[SETTLE].id());
    let mut opening = opening(DEPOSIT, 200);
    opening.signed.signature = signature;
    assert_eq!(Purpose::Open(opening).id(), PURPOSES[OPEN].id());
}

#[test]
fn a_purpose_is_about_a_channel_and_matters_for_a_while() {
    let id = Some(payout().channel_id);
    let channels: Vec<_> = PURPOSES.iter().map(|purpose| purpose.channel_id(CHAIN_ID)).collect();
    assert_eq!(channels, [&[None; OPEN][..], &vec![id; PURPOSES.len() - OPEN]].concat());
    // An opening's is derived, and bound to the chain.
    assert_ne!(PURPOSES[OPEN].channel_id(1), id);
    assert!(PURPOSES[OPEN..].iter().all(|purpose| purpose.matters_until().is_none()));
    let Purpose::Transfer(transfer) = PURPOSES[0] else { panic!() };
    assert_eq!(PURPOSES[0].matters_until(), Some(transfer.signed.authorization.valid_before.timestamp()));
}

#[test]
fn what_is_searched_for_is_lacking_only_to_who_sends_it() {
    let (mut outbox, id) = (outbox(), PURPOSES[OPEN].id());
    assert!(outbox.lacks(&id, None) && outbox.lacks(&id, GAS));
    outbox.submit(PURPOSES[OPEN], None, NOW);
    assert!(!outbox.lacks(&id, None) && outbox.lacks(&id, GAS));
    outbox.submit(PURPOSES[OPEN], GAS, NOW).expect("it is sent");
    assert!(!outbox.lacks(&id, None) && !outbox.lacks(&id, GAS));
}

#[test]
fn five_thousand_blocks_are_searched() {
    let mut outbox = outbox();
    assert_eq!(outbox.search_from(), 0);
    let block = serde_json::from_value(json!({ "number": "0x1771", "timestamp": "0x1" })).unwrap();
    outbox.look(AccountView { block, latest_count: 0, pending_count: 0, price: GasPrice::Legacy(1) }, NOW);
    assert_eq!(outbox.search_from(), 1_001);
}

#[test]
fn one_authorization_is_on_its_way_for_one_purpose() {
    let mut outbox = outbox();
    let rivals = [
        Purpose::Open(opening(DEPOSIT + 1, 200)),
        Purpose::Open(opening(DEPOSIT, 250)),
        Purpose::Transfer(Transfer { token: TOKEN, signed: opening(DEPOSIT, 200).signed, since: None }),
    ];
    outbox.submit(PURPOSES[OPEN], None, NOW);
    assert!(rivals.iter().all(|rival| !outbox.has_rival(rival)), "what is only searched for is nobody's rival");
    outbox.submit(PURPOSES[OPEN], GAS, NOW).expect("it is sent");
    for rival in &rivals {
        assert!(outbox.has_rival(rival), "{rival:?}");
    }
    for other in PURPOSES.iter() {
        assert!(!outbox.has_rival(other), "{other:?}");
    }
    // One cancellation later.
    let cancelled = Log { address: TOKEN, topics: vec![], data: vec![].into() };
    outbox.conclude(&PURPOSES[OPEN].id(), &found(&[cancelled]), NOW);
    assert!(rivals.iter().all(|rival| !outbox.has_rival(rival)));
}

pub(crate) fn found(logs: &[Log]) -> Search {
    found_at(logs, START)
}

fn found_at(logs: &[Log], mined_at: u64) -> Search {
    let receipt = json!({
        "transactionHash": B256::repeat_byte(0xaa), "from": Address::repeat_byte(0x5a), "status": "0x1", "blockNumber": "0x9", "logs": logs,
    });
    let ending = Ending { receipt: serde_json::from_value(receipt).unwrap(), mined_at: UnixSeconds::new(mined_at) };
    Search { used: true, ending: Some(ending) }
}

fn verdict(purpose: Purpose, logs: &[Log]) -> Option<Verdict> {
    let mut outbox = outbox();
    outbox.submit(purpose, None, NOW);
    outbox.conclude(&purpose.id(), &found(logs), NOW);
    outbox.get(&purpose.id()).unwrap().verdict()
}

const SETTLED: Option<Verdict> = Some(Verdict::Settled { transaction: B256::repeat_byte(0xaa) });
pub(crate) const ELSEWHERE: Option<Verdict> = Some(Verdict::Failed(Failure::UsedElsewhere));

fn event(address: Address, event: &str, channel_id: B256, words: &[u128]) -> Log {
    let data: Vec<u8> = words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect();
    Log { address, topics: vec![keccak256(event), channel_id, B256::ZERO, B256::ZERO], data: data.into() }
}

const TOPPED_UP: &str = "TopUp(bytes32,address,address,uint256,uint256)";
const CLOSED: &str = "ChannelClosed(bytes32,address,address,uint256,uint256)";

/// Somebody adds to the channel in one transaction with two authorizations for as much, one of which goes elsewhere.
#[test]
fn an_addition_is_not_proved_by_another_of_the_same_amount() {
    let ours = topping_up();
    let added = event(ESCROW, TOPPED_UP, ours.channel_id, &[ADDITION, DEPOSIT + ADDITION]);
    let authorization = ours.signed.authorization;
    let [used, transferred] = use_of(&authorization);
    let [_, astray] = use_of(&Authorization { to: authorization.from, ..authorization });
    let purpose = PURPOSES[TOP_UP];
    assert_eq!(verdict(purpose, &[used.clone(), transferred.clone(), added.clone()]), SETTLED);
    assert_eq!(verdict(purpose, &[used.clone(), astray, added.clone()]), ELSEWHERE);
    assert_eq!(verdict(purpose, &[used.clone(), transferred.clone()]), ELSEWHERE);
    assert_eq!(verdict(purpose, core::slice::from_ref(&added)), ELSEWHERE);
    for wrong in [
        event(TOKEN, TOPPED_UP, ours.channel_id, &[ADDITION, DEPOSIT + ADDITION]),
        event(ESCROW, TOPPED_UP, B256::ZERO, &[ADDITION, DEPOSIT + ADDITION]),
        event(ESCROW, TOPPED_UP, ours.channel_id, &[ADDITION + 1, DEPOSIT + ADDITION]),
        event(ESCROW, CLOSED, ours.channel_id, &[ADDITION, DEPOSIT + ADDITION]),
    ] {
        assert_eq!(verdict(purpose, &[used.clone(), transferred.clone(), wrong]), ELSEWHERE);
    }
}

/// What was used before it was presented here may be anybody's, unless its nonce says whose it is. A block's time is that of its beginning.
#[test]
fn a_transfer_that_is_older_than_its_presentation_is_not_for_it() {
    let Purpose::Transfer(presented) = PURPOSES[0] else { panic!() };
    let bound = Transfer { since: None, ..presented };
    let logs = use_of(&presented.signed.authorization);
    for (transfer, mined_at, expected) in [
        (presented, START + 5, SETTLED),
        (presented, START, SETTLED),
        (presented, START - 5, SETTLED),
        (presented, START - 6, ELSEWHERE),
        (presented, 0, ELSEWHERE),
        (bound, START - 6, SETTLED),
        (bound, 0, SETTLED),
    ] {
        let mut outbox = outbox();
        let purpose = Purpose::Transfer(transfer);
        outbox.submit(purpose, None, NOW);
        outbox.conclude(&purpose.id(), &found_at(&logs, mined_at), NOW);
        assert_eq!(outbox.get(&purpose.id()).unwrap().verdict(), expected, "{mined_at} {:?}", transfer.since);
    }
}

#[test]
fn the_end_of_another_channel_is_no_verdict() {
    let id = payout().channel_id;
    for purpose in [PURPOSES[SETTLE], PURPOSES[CLOSE]] {
        assert_eq!(verdict(purpose, &[event(ESCROW, CLOSED, id, &[9_000, 1_000])]), SETTLED);
        assert_eq!(verdict(purpose, &[event(ESCROW, CLOSED, id, &[3_999, 6_001])]), ELSEWHERE);
        assert_eq!(verdict(purpose, &[event(ESCROW, CLOSED, B256::ZERO, &[9_000, 1_000])]), None);
        assert_eq!(verdict(purpose, &[event(TOKEN, CLOSED, id, &[9_000, 1_000])]), None);
        assert_eq!(verdict(purpose, &[]), None);
    }
}

#[test]
fn a_settlement_is_proved_by_what_it_takes_and_is_no_end() {
    let settled =
        |total| event(ESCROW, "Settled(bytes32,address,address,uint256,uint256,uint256)", payout().channel_id, &[total, 1, total]);
    assert_eq!(verdict(PURPOSES[SETTLE], &[settled(4_000)]), SETTLED);
    assert_eq!(verdict(PURPOSES[SETTLE], &[settled(3_999)]), None);
    assert_eq!(verdict(PURPOSES[CLOSE], &[settled(9_000)]), None);
}

#[test]
fn what_was_used_without_a_trace_was_used_elsewhere() {
    for index in [0, OPEN, SETTLE, CLOSE] {
        let (mut outbox, id) = (outbox(), PURPOSES[index].id());
        outbox.submit(PURPOSES[index], GAS, NOW);
        // The transaction has reverted.
        let block = serde_json::from_value(json!({ "number": "0x9", "timestamp": format!("{START:#x}") })).unwrap();
        outbox.look(AccountView { block, latest_count: 1, pending_count: 1, price: GasPrice::Legacy(1) }, NOW);
        for (seconds, expected) in [(0, None), (59, None), (60, ELSEWHERE)] {
            let at = NOW.saturating_add(Duration::from_secs(seconds));
            outbox.conclude(&id, &Search { used: true, ending: None }, at);
            assert_eq!(outbox.get(&id).unwrap().verdict(), expected, "{index} after {seconds} s");
        }
    }
}

#[test]
fn answers_about_the_state_are_read() {
    let word = |value: u64| U256::from(value).abi_encode();
    for index in [0, OPEN, TOP_UP] {
        assert_eq!(PURPOSES[index].is_used(&word(0)), Some(false));
        assert_eq!(PURPOSES[index].is_used(&word(1)), Some(true));
        assert_eq!(PURPOSES[index].is_used(&[1; 33]), None);
    }
    let channel = |finalized: bool, settled: u128| {
        (finalized, 0u64, Address::ZERO, Address::ZERO, Address::ZERO, Address::ZERO, 10_000u128, settled).abi_encode()
    };
    let read = |finalized, settled| [SETTLE, CLOSE].map(|index| PURPOSES[index].is_used(&channel(finalized, settled)).unwrap());
    assert_eq!(read(false, 3_999), [false, false]);
    assert_eq!(read(false, 4_000), [true, false]);
    assert_eq!(read(false, 9_000), [true, false]);
    assert_eq!(read(true, 0), [true, true]);
    assert_eq!(PURPOSES[SETTLE].is_used(&[]), None);
    assert_eq!(PURPOSES[CLOSE].is_used(&word(1)), None);
}

#[test]
fn openings_and_additions_carry_the_nonce_that_binds_them() {
    let opening = opening(DEPOSIT, 200);
    assert_eq!(authorized(&PURPOSES[OPEN]).unwrap().authorization.nonce, opening.nonce());
    assert_eq!(with_nonce(topping_up().signed, topping_up().nonce()), topping_up().signed);
}

/// Who changes what is stored raises `mpp_edge::binary::VERSION`, and pins the new form here.
#[test]
fn the_stored_form_is_that_of_its_version() {
    let mut outbox = outbox();
    for purpose in PURPOSES.iter() {
        outbox.submit(*purpose, GAS, NOW);
    }
    let operations: Vec<_> = PURPOSES.iter().map(|purpose| outbox.get(&purpose.id()).unwrap().clone()).collect();
    let mut watched = Watched::new(ESCROW, B256::repeat_byte(1), Address::repeat_byte(2));
    let new = watched;
    let on_chain = mpp_edge::evm::escrow::OnChain {
        finalized: false,
        close_requested_at: UnixSeconds::new(START),
        payer: Address::repeat_byte(2),
        payee: Address::repeat_byte(3),
        token: TOKEN,
        authorized_signer: Address::ZERO,
        deposit: Amount::from_base_units(DEPOSIT),
        settled: Amount::ZERO,
    };
    watched.tell(&new, Reading { block: 9, on_chain, signer_has_code: false }, NOW);
    let forms = [encode(&operations), encode(&[new, watched])].map(|bytes| keccak256(bytes.unwrap()).to_string());
    assert_eq!(
        (VERSION, forms[0].as_str(), forms[1].as_str()),
        (
            4,
            "0x4ca2f2154ad7459ea92f7d11e5f5e16603044caf1ceb0e53f27ea36eb4f7eeb1",
            "0x035d7a569271e37267073c5fec3287398b9a07755b944e5fa76cc496f74c8475"
        )
    );
}
