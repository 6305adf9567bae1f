//! Several rails: the long form, what each has of its own, and what routes cost on them.

use super::{KEY, RECIPIENT, TOKEN, breaks, breaks_first, errors, evm, good, judge, method_of, minimal, secrets, with};
use mpp_edge::gateway::Secrets;
use mpp_edge::gateway::config::Gateway;
use mpp_edge::gateway::offer::OfferTerms;
use mpp_edge::rail::RailId;
use mpp_edge::rail::evm::{Intent, Method};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const OTHER: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
const OTHER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// Base and Abstract's testnet, in this order.
fn two() -> Value {
    json!({
        "recipient": RECIPIENT,
        "rails": [{ "network": "base" }, { "network": "abstract-testnet" }],
        "origin": { "url": "https://origin.example.com" },
        "routes": [{ "path": "/v1/x", "price": "0.01" }],
    })
}

fn without_url() -> Secrets {
    Secrets { rpc_url: None, ..secrets() }
}

/// What a route asks for: the rail's name, the method, the intent, and the amount in base units.
fn offers(gateway: &Gateway) -> Vec<(&str, Method, Intent, u128)> {
    let offers = gateway.router.routes()[0].offers.iter();
    offers
        .map(|offer| {
            let amount = match &offer.terms {
                OfferTerms::Charge(terms) => terms.amount(),
                OfferTerms::Session(session) => session.terms.price,
            };
            (gateway.rail(offer.rail).unwrap().name(), method_of(offer), offer.intent(), amount.base_units())
        })
        .collect()
}

#[test]
fn each_rail_brings_its_network_and_is_offered_in_order() {
    use Intent::Charge;
    let gateway = good(&two());
    let chains: Vec<_> = (0..2).map(|place| evm(&gateway, place)).collect();
    let chains: Vec<_> = chains.iter().map(|rail| (rail.name.as_str(), rail.chain_id, rail.at.as_str())).collect();
    assert_eq!(chains, [("base", 8453, "rails[0]."), ("abstract-testnet", 11124, "rails[1].")]);
    assert!((0..2).all(|place| evm(&gateway, place).recipient.to_string() == RECIPIENT));
    let expected = [
        ("base", Method::Evm, Charge, 10_000),
        ("abstract-testnet", Method::Abstract, Charge, 10_000),
        ("abstract-testnet", Method::Evm, Charge, 10_000),
    ];
    assert_eq!(offers(&gateway), expected);
    let chosen = good(&with(two(), "/routes/0/rails", json!(["abstract-testnet"])));
    assert_eq!(offers(&chosen), expected[1..]);
    let turned = good(&with(two(), "/routes/0/rails", json!(["abstract-testnet", "base"])));
    assert_eq!(offers(&turned).first().unwrap().0, "abstract-testnet");
    assert!(gateway.rail(RailId(2)).is_none());
    // The short form is one rail, which is called after its network.
    assert_eq!(evm(&good(&minimal()), 0).name, "abstract-testnet");
}

#[test]
fn a_rail_has_a_recipient_and_secrets_of_its_own() {
    let config = with(two(), "/rails/1/recipient", json!(OTHER));
    let of_rails = [("RPC_URL_BASE", "https://base.example/key"), ("SETTLEMENT_PRIVATE_KEY_ABSTRACT_TESTNET", OTHER_KEY)];
    let of_rails = of_rails.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let gateway = judge(&config, &Secrets { of_rails, ..without_url() }).unwrap();
    let [base, testnet] = [evm(&gateway, 0), evm(&gateway, 1)];
    assert_eq!((base.recipient.to_string(), testnet.recipient.to_string()), (RECIPIENT.into(), OTHER.into()));
    assert_eq!(
        (base.rpc_urls.as_slice(), testnet.rpc_urls.as_slice()),
        (&["https://base.example/key".to_owned()][..], &["https://api.testnet.abs.xyz".to_owned()][..])
    );
    assert_ne!(base.settlement_key.address(), testnet.settlement_key.address());
    // With a key for each, none is needed for all; without, it is told which is missing.
    let of_rails = [("SETTLEMENT_PRIVATE_KEY_BASE", KEY), ("SETTLEMENT_PRIVATE_KEY_ABSTRACT_TESTNET", OTHER_KEY)];
    let of_rails = of_rails.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert!(judge(&config, &Secrets { settlement_private_key: None, of_rails, ..without_url() }).is_ok());
    let none = errors(&config, &Secrets { settlement_private_key: None, ..without_url() });
    assert_eq!(none.iter().map(|error| (error.rule, error.field.as_str())).collect::<Vec<_>>(), [(20, "SETTLEMENT_PRIVATE_KEY")]);
    let bad = [("SETTLEMENT_PRIVATE_KEY_BASE".to_owned(), "0x00".to_owned())].into();
    let wrong = errors(&config, &Secrets { of_rails: bad, ..without_url() });
    assert_eq!((wrong.len(), wrong[0].rule, wrong[0].field.as_str()), (1, 20, "SETTLEMENT_PRIVATE_KEY_BASE"));
    // An endpoint serves one network.
    let shared = errors(&config, &Secrets { rpc_url: Some("https://one".into()), ..secrets() });
    assert_eq!(shared.iter().map(|error| (error.rule, error.field.as_str())).collect::<Vec<_>>(), [(6, "RPC_URL")]);
    assert!(Secrets::is_of_rail("RPC_URL_BASE") && !Secrets::is_of_rail("RPC_URL") && !Secrets::is_of_rail("RPC_URLS"));
}

#[test]
fn rule_26_rails_are_told_apart() {
    breaks(26, "network", &with(two(), "/network", json!("base")));
    breaks(26, "confirmations", &with(two(), "/confirmations", json!(2)));
    breaks(26, "rails", &with(two(), "/rails", json!([])));
    breaks(26, "rails[1].name", &with(two(), "/rails/1/name", json!("base")));
    for name in ["", "Base", "base_usdc", &"x".repeat(33)] {
        breaks(26, "rails[0].name", &with(two(), "/rails/0/name", json!(name)));
    }
    breaks(26, "rails[1].token", &with(two(), "/rails/1", json!({ "name": "again", "network": "base" })));
    let spelled = json!({ "chainId": 31337, "rpcUrls": ["http://127.0.0.1:1"], "token": { "address": TOKEN, "decimals": 6 } });
    breaks(26, "rails[1].name", &with(two(), "/rails/1", spelled));
    for currency in ["usd", "US", "DOLLARS!!"] {
        breaks(26, "rails[0].currency", &with(two(), "/rails/0/currency", json!(currency)));
    }
    breaks_first(26, "currency", &with(two(), "/currency", json!("usd")));
    breaks_first(26, "rails[0].kind", &with(two(), "/rails/0/kind", json!("gold")));
    breaks_first(1, "rails[0].netwrok", &with(two(), "/rails/0/netwrok", json!("base")));
    // One account moves both tokens of a chain, and waits for as many blocks.
    let token = json!({ "address": TOKEN, "decimals": 6 });
    let same_chain = json!({ "name": "base-other", "network": "base", "token": token, "confirmations": 3 });
    breaks(26, "rails[1].confirmations", &with(two(), "/rails/1", same_chain.clone()));
    good(&with(two(), "/rails/1", with(same_chain, "/confirmations", json!(1))));
}

#[test]
fn what_is_wrong_with_a_rail_is_told_where_it_stands() {
    breaks_first(2, "rails[1].network", &with(two(), "/rails/1/network", json!("mainnet")));
    breaks_first(2, "rails[0].chainId", &with(two(), "/rails/0/chainId", json!(1)));
    breaks(3, "rails[0].token.version", &with(two(), "/rails/0/token", json!({ "name": "USDC" })));
    breaks(4, "rails[1].recipient", &with(two(), "/rails/1/recipient", json!("nobody")));
    breaks(6, "rails[1].rpcUrls[0]", &with(two(), "/rails/1/rpcUrls", json!(["ws://x"])));
    breaks(7, "rails[0].escrow", &with(two(), "/rails/0/escrow", json!("0x1")));
    breaks(10, "rails[0].confirmations", &with(two(), "/rails/0/confirmations", json!(0)));
    // What is wrong for all of them is told once.
    breaks(4, "recipient", &with(two(), "/recipient", json!("nobody")));
}

#[test]
fn rule_27_a_route_has_a_price_on_each_of_its_rails() {
    let priced = |prices: Value| with(two(), "/routes/0/prices", prices);
    let gateway = good(&priced(json!({ "base": "0.012" })));
    assert_eq!(offers(&gateway).iter().map(|offer| offer.3).collect::<Vec<_>>(), [12_000, 10_000, 10_000]);
    breaks(27, "routes[0].prices.tempo", &priced(json!({ "tempo": "1" })));
    breaks(15, "routes[0].prices.base", &priced(json!({ "base": "0" })));
    breaks(15, "routes[0].prices.base", &priced(json!({ "base": "0.0000001" })));
    breaks(27, "routes[0].rails", &with(two(), "/routes/0/rails", json!([])));
    breaks(27, "routes[0].rails[0]", &with(two(), "/routes/0/rails", json!(["tempo"])));
    breaks(27, "routes[0].rails[1]", &with(two(), "/routes/0/rails", json!(["base", "base"])));
    // A rail in another currency needs a price of its own, where the route takes it.
    let euro = with(two(), "/rails/0/currency", json!("EUR"));
    breaks(27, "routes[0].prices", &euro);
    good(&with(euro.clone(), "/routes/0/rails", json!(["abstract-testnet"])));
    assert_eq!(offers(&good(&with(euro, "/routes/0/prices", json!({ "base": "0.009" }))))[0].3, 9_000);
    // Each token must be able to express the price exactly.
    let coarse = json!({ "address": TOKEN, "decimals": 1 });
    breaks(15, "routes[0].price", &with(two(), "/rails/1/token", coarse));
}

#[test]
fn rule_28_wires_are_known_and_leave_something() {
    let wires = |config: Value, wires: Value| with(config, "/routes/0/wires", wires);
    let both = good(&two());
    assert!(both.router.routes()[0].exact.is_some() && !both.router.routes()[0].offers.is_empty());
    let mpp = good(&wires(two(), json!(["mpp"])));
    assert!(mpp.router.routes()[0].exact.is_none());
    let x402 = good(&wires(two(), json!(["x402"])));
    let route = &x402.router.routes()[0];
    assert!(route.exact.is_some() && route.offers.is_empty());
    // The testnet's token has no domain that is known in advance, so base alone is asked for.
    assert_eq!((route.exact.as_ref().unwrap().rail(0), route.exact.as_ref().unwrap().rail(1)), (Some(RailId(0)), None));
    breaks(28, "routes[0].wires", &wires(minimal(), json!(["x402"])));
    breaks(28, "routes[0].wires", &wires(two(), json!([])));
    breaks(28, "routes[0].wires[0]", &wires(two(), json!(["smtp"])));
    breaks(28, "routes[0].wires[1]", &wires(two(), json!(["mpp", "mpp"])));
    // Sessions are no charges, and not sold over x402.
    let sessions = with(
        with(two(), "/rails/1/recipient", json!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")),
        "/routes/0/intents",
        json!(["session"]),
    );
    assert!(good(&sessions).router.routes()[0].exact.is_none());
}

#[test]
fn rule_29_charges_are_settled_in_batches_where_that_is_said() {
    let batching = |config: &Value, place: usize| evm(&good(config), place).batching;
    assert_eq!(batching(&two(), 0), None);
    let batch = |value: Value| with(two(), "/rails/0/settle", json!({ "batch": value }));
    let usual = batching(&batch(json!({})), 0).unwrap();
    assert_eq!((usual.most, usual.wait.as_millis()), (20, 250));
    assert_eq!(usual.multicall.to_string(), "0xcA11bde05977b3631167028862bE2a173976CA11");
    let chosen = batching(&batch(json!({ "max": 50, "waitMs": 0, "multicall": TOKEN })), 0).unwrap();
    assert_eq!((chosen.most, chosen.wait.as_millis(), chosen.multicall.to_string().as_str()), (50, 0, TOKEN));
    // Abstract's virtual machine has it elsewhere.
    let testnet = batching(&with(two(), "/rails/1/settle", json!({ "batch": {} })), 1).unwrap();
    assert_eq!(testnet.multicall.to_string(), "0xF9cda624FBC7e059355ce98a31693d299FACd963");
    let short = batching(&with(minimal(), "/settle", json!({ "batch": { "max": 2, "multicall": TOKEN } })), 0).unwrap();
    assert_eq!(short.most, 2);
    for (field, bad) in [("max", json!(1)), ("max", json!(51)), ("waitMs", json!(5001)), ("multicall", json!("0x12"))] {
        breaks(29, &format!("rails[0].settle.batch.{field}"), &batch(json!({ field: bad })));
    }
    // A chain that is not known has it who knows where.
    let unknown = with(
        with(
            two(),
            "/rails/0",
            json!({
                "name": "x", "chainId": 777, "token": { "address": TOKEN, "decimals": 6 }, "rpcUrls": ["https://rpc.example.com"],
            }),
        ),
        "/rails/0/settle",
        json!({ "batch": {} }),
    );
    breaks(29, "rails[0].settle.batch.multicall", &unknown);
    let same_chain = with(
        batch(json!({})),
        "/rails/1",
        json!({
            "name": "other", "network": "base", "token": { "address": TOKEN, "decimals": 6 },
        }),
    );
    breaks(29, "rails[1].settle", &same_chain);
}
