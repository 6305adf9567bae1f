//! Credentials: the client's proof, `Authorization: Payment <base64url JSON>`, or the same in `Payment-Authorization`
//! (`draft-httpauth-payment-01`, "Credentials").
//!
//! First the credential is separated from those of other schemes, then it is read. Nothing in it is verified by that: what its
//! challenge is good for is said by [`Asked::accept`](crate::gateway::offer::Asked::accept), what its payload proves by the rail.
//!
//! ```
//! use mpp_edge::wire::encoding::to_base64url;
//! use mpp_edge::wire::mpp::credential::{Credential, split_authorization};
//!
//! let json = r#"{"challenge":{"id":"i","realm":"r","method":"evm","intent":"charge","request":"e30"},"payload":{}}"#;
//! let header = format!("Bearer of-the-origin, Payment {}", to_base64url(json));
//!
//! let split = split_authorization(&header).unwrap();
//! assert_eq!(split.others.as_deref(), Some("Bearer of-the-origin"));
//! let credential = Credential::parse(split.payment.unwrap())?;
//! assert_eq!(credential.challenge.terms().method, "evm");
//! # Ok::<(), mpp_edge::wire::mpp::credential::InvalidCredential>(())
//! ```

use super::challenge::Parameters;
use crate::json::{self, Unreadable, describe};
use crate::wire::encoding::{from_base64, to_base64url};
use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The field of a request that carries its credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialField {
    /// The default.
    #[default]
    Authorization,
    /// `Authorization` is left to a login of the origin's own.
    PaymentAuthorization,
}

impl CredentialField {
    /// The field's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorization => "Authorization",
            Self::PaymentAuthorization => "Payment-Authorization",
        }
    }

    /// Its name in lower case.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::PaymentAuthorization => "payment-authorization",
        }
    }

    /// The challenge's parameter `header`, which selects the field: absent for the default.
    pub const fn parameter(self) -> Option<&'static str> {
        match self {
            Self::Authorization => None,
            Self::PaymentAuthorization => Some(self.name()),
        }
    }
}

/// The `Payment` part of an `Authorization` value, and what else the value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationHeader<'a> {
    /// The base64 text after the scheme, when there is a `Payment` credential.
    pub payment: Option<&'a str>,
    /// The credentials of other schemes, to be forwarded to the origin.
    pub others: Option<Cow<'a, str>>,
}

/// The longest list of credentials that is taken apart, in bytes, without and with quotes, and the most parts it may have. One credential alone is not
/// taken apart.
const LONGEST_LIST: usize = 12 * 1024;
const LONGEST_QUOTED: usize = 4 * 1024;
const MOST_PARTS: usize = 64;

/// Why an `Authorization` cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidAuthorization {
    /// It holds more than one `Payment` credential.
    MultipleCredentials,
    /// It is too long, or has too many parts.
    TooLong,
}

impl InvalidAuthorization {
    /// The problem with the header field of this name.
    pub fn problem(self, field: &str) -> Problem {
        let kind = match self {
            Self::MultipleCredentials => ProblemKind::BadRequest,
            Self::TooLong => ProblemKind::HeadersTooLarge,
        };
        Problem::new(kind, format!("{field}: {self}"))
    }
}

impl fmt::Display for InvalidAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MultipleCredentials => f.write_str("holds more than one Payment credential; send one"),
            Self::TooLong => write!(
                f,
                "is too long a list of credentials; send at most {LONGEST_LIST} bytes ({LONGEST_QUOTED} with quotes) and {MOST_PARTS} parts"
            ),
        }
    }
}

impl core::error::Error for InvalidAuthorization {}

/// Separates the `Payment` credential from those of other schemes. Fetch joins repeated
/// `Authorization` headers with `, `, so this also finds the second of two headers.
///
/// # Errors
/// [`InvalidAuthorization`] when there is more than one, or the list is too long to be read.
pub fn split_authorization(value: &str) -> Result<AuthorizationHeader<'_>, InvalidAuthorization> {
    if !value.contains(',') {
        let value = value.trim();
        let payment = payment_token(value);
        let others = (payment.is_none() && !value.is_empty()).then_some(Cow::Borrowed(value));
        return Ok(AuthorizationHeader { payment, others });
    }
    if value.len() > if value.contains('"') { LONGEST_QUOTED } else { LONGEST_LIST } {
        return Err(InvalidAuthorization::TooLong);
    }
    let mut payment = None;
    let mut others: Vec<&str> = Vec::new();
    for part in split_outside_quotes(value) {
        match payment_token(part) {
            Some(_) if payment.is_some() => return Err(InvalidAuthorization::MultipleCredentials),
            Some(token) => payment = Some(token),
            None if others.len() == MOST_PARTS => return Err(InvalidAuthorization::TooLong),
            None if !part.is_empty() => others.push(part),
            None => {}
        }
    }
    let others = match (payment, others.as_slice()) {
        (_, []) => None,
        (None, _) => Some(Cow::Borrowed(value)),
        (Some(_), others) => Some(Cow::Owned(others.join(", "))),
    };
    Ok(AuthorizationHeader { payment, others })
}

/// What of an `Authorization` value the origin may see where no credential is taken from it: everything but `Payment`
/// credentials, however many.
///
/// # Errors
/// [`InvalidAuthorization::TooLong`].
pub fn without_payment(value: &str) -> Result<Option<Cow<'_, str>>, InvalidAuthorization> {
    match split_authorization(value) {
        Err(InvalidAuthorization::MultipleCredentials) => {}
        outcome => return outcome.map(|header| header.others),
    }
    let others: Vec<&str> = split_outside_quotes(value).filter(|part| !part.is_empty() && payment_token(part).is_none()).collect();
    Ok((!others.is_empty()).then(|| Cow::Owned(others.join(", "))))
}

fn payment_token(part: &str) -> Option<&str> {
    if !part.starts_with(['p', 'P']) {
        return None;
    }
    let (scheme, rest) = part.split_once([' ', '\t']).unwrap_or((part, ""));
    scheme.eq_ignore_ascii_case("payment").then(|| rest.trim())
}

/// Splits at commas that do not stand inside a quoted string. Where a quote is never closed there is none.
pub(crate) fn split_outside_quotes(value: &str) -> impl Iterator<Item = &str> {
    let balanced = value.contains('"') && is_balanced(value);
    let mut quoted = false;
    let mut escaped = false;
    let outside = move |byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if balanced => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    };
    // A comma is a border of characters.
    value.as_bytes().split(outside).filter_map(|part| core::str::from_utf8(part).ok()).map(str::trim)
}

fn is_balanced(value: &str) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for byte in value.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

/// A parsed credential. Nothing in it is verified yet.
#[derive(Deserialize)]
pub struct Credential {
    /// The challenge as the client returned it.
    pub challenge: EchoedChallenge,
    /// The proof, whose shape the payment method defines.
    pub payload: Box<RawValue>,
    /// Who pays, as a DID; optional.
    #[serde(default)]
    pub source: Option<String>,
}

// A credential is a bearer token until it is spent: it must not reach a log by accident.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("challenge", &self.challenge.id).finish_non_exhaustive()
    }
}

/// The challenge inside a credential.
#[derive(Clone, Debug, Deserialize)]
pub struct EchoedChallenge {
    /// The binding to check against the terms.
    pub id: String,
    /// See [`Parameters`].
    pub realm: String,
    /// See [`Parameters`].
    pub method: String,
    /// See [`Parameters`].
    pub intent: String,
    /// See [`Parameters`].
    pub request: String,
    /// See [`Parameters`].
    #[serde(default)]
    pub expires: Option<String>,
    /// See [`Parameters`].
    #[serde(default)]
    pub digest: Option<String>,
    /// See [`Parameters`].
    #[serde(default, deserialize_with = "opaque_text")]
    pub opaque: Option<String>,
    /// See [`Parameters`].
    #[serde(default)]
    pub header: Option<String>,
}

/// Why the text is not a credential. The message says what was wrong and never repeats the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidCredential {
    /// The token is not base64url or base64.
    Base64,
    /// The decoded bytes are not the JSON of a credential; serde's message without the values.
    Json(String),
}

impl Credential {
    /// Reads the base64 text after `Payment `.
    ///
    /// # Errors
    /// [`InvalidCredential`] when it is not base64 of a credential's JSON.
    pub fn parse(token: &str) -> Result<Self, InvalidCredential> {
        let json = from_base64(token).map_err(|_| InvalidCredential::Base64)?;
        // Text like all other JSON here: reading it from bytes would be the whole of reading once more in wasm.
        let json = str::from_utf8(&json).map_err(|_| InvalidCredential::Json("it is not UTF-8".into()))?;
        serde_json::from_str(json).map_err(|error| InvalidCredential::Json(describe(&error)))
    }
}

impl EchoedChallenge {
    /// How long all of it is, in bytes.
    pub(crate) fn length(&self) -> usize {
        let optional = [&self.expires, &self.digest, &self.opaque].into_iter().flatten();
        [&self.id, &self.realm, &self.method, &self.intent, &self.request].into_iter().chain(optional).map(String::len).sum()
    }

    /// The bound terms.
    pub fn terms(&self) -> Parameters<'_> {
        Parameters {
            realm: &self.realm,
            method: &self.method,
            intent: &self.intent,
            request: &self.request,
            expires: self.expires.as_deref(),
            digest: self.digest.as_deref(),
            opaque: self.opaque.as_deref(),
            header: self.header.as_deref(),
        }
    }
}

/// `opaque` as the string it was issued as. Old clients send the decoded object instead: its JCS
/// form is what was bound.
fn opaque_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(opaque) = Option::<Box<RawValue>>::deserialize(deserializer)? else { return Ok(None) };
    read_opaque(opaque.get()).map(Some).map_err(|error| serde::de::Error::custom(error.detail))
}

fn read_opaque(opaque: &str) -> Result<String, Unreadable> {
    if !opaque.starts_with('{') {
        return json::read(opaque);
    }
    let map: BTreeMap<String, String> = json::read(opaque)?;
    // Strings always serialise.
    Ok(to_base64url(serde_json::to_string(&map).unwrap_or_default()))
}

impl fmt::Display for InvalidCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base64 => f.write_str("the credential is not base64url"),
            Self::Json(error) => write!(f, "the credential is not the expected JSON: {error}"),
        }
    }
}

impl core::error::Error for InvalidCredential {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn split(value: &str) -> (Option<&str>, Option<String>) {
        let header = split_authorization(value).unwrap();
        (header.payment, header.others.map(Cow::into_owned))
    }

    #[test]
    fn long_lists_are_not_taken_apart() {
        let single = std::format!("Negotiate {}", "a".repeat(100_000));
        assert_eq!(split_authorization(&single).unwrap().others.as_deref(), Some(single.as_str()));
        for long in [std::format!("{single},b"), "a,".repeat(66), std::format!("a,{}", "\"".repeat(LONGEST_QUOTED))] {
            assert_eq!(split_authorization(&long), Err(InvalidAuthorization::TooLong));
        }
        assert!(split_authorization(&"a,".repeat(63)).is_ok());
    }

    #[test]
    fn the_payment_credential_is_found_among_others() {
        assert_eq!(split("Payment abc"), (Some("abc"), None));
        assert_eq!(split("pAyMeNt   abc "), (Some("abc"), None));
        assert_eq!(split("Bearer x, Payment abc"), (Some("abc"), Some("Bearer x".into())));
        assert_eq!(split("Payment abc, Basic eA=="), (Some("abc"), Some("Basic eA==".into())));
        assert_eq!(split("Payment"), (Some(""), None));
        assert_eq!(split(""), (None, None));
    }

    #[test]
    fn values_without_a_payment_credential_pass_as_they_are() {
        for value in ["Bearer x", "Digest username=\"a, Payment b\", realm=\"r\"", "Payments x", "Bearer payment"] {
            assert_eq!(split(value), (None, Some(value.into())));
        }
    }

    #[test]
    fn an_open_quote_hides_nothing() {
        assert_eq!(split(r#"Basic "x, Payment abc"#), (Some("abc"), Some(r#"Basic "x"#.into())));
    }

    #[test]
    fn two_payment_credentials_are_refused() {
        assert_eq!(split_authorization("Payment a, payment b"), Err(InvalidAuthorization::MultipleCredentials));
    }

    #[test]
    fn where_none_is_taken_no_payment_credential_stays() {
        for (value, kept) in [
            ("Payment a, payment b", None),
            ("Payment a, Bearer x, payment b", Some("Bearer x")),
            ("Bearer x, Payment a", Some("Bearer x")),
            (r#"Basic "x, Payment a, Payment b"#, Some(r#"Basic "x"#)),
            ("Payment", None),
            ("", None),
            ("Digest username=\"a, Payment b\",realm=\"r\"", Some("Digest username=\"a, Payment b\",realm=\"r\"")),
        ] {
            assert_eq!(without_payment(value).unwrap().as_deref(), kept, "{value}");
        }
    }

    fn parse(json: &str) -> Result<Credential, InvalidCredential> {
        Credential::parse(&to_base64url(json))
    }

    const CHALLENGE: &str = r#""id":"i","realm":"r","method":"evm","intent":"charge","request":"e30""#;

    #[test]
    fn unknown_keys_and_nulls_are_ignored() {
        let credential =
            parse(&format!(r#"{{"x":[1],"payload":{{}},"challenge":{{{CHALLENGE},"expires":null,"y":1}},"source":null}}"#)).unwrap();
        assert_eq!(credential.challenge.expires, None);
        assert_eq!(credential.source, None);
    }

    #[test]
    fn an_opaque_object_means_its_canonical_text() {
        let credential = parse(&format!(r#"{{"payload":{{}},"challenge":{{{CHALLENGE},"opaque":{{"b":"2","a":"1"}}}}}}"#)).unwrap();
        assert_eq!(credential.challenge.opaque, Some(to_base64url(r#"{"a":"1","b":"2"}"#)));
    }

    #[test]
    fn errors_name_the_field_and_hide_the_values() {
        let missing = parse(r#"{"payload":{}}"#).unwrap_err();
        assert_eq!(missing, InvalidCredential::Json("missing field `challenge`".into()));
        let wrong = parse(r#"{"payload":{},"challenge":"secret-value"}"#).unwrap_err();
        assert!(!format!("{wrong}").contains("secret-value"), "{wrong}");
        let twice = parse(&format!(r#"{{"payload":{{}},"payload":{{}},"challenge":{{{CHALLENGE}}}}}"#)).unwrap_err();
        assert!(format!("{twice}").contains("duplicate field `payload`"), "{twice}");
        assert_eq!(Credential::parse("ä").unwrap_err(), InvalidCredential::Base64);
        assert_eq!(Credential::parse(&to_base64url(b"{\"\xff\":1}")).unwrap_err(), InvalidCredential::Json("it is not UTF-8".into()));
    }
}
