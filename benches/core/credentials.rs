//! Credentials: from the `Authorization` value to what its payload says, typed and compared with what was asked. The stock path only gets
//! as far as a tree of JSON.

use super::bench::Bench;
use super::setting::{CHARGE, charge_header, session, voucher_header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mpp_edge::rail::evm::{Method, charge, session};
use mpp_edge::wire::mpp::credential::{Credential, split_authorization};
use serde_json::Value;

pub(crate) fn all(bench: &mut Bench) {
    let header = charge_header();
    let read = |header: &str| charge::Unverified::read(&parse(header), Method::Evm, &CHARGE).unwrap();
    bench.ours("credential-parse-charge", || header.as_str(), read);
    bench.stock("credential-parse-charge", "serde_json", || header.as_str(), stock);

    let header = voucher_header();
    let terms = session();
    let read = |header: &str| session::Unverified::read(&parse(header), Method::Evm, &terms).unwrap();
    bench.ours("credential-parse-voucher", || header.as_str(), read);
    bench.stock("credential-parse-voucher", "serde_json", || header.as_str(), stock);
}

fn parse(header: &str) -> Credential {
    Credential::parse(split_authorization(header).unwrap().payment.unwrap()).unwrap()
}

fn stock(header: &str) -> Value {
    let json = URL_SAFE_NO_PAD.decode(header.strip_prefix("Payment ").unwrap()).unwrap();
    serde_json::from_slice(&json).unwrap()
}
