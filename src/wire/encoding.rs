//! Base64 as the scheme uses it: base64url without padding on the way out, any common form on the
//! way in.

use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use core::fmt;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const STANDARD_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// The text is neither base64url nor standard base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBase64;

impl fmt::Display for InvalidBase64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not base64")
    }
}

impl core::error::Error for InvalidBase64 {}

/// `bytes` as base64url without padding.
pub fn to_base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE.encode(bytes)
}

/// `bytes` as standard base64 with padding, the form of digests and of x402.
pub fn to_base64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Reads base64url in the one form that [`to_base64url`] writes.
pub fn from_base64url_strict(text: &str) -> Result<Vec<u8>, InvalidBase64> {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidBase64)
}

/// Reads standard base64 with padding, in the one form that [`to_base64`] writes.
pub fn from_base64_strict(text: &str) -> Result<Vec<u8>, InvalidBase64> {
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| InvalidBase64)
}

/// Reads base64url or standard base64, padded or not.
pub fn from_base64(text: &str) -> Result<Vec<u8>, InvalidBase64> {
    let engine = if text.bytes().any(|byte| matches!(byte, b'+' | b'/')) { &STANDARD_ANY_PADDING } else { &URL_SAFE };
    engine.decode(text).map_err(|_| InvalidBase64)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn strict_base64_has_one_form() {
        assert_eq!(from_base64_strict("+/+/YQ=="), Ok([0xfb, 0xff, 0xbf, 0x61].to_vec()));
        for text in ["+/+/YQ", "-_-_YQ==", "+/+/YR==", "+/+/YQ=", " +/+/YQ==", "+/+/YQ==,+/+/YQ=="] {
            assert_eq!(from_base64_strict(text), Err(InvalidBase64), "{text}");
        }
    }

    #[test]
    fn both_alphabets_with_and_without_padding_are_read() {
        for text in ["-_-_YQ", "-_-_YQ==", "+/+/YQ", "+/+/YQ=="] {
            assert_eq!(from_base64(text), Ok([0xfb, 0xff, 0xbf, 0x61].to_vec()), "{text}");
        }
        for text in ["-/", "a", "a b", "ä", "YQ=a"] {
            assert_eq!(from_base64(text), Err(InvalidBase64), "{text}");
        }
    }
}
