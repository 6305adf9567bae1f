//! The `digest` parameter of a challenge: the SHA-256 of the request body it was issued for
//! (`draft-httpauth-payment-00`, after RFC 9530's `Content-Digest`).

use crate::wire::encoding::{from_base64, to_base64};
use alloc::string::String;
use core::fmt;
use sha2::{Digest, Sha256};

/// The SHA-256 of a request body, 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    /// Hashes a whole body.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// What was hashed elsewhere.
    pub const fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    pub const fn sha256(self) -> [u8; 32] {
        self.0
    }

    /// Reads `sha-256=<base64>` as the SDKs write it, or `sha-256=:<base64>:` as the draft does.
    pub fn parse(text: &str) -> Option<Self> {
        let value = text.strip_prefix("sha-256=")?;
        let value = value.strip_prefix(':').and_then(|v| v.strip_suffix(':')).unwrap_or(value);
        from_base64(value).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha-256={}", to_base64(self.0))
    }
}

/// The SHA-256 of `text` as base64url, for values that are bound by hash because they may be long.
pub fn sha256_base64url(text: &[u8]) -> String {
    crate::wire::encoding::to_base64url(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn both_spellings_are_read_and_the_plain_one_is_written() {
        let digest = BodyDigest::of(b"hello");
        let text = digest.to_string();
        assert_eq!(text, "sha-256=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
        assert_eq!(BodyDigest::parse(&text), Some(digest));
        assert_eq!(BodyDigest::parse("sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"), Some(digest));
        for bad in ["", "sha-512=LPJN", "sha-256=", "sha-256=LPJN", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="] {
            assert_eq!(BodyDigest::parse(bad), None, "{bad}");
        }
    }
}
