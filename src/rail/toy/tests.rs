//! The toy rail, from its configuration to the goods, with the core alone: what the shell does in between stands in [`settle`].

use super::*;
use crate::binary::{decode, encode};
use crate::gateway::config::Gateway;
use crate::gateway::offer::{Asked as Requested, Circumstances, Offer, OfferTerms};
use crate::gateway::{Misconfigured, Secrets, validate};
use crate::purchase::{Next, Purchase, Refusal, Stage, Undelivered};
use crate::rail::Answer;
use crate::settlement::{Failure, Verdict};
use crate::wire::encoding::to_base64url;
use crate::wire::mpp::credential::CredentialField;
use alloc::string::ToString;
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(300);
const LEASE: Duration = Duration::from_secs(65);
const ASKED: Requested<'static> =
    Requested { realm: "api.example.com", method: "GET", target: "/v1/x", digest: None, field: CredentialField::Authorization };

fn configured(rail: &Value) -> Result<Gateway, Misconfigured> {
    let secrets = Secrets { secret_key: Some("thirty-two bytes and some more of it".into()), ..Secrets::default() };
    let json = json!({
        "rails": [rail], "origin": { "url": "https://origin.example.com" },
        "routes": [{ "path": "/v1/*", "price": "0.05", "wires": ["mpp"] }],
    });
    validate(Some(&json.to_string()), &secrets, |_| false)
}

fn gateway() -> Gateway {
    configured(&json!({ "kind": "toy", "name": "coupons", "provider": "coupons.example" })).unwrap()
}

fn offer(gateway: &Gateway) -> &Offer {
    let [offer] = gateway.router.routes()[0].offers.as_slice() else { panic!("one offer") };
    offer
}

/// A challenge for an offer that the provider gave `serial` for.
fn challenge(gateway: &Gateway, serial: &str) -> Value {
    let offer = offer(gateway);
    assert!(
        matches!(offer.first(None), Some(Ask::Http(HttpRequest { method: "POST", url, .. })) if url == "https://coupons.example/serials")
    );
    let fresh = offer.charge().unwrap().freshen(&Answer::Http(201, serial.into())).unwrap();
    let circumstances = Circumstances { fresh: Some(&fresh), ..Circumstances::default() };
    let issued = offer.issue(&ASKED, &gateway.binding_keys, None, &circumstances, NOW.saturating_add(LIFETIME), [1; 12]);
    let parameters = issued.header.strip_prefix("Payment ").unwrap().split(", ").map(|one| one.split_once('=').unwrap());
    Value::Object(parameters.map(|(name, value)| (name.to_owned(), json!(value.trim_matches('"')))).collect())
}

/// What the gateway makes of a coupon that answers a challenge.
fn read(gateway: &Gateway, challenge: &Value, coupon: &str) -> Result<Payment, Problem> {
    let credential = json!({ "challenge": challenge, "payload": [coupon] });
    let credential = Credential::parse(&to_base64url(credential.to_string())).unwrap();
    let accepted = ASKED.accept(&credential, &gateway.router.routes()[0].offers, &gateway.binding_keys, NOW)?;
    let OfferTerms::Charge(terms) = &accepted.offer.terms else { panic!("a charge") };
    match terms.read(&credential, accepted.expires)? {
        Proof::Checked(payment) => Ok(*payment),
        Proof::Signed(_) => panic!("nothing is signed"),
    }
}

fn payment(gateway: &Gateway) -> Payment {
    read(gateway, &challenge(gateway, "s-7"), "s-7").unwrap()
}

/// The shell's loop, with a provider of the test's. Gives the state at which it was stored before money could move, too.
fn settle(gateway: &Gateway, purchase: &mut Purchase, provider: impl Fn(&Ask) -> Answer) -> (Prepared, Stage) {
    let rail = gateway.rails[0].as_ref();
    let mut progress = Progress { answers: Vec::new(), presented: NOW, was_good: false, is_sent: false, reserved: Amount::ZERO };
    let mut stored = purchase.stage().clone();
    loop {
        match rail.next(purchase.payment(), &progress) {
            Step::Ask(ask) => progress.answers.push(provider(&ask)),
            Step::Prepared(Prepared::Send(send)) => {
                let Send::Request(request) = *send else { panic!("it has no account") };
                purchase.submit(None);
                stored = purchase.stage().clone();
                progress.is_sent = true;
                progress.answers.push(provider(&request));
            }
            Step::Prepared(prepared) => return (prepared, stored),
        }
    }
}

#[test]
fn a_wrong_table_is_told_by_field() {
    let broken = |rail: &Value| configured(rail).unwrap_err().errors.remove(0).field;
    assert_eq!(broken(&json!({ "kind": "toy", "provider": "p" })), "rails[0].name");
    assert_eq!(broken(&json!({ "kind": "toy", "name": "coupons", "provider": "https://p" })), "rails[0].provider");
    assert_eq!(broken(&json!({ "kind": "toy", "name": "coupons", "provider": "p", "chainId": 1 })), "rails[0].chainId");
    assert_eq!(broken(&json!({ "kind": "token", "name": "coupons" })), "rails[0].kind");
}

#[test]
fn it_is_offered_with_what_the_provider_gave() {
    let gateway = gateway();
    let offer = offer(&gateway);
    assert_eq!(
        (gateway.rails[0].name(), offer.method(), offer.charge().unwrap().amount()),
        ("coupons", "coupon", Amount::from_base_units(5))
    );
    assert!(offer.charge().unwrap().freshen(&Answer::Http(503, String::new())).is_none());
    assert!(offer.charge().unwrap().freshen(&Answer::Nothing).is_none());
    let (first, second) = (challenge(&gateway, "s-7"), challenge(&gateway, "s-8"));
    assert_ne!(first["request"], second["request"]);
    assert!(read(&gateway, &first, "s-7").is_ok());
    assert_eq!(read(&gateway, &first, "s-8").unwrap_err().kind, ProblemKind::VerificationFailed);
    // Neither the serial nor the request that it is for can be exchanged.
    let mut edited = first.clone();
    edited["request"] = second["request"].clone();
    assert_eq!(read(&gateway, &edited, "s-8").unwrap_err().kind, ProblemKind::InvalidChallenge);
    let dearer = configured(&json!({ "kind": "toy", "name": "coupons", "provider": "other.example" })).unwrap();
    assert!(read(&dearer, &first, "s-7").is_ok(), "what a coupon is worth has not changed");
}

/// The challenge is bound to what was asked for but the serial, which is different each time.
#[test]
fn a_challenge_for_another_price_buys_nothing() {
    let gateway = gateway();
    let challenge = challenge(&gateway, "s-7");
    let json = json!({
        "rails": [{ "kind": "toy", "name": "coupons", "provider": "coupons.example" }], "origin": { "url": "https://origin.example.com" },
        "routes": [{ "path": "/v1/*", "price": "0.06", "wires": ["mpp"] }],
    });
    let secrets = Secrets { secret_key: Some("thirty-two bytes and some more of it".into()), ..Secrets::default() };
    let dearer = validate(Some(&json.to_string()), &secrets, |_| false).unwrap();
    assert_eq!(read(&dearer, &challenge, "s-7").unwrap_err().kind, ProblemKind::InvalidChallenge);
}

#[test]
fn a_coupon_is_redeemed_and_buys_once() {
    let gateway = gateway();
    let (mut purchase, next) = Purchase::present(None, payment(&gateway), None, NOW, false).unwrap();
    assert_eq!(next, Next::Prepare);
    let (prepared, stored) = settle(&gateway, &mut purchase, |ask| {
        assert!(matches!(ask, Ask::Http(HttpRequest { method: "PUT", url, .. }) if url == "https://coupons.example/redeemed/s-7"));
        Answer::Http(200, "receipt-7".into())
    });
    assert_eq!(stored, Stage::Submitted { gas_limit: None }, "it was remembered before the provider could take it");
    let Prepared::Settled(reference) = prepared else { panic!("not settled") };
    purchase.settle(reference.clone());
    let (lease, paid_by) = purchase.hand_over(NOW, LEASE).unwrap();
    assert_eq!((paid_by.as_str(), purchase.deliver(lease, NOW)), ("receipt-7", Ok(reference)));
    // As it is stored, it has bought.
    let stored: Purchase = decode(&encode(&purchase).unwrap()).unwrap();
    assert_eq!(Purchase::present(Some(stored), payment(&gateway), None, NOW, false).unwrap_err(), Refusal::Spent);
}

/// The object dies after the coupon was sent in: whoever presents it again has it sent in again, which is harmless.
#[test]
fn an_unknown_outcome_is_found_out_by_sending_it_again() {
    let gateway = gateway();
    let (mut purchase, _) = Purchase::present(None, payment(&gateway), None, NOW, false).unwrap();
    assert!(matches!(settle(&gateway, &mut purchase, |_| Answer::Nothing).0, Prepared::Unknown(_)));
    let stored: Purchase = decode(&encode(&purchase).unwrap()).unwrap();
    // Also when its time is over, since it was begun in time.
    let late = NOW.saturating_add(LIFETIME);
    let (mut purchase, next) = Purchase::present(Some(stored), payment(&gateway), None, late, false).unwrap();
    assert_eq!(next, Next::Settle { gas_limit: None });
    let (Prepared::Settled(reference), _) = settle(&gateway, &mut purchase, |_| Answer::Http(200, "receipt-7".into())) else {
        panic!("not settled")
    };
    purchase.settle(reference);
    assert!(purchase.hand_over(late, LEASE).is_ok());
}

#[test]
fn what_the_origin_fails_is_fetched_again() {
    let gateway = gateway();
    let (mut purchase, _) = Purchase::present(None, payment(&gateway), None, NOW, false).unwrap();
    purchase.settle(Reference::new("receipt-7"));
    let (lease, _) = purchase.hand_over(NOW, LEASE).unwrap();
    let purchase = purchase.release(lease, Undelivered::Failed, NOW).unwrap();
    let (purchase, next) = Purchase::present(Some(purchase), payment(&gateway), None, NOW, false).unwrap();
    assert_eq!((next, matches!(purchase.stage(), Stage::Settled { .. })), (Next::Deliver, true));
}

#[test]
fn a_coupon_that_was_redeemed_elsewhere_buys_nothing() {
    let gateway = gateway();
    let (mut purchase, _) = Purchase::present(None, payment(&gateway), None, NOW, false).unwrap();
    assert!(matches!(settle(&gateway, &mut purchase, |_| Answer::Http(410, String::new())).0, Prepared::Refused(_)));
    purchase.conclude(Verdict::Failed(Failure::Declined));
    let again = Purchase::present(Some(purchase), payment(&gateway), None, NOW, false).unwrap_err();
    assert_eq!(again, Refusal::Failed(Failure::Declined));
}

#[test]
fn coupons_are_remembered_by_their_provider_and_serial() {
    let of = |provider: &str, serial: &str| {
        let (provider, serial) = (provider.into(), serial.into());
        Coupon { provider, serial, worth: Amount::ZERO, challenge: "c".into(), expires: NOW }
    };
    assert_ne!(of("a", "1").id(), of("a", "2").id());
    assert_ne!(of("a", "1").holder(), of("b", "1").holder());
    assert!(of("a", "1").untimely(NOW).is_some());
    assert!(gateway().rails[0].owns(&Payment::Toy(of("coupons.example", "1"))));
    assert!(!gateway().rails[0].owns(&Payment::Toy(of("a", "1"))));
}
