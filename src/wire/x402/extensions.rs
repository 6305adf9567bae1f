//! Extensions: what a `402` declares in them, and what a payment returns of that.
//!
//! * `payment-identifier` (`extensions/payment_identifier.md`): the client names its payment, so that repeating it is harmless.
//! * `mppx`: an mppx client derives the nonce of its proof from what it was asked, so that the proof is good for this request alone.
//!   Other clients return the extension as they got it and choose a nonce at random.

use super::offers::push_text;
use super::{Reason, Requested};
use crate::evm::B256;
use crate::wire::encoding::to_base64url;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::string::String;
use core::ops::RangeInclusive;
use serde::Deserialize;
use sha2::{Digest, Sha256};

const IDENTIFIER_BYTES: RangeInclusive<usize> = 16..=128;

/// The longest salt that a nonce may be derived from, in bytes; mppx's has 64.
const SALT_BYTES: usize = 128;

/// What is declared, in pieces: in JCS form, so that its text is what a nonce is derived from. The HTTP method stands behind the first.
pub(super) const BEFORE_METHOD: &str = r#"{"mppx":{"info":{"method":"#;
const BEFORE_IDENTIFIER: &str = concat!(
    r#"},"schema":{"additionalProperties":false,"properties":{"_mppx_scope":{"type":"string"},"digest":{"type":"string"},"#,
    r#""method":{"type":"string"},"nonce":{"type":"string"},"opaque":{"type":"string"}},"required":["method"],"type":"object"}},"#,
    r#""payment-identifier":{"info":{"#,
);
const AFTER_IDENTIFIER: &str = concat!(
    r#""required":false},"schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","properties":{"#,
    r#""id":{"maxLength":128,"minLength":16,"pattern":"^[a-zA-Z0-9_-]+$","type":"string"},"required":{"type":"boolean"}},"#,
    r#""required":["required"],"type":"object"}}}"#,
);

/// What follows the HTTP method where nothing is added.
pub(super) fn after_method() -> String {
    [BEFORE_IDENTIFIER, AFTER_IDENTIFIER].concat()
}

/// What a payment returns of them, and adds to them.
pub(super) struct Extensions {
    mppx: Option<Mppx>,
    /// What the client calls its payment.
    pub(super) identifier: Option<String>,
}

/// Those that are declared here; others are not looked at.
#[derive(Deserialize)]
pub(super) struct Returned {
    mppx: Option<Extension<Mppx>>,
    #[serde(rename = "payment-identifier")]
    identifier: Option<Extension<Identifier>>,
}

#[derive(Deserialize)]
struct Extension<T> {
    info: T,
}

#[derive(Deserialize)]
struct Mppx {
    method: String,
    nonce: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    id: Option<String>,
}

impl Extensions {
    /// Takes what was read of the member `extensions`.
    ///
    /// # Errors
    /// 400 when the identifier is none, since the client would count on what it does not get.
    pub(super) fn new(returned: Returned) -> Result<Self, Problem> {
        let Returned { mppx, identifier } = returned;
        let identifier = identifier.and_then(|extension| extension.info.id);
        if identifier.as_deref().is_some_and(|id| !is_identifier(id)) {
            let detail = "extensions.payment-identifier.info.id: must have 16 to 128 letters, digits, '_' or '-'";
            return Err(Problem::new(ProblemKind::BadRequest, detail));
        }
        Ok(Self { mppx: mppx.map(|extension| extension.info), identifier })
    }

    /// The nonce that the proof must have when it is bound to its request, as mppx derives it: SHA-256 of the base64url of the JCS forms
    /// of the accepted offer, the resource and the extensions, joined by `|`. `None` when it may be any.
    ///
    /// The extensions are those that were declared, with salt and identifier added: whatever else a client returns is not looked at, and
    /// makes another nonce than this.
    ///
    /// # Errors
    /// `extension_echo_mismatch` when they were declared for another HTTP method, or the salt is too long.
    pub(super) fn nonce(&self, requested: &Requested<'_>, accepted: &str, resource: impl Fn() -> String) -> Result<Option<B256>, Problem> {
        let Some(mppx) = &self.mppx else { return Ok(None) };
        if mppx.method != requested.method {
            return Err(mismatch("extensions.mppx.info.method: is not this request's HTTP method"));
        }
        let Some(salt) = &mppx.nonce else { return Ok(None) };
        if salt.len() > SALT_BYTES {
            return Err(mismatch("extensions.mppx.info.nonce: exceeds 128 bytes"));
        }
        let mut extensions = String::from(BEFORE_METHOD);
        push_text(&mut extensions, requested.method);
        extensions.push_str(r#","nonce":"#);
        push_text(&mut extensions, salt);
        extensions.push_str(BEFORE_IDENTIFIER);
        if let Some(id) = &self.identifier {
            extensions.push_str(r#""id":"#);
            push_text(&mut extensions, id);
            extensions.push(',');
        }
        extensions.push_str(AFTER_IDENTIFIER);
        let bound = [accepted, &resource(), &extensions].map(to_base64url).join("|");
        Ok(Some(B256::new(Sha256::digest(bound).into())))
    }
}

fn is_identifier(id: &str) -> bool {
    IDENTIFIER_BYTES.contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn mismatch(detail: &'static str) -> Problem {
    Problem::new(ProblemKind::InvalidChallenge, detail).because(Reason::ExtensionMismatch)
}
