//! The request object of a challenge, as all methods have it for a charge (`draft-payment-intent-charge`).

use crate::money::Amount;
use alloc::string::String;
use serde::Serialize;

/// See the module. Fields stand in JCS order (RFC 8785), so its compact JSON is canonical if that of the details is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeRequest<'a, D> {
    /// In base units.
    pub amount: Amount,
    /// What is paid in, as the method names it.
    pub currency: &'a str,
    /// A line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// What only the method has, an object of texts, numbers, flags and lists.
    pub method_details: D,
    /// Who is paid, where the method names that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<&'a str>,
}

impl<D: Serialize> ChargeRequest<'_, D> {
    /// Its JCS form.
    pub fn to_jcs(&self) -> String {
        // What it may hold always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}
