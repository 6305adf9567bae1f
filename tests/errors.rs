//! Every error of the core says in one clause what is wrong, to whoever may meet it: it is a `core::error::Error`.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use core::error::Error;
use mpp_edge::channel::{Denied, Refusal as ChannelRefusal, Unfit as ChannelUnfit};
use mpp_edge::gateway::headers::TooMany;
use mpp_edge::gateway::path::InvalidPath;
use mpp_edge::gateway::route::InvalidPattern;
use mpp_edge::gateway::token::Unconfirmed;
use mpp_edge::gateway::{Secrets, validate};
use mpp_edge::purchase::{Lost, Refusal as PurchaseRefusal};
use mpp_edge::settlement::{Failure, Flaw};
use mpp_edge::wire::encoding::InvalidBase64;
use mpp_edge::wire::mpp::challenge::SecretTooShort;
use mpp_edge::wire::mpp::credential::{InvalidAuthorization, InvalidCredential};
use mpp_edge::wire::problem::{Problem, ProblemKind};
use mpp_edge::wire::sse::TooLong;
use mpp_edge::{binary, evm, money, time};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn errors() -> Vec<Box<dyn Error>> {
    let broken = validate(Some("{}"), &Secrets::default(), |_| false).unwrap_err();
    vec![
        Box::new(binary::Unreadable::Damaged),
        Box::new(binary::Unwritable),
        Box::new(broken.errors.first().unwrap().clone()),
        Box::new(broken),
        Box::new(ChannelRefusal::Insufficient),
        Box::new(ChannelUnfit::Absent),
        Box::new(ChannelUnfit::GracePeriod),
        Box::new(Denied::Misfit(ChannelUnfit::OtherDomain)),
        Box::new(evm::jsonrpc::NodeError::Busy),
        Box::new(evm::jsonrpc::NotJsonRpc),
        Box::new(evm::key::InvalidPrivateKey),
        Box::new(evm::parse::InvalidHex::MissingPrefix),
        Box::new(evm::signature::InvalidSignature::HighS),
        Box::new(Failure::NotMined),
        Box::new(Flaw::TooDear),
        Box::new(InvalidAuthorization::TooLong),
        Box::new(InvalidBase64),
        Box::new(InvalidCredential::Base64),
        Box::new(InvalidPath::Ambiguous),
        Box::new(InvalidPattern::NotAbsolute),
        Box::new(Lost),
        Box::new(money::InvalidAmount::TooLarge),
        Box::new(Problem::new(ProblemKind::BadRequest, "the request is wrong")),
        Box::new(PurchaseRefusal::Busy),
        Box::new(SecretTooShort),
        Box::new(time::InvalidTimestamp),
        Box::new(TooLong),
        Box::new(TooMany),
        Box::new(Unconfirmed::Unknown),
    ]
}

#[test]
fn every_error_says_what_is_wrong_in_one_clause() {
    for error in errors() {
        let text = error.to_string();
        assert!(text.contains(' ') && !text.ends_with('.'), "{error:?}: {text}");
        assert_ne!(text, format!("{error:?}"), "its text is its name");
    }
}
