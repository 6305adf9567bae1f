//! The rail from its configuration to the goods, with the core alone.

use super::invoice::Invoice;
use super::*;
use crate::gateway::config::Gateway;
use crate::gateway::offer::{Asked, Circumstances, Offer, OfferTerms};
use crate::gateway::{Misconfigured, Secrets, validate};
use crate::money::Amount;
use crate::purchase::{Next, Purchase, Refusal};
use crate::rail::http::{HttpBody, HttpRequest};
use crate::rail::{Proof, RESUMABLE};
use crate::time::Timestamp;
use crate::wire::encoding::{from_base64, to_base64url};
use crate::wire::mpp::credential::{Credential, CredentialField};
use crate::wire::problem::ProblemKind;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::ToString;
use core::time::Duration;
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(300);
const ASKED: Asked<'static> =
    Asked { realm: "api.example.com", method: "GET", target: "/v1/x", digest: None, field: CredentialField::Authorization };

/// An invoice for 25 satoshi on the test network of one's own, made at 1 800 000 000 for 400 seconds by lightning-invoice: its preimage is 32 times 7.
const INVOICE: &str = include_str!("tests.invoice");
const PREIMAGE: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn rail(more: &Value) -> Value {
    let mut rail = json!({ "kind": "lightning", "name": "sats", "node": "lnd", "url": "https://node.example/", "network": "regtest" });
    for (name, value) in more.as_object().into_iter().flatten() {
        rail[name] = value.clone();
    }
    rail
}

fn secrets() -> Secrets {
    let of_rails = [("LND_MACAROON", "0201".repeat(20)), ("PHOENIXD_PASSWORD_SATS", "pass".into())];
    Secrets {
        secret_key: Some("thirty-two bytes and some more of it".into()),
        of_rails: of_rails.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Secrets::default()
    }
}

fn configured(more: &Value, price: &str, secrets: &Secrets) -> Result<Gateway, Misconfigured> {
    let json = json!({
        "rails": [rail(more)], "currency": "SAT", "origin": { "url": "https://origin.example.com" },
        "routes": [{ "path": "/v1/*", "price": price, "wires": ["mpp"], "description": "one page" }],
    });
    validate(Some(&json.to_string()), secrets, |_| false)
}

fn gateway() -> Gateway {
    configured(&json!({}), "25", &secrets()).unwrap()
}

fn offer(gateway: &Gateway) -> &Offer {
    let [offer] = gateway.router.routes()[0].offers.as_slice() else { panic!("one offer") };
    offer
}

fn made(invoice: &str) -> Answer {
    Answer::Http(200, json!({ "r_hash": "…", "payment_request": invoice, "add_index": "1" }).to_string())
}

/// A challenge with this invoice.
fn challenge(gateway: &Gateway) -> Value {
    let offer = offer(gateway);
    let fresh = offer.charge().unwrap().freshen(&made(INVOICE.trim())).unwrap();
    let circumstances = Circumstances { fresh: Some(&fresh), ..Circumstances::default() };
    let issued = offer.issue(&ASKED, &gateway.binding_keys, Some("one page"), &circumstances, NOW.saturating_add(LIFETIME), [1; 12]);
    let parameters = issued.header.strip_prefix("Payment ").unwrap().split(", ").map(|one| one.split_once('=').unwrap());
    Value::Object(parameters.map(|(name, value)| (name.to_owned(), json!(value.trim_matches('"')))).collect())
}

fn read_at(gateway: &Gateway, challenge: &Value, payload: &Value, now: Timestamp) -> Result<Payment, Problem> {
    let credential = json!({ "challenge": challenge, "payload": payload });
    let credential = Credential::parse(&to_base64url(credential.to_string())).unwrap();
    let accepted = ASKED.accept(&credential, &gateway.router.routes()[0].offers, &gateway.binding_keys, now)?;
    let OfferTerms::Charge(terms) = &accepted.offer.terms else { panic!("a charge") };
    match terms.read(&credential, accepted.expires)? {
        Proof::Checked(payment) => Ok(*payment),
        Proof::Signed(_) => panic!("nothing is signed"),
    }
}

fn read(gateway: &Gateway, payload: &Value) -> Result<Payment, Problem> {
    read_at(gateway, &challenge(gateway), payload, NOW)
}

fn progress(answers: &[Answer]) -> Progress {
    Progress { answers: answers.to_vec(), presented: NOW, was_good: false, is_sent: false, reserved: Amount::ZERO }
}

fn next(gateway: &Gateway, answers: &[Answer]) -> Step {
    let payment = read(gateway, &json!({ "preimage": PREIMAGE })).unwrap();
    gateway.rails[0].next(&payment, &progress(answers))
}

#[test]
fn an_invoice_is_asked_for_as_the_node_has_it() {
    let Some(Ask::Http(request)) = offer(&gateway()).first(Some("one page")) else { panic!("it asks for none") };
    let expected = HttpRequest::new("POST", "https://node.example/v1/invoices".into())
        .with("grpc-metadata-macaroon", "0201".repeat(20))
        .sending(HttpBody::Json(r#"{"value":"25","memo":"one page","expiry":"300"}"#.into()));
    assert!(request == expected, "{:?}", request.body.map(|body| body.parts().1.to_owned()));
    let phoenixd = configured(&json!({ "node": "phoenixd" }), "25", &secrets()).unwrap();
    let Some(Ask::Http(request)) = offer(&phoenixd).first(Some(&"é & x ".repeat(40))) else { panic!("it asks for none") };
    assert_eq!(request.headers, [("authorization", "Basic OnBhc3M=".to_owned())]);
    let Some(HttpBody::Form(form)) = request.body else { panic!("no form") };
    assert!(form.starts_with("amountSat=25&description=%C3%A9+%26+x+"), "{form}");
    assert!(form.ends_with("&expirySeconds=300"), "{form}");
}

#[test]
fn the_challenge_holds_the_invoice_and_ends_with_it() {
    let challenge = challenge(&gateway());
    let request: Value = serde_json::from_slice(&from_base64(challenge["request"].as_str().unwrap()).unwrap()).unwrap();
    let hash = Invoice::parse(INVOICE.trim()).unwrap().payment_hash;
    let details = json!({ "invoice": INVOICE.trim(), "network": "regtest", "paymentHash": format!("{hash:x}") });
    assert_eq!(request, json!({ "amount": "25", "currency": "sat", "description": "one page", "methodDetails": details }));
    assert_eq!((&challenge["method"], &challenge["intent"]), (&json!("lightning"), &json!("charge")));
    assert_eq!(challenge["expires"], json!(NOW.saturating_add(LIFETIME).to_rfc3339()));
}

#[test]
fn an_invoice_for_anything_else_is_not_offered() {
    let freshen = |price: &str, more: &Value, answer: &Answer| {
        let gateway = configured(more, price, &secrets()).unwrap();
        offer(&gateway).charge().unwrap().freshen(answer)
    };
    let good = made(INVOICE.trim());
    assert!(freshen("25", &json!({}), &good).is_some());
    assert!(freshen("26", &json!({}), &good).is_none());
    assert!(freshen("25", &json!({ "network": "signet" }), &good).is_none());
    for answer in [
        made("lnbc1"),
        Answer::Http(200, "{}".into()),
        Answer::Http(500, json!({ "payment_request": INVOICE.trim() }).to_string()),
        Answer::Nothing,
    ] {
        assert!(freshen("25", &json!({}), &answer).is_none(), "{answer:?}");
    }
    let phoenixd = Answer::Http(200, json!({ "amountSat": 25, "paymentHash": "…", "serialized": INVOICE.trim() }).to_string());
    assert!(freshen("25", &json!({ "node": "phoenixd" }), &phoenixd).is_some());
}

#[test]
fn only_the_preimage_of_the_invoice_proves_a_payment() {
    let gateway = gateway();
    let payment = read(&gateway, &json!({ "preimage": PREIMAGE })).unwrap();
    assert_eq!((payment.amount(), payment.payer(), payment.chain_id()), (Amount::from_base_units(25), None, None));
    assert!(!format!("{payment:?}").contains(PREIMAGE), "whoever reads what is stored cannot prove it again");
    let other = read(&gateway, &json!({ "preimage": PREIMAGE.replace('7', "8") })).unwrap_err();
    assert_eq!(other.kind, ProblemKind::VerificationFailed);
    assert!(other.detail.starts_with("payload.preimage: is not that of the invoice"), "{}", other.detail);
    for payload in [
        json!({}),
        json!(PREIMAGE),
        json!({ "preimage": 7 }),
        json!({ "preimage": format!("0x{PREIMAGE}") }),
        json!({ "preimage": PREIMAGE.get(2..) }),
        json!({ "preimage": format!("{PREIMAGE}07") }),
        json!({ "preimage": PREIMAGE.replace("07", "0A") }),
        json!({ "preimage": PREIMAGE.replace("07", "0g") }),
    ] {
        let problem = read(&gateway, &payload).unwrap_err();
        assert_eq!(problem.kind, ProblemKind::MalformedCredential, "{payload}");
        assert!(problem.detail.starts_with("payload"), "{}", problem.detail);
    }
}

/// Another invoice cannot be put into a challenge.
#[test]
fn the_invoice_is_bound() {
    let gateway = gateway();
    let mut edited = challenge(&gateway);
    let request = String::from_utf8(from_base64(edited["request"].as_str().unwrap()).unwrap()).unwrap();
    edited["request"] = json!(to_base64url(request.replace("\"25\"", "\"24\"")));
    let problem = read_at(&gateway, &edited, &json!({ "preimage": PREIMAGE }), NOW).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::InvalidChallenge);
    let dearer = configured(&json!({}), "26", &secrets()).unwrap();
    let problem = read_at(&dearer, &challenge(&gateway), &json!({ "preimage": PREIMAGE }), NOW).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::InvalidChallenge);
}

/// It was paid before it can be shown, so who shows it late does not lose its money.
#[test]
fn a_payment_is_taken_after_its_challenge_has_expired_and_remembered_as_long() {
    let gateway = gateway();
    let (challenge, payload) = (challenge(&gateway), json!({ "preimage": PREIMAGE }));
    let expires = NOW.saturating_add(LIFETIME);
    let last = expires.saturating_add(RESUMABLE).saturating_sub(Duration::from_millis(1));
    let payment = read_at(&gateway, &challenge, &payload, last).unwrap();
    assert!(Purchase::present(None, payment.clone(), None, last, false).is_ok());
    assert_eq!(payment.resumable_until(), expires.saturating_add(RESUMABLE));
    let later = read_at(&gateway, &challenge, &payload, expires.saturating_add(RESUMABLE)).unwrap_err();
    assert_eq!(later.kind, ProblemKind::PaymentExpired);
}

#[test]
fn a_payment_buys_once_and_names_its_hash() {
    let gateway = gateway();
    let payment = read(&gateway, &json!({ "preimage": PREIMAGE })).unwrap();
    let (mut purchase, begun) = Purchase::present(None, payment.clone(), None, NOW, false).unwrap();
    assert_eq!(begun, Next::Prepare);
    let Step::Prepared(Prepared::Settled(reference)) = next(&gateway, &[]) else { panic!("it is paid") };
    let hash = Invoice::parse(INVOICE.trim()).unwrap().payment_hash;
    assert_eq!(reference.as_str(), format!("{hash:x}"));
    purchase.settle(reference);
    let (lease, _) = purchase.hand_over(NOW, LIFETIME).unwrap();
    purchase.deliver(lease, NOW).unwrap();
    assert_eq!(Purchase::present(Some(purchase), payment, None, NOW, false).unwrap_err(), Refusal::Spent);
}

#[test]
fn the_node_is_asked_where_that_is_wanted() {
    let of = |node: &str| configured(&json!({ "node": node, "checkSettled": true }), "25", &secrets()).unwrap();
    let hash = Invoice::parse(INVOICE.trim()).unwrap().payment_hash;
    for (node, url, good, bad) in [
        (
            "lnd",
            format!("https://node.example/v1/invoice/{hash:x}"),
            json!({ "state": "SETTLED" }),
            json!({ "state": "ACCEPTED", "isPaid": true }),
        ),
        ("phoenixd", format!("https://node.example/payments/incoming/{hash:x}"), json!({ "isPaid": true }), json!({ "state": "SETTLED" })),
    ] {
        let gateway = of(node);
        let Step::Ask(Ask::Http(request)) = next(&gateway, &[]) else { panic!("it asks nobody") };
        assert_eq!((request.method, request.url), ("GET", url));
        let settled = next(&gateway, &[Answer::Http(200, good.to_string())]);
        assert!(matches!(settled, Step::Prepared(Prepared::Settled(_))), "{settled:?}");
        // Nothing is known then, and nothing is lost: the same proof can be shown again.
        for answer in
            [Answer::Http(200, bad.to_string()), Answer::Http(500, good.to_string()), Answer::Http(404, String::new()), Answer::Nothing]
        {
            let step = next(&gateway, core::slice::from_ref(&answer));
            assert!(
                matches!(&step, Step::Prepared(Prepared::Unknown(problem)) if problem.kind == ProblemKind::Unavailable),
                "{answer:?} {step:?}"
            );
        }
    }
}

#[test]
fn payments_are_spread_over_objects_by_their_hash() {
    let gateway = gateway();
    let payment = read(&gateway, &json!({ "preimage": PREIMAGE })).unwrap();
    let hash = Invoice::parse(INVOICE.trim()).unwrap().payment_hash;
    assert_eq!(payment.id(), hash);
    assert_eq!(payment.holder(), format!("lightning:regtest:{:02x}", hash.0[0]));
    assert!(gateway.rails[0].owns(&payment));
    let elsewhere = configured(&json!({ "network": "signet" }), "25", &secrets()).unwrap();
    assert!(!elsewhere.rails[0].owns(&payment) && !elsewhere.rails[0].can_finish(&payment));
}

#[test]
fn a_wrong_table_is_told_by_field() {
    let broken = |more: &Value, secrets: &Secrets| {
        let error = configured(more, "25", secrets).unwrap_err().errors.remove(0);
        (error.rule, error.field)
    };
    let with = |name: &str, value: Value| broken(&json!({ name: value }), &secrets());
    assert_eq!(with("name", Value::Null), (26, "rails[0].name".into()));
    assert_eq!(with("network", json!("bitcoin")), (2, "rails[0].network".into()));
    assert_eq!(with("node", json!("cln")), (31, "rails[0].node".into()));
    assert_eq!(with("node", Value::Null), (31, "rails[0].node".into()));
    assert_eq!(with("chainId", json!(1)), (1, "rails[0].chainId".into()));
    assert_eq!(with("checkSettled", json!("yes")), (1, "rails[0].checkSettled".into()));
    for url in [
        Value::Null,
        json!("node.example"),
        json!("http://node.example"),
        json!("https://a:b@node.example"),
        json!("http://localhost.example"),
    ] {
        assert_eq!(with("url", url.clone()), (31, "rails[0].url".into()), "{url}");
    }
    for url in ["http://127.0.0.1:8080", "http://localhost", "https://node.example/lnd/"] {
        assert!(configured(&json!({ "url": url }), "25", &secrets()).is_ok(), "{url}");
    }
    assert_eq!(broken(&json!({}), &Secrets { of_rails: Default::default(), ..secrets() }), (31, "LND_MACAROON".into()));
    let macaroon = |value: &str| Secrets { of_rails: [("LND_MACAROON_SATS".to_owned(), value.to_owned())].into(), ..secrets() };
    assert_eq!(broken(&json!({}), &macaroon("not hexadecimal digits, but long enough")), (31, "LND_MACAROON_SATS".into()));
    let error = configured(&json!({}), "25", &macaroon("beef")).unwrap_err().errors.remove(0);
    assert!(!error.to_string().contains("beef"), "{error}");
    assert_eq!(
        broken(&json!({ "node": "phoenixd" }), &Secrets { of_rails: Default::default(), ..secrets() }),
        (31, "PHOENIXD_PASSWORD".into())
    );
    let json = json!({
        "rails": [rail(&json!({})), rail(&json!({ "name": "more" }))], "currency": "SAT", "origin": { "url": "https://origin.example.com" },
        "routes": [{ "path": "/v1/*", "price": "25" }],
    });
    let twice = validate(Some(&json.to_string()), &secrets(), |_| false).unwrap_err().errors.remove(0);
    assert_eq!((twice.rule, twice.field.as_str()), (26, "rails[1].network"));
    // Satoshi have no parts.
    assert_eq!(configured(&json!({}), "0.5", &secrets()).unwrap_err().errors[0].field, "routes[0].price");
}

#[test]
fn secrets_are_shown_nowhere() {
    let gateway = gateway();
    let (macaroon, shown) = ("0201".repeat(20), format!("{:?} {:?} {:?}", gateway.rails[0], offer(&gateway), offer(&gateway).first(None)));
    assert!(!shown.contains(&macaroon), "{shown}");
}
