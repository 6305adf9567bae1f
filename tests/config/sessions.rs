//! Rules 22 to 24: who may sell sessions, how they are run, and what they meter.

use super::{RECIPIENT, TOKEN, breaks, breaks_first, errors, evm, good, judge, method_of, minimal, secrets, with};
use alloy_primitives::{Address, address};
use mpp_edge::channel::{Policy, Reuse};
use mpp_edge::gateway::config::{Gateway, Meter};
use mpp_edge::gateway::offer::SessionOffer;
use mpp_edge::gateway::{Secrets, escrow_misfit};
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::{Intent, Method, Session};
use serde_json::{Value, json};
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The settlement account: only the payee can settle a channel.
const ACCOUNT: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const EVM_ESCROW: &str = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc";

/// The shortest configuration that sells sessions.
fn selling() -> Value {
    with(with(minimal(), "/recipient", json!(ACCOUNT)), "/routes/0/intents", json!(["session"]))
}

fn session(member: &str, value: Value) -> Value {
    with(selling(), "/session", json!({ member: value }))
}

fn route(member: &str, value: Value) -> Value {
    with(selling(), &format!("/routes/0/{member}"), value)
}

/// What is said of one wrong field.
fn told(rule: u16, field: &str, config: &Value) -> String {
    breaks(rule, field, config);
    errors(config, &secrets()).swap_remove(0).detail
}

fn offered(gateway: &Gateway) -> Vec<(Method, Intent)> {
    gateway.router.routes()[0].offers.iter().map(|offer| (method_of(offer), offer.intent())).collect()
}

fn sold(gateway: &Gateway) -> Vec<SessionOffer> {
    gateway.router.routes()[0].offers.iter().filter_map(|offer| offer.session().cloned()).collect()
}

#[test]
fn rule_22_the_payee_is_the_account_that_sends() {
    let config = with(selling(), "/recipient", json!(RECIPIENT));
    assert_eq!(
        told(22, "recipient", &config),
        "is not the settlement account, as routes[0].intents needs it: only the payee of a channel can settle it"
    );
    // A route that sells charges only may pay anybody.
    good(&with(minimal(), "/recipient", json!(RECIPIENT)));
    for intents in [json!(["charge", "session"]), json!(["session", "charge"])] {
        breaks(22, "recipient", &with(config.clone(), "/routes/0/intents", intents));
    }
    // Whichever route it is.
    let charge = json!({ "path": "/a", "price": "1" });
    let sells = json!({ "path": "/b", "price": "1", "intents": ["session"] });
    let second = with(config.clone(), "/routes", json!([charge, sells]));
    assert!(told(22, "recipient", &second).contains("routes[1].intents"));
    // Without a key there is nothing to compare with, and that is what is said.
    let keyless = errors(&config, &Secrets { settlement_private_key: None, ..secrets() });
    assert_eq!(keyless.iter().map(|error| error.rule).collect::<Vec<_>>(), [20]);
    assert_eq!(evm(&good(&selling()), 0).settlement_key.address().to_string(), ACCOUNT);
}

#[test]
fn rule_22_there_is_an_escrow() {
    let without = "holds session, but no payment method of the route has an escrow";
    let evm_only = route("paymentMethods", json!(["evm"]));
    assert_eq!(told(22, "routes[0].intents", &evm_only), without);
    let remedy = errors(&evm_only, &secrets()).swap_remove(0).remedy;
    assert!(remedy.contains("evmEscrow"), "{remedy}");
    assert_eq!(offered(&good(&with(evm_only, "/evmEscrow", json!(EVM_ESCROW)))), [(Method::Evm, Intent::Session)]);
    // Another chain has no preset's.
    let elsewhere = json!({
        "chainId": 8453, "recipient": ACCOUNT, "rpcUrls": ["https://x"], "origin": { "dns": true },
        "token": { "address": TOKEN, "decimals": 6 }, "routes": [{ "path": "/x", "price": "1", "intents": ["session"] }],
    });
    assert_eq!(told(22, "routes[0].intents", &elsewhere), without);
    // Its method abstract is not offered, so that method's escrow does not help.
    breaks(22, "routes[0].intents", &with(elsewhere.clone(), "/escrow", json!(EVM_ESCROW)));
    good(&with(elsewhere, "/evmEscrow", json!(EVM_ESCROW)));
}

#[test]
fn rule_22_finds_everything_of_it() {
    let config = with(with(selling(), "/recipient", json!(RECIPIENT)), "/routes/0/paymentMethods", json!(["evm"]));
    let errors = errors(&config, &secrets());
    let found: Vec<_> = errors.iter().map(|error| (error.rule, error.field.as_str())).collect();
    assert_eq!(found, [(22, "recipient"), (22, "routes[0].intents")]);
}

#[test]
fn rule_23_times_are_bounded() {
    for (field, least, most) in [
        ("settleAfterSeconds", 1, 31_536_000),
        ("closeIdleSeconds", 1, 31_536_000),
        ("watchSeconds", 1, 200),
        ("voucherWaitSeconds", 1, 3_600),
    ] {
        for seconds in [0, least - 1, most + 1, u64::MAX] {
            let detail = told(23, &format!("session.{field}"), &session(field, json!(seconds)));
            assert_eq!(detail, format!("must lie between {least} and {most}"));
        }
        for seconds in [least, most] {
            good(&session(field, json!(seconds)));
        }
        for value in [json!("60"), json!(-1), json!(1.5)] {
            breaks(1, &format!("session.{field}"), &session(field, value));
        }
    }
}

#[test]
fn rule_23_amounts_are_of_the_token() {
    for field in ["settleAmount", "settleMinimum", "suggestedDeposit", "minVoucherDelta", "minDeposit"] {
        let at = format!("session.{field}");
        for text in ["", "-1", "1e3", "$1", "1,5", ".5", "1.", "01", "ten"] {
            let detail = told(23, &at, &session(field, json!(text)));
            assert_eq!(detail, "must be a plain decimal number (digits, no sign, no exponent, no leading zeros)", "{text}");
        }
        assert_eq!(told(23, &at, &session(field, json!("0.0000001"))), "has more than the token's 6 decimal places");
        let huge = "9".repeat(39);
        assert_eq!(told(23, &at, &session(field, json!(huge))), "exceeds 2^128 - 1 base units");
        breaks(1, &at, &session(field, json!(1)));
        good(&session(field, json!("0.000001")));
    }
    for (member, field) in [(json!({ "watch": 1 }), "session.watch"), (json!({ "feePayer": "yes" }), "session.feePayer")] {
        breaks(1, field, &with(selling(), "/session", member));
    }
    breaks(1, "session", &with(selling(), "/session", json!("on")));
}

#[test]
fn rule_23_paying_the_gas_needs_an_escrow_that_takes_authorizations() {
    let paying = with(selling(), "/session", json!({ "feePayer": true }));
    assert_eq!(told(23, "session.feePayer", &paying), "does nothing without evmEscrow");
    good(&with(paying, "/evmEscrow", json!(EVM_ESCROW)));
}

#[test]
fn rule_23_is_judged_whether_or_not_a_session_is_sold_and_all_at_once() {
    breaks(23, "session.watchSeconds", &with(minimal(), "/session", json!({ "watchSeconds": 201 })));
    let session = json!({ "settleAmount": "x", "settleAfterSeconds": 0, "minDeposit": "y", "voucherWaitSeconds": 0 });
    let errors = errors(&with(selling(), "/session", session), &secrets());
    let mut found: Vec<_> = errors.iter().map(|error| (error.rule, error.field.as_str())).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        ["minDeposit", "settleAfterSeconds", "settleAmount", "voucherWaitSeconds"]
            .map(|name| (23, format!("session.{name}")))
            .iter()
            .map(|(rule, field)| (*rule, field.as_str()))
            .collect::<Vec<_>>()
    );
}

#[test]
fn rule_24_a_charge_is_not_metered() {
    for meter in ["event", "byte", "reported"] {
        for intents in [json!(["charge"]), json!(["charge", "session"]), json!(["session", "charge"]), Value::Null] {
            let config = with(
                with(route("meter", json!(meter)), "/routes/0/intents", intents),
                "/routes/0/maxUnits",
                match meter {
                    "reported" => json!(10),
                    _ => Value::Null,
                },
            );
            let detail = told(24, "routes[0].meter", &config);
            assert_eq!(detail, "needs intents = [\"session\"]: a charge has a fixed price");
        }
    }
    good(&with(route("meter", json!("request")), "/routes/0/intents", json!(["charge", "session"])));
    for meter in [json!("token"), json!("Event"), json!(""), json!(1)] {
        breaks(1, "routes[0].meter", &route("meter", meter));
    }
}

#[test]
fn rule_24_what_is_reported_is_reserved_first() {
    let missing = "is missing or zero, which meter = \"reported\" needs";
    let reported = route("meter", json!("reported"));
    for units in [Value::Null, json!(0)] {
        assert_eq!(told(24, "routes[0].maxUnits", &with(reported.clone(), "/routes/0/maxUnits", units)), missing);
    }
    assert_eq!(good(&with(reported.clone(), "/routes/0/maxUnits", json!(u64::MAX))).router.routes()[0].max_units, u64::MAX);
    for meter in ["request", "event", "byte"] {
        let config = with(route("meter", json!(meter)), "/routes/0/maxUnits", json!(1));
        assert_eq!(told(24, "routes[0].maxUnits", &config), "is for meter = \"reported\" only");
    }
    for units in [json!(-1), json!("1"), json!(1.5)] {
        breaks(1, "routes[0].maxUnits", &with(reported.clone(), "/routes/0/maxUnits", units));
    }
}

#[test]
fn rule_24_a_unit_has_a_plain_name() {
    for name in ["", "llm token", "llm/token", "tök", "\"", &"x".repeat(41)] {
        let detail = told(24, "routes[0].unitType", &route("unitType", json!(name)));
        assert_eq!(detail, "must be at most 40 letters, digits, _ and -");
    }
    for name in ["llm_token", "Kilo-Byte2", &"x".repeat(40)] {
        assert_eq!(sold(&good(&route("unitType", json!(name))))[0].terms.unit_type, name);
    }
}

#[test]
fn rule_24_reuse_is_about_sessions() {
    let charge = with(minimal(), "/routes/0/reuse", json!("once"));
    assert_eq!(told(24, "routes[0].reuse", &charge), "is about sessions, which the route does not sell");
    let unit = with(minimal(), "/routes/0/unitType", json!("page"));
    assert_eq!(told(24, "routes[0].unitType", &unit), "is about sessions, which the route does not sell");
    for reuse in [json!("twice"), json!("drawDown"), json!(true)] {
        breaks(1, "routes[0].reuse", &route("reuse", reuse));
    }
}

#[test]
fn defaults_of_sessions() {
    let amount = |units| Amount::from_base_units(units);
    let gateway = good(&selling());
    let expected = Session {
        policy: Policy {
            settle_amount: amount(1_000_000),
            settle_after: Duration::from_secs(3_600),
            settle_minimum: amount(10_000),
            close_idle: Duration::from_secs(86_400),
            // The origin's time-out and five seconds.
            delivery_window: Duration::from_secs(65),
            min_delta: Amount::ZERO,
        },
        watch: Duration::from_secs(120),
        voucher_wait: Duration::from_secs(60),
        suggested_deposit: None,
        sponsors: false,
        min_deposit: amount(100_000),
    };
    assert_eq!(evm(&gateway, 0).session, expected);
    assert_eq!(evm(&good(&with(selling(), "/session", json!({}))), 0).session, expected);
    let route = &gateway.router.routes()[0];
    assert_eq!((route.meter, route.max_units), (Meter::Request, 1));
    // A token without decimal places has no tenth.
    let whole = with(with(selling(), "/token", json!({ "decimals": 0 })), "/routes/0/price", json!("1"));
    let Session { policy, min_deposit, .. } = evm(&good(&whole), 0).session.clone();
    assert_eq!((policy.settle_amount, policy.settle_minimum, min_deposit), (amount(1), amount(1), amount(1)));
    // Nor does the least amount exceed the one at which is settled in any case.
    let little = evm(&good(&with(selling(), "/session", json!({ "settleAmount": "0.002" }))), 0).session.policy;
    assert_eq!((little.settle_amount, little.settle_minimum), (amount(2_000), amount(2_000)));
}

#[test]
fn what_is_set_of_sessions_overrides() {
    let config = with(
        selling(),
        "/session",
        json!({
            "settleAmount": "2.5", "settleMinimum": "0.5", "settleAfterSeconds": 7, "closeIdleSeconds": 8, "watchSeconds": 9, "voucherWaitSeconds": 10,
            "suggestedDeposit": "3", "minVoucherDelta": "0.000002", "feePayer": true, "minDeposit": "0",
        }),
    );
    let config = with(config, "/limits", json!({ "originTimeoutSeconds": 600 }));
    let config = with(config, "/evmEscrow", json!(EVM_ESCROW));
    let gateway = good(&config);
    let Session { policy, watch, voucher_wait, suggested_deposit, sponsors, min_deposit } = evm(&gateway, 0).session.clone();
    let amounts = [policy.settle_amount, policy.settle_minimum, policy.min_delta].map(Amount::base_units);
    assert_eq!(amounts, [2_500_000, 500_000, 2]);
    let seconds = [policy.settle_after, policy.close_idle, watch, voucher_wait, policy.delivery_window].map(|time| time.as_secs());
    assert_eq!(seconds, [7, 8, 9, 10, 605]);
    assert_eq!((suggested_deposit, sponsors, min_deposit), (Some(Amount::from_base_units(3_000_000)), true, Amount::ZERO));
    let offer = &sold(&gateway)[0];
    assert_eq!((offer.terms.suggested_deposit, offer.terms.min_delta), (suggested_deposit, policy.min_delta));
}

#[test]
fn each_method_has_its_own_escrow_and_reuse() {
    use Intent::{Charge, Session};
    use Method::{Abstract, Evm};
    // Without an escrow of its own, the method evm sells charges only.
    assert_eq!(offered(&good(&selling())), [(Abstract, Session)]);
    let both = route("intents", json!(["charge", "session"]));
    assert_eq!(offered(&good(&both)), [(Abstract, Charge), (Abstract, Session), (Evm, Charge)]);
    let gateway = good(&with(both.clone(), "/evmEscrow", json!(EVM_ESCROW)));
    assert_eq!(offered(&gateway), [(Abstract, Charge), (Abstract, Session), (Evm, Charge), (Evm, Session)]);
    let preset = address!("0x29635C384f451a72ED2e2a312BCeb8b0bDC0923c");
    let own: Address = EVM_ESCROW.parse().unwrap();
    assert_eq!((evm(&gateway, 0).escrow_of(Abstract), evm(&gateway, 0).escrow_of(Evm)), (Some(preset), Some(own)));
    assert_eq!(sold(&gateway).iter().map(|offer| offer.terms.escrow).collect::<Vec<_>>(), [preset, own]);
    assert_eq!(sold(&gateway).iter().map(|offer| offer.reuse).collect::<Vec<_>>(), [Reuse::Once, Reuse::DrawDown]);
    for (name, reuse) in [("once", Reuse::Once), ("draw-down", Reuse::DrawDown)] {
        let config = with(with(both.clone(), "/evmEscrow", json!(EVM_ESCROW)), "/routes/0/reuse", json!(name));
        assert!(sold(&good(&config)).iter().all(|offer| offer.reuse == reuse));
    }
    let order = with(both, "/routes/0/intents", json!(["session", "charge"]));
    assert_eq!(offered(&good(&order)), [(Abstract, Session), (Abstract, Charge), (Evm, Charge)]);
    // By default a route sells charges.
    assert_eq!(offered(&good(&minimal())), [(Abstract, Charge), (Evm, Charge)]);
    let set = with(selling(), "/escrow", json!(EVM_ESCROW));
    assert_eq!(sold(&good(&set))[0].terms.escrow, own);
}

#[test]
fn a_unit_is_called_after_its_meter() {
    for (meter, name) in [("request", "request"), ("event", "event"), ("byte", "byte"), ("reported", "unit")] {
        let units = if meter == "reported" { json!(100) } else { Value::Null };
        let gateway = good(&with(route("meter", json!(meter)), "/routes/0/maxUnits", units));
        assert_eq!(sold(&gateway)[0].terms.unit_type, name);
        assert_eq!(gateway.router.routes()[0].max_units, if meter == "reported" { 100 } else { 1 });
        assert_eq!(sold(&gateway)[0].terms.price, Amount::from_base_units(10_000));
    }
}

/// As much must be left of a voucher, and of a deposit.
#[test]
fn the_least_that_is_bought_is_what_is_reserved_first() {
    let least = |config: &Value| {
        let gateway = good(config);
        let route = &gateway.router.routes()[0];
        let costs: Vec<_> = sold(&gateway).iter().map(|session| route.least_cost(session).base_units()).collect();
        costs
    };
    for (meter, units, cost) in [
        ("request", Value::Null, 10_000),
        ("event", Value::Null, 10_000),
        ("byte", Value::Null, 10_000),
        ("reported", json!(1), 10_000),
        ("reported", json!(250), 2_500_000),
        ("reported", json!(u64::MAX), u128::from(u64::MAX) * 10_000),
    ] {
        let config = with(route("meter", json!(meter)), "/routes/0/maxUnits", units);
        // By each method that sells it.
        assert_eq!(least(&with(config, "/evmEscrow", json!(EVM_ESCROW))), [cost, cost], "{meter}");
    }
    // More than there can be of a token is paid by nobody.
    let dearest = with(route("price", json!("340282366920938463463374607431768")), "/routes/0/meter", json!("reported"));
    assert_eq!(least(&with(dearest, "/routes/0/maxUnits", json!(2))), [u128::MAX]);
}

/// What cannot be known before the chain is asked.
#[test]
fn an_escrow_that_does_not_fit_is_rule_7() {
    use mpp_edge::channel::Unfit;
    for (method, field) in [(Method::Abstract, "escrow"), (Method::Evm, "evmEscrow")] {
        for (unfit, detail) in [
            (Some(Unfit::GracePeriod), "gives the payee less than 10 minutes after a request to close"),
            (Some(Unfit::OtherDomain), "signs its vouchers in another EIP-712 domain than the method's"),
            (None, "is no channel escrow: it does not answer CLOSE_GRACE_PERIOD() and domainSeparator()"),
        ] {
            let error = escrow_misfit(method, unfit);
            assert_eq!((error.rule, error.field.as_str(), error.detail.as_str()), (7, field, detail));
        }
    }
}

#[test]
fn a_priced_path_stays_priced_when_its_session_is_wrong() {
    for broken in [session("watchSeconds", json!(0)), route("meter", json!("reported")), with(selling(), "/recipient", json!(RECIPIENT))] {
        let surface = judge(&broken, &secrets()).unwrap_err().surface.unwrap();
        assert!(mpp_edge::gateway::route::is_priced(&surface.priced, "GET", &surface.origin.read("/v1/x").unwrap()));
    }
    breaks_first(15, "routes[0].price", &route("price", json!("0")));
}
