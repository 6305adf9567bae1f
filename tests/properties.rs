//! Properties of everything that reads what a stranger wrote: nothing panics, what is written reads back, what was edited is not
//! accepted, and no disguise makes a priced path cheaper.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may panic"
)]

use alloy_primitives::{Address, B256};
use mpp_edge::evm::signature::Signature;
use mpp_edge::evm::{jsonrpc, parse};
use mpp_edge::gateway::config::{Meter, Settle};
use mpp_edge::gateway::offer::{Asked, Circumstances, Offer};
use mpp_edge::gateway::path::Readings;
use mpp_edge::gateway::route::{Methods, Pattern, Route, Router, is_priced};
use mpp_edge::gateway::{admin, headers, validate};
use mpp_edge::money::{Amount, InvalidAmount, Price, decimal_u64};
use mpp_edge::rail::RailId;
use mpp_edge::rail::evm::charge::{ChargeTerms, Unverified};
use mpp_edge::rail::evm::{Method, Offered, session};
use mpp_edge::time::Timestamp;
use mpp_edge::wire::encoding::{from_base64, to_base64, to_base64url};
use mpp_edge::wire::mpp::accept::preferred;
use mpp_edge::wire::mpp::challenge::BindingKeys;
use mpp_edge::wire::mpp::credential::{Credential, CredentialField, split_authorization};
use mpp_edge::wire::mpp::digest::BodyDigest;
use mpp_edge::wire::x402::PaymentPayload;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Text that looks like a header, a path or a number now and then.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,60}",
        "[0-9.,;=\"\\\\ a-z/%*-]{0,40}",
        "[0-9+.eE-]{0,50}",
        r"(?i)(payment|bearer|basic|digest)?[ ,]*[a-z0-9=_-]{0,20}(, ?payment [a-z0-9]{0,9}){0,2}",
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let key = prop_oneof![
            text().boxed(),
            prop::sample::select(vec![
                "challenge",
                "payload",
                "source",
                "id",
                "realm",
                "method",
                "intent",
                "request",
                "expires",
                "digest",
                "opaque",
                "type",
                "from",
                "to",
                "value",
                "nonce",
                "signature",
                "action",
                "channelId",
                "cumulativeAmount",
                "authorization",
                "deposit",
                "salt",
                "session",
                "result",
                "error",
                "code",
                "message",
                "data",
                "network",
                "chainId",
                "token",
                "recipient",
                "origin",
                "routes",
                "path",
                "price",
                "methods",
                "limits",
                "url",
                "dns",
                "x402Version",
                "accepted",
                "resource",
                "extensions",
                "mppx",
                "payment-identifier",
                "info",
                "scheme",
                "extra",
                "amount",
                "asset",
                "payTo",
                "maxTimeoutSeconds",
                "validAfter",
                "validBefore",
            ])
            .prop_map(String::from)
            .boxed(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn nothing_that_reads_text_panics(text in text(), other in text(), number in any::<u8>()) {
        let _ = Amount::parse_base_units(&text);
        let _ = Amount::parse_human(&text, number);
        let _ = decimal_u64(&text);
        let _ = Timestamp::parse_rfc3339(&text);
        let _ = from_base64(&text);
        let _ = BodyDigest::parse(&text);
        let _ = split_authorization(&text);
        let _ = Credential::parse(&text);
        let _ = Credential::parse(&to_base64url(&text));
        let _ = PaymentPayload::read(Some(&text), None, usize::MAX).is_ok();
        let _ = (x402::judge(x402::Version::V2, &text), x402::judge(x402::Version::V1, &text));
        let _ = x402::offers(&other).header(&x402::Requested { url: &text, method: &other }, &text, |_| true);
        let _ = preferred(&[("abstract", "charge"), ("evm", "charge")], Some(&text));
        let _ = (parse::address(&text), parse::hash(&text), parse::bytes(&text), parse::did_pkh(&text));
        let _ = Signature::parse(&text);
        let _ = jsonrpc::parse(&text, usize::from(number % 4));
        let _ = Pattern::parse(&text);
        let _ = Readings::of(&text).map(|readings| readings.climb());
        let _ = headers::Withheld::new(Some(&other), true, false).holds(&text);
        let _ = headers::Names::new(text.clone()).has(&other);
        let _ = headers::below(&text, &other);
        let _ = headers::without_payment_challenges(&text);
        let _ = admin::caller(&text, Some(&other), B256::ZERO, Timestamp::from_millis(0));
        let _ = validate(Some(&text), &mpp_edge::gateway::Secrets::default(), |_| true);
    }

    #[test]
    fn nothing_that_reads_json_panics(value in any_json(), count in 0usize..4) {
        let text = value.to_string();
        if let Ok(credential) = Credential::parse(&to_base64url(&text)) {
            let terms = ChargeTerms {
                amount: Amount::from_base_units(1), chain_id: 1, token: Address::ZERO, decimals: 6, recipient: Address::ZERO,
            };
            let channel = session::SessionTerms {
                price: terms.amount, unit_type: "request".into(), chain_id: 1, token: Address::ZERO, recipient: Address::ZERO,
                escrow: Address::ZERO, suggested_deposit: None, min_delta: Amount::ZERO,
            };
            for method in Method::ALL {
                let _ = Unverified::read(&credential, method, &terms);
                let _ = session::Unverified::read(&credential, method, &channel);
            }
        }
        for (version, number) in [(x402::Version::V2, 2), (x402::Version::V1, 1)] {
            let mut value = value.clone();
            if let Some(map) = value.as_object_mut() {
                map.insert("x402Version".into(), json!(number));
            }
            let _ = x402::judge(version, &value.to_string());
        }
        let _ = jsonrpc::parse(&text, count);
        if let Ok(raw) = serde_json::value::RawValue::from_string(text.clone()) {
            let _ = jsonrpc::decode::<jsonrpc::TransactionReceipt>(&raw);
            let _ = jsonrpc::decode::<jsonrpc::Block>(&raw);
            let _ = jsonrpc::decode_u64(&raw);
            let _ = jsonrpc::decode_u128(&raw);
        }
        let _ = validate(Some(&text), &mpp_edge::gateway::Secrets::default(), |_| false);
    }

    #[test]
    fn nothing_that_reads_bytes_panics(bytes in any::<[u8; 65]>(), v in 26u8..=29, digest in any::<[u8; 32]>()) {
        let mut bytes = bytes;
        bytes[64] = v;
        if let Ok(signature) = Signature::from_bytes(&bytes) {
            let _ = signature.recover(B256::new(digest));
            prop_assert_eq!(signature.to_bytes(), bytes);
        }
    }

    #[test]
    fn amounts_read_back(units in any::<u128>(), decimals in 0u8..=36) {
        let amount = Amount::from_base_units(units);
        prop_assert_eq!(Amount::parse_base_units(&amount.to_string()), Ok(amount));
        prop_assert_eq!(Amount::parse_human(&amount.to_human(decimals), decimals), Ok(amount));
        let json = serde_json::to_string(&amount).unwrap();
        prop_assert_eq!(&json, &format!("\"{units}\""));
        prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
    }

    /// By whole digits: no float, no rounding.
    #[test]
    fn human_amounts_are_exact(whole in 0u64.., fraction in "[0-9]{0,8}", decimals in 0u8..=8) {
        let text = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
        let significant = fraction.trim_end_matches('0');
        let scale = 10u128.pow(u32::from(decimals));
        let expected = if significant.len() > usize::from(decimals) {
            Err(InvalidAmount::TooPrecise { decimals })
        } else {
            let places = 10u128.pow(u32::try_from(significant.len()).unwrap());
            let part = if significant.is_empty() { 0 } else { significant.parse::<u128>().unwrap() };
            Ok(Amount::from_base_units(u128::from(whole) * scale + part * (scale / places)))
        };
        prop_assert_eq!(Amount::parse_human(&text, decimals), expected);
    }

    #[test]
    fn times_read_back(millis in 0u64..253_402_300_800_000) {
        let time = Timestamp::from_millis(millis);
        prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Ok(time));
        prop_assert_eq!(time.to_rfc3339().len(), 24);
    }

    #[test]
    fn base64_reads_back(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(from_base64(&to_base64url(&bytes)).unwrap(), bytes.clone());
        prop_assert_eq!(from_base64(&to_base64(&bytes)).unwrap(), bytes);
    }

    #[test]
    fn a_payment_credential_is_found_wherever_it_stands(
        token in "[A-Za-z0-9_-]{1,40}", scheme in "(?i)payment", space in "[ ]{1,3}",
        others in prop::collection::vec(r#"(Bearer [a-z0-9]{1,9}|Basic [A-Za-z0-9]{1,9}==|Digest a="x, Payment y\\"", b="[ -!#-\[\]-~]{0,9}")"#, 0..3),
        at in 0usize..3,
    ) {
        let mut parts = others.clone();
        parts.insert(at.min(others.len()), format!("{scheme}{space}{token}"));
        let value = parts.join(", ");
        let header = split_authorization(&value).unwrap();
        prop_assert_eq!(header.payment, Some(token.as_str()));
        prop_assert_eq!(header.others.is_some(), !others.is_empty());
        parts.push("Payment second".into());
        prop_assert!(split_authorization(&parts.join(",")).is_err());
    }

    #[test]
    fn preferred_offers_are_some_of_ours_once_each(header in text()) {
        let order = preferred(&[("abstract", "charge"), ("evm", "charge"), ("evm", "session")], Some(&header));
        prop_assert!(!order.is_empty());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), order.len());
        prop_assert!(order.iter().all(|index| *index < 3));
    }

    #[test]
    fn paid_responses_are_never_for_shared_caches(value in text()) {
        let value = headers::private_cache_control(Some(&value)).to_ascii_lowercase();
        let names: Vec<&str> = value.split(',').map(|part| part.split('=').next().unwrap().trim()).collect();
        prop_assert_eq!(names[0], "private");
        prop_assert!(!names[1..].iter().any(|name| ["public", "s-maxage", "private"].contains(name)), "{}", value);
    }

    #[test]
    fn no_payment_challenge_of_the_origin_survives(before in "[A-Z][a-z]{2,6} [a-z]=\"[^\"\\\\]{0,9}\"", scheme in "(?i)payment") {
        let value = format!("{before}, {scheme} id=\"a, b\", realm=\"c\"");
        prop_assert_eq!(headers::without_payment_challenges(&value), Some(before.clone()));
        let value = format!("{scheme} id=\"a, b\", realm=\"c\", {before}");
        prop_assert_eq!(headers::without_payment_challenges(&value), Some(before));
    }
}

// --- paths -------------------------------------------------------------------------------------------------------

const TERMS: ChargeTerms =
    ChargeTerms { amount: Amount::from_base_units(1), chain_id: 1, token: Address::ZERO, decimals: 6, recipient: Address::ZERO };

fn route(pattern: &str, price: u128) -> Route {
    Route {
        pattern: Pattern::parse(pattern).unwrap(),
        methods: Methods::Any,
        price: Price::parse(&price.to_string()).unwrap(),
        description: None,
        offers: vec![],
        exact: None,
        settle: Settle::First,
        charge_redirects: false,
        digest: false,
        meter: Meter::Request,
        max_units: 1,
        field: CredentialField::Authorization,
    }
}

fn router() -> Router {
    let routes = [
        ("/exact", 10),
        ("/v1/x", 20),
        ("/v1/reports/{id}", 30),
        ("/v1/reports/{id}/pages/{page}", 5),
        ("/premium/*", 40),
        ("/premium/cheap", 1),
        ("/{any}/tail/*", 7),
    ];
    Router::new(routes.map(|(pattern, price)| route(pattern, price)).to_vec())
}

fn price(router: &Router, path: &str) -> u128 {
    // What is refused is nobody's.
    let Ok(path) = Readings::of(path) else { return u128::MAX };
    router.find("GET", &path).map_or(0, |route| route.price.to_string().parse().unwrap())
}

/// Paths as they stand in a specification, priced and not.
fn plain_path() -> impl Strategy<Value = Vec<String>> {
    let segment = prop_oneof![
        4 => prop::sample::select(vec!["exact", "v1", "x", "reports", "pages", "premium", "cheap", "tail"]).prop_map(String::from),
        1 => "[a-z0-9_~-]{1,6}",
    ];
    prop_oneof![
        Just(vec!["exact".to_owned()]),
        Just(vec!["v1".to_owned(), "x".to_owned()]),
        "[a-z0-9]{1,6}".prop_map(|id| vec!["v1".to_owned(), "reports".to_owned(), id]),
        "[a-z0-9]{1,6}".prop_map(|rest| vec!["premium".to_owned(), rest]),
        prop::collection::vec(segment, 0..5),
    ]
}

/// What is done to one segment and to the slash before it.
#[derive(Clone, Debug)]
struct Disguise {
    slashes: usize,
    backslash: bool,
    before: Option<String>,
    parameter: Option<String>,
    trailing: String,
    upper: u32,
    encode: u32,
    times: usize,
}

fn disguise() -> impl Strategy<Value = Disguise> {
    (
        1usize..4,
        prop::bool::weighted(0.1),
        prop::option::weighted(0.3, prop::sample::select(vec![".", "free/..", "%2e", "a/%2e%2e", "a/b/../..", "..;x/up"])),
        prop::option::weighted(0.3, "(;|;a=b|;jsessionid=1;c|;%20)"),
        prop_oneof![8 => Just(""), 1 => Just("."), 1 => Just(" "), 1 => Just("..")],
        any::<u32>(),
        any::<u32>(),
        0usize..4,
    )
        .prop_map(|(slashes, backslash, before, parameter, trailing, upper, encode, times)| Disguise {
            slashes,
            backslash,
            before: before.map(String::from),
            parameter,
            trailing: trailing.into(),
            upper,
            encode,
            times,
        })
}

/// Percent-encodes the characters whose bit is set.
fn encode(text: &str, mask: u32) -> String {
    let one = |(at, byte): (u32, u8)| if mask.rotate_right(at) & 1 == 1 { format!("%{byte:02x}") } else { char::from(byte).to_string() };
    (0..).zip(text.bytes()).map(one).collect()
}

impl Disguise {
    fn apply(&self, segment: &str) -> String {
        let mut text = String::new();
        if let Some(before) = self.before.as_ref().filter(|before| !before.contains("up")) {
            text.push_str(before);
            text.push('/');
        }
        let cased = (0..).zip(segment.chars()).map(|(at, c)| if self.upper.rotate_right(at) & 1 == 1 { c.to_ascii_uppercase() } else { c });
        text.extend(cased);
        text.push_str(&self.trailing);
        text.push_str(self.parameter.as_deref().unwrap_or_default());
        let mut text = format!("{}{text}", if self.backslash { "\\" } else { "" });
        // Three decodings at the most are defended against.
        for time in 0..self.times.min(if text.contains('%') { 2 } else { 3 }) {
            text = encode(&text, self.encode.rotate_left(u32::try_from(time).unwrap() * 7));
        }
        format!("{}{text}", "/".repeat(self.slashes))
    }
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn no_disguise_makes_a_path_cheaper(
        segments in plain_path(), disguises in prop::collection::vec(disguise(), 5), end in prop::sample::select(vec!["", "/", "//", "/.", "/x/.."]),
    ) {
        let router = router();
        let plain = format!("/{}", segments.join("/"));
        let dressed: String = segments.iter().zip(&disguises).map(|(segment, disguise)| disguise.apply(segment)).collect();
        let dressed = format!("{}{end}", if dressed.is_empty() { "/" } else { &dressed });
        prop_assert!(price(&router, &dressed) >= price(&router, &plain), "{} as {}: {:?}", plain, dressed, Readings::of(&dressed));
        let priced: Vec<_> = router.routes().iter().map(|route| (route.pattern.clone(), route.methods.clone())).collect();
        let is_priced = |path: &str| Readings::of(path).map_or(true, |path| is_priced(&priced, "GET", &path));
        prop_assert!(is_priced(&dressed) || !is_priced(&plain));
    }

    #[test]
    fn what_is_priced_is_priced_for_every_method_but_options(path in text(), method in "[A-Z]{3,7}") {
        let router = router();
        let priced: Vec<_> = router.routes().iter().map(|route| (route.pattern.clone(), route.methods.clone())).collect();
        let readings = Readings::of(&path).unwrap();
        prop_assert_eq!(router.find(&method, &readings).is_some(), is_priced(&priced, &method, &readings));
        prop_assert_eq!(router.find(&method, &readings).is_some(), method != "OPTIONS" && price(&router, &path) > 0);
    }
}

/// Servlet containers take matrix parameters away before they decode: what is encoded inside one never becomes part of the path.
#[test]
fn parameters_that_hold_encoded_slashes_do_not_hide_a_path() {
    let router = router();
    for path in ["/v1/%78;a%2fb", "/v1/%78;%2f", "/%761;a%2fb/x", "/%2576%31;a%252fb/x", "/v1/%78;%2e%2e%2f", "/v1/reports/%37;p%2f..%2f"] {
        let plain = if path.contains("reports") { "/v1/reports/7" } else { "/v1/x" };
        assert!(price(&router, path) >= price(&router, plain), "{path}: {:?}", Readings::of(path));
    }
}

// --- challenges --------------------------------------------------------------------------------------------------

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn asked(digest: bool) -> Asked<'static> {
    Asked {
        realm: "api.example.com",
        method: "POST",
        target: "/v1/x?q=1",
        digest: digest.then(|| BodyDigest::of(b"body")),
        field: CredentialField::Authorization,
    }
}

/// A challenge as a client returns it, from its header.
fn echoed(header: &str) -> Vec<(String, String)> {
    let parameters = header.strip_prefix("Payment ").unwrap().split("\", ");
    parameters
        .map(|one| one.split_once("=\"").map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).unwrap())
        .collect()
}

fn credential(challenge: &[(String, String)]) -> Result<Credential, String> {
    let challenge: serde_json::Map<String, Value> = challenge.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    Credential::parse(&to_base64url(json!({ "challenge": challenge, "payload": {} }).to_string())).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn a_challenge_with_one_other_character_is_refused(
        entropy in any::<[u8; 12]>(), secret in any::<[u8; 32]>(), digest in any::<bool>(), field in any::<usize>(), at in any::<usize>(),
        new in "[ -~]", evm in any::<bool>(), prepared in any::<bool>(),
    ) {
        let keys = BindingKeys::new(&secret, None).unwrap();
        let mut offers = Method::ALL.map(|method| Offer::of_charge(RailId(0), Offered::new(method, TERMS, None), None));
        if prepared {
            offers.iter_mut().for_each(|offer| offer.prepare(&keys, asked(false).realm, None));
        }
        let expires = NOW.saturating_add(Duration::from_secs(300));
        let issued = offers[usize::from(evm)].issue(&asked(digest), &keys, None, &Circumstances::default(), expires, entropy);
        let mut challenge = echoed(&issued.header);
        let accepted = asked(digest).accept(&credential(&challenge).unwrap(), &offers, &keys, NOW).map(|accepted| accepted.offer.method().to_owned());
        prop_assert_eq!(accepted.ok(), Some(Method::ALL[usize::from(evm)].name().to_owned()));
        // Not for another request, nor in another time.
        for other in [
            Asked { realm: "api.example.org", ..asked(digest) },
            Asked { method: "PUT", ..asked(digest) },
            Asked { target: "/v1/x?q=2", ..asked(digest) },
            asked(!digest),
        ] {
            prop_assert!(other.accept(&credential(&challenge).unwrap(), &offers, &keys, NOW).is_err());
        }
        let late = expires.saturating_add(Duration::from_secs(24 * 60 * 60));
        prop_assert!(asked(digest).accept(&credential(&challenge).unwrap(), &offers, &keys, late).is_err());
        // Nor with anything changed.
        let (name, value) = {
            let index = field % challenge.len();
            &mut challenge[index]
        };
        let at = at % value.len();
        prop_assume!(&value[at..=at] != new.as_str());
        value.replace_range(at..=at, &new);
        let name = name.clone();
        if let Ok(credential) = credential(&challenge) {
            prop_assert!(asked(digest).accept(&credential, &offers, &keys, NOW).is_err(), "{} changed", name);
        }
    }

    #[test]
    fn a_challenge_with_a_field_more_or_less_is_refused(entropy in any::<[u8; 12]>(), field in any::<usize>(), digest in any::<bool>()) {
        let keys = BindingKeys::new(&[7; 32], None).unwrap();
        let offers = [Offer::of_charge(RailId(0), Offered::new(Method::Evm, TERMS, None), None)];
        let issued = offers[0].issue(&asked(digest), &keys, None, &Circumstances::default(), NOW.saturating_add(Duration::from_secs(300)), entropy);
        let mut challenge = echoed(&issued.header);
        if digest || !field.is_multiple_of(challenge.len() + 1) {
            challenge.remove(field % challenge.len());
        } else {
            challenge.push(("digest".into(), "".into()));
        }
        if let Ok(credential) = credential(&challenge) {
            prop_assert!(asked(digest).accept(&credential, &offers, &keys, NOW).is_err());
        }
    }
}

/// A credential is judged before the body has come, and the body once it has.
#[test]
fn the_head_is_accepted_before_the_body_is_known() {
    let keys = BindingKeys::new(&[7; 32], None).unwrap();
    let offers = [Offer::of_charge(RailId(0), Offered::new(Method::Evm, TERMS, None), None)];
    let issue = |digest| {
        offers[0].issue(&asked(digest), &keys, None, &Circumstances::default(), NOW.saturating_add(Duration::from_secs(300)), [1; 12])
    };
    let bound = credential(&echoed(&issue(true).header)).unwrap();
    let accepted = asked(false).accept_head(&bound, &offers, &keys, NOW).unwrap();
    assert!(accepted.covers(&bound, Some(BodyDigest::of(b"body"))).is_ok());
    assert!(accepted.covers(&bound, Some(BodyDigest::of(b"another"))).is_err() && accepted.covers(&bound, None).is_err());
    assert!(Asked { method: "PUT", ..asked(false) }.accept_head(&bound, &offers, &keys, NOW).is_err());
    let free = credential(&echoed(&issue(false).header)).unwrap();
    let accepted = asked(false).accept_head(&free, &offers, &keys, NOW).unwrap();
    assert!(accepted.covers(&free, None).is_ok() && accepted.covers(&free, Some(BodyDigest::of(b"body"))).is_err());
}

/// The id is text, not the bytes it stands for: another spelling of it is another id.
#[test]
fn an_id_in_the_other_alphabet_is_refused() {
    let keys = BindingKeys::new(&[7; 32], None).unwrap();
    let offers = [Offer::of_charge(RailId(0), Offered::new(Method::Evm, TERMS, None), None)];
    let expires = NOW.saturating_add(Duration::from_secs(300));
    let issue = |n: u8| offers[0].issue(&asked(false), &keys, None, &Circumstances::default(), expires, [n; 12]);
    let issued = (0..=255).map(issue).find(|issued| issued.id.contains('-') && !issued.id.contains('_')).unwrap();
    for other in [issued.id.replace('-', "+"), format!("{}=", issued.id)] {
        let mut challenge = echoed(&issued.header);
        challenge[0].1 = other;
        assert!(asked(false).accept(&credential(&challenge).unwrap(), &offers, &keys, NOW).is_err(), "{}", challenge[0].1);
    }
}

// --- x402 --------------------------------------------------------------------------------------------------------

mod x402 {
    pub(super) use mpp_edge::wire::x402::{Requested, Version};

    use super::{Value, from_base64, to_base64};
    use alloy_primitives::address;
    use mpp_edge::evm::eip712::Domain;
    use mpp_edge::money::Amount;
    use mpp_edge::rail::evm::charge::ChargeTerms;
    use mpp_edge::rail::evm::exact::{Exact, Unverified, requirement};
    use mpp_edge::wire::problem::Problem;
    use mpp_edge::wire::x402::{Flow, Offers, PaymentPayload};
    use std::sync::LazyLock;

    const TERMS: ChargeTerms = ChargeTerms {
        amount: Amount::from_base_units(10_000),
        chain_id: 84532,
        token: address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
        decimals: 6,
        recipient: address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    };

    pub(super) fn offers(description: &str) -> Offers {
        Offers::new(vec![requirement(&TERMS, "USDC", "2", Flow::Upfront, 300)], Some(description), Some("application/json"))
    }

    /// What clients have presented for `offers("Daily \"report\"")`, as JSON, and what it proves.
    pub(super) static PRESENTED: LazyLock<Vec<(Version, String, Exact)>> = LazyLock::new(|| {
        let vectors: Value = serde_json::from_str(include_str!("vectors/x402.json")).unwrap();
        let payments = vectors["payments"].as_object().unwrap().iter();
        let version = |name: &str| if name.starts_with("v1") { Version::V1 } else { Version::V2 };
        let json = |header: &Value| String::from_utf8(from_base64(header.as_str().unwrap()).unwrap()).unwrap();
        let honest = |version: Version, json: String| (version, judge(version, &json).unwrap(), json);
        payments.map(|(name, header)| honest(version(name), json(header))).map(|(version, exact, json)| (version, json, exact)).collect()
    });

    pub(super) fn judge(version: Version, json: &str) -> Result<Exact, Problem> {
        let header = to_base64(json);
        let (v2, v1) = match version {
            Version::V2 => (Some(header.as_str()), None),
            Version::V1 => (None, Some(header.as_str())),
        };
        let payment = PaymentPayload::read(v2, v1, usize::MAX)?.unwrap();
        let offers = offers("Daily \"report\"");
        let requested = Requested { url: "https://api.example.com/v1/report?day=1&of=“March”", method: "POST" };
        let accepted = payment.accept(&offers, &requested)?;
        Unverified::read(&payment, &accepted, &TERMS)?.verify(&Domain::new("USDC", "2", TERMS.chain_id, TERMS.token))
    }
}

/// All places of a value at which there is no map.
fn leaves(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), into)),
        _ => into.push(at.to_owned()),
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    /// What a stranger changes of a payment is refused, or changes neither what is paid nor to whom.
    #[test]
    fn an_edited_x402_payment_is_refused_or_pays_the_same(which in any::<usize>(), at in any::<usize>(), new in "[ -~]") {
        let (version, json, honest) = &x402::PRESENTED[which % x402::PRESENTED.len()];
        let mut edited: String = json.clone();
        let at = edited.char_indices().map(|(at, _)| at).nth(at % edited.chars().count()).unwrap();
        let end = at + edited[at..].chars().next().unwrap().len_utf8();
        edited.replace_range(at..end, &new);
        if let Ok(exact) = x402::judge(*version, &edited) {
            prop_assert_eq!((exact.asset, exact.signed), (honest.asset, honest.signed), "{}", edited);
        }
    }

    /// Every member that says what is paid is looked at; what else may be changed says nothing of it.
    #[test]
    fn an_x402_payment_with_another_member_is_refused(which in any::<usize>(), leaf in any::<usize>(), new in any_json()) {
        let (version, json, honest) = &x402::PRESENTED[which % x402::PRESENTED.len()];
        let mut value: Value = serde_json::from_str(json).unwrap();
        let mut pointers = Vec::new();
        leaves(&value, "", &mut pointers);
        let pointer = &pointers[leaf % pointers.len()];
        let member = value.pointer_mut(pointer).unwrap();
        prop_assume!(*member != new);
        *member = new;
        let is_free = pointer.starts_with("/resource/") && !pointer.ends_with("/url")
            || pointer.starts_with("/extensions/") && !pointer.starts_with("/extensions/mppx/info/")
                && !(honest.is_bound && pointer.ends_with("/info/id"));
        let outcome = x402::judge(*version, &value.to_string());
        // Without its salt a payment says no more that it is bound, and cannot be told from one that never was.
        let is_unbound = pointer == "/extensions/mppx/info/nonce" && value.pointer(pointer) == Some(&Value::Null);
        if is_unbound {
            prop_assert!(outcome.is_ok_and(|exact| !exact.is_bound && exact.signed == honest.signed));
        } else if !is_free {
            prop_assert!(outcome.is_err(), "{} = {}", pointer, value.pointer(pointer).unwrap());
        }
    }
}
