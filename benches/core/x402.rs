//! x402: what is asked for, and what a client presents, up to its signature; and the dearest thing that a stranger may present.

use super::bench::Bench;
use super::setting::{CHARGE, TOKEN_NAME, exact_header};
use mpp_edge::rail::evm::exact::{Unverified, requirement};
use mpp_edge::wire::encoding::{from_base64, to_base64};
use mpp_edge::wire::x402::{Flow, Offers, PaymentPayload, Requested};
use serde_json::{Value, json};

const REQUESTED: Requested<'_> = Requested { url: "https://api.example.com/v1/quote?of=the+day", method: "GET" };

/// The limit of a default configuration.
const CREDENTIAL_BYTES: usize = 8 * 1024;

pub(crate) fn all(bench: &mut Bench) {
    let offers = Offers::new(vec![requirement(&CHARGE, TOKEN_NAME, "2", Flow::Upfront, 300)], Some("A quote"), None);
    let ask = |offers: &Offers| {
        let header = offers.header(&REQUESTED, "Payment required", |_| true);
        (header.unwrap(), offers.v1_members(&REQUESTED, "Payment required", |_| true))
    };
    bench.ours("x402-ask", || &offers, ask);

    let read = |header: &str| {
        let payment = PaymentPayload::read(Some(header), None, CREDENTIAL_BYTES).unwrap().unwrap();
        let accepted = payment.accept(&offers, &REQUESTED).unwrap();
        Unverified::read(&payment, &accepted, &CHARGE)
    };
    let (required, _) = ask(&offers);
    let honest = exact_header(&required);
    bench.ours("x402-read", || honest.as_str(), |header| read(header).unwrap());

    // As many members as are taken apart wherever they are, and a nonce that is derived from them.
    let mut crowded: Value = serde_json::from_slice(&from_base64(&honest).unwrap()).unwrap();
    *crowded.pointer_mut("/extensions").unwrap() = json!({ "mppx": { "info": { "method": "GET", "nonce": "x".repeat(128) } } });
    let mut crowd = |place: &str, is_full: fn(&Value) -> bool| {
        for index in 0.. {
            let name = index.to_string();
            crowded.pointer_mut(place).unwrap().as_object_mut().unwrap().insert(name.clone(), json!(0));
            if is_full(&crowded) {
                crowded.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(&name);
                break;
            }
        }
    };
    crowd("/accepted/extra", |payment| payment.pointer("/accepted/extra").unwrap().to_string().len() > 300);
    crowd("/extensions", |payment| payment.to_string().len() > CREDENTIAL_BYTES / 4 * 3);
    let crowded = to_base64(crowded.to_string());
    bench.ours("x402-read-crowded", || crowded.as_str(), |header| read(header).unwrap_err());
}
