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

    fn mac(&self, terms: &Parameters<'_>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(terms.realm.as_bytes());
        let rest = [
            terms.method,
            terms.intent,
            terms.request,
            terms.expires.unwrap_or_default(),
            terms.digest.unwrap_or_default(),
            terms.opaque.unwrap_or_default(),
        ];
        // The eighth slot is there only when the parameter is, so that ids from before it stay what they were.
        for part in rest.into_iter().chain(terms.header) {
            mac.update(b"|");
            mac.update(part.as_bytes());
        }
        mac
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
        to_base64url(self.current.mac(terms).finalize().into_bytes())
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
        let Ok(id) = from_base64url_strict(id) else { return false };
        // With a separator inside, the slots of one challenge could be read as those of another.
        if terms.hold('|') {
            return false;
        }
        let is_by = |key: &BindingKey| key.mac(terms).verify_slice(&id).is_ok();
        is_by(&self.current) || self.previous.as_ref().is_some_and(is_by)
    }
}

impl Challenge<'_> {
    /// The value of one `WWW-Authenticate` line. Parameters in the order that the deployed clients
    /// write them, every value quoted.
    pub fn to_header(&self) -> String {
        let terms = &self.terms;
        let mut line = String::with_capacity(256 + terms.request.len());
        line.push_str("Payment ");
        push_parameter(&mut line, "id", self.id);
        let rest = [
            ("realm", Some(terms.realm)),
            ("method", Some(terms.method)),
            ("intent", Some(terms.intent)),
            ("request", Some(terms.request)),
            ("description", self.description),
            ("digest", terms.digest),
            ("expires", terms.expires),
            ("header", terms.header),
            ("opaque", terms.opaque),
        ];
        for (name, value) in rest {
            if let Some(value) = value {
                line.push_str(", ");
                push_parameter(&mut line, name, value);
            }
        }
        line
    }
}

fn push_parameter(line: &mut String, name: &str, value: &str) {
    line.push_str(name);
    line.push_str("=\"");
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            line.push('\\');
        }
        line.push(character);
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
    fn quotes_and_backslashes_are_escaped() {
        let challenge = Challenge { id: "i", terms: PARAMETERS, description: Some(r#"say "hi" \ bye"#) };
        assert_eq!(
            challenge.to_header(),
            r#"Payment id="i", realm="api.example.com", method="evm", intent="charge", request="e30", description="say \"hi\" \\ bye", expires="2027-01-15T12:05:00.000Z""#.to_string()
        );
    }
}
