//! Receipts: what a paid response carries in `Payment-Receipt` (`draft-httpauth-payment-00`).

use crate::time::Timestamp;
use crate::wire::encoding::to_base64url;
use alloc::string::String;
use serde::Serialize;

/// A receipt of a successful payment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt<'a> {
    /// Payment method.
    pub method: &'a str,
    /// What names the payment on its rail: for a charge the transaction hash, for a session the channel.
    pub reference: &'a str,
    status: Success,
    #[serde(serialize_with = "as_rfc3339")]
    timestamp: Timestamp,
    /// The challenge that was paid; SDKs of the first generation leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge_id: Option<&'a str>,
    /// EIP-155 chain id, on EVM methods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<u64>,
    /// What a receipt of a session has besides.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionReceipt>,
}

/// The state of a session after a payment (`draft-evm-session-00`, Receipt Generation).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionReceipt {
    /// The payment intent.
    pub intent: &'static str,
    /// The channel, `0x` and 64 digits.
    pub channel_id: String,
    /// The highest voucher in base units.
    pub accepted_cumulative: String,
    /// What was booked, in base units.
    pub spent: String,
    /// Units that this request was charged for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<u64>,
    /// The transaction that closed the channel or brought money into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Success {
    Success,
}

fn as_rfc3339<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339())
}

impl<'a> Receipt<'a> {
    /// A receipt without its optional members.
    pub const fn new(method: &'a str, reference: &'a str, timestamp: Timestamp) -> Self {
        Self { method, reference, status: Success::Success, timestamp, challenge_id: None, chain_id: None, session: None }
    }

    /// The JSON.
    pub fn to_json(&self) -> String {
        // A struct of strings and integers always serialises; an empty value would only lose the receipt.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The value of the `Payment-Receipt` header: base64url of the JSON.
    pub fn to_header(&self) -> String {
        to_base64url(self.to_json())
    }
}
