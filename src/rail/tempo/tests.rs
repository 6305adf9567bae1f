//! The rail from its configuration to the goods, with the core alone: what the shell does in between stands in [`settle`], and what a node
//! does in [`Chain`].

use super::sample::{self, ID, RECIPIENT, Sample, TOKEN, call, key, other_key, rlp, transfer, transfer_with_memo};
use super::*;
use crate::binary::{decode, encode};
use crate::evm::jsonrpc::{self, NodeAnswer, NodeError, Request};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, B256, U256, keccak256, parse};
use crate::gateway::config::Gateway;
use crate::gateway::offer::{Asked, Circumstances, Offer, OfferTerms};
use crate::gateway::{Misconfigured, Secrets, validate};
use crate::money::Amount;
use crate::purchase::{Next, Purchase, Refusal, Stage, Undelivered};
use crate::rail::{Answer, Ask, Payment, Prepared, Progress, Proof, Send, Step};
use crate::settlement::{Failure, Verdict};
use crate::time::{Timestamp, UnixSeconds};
use crate::wire::encoding::{from_base64, to_base64url};
use crate::wire::mpp::credential::{Credential, CredentialField};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use alloy_primitives::hex;
use core::time::Duration;
use memo::Bound;
use serde_json::value::RawValue;
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(300);
const LEASE: Duration = Duration::from_secs(65);
const SPONSOR: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
const PARTNER: Address = Address::repeat_byte(7);
/// As mppx's clients sign.
const END: u64 = 1_800_000_025;

fn asked(target: &'static str) -> Asked<'static> {
    Asked { realm: sample::REALM, method: "GET", target, digest: None, field: CredentialField::Authorization }
}

fn secrets() -> Secrets {
    Secrets {
        secret_key: Some("thirty-two bytes and some more of it".into()),
        settlement_private_key: Some(SPONSOR.into()),
        ..Secrets::default()
    }
}

/// The rail's table, with `more` in it.
fn table(more: &Value) -> Value {
    let mut rail = json!({ "kind": "tempo", "chainId": 42431, "recipient": RECIPIENT });
    rail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rail
}

fn configured(rail: &Value, price: &str) -> Result<Gateway, Misconfigured> {
    let json = json!({
        "rails": [rail], "origin": { "url": "https://origin.example.com" },
        "routes": [{ "path": "/v1/*", "price": price, "wires": ["mpp"] }],
    });
    validate(Some(&json.to_string()), &secrets(), |_| false)
}

fn gateway_with(more: &Value) -> Gateway {
    configured(&table(more), "0.01").unwrap_or_else(|broken| panic!("{:?}", broken.errors))
}

fn gateway() -> Gateway {
    gateway_with(&json!({}))
}

/// With a share of 2.5 % for somebody, whose fees we pay.
fn sponsoring() -> Gateway {
    gateway_with(&json!({ "feePayer": { "atOnce": 2 }, "splits": [{ "recipient": PARTNER, "basisPoints": 250 }] }))
}

fn offer(gateway: &Gateway) -> &Offer {
    let [offer] = gateway.router.routes()[0].offers.as_slice() else { panic!("one offer") };
    offer
}

/// A fresh challenge, with its id.
fn challenge(gateway: &Gateway) -> (Value, String) {
    let issued = offer(gateway).issue(
        &asked("/v1/x"),
        &gateway.binding_keys,
        None,
        &Circumstances::default(),
        NOW.saturating_add(LIFETIME),
        [1; 12],
    );
    let parameters = issued.header.strip_prefix("Payment ").unwrap().split(", ").map(|one| one.split_once('=').unwrap());
    (Value::Object(parameters.map(|(name, value)| (name.to_owned(), json!(value.trim_matches('"')))).collect()), issued.id)
}

fn request(gateway: &Gateway) -> Value {
    serde_json::from_slice(&from_base64(challenge(gateway).0["request"].as_str().unwrap()).unwrap()).unwrap()
}

/// What the gateway makes of a payload that answers a challenge.
fn read_as(gateway: &Gateway, challenge: &Value, payload: &Value, source: Option<String>) -> Result<Payment, Problem> {
    let credential = json!({ "challenge": challenge, "payload": payload, "source": source });
    let credential = Credential::parse(&to_base64url(credential.to_string())).unwrap();
    let accepted = asked("/v1/x").accept(&credential, &gateway.router.routes()[0].offers, &gateway.binding_keys, NOW)?;
    let OfferTerms::Charge(terms) = &accepted.offer.terms else { panic!("a charge") };
    match terms.read(&credential, accepted.expires)? {
        Proof::Checked(payment) => Ok(*payment),
        Proof::Signed(_) => panic!("all of it is checked"),
    }
}

fn read(gateway: &Gateway, payload: &Value) -> Result<Payment, Problem> {
    read_as(gateway, &challenge(gateway).0, payload, Some(source(key().address())))
}

fn source(payer: Address) -> String {
    format!("did:pkh:eip155:42431:{}", payer.to_checksum(None))
}

fn signed(bytes: &[u8]) -> Value {
    json!({ "type": "transaction", "signature": hex::encode_prefixed(bytes) })
}

fn pushed(hash: B256) -> Value {
    json!({ "type": "hash", "hash": hash })
}

fn bound(gateway: &Gateway) -> Bound {
    Bound::to(sample::REALM, &challenge(gateway).1)
}

/// The calls that a challenge wants, as mppx's client makes them.
fn calls(gateway: &Gateway) -> Vec<Vec<u8>> {
    let request = request(gateway);
    let units = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
    let splits: Vec<(Address, u128)> = request["methodDetails"]["splits"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|split| (parse::address(split["recipient"].as_str().unwrap()).unwrap(), units(&split["amount"])))
        .collect();
    let rest = units(&request["amount"]) - splits.iter().map(|(_, amount)| amount).sum::<u128>();
    let primary = transfer_with_memo(RECIPIENT, rest, bound(gateway).memo(Some("an agent")));
    let splits = splits.into_iter().map(|(to, amount)| transfer(to, amount));
    [primary].into_iter().chain(splits).map(|data| call(TOKEN, &data)).collect()
}

fn paying(gateway: &Gateway) -> Sample {
    Sample::calling(&calls(gateway), END)
}

fn pull(gateway: &Gateway) -> Payment {
    read(gateway, &signed(&paying(gateway).signed(&key()))).unwrap()
}

fn pull_sponsored(gateway: &Gateway) -> Payment {
    read(gateway, &signed(&paying(gateway).for_fee_payer(&key(), key().address()))).unwrap()
}

fn charge(payment: &Payment) -> &Charge {
    let Payment::Tempo(charge) = payment else { panic!("another rail's") };
    charge
}

fn hash_of(payment: &Payment) -> B256 {
    charge(payment).transaction().unwrap()
}

fn refused(gateway: &Gateway, payload: &Value) -> (ProblemKind, String) {
    let problem = read(gateway, payload).unwrap_err();
    (problem.kind, problem.detail.into_owned())
}

/// That it is refused, and the words that say why.
fn assert_refused(gateway: &Gateway, sample: &Sample, words: &str) {
    let (kind, detail) = refused(gateway, &signed(&sample.signed(&key())));
    assert!(matches!(kind, ProblemKind::VerificationFailed | ProblemKind::MalformedCredential), "{detail}");
    assert!(detail.contains(words), "{words}: {detail}");
}

// --- What is configured and offered.

#[test]
fn a_rail_is_configured_by_its_kind_alone() {
    let gateway = configured(&json!({ "kind": "tempo", "recipient": RECIPIENT }), "0.01").unwrap();
    let rail = gateway.rails[0].as_ref();
    assert_eq!(
        (rail.name(), offer(&gateway).method(), offer(&gateway).charge().unwrap().amount().base_units()),
        ("tempo", "tempo", 10_000)
    );
    assert_eq!(rail.node(), Some((4217, &["https://rpc.tempo.xyz".to_owned()][..])));
    assert_eq!(request(&gateway)["currency"], "0x20C000000000000000000000b9537d11c60E8b50");
    let testnet = gateway_with(&json!({}));
    assert_eq!((testnet.rails[0].name(), testnet.rails[0].node().unwrap().0), ("tempo-testnet", 42431));
    let own =
        gateway_with(&json!({ "name": "mine", "chainId": 7, "token": TOKEN, "rpcUrls": ["http://127.0.0.1:8545"], "confirmations": 3 }));
    assert_eq!((own.rails[0].name(), own.rails[0].node()), ("mine", Some((7, &["http://127.0.0.1:8545".to_owned()][..]))));
    assert!(!format!("{own:?}").contains("127.0.0.1"), "endpoints may hold keys");
}

#[test]
fn a_request_says_what_is_asked_for() {
    let text = |gateway: &Gateway| offer(gateway).charge().unwrap().request(Some("a quote"), None);
    assert_eq!(
        text(&gateway()),
        r#"{"amount":"10000","currency":"0x20C0000000000000000000000000000000000000","description":"a quote","methodDetails":{"chainId":42431},"recipient":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"}"#
    );
    assert_eq!(
        text(&sponsoring()),
        r#"{"amount":"10000","currency":"0x20C0000000000000000000000000000000000000","description":"a quote","methodDetails":{"chainId":42431,"feePayer":true,"splits":[{"amount":"250","recipient":"0x0707070707070707070707070707070707070707"}]},"recipient":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"}"#
    );
    assert_eq!(request(&gateway_with(&json!({ "modes": ["push"] })))["methodDetails"]["supportedModes"], json!(["push"]));
    assert_eq!(request(&gateway_with(&json!({ "modes": ["pull"] })))["methodDetails"]["supportedModes"], json!(["pull"]));
    assert_eq!(request(&gateway_with(&json!({ "modes": ["pull", "push"] })))["methodDetails"], json!({ "chainId": 42431 }));
    // Where nothing is asked for there is nothing to part, and no fee.
    let identity =
        configured(&table(&json!({ "feePayer": {}, "modes": ["pull"], "splits": [{ "recipient": PARTNER, "basisPoints": 1 }] })), "0")
            .unwrap();
    assert_eq!(request(&identity)["methodDetails"], json!({ "chainId": 42431 }));
}

#[test]
fn a_wrong_table_is_told_by_field() {
    let broken_at = |rail: &Value, price: &str| {
        let error = configured(rail, price).unwrap_err().errors.remove(0);
        (error.rule, error.field)
    };
    for (more, rule, field) in [
        (json!({ "chainId": 0 }), 2, "rails[0].chainId"),
        (json!({ "chainId": 5, "name": "x" }), 3, "rails[0].token"),
        (json!({ "chainId": 5, "token": TOKEN }), 26, "rails[0].name"),
        (json!({ "chainId": 5, "token": TOKEN, "name": "x" }), 6, "rails[0].rpcUrls"),
        (json!({ "token": "0x20" }), 3, "rails[0].token"),
        (json!({ "recipient": Address::ZERO }), 4, "rails[0].recipient"),
        (json!({ "rpcUrls": ["tempo"] }), 6, "rails[0].rpcUrls[0]"),
        (json!({ "confirmations": 0 }), 10, "rails[0].confirmations"),
        (json!({ "escrow": TOKEN }), 1, "rails[0].escrow"),
        (json!({ "modes": [] }), 30, "rails[0].modes"),
        (json!({ "modes": ["pull", "pull"] }), 30, "rails[0].modes"),
        (json!({ "modes": ["shove"] }), 30, "rails[0].modes"),
        (json!({ "modes": ["push"], "feePayer": {} }), 30, "rails[0].feePayer"),
        (json!({ "splits": [{ "recipient": "0x", "basisPoints": 1 }] }), 30, "rails[0].splits[0].recipient"),
        (json!({ "splits": [{ "recipient": PARTNER, "basisPoints": 0 }] }), 30, "rails[0].splits[0].basisPoints"),
        (json!({ "splits": [{ "recipient": PARTNER, "basisPoints": 10_000 }] }), 30, "rails[0].splits[0].basisPoints"),
        (json!({ "splits": vec![json!({ "recipient": PARTNER, "basisPoints": 5_000 }); 2] }), 30, "rails[0].splits"),
        (json!({ "splits": vec![json!({ "recipient": PARTNER, "basisPoints": 1 }); 11] }), 30, "rails[0].splits"),
        (json!({ "feePayer": { "maxGas": 0 } }), 30, "rails[0].feePayer.maxGas"),
        (json!({ "feePayer": { "maxFeePerGas": 10_001 } }), 30, "rails[0].feePayer.maxFeePerGas"),
        (json!({ "feePayer": { "maxPriorityFeePerGas": 10_001 } }), 30, "rails[0].feePayer.maxPriorityFeePerGas"),
        (json!({ "feePayer": { "atOnce": 1_001 } }), 30, "rails[0].feePayer.atOnce"),
        (json!({ "feePayer": { "maxFee": "0" } }), 30, "rails[0].feePayer.maxFee"),
        (json!({ "feePayer": { "feeToken": "0x20" } }), 30, "rails[0].feePayer.feeToken"),
    ] {
        assert_eq!(broken_at(&table(&more), "0.01"), (rule, field.to_owned()), "{more}");
    }
    // A share of less than a base unit.
    let split = table(&json!({ "splits": [{ "recipient": PARTNER, "basisPoints": 250 }] }));
    assert_eq!(broken_at(&split, "0.000039"), (15, "routes[0].price".to_owned()));
    assert!(configured(&split, "0.00004").is_ok());
    assert_eq!(broken_at(&table(&json!({})), "0.0000001"), (15, "routes[0].price".to_owned()));
    // Only who pays fees needs a key.
    let mut without_key = secrets();
    without_key.settlement_private_key = None;
    let judge = |rail: &Value| {
        let json = json!({ "rails": [rail], "origin": { "dns": true }, "routes": [{ "path": "/x", "price": "1", "wires": ["mpp"] }] });
        validate(Some(&json.to_string()), &without_key, |_| false).map_err(|broken| broken.errors[0].rule)
    };
    assert!(judge(&table(&json!({}))).is_ok());
    assert_eq!(judge(&table(&json!({ "feePayer": {} }))).unwrap_err(), 20);
}

// --- Proofs.

#[test]
fn a_signed_transaction_is_taken() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let bytes = paying(&gateway).signed(&key());
    assert_eq!(
        (payment.amount().base_units(), payment.payer(), payment.chain_id()),
        (10_000, Some(key().address().to_checksum(None)), Some(42431))
    );
    assert_eq!((hash_of(&payment), payment.challenge_id()), (keccak256(&bytes), Some(challenge(&gateway).1.as_str())));
    assert!(payment.is_bound() && payment.is_of_one_payer() && payment.search(NOW).is_none());
    assert_eq!(payment.untimely(NOW), None);
    // Who signed is who pays, also where no source says so.
    let without = read_as(&gateway, &challenge(&gateway).0, &signed(&bytes), None).unwrap();
    assert_eq!(without, payment);
    assert_eq!(decode::<Payment>(&encode(&payment).unwrap()), Ok(payment));
}

#[test]
fn only_modes_that_are_offered_are_taken() {
    let (pulls, pushes) = (gateway_with(&json!({ "modes": ["pull"] })), gateway_with(&json!({ "modes": ["push"] })));
    let hash = pushed(B256::repeat_byte(1));
    assert_eq!(refused(&pulls, &hash).0, ProblemKind::MethodUnsupported);
    assert_eq!(refused(&pushes, &signed(&paying(&pushes).signed(&key()))).0, ProblemKind::MethodUnsupported);
    assert!(read(&pushes, &hash).is_ok());
    let proof = json!({ "type": "proof", "signature": format!("0x{}", "11".repeat(65)) });
    assert_eq!(refused(&gateway(), &proof).0, ProblemKind::MethodUnsupported);
    let identity = configured(&table(&json!({})), "0").unwrap();
    assert_eq!(refused(&identity, &hash).0, ProblemKind::MethodUnsupported);
    for payload in [json!({ "type": "keyAuthorization", "signature": "0x" }), json!({}), json!([]), json!({ "type": 1 })] {
        assert_eq!(refused(&gateway(), &payload).0, ProblemKind::MalformedCredential, "{payload}");
    }
}

#[test]
fn what_is_no_tempo_transaction_is_refused() {
    let gateway = gateway();
    let good = paying(&gateway).signed(&key());
    for (signature, words) in [
        (json!(null), "is missing"),
        (json!("76"), "must start with 0x"),
        (json!("0x7"), "hexadecimal"),
        (json!("0x"), "must be a Tempo transaction"),
        (json!(hex::encode_prefixed([&[0x02], &good[1..]].concat())), "must be a Tempo transaction"),
        (json!(hex::encode_prefixed(&good[..good.len() - 1])), "list of fields"),
        (json!(hex::encode_prefixed([&good[..], &[0]].concat())), "more bytes"),
        (json!(format!("0x{}", "76".repeat(8_193))), "is longer than"),
        (json!(hex::encode_prefixed(paying(&gateway).bytes(0x76, None))), "signature"),
    ] {
        let (kind, detail) = refused(&gateway, &json!({ "type": "transaction", "signature": signature }));
        assert_eq!(kind, ProblemKind::MalformedCredential, "{detail}");
        assert!(detail.starts_with("payload.signature: ") && detail.contains(words), "{words}: {detail}");
    }
}

#[test]
fn a_transaction_must_be_what_the_challenge_asks_for() {
    let gateway = gateway();
    let with = |place, field| paying(&gateway).with(place, field);
    assert_refused(&gateway, &with(sample::CHAIN_ID, rlp(&4217u64)), "another chain");
    assert_refused(&gateway, &with(sample::VALID_BEFORE, rlp(&0u64)), "no validBefore");
    let memo = bound(&gateway).memo(None);
    for (calls, words) in [
        (vec![call(TOKEN, &transfer_with_memo(RECIPIENT, 9_999, memo))], "has no transfer of 10000"),
        (vec![call(TOKEN, &transfer_with_memo(PARTNER, 10_000, memo))], "has no transfer of 10000"),
        (vec![call(PARTNER, &transfer_with_memo(RECIPIENT, 10_000, memo))], "may call nothing but"),
        (vec![call(TOKEN, &transfer(RECIPIENT, 10_000))], "memo of this challenge"),
        (vec![call(TOKEN, &transfer_with_memo(RECIPIENT, 10_000, Bound::to(sample::REALM, ID).memo(None)))], "memo of another challenge"),
        (vec![calls(&gateway)[0].clone(), call(TOKEN, &transfer(PARTNER, 1))], "more transfers"),
        (vec![calls(&gateway)[0].clone(), call(PARTNER, &[])], "may call nothing but"),
    ] {
        assert_refused(&gateway, &Sample::calling(&calls, END), words);
    }
    // The challenge of another price, or of another gateway, binds another memo.
    let parted = gateway_with(&json!({ "splits": [{ "recipient": PARTNER, "basisPoints": 250 }] }));
    assert_refused(
        &parted,
        &Sample::calling(&[call(TOKEN, &transfer_with_memo(RECIPIENT, 9_750, bound(&parted).memo(None)))], END),
        "has no transfer of 250",
    );
    assert!(read(&parted, &signed(&paying(&parted).signed(&key()))).is_ok());
}

#[test]
fn a_challenge_is_answered_as_it_was_made() {
    let gateway = gateway();
    let (good, _) = challenge(&gateway);
    let payload = signed(&paying(&gateway).signed(&key()));
    let kind = |challenge: &Value| read_as(&gateway, challenge, &payload, None).unwrap_err().kind;
    for (field, value) in [
        ("id", json!("another")),
        ("realm", json!("other.example.com")),
        ("request", json!(to_base64url(r#"{"amount":"1"}"#))),
        ("expires", json!("2100-01-01T00:00:00.000Z")),
    ] {
        let mut edited = good.clone();
        edited[field] = value;
        assert_eq!(kind(&edited), ProblemKind::InvalidChallenge, "{field}");
    }
    // Nor one for a dearer route.
    let dearer = configured(&table(&json!({})), "0.02").unwrap();
    assert_eq!(read_as(&dearer, &good, &payload, None).unwrap_err().kind, ProblemKind::InvalidChallenge);
}

#[test]
fn who_signs_is_who_is_named() {
    let gateway = gateway();
    let (challenge, _) = challenge(&gateway);
    let payload = signed(&paying(&gateway).signed(&key()));
    for source in [
        source(other_key().address()),
        format!("did:pkh:eip155:1:{}", key().address()),
        "did:key:z6Mk".to_owned(),
        key().address().to_checksum(None),
    ] {
        let problem = read_as(&gateway, &challenge, &payload, Some(source)).unwrap_err();
        assert!(problem.kind == ProblemKind::VerificationFailed && problem.detail.starts_with("source: "), "{problem}");
    }
    // A signature that is changed is somebody else's.
    let mut bytes = paying(&gateway).signed(&key());
    let place = bytes.len() - 40;
    bytes[place] ^= 1;
    let problem = read_as(&gateway, &challenge, &signed(&bytes), Some(source(key().address())));
    assert_eq!(problem.unwrap_err().kind, ProblemKind::VerificationFailed);
}

#[test]
fn only_who_offers_to_pays_the_fees() {
    let sponsored = |gateway: &Gateway, sender| signed(&paying(gateway).for_fee_payer(&key(), sender));
    let plain = gateway();
    let (kind, detail) = refused(&plain, &sponsored(&plain, key().address()));
    assert!(kind == ProblemKind::VerificationFailed && detail.contains("does not offer"), "{detail}");
    let gateway = sponsoring();
    let payment = read(&gateway, &sponsored(&gateway, key().address())).unwrap();
    let sponsor = PrivateKey::parse(SPONSOR).unwrap().address();
    let Evidence::Transaction { sealed, sponsored: Some(paid), .. } = &charge(&payment).evidence else { panic!("sponsored") };
    assert_eq!((paid.sponsor, paid.fee), (sponsor, 800_000 * 25_000_000_000));
    let finished = transaction::Transaction::decode(&sealed.raw).unwrap();
    let transaction::Fees::Signed(signature) = finished.fees else { panic!("signed") };
    assert_eq!(finished.fee_token, Some(TOKEN));
    assert_eq!(signature.recover(finished.fee_payer_digest(TOKEN, key().address())), Ok(sponsor));
    // Who is named as the sender must have signed, and be the source.
    let named = read_as(&gateway, &challenge(&gateway).0, &sponsored(&gateway, other_key().address()), None).unwrap_err();
    assert!(named.detail.contains("is not signed by the sender that it names"), "{named}");
    let (_, detail) = refused(&gateway, &sponsored(&gateway, other_key().address()));
    assert!(detail.starts_with("source: "), "{detail}");
    // It may still pay its own.
    assert!(read(&gateway, &signed(&paying(&gateway).signed(&key()))).is_ok());
    // What the policy does not allow is refused, by its name.
    let dear = paying(&gateway).with(sample::GAS, rlp(&2_000_001u64)).for_fee_payer(&key(), key().address());
    let (_, detail) = refused(&gateway, &signed(&dear));
    assert!(detail.contains("its gas is none, or more"), "{detail}");
}

#[test]
fn a_transaction_comes_in_time_or_not_at_all() {
    let gateway = sponsoring();
    let at = |sample: &Sample, is_sponsored: bool, now: Timestamp| {
        let bytes = if is_sponsored { sample.for_fee_payer(&key(), key().address()) } else { sample.signed(&key()) };
        read(&gateway, &signed(&bytes)).unwrap().untimely(now).map(|problem| problem.kind)
    };
    let ending = |seconds: u64| paying(&gateway).with(sample::VALID_BEFORE, rlp(&(NOW.seconds().get() + seconds)));
    let (expired, failed) = (Some(ProblemKind::PaymentExpired), Some(ProblemKind::VerificationFailed));
    for (sample, is_sponsored, outcome) in [
        (ending(5), false, expired),
        (ending(6), false, None),
        (ending(14), true, expired),
        (ending(15), true, None),
        (ending(361), true, failed),
        (ending(360), true, None),
        (ending(361), false, None),
        (ending(86_701), false, failed),
        (ending(86_700), false, None),
        (ending(25).with(sample::VALID_AFTER, rlp(&NOW.seconds().get())), false, failed),
        (ending(25).with(sample::VALID_AFTER, rlp(&(NOW.seconds().get() - 1))), false, None),
    ] {
        assert_eq!(at(&sample, is_sponsored, NOW), outcome);
    }
    assert_eq!(at(&ending(400), false, NOW.saturating_add(LIFETIME)), expired, "the challenge's own end");
    let payment = pull(&gateway);
    assert!(!payment.is_too_late(NOW) && payment.is_too_late(NOW.saturating_add(Duration::from_secs(20))));
    assert_eq!(payment.resumable_until(), NOW.saturating_add(LIFETIME).saturating_add(RESUMABLE));
}

#[test]
fn a_hash_is_taken_with_its_source() {
    let gateway = gateway();
    let hash = B256::repeat_byte(3);
    let payment = read(&gateway, &pushed(hash)).unwrap();
    assert_eq!((hash_of(&payment), charge(&payment).payer), (hash, key().address()));
    assert!(payment.untimely(NOW).is_none() && payment.untimely(NOW.saturating_add(LIFETIME)).is_some() && !payment.is_too_late(NOW));
    let without = read_as(&gateway, &challenge(&gateway).0, &pushed(hash), None).unwrap_err();
    assert!(without.kind == ProblemKind::MalformedCredential && without.detail.starts_with("source: "), "{without}");
    for wrong in [json!("0x"), json!(null), json!(format!("0x{}", "11".repeat(33)))] {
        assert_eq!(refused(&gateway, &json!({ "type": "hash", "hash": wrong })).0, ProblemKind::MalformedCredential);
    }
}

/// A signature over the challenge, and nothing else.
#[test]
fn where_nothing_is_asked_for_a_signature_says_who_asks() {
    let gateway = configured(&table(&json!({})), "0").unwrap();
    let (challenge, id) = challenge(&gateway);
    let sign = |key: &PrivateKey, account: Address, chain: u64, version: &str, id: &str, realm: &str| {
        let words =
            [keccak256("Proof(address account,string challengeId,string realm)"), account.into_word(), keccak256(id), keccak256(realm)];
        let domain = crate::evm::eip712::Domain::of_chain("MPP", version, chain);
        json!({ "type": "proof", "signature": hex::encode_prefixed(key.sign(domain.digest(keccak256(words.concat()))).to_bytes()) })
    };
    let payer = key().address();
    let good = sign(&key(), payer, 42431, "3", &id, sample::REALM);
    let payment = read_as(&gateway, &challenge, &good, Some(source(payer))).unwrap();
    assert_eq!((payment.amount(), payment.payer(), charge(&payment).transaction()), (Amount::ZERO, Some(payer.to_checksum(None)), None));
    for wrong in [
        sign(&other_key(), payer, 42431, "3", &id, sample::REALM),
        sign(&key(), other_key().address(), 42431, "3", &id, sample::REALM),
        sign(&key(), payer, 4217, "3", &id, sample::REALM),
        sign(&key(), payer, 42431, "1", &id, sample::REALM),
        sign(&key(), payer, 42431, "3", "another", sample::REALM),
        sign(&key(), payer, 42431, "3", &id, "other.example.com"),
    ] {
        assert_eq!(read_as(&gateway, &challenge, &wrong, Some(source(payer))).unwrap_err().kind, ProblemKind::VerificationFailed);
    }
    assert_eq!(read_as(&gateway, &challenge, &good, None).unwrap_err().kind, ProblemKind::MalformedCredential);
    let access_key = json!({ "type": "proof", "signature": format!("0x04{}", "11".repeat(85)) });
    let problem = read_as(&gateway, &challenge, &access_key, Some(source(payer))).unwrap_err();
    assert!(problem.detail.contains("by an access key"), "{problem}");
    // It buys at once, once, and without a question to anybody.
    let (mut purchase, next) = Purchase::present(None, payment.clone(), None, NOW, false).unwrap();
    assert_eq!(next, Next::Prepare);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut |_| panic!("nobody is asked"));
    assert!(matches!(prepared, Prepared::Settled(reference) if reference.as_str() == id));
    purchase.settle(crate::rail::Reference::new(id));
    let (lease, _) = purchase.hand_over(NOW, LEASE).unwrap();
    purchase.deliver(lease, NOW).unwrap();
    assert_eq!(Purchase::present(Some(purchase), payment, None, NOW, false).unwrap_err(), Refusal::Spent);
}

#[test]
fn ox_s_proofs_are_read() {
    let vectors: Value = serde_json::from_str(include_str!("../../../tests/vectors/tempo-ox.json")).unwrap();
    for vector in vectors["proofs"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap();
        let account = parse::address(text("account")).unwrap();
        let words = [
            keccak256("Proof(address account,string challengeId,string realm)"),
            account.into_word(),
            keccak256(text("challengeId")),
            keccak256(text("realm")),
        ];
        let digest =
            crate::evm::eip712::Domain::of_chain("MPP", "3", vector["chainId"].as_u64().unwrap()).digest(keccak256(words.concat()));
        assert_eq!(digest.to_string(), text("digest"));
        let signature = SenderSignature::decode(&parse::bytes(text("signature")).unwrap()).unwrap();
        assert_eq!(signature.recover(digest), Ok(account));
    }
}

// --- What makes a payment one.

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

// --- Steps.

/// A node, as it answers.
#[derive(Clone, Default)]
struct Chain {
    head: u64,
    seconds: u64,
    /// What has been sent, by its hash.
    sent: Vec<B256>,
    receipts: BTreeMap<B256, Value>,
    logs: Vec<Value>,
    balance: u128,
    /// What is answered to transactions that are tried out, one after the other.
    tried: Vec<NodeError>,
    /// What is answered to one that is sent, but its receipt.
    refusal: Option<NodeError>,
}

fn raw(value: &Value) -> NodeAnswer {
    Ok(RawValue::from_string(value.to_string()).unwrap())
}

impl Chain {
    fn new() -> Self {
        Self { head: 100, seconds: NOW.seconds().get(), balance: 1_000_000, ..Self::default() }
    }

    fn block(&self, number: u64) -> Value {
        json!({ "number": format!("{number:#x}"), "timestamp": format!("{:#x}", self.seconds - (self.head - number)) })
    }

    /// Has a transaction mined in the latest block, with these logs.
    fn mine(&mut self, hash: B256, logs: Vec<Value>) {
        let receipt = json!({
            "transactionHash": hash, "from": key().address(), "status": "0x1", "blockNumber": format!("{:#x}", self.head), "logs": logs,
        });
        self.receipts.insert(hash, receipt);
    }

    fn revert(&mut self, hash: B256) {
        self.mine(hash, Vec::new());
        self.receipts.get_mut(&hash).unwrap()["status"] = json!("0x0");
    }

    fn answer(&mut self, request: &Value) -> NodeAnswer {
        let params = &request["params"];
        let hash = || parse::hash(params[0].as_str().unwrap()).unwrap();
        match request["method"].as_str().unwrap() {
            "eth_call" if params[0]["from"].is_null() => raw(&json!(
                U256::from(self.balance)
                    .to_be_bytes::<32>()
                    .to_vec()
                    .iter()
                    .fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
            )),
            "eth_call" => {
                if self.tried.is_empty() {
                    raw(&json!("0x"))
                } else {
                    Err(self.tried.remove(0))
                }
            }
            "eth_sendRawTransactionSync" => {
                let sent = keccak256(parse::bytes(params[0].as_str().unwrap()).unwrap());
                self.sent.push(sent);
                match (&self.refusal, self.receipts.get(&sent)) {
                    (Some(refusal), _) => Err(refusal.clone()),
                    (None, Some(receipt)) => raw(receipt),
                    (None, None) => Err(NodeError::Busy),
                }
            }
            "eth_getTransactionReceipt" => raw(self.receipts.get(&hash()).unwrap_or(&Value::Null)),
            "eth_getBlockByNumber" => match params[0].as_str().unwrap() {
                "latest" => raw(&self.block(self.head)),
                number => raw(&self.block(u64::from_str_radix(&number[2..], 16).unwrap())),
            },
            "eth_getLogs" => raw(&json!(self.logs)),
            method => panic!("{method}"),
        }
    }

    fn all(&mut self, requests: &[Request]) -> Answer {
        let body: Vec<Value> = serde_json::from_str(&jsonrpc::body(requests)).unwrap();
        Answer::Rpc(body.iter().map(|request| self.answer(request)).collect())
    }
}

/// The logs of the transfers that a challenge asks for.
fn logs(gateway: &Gateway, payer: Address) -> Vec<Value> {
    let memo = bound(gateway).memo(Some("an agent"));
    let word = |amount: u128| B256::from(U256::from(amount)).to_string();
    let request = request(gateway);
    let splits: Vec<(Address, u128)> =
        request["methodDetails"]["splits"].as_array().into_iter().flatten().map(|_| (PARTNER, 250)).collect();
    let rest = 10_000 - splits.iter().map(|(_, amount)| amount).sum::<u128>();
    let transferred = keccak256("Transfer(address,address,uint256)");
    let with_memo = keccak256("TransferWithMemo(address,address,uint256,bytes32)");
    let mut logs = vec![
        json!({ "address": TOKEN, "topics": [transferred, payer.into_word(), RECIPIENT.into_word()], "data": word(rest) }),
        json!({ "address": TOKEN, "topics": [with_memo, payer.into_word(), RECIPIENT.into_word(), memo], "data": word(rest) }),
    ];
    logs.extend(
        splits.into_iter().map(
            |(to, amount)| json!({ "address": TOKEN, "topics": [transferred, payer.into_word(), to.into_word()], "data": word(amount) }),
        ),
    );
    logs
}

/// The shell's loop (`worker/objects/payer`). Gives the state at which it was stored before money could move, too.
fn settle(gateway: &Gateway, purchase: &mut Purchase, ask: &mut dyn FnMut(&Ask) -> Answer) -> (Prepared, Stage) {
    let rail = gateway.rails[0].as_ref();
    let is_sent = matches!(purchase.stage(), Stage::Submitted { .. });
    let mut progress = Progress { answers: Vec::new(), presented: purchase.presented(), was_good: false, is_sent, reserved: Amount::ZERO };
    let mut stored = purchase.stage().clone();
    for _ in 0..16 {
        match rail.next(purchase.payment(), &progress) {
            Step::Ask(question) => progress.answers.push(ask(&question)),
            Step::Prepared(Prepared::Send(send)) => {
                let (Send::Request(request) | Send::Watch(request)) = *send else { panic!("it has no account") };
                if !progress.is_sent {
                    purchase.submit(None);
                    stored = purchase.stage().clone();
                    progress = Progress { answers: Vec::new(), is_sent: true, ..progress };
                }
                progress.answers.push(ask(&request));
            }
            Step::Prepared(prepared) => return (prepared, stored),
        }
    }
    panic!("it asks without end");
}

fn with_chain<'a>(chain: &'a mut Chain) -> impl FnMut(&Ask) -> Answer + 'a {
    |ask| match ask {
        Ask::Rpc { requests, after } => {
            chain.seconds += after.as_secs();
            chain.head += after.as_secs();
            chain.all(requests)
        }
        Ask::Promise(_) => Answer::Promised(true),
        _ => panic!("another question"),
    }
}

fn begun(payment: &Payment) -> Purchase {
    Purchase::present(None, payment.clone(), None, NOW, false).unwrap().0
}

fn reference(prepared: Prepared) -> String {
    match prepared {
        Prepared::Settled(reference) => reference.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_problem(prepared: &Prepared, status: u16, words: &str) {
    let (Prepared::Refused(problem) | Prepared::Later(problem) | Prepared::Unknown(problem)) = prepared else { panic!("{prepared:?}") };
    assert!(problem.kind.status() == status && problem.detail.contains(words), "{words}: {problem}");
    assert_eq!(matches!(prepared, Prepared::Refused(_)), status == 402, "{problem}");
}

#[test]
fn a_transaction_is_tried_out_sent_and_mined() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let (mut purchase, mut chain) = (begun(&payment), Chain::new());
    chain.mine(hash_of(&payment), logs(&gateway, key().address()));
    let (prepared, stored) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
    assert_eq!(stored, Stage::Submitted { gas_limit: None }, "it was remembered before it was sent");
    assert_eq!(reference(prepared), hash_of(&payment).to_string());
    assert_eq!(chain.sent, [hash_of(&payment)]);
    purchase.settle(hash_of(&payment).into());
    let (lease, paid_by) = purchase.hand_over(NOW, LEASE).unwrap();
    assert_eq!(purchase.deliver(lease, NOW), Ok(paid_by));
    let stored: Purchase = decode(&encode(&purchase).unwrap()).unwrap();
    assert_eq!(Purchase::present(Some(stored), payment, None, NOW, false).unwrap_err(), Refusal::Spent);
}

#[test]
fn what_is_tried_out_is_what_is_sent() {
    let questions = |payment: &Payment, gateway: &Gateway| {
        let progress = Progress { answers: Vec::new(), presented: NOW, was_good: false, is_sent: false, reserved: Amount::ZERO };
        let Step::Ask(Ask::Rpc { requests, .. }) = gateway.rails[0].next(payment, &progress) else { panic!("a question") };
        serde_json::from_str::<Vec<Value>>(&jsonrpc::body(&requests)).unwrap()
    };
    let (payer, data) = (key().address(), |gateway: &Gateway| {
        hex::encode_prefixed(transfer_with_memo(RECIPIENT, 10_000, bound(gateway).memo(Some("an agent"))))
    });
    let gateway = gateway();
    let [balance, tried] = questions(&pull(&gateway), &gateway).try_into().unwrap();
    assert_eq!(balance["params"][0]["to"], json!(TOKEN));
    let fees = json!({ "from": payer, "to": TOKEN, "value": "0x0", "data": data(&gateway), "gas": "0xc3500", "maxFeePerGas": "0x5d21dba00", "maxPriorityFeePerGas": "0x3b9aca00" });
    assert_eq!(tried["params"], json!([fees, "latest"]));
    // First whether it would go well, and then with who pays the fees.
    let gateway = sponsoring();
    let [_, bare, sponsored] = questions(&pull_sponsored(&gateway), &gateway).try_into().unwrap();
    let (bare, sponsored) = (&bare["params"][0], &sponsored["params"][0]);
    assert_eq!((bare["calls"].as_array().unwrap().len(), &bare["gas"], &bare["feePayer"]), (2, &Value::Null, &Value::Null));
    let sponsor = PrivateKey::parse(SPONSOR).unwrap().address();
    assert_eq!((&sponsored["feePayer"], &sponsored["feeToken"], &sponsored["gas"]), (&json!(sponsor), &json!(TOKEN), &json!("0xc3500")));
    assert_eq!(sponsored["calls"], bare["calls"]);
}

#[test]
fn what_would_fail_is_not_sent() {
    for (edit, status, words) in [
        ((|chain: &mut Chain| chain.balance = 9_999) as fn(&mut Chain), 402, "less of the token"),
        (|chain| chain.tried.push(NodeError::Reverted(Some("paused".into()))), 402, "would revert, and nothing was paid: paused"),
        (|chain| chain.tried.push(NodeError::Reverted(None)), 402, "would revert"),
        (|chain| chain.tried.push(NodeError::OutOfGas), 402, "would revert"),
        (|chain| chain.tried.push(NodeError::InsufficientFunds), 402, "cannot pay the fees"),
        (|chain| chain.tried.push(NodeError::Busy), 503, "could not be tried out"),
        (|chain| chain.tried.push(NodeError::Other(-32000)), 503, "could not be tried out"),
    ] {
        let gateway = gateway();
        let (mut purchase, mut chain) = (begun(&pull(&gateway)), Chain::new());
        edit(&mut chain);
        let (prepared, stored) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
        assert_problem(&prepared, status, words);
        assert!(chain.sent.is_empty() && stored == Stage::Claimed);
    }
    let gateway = gateway();
    let (prepared, _) = settle(&gateway, &mut begun(&pull(&gateway)), &mut |_| Answer::Nothing);
    assert_problem(&prepared, 503, "cannot be asked");
    // The payer's other payments on their way count.
    let mut chain = Chain { balance: 15_000, ..Chain::new() };
    let mut progress =
        Progress { answers: Vec::new(), presented: NOW, was_good: false, is_sent: false, reserved: Amount::from_base_units(5_001) };
    let payment = pull(&gateway);
    let Step::Ask(Ask::Rpc { requests, .. }) = gateway.rails[0].next(&payment, &progress) else { panic!("a question") };
    progress.answers.push(chain.all(&requests));
    let Step::Prepared(prepared @ Prepared::Later(_)) = gateway.rails[0].next(&payment, &progress) else { panic!("later") };
    assert_problem(&prepared, 503, "beside its others");
    progress.reserved = Amount::from_base_units(5_000);
    assert!(matches!(gateway.rails[0].next(&payment, &progress), Step::Prepared(Prepared::Send(_))));
}

/// A sponsor's money is promised before it is spent, and a sponsor that cannot pay is not the client's fault.
#[test]
fn what_is_sponsored_is_promised_first() {
    let gateway = sponsoring();
    let payment = pull_sponsored(&gateway);
    let promised = |promise: Answer| {
        let (mut chain, mut asked) = (Chain::new(), Vec::new());
        chain.mine(hash_of(&payment), logs(&gateway, key().address()));
        let mut purchase = begun(&payment);
        let (prepared, _) = settle(&gateway, &mut purchase, &mut |ask| match ask {
            Ask::Promise(promise_asked) => {
                asked.push(*promise_asked);
                promise.clone()
            }
            ask => with_chain(&mut chain)(ask),
        });
        (prepared, asked, chain.sent)
    };
    let (prepared, asked, sent) = promised(Answer::Promised(true));
    assert_eq!((reference(prepared), sent), (hash_of(&payment).to_string(), vec![hash_of(&payment)]));
    let sponsor = PrivateKey::parse(SPONSOR).unwrap().address();
    assert_eq!(
        asked,
        [sponsor::Promise { chain_id: 42431, sponsor, transaction: hash_of(&payment), until: UnixSeconds::new(END), at_once: 2 }]
    );
    for answer in [Answer::Promised(false), Answer::Nothing] {
        let (prepared, _, sent) = promised(answer);
        assert!(matches!(prepared, Prepared::Unknown(_)) && sent.is_empty());
    }
    // The second question is about the sponsor.
    let mut chain = Chain { tried: vec![NodeError::InsufficientFunds], ..Chain::new() };
    let (prepared, _) = settle(&gateway, &mut begun(&payment), &mut with_chain(&mut chain));
    assert_problem(&prepared, 402, "");
}

#[test]
fn whatever_a_node_says_only_the_chain_decides() {
    let gateway = gateway();
    let payment = pull(&gateway);
    for refusal in [
        NodeError::Busy,
        NodeError::AlreadyKnown,
        NodeError::NonceTooLow,
        NodeError::InsufficientFunds,
        NodeError::Unacceptable,
        NodeError::Reverted(None),
        NodeError::Other(-32003),
    ] {
        // It was mined all the same.
        let mut chain = Chain { refusal: Some(refusal.clone()), ..Chain::new() };
        chain.mine(hash_of(&payment), logs(&gateway, key().address()));
        let (prepared, _) = settle(&gateway, &mut begun(&payment), &mut with_chain(&mut chain));
        assert_eq!(reference(prepared), hash_of(&payment).to_string(), "{refusal}");
        // It is not, as yet.
        let mut chain = Chain { refusal: Some(refusal.clone()), ..Chain::new() };
        let (prepared, _) = settle(&gateway, &mut begun(&payment), &mut with_chain(&mut chain));
        assert_problem(&prepared, 503, "not settled yet");
    }
    // Nobody answers at all once it was sent.
    let mut chain = Chain::new();
    let mut questions = 0;
    let (prepared, stored) = settle(&gateway, &mut begun(&payment), &mut |ask| {
        questions += 1;
        if questions == 1 { with_chain(&mut chain)(ask) } else { Answer::Nothing }
    });
    assert_problem(&prepared, 503, "not settled yet");
    assert_eq!(stored, Stage::Submitted { gas_limit: None });
}

/// The object dies before or after it was sent: whoever asks again has it looked for, and sent again, which is harmless.
#[test]
fn what_may_have_been_sent_is_looked_for_and_sent_again() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let stored = encode(&purchase).unwrap();
    let resumed = |at: Timestamp| {
        let (purchase, next) = Purchase::present(Some(decode(&stored).unwrap()), payment.clone(), None, at, false).unwrap();
        assert_eq!(next, Next::Settle { gas_limit: None });
        purchase
    };
    // It was mined: nothing is sent.
    let mut chain = Chain::new();
    chain.mine(hash_of(&payment), logs(&gateway, key().address()));
    let (prepared, _) = settle(&gateway, &mut resumed(NOW.saturating_add(LIFETIME)), &mut with_chain(&mut chain));
    assert_eq!((reference(prepared), chain.sent.len()), (hash_of(&payment).to_string(), 0));
    // It was not: it is sent, once.
    let mut chain = Chain::new();
    let mut late = NOW;
    late = late.saturating_add(Duration::from_secs(1));
    let (prepared, _) = settle(&gateway, &mut resumed(late), &mut with_chain(&mut chain));
    assert_problem(&prepared, 503, "not settled yet");
    assert_eq!(chain.sent, [hash_of(&payment)]);
}

#[test]
fn a_transaction_that_ends_without_a_block_is_refused() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let ended = || Chain { head: 200, seconds: END + 1, ..Chain::new() };
    let judge = |chain: &mut Chain| {
        let mut purchase = begun(&payment);
        purchase.submit(None);
        settle(&gateway, &mut purchase, &mut with_chain(chain)).0
    };
    assert_problem(&judge(&mut ended()), 402, "validBefore was past");
    // At its end it may still be in the block of that second.
    assert_problem(&judge(&mut Chain { seconds: END - 20, ..ended() }), 503, "not settled yet");
    // The receipt comes between the questions: it is asked for once more when the end is seen to be past.
    let mut chain = ended();
    let mut questions = 0;
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut |ask| {
        questions += 1;
        if questions == 2 {
            chain.mine(hash_of(&payment), logs(&gateway, key().address()));
        }
        with_chain(&mut chain)(ask)
    });
    assert_eq!(reference(prepared), hash_of(&payment).to_string());
    // Another node is behind, and has no such block.
    let mut questions = 0;
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut |ask| {
        questions += 1;
        match ask {
            Ask::Rpc { requests, .. } if requests.len() == 3 => Answer::Rpc(vec![raw(&Value::Null), raw(&Value::Null), raw(&json!([]))]),
            ask => with_chain(&mut ended())(ask),
        }
    });
    assert_problem(&prepared, 503, "not settled yet");
    // Nor is its end past as deep as is wanted.
    let deep = gateway_with(&json!({ "confirmations": 3 }));
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&deep, &mut purchase, &mut |ask| match ask {
        Ask::Rpc { requests, .. } => ended().all(requests),
        _ => panic!("another question"),
    });
    assert_problem(&prepared, 503, "not settled yet");
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&deep, &mut purchase, &mut with_chain(&mut Chain { seconds: END + 3, ..ended() }));
    assert_problem(&prepared, 402, "validBefore was past");
}

/// Somebody has sent what the payer signed in another form, with another signature or another sponsor: it is the same money.
#[test]
fn a_payment_by_another_transaction_counts() {
    let gateway = sponsoring();
    let payment = pull_sponsored(&gateway);
    let other = B256::repeat_byte(5);
    let mut chain = Chain { head: 200, seconds: END + 1, ..Chain::new() };
    chain.mine(other, logs(&gateway, key().address()));
    let mut log = logs(&gateway, key().address()).remove(1);
    log["transactionHash"] = json!(other);
    log["blockNumber"] = json!("0xc8");
    chain.logs = vec![log];
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
    assert_eq!(reference(prepared), other.to_string());
    // It must have made all the transfers.
    chain.mine(other, logs(&gateway, key().address())[..2].to_vec());
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
    assert_problem(&prepared, 503, "does not show the transfer");
}

#[test]
fn a_reverted_transaction_is_a_refusal_for_good() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let (mut purchase, mut chain) = (begun(&payment), Chain::new());
    chain.revert(hash_of(&payment));
    let (prepared, _) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
    assert_problem(&prepared, 402, "was reverted, and nothing was paid");
    purchase.conclude(Verdict::Failed(Failure::Declined));
    let again = Purchase::present(Some(purchase), payment, None, NOW, false).unwrap_err();
    assert_eq!(again, Refusal::Failed(Failure::Declined));
}

#[test]
fn a_receipt_counts_when_it_is_deep_enough_and_shows_the_transfers() {
    let deep = gateway_with(&json!({ "confirmations": 3 }));
    let payment = pull(&deep);
    let settled = |edit: fn(&mut Chain, B256), blocks_per_look: u64| {
        let (mut purchase, mut chain) = (begun(&payment), Chain::new());
        chain.mine(hash_of(&payment), logs(&deep, key().address()));
        edit(&mut chain, hash_of(&payment));
        settle(&deep, &mut purchase, &mut |ask| match ask {
            Ask::Rpc { requests, after } => {
                if !after.is_zero() {
                    chain.head += blocks_per_look;
                }
                chain.all(requests)
            }
            _ => panic!("another question"),
        })
        .0
    };
    assert_eq!(reference(settled(|_, _| {}, 1)), hash_of(&payment).to_string());
    assert_problem(&settled(|_, _| {}, 0), 503, "not settled yet");
    assert_problem(&settled(|chain, hash| chain.revert(hash), 0), 503, "not settled yet");
    assert_problem(&settled(|chain, hash| chain.revert(hash), 1), 402, "was reverted");
    // What was signed was done, and a node does not show it.
    assert_problem(&settled(|chain, hash| chain.mine(hash, Vec::new()), 1), 503, "does not show the transfer");
    // A node that answers with the receipt of another one.
    let confused = |chain: &mut Chain, hash: B256| chain.receipts.get_mut(&hash).unwrap()["transactionHash"] = json!(B256::repeat_byte(9));
    let one = gateway();
    let payment = pull(&one);
    let (mut purchase, mut chain) = (begun(&payment), Chain::new());
    chain.mine(hash_of(&payment), logs(&one, key().address()));
    confused(&mut chain, hash_of(&payment));
    let (prepared, _) = settle(&one, &mut purchase, &mut with_chain(&mut chain));
    assert_problem(&prepared, 503, "not settled yet");
}

#[test]
fn a_hash_is_looked_for_and_judged_by_its_logs() {
    let gateway = gateway();
    let hash = B256::repeat_byte(3);
    let payment = read(&gateway, &pushed(hash)).unwrap();
    let judge = |chain: &mut Chain| settle(&gateway, &mut begun(&payment), &mut with_chain(chain)).0;
    let mut chain = Chain::new();
    assert_problem(&judge(&mut chain), 503, "not in a block yet");
    chain.mine(hash, logs(&gateway, key().address()));
    assert_eq!(reference(judge(&mut chain)), hash.to_string());
    assert!(chain.sent.is_empty());
    chain.revert(hash);
    assert_problem(&judge(&mut chain), 402, "was reverted");
    chain.mine(hash, logs(&gateway, other_key().address()));
    assert_problem(&judge(&mut chain), 402, "has no transfer of 10000");
    chain.mine(hash, logs(&gateway, key().address())[..1].to_vec());
    assert_problem(&judge(&mut chain), 402, "memo of this challenge");
    let mut foreign = logs(&gateway, key().address());
    foreign[1]["topics"][3] = json!(Bound::to(sample::REALM, ID).memo(None));
    chain.mine(hash, foreign);
    assert_problem(&judge(&mut chain), 402, "memo of another challenge");
    let (prepared, _) = settle(&gateway, &mut begun(&payment), &mut |_| Answer::Nothing);
    assert_problem(&prepared, 503, "cannot be asked");
}

/// It is not deep enough yet: it is remembered from then on, and does not expire.
#[test]
fn a_hash_that_was_seen_is_remembered() {
    let gateway = gateway_with(&json!({ "confirmations": 5 }));
    let hash = B256::repeat_byte(3);
    let payment = read(&gateway, &pushed(hash)).unwrap();
    let (mut purchase, mut chain) = (begun(&payment), Chain::new());
    chain.mine(hash, logs(&gateway, key().address()));
    let still = |chain: &mut Chain, purchase: &mut Purchase| {
        settle(&gateway, purchase, &mut |ask| match ask {
            Ask::Rpc { requests, .. } => chain.all(requests),
            _ => panic!("another question"),
        })
    };
    let (prepared, stored) = still(&mut chain, &mut purchase);
    assert_problem(&prepared, 503, "not in a block yet");
    assert_eq!(stored, Stage::Submitted { gas_limit: None });
    let later = NOW.saturating_add(LIFETIME);
    let (mut purchase, next) = Purchase::present(Some(purchase), payment, None, later, false).unwrap();
    assert_eq!(next, Next::Settle { gas_limit: None });
    chain.head += 4;
    assert_eq!(reference(still(&mut chain, &mut purchase).0), hash.to_string());
    // Nothing is remembered of one that was not seen, or that is of no use.
    let mut empty = Chain::new();
    let mut purchase = begun(&read(&gateway, &pushed(hash)).unwrap());
    assert_eq!(still(&mut empty, &mut purchase).1, Stage::Claimed);
    empty.mine(hash, logs(&gateway, other_key().address()));
    assert_eq!(still(&mut empty, &mut purchase).1, Stage::Claimed);
}

#[test]
fn what_the_origin_fails_is_fetched_again() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let mut purchase = begun(&payment);
    purchase.settle(hash_of(&payment).into());
    let (lease, _) = purchase.hand_over(NOW, LEASE).unwrap();
    let purchase = purchase.release(lease, Undelivered::Failed, NOW).unwrap();
    let (purchase, next) = Purchase::present(Some(purchase), payment, None, NOW, false).unwrap();
    assert_eq!((next, matches!(purchase.stage(), Stage::Settled { .. })), (Next::Deliver, true));
}
