//! How it is configured, and what it offers.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
