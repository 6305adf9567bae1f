//! The session intent of the methods `abstract` and `evm`: a channel is opened once, and every request
//! carries a voucher for the total so far (`draft-evm-session-00`).

mod payload;

pub use payload::{Unverified, fresh_message};

use super::Method;
use crate::channel::Balance;
use crate::evm::eip712::Domain;
use crate::evm::erc3009::Authorization;
use crate::evm::{Address, B256, ChainId, U256};
use crate::money::Amount;
use crate::time::Timestamp;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a session asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTerms {
    /// The price of one unit in base units.
    pub price: Amount,
    /// What a unit is called.
    pub unit_type: String,
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The token's contract.
    pub token: Address,
    /// Who is paid.
    pub recipient: Address,
    /// The escrow's contract.
    pub escrow: Address,
    /// What a client should deposit, in base units.
    pub suggested_deposit: Option<Amount>,
    /// The least by which a voucher must raise the total, in base units.
    pub min_delta: Amount,
}

/// The numbers that a client needs to go on with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The channel.
    pub channel_id: B256,
    /// Its counters.
    pub balance: Balance,
}

/// What a client whose balance has ended is told in its stream (`payment-need-voucher`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NeedVoucher {
    channel_id: B256,
    required_cumulative: Amount,
    accepted_cumulative: Amount,
    deposit: Amount,
}

impl NeedVoucher {
    /// For a channel with this balance.
    pub const fn of(channel_id: B256, balance: &Balance) -> Self {
        let Balance { accepted, deposit, required, .. } = *balance;
        Self { channel_id, required_cumulative: required, accepted_cumulative: accepted, deposit }
    }

    /// The event's data.
    pub fn to_json(&self) -> String {
        // Strings always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Snapshot {
    /// As members of a problem.
    pub fn members(&self) -> Vec<(&'static str, String)> {
        let Balance { accepted, spent, deposit, required } = &self.balance;
        let amounts = [("acceptedCumulative", accepted), ("spent", spent), ("deposit", deposit), ("requiredCumulative", required)];
        let amounts = amounts.into_iter().map(|(name, amount)| (name, amount.to_string()));
        core::iter::once(("channelId", self.channel_id.to_string())).chain(amounts).collect()
    }
}

/// The request object. Fields stand in JCS order, so that its compact JSON is canonical.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    amount: Amount,
    currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    method_details: MethodDetails,
    recipient: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggested_deposit: Option<Amount>,
    unit_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MethodDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_cumulative: Option<Amount>,
    chain_id: ChainId,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_types: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deposit: Option<Amount>,
    escrow_contract: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_payer: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_voucher_delta: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_cumulative: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<Amount>,
}

impl SessionTerms {
    /// The JCS form of the request object that `method` puts into its challenge: with a line for people, with
    /// the gateway's offer to submit openings when it is `sponsored`, and with what a known client needs to go on.
    pub fn request(&self, method: Method, description: Option<&str>, sponsored: bool, snapshot: Option<&Snapshot>) -> String {
        let balance = snapshot.map(|snapshot| &snapshot.balance);
        let credential_types: Option<&'static [&'static str]> = match (method, sponsored) {
            (Method::Abstract, _) => None,
            (Method::Evm, true) => Some(&["authorization", "hash"]),
            (Method::Evm, false) => Some(&["hash"]),
        };
        let method_details = MethodDetails {
            accepted_cumulative: balance.map(|balance| balance.accepted),
            chain_id: self.chain_id,
            channel_id: snapshot.map(|snapshot| snapshot.channel_id),
            credential_types,
            deposit: balance.map(|balance| balance.deposit),
            escrow_contract: self.escrow.to_checksum(None),
            fee_payer: (sponsored && method == Method::Evm).then_some(true),
            min_voucher_delta: (self.min_delta > Amount::ZERO).then_some(self.min_delta),
            required_cumulative: balance.map(|balance| balance.required),
            spent: balance.map(|balance| balance.spent),
        };
        let request = Request {
            amount: self.price,
            currency: self.token.to_checksum(None),
            description,
            method_details,
            recipient: self.recipient.to_checksum(None),
            suggested_deposit: self.suggested_deposit,
            unit_type: &self.unit_type,
        };
        // Strings, booleans and integers always serialise.
        serde_json::to_string(&request).unwrap_or_default()
    }
}

/// The EIP-712 domain in which the method's vouchers are signed for an escrow.
pub fn domain(method: Method, chain_id: ChainId, escrow: Address) -> Domain {
    let name = match method {
        Method::Abstract => "Abstract Stream Channel",
        Method::Evm => "EVM Payment Channel",
    };
    Domain::new(name, "1", chain_id, escrow)
}

impl Authorization {
    /// Why the escrow cannot use this authorization of a payer who has `balance`, as well as it can be told.
    pub fn refusal(&self, balance: U256, now: Timestamp) -> Problem {
        if now >= self.valid_before.timestamp() {
            return Problem::new(
                ProblemKind::PaymentExpired,
                "payload.authorization.validBefore: the authorization has expired; sign a new one",
            );
        }
        if now.seconds() <= self.valid_after {
            return Problem::new(
                ProblemKind::VerificationFailed,
                "payload.authorization.validAfter: the authorization is not valid yet; sign one that is valid now",
            );
        }
        if balance < self.value.to_u256() {
            return Problem::new(
                ProblemKind::PaymentInsufficient,
                "payload.authorization.value: the payer has less of the token than this deposit",
            );
        }
        Problem::new(
            ProblemKind::VerificationFailed,
            "payload.authorization: the escrow or the token would revert this deposit; look at the channel and the token on chain",
        )
    }
}
