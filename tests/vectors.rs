//! What mppx wrote, read and written by the core: `vectors/mppx-golden.json`, byte for byte.
//!
//! The secret behind the vectors' challenge ids was not handed down with them, so the ids themselves cannot be
//! recomputed. What is checked instead: the bytes that mppx put under the HMAC (`hmacInput`) are those that the core
//! puts there, by computing both under a secret of our own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use alloy_primitives::{Address, address};
use hmac::{Hmac, KeyInit, Mac};
use mpp_edge::evm::eip712::Domain;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Method;
use mpp_edge::rail::evm::charge::{ChargeTerms, Unverified, challenge_hashes};
use mpp_edge::time::Timestamp;
use mpp_edge::wire::encoding::{from_base64, to_base64url};
use mpp_edge::wire::mpp::challenge::{BindingKeys, Challenge, Parameters};
use mpp_edge::wire::mpp::credential::{Credential, split_authorization};
use mpp_edge::wire::mpp::digest::BodyDigest;
use mpp_edge::wire::mpp::receipt::Receipt;
use mpp_edge::wire::problem::{Problem, ProblemKind};
use serde_json::Value;
use sha2::Sha256;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SECRET: &[u8] = b"any secret of thirty-two bytes will do";
const PAYER: Address = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");

fn golden() -> Value {
    serde_json::from_str(include_str!("vectors/mppx-golden.json")).unwrap()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path}"))
}

fn keys() -> BindingKeys {
    BindingKeys::new(SECRET, None).unwrap()
}

/// Parses the credential of a vector from its `Authorization` value.
fn credential(header: &str) -> Credential {
    let split = split_authorization(header).unwrap();
    assert_eq!(split.others, None);
    Credential::parse(split.payment.unwrap()).unwrap()
}

/// What `evm/charge` asks for in the first vector.
const CHARGE: ChargeTerms = ChargeTerms {
    amount: Amount::from_base_units(10_000),
    chain_id: 84532,
    token: address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
    decimals: 6,
    recipient: address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
};

#[test]
fn the_request_of_an_evm_charge_is_mppx_s() {
    assert_eq!(CHARGE.request(Method::Evm, None), text(&golden(), "/v1/jcs"));
}

#[test]
fn a_request_with_a_description_stays_canonical() {
    for method in Method::ALL {
        let request = CHARGE.request(method, Some("say \"hi\""));
        // serde_json's map is ordered: reading and writing gives JCS for our strings and integers.
        let canonical = serde_json::from_str::<Value>(&request).unwrap().to_string();
        assert_eq!(request, canonical);
        assert!(request.contains(r#""description":"say \"hi\"""#));
    }
}

#[test]
fn challenge_headers_are_mppx_s() {
    let golden = golden();
    let v1 = Challenge {
        id: text(&golden, "/v1/id"),
        terms: Parameters {
            realm: "api.example.com",
            method: "evm",
            intent: "charge",
            request: &to_base64url(text(&golden, "/v1/jcs")),
            expires: Some("2027-01-15T12:05:00.000Z"),
            digest: None,
            opaque: None,
            header: None,
        },
        description: None,
    };
    assert_eq!(v1.to_header(), text(&golden, "/v1/header"));
    // mppx writes a non-ASCII description half escaped (`\u2014`) and half raw, which is no header value; the gateway's
    // configuration refuses such descriptions. What both write the same way is compared.
    let ascii = |header: &str| header.replace("\\u2014 ünïcode", "ascii");
    let request = to_base64url(text(&golden, "/v2/jcs"));
    let v2 = Challenge { id: text(&golden, "/v2/id"), terms: v2_terms(&golden, &request), description: Some("Say \"hi\" ascii") };
    assert_eq!(v2.to_header(), ascii(text(&golden, "/v2/header")));
}

fn v2_terms<'a>(golden: &'a Value, request: &'a str) -> Parameters<'a> {
    Parameters {
        realm: "api.example.com",
        method: "abstract",
        intent: "session",
        request,
        expires: Some("2027-01-15T12:05:00Z"),
        digest: Some(text(golden, "/v2/digest")),
        opaque: Some(text(golden, "/v2/opaque")),
        header: None,
    }
}

#[test]
fn the_bytes_under_the_hmac_are_mppx_s() {
    let golden = golden();
    let request = to_base64url(text(&golden, "/v2/jcs"));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(text(&golden, "/v2/hmacInput").as_bytes());
    let id = to_base64url(mac.finalize().into_bytes());
    assert_eq!(keys().bind(&v2_terms(&golden, &request)), id);
    assert!(keys().verify(&id, &v2_terms(&golden, &request)));
    assert!(!keys().verify(text(&golden, "/v2/id"), &v2_terms(&golden, &request)), "the vectors were made with our test secret?");
}

/// `draft-httpauth-payment-01`: the eighth slot is appended, and only when there is a `header`.
#[test]
fn the_header_is_a_slot_of_its_own_at_the_end() {
    let golden = golden();
    let request = to_base64url(text(&golden, "/v2/jcs"));
    let terms = Parameters { header: Some("Payment-Authorization"), ..v2_terms(&golden, &request) };
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{}|Payment-Authorization", text(&golden, "/v2/hmacInput")).as_bytes());
    assert_eq!(keys().bind(&terms), to_base64url(mac.finalize().into_bytes()));
    let challenge = Challenge { id: "i", terms, description: None };
    assert!(challenge.to_header().contains(r#", header="Payment-Authorization", opaque=""#), "{}", challenge.to_header());
}

#[test]
fn absent_terms_are_empty_segments() {
    let golden = golden();
    let credential = credential(text(&golden, "/v1/credential"));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("api.example.com|evm|charge|{}|2027-01-15T12:05:00.000Z||", credential.challenge.request).as_bytes());
    assert_eq!(keys().bind(&credential.challenge.terms()), to_base64url(mac.finalize().into_bytes()));
}

#[test]
fn the_nonce_of_an_evm_charge_is_mppx_s() {
    let golden = golden();
    assert_eq!(challenge_hashes(text(&golden, "/v1/id"), "api.example.com")[1].to_string(), text(&golden, "/v1/challengeHash"));
}

/// Made with viem's keccak256 and Node's JSON.stringify, the second also with pympp's `challenge_hash`.
#[test]
fn newer_clients_hash_id_and_realm_as_a_json_list() {
    let hashes = |id, realm| challenge_hashes(id, realm).map(|hash| hash.to_string());
    assert_eq!(
        hashes("kM9xPqWvT2nJrHsY4aDfEbkM9xPqWvT2nJrHsY4aDfE", "api.example.com"),
        [
            "0x83ccd56fd3328f557459c1ca3c1e1b6cd7e4fb021c7a18f113caaf7017c10ede",
            "0xcf6726554eb66615b2e20b6ee06c4e03782546e82b0b2c7604b276066a8baf11"
        ]
    );
    assert_eq!(
        hashes("a\"b\\c", "Pay \"us\" \\ \u{8}\u{c}\n\r\t\0\u{1f}\u{7f}\u{2028} é €\u{1f600}/"),
        [
            "0x9b56ac7548cbf3b5bdbe4f1ef7f5f55d474bff152172008b92ad0514d9aeb2ab",
            "0xa54ae0abc24e03b6f2ae86bec1f1bd94b5276d6054b95f10042a268abf090336"
        ]
    );
}

#[test]
fn credentials_are_read() {
    let golden = golden();
    for (version, opaque) in [("v1", None), ("v2", Some(text(&golden, "/v2/opaque")))] {
        let header = text(&golden, &format!("/{version}/credential"));
        let json = text(&golden, &format!("/{version}/credentialJson"));
        assert_eq!(from_base64(header.strip_prefix("Payment ").unwrap()).unwrap(), json.as_bytes());
        let credential = credential(header);
        let expected: Value = serde_json::from_str(json).unwrap();
        let challenge = &credential.challenge;
        assert_eq!(challenge.id, text(&expected, "/challenge/id"));
        assert_eq!(challenge.realm, text(&expected, "/challenge/realm"));
        assert_eq!(challenge.method, text(&expected, "/challenge/method"));
        assert_eq!(challenge.intent, text(&expected, "/challenge/intent"));
        assert_eq!(challenge.request, text(&expected, "/challenge/request"));
        assert_eq!(challenge.expires.as_deref(), Some(text(&expected, "/challenge/expires")));
        assert_eq!(challenge.opaque.as_deref(), opaque);
        assert_eq!(credential.source.as_deref(), Some(text(&expected, "/source")));
        assert_eq!(serde_json::from_str::<Value>(credential.payload.get()).unwrap(), expected["payload"]);
    }
}

#[test]
fn the_signature_of_the_charge_is_the_payer_s() {
    let golden = golden();
    let credential = credential(text(&golden, "/v1/credential"));
    let unverified = Unverified::read(&credential, Method::Evm, &CHARGE).unwrap();
    // The token of the vectors is Circle's on Base Sepolia.
    let domain = Domain::new("USDC", "2", CHARGE.chain_id, CHARGE.token);
    let signed = unverified.verify(&domain).unwrap();
    assert_eq!(signed.authorization.from, PAYER);
    assert_eq!(signed.authorization.to, CHARGE.recipient);
    assert_eq!(signed.authorization.value, CHARGE.amount);
    let unverified = Unverified::read(&credential, Method::Evm, &CHARGE).unwrap();
    let other = Domain::new("USD Coin", "2", CHARGE.chain_id, CHARGE.token);
    assert_eq!(unverified.verify(&other).unwrap_err().kind, ProblemKind::VerificationFailed);
}

#[test]
fn receipts_are_mppx_s() {
    let golden = golden();
    let reference = format!("0x{}", "ab".repeat(32));
    let receipt = Receipt::new("evm", &reference, Timestamp::parse_rfc3339("2027-01-15T12:00:01.000Z").unwrap());
    assert_eq!(receipt.to_header(), text(&golden, "/receipt"));
    assert_eq!(from_base64(&receipt.to_header()).unwrap(), text(&golden, "/receiptJson").as_bytes());
}

#[test]
fn digests_are_mppx_s() {
    let golden = golden();
    let digest = BodyDigest::parse(text(&golden, "/v2/digest")).unwrap();
    assert_eq!(digest.to_string(), text(&golden, "/v2/digest"));
    assert_eq!(BodyDigest::of(BODY), digest);
}

const BODY: &[u8] = br#"{"prompt":"hello"}"#;

#[test]
fn the_opaque_object_and_its_text_are_the_same() {
    let golden = golden();
    assert_eq!(to_base64url(text(&golden, "/v2/opaqueJson")), text(&golden, "/v2/opaque"));
    let mut json: Value = serde_json::from_str(text(&golden, "/v2/credentialJson")).unwrap();
    json["challenge"]["opaque"] = serde_json::from_str(text(&golden, "/v2/opaqueJson")).unwrap();
    let credential = Credential::parse(&to_base64url(json.to_string())).unwrap();
    assert_eq!(credential.challenge.opaque.as_deref(), Some(text(&golden, "/v2/opaque")));
}

#[test]
fn the_problem_has_mppx_s_members() {
    let expected = golden()["problem"].clone();
    let mut problem = Problem::new(ProblemKind::PaymentRequired, text(&expected, "/detail").to_owned());
    problem.challenge_id = Some(text(&expected, "/challengeId").into());
    let ours: Value = serde_json::from_str(&problem.to_json()).unwrap();
    for member in ["type", "title", "status", "detail", "challengeId"] {
        assert_eq!(ours[member], expected[member], "{member}");
    }
    // `hint` is mppx's own advertisement.
    assert_eq!(ours.as_object().unwrap().len(), 5);
}

/// Vectors of what later features bring: their place here is taken so that they are not forgotten.
#[test]
fn what_belongs_to_sessions_is_at_least_well_formed() {
    let golden = golden();
    assert_eq!(from_base64(text(&golden, "/sessReceipt")).unwrap(), text(&golden, "/sessReceiptJson").as_bytes());
    assert!(text(&golden, "/v3/header").ends_with(r#", header="Payment-Authorization""#));
}
