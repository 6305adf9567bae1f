//! The configuration: every rule by its number, with the field it names; presets and defaults; what is left of a broken one; and
//! that no finding ever holds a secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod rails;
mod sessions;

use alloy_primitives::{Address, address};
use mpp_edge::gateway::config::{Gateway, Origin, Settle};
use mpp_edge::gateway::offer::Offer;
use mpp_edge::gateway::path::Readings;
use mpp_edge::gateway::route::is_priced;
use mpp_edge::gateway::{Misconfigured, Secrets, validate};
use mpp_edge::rail::evm::{Method, Rail};
use mpp_edge::wire::mpp::credential::CredentialField;
use mpp_edge::wire::problem::FieldError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const RECIPIENT: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const TOKEN: &str = "0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61";
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn secrets() -> Secrets {
    Secrets {
        secret_key: Some("0123456789abcdef0123456789abcdef".into()),
        previous_secret_key: None,
        settlement_private_key: Some(KEY.into()),
        rpc_url: None,
        of_rails: BTreeMap::new(),
        admin_token: Some("sixteen bytes are enough".into()),
    }
}

/// The shortest configuration that is right.
fn minimal() -> Value {
    json!({
        "network": "abstract-testnet",
        "recipient": RECIPIENT,
        "origin": { "url": "https://origin.example.com" },
        "routes": [{ "path": "/v1/x", "price": "0.01" }],
    })
}

/// `value` with the member at `pointer` replaced, added, or (with null) removed.
fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap();
    match (parent, member) {
        (Value::Array(items), member) => items[name.parse::<usize>().unwrap()] = member,
        (Value::Object(map), Value::Null) => drop(map.remove(name)),
        (Value::Object(map), member) => drop(map.insert(name.into(), member)),
        _ => panic!("{pointer}"),
    }
    value
}

fn judge(config: &Value, secrets: &Secrets) -> Result<Gateway, Misconfigured> {
    validate(Some(&config.to_string()), secrets, |service| service == "ORIGIN")
}

fn good(config: &Value) -> Gateway {
    judge(config, &secrets()).unwrap_or_else(|broken| panic!("{:?}", broken.errors))
}

/// The rail at this place, which is on an EVM network.
fn evm(gateway: &Gateway, place: usize) -> Arc<Rail> {
    gateway.rails[place].evm().unwrap().clone()
}

fn method_of(offer: &Offer) -> Method {
    Method::ALL.into_iter().find(|method| method.name() == offer.method()).unwrap()
}

fn errors(config: &Value, secrets: &Secrets) -> Vec<FieldError> {
    judge(config, secrets).expect_err("a wrong configuration was taken").errors
}

/// Exactly one finding, of this rule, at this field.
fn breaks(rule: u16, field: &str, config: &Value) {
    let errors = errors(config, &secrets());
    assert_eq!(errors.iter().map(|error| (error.rule, error.field.as_str())).collect::<Vec<_>>(), [(rule, field)], "{config}");
    assert!(!errors[0].detail.is_empty() && !errors[0].remedy.is_empty());
}

/// A finding of this rule at this field is the first; others may follow from it.
fn breaks_first(rule: u16, field: &str, config: &Value) {
    let first = &errors(config, &secrets())[0];
    assert_eq!((first.rule, first.field.as_str()), (rule, field), "{config}");
}

fn breaks_with(rule: u16, field: &str, secrets: &Secrets) {
    let errors = errors(&minimal(), secrets);
    assert_eq!(errors.iter().map(|error| (error.rule, error.field.as_str())).collect::<Vec<_>>(), [(rule, field)]);
}

#[test]
fn rule_1_the_shape_is_known() {
    let missing = validate(None, &secrets(), |_| true).unwrap_err();
    assert_eq!((missing.errors[0].rule, missing.errors[0].field.as_str()), (1, "gateway"));
    breaks(1, "unknown", &with(minimal(), "/unknown", json!(1)));
    breaks(1, "routes[0].prise", &with(minimal(), "/routes/0/prise", json!("0.01")));
    breaks(1, "routes[0].price", &with(minimal(), "/routes/0/price", json!(0.01)));
    breaks(1, "routes[0].settle", &with(minimal(), "/routes/0/settle", json!("later")));
    breaks(1, "confirmations", &with(minimal(), "/confirmations", json!("one")));
    breaks(1, "origin.urls", &with(minimal(), "/origin/urls", json!("https://x")));
    breaks(1, "limits.rpcTimeout", &with(minimal(), "/limits", json!({ "rpcTimeout": 1 })));
    breaks(1, "token.symbol", &with(minimal(), "/token", json!({ "symbol": "USDC" })));
    let absent = errors(&with(minimal(), "/recipient", Value::Null), &secrets());
    assert_eq!((absent[0].rule, absent[0].field.as_str()), (4, "recipient"), "{absent:?}");
    assert!(validate(Some("{"), &secrets(), |_| true).is_err());
}

#[test]
fn rule_2_the_network_is_known() {
    breaks_first(2, "network", &with(minimal(), "/network", json!("mainnet")));
    breaks_first(2, "network", &with(minimal(), "/network", Value::Null));
    breaks_first(2, "chainId", &with(minimal(), "/chainId", json!(1)));
    assert_eq!(evm(&good(&with(minimal(), "/chainId", json!(11124))), 0).chain_id, 11124);
}

#[test]
fn rule_3_the_token_is_complete() {
    let token = |token: Value| with(minimal(), "/token", token);
    breaks(3, "token.address", &token(json!({ "address": "0x1" })));
    breaks(3, "token.address", &token(json!({ "address": Address::ZERO })));
    breaks(3, "token.decimals", &token(json!({ "address": RECIPIENT })));
    breaks(3, "token.decimals", &token(json!({ "decimals": 37 })));
    breaks(3, "token.version", &token(json!({ "name": "USDC" })));
    breaks(3, "token.name", &token(json!({ "version": "2" })));
    let custom = json!({ "chainId": 31337, "recipient": RECIPIENT, "rpcUrls": ["http://127.0.0.1:8545"],
        "origin": { "dns": true }, "routes": [] });
    breaks(3, "token.address", &custom);
    breaks(3, "token.decimals", &with(custom, "/token", json!({ "address": TOKEN })));
}

#[test]
fn rule_4_the_recipient_is_an_address() {
    breaks(4, "recipient", &with(minimal(), "/recipient", json!("0x3c44CdDdB6a900fa2b585dd299e03d12FA4293BC")));
    breaks(4, "recipient", &with(minimal(), "/recipient", json!(Address::ZERO)));
    breaks(4, "recipient", &with(minimal(), "/recipient", json!("vitalik.eth")));
}

#[test]
fn rule_5_the_realm_fits_a_header_and_the_binding() {
    for realm in ["", "a|b", "a\"b", "a\\b", "a, b", "a b", "ünï", "a\nb"] {
        breaks(5, "realm", &with(minimal(), "/realm", json!(realm)));
    }
    assert_eq!(good(&with(minimal(), "/realm", json!("api.example.com"))).realm.as_deref(), Some("api.example.com"));
}

#[test]
fn rule_6_endpoints_are_urls() {
    breaks(6, "rpcUrls", &with(minimal(), "/rpcUrls", json!([])));
    breaks(6, "rpcUrls[1]", &with(minimal(), "/rpcUrls", json!(["https://a", "ws://b"])));
    breaks_with(6, "RPC_URL", &Secrets { rpc_url: Some(" , ".into()), ..secrets() });
    breaks_with(6, "RPC_URL[0]", &Secrets { rpc_url: Some("localhost:8545".into()), ..secrets() });
}

#[test]
fn rule_7_the_escrow_is_an_address() {
    for field in ["escrow", "evmEscrow"] {
        for text in ["none", "0x29635C384f451a72ED2e2a312BCeb8b0bDC0923", "0x29635C384f451a72ED2e2a312BCeb8b0bDC0923C"] {
            breaks(7, field, &with(minimal(), &format!("/{field}"), json!(text)));
        }
        breaks(7, field, &with(minimal(), &format!("/{field}"), json!(Address::ZERO)));
    }
}

#[test]
fn rule_8_there_is_one_origin() {
    breaks(8, "origin", &with(minimal(), "/origin", json!({})));
    breaks(8, "origin", &with(minimal(), "/origin", json!({ "dns": true, "service": "ORIGIN" })));
    breaks_first(8, "origin.service", &with(minimal(), "/origin", json!({ "service": "" })));
    breaks(8, "origin.service", &with(minimal(), "/origin", json!({ "service": "MISSING" })));
    for url in ["origin.example.com", "ftp://x", "https://", "https:///x", "https://u:p@x", "https://x?y", "https://x#y", "https://x y"] {
        breaks(8, "origin.url", &with(minimal(), "/origin/url", json!(url)));
    }
}

#[test]
fn rule_9_challenges_live_between_half_a_minute_and_an_hour() {
    for seconds in [0, 29, 3601, u64::MAX] {
        breaks(9, "challengeLifetimeSeconds", &with(minimal(), "/challengeLifetimeSeconds", json!(seconds)));
    }
}

#[test]
fn rule_10_confirmations_are_bounded() {
    for confirmations in [0, 1001] {
        breaks(10, "confirmations", &with(minimal(), "/confirmations", json!(confirmations)));
    }
}

#[test]
fn rule_11_limits_are_bounded() {
    for (name, bad) in [
        ("settlementTimeoutSeconds", [0, 121]),
        ("originTimeoutSeconds", [0, 601]),
        ("rpcTimeoutSeconds", [0, 61]),
        ("credentialBytes", [4095, 65537]),
        ("digestBodyBytes", [0, 33_554_433]),
    ] {
        for value in bad {
            breaks(11, &format!("limits.{name}"), &with(minimal(), "/limits", json!({ name: value })));
        }
    }
}

#[test]
fn rule_12_paths_are_patterns() {
    for path in ["v1", "", "/a*", "/{a", "/a/", "/__mpp/x", "/a%20b"] {
        breaks(12, "routes[0].path", &with(minimal(), "/routes/0/path", json!(path)));
    }
}

#[test]
fn rule_13_no_request_has_two_prices() {
    let twice = |first: Value, second: Value| with(minimal(), "/routes", json!([first, second]));
    let priced = |path: &str| json!({ "path": path, "price": "1" });
    let get = |path: &str, methods: Value| json!({ "path": path, "price": "1", "methods": methods });
    breaks(13, "routes[1].path", &twice(priced("/a"), priced("/A")));
    breaks(13, "routes[1].path", &twice(priced("/{x}"), priced("/{y}")));
    breaks(13, "routes[1].path", &twice(get("/a", json!(["GET"])), get("/a", json!(["HEAD"]))));
    breaks(13, "routes[1].path", &twice(get("/a", json!(["POST"])), priced("/a")));
    good(&twice(get("/a", json!(["GET"])), get("/a", json!(["POST"]))));
    good(&twice(priced("/a"), priced("/a/*")));
}

#[test]
fn rule_14_methods_can_be_priced() {
    for methods in [json!([]), json!(["get"]), json!(["OPTIONS"]), json!(["GET", ""]), json!(["G T"])] {
        breaks(14, "routes[0].methods", &with(minimal(), "/routes/0/methods", methods));
    }
}

#[test]
fn rule_15_a_price_is_a_positive_amount_of_the_token() {
    for price in ["0", "0.000", "free", "-1", "1e3", "0.0000001", "$1", "", "1,5", "99999999999999999999999999999999999999999"] {
        breaks(15, "routes[0].price", &with(minimal(), "/routes/0/price", json!(price)));
    }
}

#[test]
fn rule_16_a_description_fits_a_header() {
    for description in ["ü", "a\nb", "one, Payment two", &"x".repeat(201)] {
        breaks(16, "routes[0].description", &with(minimal(), "/routes/0/description", json!(description)));
    }
}

#[test]
fn rule_17_intents_are_known() {
    breaks(17, "routes[0].intents", &with(minimal(), "/routes/0/intents", json!([])));
    breaks(17, "routes[0].intents[0]", &with(minimal(), "/routes/0/intents", json!(["subscribe"])));
    breaks(17, "routes[0].intents[1]", &with(minimal(), "/routes/0/intents", json!(["charge", "charge"])));
}

#[test]
fn rule_18_payment_methods_are_possible_here() {
    breaks(18, "routes[0].paymentMethods", &with(minimal(), "/routes/0/paymentMethods", json!([])));
    breaks(18, "routes[0].paymentMethods[0]", &with(minimal(), "/routes/0/paymentMethods", json!(["stripe"])));
    breaks(18, "routes[0].paymentMethods[1]", &with(minimal(), "/routes/0/paymentMethods", json!(["evm", "evm"])));
    // Only Abstract's chains understand its method.
    let elsewhere = json!({ "chainId": 8453, "recipient": RECIPIENT, "rpcUrls": ["https://x"], "origin": { "dns": true },
        "token": { "address": TOKEN, "decimals": 6 },
        "routes": [{ "path": "/x", "price": "1", "paymentMethods": ["abstract"] }] });
    breaks(18, "routes[0].paymentMethods[0]", &elsewhere);
}

#[test]
fn rule_25_credentials_have_one_other_field() {
    for header in ["Authorization", "payment-authorization", "X-Pay", ""] {
        breaks(25, "routes[0].header", &with(minimal(), "/routes/0/header", json!(header)));
    }
    let field = |config: &Value| good(config).router.routes()[0].field;
    assert_eq!(field(&minimal()), CredentialField::Authorization);
    assert_eq!(field(&with(minimal(), "/routes/0/header", json!("Payment-Authorization"))), CredentialField::PaymentAuthorization);
}

#[test]
fn rule_19_secrets_are_long_enough() {
    breaks_with(19, "MPP_SECRET_KEY", &Secrets { secret_key: None, ..secrets() });
    breaks_with(19, "MPP_SECRET_KEY", &Secrets { secret_key: Some("x".repeat(31)), ..secrets() });
    breaks_with(19, "MPP_SECRET_KEY_PREVIOUS", &Secrets { previous_secret_key: Some("x".repeat(31)), ..secrets() });
}

#[test]
fn rule_20_settlement_keys_are_keys_and_differ() {
    let several = |keys: &str| Secrets { settlement_private_key: Some(keys.to_owned()), ..secrets() };
    let other = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    let third = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
    let gateway = judge(&minimal(), &several(&format!("{KEY}, {other},{third}"))).unwrap();
    let rail = evm(&gateway, 0);
    assert_eq!(rail.settlement_key.address(), address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"), "the first is that of sessions");
    assert_eq!(rail.keys().count(), 3);
    // Every payer has one, each has a fair part of them, and without the third only its payers get another.
    let fewer = judge(&minimal(), &several(&format!("{other},{KEY}"))).unwrap();
    let mut payers = std::collections::BTreeMap::<_, usize>::new();
    for payer in (0_u64..300).map(|seed| alloy_primitives::Address::from_word(alloy_primitives::keccak256(seed.to_be_bytes()))) {
        let account = rail.key_of_payer(payer).address();
        *payers.entry(account).or_default() += 1;
        if account != address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC") {
            assert_eq!(evm(&fewer, 0).key_of_payer(payer).address(), account);
        }
    }
    assert!(payers.len() == 3 && payers.values().all(|count| (70..130).contains(count)), "{payers:?}");
    for keys in [format!("{KEY},{KEY}"), format!("{KEY},"), format!("{KEY},0x12"), ",".to_owned()] {
        breaks_with(20, "SETTLEMENT_PRIVATE_KEY", &several(&keys));
    }
    breaks_with(20, "SETTLEMENT_PRIVATE_KEY", &Secrets { settlement_private_key: None, ..secrets() });
    for key in ["", "0x00", KEY.trim_start_matches("0x"), &format!("0x{}", "0".repeat(64)), &format!("0x{}", "f".repeat(64))] {
        breaks_with(20, "SETTLEMENT_PRIVATE_KEY", &Secrets { settlement_private_key: Some(key.to_owned()), ..secrets() });
    }
}

#[test]
fn rule_21_the_admin_token_is_long_enough() {
    breaks_with(21, "ADMIN_TOKEN", &Secrets { admin_token: Some("x".repeat(15)), ..secrets() });
    assert!(judge(&minimal(), &Secrets { admin_token: None, ..secrets() }).is_ok());
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let config = with(with(with(minimal(), "/realm", json!("a|b")), "/confirmations", json!(0)), "/routes/0/price", json!("0"));
    let errors = errors(&config, &Secrets { secret_key: None, settlement_private_key: None, ..secrets() });
    let mut rules: Vec<u16> = errors.iter().map(|error| error.rule).collect();
    rules.sort_unstable();
    assert_eq!(rules, [5, 10, 15, 19, 20]);
}

#[test]
fn defaults_and_the_testnet_s_preset() {
    let gateway = good(&minimal());
    assert_eq!(evm(&gateway, 0).chain_id, 11124);
    assert_eq!(evm(&gateway, 0).token.address, address!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61"));
    assert_eq!((evm(&gateway, 0).token.decimals, evm(&gateway, 0).token.domain.clone()), (6, None));
    assert_eq!(
        (evm(&gateway, 0).escrow, evm(&gateway, 0).evm_escrow),
        (Some(address!("0x29635C384f451a72ED2e2a312BCeb8b0bDC0923c")), None)
    );
    assert_eq!(evm(&gateway, 0).rpc_urls, ["https://api.testnet.abs.xyz"]);
    assert_eq!((gateway.realm.clone(), evm(&gateway, 0).confirmations, gateway.challenge_lifetime), (None, 1, Duration::from_secs(300)));
    let limits = gateway.limits;
    assert_eq!([limits.settlement_timeout, limits.origin_timeout, limits.rpc_timeout].map(|limit| limit.as_secs()), [20, 60, 5]);
    assert_eq!((limits.credential_bytes, limits.digest_body_bytes), (8_192, 1_048_576));
    let route = &gateway.router.routes()[0];
    assert_eq!(route.offers.iter().map(|offer| offer.method()).collect::<Vec<_>>(), ["abstract", "evm"]);
    assert_eq!((route.settle, route.charge_redirects, route.digest), (Settle::First, false, false));
    assert!(route.methods.contain("GET") && route.methods.contain("DELETE") && !route.methods.contain("OPTIONS"));
    assert_eq!(evm(&gateway, 0).settlement_key.address(), address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
}

#[test]
fn the_mainnet_s_preset() {
    let gateway = good(&with(minimal(), "/network", json!("abstract")));
    assert_eq!(evm(&gateway, 0).chain_id, 2741);
    assert_eq!(evm(&gateway, 0).token.address, address!("0x84A71ccD554Cc1b02749b35d22F684CC8ec987e1"));
    assert_eq!(evm(&gateway, 0).token.domain, Some(("Bridged USDC (Stargate)".into(), "2".into())));
    assert_eq!(evm(&gateway, 0).rpc_urls, ["https://api.mainnet.abs.xyz"]);
    // A token of one's own has nothing of the preset's.
    let own = json!({ "address": RECIPIENT, "decimals": 18 });
    let token = evm(&good(&with(with(minimal(), "/network", json!("abstract")), "/token", own)), 0).token.clone();
    assert_eq!((token.decimals, token.domain), (18, None));
}

#[test]
fn what_is_set_overrides() {
    let config = json!({
        "network": "abstract-testnet", "recipient": RECIPIENT, "escrow": RECIPIENT, "realm": "r", "challengeLifetimeSeconds": 60,
        "confirmations": 3, "rpcUrls": ["https://public"], "token": { "name": "Bridged USDC", "version": "2" },
        "origin": { "url": "http://origin/base//" },
        "limits": { "settlementTimeoutSeconds": 1, "originTimeoutSeconds": 2, "rpcTimeoutSeconds": 3, "credentialBytes": 4096, "digestBodyBytes": 5 },
        "routes": [{ "path": "/a/{b}", "methods": ["GET", "POST"], "price": "1.50", "description": "d", "intents": ["charge"],
            "paymentMethods": ["evm"], "settle": "after-origin", "chargeRedirects": true, "digest": true }],
    });
    let gateway = good(&config);
    assert_eq!(gateway.origin, Origin::Url("http://origin/base".into()));
    assert_eq!(evm(&gateway, 0).token.domain, Some(("Bridged USDC".into(), "2".into())));
    assert_eq!((evm(&gateway, 0).confirmations, gateway.challenge_lifetime.as_secs()), (3, 60));
    let route = &gateway.router.routes()[0];
    assert_eq!((route.settle, route.charge_redirects, route.digest, route.offers.len()), (Settle::AfterOrigin, true, true, 1));
    assert_eq!(evm(&gateway, 0).rpc_urls, ["https://public"]);
    let secret = Secrets { rpc_url: Some("https://one/key, https://two\n".into()), ..secrets() };
    assert_eq!(evm(&judge(&config, &secret).unwrap(), 0).rpc_urls, ["https://one/key", "https://two"]);
    assert_eq!(good(&with(minimal(), "/origin", json!({ "service": "ORIGIN" }))).origin, Origin::Service("ORIGIN".into()));
}

#[test]
fn a_broken_configuration_prices_what_it_did_and_lets_the_rest_pass() {
    for broken in [
        with(minimal(), "/routes/0/price", json!("zero")),
        with(minimal(), "/recipient", json!("nobody")),
        with(minimal(), "/unknown", json!(1)),
        with(minimal(), "/recipient", Value::Null),
        with(minimal(), "/routes/0/prise", json!(1)),
        with(minimal(), "/confirmations", json!("many")),
    ] {
        let surface = judge(&broken, &secrets()).unwrap_err().surface.unwrap_or_else(|| panic!("{broken}"));
        assert_eq!(surface.origin, Origin::Url("https://origin.example.com".into()));
        let is_priced = |method, path| is_priced(&surface.priced, method, &Readings::of(path).unwrap());
        assert!(is_priced("GET", "/V1/%78/"));
        assert!(!is_priced("GET", "/free") && !is_priced("OPTIONS", "/v1/x"));
    }
    let unfunded = Secrets { secret_key: None, ..secrets() };
    assert!(judge(&minimal(), &unfunded).unwrap_err().surface.is_some());
}

#[test]
fn nothing_passes_when_it_cannot_be_told_what_is_priced() {
    for broken in [
        with(minimal(), "/routes/0/path", json!("v1/x")),
        with(minimal(), "/routes/0/path", Value::Null),
        with(minimal(), "/routes/0/methods", json!(["get"])),
        with(minimal(), "/routes", Value::Null),
        with(minimal(), "/routes", json!({})),
        with(minimal(), "/origin", json!({ "service": "MISSING" })),
        with(minimal(), "/origin", Value::Null),
        with(minimal(), "/origin/url", json!("nowhere")),
    ] {
        assert!(judge(&broken, &secrets()).unwrap_err().surface.is_none(), "{broken}");
    }
    assert!(validate(None, &secrets(), |_| true).unwrap_err().surface.is_none());
    assert!(validate(Some("["), &secrets(), |_| true).unwrap_err().surface.is_none());
}

/// The configuration variable is no secret, but endpoints in it may carry a key, and whoever mistakes a field may paste one.
#[test]
fn a_value_of_the_wrong_kind_is_not_repeated() {
    const MARKER: &str = "marker5ecret";
    let url = format!("https://rpc.example/{MARKER}");
    for config in [
        with(minimal(), "/rpcUrls", json!(url)),
        with(minimal(), "/rpcUrls", json!([format!("ws://x/{MARKER}")])),
        with(minimal(), "/network", json!(MARKER)),
        with(minimal(), "/chainId", json!(MARKER)),
        with(minimal(), "/confirmations", json!(MARKER)),
        with(minimal(), "/recipient", json!(MARKER)),
        with(minimal(), "/origin", json!(MARKER)),
        with(minimal(), "/origin/url", json!(format!("https://user:{MARKER}@x"))),
    ] {
        let errors = serde_json::to_string(&errors(&config, &secrets())).unwrap();
        assert!(!errors.contains(MARKER), "{errors}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::{Secrets, judge, minimal, with};
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    const MARKER: &str = "5ecretMarker";

    /// A secret around the marker, good or bad, or none.
    fn secret() -> impl Strategy<Value = Option<String>> {
        let around = ("[ -~]{0,40}", "[ -~ü]{0,40}").prop_map(|(before, after)| format!("{before}{MARKER}{after}"));
        let hex = "[0-9a-f]{0,70}".prop_map(|digits| format!("0x{digits}{MARKER}"));
        let url = "[a-z:/,. ]{0,20}".prop_map(|before| format!("{before}https://x/{MARKER}"));
        prop::option::weighted(0.8, prop_oneof![around, hex, url])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_finding_ever_holds_a_secret(
            secret_key in secret(), previous_secret_key in secret(), settlement_private_key in secret(), rpc_url in secret(),
            admin_token in secret(), broken in any::<bool>(),
        ) {
            let secrets = Secrets { secret_key, previous_secret_key, settlement_private_key, rpc_url, of_rails: BTreeMap::new(), admin_token };
            let config = if broken { with(minimal(), "/unknown", json!(1)) } else { minimal() };
            let shown = match judge(&config, &secrets) {
                Ok(gateway) => format!("{gateway:?}"),
                Err(broken) => format!("{} {broken:?}", serde_json::to_string(&broken.errors).unwrap()),
            };
            prop_assert!(!shown.contains(MARKER), "{}", shown);
            let debugged = format!("{secrets:?}");
            prop_assert!(!debugged.contains(MARKER));
        }
    }
}
