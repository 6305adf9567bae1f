//! The request object: its members, their order, and what is left out when.

use super::{DEPOSIT, channel, terms};
use mpp_edge::channel::Balance;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Method;
use mpp_edge::rail::evm::session::{NeedVoucher, SessionTerms, Snapshot};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn snapshot(method: Method) -> Snapshot {
    let [accepted, spent, deposit, required] = [2_000, 1_500, DEPOSIT, 2_500].map(Amount::from_base_units);
    Snapshot { channel_id: channel(method), balance: Balance { accepted, spent, deposit, required } }
}

const ABSTRACT: &str = r#"{"amount":"1000","currency":"0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61","methodDetails":{"chainId":11124,"escrowContract":"0x29635C384f451a72ED2e2a312BCeb8b0bDC0923c"},"recipient":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC","suggestedDeposit":"1000000","unitType":"request"}"#;
const EVM: &str = r#"{"amount":"1000","currency":"0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61","methodDetails":{"chainId":11124,"credentialTypes":["hash"],"escrowContract":"0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"},"recipient":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC","suggestedDeposit":"1000000","unitType":"request"}"#;

#[test]
fn the_request_object_byte_for_byte() {
    let plain = |method: Method| terms(method).request(method, None, false, None);
    assert_eq!(plain(Method::Abstract), ABSTRACT);
    assert_eq!(plain(Method::Evm), EVM);
    // Who submits is nothing to the method abstract.
    assert_eq!(terms(Method::Abstract).request(Method::Abstract, None, true, None), ABSTRACT);
    let sponsored = EVM.replace(r#"["hash"]"#, r#"["authorization","hash"]"#).replace(r#"A4dc"}"#, r#"A4dc","feePayer":true}"#);
    assert_eq!(terms(Method::Evm).request(Method::Evm, None, true, None), sponsored);
}

#[test]
fn with_everything_in_it() {
    let method = Method::Evm;
    let terms = SessionTerms { min_delta: Amount::from_base_units(5), unit_type: "llm_token".into(), ..terms(method) };
    assert_eq!(
        terms.request(method, Some("say \"hi\""), true, Some(&snapshot(method))),
        format!(
            r#"{{"amount":"1000","currency":"0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61","description":"say \"hi\"","methodDetails":{{"acceptedCumulative":"2000","chainId":11124,"channelId":"{}","credentialTypes":["authorization","hash"],"deposit":"1000000","escrowContract":"0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc","feePayer":true,"minVoucherDelta":"5","requiredCumulative":"2500","spent":"1500"}},"recipient":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC","suggestedDeposit":"1000000","unitType":"llm_token"}}"#,
            channel(method)
        )
    );
}

#[test]
fn every_variant_is_canonical_and_has_its_members_only() {
    for method in Method::ALL {
        for bits in 0..32u8 {
            let set = |bit: u8| bits & (1 << bit) != 0;
            let snapshot = set(0).then(|| snapshot(method));
            let mut terms = terms(method);
            terms.min_delta = Amount::from_base_units(u128::from(set(1)));
            terms.suggested_deposit = set(2).then_some(Amount::from_base_units(u128::MAX));
            let (sponsored, description) = (set(3), set(4).then_some("d"));
            let request = terms.request(method, description, sponsored, snapshot.as_ref());
            let value: Value = serde_json::from_str(&request).unwrap();
            // serde_json's map is ordered: reading and writing gives JCS for our strings, booleans and integers.
            assert_eq!(request, value.to_string());
            let mut details = vec!["chainId", "escrowContract"];
            details.extend(snapshot.iter().flat_map(|_| ["acceptedCumulative", "channelId", "deposit", "requiredCumulative", "spent"]));
            details.extend(set(1).then_some("minVoucherDelta"));
            if method == Method::Evm {
                details.push("credentialTypes");
                details.extend(sponsored.then_some("feePayer"));
            }
            let mut members = vec!["amount", "currency", "methodDetails", "recipient", "unitType"];
            members.extend(description.map(|_| "description"));
            members.extend(set(2).then_some("suggestedDeposit"));
            for (object, mut expected) in [(&value, members), (&value["methodDetails"], details)] {
                expected.sort_unstable();
                assert_eq!(object.as_object().unwrap().keys().collect::<Vec<_>>(), expected, "{request}");
            }
            if let Some(snapshot) = snapshot {
                assert_eq!(value["methodDetails"]["channelId"], json!(snapshot.channel_id.to_string()));
            }
        }
    }
}

/// The same as mppx writes, but for what the gateway does not advertise: decimals, and a least raise of nothing.
#[test]
fn it_is_what_mppx_writes() {
    let golden: Value = serde_json::from_str(include_str!("../vectors/mppx-golden.json")).unwrap();
    let mut theirs: Value = serde_json::from_str(golden["v2"]["jcs"].as_str().unwrap()).unwrap();
    assert_eq!(theirs.as_object_mut().unwrap().remove("decimals"), Some(json!(6)));
    assert_eq!(theirs["methodDetails"].as_object_mut().unwrap().remove("minVoucherDelta"), Some(json!("0")));
    assert_eq!(terms(Method::Abstract).request(Method::Abstract, None, false, None), theirs.to_string());
}

#[test]
fn what_a_stream_says_when_its_balance_ends() {
    let Snapshot { channel_id, balance } = snapshot(Method::Evm);
    assert_eq!(
        NeedVoucher::of(channel_id, &balance).to_json(),
        format!(r#"{{"channelId":"{channel_id}","requiredCumulative":"2500","acceptedCumulative":"2000","deposit":"1000000"}}"#)
    );
}
