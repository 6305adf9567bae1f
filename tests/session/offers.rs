//! Offers of sessions: a challenge is good for its route and its terms, for every request there until it expires.

use super::{ASKED, CHAIN_ID, LIFETIME, NOW, ROUTE, STRANGER, Voucher, channel, echoed, keys, offer, on_rails, parse, terms};
use mpp_edge::channel::{Balance, Reuse};
use mpp_edge::gateway::offer::{Asked, Circumstances, Offer};
use mpp_edge::money::Amount;
use mpp_edge::rail::RailId;
use mpp_edge::rail::evm::session::{SessionTerms, Snapshot, domain};
use mpp_edge::rail::evm::{Intent, Method, Offered, charge};
use mpp_edge::time::Timestamp;
use mpp_edge::wire::encoding::from_base64;
use mpp_edge::wire::mpp::challenge::BindingKeys;
use mpp_edge::wire::mpp::digest::BodyDigest;
use mpp_edge::wire::problem::ProblemKind::{self, InvalidChallenge, PaymentExpired};
use serde_json::{Value, json};
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn issue(offer: &Offer, asked: &Asked<'_>, circumstances: &Circumstances<'_>) -> Value {
    echoed(&offer.issue(asked, &keys(), None, circumstances, NOW.saturating_add(LIFETIME), [1; 12]).header)
}

fn plain(offer: &Offer) -> Value {
    issue(offer, &ASKED, &Circumstances::default())
}

/// Which of the offers a challenge answers, or the problem.
fn accept(challenge: &Value, asked: &Asked<'_>, offers: &[Offer], now: Timestamp) -> Result<(Method, Intent), ProblemKind> {
    let credential = parse(&json!({ "challenge": challenge, "payload": Voucher.payload(Method::Abstract) }));
    let accepted = asked.accept(&credential, offers, &keys(), now).map_err(|problem| problem.kind)?;
    assert_eq!(accepted.expires, NOW.saturating_add(LIFETIME));
    Ok((method_of(accepted.offer), accepted.offer.intent()))
}

fn method_of(offer: &Offer) -> Method {
    Method::ALL.into_iter().find(|method| method.name() == offer.method()).unwrap()
}

fn charge_offer(method: Method) -> Offer {
    let SessionTerms { price, chain_id, token, recipient, .. } = terms(method);
    let terms = charge::ChargeTerms { amount: price, chain_id, token, decimals: 6, recipient };
    Offer::of_charge(RailId(0), Offered::new(method, terms, None), None)
}

fn snapshot(method: Method) -> Snapshot {
    let [accepted, spent, deposit, required] = [1, 2, 3, 4].map(Amount::from_base_units);
    Snapshot { channel_id: channel(method), balance: Balance { accepted, spent, deposit, required } }
}

fn request(challenge: &Value) -> Value {
    serde_json::from_slice(&from_base64(challenge["request"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_challenge_holds_the_request_and_nothing_of_the_body() {
    for method in Method::ALL {
        let asked = Asked { method: "POST", digest: Some(BodyDigest::of(b"body")), ..ASKED };
        let challenge = issue(&offer(method), &asked, &Circumstances::default());
        let names: Vec<&str> = challenge.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["expires", "id", "intent", "method", "opaque", "realm", "request"]);
        assert_eq!((&challenge["method"], &challenge["intent"]), (&json!(method.name()), &json!("session")));
        let expected: Value = serde_json::from_str(&terms(method).request(method, None, false, None)).unwrap();
        assert_eq!(request(&challenge), expected);
        // And is accepted with or without one.
        for asked in [asked, ASKED] {
            assert_eq!(accept(&challenge, &asked, &[offer(method)], NOW), Ok((method, Intent::Session)));
        }
    }
}

#[test]
fn one_challenge_serves_every_request_of_its_route() {
    for method in Method::ALL {
        let offers = [offer(method)];
        let challenge = plain(&offers[0]);
        for verb in ["GET", "HEAD", "POST", "DELETE"] {
            for target in ["/v1/x?q=1", "/v1/x", "/v1/y?q=2", "/V1/%79", "/v1/x?"] {
                let asked = Asked { method: verb, target, ..ASKED };
                assert_eq!(accept(&challenge, &asked, &offers, NOW), Ok((method, Intent::Session)), "{verb} {target}");
            }
        }
        let elsewhere = Asked { realm: "api.example.org", ..ASKED };
        assert_eq!(accept(&challenge, &elsewhere, &offers, NOW), Err(InvalidChallenge));
    }
}

/// A8, for sessions.
#[test]
fn it_serves_no_other_route_whatever_that_costs() {
    for method in Method::ALL {
        let challenge = plain(&offer(method));
        for route in ["/v1/*", "/v1/x", "/v1/{other}", "/v2/{thing}", "/", "/v1/{thing} "] {
            let offers = [Offer::of_session(RailId(0), method, route, terms(method), None, Reuse::Once)];
            assert_eq!(accept(&challenge, &ASKED, &offers, NOW), Err(InvalidChallenge), "{route}");
        }
    }
}

#[test]
fn it_does_not_outlive_its_terms() {
    for method in Method::ALL {
        let challenge = plain(&offer(method));
        let good = terms(method);
        let other = |terms: SessionTerms| Offer::of_session(RailId(0), method, ROUTE, terms, None, Reuse::Once);
        assert!(accept(&challenge, &ASKED, &[other(good.clone())], NOW).is_ok());
        for changed in [
            other(SessionTerms { price: Amount::from_base_units(1_001), ..good.clone() }),
            other(SessionTerms { price: Amount::from_base_units(999), ..good.clone() }),
            other(SessionTerms { unit_type: "event".into(), ..good.clone() }),
            other(SessionTerms { chain_id: 2741, ..good.clone() }),
            other(SessionTerms { token: STRANGER, ..good.clone() }),
            other(SessionTerms { recipient: STRANGER, ..good.clone() }),
            other(SessionTerms { escrow: STRANGER, ..good.clone() }),
            other(SessionTerms { suggested_deposit: None, ..good.clone() }),
            other(SessionTerms { min_delta: Amount::from_base_units(1), ..good.clone() }),
            Offer::of_session(RailId(0), method, ROUTE, good.clone(), Some("d"), Reuse::Once),
        ] {
            assert_eq!(accept(&challenge, &ASKED, &[changed], NOW), Err(InvalidChallenge));
        }
        // How a voucher may be used is not part of them.
        assert!(accept(&challenge, &ASKED, &[Offer::of_session(RailId(0), method, ROUTE, good, None, Reuse::DrawDown)], NOW).is_ok());
    }
}

#[test]
fn a_snapshot_and_who_submits_change_the_request_and_not_what_it_is_good_for() {
    let offers = Method::ALL.map(offer);
    for (method, offer) in Method::ALL.into_iter().zip(&offers) {
        let snapshot = snapshot(method);
        for sponsored in [false, true] {
            let circumstances =
                Circumstances { sponsored: on_rails(sponsored), snapshot: Some((RailId(0), method, &snapshot)), fresh: None };
            let challenge = issue(offer, &ASKED, &circumstances);
            let details = &request(&challenge)["methodDetails"];
            assert_eq!(details["channelId"], json!(snapshot.channel_id.to_string()));
            let numbers = ["acceptedCumulative", "spent", "deposit", "requiredCumulative"].map(|name| details[name].as_str().unwrap());
            assert_eq!(numbers, ["1", "2", "3", "4"]);
            assert_eq!(details.get("feePayer"), (sponsored && method == Method::Evm).then_some(&json!(true)));
            for asked in [ASKED, Asked { method: "POST", target: "/v1/y", ..ASKED }] {
                assert_eq!(accept(&challenge, &asked, &offers, NOW), Ok((method, Intent::Session)));
            }
            let elsewhere = [Offer::of_session(RailId(0), method, "/v1/*", terms(method), None, Reuse::Once)];
            assert_eq!(accept(&challenge, &ASKED, &elsewhere, NOW), Err(InvalidChallenge));
            // A channel belongs to one method.
            let other = if method == Method::Abstract { Method::Evm } else { Method::Abstract };
            let circumstances =
                Circumstances { sponsored: on_rails(sponsored), snapshot: Some((RailId(0), other, &snapshot)), fresh: None };
            assert_eq!(request(&issue(offer, &ASKED, &circumstances))["methodDetails"].get("channelId"), None);
        }
        let sponsored = issue(offer, &ASKED, &Circumstances { sponsored: &[RailId(0)], snapshot: None, fresh: None });
        assert_eq!(accept(&sponsored, &ASKED, &offers, NOW), Ok((method, Intent::Session)));
        assert_eq!(request(&sponsored)["methodDetails"].get("feePayer").is_some(), method == Method::Evm);
    }
    // A charge has no channel.
    let charge = charge_offer(Method::Evm);
    let evm = snapshot(Method::Evm);
    let circumstances = Circumstances { sponsored: &[RailId(0)], snapshot: Some((RailId(0), Method::Evm, &evm)), fresh: None };
    assert_eq!(issue(&charge, &ASKED, &circumstances), plain(&charge));
}

#[test]
fn a_description_is_in_every_variant() {
    let snapshot = snapshot(Method::Evm);
    let offer = Offer::of_session(RailId(0), Method::Evm, ROUTE, terms(Method::Evm), Some("d"), Reuse::Once);
    for (sponsored, snapshot) in [(false, None), (true, None), (false, Some(&snapshot)), (true, Some(&snapshot))] {
        let circumstances = Circumstances {
            sponsored: on_rails(sponsored),
            snapshot: snapshot.map(|snapshot| (RailId(0), Method::Evm, snapshot)),
            fresh: None,
        };
        let challenge = echoed(&offer.issue(&ASKED, &keys(), Some("d"), &circumstances, NOW.saturating_add(LIFETIME), [1; 12]).header);
        assert_eq!((&request(&challenge)["description"], &challenge["description"]), (&json!("d"), &json!("d")));
        assert!(accept(&challenge, &ASKED, std::slice::from_ref(&offer), NOW).is_ok());
    }
}

#[test]
fn among_all_offers_of_a_route_each_challenge_finds_its_own() {
    let offers = [Method::Abstract, Method::Evm].map(|method| [charge_offer(method), offer(method)]).concat();
    for offer in &offers {
        let challenge = plain(offer);
        assert_eq!(accept(&challenge, &ASKED, &offers, NOW), Ok((method_of(offer), offer.intent())));
        // That of a charge stays bound to what was asked.
        let elsewhere = Asked { target: "/v1/y", ..ASKED };
        assert_eq!(accept(&challenge, &elsewhere, &offers, NOW).is_ok(), offer.intent() == Intent::Session);
        let others: Vec<Offer> = offers.iter().filter(|other| !std::ptr::eq(*other, offer)).cloned().collect();
        assert_eq!(accept(&challenge, &ASKED, &others, NOW), Err(InvalidChallenge));
        // Renamed, it was not issued by us.
        for (name, value) in [("method", "abstract"), ("method", "evm"), ("intent", "charge"), ("intent", "session")] {
            let mut renamed = challenge.clone();
            renamed[name] = json!(value);
            assert_eq!(accept(&renamed, &ASKED, &offers, NOW).is_ok(), renamed == challenge);
        }
    }
}

/// A9, for sessions.
#[test]
fn it_is_ours_unedited_and_of_this_day() {
    for method in Method::ALL {
        let offers = [offer(method)];
        let challenge = plain(&offers[0]);
        for (name, value) in challenge.as_object().unwrap() {
            let value = value.as_str().unwrap();
            let last = if value.ends_with('A') { 'B' } else { 'A' };
            let mut edited = challenge.clone();
            edited[name] = json!(format!("{}{last}", value.get(..value.len() - 1).unwrap()));
            assert_eq!(accept(&edited, &ASKED, &offers, NOW), Err(InvalidChallenge), "{name}");
        }
        let mut with_digest = challenge.clone();
        with_digest["digest"] = json!(BodyDigest::of(b"body").to_string());
        assert_eq!(accept(&with_digest, &ASKED, &offers, NOW), Err(InvalidChallenge));
        let stranger = BindingKeys::new(&[8; 32], None).unwrap();
        let credential = parse(&json!({ "challenge": challenge, "payload": {} }));
        assert_eq!(ASKED.accept(&credential, &offers, &stranger, NOW).unwrap_err().kind, InvalidChallenge);
        let rotated = BindingKeys::new(&[8; 32], Some(&[7; 32])).unwrap();
        assert!(ASKED.accept(&credential, &offers, &rotated, NOW).is_ok());
        // What concerns the chain may be sent again for a day: whether it came in time is told by `expires`.
        let expires = NOW.saturating_add(LIFETIME);
        let day = Duration::from_secs(86_400);
        for (at, expected) in [
            (expires, Ok((method, Intent::Session))),
            (expires.saturating_add(day).saturating_sub(Duration::from_millis(1)), Ok((method, Intent::Session))),
            (expires.saturating_add(day), Err(PaymentExpired)),
            (expires.saturating_add(10 * day), Err(PaymentExpired)),
        ] {
            assert_eq!(accept(&challenge, &ASKED, &offers, at), expected);
        }
    }
}

#[test]
fn an_offer_knows_the_domain_of_its_vouchers() {
    for (method, name) in [(Method::Abstract, "Abstract Stream Channel"), (Method::Evm, "EVM Payment Channel")] {
        let session = offer(method).session().cloned().unwrap();
        assert_eq!(session.domain, mpp_edge::evm::eip712::Domain::new(name, "1", CHAIN_ID, session.terms.escrow));
        assert_eq!(session.domain, domain(method, CHAIN_ID, session.terms.escrow));
        assert_eq!(session.reuse, Reuse::Once);
    }
}

/// The request of a session may hold a snapshot, so it does not say whose challenge it is: the binding does.
#[test]
fn of_two_rails_that_one_is_paid_whose_challenge_is_answered() {
    for method in Method::ALL {
        let elsewhere = SessionTerms { chain_id: CHAIN_ID + 1, ..terms(method) };
        let offers = [offer(method), Offer::of_session(RailId(1), method, ROUTE, elsewhere, None, Reuse::Once)];
        for one in &offers {
            let known = Circumstances { sponsored: &[], snapshot: Some((one.rail, method, &snapshot(method))), fresh: None };
            for circumstances in [Circumstances::default(), known] {
                let challenge = issue(one, &ASKED, &circumstances);
                let credential = parse(&json!({ "challenge": challenge, "payload": Voucher.payload(method) }));
                assert_eq!(ASKED.accept(&credential, &offers, &keys(), NOW).unwrap().offer.rail, one.rail);
            }
        }
        // What is known of a channel on one rail is not told with the offer of the other.
        let known = Circumstances { sponsored: &[], snapshot: Some((RailId(0), method, &snapshot(method))), fresh: None };
        assert!(request(&issue(&offers[0], &ASKED, &known))["methodDetails"]["channelId"].is_string());
        assert!(request(&issue(&offers[1], &ASKED, &known))["methodDetails"].get("channelId").is_none());
        let sponsored = Circumstances { sponsored: &[RailId(1)], snapshot: None, fresh: None };
        assert_eq!(request(&issue(&offers[1], &ASKED, &sponsored))["methodDetails"].get("feePayer").is_some(), method == Method::Evm);
        assert!(request(&issue(&offers[0], &ASKED, &sponsored))["methodDetails"].get("feePayer").is_none());
    }
}
