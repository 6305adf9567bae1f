//! Trying a payment's transaction out before it is sent.

use super::failed;
use super::transaction::{Fees, Transaction};
use crate::evm::jsonrpc::{NodeAnswer, NodeError, Request, decode};
use crate::evm::transaction::Call;
use crate::evm::{Address, U256, erc3009};
use crate::money::Amount;
use crate::rail::Prepared;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::format;
use alloc::vec::Vec;
use alloy_primitives::{Bytes, hex};
use serde_json::{Value, json};

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
        priced["gas"] = json!(format!("{:#x}", transaction.gas));
        priced["maxFeePerGas"] = json!(format!("{:#x}", transaction.max_fee));
        priced["maxPriorityFeePerGas"] = json!(format!("{:#x}", transaction.priority_fee));
        if let Some(token) = fee_token {
            priced["feeToken"] = json!(token);
        }
        if let Some(fee_payer) = fee_payer {
            priced["feePayer"] = json!(fee_payer);
        }
        Request::try_out_as(priced)
    };
    match (sponsor, transaction.fees) {
        (Some((sponsor, fee_token)), _) => Vec::from([balance, Request::try_out_as(bare.clone()), priced(Some(sponsor), Some(fee_token))]),
        (None, Fees::Sender) => Vec::from([balance, priced(None, transaction.fee_token)]),
        // Who pays them is not known here.
        (None, _) => Vec::from([balance, Request::try_out_as(bare.clone())]),
    }
}

/// One call as every node understands it, since some (anvil) answer several without looking at them.
fn calls(transaction: &Transaction<'_>, payer: Address) -> Value {
    let one = |call: &super::transaction::Call<'_>| json!({ "to": call.to, "value": "0x0", "data": hex::encode_prefixed(call.data) });
    match transaction.calls.as_slice() {
        [call] => {
            let mut only = one(call);
            only["from"] = json!(payer);
            only
        }
        calls => json!({ "type": "0x76", "from": payer, "calls": calls.iter().map(one).collect::<Value>() }),
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
