//! Receipts and problems byte for byte, and what a client's transaction proves.

use super::{NOW, SIGNER, TRANSACTION, channel, escrow};
use alloy_primitives::{B256, U256, b256};
use mpp_edge::channel::{Balance, Said, check_transaction};
use mpp_edge::evm::Address;
use mpp_edge::evm::erc3009::Authorization;
use mpp_edge::evm::escrow::{opened, topped_up};
use mpp_edge::evm::jsonrpc::{Log, TransactionReceipt};
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Method;
use mpp_edge::rail::evm::session::Snapshot;
use mpp_edge::time::{Timestamp, UnixSeconds};
use mpp_edge::wire::encoding::from_base64;
use mpp_edge::wire::mpp::receipt::{Receipt, SessionReceipt};
use mpp_edge::wire::problem::ProblemKind::{
    self, AmountExceedsDeposit, ChannelFinalized, ChannelNotFound, DeltaTooSmall, InsufficientBalance, InvalidSignature, PaymentExpired,
    PaymentInsufficient, SignerMismatch, TransactionReverted, Unavailable, VerificationFailed,
};
use mpp_edge::wire::problem::{FieldError, Problem};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

// --- receipts ----------------------------------------------------------------------------------------------------

fn session_receipt(id: &str) -> SessionReceipt {
    SessionReceipt {
        intent: "session",
        channel_id: id.into(),
        accepted_cumulative: "2000".into(),
        spent: "1500".into(),
        units: None,
        tx_hash: None,
    }
}

#[test]
fn a_receipt_of_a_session_byte_for_byte() {
    let id = format!("0x{}", "11".repeat(32));
    let mut receipt = Receipt::new("evm", &id, NOW);
    receipt.challenge_id = Some("abc");
    receipt.chain_id = Some(11124);
    let head = format!(
        r#"{{"method":"evm","reference":"{id}","status":"success","timestamp":"2027-01-15T08:00:00.000Z","challengeId":"abc","chainId":11124,"intent":"session","channelId":"{id}","acceptedCumulative":"2000","spent":"1500""#
    );
    for (units, transaction, tail) in [
        (None, None, "}".to_owned()),
        (Some(0), None, r#","units":0}"#.to_owned()),
        (Some(u64::MAX), None, r#","units":18446744073709551615}"#.to_owned()),
        (None, Some(TRANSACTION), format!(r#","txHash":"{TRANSACTION}"}}"#)),
        (Some(3), Some(TRANSACTION), format!(r#","units":3,"txHash":"{TRANSACTION}"}}"#)),
    ] {
        let transaction = transaction.map(|transaction| transaction.to_string());
        receipt.session = Some(SessionReceipt { units, tx_hash: transaction, ..session_receipt(&id) });
        assert_eq!(receipt.to_json(), format!("{head}{tail}"));
        assert_eq!(from_base64(&receipt.to_header()).unwrap(), receipt.to_json().as_bytes());
    }
    receipt.session = None;
    assert!(receipt.to_json().ends_with(r#","challengeId":"abc","chainId":11124}"#), "a charge's has nothing of a session's");
}

#[test]
fn a_receipt_has_mppx_s_members() {
    let golden: Value = serde_json::from_str(include_str!("../vectors/mppx-golden.json")).unwrap();
    let theirs: Value = serde_json::from_str(golden["sessReceiptJson"].as_str().unwrap()).unwrap();
    let id = theirs["channelId"].as_str().unwrap();
    let mut receipt = Receipt::new("abstract", id, Timestamp::parse_rfc3339("2027-01-15T12:00:01.000Z").unwrap());
    receipt.challenge_id = theirs["challengeId"].as_str();
    receipt.session = Some(SessionReceipt { spent: "2000".into(), units: Some(2), ..session_receipt(id) });
    assert_eq!(serde_json::from_str::<Value>(&receipt.to_json()).unwrap(), theirs);
}

// --- problems ----------------------------------------------------------------------------------------------------

#[test]
fn the_problems_of_sessions_byte_for_byte() {
    for (kind, status, slug, title) in [
        (InvalidSignature, 402, "session/invalid-signature", "Invalid Signature"),
        (SignerMismatch, 402, "session/signer-mismatch", "Signer Mismatch"),
        (AmountExceedsDeposit, 402, "session/amount-exceeds-deposit", "Amount Exceeds Deposit"),
        (DeltaTooSmall, 402, "session/delta-too-small", "Delta Too Small"),
        (InsufficientBalance, 402, "session/insufficient-balance", "Insufficient Balance"),
        (VerificationFailed, 402, "verification-failed", "Verification Failed"),
        (ProblemKind::MalformedCredential, 402, "malformed-credential", "Malformed Credential"),
        (TransactionReverted, 409, "session/transaction-reverted", "Transaction Reverted"),
        (ChannelNotFound, 410, "session/channel-not-found", "Channel Not Found"),
        (ChannelFinalized, 410, "session/channel-finalized", "Channel Finalized"),
        (ProblemKind::MethodUnsupported, 400, "method-unsupported", "Method Unsupported"),
    ] {
        let mut problem = Problem::new(kind, "say \"no\"");
        let head =
            format!(r#"{{"type":"https://paymentauth.org/problems/{slug}","title":"{title}","status":{status},"detail":"say \"no\"""#);
        assert_eq!(problem.to_json(), format!("{head}}}"));
        assert_eq!((problem.kind.status(), problem.retry_after), (status, None));
        // With everything that one may have.
        problem.challenge_id = Some("abc".into());
        let [accepted, spent, deposit, required] = [2_000, 1_500, u128::MAX, 2_500].map(Amount::from_base_units);
        problem.members = Snapshot { channel_id: channel(Method::Evm), balance: Balance { accepted, spent, deposit, required } }.members();
        let members = format!(
            r#""channelId":"{}","acceptedCumulative":"2000","spent":"1500","deposit":"340282366920938463463374607431768211455","requiredCumulative":"2500""#,
            channel(Method::Evm)
        );
        assert_eq!(problem.to_json(), format!(r#"{head},"challengeId":"abc",{members}}}"#));
        let error = FieldError { rule: 7, field: "escrow".into(), detail: "d".into(), remedy: "r".into() };
        problem.errors = vec![error];
        let errors = r#""errors":[{"rule":7,"field":"escrow","detail":"d","remedy":"r"}]"#;
        assert_eq!(problem.to_json(), format!(r#"{head},"challengeId":"abc",{members},{errors}}}"#));
    }
}

/// ERC-3009: valid strictly after the one second and strictly before the other. Of several reasons the first is told.
#[test]
fn why_the_escrow_cannot_use_an_authorization() {
    let authorization = Authorization {
        valid_after: UnixSeconds::new(1_000),
        valid_before: UnixSeconds::new(2_000),
        value: Amount::from_base_units(500),
        ..super::opening(Method::Evm, Address::ZERO).signed.authorization
    };
    let refusal = |millis: u64, balance: u64| {
        let problem = authorization.refusal(U256::from(balance), Timestamp::from_millis(millis));
        assert_eq!((problem.kind.status(), problem.retry_after), (402, None));
        (problem.kind, problem.detail.split(':').next().unwrap().to_owned())
    };
    let early = (VerificationFailed, "payload.authorization.validAfter".to_owned());
    let late = (PaymentExpired, "payload.authorization.validBefore".to_owned());
    let poor = (PaymentInsufficient, "payload.authorization.value".to_owned());
    let unknown = (VerificationFailed, "payload.authorization".to_owned());
    for (millis, balance, told) in [
        (0, 0, &early),
        (1_000_000, 500, &early),
        (1_000_999, 500, &early),
        (1_001_000, 0, &poor),
        (1_001_000, 499, &poor),
        (1_001_000, 500, &unknown),
        (1_999_999, u64::MAX, &unknown),
        (1_999_999, 499, &poor),
        (2_000_000, 500, &late),
        (u64::MAX, 0, &late),
    ] {
        assert_eq!(&refusal(millis, balance), told, "{balance} at {millis}");
    }
    // At the ends of what there is.
    let largest = Authorization {
        valid_after: UnixSeconds::new(0),
        valid_before: UnixSeconds::new(u64::MAX),
        value: Amount::from_base_units(u128::MAX),
        ..authorization
    };
    for (balance, kind) in [(U256::from(u128::MAX) - U256::from(1), PaymentInsufficient), (U256::MAX, VerificationFailed)] {
        assert_eq!(largest.refusal(balance, NOW).kind, kind);
    }
    let never = Authorization { valid_after: UnixSeconds::new(u64::MAX), ..largest };
    assert!(never.refusal(U256::MAX, NOW).detail.contains("validAfter"));
}

// --- transactions ------------------------------------------------------------------------------------------------

const OPENED: B256 = b256!("0x9a52f45dba3d7c01ae4fbd9d72bc98a2ae72cc53ec6fee6243df7b2b49d83a87");

fn log(method: Method, event: B256, channel: B256, words: &[u128]) -> Log {
    let data = words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect::<Vec<u8>>();
    let topics = vec![event, channel, SIGNER.into_word(), SIGNER.into_word()];
    Log { address: escrow(method), topics, data: data.into() }
}

fn event(signature: &str) -> B256 {
    alloy_primitives::keccak256(signature)
}

fn opening(method: Method, channel: B256) -> Log {
    log(method, event("ChannelOpened(bytes32,address,address,address,address,bytes32,uint256)"), channel, &[1, 2, 3, 1_000_000])
}

fn addition(method: Method, channel: B256, amount: u128) -> Log {
    log(method, event("TopUp(bytes32,address,address,uint256,uint256)"), channel, &[amount, 5_000_000])
}

fn mined(status: &str, block: &str, logs: &[Log]) -> TransactionReceipt {
    let logs: Vec<Value> = logs.iter().map(|log| json!({ "address": log.address, "topics": log.topics, "data": log.data })).collect();
    let receipt = json!({ "transactionHash": TRANSACTION, "from": SIGNER, "status": status, "blockNumber": block, "logs": logs });
    serde_json::from_value(receipt).unwrap()
}

/// What is said of a transaction with these logs that is said to have opened the channel.
fn judge(receipt: Option<&TransactionReceipt>, head: u64, confirmations: u64) -> Result<(), ProblemKind> {
    let (contract, id) = (escrow(Method::Evm), channel(Method::Evm));
    check_transaction(Said::Opened, receipt, head, confirmations, |logs| opened(contract, id, logs)).map(drop).map_err(|problem| {
        assert_eq!(problem.retry_after.is_some(), problem.kind == Unavailable);
        problem.kind
    })
}

#[test]
fn who_names_another_transaction_is_told_what_it_did_not_do() {
    let other = mined("0x1", "0xa", &[]);
    for (said, field) in [(Said::Opened, "payload.channelId: "), (Said::Added, "payload.additionalDeposit: ")] {
        let problem = check_transaction(said, Some(&other), 10, 1, |_| None::<()>).unwrap_err();
        assert_eq!(problem.kind, VerificationFailed);
        assert!(problem.detail.starts_with(field), "{}", problem.detail);
    }
}

#[test]
fn a_transaction_that_is_not_mined_is_waited_for() {
    assert_eq!(judge(None, 100, 1), Err(Unavailable));
}

#[test]
fn a_reverted_transaction_did_nothing_whatever_else_is_true() {
    let logs = [opening(Method::Evm, channel(Method::Evm))];
    for (logs, head) in [(&logs[..], 100), (&[], 100), (&logs, 10)] {
        assert_eq!(judge(Some(&mined("0x0", "0xa", logs)), head, 5), Err(TransactionReverted));
    }
}

/// A10.
#[test]
fn a_transaction_did_this_to_this_channel_in_this_escrow() {
    let (evm, id) = (Method::Evm, channel(Method::Evm));
    assert_eq!(judge(Some(&mined("0x1", "0xa", &[opening(evm, id)])), 10, 1), Ok(()));
    let good = opening(evm, id);
    let mut short = good.clone();
    short.data = vec![0; 31].into();
    let mut bare = good.clone();
    bare.topics = vec![good.topics[0]];
    let mut without_payee = good.clone();
    without_payee.topics.truncate(3);
    let mut anonymous = good.clone();
    anonymous.topics.remove(0);
    for logs in [
        vec![],
        vec![opening(Method::Abstract, id)],
        vec![opening(evm, channel(Method::Abstract))],
        vec![addition(evm, id, 1_000_000)],
        vec![log(evm, event("Settled(bytes32,address,address,uint256,uint256,uint256)"), id, &[1, 1, 1])],
        vec![log(evm, OPENED, id, &[1, 2, 3, 4])],
        vec![short],
        vec![bare],
        vec![without_payee],
        vec![anonymous],
    ] {
        assert_eq!(judge(Some(&mined("0x1", "0xa", &logs)), 100, 1), Err(VerificationFailed), "{logs:?}");
        // Among others it is found.
        let logs = [logs, vec![opening(evm, id)]].concat();
        assert_eq!(judge(Some(&mined("0x1", "0xa", &logs)), 100, 1), Ok(()));
    }
}

#[test]
fn an_addition_is_of_exactly_what_was_said() {
    let (contract, id) = (escrow(Method::Evm), channel(Method::Evm));
    let logs = [addition(Method::Evm, id, 500_000), addition(Method::Evm, id, 7)];
    for (amount, shown) in [(500_000, true), (7, true), (500_007, false), (499_999, false), (0, false), (5_000_000, false)] {
        let receipt = mined("0x1", "0xa", &logs);
        let shows = |logs: &[Log]| topped_up(contract, id, Amount::from_base_units(amount), logs);
        let left = check_transaction(Said::Added, Some(&receipt), 10, 1, shows).ok();
        assert_eq!(left, shown.then_some(U256::from(5_000_000)), "{amount}");
    }
    let amount = Amount::from_base_units(500_000);
    assert!(
        topped_up(escrow(Method::Abstract), id, amount, &logs).is_none()
            && topped_up(contract, channel(Method::Abstract), amount, &logs).is_none()
    );
    assert!(topped_up(Address::ZERO, id, amount, &logs).is_none());
}

/// A18: its own block counts as the first.
#[test]
fn a_transaction_is_deep_enough() {
    let receipt = mined("0x1", "0xa", &[opening(Method::Evm, channel(Method::Evm))]);
    for (head, confirmations, taken) in [
        (10, 1, true),
        (11, 1, true),
        (10, 2, false),
        (11, 2, true),
        (11, 3, false),
        (12, 3, true),
        (u64::MAX, 1000, true),
        // The node that was asked for the head lags behind the one that had the receipt.
        (9, 1, false),
        (0, 1, false),
    ] {
        let expected = if taken { Ok(()) } else { Err(Unavailable) };
        assert_eq!(judge(Some(&receipt), head, confirmations), expected, "{confirmations} at {head}");
    }
    // What is unrelated is said at once.
    assert_eq!(judge(Some(&mined("0x1", "0xa", &[])), 9, 3), Err(VerificationFailed));
    let last = mined("0x1", "0xffffffffffffffff", &[opening(Method::Evm, channel(Method::Evm))]);
    assert_eq!(judge(Some(&last), u64::MAX, 1), Ok(()));
}
