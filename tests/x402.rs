//! A payment by x402 from its offer to what is broadcast, without chain or storage: offered, presented by a client (`vectors/x402.json`, made by
//! `vectors/make-x402.mjs` with viem and mppx's own client), accepted, read, verified; and every way in which one may be wrong, with the
//! reason it gets. Runs in wasm as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use alloy_primitives::{Address, B256, U256, address, hex};
use mpp_edge::evm::eip712::Domain;
use mpp_edge::evm::erc3009::Authorization;
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Asset;
use mpp_edge::rail::evm::charge::ChargeTerms;
use mpp_edge::rail::evm::exact::{Exact, Unverified, requirement, v1_network};
use mpp_edge::time::{Timestamp, UnixSeconds};
use mpp_edge::wire::encoding::{from_base64, to_base64, to_base64url};
use mpp_edge::wire::problem::{Problem, ProblemKind};
use mpp_edge::wire::x402::{Accepted, Flow, Offers, Outcome, PaymentPayload, Reason, Requested, Requirement, Version};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIMIT: usize = 8 * 1024;
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const PAYER: Address = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
const STRANGER: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
const TERMS: ChargeTerms = ChargeTerms {
    amount: Amount::from_base_units(10_000),
    chain_id: 84532,
    token: address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
    decimals: 6,
    recipient: address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
};
const REQUESTED: Requested<'_> = Requested { url: "https://api.example.com/v1/report?day=1&of=“March”", method: "POST" };

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/x402.json")).unwrap()
}

fn decoded(header: &str) -> Value {
    serde_json::from_slice(&from_base64(header).unwrap()).unwrap()
}

fn vector(name: &str) -> Value {
    decoded(vectors()["payments"][name].as_str().unwrap())
}

fn domain() -> Domain {
    Domain::new("USDC", "2", TERMS.chain_id, TERMS.token)
}

fn usdc() -> Requirement {
    requirement(&TERMS, "USDC", "2", Flow::Upfront, 300)
}

fn offers_of(requirements: Vec<Requirement>) -> Offers {
    Offers::new(requirements, Some("Daily \"report\""), Some("application/json"))
}

fn offers() -> Offers {
    offers_of(vec![usdc()])
}

fn read(version: Version, payment: &Value) -> Result<PaymentPayload, Problem> {
    let header = to_base64(payment.to_string());
    let (v2, v1) = match version {
        Version::V2 => (Some(header.as_str()), None),
        Version::V1 => (None, Some(header.as_str())),
    };
    PaymentPayload::read(v2, v1, LIMIT).map(Option::unwrap)
}

fn prove(payment: &PaymentPayload, accepted: &Accepted<'_>) -> Result<Exact, Problem> {
    Unverified::read(payment, accepted, &TERMS)?.verify(&domain())
}

fn judge_for(requested: &Requested<'_>, version: Version, payment: &Value) -> Result<Exact, Problem> {
    let payment = read(version, payment)?;
    let offers = offers();
    let accepted = payment.accept(&offers, requested)?;
    assert_eq!((accepted.version, accepted.index, accepted.requirement), (version, 0, &usdc()));
    prove(&payment, &accepted)
}

fn judge(version: Version, payment: &Value) -> Result<Exact, Problem> {
    judge_for(&REQUESTED, version, payment)
}

/// `payment` with `member` at `pointer`; null removes it.
fn with(payment: &Value, pointer: &str, member: Value) -> Value {
    let mut payment = payment.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let map = payment.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match member {
        Value::Null => drop(map.remove(name)),
        member => drop(map.insert(name.into(), member)),
    }
    payment
}

#[track_caller]
fn refused(version: Version, payment: &Value, pointer: &str, member: Value, reason: &str) {
    let shown = member.to_string();
    let problem = judge(version, &with(payment, pointer, member)).expect_err(&format!("{pointer} = {shown} was taken"));
    assert_eq!(Reason::of(&problem).as_str(), reason, "{pointer} = {shown}: {}", problem.detail);
    assert_eq!(problem.kind.status(), 402, "{pointer} = {shown}: {}", problem.detail);
    let field = pointer.rsplit('/').next().unwrap();
    assert!(problem.detail.contains(field), "{pointer} = {shown}: {}", problem.detail);
}

// --- offers ------------------------------------------------------------------------------------------------------

#[test]
fn the_header_holds_what_published_clients_read() {
    let header = offers().header(&REQUESTED, "Payment required", |_| true).unwrap();
    assert_eq!(decoded(&header), vectors()["required"]);
    let is_standard = header.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    assert!(is_standard && header.len().is_multiple_of(4), "{header}");
}

#[test]
fn the_body_s_members_are_those_of_version_1() {
    let members = offers().v1_members(&REQUESTED, "Payment required", |_| true).unwrap();
    let problem = Problem::new(ProblemKind::PaymentRequired, "this resource is paid for");
    let body: Value = serde_json::from_str(&problem.to_json_with(&members)).unwrap();
    for (name, value) in vectors()["requiredV1"].as_object().unwrap() {
        assert_eq!(body[name], *value, "{name}");
    }
    assert_eq!(body["status"], 402);
    assert_eq!(body["detail"], "this resource is paid for");
}

#[test]
fn description_and_type_are_optional_in_version_2_and_empty_in_version_1() {
    let offers = Offers::new(vec![usdc()], None, None);
    let header = decoded(&offers.header(&REQUESTED, "", |_| true).unwrap());
    assert_eq!(header["resource"], json!({ "url": REQUESTED.url }));
    let members = offers.v1_members(&REQUESTED, "", |_| true).unwrap();
    let body: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap();
    assert_eq!((&body["accepts"][0]["description"], &body["accepts"][0]["mimeType"]), (&json!(""), &json!("")));
}

#[test]
fn the_default_flow_is_not_announced() {
    let extra = requirement(&TERMS, "USDC", "2", Flow::Authorization, 300).extra;
    assert_eq!(extra, [("assetTransferMethod", "eip3009".into()), ("name", "USDC".into()), ("version", "2".into())].into());
}

/// One entry that a client of version 1 cannot read keeps it from reading any.
#[test]
fn version_1_is_offered_what_all_its_clients_read_and_sign() {
    let on = |chain_id: u64, amount: u128| {
        requirement(&ChargeTerms { chain_id, amount: Amount::from_base_units(amount), ..TERMS }, "USDC", "2", Flow::Upfront, 300)
    };
    let other_token = ChargeTerms { token: Address::repeat_byte(9), ..TERMS };
    let requirements = vec![
        on(31337, 10_000),
        on(84532, 10_000),
        // Of the same name: a payment could not tell which it means.
        requirement(&other_token, "Other", "1", Flow::Upfront, 300),
        // More digits than the clients sign.
        on(2741, 1_000_000_000_000_000_000),
        on(8453, 999_999_999_999_999_999),
        Requirement { scheme: "upto", ..on(137, 1) },
        Requirement { pay_to: "alice".into(), ..on(137, 1) },
        Requirement { asset: "usd".into(), ..on(137, 1) },
    ];
    let networks = |is_offered: fn(usize) -> bool| -> Option<Vec<String>> {
        let members = offers_of(requirements.clone()).v1_members(&REQUESTED, "", is_offered)?;
        let body: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap();
        Some(body["accepts"].as_array().unwrap().iter().map(|entry| entry["network"].as_str().unwrap().to_owned()).collect())
    };
    assert_eq!(networks(|_| true).unwrap(), ["base-sepolia", "base"]);
    assert_eq!(networks(|index| index == 4).unwrap(), ["base"]);
    assert_eq!(networks(|index| index == 0), None);
    assert_eq!(networks(|_| false), None);
}

#[test]
fn only_names_that_all_clients_of_version_1_know_are_used() {
    assert_eq!(v1_network(2741), Some("abstract"));
    assert_eq!(v1_network(11124), Some("abstract-testnet"));
    assert_eq!(v1_network(84532), Some("base-sepolia"));
    for chain_id in [1, 11_155_111, 42161, 10, 31337, 4326] {
        assert_eq!(v1_network(chain_id), None, "{chain_id}");
    }
}

#[test]
fn what_is_not_offered_now_is_left_out_and_keeps_its_place() {
    let offers = offers_of(vec![requirement(&ChargeTerms { chain_id: 8453, ..TERMS }, "USD Coin", "2", Flow::Upfront, 300), usdc()]);
    let accepts = |is_offered: fn(usize) -> bool| {
        let header = offers.header(&REQUESTED, "Payment required", is_offered)?;
        Some(decoded(&header)["accepts"].as_array().unwrap().iter().map(|entry| entry["network"].to_string()).collect::<Vec<_>>())
    };
    assert_eq!(accepts(|_| true).unwrap(), [r#""eip155:8453""#, r#""eip155:84532""#]);
    assert_eq!(accepts(|index| index == 1).unwrap(), [r#""eip155:84532""#]);
    assert_eq!(accepts(|_| false), None);
    // Wherever the parts of the header begin.
    for length in 0..6 {
        let requested = Requested { url: &"u".repeat(length), method: &"M".repeat(length % 2) };
        let header = decoded(&offers.header(&requested, "", |_| true).unwrap());
        assert_eq!((header["resource"]["url"].as_str(), header["accepts"].as_array().unwrap().len()), (Some(requested.url), 2));
        assert_eq!(header["extensions"]["mppx"]["info"]["method"], requested.method);
    }
    let payment = read(Version::V2, &vector("plain")).unwrap();
    assert_eq!(payment.accept(&offers, &REQUESTED).unwrap().index, 1);
}

#[test]
fn a_header_that_would_be_lost_on_its_way_is_not_sent() {
    let url = |length: usize| format!("https://api.example.com/{}", "x".repeat(length));
    let header = |length: usize| offers().header(&Requested { url: &url(length), method: "GET" }, "Payment required", |_| true);
    assert!(header(2_000).unwrap().len() < 6 * 1024);
    assert_eq!(header(4_000), None);
    assert!(offers().v1_members(&Requested { url: &url(4_000), method: "GET" }, "", |_| true).is_some());
}

// --- payments that are right -------------------------------------------------------------------------------------

#[test]
fn what_published_clients_send_is_what_the_token_will_take() {
    for (name, version, nonce) in [
        ("plain", Version::V2, B256::repeat_byte(0x11)),
        ("identified", Version::V2, B256::repeat_byte(0x11)),
        ("go", Version::V2, B256::repeat_byte(0x11)),
        ("v1", Version::V1, B256::repeat_byte(0x11)),
    ] {
        let exact = judge(version, &vector(name)).unwrap_or_else(|problem| panic!("{name}: {}", problem.detail));
        let authorization = exact.signed.authorization;
        assert_eq!((authorization.from, authorization.to, authorization.value), (PAYER, TERMS.recipient, TERMS.amount), "{name}");
        let asset = Asset { chain_id: TERMS.chain_id, token: TERMS.token };
        assert_eq!((exact.asset, exact.is_bound, authorization.nonce), (asset, false, nonce), "{name}");
        assert_eq!(exact.charge(B256::ZERO).untimely(NOW), None, "{name}");
    }
}

#[test]
fn the_header_is_read_as_it_came() {
    let header = vectors()["payments"]["plain"].as_str().unwrap().to_owned();
    let payment = PaymentPayload::read(Some(&header), None, LIMIT).unwrap().unwrap();
    assert_eq!((payment.version(), payment.identifier()), (Version::V2, None));
    let header = vectors()["payments"]["v1"].as_str().unwrap().to_owned();
    assert_eq!(PaymentPayload::read(None, Some(&header), LIMIT).unwrap().unwrap().version(), Version::V1);
    assert!(PaymentPayload::read(None, None, LIMIT).unwrap().is_none());
}

#[test]
fn the_network_is_called_as_the_client_calls_it() {
    let offers = offers();
    for (name, version, network) in [("plain", Version::V2, "eip155:84532"), ("v1", Version::V1, "base-sepolia")] {
        assert_eq!(read(version, &vector(name)).unwrap().accept(&offers, &REQUESTED).unwrap().network, network);
    }
}

/// What the chain moves is what was signed.
#[test]
fn version_1_may_pay_more() {
    let exact = judge(Version::V1, &vector("v1Generous")).unwrap();
    assert_eq!(exact.signed.authorization.value, Amount::from_base_units(10_001));
    let mut payment = vector("plain");
    payment["payload"] = vector("v1Generous")["payload"].clone();
    let problem = judge(Version::V2, &payment).unwrap_err();
    assert_eq!(Reason::of(&problem).as_str(), "invalid_exact_evm_payload_authorization_value_mismatch");
}

#[test]
fn a_client_may_add_members_and_leave_out_what_is_optional() {
    let plain = vector("plain");
    for (pointer, member) in [
        ("/x", json!({ "deep": [1.5] })),
        ("/accepted/x", json!(1)),
        ("/accepted/extra/x", json!([])),
        ("/payload/x", json!(null)),
        ("/payload/authorization/x", json!("")),
        ("/resource", Value::Null),
        ("/resource/description", json!("else")),
        ("/extensions", Value::Null),
        ("/extensions/x", json!("y")),
        ("/extensions/mppx", Value::Null),
        ("/extensions/mppx/schema", Value::Null),
    ] {
        judge(Version::V2, &with(&plain, pointer, member)).unwrap_or_else(|problem| panic!("{pointer}: {}", problem.detail));
    }
    let mut nulls = plain;
    nulls["resource"] = Value::Null;
    nulls["extensions"] = Value::Null;
    assert!(judge(Version::V2, &nulls).is_ok());
}

#[test]
fn addresses_may_stand_in_one_case() {
    let plain = vector("plain");
    for field in ["from", "to"] {
        let pointer = format!("/payload/authorization/{field}");
        let address = plain.pointer(&pointer).unwrap().as_str().unwrap().to_lowercase();
        assert!(judge(Version::V2, &with(&plain, &pointer, json!(address))).is_ok());
    }
}

// --- payments that are wrong -------------------------------------------------------------------------------------

#[test]
fn what_cannot_be_read_is_an_invalid_payload() {
    let reason = "invalid_payload";
    let plain = vector("plain");
    for field in ["x402Version", "payload", "accepted"] {
        refused(Version::V2, &plain, &format!("/{field}"), Value::Null, reason);
        refused(Version::V2, &plain, &format!("/{field}"), json!([7]), reason);
    }
    for field in ["scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds"] {
        refused(Version::V2, &plain, &format!("/accepted/{field}"), Value::Null, reason);
        refused(Version::V2, &plain, &format!("/accepted/{field}"), json!([7]), reason);
    }
    refused(Version::V2, &plain, "/accepted/maxTimeoutSeconds", json!(300.5), reason);
    refused(Version::V2, &plain, "/accepted/maxTimeoutSeconds", json!("300"), reason);
    refused(Version::V2, &plain, "/accepted/extra", json!("USDC"), reason);
    refused(Version::V2, &plain, "/accepted/extra", json!({ "x": "x".repeat(400) }), reason);
    refused(Version::V2, &plain, "/extensions", json!({ "payment-identifier": { "info": { "id": 1 } } }), reason);
    refused(Version::V2, &plain, "/resource/url", Value::Null, reason);
    refused(Version::V2, &plain, "/extensions", json!([]), reason);
    for field in ["authorization", "signature"] {
        refused(Version::V2, &plain, &format!("/payload/{field}"), Value::Null, reason);
    }
    let v1 = vector("v1");
    for field in ["x402Version", "payload", "scheme", "network"] {
        refused(Version::V1, &v1, &format!("/{field}"), Value::Null, reason);
    }
    for (version, payment) in [(Version::V2, &plain), (Version::V1, &v1)] {
        for field in ["from", "to", "value", "validAfter", "validBefore", "nonce"] {
            refused(version, payment, &format!("/payload/authorization/{field}"), Value::Null, reason);
            let problem = judge(version, &with(payment, &format!("/payload/authorization/{field}"), json!(7))).unwrap_err();
            assert_eq!((problem.kind, Reason::of(&problem)), (ProblemKind::MalformedCredential, Reason::InvalidPayload), "{field}");
        }
        for number in ["-1", "+1", "1e9", "", "01", "٣", "0x1", "1.0", " 1", "340282366920938463463374607431768211456"] {
            for field in ["value", "validAfter", "validBefore"] {
                refused(version, payment, &format!("/payload/authorization/{field}"), json!(number), reason);
            }
        }
        for field in ["from", "to"] {
            // Mixed case with a wrong checksum.
            let wrong = json!("0x70997970C51812dc3A010C7d01b50e0d17dc79c8");
            refused(version, payment, &format!("/payload/authorization/{field}"), wrong, reason);
            refused(version, payment, &format!("/payload/authorization/{field}"), json!("alice.eth"), reason);
        }
        refused(version, payment, "/payload/authorization/nonce", json!("0x11"), reason);
    }
}

#[test]
fn headers_that_are_no_payment_are_refused() {
    let header = vectors()["payments"]["plain"].as_str().unwrap().to_owned();
    let padded = ["", " ", "  "].map(|space| to_base64(format!("{}{space}", vector("plain"))));
    let padded = padded.iter().find(|text| text.ends_with("==")).unwrap();
    assert!(PaymentPayload::read(Some(padded), None, LIMIT).is_ok());
    let unpadded = padded.trim_end_matches('=');
    let bad = |text: &str| {
        let problem = PaymentPayload::read(Some(text), None, LIMIT).unwrap_err();
        assert!(problem.detail.starts_with("PAYMENT-SIGNATURE: "), "{}", problem.detail);
        (problem.kind, Reason::of(&problem).as_str().to_owned())
    };
    let malformed = (ProblemKind::MalformedCredential, "invalid_payload".to_owned());
    let nested = to_base64(format!("{{\"x402Version\":2,\"extensions\":{{\"x\":{}", "[".repeat(1000)));
    let twice = to_base64(r#"{"x402Version":1,"x402Version":2,"payload":{}}"#);
    let invalid_utf8 = to_base64(b"{\"x402Version\":2,\"x\":\"\xff\"}");
    for text in [
        "",
        "AAAA",
        "null",
        "ä",
        unpadded,
        &format!("{header}, {header}"),
        &format!(" {header}"),
        &to_base64url("{\"x402Version\":2,\"x\":\"\u{fffd}???>>>\"}"),
        &nested,
        &twice,
        &invalid_utf8,
        &to_base64("[2]"),
        &to_base64("{}{}"),
        &to_base64("{\"x402Version\":1e400}"),
        &to_base64("{\"x402Version\":18446744073709551618}"),
    ] {
        assert_eq!(bad(text), malformed, "{text}");
    }
    assert_eq!(bad(&"A".repeat(LIMIT + 4)).0, ProblemKind::BadRequest);
    // What a stranger calls something is not repeated at length.
    let named = to_base64(format!("{{\"x402Version\":2,\"extensions\":{{\"{}\":[}}}}", "x".repeat(2_000)));
    assert!(PaymentPayload::read(Some(&named), None, LIMIT).unwrap_err().detail.len() < 100);
    // Two payments in one request.
    let v1 = vectors()["payments"]["v1"].as_str().unwrap().to_owned();
    assert_eq!(PaymentPayload::read(Some(&header), Some(&v1), LIMIT).unwrap_err().kind, ProblemKind::BadRequest);
}

#[test]
fn members_that_stand_twice_are_refused() {
    let plain = vector("plain").to_string();
    for (member, again) in [
        (r#""accepted":"#, r#""accepted":{},"#),
        (r#""payload":"#, r#""payload":{},"#),
        (r#""amount":"#, r#""amount":"1","#),
        (r#""url":"#, r#""url":"https://else","#),
        (r#""value":"#, r#""value":"1","#),
        (r#""to":"#, r#""to":"0x00","#),
        (r#""signature":"#, r#""signature":"0x00","#),
    ] {
        assert_eq!(plain.matches(member).count(), 1, "{member}");
        let twice = to_base64(plain.replace(member, &[again, member].concat()));
        let offers = offers();
        let outcome = PaymentPayload::read(Some(&twice), None, LIMIT).map(Option::unwrap).and_then(|payment| {
            let accepted = payment.accept(&offers, &REQUESTED)?;
            prove(&payment, &accepted)
        });
        let problem = outcome.expect_err(member);
        assert_eq!(Reason::of(&problem), Reason::InvalidPayload, "{member}: {}", problem.detail);
    }
}

#[test]
fn each_header_carries_its_version() {
    for version in [json!(0), json!(1), json!(3), json!(u64::MAX)] {
        refused(Version::V2, &vector("plain"), "/x402Version", version, "invalid_x402_version");
    }
    let problem = read(Version::V1, &vector("plain")).unwrap_err();
    assert_eq!(Reason::of(&problem), Reason::InvalidVersion);
    assert_eq!(problem.detail, "X-PAYMENT: x402Version: must be 1 in this header");
    // The members of the other version say nothing.
    let mut v1 = vector("v1");
    v1["accepted"] = vector("plain")["accepted"].clone();
    v1["resource"] = json!({ "url": "https://else" });
    assert!(judge(Version::V1, &v1).is_ok());
    refused(Version::V1, &v1, "/network", json!("base"), "invalid_network");
}

#[test]
fn what_is_accepted_must_be_what_is_offered() {
    let plain = vector("plain");
    for (field, member, reason) in [
        ("scheme", json!("upto"), "unsupported_scheme"),
        ("network", json!("eip155:8453"), "invalid_network"),
        ("network", json!("base-sepolia"), "invalid_network"),
        ("amount", json!("9999"), "invalid_payment_requirements"),
        ("amount", json!("010000"), "invalid_payment_requirements"),
        ("amount", json!("+10000"), "invalid_payment_requirements"),
        ("amount", json!("10000.0"), "invalid_payment_requirements"),
        ("asset", json!(STRANGER), "invalid_payment_requirements"),
        ("asset", json!("0x036cbd53842c5426634e7929541ec2318f3dcf7e"), "invalid_payment_requirements"),
        ("payTo", json!(STRANGER), "invalid_payment_requirements"),
        ("maxTimeoutSeconds", json!(301), "invalid_payment_requirements"),
        ("extra", Value::Null, "invalid_payment_requirements"),
    ] {
        refused(Version::V2, &plain, &format!("/accepted/{field}"), member, reason);
    }
    for name in ["name", "version", "assetTransferMethod", "paymentFlow"] {
        for member in [Value::Null, json!("else"), json!(2)] {
            let problem = judge(Version::V2, &with(&plain, &format!("/accepted/extra/{name}"), member)).unwrap_err();
            assert_eq!(Reason::of(&problem), Reason::InvalidRequirements);
            assert!(problem.detail.starts_with("accepted.extra: "), "{}", problem.detail);
        }
    }
    let v1 = vector("v1");
    refused(Version::V1, &v1, "/scheme", json!("upto"), "unsupported_scheme");
    for network in ["base", "eip155:84532", "Base-Sepolia", ""] {
        refused(Version::V1, &v1, "/network", json!(network), "invalid_network");
    }
}

/// Of two tokens on one network, a refusal names what is wrong with the offer that was meant.
#[test]
fn the_closest_offer_is_named() {
    let other = ChargeTerms { token: Address::repeat_byte(9), ..TERMS };
    let offers = offers_of(vec![requirement(&other, "Other", "1", Flow::Upfront, 300), usdc()]);
    let payment = read(Version::V2, &with(&vector("plain"), "/accepted/amount", json!("1"))).unwrap();
    let problem = payment.accept(&offers, &REQUESTED).unwrap_err();
    assert!(problem.detail.starts_with("accepted.amount: "), "{}", problem.detail);
}

#[test]
fn a_payment_that_names_another_url_is_refused() {
    let plain = vector("plain");
    for url in ["https://api.example.com/v1/report?day=2", "https://api.example.org/v1/report", "", "/v1/report"] {
        refused(Version::V2, &plain, "/resource/url", json!(url), "invalid_payload");
    }
    let elsewhere = Requested { url: "https://api.example.com/v1/else", ..REQUESTED };
    assert!(judge_for(&elsewhere, Version::V2, &plain).is_err());
    // One that does not name any is good for it.
    assert!(judge_for(&elsewhere, Version::V2, &with(&plain, "/resource", Value::Null)).is_ok());
}

#[test]
fn what_proves_something_else_fails() {
    for (version, payment) in [(Version::V2, vector("plain")), (Version::V1, vector("v1"))] {
        let authorization = |field: &str| format!("/payload/authorization/{field}");
        refused(version, &payment, &authorization("to"), json!(STRANGER), "invalid_exact_evm_recipient_mismatch");
        refused(version, &payment, &authorization("value"), json!("9999"), "invalid_exact_evm_payload_authorization_value_mismatch");
        refused(version, &payment, &authorization("value"), json!("0"), "invalid_exact_evm_payload_authorization_value_mismatch");
        let signature = "invalid_exact_evm_signature";
        for (field, member) in [
            ("from", json!(STRANGER)),
            ("validAfter", json!("1")),
            ("validBefore", json!("1800000301")),
            ("nonce", json!(B256::repeat_byte(0x12))),
        ] {
            let problem = judge(version, &with(&payment, &authorization(field), member)).unwrap_err();
            assert_eq!((problem.kind, Reason::of(&problem).as_str()), (ProblemKind::VerificationFailed, signature), "{field}");
        }
    }
    let payment = read(Version::V2, &vector("plain")).unwrap();
    let offers = offers();
    let accepted = payment.accept(&offers, &REQUESTED).unwrap();
    for domain in [
        Domain::new("USD Coin", "2", TERMS.chain_id, TERMS.token),
        Domain::new("USDC", "1", TERMS.chain_id, TERMS.token),
        Domain::new("USDC", "2", 8453, TERMS.token),
        Domain::new("USDC", "2", TERMS.chain_id, TERMS.recipient),
    ] {
        assert!(Unverified::read(&payment, &accepted, &TERMS).unwrap().verify(&domain).is_err());
    }
}

#[test]
fn only_signatures_that_the_token_takes_from_a_key_are_taken() {
    let plain = vector("plain");
    let text = plain["payload"]["signature"].as_str().unwrap();
    let bytes: [u8; 65] = hex::decode_to_array(text).unwrap();
    let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse::<U256>().unwrap();
    let mut high = bytes;
    high[32..64].copy_from_slice(&(order - U256::from_be_slice(&bytes[32..64])).to_be_bytes::<32>());
    high[64] = if bytes[64] == 27 { 28 } else { 27 };
    let mut parity = bytes;
    parity[64] -= 27;
    let compact = hex::encode_prefixed(&bytes[..64]);
    let wallet = hex::encode_prefixed([7; 130]);
    for signature in
        ["", "0x", &compact, &wallet, &hex::encode_prefixed(high), &hex::encode_prefixed(parity), text.trim_start_matches("0x")]
    {
        refused(Version::V2, &plain, "/payload/signature", json!(signature), "invalid_exact_evm_signature");
    }
    let undeployed = format!("{wallet}{}", "6492".repeat(16));
    refused(Version::V2, &plain, "/payload/signature", json!(undeployed), "invalid_exact_evm_payload_undeployed_smart_wallet");
}

#[test]
fn other_transfer_methods_are_named_as_such() {
    for payload in [
        json!({ "signature": "0x", "permit2Authorization": {} }),
        json!({ "delegationManager": STRANGER, "permissionContext": "0x", "delegator": STRANGER }),
        json!({ "transaction": "AAAA" }),
    ] {
        let problem = judge(Version::V2, &with(&vector("plain"), "/payload", payload)).unwrap_err();
        assert_eq!(Reason::of(&problem).as_str(), "unsupported_payload_type", "{}", problem.detail);
    }
}

// --- times -------------------------------------------------------------------------------------------------------

fn lasting(valid_after: u64, valid_before: u64) -> Exact {
    let mut payment = vector("plain");
    let authorization = Authorization {
        from: PAYER,
        to: TERMS.recipient,
        value: TERMS.amount,
        valid_after: UnixSeconds::new(valid_after),
        valid_before: UnixSeconds::new(valid_before),
        nonce: B256::repeat_byte(0x11),
    };
    let signature = PrivateKey::parse(KEY).unwrap().sign(authorization.digest(&domain()));
    payment["payload"]["authorization"]["validAfter"] = json!(valid_after.to_string());
    payment["payload"]["authorization"]["validBefore"] = json!(valid_before.to_string());
    payment["payload"]["signature"] = json!(hex::encode_prefixed(signature.to_bytes()));
    judge(Version::V2, &payment).unwrap()
}

#[test]
fn a_payment_is_begun_only_within_its_window() {
    let now = NOW.seconds().get();
    let untimely = |valid_after, valid_before| {
        let problem = lasting(valid_after, valid_before).charge(B256::ZERO).untimely(NOW)?;
        assert_eq!(problem.kind.status(), 402);
        Some(Reason::of(&problem).as_str().to_owned())
    };
    let before = Some("invalid_exact_evm_payload_authorization_valid_before".to_owned());
    let after = Some("invalid_exact_evm_payload_authorization_valid_after".to_owned());
    assert_eq!(untimely(0, 0), before);
    assert_eq!(untimely(0, now + 10), before);
    assert_eq!(untimely(0, now + 11), None);
    assert_eq!(untimely(now - 1, now + 300), None);
    assert_eq!(untimely(now, now + 300), after);
    assert_eq!(untimely(now + 1, now + 300), after);
    assert_eq!(untimely(0, now + 3600), None);
    assert_eq!(untimely(0, now + 24 * 3600), None);
    assert_eq!(untimely(0, now + 24 * 3600 + 1), before);
    assert_eq!(untimely(0, u64::MAX), before);
}

#[test]
fn what_was_begun_in_time_is_resumed_for_a_day() {
    let charge = lasting(0, NOW.seconds().get() + 300).charge(B256::ZERO);
    let ends = charge.signed.authorization.valid_before.timestamp();
    assert_eq!(charge.resumable_until().since(ends).as_secs(), 24 * 3600);
    assert!(!charge.is_too_late(NOW) && charge.is_too_late(ends));
}

// --- extensions --------------------------------------------------------------------------------------------------

#[test]
fn a_payment_has_the_identifier_that_its_client_gave_it() {
    let identified = vector("identified");
    let id = "/extensions/payment-identifier/info/id";
    let identifier =
        |member: Value| read(Version::V2, &with(&identified, id, member)).map(|payment| payment.identifier().map(String::from));
    assert_eq!(read(Version::V2, &identified).unwrap().identifier(), Some("pay_7d5d747be160e280504c099d984bcfe0"));
    assert_eq!(identifier(Value::Null).unwrap(), None);
    for good in ["a".repeat(16), "Z9_-".repeat(32)] {
        assert_eq!(identifier(json!(good)).unwrap(), Some(good));
    }
    for bad in [json!("a".repeat(15)), json!("a".repeat(129)), json!("a b".repeat(8)), json!("ä".repeat(16))] {
        let problem = identifier(bad.clone()).unwrap_err();
        assert_eq!(problem.kind, ProblemKind::BadRequest, "{bad}");
        assert!(problem.detail.contains("payment-identifier.info.id"), "{}", problem.detail);
    }
}

#[test]
fn a_proof_that_mppx_has_bound_is_good_for_its_request_alone() {
    let mppx = vector("mppx");
    let exact = judge(Version::V2, &mppx).unwrap_or_else(|problem| panic!("{}", problem.detail));
    assert!(exact.is_bound && exact.clone().charge(B256::ZERO).is_bound());
    assert_eq!(exact.charge(B256::ZERO).untimely(NOW), None);
    // Another URL, another method, another offer.
    let mut elsewhere = with(&mppx, "/resource", Value::Null);
    let other_url = Requested { url: "https://api.example.com/v1/else", ..REQUESTED };
    let problem = judge_for(&other_url, Version::V2, &elsewhere).unwrap_err();
    assert_eq!(Reason::of(&problem), Reason::ExtensionMismatch, "{}", problem.detail);
    elsewhere["extensions"]["mppx"]["info"]["method"] = json!("GET");
    for method in ["GET", "PUT"] {
        assert!(judge_for(&Requested { method, ..REQUESTED }, Version::V2, &mppx).is_err(), "{method}");
        assert!(judge_for(&Requested { method, ..REQUESTED }, Version::V2, &elsewhere).is_err(), "{method}");
    }
    let payment = read(Version::V2, &mppx).unwrap();
    let changed = Offers::new(vec![usdc()], Some("Another report"), Some("application/json"));
    let accepted = payment.accept(&changed, &REQUESTED).unwrap();
    assert_eq!(Reason::of(&prove(&payment, &accepted).unwrap_err()), Reason::ExtensionMismatch);
}

#[test]
fn what_is_bound_cannot_be_edited() {
    let mppx = vector("mppx");
    for (pointer, member) in [
        ("/extensions/mppx/info/nonce", json!("08".repeat(32))),
        ("/extensions/mppx/info/method", json!("post")),
        ("/extensions/mppx/info/nonce", json!("07".repeat(65))),
        ("/extensions/payment-identifier/info/id", json!("another_identifier")),
        ("/extensions/payment-identifier", Value::Null),
    ] {
        let problem = judge(Version::V2, &with(&mppx, pointer, member)).expect_err(pointer);
        assert_eq!((problem.kind.status(), Reason::of(&problem)), (402, Reason::ExtensionMismatch), "{pointer}: {}", problem.detail);
    }
    for (pointer, member) in [
        ("/extensions/mppx/info/nonce", json!(7)),
        ("/extensions/mppx/info/method", Value::Null),
        ("/extensions/mppx/info", json!("x")),
        ("/extensions/mppx/info", Value::Null),
        ("/extensions/mppx", json!("x")),
    ] {
        let problem = judge(Version::V2, &with(&mppx, pointer, member)).expect_err(pointer);
        assert_eq!((problem.kind.status(), Reason::of(&problem)), (402, Reason::InvalidPayload), "{pointer}: {}", problem.detail);
    }
    // What is hashed is bounded.
    let problem = judge(Version::V2, &with(&mppx, "/extensions/mppx/info/nonce", json!("x".repeat(129)))).unwrap_err();
    assert_eq!(problem.detail, "extensions.mppx.info.nonce: exceeds 128 bytes");
    // Without the announcement its nonce is any nonce: the proof is then as good as an unbound one.
    assert!(!judge(Version::V2, &with(&mppx, "/extensions", Value::Null)).unwrap().is_bound);
}

// --- outcomes ----------------------------------------------------------------------------------------------------

#[test]
fn what_is_refused_is_told_on_the_network_that_the_client_names() {
    for (version, name, pointer) in [(Version::V2, "plain", "/accepted/network"), (Version::V1, "v1", "/network")] {
        for network in ["eip155:8453", "base", "", &"n".repeat(41)] {
            let payment = read(version, &with(&vector(name), pointer, json!(network))).unwrap();
            assert_eq!(payment.network(), Some(network));
        }
        let payment = read(version, &with(&vector(name), pointer, json!("n".repeat(42)))).unwrap();
        assert_eq!(payment.network(), None, "not repeated at length");
    }
}

#[test]
fn outcomes_are_those_that_published_clients_read() {
    let transaction = B256::repeat_byte(0xab).to_string();
    let payer = PAYER.to_checksum(None);
    let settled = Outcome::settled("eip155:84532", &payer, &transaction);
    assert_eq!(
        decoded(&settled.to_header()),
        json!({ "success": true, "transaction": transaction, "network": "eip155:84532", "payer": payer })
    );
    let failed = Outcome::failed("base-sepolia", Some(&payer), Reason::Expired);
    assert_eq!(
        decoded(&failed.to_header()),
        json!({ "success": false, "errorReason": "payment_expired", "transaction": "", "network": "base-sepolia", "payer": payer })
    );
    assert_eq!((Version::V1.payment_header(), Version::V1.outcome_header()), ("X-PAYMENT", "X-PAYMENT-RESPONSE"));
    assert_eq!((Version::V2.payment_header(), Version::V2.outcome_header()), ("PAYMENT-SIGNATURE", "PAYMENT-RESPONSE"));
}

#[test]
fn every_refusal_has_a_reason() {
    for (kind, reason) in [
        (ProblemKind::MalformedCredential, "invalid_payload"),
        (ProblemKind::InvalidChallenge, "invalid_payment_requirements"),
        (ProblemKind::PaymentInsufficient, "insufficient_funds"),
        (ProblemKind::PaymentExpired, "payment_expired"),
        (ProblemKind::Spent, "duplicate_settlement"),
        (ProblemKind::Conflict, "duplicate_settlement"),
        (ProblemKind::Unavailable, "settlement_pending"),
        (ProblemKind::VerificationFailed, "invalid_transaction_state"),
        (ProblemKind::OriginFailed, "unexpected_settle_error"),
    ] {
        assert_eq!(Reason::of(&Problem::new(kind, "")).as_str(), reason, "{kind:?}");
        let precise = Problem::new(kind, "").because(Reason::ExactValue);
        assert_eq!(Reason::of(&precise).as_str(), "invalid_exact_evm_payload_authorization_value_mismatch");
        assert!(!precise.to_json().contains("mismatch"));
    }
}
