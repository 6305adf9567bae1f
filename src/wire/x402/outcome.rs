//! Outcomes: what a request that pays is told in `PAYMENT-RESPONSE` or `X-PAYMENT-RESPONSE`
//! (`x402-specification-v2.md` §5.3; version 1 has the same members).

use super::Reason;
use crate::wire::encoding::to_base64;
use alloc::string::String;
use serde::Serialize;

/// What came of a payment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_reason: Option<&'static str>,
    transaction: &'a str,
    network: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<&'a str>,
}

impl<'a> Outcome<'a> {
    /// It was settled. `network` as the payment's version calls it ([`super::Accepted::network`]).
    pub const fn settled(network: &'a str, payer: &'a str, transaction: &'a str) -> Self {
        Self { success: true, error_reason: None, transaction, network, payer: Some(payer) }
    }

    /// It was not, or it is not known yet. `payer` where the proof says it.
    pub const fn failed(network: &'a str, payer: Option<&'a str>, reason: Reason) -> Self {
        Self { success: false, error_reason: Some(reason.as_str()), transaction: "", network, payer }
    }

    /// The JSON.
    pub fn to_json(&self) -> String {
        // Strings and a boolean always serialise; an empty value would only lose the outcome.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The value of the header.
    pub fn to_header(&self) -> String {
        to_base64(self.to_json())
    }
}
