//! Parsers from wire text to Ethereum's types. Nothing unchecked becomes an address or a hash.

use super::{Address, B256};
use alloc::vec::Vec;
use alloy_primitives::hex;
use core::fmt;

/// What was wrong with the text. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHex {
    /// Does not start with `0x`.
    MissingPrefix,
    /// Not the expected number of hexadecimal digits.
    WrongLength {
        /// Digits after `0x` that the type has.
        expected: usize,
    },
    /// A character that is no hexadecimal digit.
    NotHex,
    /// Mixed case that is not the EIP-55 checksum of the address.
    BadChecksum,
}

/// Reads `0x` and exactly `2 * N` hexadecimal digits of either case.
pub fn fixed_bytes<const N: usize>(text: &str) -> Result<[u8; N], InvalidHex> {
    let digits = text.strip_prefix("0x").ok_or(InvalidHex::MissingPrefix)?;
    if digits.len() != N * 2 {
        return Err(InvalidHex::WrongLength { expected: N * 2 });
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| InvalidHex::NotHex)?;
    Ok(bytes)
}

/// Reads a 32-byte hash, `0x` and 64 digits.
pub fn hash(text: &str) -> Result<B256, InvalidHex> {
    fixed_bytes(text).map(B256::new)
}

/// Reads an address in one case; in mixed case its EIP-55 checksum must be right.
pub fn address(text: &str) -> Result<Address, InvalidHex> {
    let address = Address::new(fixed_bytes(text)?);
    let digits = text.get(2..).unwrap_or_default();
    let mixed = digits.contains(|c: char| c.is_ascii_uppercase()) && digits.contains(|c: char| c.is_ascii_lowercase());
    if mixed && address.to_checksum(None) != text {
        return Err(InvalidHex::BadChecksum);
    }
    Ok(address)
}

/// Reads `0x` and any even number of digits.
pub fn bytes(text: &str) -> Result<Vec<u8>, InvalidHex> {
    let digits = text.strip_prefix("0x").ok_or(InvalidHex::MissingPrefix)?;
    hex::decode(digits).map_err(|_| InvalidHex::NotHex)
}

/// The payer named by a `did:pkh:eip155:<chainId>:<address>`.
pub fn did_pkh(text: &str) -> Option<(super::ChainId, Address)> {
    let (chain, account) = text.strip_prefix("did:pkh:eip155:")?.split_once(':')?;
    let chain = crate::money::decimal_u64(chain)?;
    Some((chain, address(account).ok()?))
}

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingPrefix => f.write_str("must start with 0x"),
            Self::WrongLength { expected } => write!(f, "must have {expected} hexadecimal digits after 0x"),
            Self::NotHex => f.write_str("holds a character that is not a hexadecimal digit"),
            Self::BadChecksum => f.write_str("has a wrong EIP-55 checksum (check for a mistyped digit)"),
        }
    }
}

impl core::error::Error for InvalidHex {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address as addr;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn addresses_in_one_case_or_with_the_right_checksum() {
        let expected = addr!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61");
        for text in [
            "0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61",
            "0xbd28bd5a3ef540d1582828ce2a1a657353008c61",
            "0xBD28BD5A3EF540D1582828CE2A1A657353008C61",
        ] {
            assert_eq!(address(text), Ok(expected));
        }
        assert_eq!(address("0xBd28Bd5A3Ef540d1582828CE2A1a657353008C61"), Err(InvalidHex::BadChecksum));
        assert_eq!(address("bd28bd5a3ef540d1582828ce2a1a657353008c61"), Err(InvalidHex::MissingPrefix));
        assert_eq!(address("0xbd28"), Err(InvalidHex::WrongLength { expected: 40 }));
        assert_eq!(address("0xzd28bd5a3ef540d1582828ce2a1a657353008c61"), Err(InvalidHex::NotHex));
        assert!(address("0xäd28bd5a3ef540d1582828ce2a1a657353008c6").is_err());
    }

    #[test]
    fn did_pkh_names_chain_and_payer() {
        let payer = addr!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61");
        assert_eq!(did_pkh("did:pkh:eip155:11124:0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61"), Some((11124, payer)));
        for text in ["", "did:pkh:eip155:11124", "did:pkh:eip155::0xbd28bd5a3ef540d1582828ce2a1a657353008c61", "did:key:z6Mk"] {
            assert_eq!(did_pkh(text), None, "{text}");
        }
    }
}
