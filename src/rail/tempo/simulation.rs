//! Trying a payment's transaction out before it is sent.

use super::failed;
use super::transaction::{Fees, Transaction};
use crate::evm::jsonrpc::{NodeAnswer, NodeError, Request, decode};
use crate::evm::transaction::Call;
use crate::evm::{Address, U256, erc3009};
use crate::money::Amount;
use crate::rail::Prepared;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use alloy_primitives::{Bytes, hex};
use serde_json::{Map, Value, json};

/// What is asked: whether its calls succeed, and what its payer has. Where we pay the fees, the calls are tried out first without any, and
/// then as they will be sent: else it could not be told whose money was missing.
pub(super) fn questions(
    transaction: &Transaction<'_>,
    payer: Address,
    token: Address,
    sponsor: Option<(Address, Address)>,
) -> Vec<Request> {
    let balance = Request::call(&Call { to: token, data: erc3009::balance_call(payer).into() });
    let bare = calls(transaction, payer);
    let priced = |fee_payer: Option<Address>, fee_token: Option<Address>| {
        let mut priced = bare.clone();
        let members = [
            ("gas", Some(json!(format!("{:#x}", transaction.gas)))),
            ("maxFeePerGas", Some(json!(format!("{:#x}", transaction.max_fee)))),
            ("maxPriorityFeePerGas", Some(json!(format!("{:#x}", transaction.priority_fee)))),
            ("feeToken", fee_token.map(|token| json!(token))),
            ("feePayer", fee_payer.map(|payer| json!(payer))),
        ];
        for (name, value) in members {
            priced.extend(value.map(|value| (name.to_owned(), value)));
        }
        Request::try_out_as(priced.into())
    };
    match (sponsor, transaction.fees) {
        (Some((sponsor, fee_token)), _) => {
            Vec::from([balance, Request::try_out_as(bare.clone().into()), priced(Some(sponsor), Some(fee_token))])
        }
        (None, Fees::Sender) => Vec::from([balance, priced(None, transaction.fee_token)]),
        // Who pays them is not known here.
        (None, _) => Vec::from([balance, Request::try_out_as(bare.clone().into())]),
    }
}

/// One call as every node understands it, since some (anvil) answer several without looking at them.
fn calls(transaction: &Transaction<'_>, payer: Address) -> Map<String, Value> {
    let one = |call: &super::transaction::Call<'_>| {
        let members = [("to", json!(call.to)), ("value", json!("0x0")), ("data", json!(hex::encode_prefixed(call.data)))];
        members.map(|(name, value)| (name.to_owned(), value))
    };
    let of_all = [("from".to_owned(), json!(payer))];
    match transaction.calls.as_slice() {
        [call] => of_all.into_iter().chain(one(call)).collect(),
        calls => {
            let calls = calls.iter().map(|call| Value::Object(one(call).into_iter().collect())).collect();
            of_all.into_iter().chain([("type".to_owned(), json!("0x76")), ("calls".to_owned(), Value::Array(calls))]).collect()
        }
    }
}

/// What was answered: `None` when the transaction may be sent. It takes `total` beside the `reserved` sum of the payer's other payments on
/// their way; `swaps` says that it gets that by a swap first.
pub(super) fn judge(answers: &[NodeAnswer], total: Amount, reserved: Amount, swaps: bool) -> Option<Prepared> {
    let unknown = || Some(Prepared::Unknown(Problem::unavailable("the chain cannot be asked")));
    let Some((Ok(balance), tries)) = answers.split_first() else { return unknown() };
    let Some(balance) = decode::<Bytes>(balance).ok().and_then(|bytes| U256::try_from_be_slice(&bytes)) else { return unknown() };
    if !swaps && balance < total.to_u256() {
        let detail = "the payer has less of the token than the amount; pay from an account that has enough";
        return Some(Prepared::Refused(Problem::new(ProblemKind::PaymentInsufficient, detail)));
    }
    if let [bare, sponsored] = tries
        && bare.is_ok()
        && sponsored.is_err()
    {
        return Some(Prepared::Unknown(Problem::unavailable("the fees of this transaction cannot be paid at the moment")));
    }
    match tries.iter().find_map(|tried| tried.as_ref().err()) {
        Some(NodeError::Reverted(Some(reason))) => {
            let detail = format!("payload.signature: the transaction would revert, and nothing was paid: {reason}");
            return Some(Prepared::Refused(failed(detail)));
        }
        Some(NodeError::Reverted(None) | NodeError::OutOfGas) => {
            let detail = "payload.signature: the transaction would revert, and nothing was paid; the token may be paused, or its policy bar the payer";
            return Some(Prepared::Refused(failed(detail)));
        }
        Some(NodeError::InsufficientFunds) => {
            let detail = "payload.signature: the payer cannot pay the fees of the transaction; name a feeToken that it has";
            return Some(Prepared::Refused(Problem::new(ProblemKind::PaymentInsufficient, detail)));
        }
        Some(_) => return Some(Prepared::Unknown(Problem::unavailable("the transaction could not be tried out at the moment"))),
        None if tries.is_empty() => return unknown(),
        None => {}
    }
    if !swaps && total.checked_add(reserved).is_none_or(|sum| balance < sum.to_u256()) {
        let detail = "the payer has not enough of the token for this payment beside its others that are on their way";
        return Some(Prepared::Later(Problem::unavailable(detail)));
    }
    None
}
