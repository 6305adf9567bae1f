//! The settlement account's private key.

use super::signature::{Signature, address_of};
use super::{Address, B256, parse};
use core::fmt;
use k256::ecdsa::SigningKey;

/// A secp256k1 private key with its address. Never printed.
#[derive(Clone)]
pub struct PrivateKey {
    key: SigningKey,
    address: Address,
}

/// The text is not a private key. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPrivateKey;

impl fmt::Display for InvalidPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a private key: 0x and 64 hexadecimal digits of a number between 1 and the curve's order")
    }
}

impl core::error::Error for InvalidPrivateKey {}

impl PrivateKey {
    /// Reads `0x` and 64 hexadecimal digits of a scalar in [1, n).
    pub fn parse(text: &str) -> Result<Self, InvalidPrivateKey> {
        let bytes: [u8; 32] = parse::fixed_bytes(text).map_err(|_| InvalidPrivateKey)?;
        let key = SigningKey::from_slice(&bytes).map_err(|_| InvalidPrivateKey)?;
        let address = address_of(key.verifying_key());
        Ok(Self { key, address })
    }

    /// The account the key controls.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs a 32-byte digest, deterministically (RFC 6979), with a low `s`.
    pub fn sign(&self, digest: B256) -> Signature {
        let (signature, id) = self.key.sign_prehash_recoverable(digest.as_slice());
        let low = signature.normalize_s();
        let parity = id.is_y_odd() ^ (low != signature);
        Signature::from_parts(low, parity)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloy_primitives::address;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_key_names_its_account_and_hides_itself() {
        let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
        assert_eq!(key.address(), address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert!(!format!("{key:?}").contains("ac0974"));
        for text in [
            "",
            "0x00",
            "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
            &format!("0x{}", "0".repeat(64)),
            &format!("0x{}", "f".repeat(64)),
        ] {
            assert!(PrivateKey::parse(text).is_err(), "{text}");
        }
    }
}
