//! Problem details (RFC 9457) with the scheme's types, base `https://paymentauth.org/problems/`.

use super::x402::Reason;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// Seconds after which a client should send an undecided credential again.
const RETRY_SECONDS: u32 = 2;

const BASE: &str = "https://paymentauth.org/problems/";

/// What kind of problem it is; decides type, title and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProblemKind {
    /// 402: nothing was offered in payment.
    PaymentRequired,
    /// 402: the credential cannot be read.
    MalformedCredential,
    /// 402: the challenge is not ours, not for this request, or no longer offered.
    InvalidChallenge,
    /// 402: the proof does not prove the payment.
    VerificationFailed,
    /// 403: the credential bought something already: without a challenge, so that no client pays again by itself.
    Spent,
    /// 402: the challenge or the authorization is past its time.
    PaymentExpired,
    /// 402: the payer cannot pay this amount, or offered too little.
    PaymentInsufficient,
    /// 402: a voucher's signature is not canonical, or nobody's.
    InvalidSignature,
    /// 402: a voucher was not signed by the channel's signer.
    SignerMismatch,
    /// 402: a voucher exceeds the channel's deposit.
    AmountExceedsDeposit,
    /// 402: a voucher raises the total by too little.
    DeltaTooSmall,
    /// 402: the channel's balance does not pay for the request.
    InsufficientBalance,
    /// 409: a channel's transaction was mined and reverted.
    TransactionReverted,
    /// 410: the escrow has no such channel.
    ChannelNotFound,
    /// 410: the channel is closed or being closed.
    ChannelFinalized,
    /// 401: the gateway's own endpoints for operators and payers. `about:blank`.
    Unauthorized,
    /// 400: a method or intent that this route does not offer.
    MethodUnsupported,
    /// 400: the request itself is wrong.
    BadRequest,
    /// 404: nothing of the gateway's own is at this path. `about:blank`.
    NotFound,
    /// 405: a method that the gateway's own paths do not have. `about:blank`.
    MethodNotAllowed,
    /// 413: a body that must be hashed is too large. Not the scheme's own: `about:blank`.
    ContentTooLarge,
    /// 500: the gateway's configuration is wrong, or it failed. `about:blank`.
    Internal,
    /// 502: the origin could not be reached or answered nonsense. `about:blank`.
    OriginFailed,
    /// 503: the payment's outcome is not known yet; the same credential resumes it. `about:blank`.
    Unavailable,
    /// 504: the origin did not answer in time. `about:blank`.
    OriginTimeout,
    /// 408: the request's body came too slowly. `about:blank`.
    RequestTimeout,
    /// 414: path and query are too long. `about:blank`.
    UriTooLong,
    /// 431: the request's headers are too many, or one is too long. `about:blank`.
    HeadersTooLarge,
    /// 409: a payment has the identifier of another one. `about:blank`.
    Conflict,
}

/// A problem, ready to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Decides type, title and status.
    pub kind: ProblemKind,
    /// What happened this time; holds no secret and no credential.
    pub detail: Cow<'static, str>,
    /// The fresh challenge that came with it.
    pub challenge_id: Option<String>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u32>,
    /// Fields of the configuration that are wrong.
    pub errors: Vec<FieldError>,
    /// Members that belong to its type, such as `requiredCumulative`.
    pub members: Vec<(&'static str, String)>,
    /// What x402 calls it, where that says more than the kind. Not part of the body.
    pub reason: Option<Reason>,
}

/// One wrong field, of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The number of the rule it breaks.
    pub rule: u16,
    /// The path of the field, such as `routes[2].price`.
    pub field: String,
    /// What is wrong with it; never its value when it is a secret.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
}

impl ProblemKind {
    /// HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::PaymentRequired
            | Self::MalformedCredential
            | Self::InvalidChallenge
            | Self::VerificationFailed
            | Self::PaymentExpired
            | Self::PaymentInsufficient
            | Self::InvalidSignature
            | Self::SignerMismatch
            | Self::AmountExceedsDeposit
            | Self::DeltaTooSmall
            | Self::InsufficientBalance => 402,
            Self::Spent => 403,
            Self::TransactionReverted | Self::Conflict => 409,
            Self::ChannelNotFound | Self::ChannelFinalized => 410,
            Self::Unauthorized => 401,
            Self::MethodUnsupported | Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::ContentTooLarge => 413,
            Self::Internal => 500,
            Self::OriginFailed => 502,
            Self::Unavailable => 503,
            Self::OriginTimeout => 504,
            Self::RequestTimeout => 408,
            Self::UriTooLong => 414,
            Self::HeadersTooLarge => 431,
        }
    }

    /// The last part of the type, for the types that the scheme defines.
    const fn slug(self) -> Option<&'static str> {
        Some(match self {
            Self::PaymentRequired => "payment-required",
            Self::MalformedCredential => "malformed-credential",
            Self::InvalidChallenge => "invalid-challenge",
            Self::VerificationFailed | Self::Spent => "verification-failed",
            Self::PaymentExpired => "payment-expired",
            Self::PaymentInsufficient => "payment-insufficient",
            Self::InvalidSignature => "session/invalid-signature",
            Self::SignerMismatch => "session/signer-mismatch",
            Self::AmountExceedsDeposit => "session/amount-exceeds-deposit",
            Self::DeltaTooSmall => "session/delta-too-small",
            Self::InsufficientBalance => "session/insufficient-balance",
            Self::TransactionReverted => "session/transaction-reverted",
            Self::ChannelNotFound => "session/channel-not-found",
            Self::ChannelFinalized => "session/channel-finalized",
            Self::MethodUnsupported => "method-unsupported",
            Self::BadRequest => "bad-request",
            Self::Unauthorized
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::ContentTooLarge
            | Self::Internal
            | Self::OriginFailed
            | Self::Unavailable
            | Self::OriginTimeout
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Conflict => {
                return None;
            }
        })
    }

    const fn title(self) -> &'static str {
        match self {
            Self::PaymentRequired => "Payment Required",
            Self::MalformedCredential => "Malformed Credential",
            Self::InvalidChallenge => "Invalid Challenge",
            Self::VerificationFailed | Self::Spent => "Verification Failed",
            Self::PaymentExpired => "Payment Expired",
            Self::PaymentInsufficient => "Payment Insufficient",
            Self::InvalidSignature => "Invalid Signature",
            Self::SignerMismatch => "Signer Mismatch",
            Self::AmountExceedsDeposit => "Amount Exceeds Deposit",
            Self::DeltaTooSmall => "Delta Too Small",
            Self::InsufficientBalance => "Insufficient Balance",
            Self::TransactionReverted => "Transaction Reverted",
            Self::ChannelNotFound => "Channel Not Found",
            Self::ChannelFinalized => "Channel Finalized",
            Self::Unauthorized => "Unauthorized",
            Self::MethodUnsupported => "Method Unsupported",
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::ContentTooLarge => "Content Too Large",
            Self::Internal => "Internal Server Error",
            Self::OriginFailed => "Bad Gateway",
            Self::Unavailable => "Service Unavailable",
            Self::OriginTimeout => "Gateway Timeout",
            Self::RequestTimeout => "Request Timeout",
            Self::UriTooLong => "URI Too Long",
            Self::HeadersTooLarge => "Request Header Fields Too Large",
            Self::Conflict => "Conflict",
        }
    }
}

impl Problem {
    /// A problem with nothing but its detail.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), challenge_id: None, retry_after: None, errors: Vec::new(), members: Vec::new(), reason: None }
    }

    /// Nothing is decided: the same credential may be sent again in a moment. `why` is a clause.
    pub fn unavailable(why: &str) -> Self {
        Self::not_now(format!("{why}; send the same credential again"))
    }

    /// It cannot be said at the moment what was asked; no payment has to do with it.
    pub fn not_now(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(RETRY_SECONDS), ..Self::new(ProblemKind::Unavailable, detail) }
    }

    /// The challenge is past its time.
    pub fn challenge_expired() -> Self {
        Self::new(ProblemKind::PaymentExpired, "challenge.expires: the challenge has expired; answer the fresh one of this answer")
    }

    /// The same with the reason that x402 has for it.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// The JSON body with more members, written as they stand between braces.
    pub fn to_json_with(&self, members: &str) -> String {
        let mut json = self.to_json();
        json.pop();
        [&json, ",", members, "}"].concat()
    }

    /// The JSON body.
    pub fn to_json(&self) -> String {
        // Strings and integers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.detail)
    }
}

impl core::error::Error for Problem {}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, field, detail, remedy } = self;
        write!(f, "rule {rule}: {field} {detail} ({remedy})")
    }
}

impl core::error::Error for FieldError {}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.kind.slug() {
            Some(slug) => map.serialize_entry("type", &format!("{BASE}{slug}"))?,
            None => map.serialize_entry("type", "about:blank")?,
        }
        map.serialize_entry("title", self.kind.title())?;
        map.serialize_entry("status", &self.kind.status())?;
        map.serialize_entry("detail", &self.detail)?;
        if let Some(id) = &self.challenge_id {
            map.serialize_entry("challengeId", id)?;
        }
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        if !self.errors.is_empty() {
            map.serialize_entry("errors", &self.errors)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_scheme_s_types_have_its_base_and_others_are_blank() {
        let mut problem = Problem::new(ProblemKind::InvalidChallenge, "used");
        problem.challenge_id = Some("abc".into());
        assert_eq!(
            problem.to_json(),
            r#"{"type":"https://paymentauth.org/problems/invalid-challenge","title":"Invalid Challenge","status":402,"detail":"used","challengeId":"abc"}"#
        );
        let unknown = Problem::unavailable("pending");
        assert_eq!(
            unknown.to_json(),
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"pending; send the same credential again"}"#
        );
        assert_eq!(unknown.retry_after, Some(2));
    }
}
