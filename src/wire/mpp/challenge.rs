//! Challenges: what a `402` asks for, bound by an HMAC so that the gateway stores nothing
//! (`draft-httpauth-payment-01`, "Challenge binding").
//!
//! ```
//! use mpp_edge::wire::mpp::challenge::{BindingKeys, Challenge, Parameters};
//!
//! let keys = BindingKeys::new(b"at least thirty-two bytes of secret", None)?;
//! let terms = Parameters {
//!     realm: "api.example.com",
//!     method: "evm",
//!     intent: "charge",
//!     request: "e30", // base64url of the request object; here of {}
//!     expires: Some("2027-01-15T12:05:00.000Z"),
//!     digest: None,
//!     opaque: None,
//!     header: None,
//! };
//! let id = keys.bind(&terms);
//! let line = Challenge { id: &id, terms, description: Some("One API call") }.to_header();
//! assert!(line.starts_with("Payment id=\""));
//!
//! // What comes back is the gateway's own, or was changed on the way.
//! assert!(keys.verify(&id, &terms));
//! assert!(!keys.verify(&id, &Parameters { request: "e31", ..terms }));
//! # Ok::<(), mpp_edge::wire::mpp::challenge::SecretTooShort>(())
//! ```

use crate::wire::encoding::{from_base64url_strict, to_base64url};
use alloc::string::String;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The shortest secret that may bind challenges, in bytes.
pub const MIN_SECRET_BYTES: usize = 32;

/// The parameters that the challenge `id` binds. `description` is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// The protection space; never holds `|`.
    pub realm: &'a str,
    /// Payment method, `[a-z]+`.
    pub method: &'a str,
    /// Payment intent, such as `charge`.
    pub intent: &'a str,
    /// base64url of the JCS form of the request object.
    pub request: &'a str,
    /// RFC 3339 time after which the challenge is not honoured.
    pub expires: Option<&'a str>,
    /// Digest of the request body the challenge was issued for.
    pub digest: Option<&'a str>,
    /// base64url of the JCS form of a flat string map that the client returns unchanged.
    pub opaque: Option<&'a str>,
    /// The field that the credential belongs in, when it is not `Authorization`.
    pub header: Option<&'a str>,
}

/// A challenge as it goes into one `WWW-Authenticate` line.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// The binding: base64url of the HMAC-SHA256 over the terms.
    pub id: &'a str,
    /// What the id binds.
    pub terms: Parameters<'a>,
    /// A line for people; printable ASCII.
    pub description: Option<&'a str>,
}

/// The secret is shorter than [`MIN_SECRET_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretTooShort;

impl fmt::Display for SecretTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is shorter than {MIN_SECRET_BYTES} bytes")
    }
}

impl core::error::Error for SecretTooShort {}

/// The secret that binds challenges, with its key schedule computed once.
#[derive(Clone)]
struct BindingKey(Hmac<Sha256>);

/// The current secret, and the previous one while it is being rotated out.
#[derive(Clone)]
pub struct BindingKeys {
    current: BindingKey,
    previous: Option<BindingKey>,
}

impl BindingKey {
    fn new(secret: &[u8]) -> Result<Self, SecretTooShort> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(SecretTooShort);
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| SecretTooShort)
    }

    fn code(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(purpose.as_bytes()).chain_update(b" ").chain_update(text.as_bytes())
    }

    /// Takes the slots that are the same for all challenges of one offer.
    fn begin(&self, terms: &Parameters<'_>) -> Begun {
        let mut mac = self.0.clone();
        mac.update(terms.realm.as_bytes());
        for part in [terms.method, terms.intent, terms.request] {
            mac.update(b"|");
            mac.update(part.as_bytes());
        }
        Begun(mac)
    }
}

/// See [`BindingKey::begin`].
#[derive(Clone)]
struct Begun(Hmac<Sha256>);

impl Begun {
    /// Takes the other slots.
    fn end(&self, terms: &Parameters<'_>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        let rest = [terms.expires.unwrap_or_default(), terms.digest.unwrap_or_default(), terms.opaque.unwrap_or_default()];
        // The eighth slot is there only when the parameter is, so that ids from before it stay what they were.
        for part in rest.into_iter().chain(terms.header) {
            mac.update(b"|");
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// What all challenges of one offer in one protection space have in common, hashed and written once: most of a challenge.
#[derive(Clone)]
pub struct Prepared {
    realm: String,
    current: Begun,
    previous: Option<Begun>,
    /// Its part of the `WWW-Authenticate` line.
    line: String,
}

// It can bind challenges.
impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// A new challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its id.
    pub id: String,
    /// The value of its `WWW-Authenticate` line.
    pub header: String,
}

impl Prepared {
    /// The protection space.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// A new challenge with these terms. Realm, method, intent and request must be those that this was prepared for.
    pub fn issue(&self, terms: &Parameters<'_>) -> Issued {
        let id = id_of(self.current.end(terms));
        let header = to_line(&id, &self.line, terms);
        Issued { id, header }
    }

    /// [`BindingKeys::verify`] for terms whose realm, method, intent and request are those that this was prepared for.
    pub fn verify(&self, id: &str, terms: &Parameters<'_>) -> bool {
        is_by_any(id, terms, [Some(&self.current), self.previous.as_ref()])
    }
}

impl Parameters<'_> {
    fn hold(&self, character: char) -> bool {
        let optional = [self.expires, self.digest, self.opaque, self.header];
        let required = [self.realm, self.method, self.intent, self.request];
        required.into_iter().chain(optional.into_iter().flatten()).any(|part| part.contains(character))
    }
}

impl BindingKeys {
    /// Takes the secrets as bytes.
    ///
    /// # Errors
    /// [`SecretTooShort`] when either has fewer than [`MIN_SECRET_BYTES`] bytes.
    pub fn new(current: &[u8], previous: Option<&[u8]>) -> Result<Self, SecretTooShort> {
        Ok(Self { current: BindingKey::new(current)?, previous: previous.map(BindingKey::new).transpose()? })
    }

    /// The id of a new challenge with these terms.
    pub fn bind(&self, terms: &Parameters<'_>) -> String {
        id_of(self.current.begin(terms).end(terms))
    }

    /// Makes what all challenges with the realm, method, intent, request and description of this one have in common.
    pub fn prepare(&self, challenge: &Challenge<'_>) -> Prepared {
        let terms = &challenge.terms;
        let begin = |key: &BindingKey| key.begin(terms);
        let (current, previous) = (begin(&self.current), self.previous.as_ref().map(begin));
        Prepared { realm: terms.realm.into(), current, previous, line: challenge.first_parameters() }
    }

    /// A code of the secret's holder for something else than a challenge, whose id it never is: no separator stands between
    /// `purpose` and `text`.
    pub fn code(&self, purpose: &str, text: &str) -> String {
        to_base64url(self.current.code(purpose, text).finalize().into_bytes())
    }

    /// Whether `code` is ours for this, compared in constant time.
    pub fn is_code(&self, purpose: &str, text: &str, code: &str) -> bool {
        let Ok(code) = from_base64url_strict(code) else { return false };
        let is_by = |key: &BindingKey| key.code(purpose, text).verify_slice(&code).is_ok();
        !text.contains('|') && (is_by(&self.current) || self.previous.as_ref().is_some_and(is_by))
    }

    /// Whether `id` is one of ours for exactly these terms, compared in constant time.
    pub fn verify(&self, id: &str, terms: &Parameters<'_>) -> bool {
        let begin = |key: &BindingKey| key.begin(terms);
        let (current, previous) = (begin(&self.current), self.previous.as_ref().map(begin));
        is_by_any(id, terms, [Some(&current), previous.as_ref()])
    }
}

fn id_of(mac: Hmac<Sha256>) -> String {
    to_base64url(mac.finalize().into_bytes())
}

fn is_by_any(id: &str, terms: &Parameters<'_>, begun: [Option<&Begun>; 2]) -> bool {
    let Ok(id) = from_base64url_strict(id) else { return false };
    // With a separator inside, the slots of one challenge could be read as those of another.
    !terms.hold('|') && begun.into_iter().flatten().any(|begun| begun.end(terms).verify_slice(&id).is_ok())
}

impl Challenge<'_> {
    /// The value of one `WWW-Authenticate` line. Parameters in the order that the deployed clients
    /// write them, every value quoted.
    pub fn to_header(&self) -> String {
        to_line(self.id, &self.first_parameters(), &self.terms)
    }

    /// Those between the id and what differs from challenge to challenge.
    fn first_parameters(&self) -> String {
        let terms = &self.terms;
        let mut line = String::with_capacity(128 + terms.request.len());
        let first = [("realm", terms.realm), ("method", terms.method), ("intent", terms.intent), ("request", terms.request)];
        for (name, value) in first.into_iter().chain(self.description.map(|description| ("description", description))) {
            push_parameter(&mut line, name, value);
        }
        line
    }
}

fn to_line(id: &str, first: &str, terms: &Parameters<'_>) -> String {
    let mut line = String::with_capacity(384 + first.len());
    line.push_str("Payment id=\"");
    line.push_str(id);
    line.push('"');
    line.push_str(first);
    let rest = [("digest", terms.digest), ("expires", terms.expires), ("header", terms.header), ("opaque", terms.opaque)];
    for (name, value) in rest {
        if let Some(value) = value {
            push_parameter(&mut line, name, value);
        }
    }
    line
}

fn push_parameter(line: &mut String, name: &str, value: &str) {
    for part in [", ", name, "=\""] {
        line.push_str(part);
    }
    for part in value.split_inclusive(['"', '\\']) {
        match part.strip_suffix(['"', '\\']) {
            Some(plain) => {
                line.push_str(plain);
                line.push('\\');
                line.push_str(part.get(plain.len()..).unwrap_or_default());
            }
            None => line.push_str(part),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const PARAMETERS: Parameters<'_> = Parameters {
        realm: "api.example.com",
        method: "evm",
        intent: "charge",
        request: "e30",
        expires: Some("2027-01-15T12:05:00.000Z"),
        digest: None,
        opaque: None,
        header: None,
    };

    fn keys(current: u8, previous: Option<u8>) -> BindingKeys {
        let previous = previous.map(|byte| [byte; 32]);
        BindingKeys::new(&[current; 32], previous.as_ref().map(<[u8; 32]>::as_slice)).unwrap()
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(BindingKeys::new(&[1; 31], None).is_err());
        assert!(BindingKeys::new(&[1; 32], Some(&[1; 31])).is_err());
    }

    #[test]
    fn every_bound_term_changes_the_id() {
        let keys = keys(1, None);
        let id = keys.bind(&PARAMETERS);
        assert!(keys.verify(&id, &PARAMETERS));
        let edited = [
            Parameters { realm: "api.example.con", ..PARAMETERS },
            Parameters { method: "abstract", ..PARAMETERS },
            Parameters { intent: "session", ..PARAMETERS },
            Parameters { request: "e31", ..PARAMETERS },
            Parameters { expires: None, ..PARAMETERS },
            Parameters { digest: Some("sha-256=x"), ..PARAMETERS },
            Parameters { opaque: Some("e30"), ..PARAMETERS },
            Parameters { header: Some("Payment-Authorization"), ..PARAMETERS },
        ];
        for terms in edited {
            assert!(!keys.verify(&id, &terms), "{terms:?}");
        }
        for bad in ["", "AAAA", "ä", id.get(1..).unwrap()] {
            assert!(!keys.verify(bad, &PARAMETERS), "{bad}");
        }
    }

    #[test]
    fn a_separator_inside_a_term_does_not_move_the_others() {
        let keys = keys(1, None);
        let id = keys.bind(&Parameters { opaque: Some("e30"), header: Some("Payment-Authorization"), ..PARAMETERS });
        let moved = Parameters { opaque: Some("e30|Payment-Authorization"), ..PARAMETERS };
        assert_eq!(keys.bind(&moved), id, "the same bytes are bound");
        assert!(!keys.verify(&id, &moved));
    }

    #[test]
    fn the_previous_secret_is_honoured_while_it_is_configured() {
        let old = keys(1, None).bind(&PARAMETERS);
        assert!(keys(2, Some(1)).verify(&old, &PARAMETERS));
        assert!(!keys(2, None).verify(&old, &PARAMETERS));
        assert_ne!(keys(2, Some(1)).bind(&PARAMETERS), old);
    }

    #[test]
    fn what_is_prepared_issues_and_verifies_the_same() {
        let keys = keys(2, Some(1));
        let description = Some(r#"one "call""#);
        let terms = Parameters { digest: Some("sha-256=x"), opaque: Some("e30"), header: Some("Payment-Authorization"), ..PARAMETERS };
        for terms in [PARAMETERS, terms] {
            let prepared = keys.prepare(&Challenge { id: "", terms: PARAMETERS, description });
            let issued = prepared.issue(&terms);
            assert_eq!(issued.id, keys.bind(&terms));
            assert_eq!(issued.header, Challenge { id: &issued.id, terms, description }.to_header());
            for edited in [
                terms,
                Parameters { expires: None, ..terms },
                Parameters { opaque: Some("e31"), ..terms },
                Parameters { opaque: Some("e30|Payment-Authorization"), header: None, ..terms },
            ] {
                assert_eq!(prepared.verify(&issued.id, &edited), keys.verify(&issued.id, &edited), "{edited:?}");
                assert_eq!(prepared.verify(&issued.id, &edited), edited == terms, "{edited:?}");
            }
            let old = self::keys(1, None).bind(&terms);
            assert!(prepared.verify(&old, &terms), "under the previous secret");
            assert!(!prepared.verify(&self::keys(3, None).bind(&terms), &terms));
        }
    }

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        let challenge = Challenge { id: "i", terms: PARAMETERS, description: Some(r#"say "hi" \ bye"#) };
        assert_eq!(
            challenge.to_header(),
            r#"Payment id="i", realm="api.example.com", method="evm", intent="charge", request="e30", description="say \"hi\" \\ bye", expires="2027-01-15T12:05:00.000Z""#.to_string()
        );
    }
}
