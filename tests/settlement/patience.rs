//! How long something must be absent before that counts: nodes lag behind each other, and blocks are replaced.

use super::escrow::use_of;
use super::identity::{ELSEWHERE, GAS, NOW, found};
use super::{CHAIN_ID, KEY, LIFETIMES, PURPOSES, START};
use mpp_edge::evm::transaction::GasPrice;
use mpp_edge::settlement::{AccountView, Effect, Outbox, Receipts, Search};
use mpp_edge::time::Timestamp;
use serde_json::json;
use std::time::Duration;

/// Where the found receipts are, too.
const BLOCK: u64 = 9;

fn at(millis: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_millis(millis))
}

/// An outbox that has sent the first transfer with the nonce 0.
fn sent(confirmations: u64) -> Outbox {
    let mut outbox = Outbox::new(CHAIN_ID, KEY.clone(), confirmations, []);
    look(&mut outbox, 0, BLOCK, 0);
    outbox.submit(PURPOSES[0], GAS, NOW).expect("it is sent");
    outbox
}

/// The chain shows `count` transactions of the account, and its clock so many seconds.
fn look(outbox: &mut Outbox, count: u64, number: u64, seconds: u64) {
    outbox.look(view(count, number, seconds), NOW);
}

fn view(count: u64, number: u64, seconds: u64) -> AccountView {
    let block =
        serde_json::from_value(json!({ "number": format!("{number:#x}"), "timestamp": format!("{:#x}", START + seconds) })).unwrap();
    AccountView { block, latest_count: count, pending_count: count, price: GasPrice::Legacy(1) }
}

fn broadcasts(outbox: &mut Outbox, millis: u64) -> usize {
    let effects = outbox.review(&Receipts::default(), at(millis));
    effects.iter().filter(|(_, effect)| matches!(effect, Effect::Broadcast(_))).count()
}

fn nonces(outbox: &Outbox) -> Vec<u64> {
    outbox.get(&PURPOSES[0].id()).unwrap().attempts().iter().map(|attempt| attempt.nonce).collect()
}

/// A node may serve its count before its receipts.
#[test]
fn another_nonce_is_taken_when_the_first_is_used_up_for_three_seconds() {
    let mut outbox = sent(1);
    // Counts of transactions as they are read at these times; at 3 s its block is gone.
    for (millis, count, sent) in [(0, 1, 0), (2_999, 1, 0), (3_000, 0, 0), (3_500, 1, 0), (6_499, 1, 0), (6_500, 1, 1)] {
        look(&mut outbox, count, BLOCK, 0);
        assert_eq!(broadcasts(&mut outbox, millis), sent, "after {millis}");
    }
    assert_eq!(nonces(&outbox), [0, 1]);
}

/// Others wait behind its nonce until a reorganisation can bring it in time no more.
#[test]
fn what_is_late_is_still_sent_again_and_with_no_other_nonce() {
    let mut outbox = sent(3);
    look(&mut outbox, 0, BLOCK, LIFETIMES[0]);
    assert_eq!(broadcasts(&mut outbox, 3_999), 0);
    assert_eq!(broadcasts(&mut outbox, 4_000), 1);
    look(&mut outbox, 1, BLOCK + 1, LIFETIMES[0] + 1);
    for millis in [4_000, 8_000, 60_000] {
        assert_eq!(broadcasts(&mut outbox, millis), 0, "after {millis}");
    }
    assert_eq!(nonces(&outbox), [0]);
    // Deep enough, its end is searched for.
    look(&mut outbox, 1, BLOCK + 2, LIFETIMES[0] + 2);
    assert_eq!(outbox.review(&Receipts::default(), at(61_000)), [(PURPOSES[0].id(), Effect::Investigate)]);
}

/// The minute without a trace begins anew with what the state says, and when a trace was seen meanwhile.
#[test]
fn only_what_is_absent_all_the_time_is_absent() {
    const UNUSED: Search = Search { used: false, ending: None };
    const TRACELESS: Search = Search { used: true, ending: None };
    let transfer = PURPOSES[0].id();
    let signed = super::escrow::authorized(&PURPOSES[0]).unwrap();
    let trace = || found(&use_of(&signed.authorization));
    for (searches, begins) in [
        (vec![(0, TRACELESS)], 0),
        (vec![(0, UNUSED), (2, TRACELESS)], 2),
        (vec![(0, TRACELESS), (30, UNUSED), (31, TRACELESS)], 31),
        // In a block that is not deep enough, and is replaced.
        (vec![(0, TRACELESS), (30, trace()), (31, TRACELESS)], 31),
    ] {
        let mut outbox = sent(2);
        look(&mut outbox, 1, BLOCK, 0);
        for (seconds, search) in searches.into_iter().chain([(begins + 59, TRACELESS)]) {
            outbox.conclude(&transfer, &search, at(seconds * 1_000));
            assert_eq!(outbox.get(&transfer).unwrap().verdict(), None, "after {seconds} s, from {begins}");
        }
        outbox.conclude(&transfer, &TRACELESS, at((begins + 60) * 1_000));
        assert_eq!(outbox.get(&transfer).unwrap().verdict(), ELSEWHERE, "from {begins}");
    }
}

/// A charge that is sent at once with others and mined `took` milliseconds later. Returns how long the first look at the chain waits.
fn first_look(outbox: &mut Outbox, nonce: u8, took: u64) -> u64 {
    let purpose = super::transfer(nonce, 1_000_000);
    let sent = at(u64::from(nonce) * 100_000);
    outbox.look(view(0, BLOCK, 0), sent);
    outbox.submit(purpose, GAS, sent).expect("it is sent");
    let first = outbox.poll_delay(sent);
    let signed = super::escrow::authorized(&purpose).unwrap();
    let receipt = json!({
        "transactionHash": outbox.pending_hashes()[0], "from": outbox.account(), "status": "0x1", "blockNumber": format!("{BLOCK:#x}"),
        "logs": use_of(&signed.authorization),
    });
    let receipts = Receipts { mined: vec![serde_json::from_value(receipt).unwrap()], ..Receipts::default() };
    outbox.review(&receipts, sent.saturating_add(Duration::from_millis(took)));
    assert!(outbox.get(&purpose.id()).unwrap().verdict().is_some());
    outbox.drop_finished();
    u64::try_from(first.as_millis()).unwrap()
}

#[test]
fn a_chain_that_was_fast_is_asked_sooner_and_one_that_was_not_as_before() {
    let mut outbox = Outbox::new(CHAIN_ID, KEY.clone(), 1, []);
    let instant: Vec<u64> = (0..6).map(|nonce| first_look(&mut outbox, nonce, 100)).collect();
    assert_eq!(instant, [100, 25, 25, 25, 25, 25]);
    let slower: Vec<u64> = (6..14).map(|nonce| first_look(&mut outbox, nonce, 1_000)).collect();
    assert_eq!(slower, [25, 81, 100, 100, 100, 100, 100, 100], "what comes next weighs a quarter");
    let fast: Vec<u64> = (14..20).map(|nonce| first_look(&mut outbox, nonce, 200)).collect();
    assert_eq!(fast, [100, 100, 100, 100, 100, 92]);
}

/// Whatever was learned, the chain is asked less and less for what is not mined, and each two seconds at last.
#[test]
fn what_stays_out_is_asked_for_less_and_less() {
    let outbox = sent(1);
    let delays = [0, 400, 1_000, 4_000, 8_000, 60_000].map(|millis| outbox.poll_delay(at(millis)).as_millis());
    assert_eq!(delays, [100, 100, 250, 1_000, 2_000, 2_000]);
}
