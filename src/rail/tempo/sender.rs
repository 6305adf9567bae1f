//! Signatures by accounts of Tempo. What kind one is says its length, or its first byte.

use crate::evm::signature::{InvalidSignature, Signature};
use crate::evm::{Address, B256};
use core::fmt;

/// A signature in its one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderSignature(Signature);

/// What cannot be checked without a node, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSender {
    /// There is none.
    Missing,
    /// It is of a kind that is not checked here.
    Unsupported(&'static str),
    /// Of no kind that is known.
    Unknown,
    /// It is not canonical, or nobody's.
    Signature(InvalidSignature),
}

/// Wallets may put this behind a signature, to say whose rules it follows. It does not go into blocks.
const TRAILER: [u8; 32] = [0x77; 32];

impl fmt::Display for InvalidSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("has no signature by its sender"),
            Self::Unsupported(kind) => {
                write!(f, "its senderSignature is {kind}, which is not taken here; pay from an account with a secp256k1 key")
            }
            Self::Unknown => f.write_str("its senderSignature is of no kind that is known"),
            Self::Signature(invalid) => write!(f, "its senderSignature: {invalid}"),
        }
    }
}

impl core::error::Error for InvalidSender {}

impl SenderSignature {
    /// Reads a signature. Of 65 bytes it is `r ‖ s ‖ v` over secp256k1, where `v` is 0 or 27 when the point is even, 1 or 28 when it is odd.
    ///
    /// # Errors
    /// [`InvalidSender`]
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidSender> {
        let bytes = bytes.strip_suffix(&TRAILER).unwrap_or(bytes);
        if let Ok(bytes) = <[u8; 65]>::try_from(bytes) {
            let [scalars @ .., v] = bytes;
            let v = match v {
                0 | 1 => 27 + v,
                v => v,
            };
            let mut canonical = [v; 65];
            canonical.split_at_mut(64).0.copy_from_slice(&scalars);
            return Signature::from_bytes(&canonical).map(Self).map_err(InvalidSender::Signature);
        }
        Err(match bytes {
            [] => InvalidSender::Missing,
            [0x01, ..] => InvalidSender::Unsupported("by a P-256 key"),
            [0x02, ..] => InvalidSender::Unsupported("by a passkey (WebAuthn)"),
            [0x03 | 0x04, ..] => InvalidSender::Unsupported("by an access key"),
            [0x05, ..] => InvalidSender::Unsupported("by several owners (multisig)"),
            _ => InvalidSender::Unknown,
        })
    }

    /// Who has signed `digest`.
    ///
    /// # Errors
    /// [`InvalidSender::Signature`]
    pub fn recover(&self, digest: B256) -> Result<Address, InvalidSender> {
        self.0.recover(digest).map_err(InvalidSender::Signature)
    }

    /// The bytes that nodes hash, 65.
    pub fn to_bytes(self) -> [u8; 65] {
        self.0.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::keccak256;
    use crate::evm::key::PrivateKey;
    use alloc::format;
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn signed() -> (Address, B256, [u8; 65]) {
        let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
        let digest = keccak256(b"digest");
        (key.address(), digest, key.sign(digest).to_bytes())
    }

    #[test]
    fn each_way_to_say_the_parity_gives_the_same_bytes() {
        let (signer, digest, bytes) = signed();
        for v in [bytes[64] - 27, bytes[64]] {
            let mut written = bytes;
            written[64] = v;
            let read = SenderSignature::decode(&written).unwrap();
            assert_eq!((read.to_bytes(), read.recover(digest)), (bytes, Ok(signer)));
        }
        for v in (2..27).chain(29..=255) {
            let mut written = bytes;
            written[64] = v;
            assert_eq!(SenderSignature::decode(&written), Err(InvalidSender::Signature(InvalidSignature::RecoveryId)), "{v}");
        }
    }

    #[test]
    fn a_trailer_is_left_out() {
        let (.., bytes) = signed();
        let mut with = Vec::from(bytes);
        with.extend_from_slice(&[0x77; 32]);
        assert_eq!(SenderSignature::decode(&with).unwrap().to_bytes(), bytes);
        *with.last_mut().unwrap() = 0x78;
        assert_eq!(SenderSignature::decode(&with).map(drop), Err(InvalidSender::Unknown));
    }

    #[test]
    fn what_is_not_checked_here_is_refused_by_its_name() {
        for (kind, length, name) in [
            (0x01, 130, "by a P-256 key"),
            (0x02, 300, "by a passkey (WebAuthn)"),
            (0x03, 86, "by an access key"),
            (0x04, 86, "by an access key"),
            (0x05, 200, "by several owners (multisig)"),
        ] {
            let mut bytes = alloc::vec![0x11; length];
            bytes[0] = kind;
            assert_eq!(SenderSignature::decode(&bytes), Err(InvalidSender::Unsupported(name)));
            assert!(format!("{}", InvalidSender::Unsupported(name)).contains("senderSignature"));
        }
        assert_eq!(SenderSignature::decode(&[]), Err(InvalidSender::Missing));
        assert_eq!(SenderSignature::decode(&[0x06; 66]), Err(InvalidSender::Unknown));
        assert_eq!(SenderSignature::decode(&[0x1b; 64]), Err(InvalidSender::Unknown));
    }
}
