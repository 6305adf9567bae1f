//! ECDSA signatures over secp256k1, accepted only in the one form that the chain accepts.

use super::recovery::{self, Known};
use super::{Address, B256, keccak256, parse};
use alloc::format;
use alloy_primitives::FixedBytes;
use core::fmt;
use k256::ecdsa::{RecoveryId, Signature as Ecdsa, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(all(target_arch = "wasm32", not(cpubits = "32")))]
compile_error!(
    "k256 would emulate 64-bit limbs on wasm, three times slower: build with --cfg cpubits=\"32\" (.cargo/config.toml has it; a RUSTFLAGS variable silently drops it)"
);

/// A canonical signature: `r` and `s` in [1, n), `s` in the lower half of the order (EIP-2), `v` 27 or 28.
/// There is exactly one such encoding for a signer and a digest's `r`, so it can be compared.
///
/// ```
/// use mpp_edge::evm::key::PrivateKey;
/// use mpp_edge::evm::signature::{Signature, personal_digest};
///
/// let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
/// let digest = personal_digest("hello");
/// let signature = Signature::from_bytes(&key.sign(digest).to_bytes())?;
/// assert_eq!(signature.recover(digest)?, key.address());
/// # Ok::<(), mpp_edge::evm::signature::InvalidSignature>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    inner: Ecdsa,
    parity: bool,
}

/// Why a signature is refused before anything is recovered from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSignature {
    /// Not 65 bytes of hexadecimal. The escrow also takes the 64 bytes of ERC-2098, and any s: here a signature has one form.
    Encoding(parse::InvalidHex),
    /// `r` or `s` is zero or not below the order of the curve.
    OutOfRange,
    /// `s` is in the upper half of the order: malleable.
    HighS,
    /// `v` is neither 27 nor 28.
    RecoveryId,
    /// No public key fits the signature.
    Unrecoverable,
}

impl Signature {
    /// Reads 65 bytes `r ‖ s ‖ v`.
    pub fn from_bytes(bytes: &[u8; 65]) -> Result<Self, InvalidSignature> {
        let (scalars, v) = bytes.split_at(64);
        let parity = match v {
            [27] => false,
            [28] => true,
            _ => return Err(InvalidSignature::RecoveryId),
        };
        let inner = Ecdsa::from_slice(scalars).map_err(|_| InvalidSignature::OutOfRange)?;
        if inner.normalize_s() != inner {
            return Err(InvalidSignature::HighS);
        }
        Ok(Self { inner, parity })
    }

    /// Reads `0x` and 130 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidSignature> {
        parse::fixed_bytes(text).map_err(InvalidSignature::Encoding).and_then(|bytes| Self::from_bytes(&bytes))
    }

    pub(super) fn from_parts(inner: Ecdsa, parity: bool) -> Self {
        Self { inner, parity }
    }

    /// The address whose key signed `digest` (32 bytes).
    ///
    /// In wasm this is [`recovery`](super)'s, which k256 decides for wherever it does not decide itself.
    pub fn recover(&self, digest: B256) -> Result<Address, InvalidSignature> {
        // Natively it is there for tests alone, and k256 is sooner.
        let key = if cfg!(target_arch = "wasm32") { recovery::recover(&digest, &self.inner, self.parity) } else { None };
        key.map_or_else(|| self.recover_by_k256(digest), |key| Ok(key.address()))
    }

    /// The same, sooner where it is `expected`, whose key may be `known`; it is made known when it turns out to have signed.
    pub(super) fn recover_known(&self, digest: B256, expected: Address, known: &mut Option<Known>) -> Result<Address, InvalidSignature> {
        if let Some(known) = known {
            return if known.signed(&digest, &self.inner, self.parity) { Ok(expected) } else { self.recover(digest) };
        }
        let Some(key) = recovery::recover(&digest, &self.inner, self.parity) else { return self.recover_by_k256(digest) };
        let signer = key.address();
        if signer == expected {
            *known = Known::new(&key);
        }
        Ok(signer)
    }

    /// The reference, and on other targets than wasm all there is.
    fn recover_by_k256(&self, digest: B256) -> Result<Address, InvalidSignature> {
        let id = RecoveryId::new(self.parity, false);
        let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &self.inner, id).map_err(|_| InvalidSignature::Unrecoverable)?;
        Ok(address_of(&key))
    }

    /// `r`, a 32-byte big-endian scalar.
    pub fn r(&self) -> B256 {
        B256::new(self.inner.r().to_bytes().into())
    }

    /// `s`, a 32-byte big-endian scalar.
    pub fn s(&self) -> B256 {
        B256::new(self.inner.s().to_bytes().into())
    }

    /// Whether the y coordinate of the nonce point is odd.
    pub const fn parity(&self) -> bool {
        self.parity
    }

    /// 27 or 28, as contracts want it.
    pub const fn v(&self) -> u8 {
        if self.parity { 28 } else { 27 }
    }

    /// The 65 bytes `r ‖ s ‖ v`.
    pub fn to_bytes(&self) -> [u8; 65] {
        let mut bytes = [self.v(); 65];
        for (to, from) in bytes.iter_mut().zip(self.inner.to_bytes()) {
            *to = from;
        }
        bytes
    }
}

/// The digest of a personal message (EIP-191 version `0x45`, `personal_sign`).
pub fn personal_digest(message: &str) -> B256 {
    keccak256(format!("\u{19}Ethereum Signed Message:\n{}{message}", message.len()))
}

/// The address of a public key: the last 20 bytes of the hash of its uncompressed point.
pub(super) fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_sec1_point(false);
    let coordinates = point.as_bytes().get(1..).unwrap_or_default();
    Address::from_word(keccak256(coordinates))
}

// A signature is money until it is spent.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FixedBytes(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = FixedBytes::<65>::deserialize(deserializer)?;
        Self::from_bytes(&bytes.0).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for InvalidSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(error) => write!(f, "the signature {error}"),
            Self::OutOfRange => f.write_str("the signature's r or s is zero or not below the curve's order"),
            Self::HighS => f.write_str("the signature's s is in the upper half of the curve's order; sign with the lower one"),
            Self::RecoveryId => f.write_str("the signature's v must be 27 or 28"),
            Self::Unrecoverable => f.write_str("the signature belongs to no public key; sign again"),
        }
    }
}

impl core::error::Error for InvalidSignature {}

#[cfg(test)]
mod tests {
    use super::super::key::PrivateKey;
    use super::*;
    use alloy_primitives::hex;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    // anvil's first account.
    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const ORDER: [u8; 32] = hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

    fn signed() -> (PrivateKey, B256, Signature) {
        let key = PrivateKey::parse(KEY).unwrap();
        let digest = keccak256(b"digest");
        let signature = key.sign(digest);
        (key, digest, signature)
    }

    #[test]
    fn the_signer_is_recovered() {
        let (key, digest, signature) = signed();
        assert_eq!(signature.recover(digest), Ok(key.address()));
        assert_eq!(Signature::from_bytes(&signature.to_bytes()), Ok(signature));
        assert_ne!(signature.recover(keccak256(b"other")), Ok(key.address()));
    }

    #[test]
    fn every_other_encoding_is_refused() {
        let (_, _, signature) = signed();
        let good = signature.to_bytes();
        for v in (0..=255).filter(|v| ![27, 28].contains(v)) {
            let mut bytes = good;
            bytes[64] = v;
            assert_eq!(Signature::from_bytes(&bytes), Err(InvalidSignature::RecoveryId));
        }
        let mut zero_r = good;
        zero_r[..32].fill(0);
        assert_eq!(Signature::from_bytes(&zero_r), Err(InvalidSignature::OutOfRange));
        let mut zero_s = good;
        zero_s[32..64].fill(0);
        assert_eq!(Signature::from_bytes(&zero_s), Err(InvalidSignature::OutOfRange));
        let mut big_r = good;
        big_r[..32].copy_from_slice(&ORDER);
        assert_eq!(Signature::from_bytes(&big_r), Err(InvalidSignature::OutOfRange));
        let high_s = alloy_primitives::U256::from_be_bytes(ORDER) - alloy_primitives::U256::from_be_slice(&good[32..64]);
        let mut malleated = good;
        malleated[32..64].copy_from_slice(&high_s.to_be_bytes::<32>());
        malleated[64] = if good[64] == 27 { 28 } else { 27 };
        assert_eq!(Signature::from_bytes(&malleated), Err(InvalidSignature::HighS));
        let compact = hex::encode_prefixed(&good[..64]);
        assert_eq!(Signature::parse(&compact), Err(InvalidSignature::Encoding(parse::InvalidHex::WrongLength { expected: 130 })));
    }
}
