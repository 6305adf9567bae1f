//! Extensions: what a `402` declares in them, and what a payment returns of that.
//!
//! * `payment-identifier` (`extensions/payment_identifier.md`): the client names its payment, so that repeating it is harmless.
//! * `mppx`: an mppx client derives the nonce of its proof from what it was asked, so that the proof is good for this request alone.
//!   Other clients return the extension as they got it and choose a nonce at random.

use super::{Reason, Requested};
use crate::evm::B256;
use crate::wire::encoding::to_base64url;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::string::{String, ToString};
use core::ops::RangeInclusive;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Extensions by name.
pub(super) type Extensions = Map<String, Value>;

const IDENTIFIER: &str = "payment-identifier";
const IDENTIFIER_BYTES: RangeInclusive<usize> = 16..=128;
const MPPX: &str = "mppx";

/// What mppx declares `info` to be. Its members stand in JCS order.
macro_rules! mppx_schema {
    () => {
        concat!(
            r#"{"additionalProperties":false,"properties":{"_mppx_scope":{"type":"string"},"digest":{"type":"string"},"#,
            r#""method":{"type":"string"},"nonce":{"type":"string"},"opaque":{"type":"string"}},"required":["method"],"type":"object"}"#,
        )
    };
}

/// The member `extensions` up to the HTTP method, and what follows it.
pub(super) const BEFORE_METHOD: &str = r#""extensions":{"mppx":{"info":{"method":"#;
pub(super) const AFTER_METHOD: &str = concat!(
    r#"},"schema":"#,
    mppx_schema!(),
    r#"},"payment-identifier":{"info":{"required":false},"schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","#,
    r#""type":"object","properties":{"required":{"type":"boolean"},"#,
    r#""id":{"type":"string","minLength":16,"maxLength":128,"pattern":"^[a-zA-Z0-9_-]+$"}},"required":["required"]}}}"#,
);

/// The identifier that the client gave its payment.
///
/// # Errors
/// 400 when it is none: the client would count on what it does not get.
pub(super) fn identifier(extensions: &Extensions) -> Result<Option<String>, Problem> {
    let id = extensions.get(IDENTIFIER).and_then(|extension| extension.get("info")).and_then(|info| info.get("id"));
    let is_plain = |id: &&String| {
        IDENTIFIER_BYTES.contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    match id {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if is_plain(&id) => Ok(Some(id.clone())),
        Some(_) => Err(Problem::new(
            ProblemKind::BadRequest,
            "extensions.payment-identifier.info.id: must be a string of 16 to 128 letters, digits, '_' or '-'",
        )),
    }
}

/// The nonce that the proof must have when it is bound to its request, as mppx derives it: SHA-256 of the base64url of the JCS forms of
/// the accepted offer, the resource and the extensions, joined by `|`. `None` when it may be any.
///
/// Numbers with a fraction may stand differently here than in JCS; no extension of ours has one, and a nonce of another form is refused.
///
/// # Errors
/// `extension_echo_mismatch` when the extension was changed, or was sent for another HTTP method.
pub(super) fn nonce(
    extensions: &Extensions,
    requested: &Requested<'_>,
    accepted: &str,
    resource: impl Fn() -> String,
) -> Result<Option<B256>, Problem> {
    let Some(extension) = extensions.get(MPPX) else { return Ok(None) };
    let info = extension.get("info").and_then(Value::as_object).ok_or_else(|| mismatch("info: is not what was sent"))?;
    if info.get("method").and_then(Value::as_str) != Some(requested.method) {
        return Err(mismatch("info.method: is not this request's HTTP method"));
    }
    let nonce = match info.get("nonce") {
        None => return Ok(None),
        Some(nonce) => nonce.as_str(),
    };
    let schema = extension.get("schema").map(ToString::to_string);
    if nonce.is_none() || info.len() != 2 || schema.as_deref() != Some(mppx_schema!()) {
        return Err(mismatch("only info.nonce may be added to it, as a string"));
    }
    // Strings, numbers and maps always serialise, and maps are sorted.
    let extensions = serde_json::to_string(extensions).unwrap_or_default();
    let bound = [accepted, &resource(), &extensions].map(to_base64url).join("|");
    Ok(Some(B256::new(Sha256::digest(bound).into())))
}

fn mismatch(what: &str) -> Problem {
    let detail = ["extensions.mppx: ", what].concat();
    Problem::new(ProblemKind::InvalidChallenge, detail).because(Reason::ExtensionMismatch)
}
