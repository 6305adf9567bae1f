//! ERC-3009: transfers by signed authorization.

use super::eip712::Domain;
use super::jsonrpc::{Log, LogFilter};
use super::signature::Signature;
use super::{Address, B256, U256};
use crate::money::Amount;
use crate::time::UnixSeconds;
use alloc::vec::Vec;
use alloy_sol_types::{SolCall, SolEvent, SolStruct, sol};
use serde::{Deserialize, Serialize};

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
    function authorizationState(address authorizer, bytes32 nonce) returns (bool);
    function balanceOf(address account) returns (uint256);
    function DOMAIN_SEPARATOR() returns (bytes32);
    function name() returns (string);
    function version() returns (string);
    function decimals() returns (uint8);
    function paused() returns (bool);
    function isBlacklisted(address account) returns (bool);

    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    event Transfer(address indexed from, address indexed to, uint256 value);
}

/// An authorization to move `value` from `from` to `to` once, within a time window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// Who pays and signs.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much, in base units.
    pub value: Amount,
    /// Valid strictly after this time.
    pub valid_after: UnixSeconds,
    /// Valid strictly before this time.
    pub valid_before: UnixSeconds,
    /// Unique per payer and token, 32 bytes.
    pub nonce: B256,
}

/// An authorization with its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAuthorization {
    /// What was signed.
    pub authorization: Authorization,
    /// By the payer's key. Contract wallets (ERC-1271), whose signatures are byte strings for the
    /// `bytes` overload, are the variant to come here.
    pub signature: Signature,
}

impl Authorization {
    /// The digest the payer signs in the token's domain.
    pub fn digest(&self, domain: &Domain) -> B256 {
        let message = TransferWithAuthorization {
            from: self.from,
            to: self.to,
            value: self.value.to_u256(),
            validAfter: U256::from(self.valid_after.get()),
            validBefore: U256::from(self.valid_before.get()),
            nonce: self.nonce,
        };
        domain.digest(message.eip712_hash_struct())
    }

    /// The digest the payer signs in the token's domain when only the payee itself, a contract, may use the
    /// authorization.
    pub fn receive_digest(&self, domain: &Domain) -> B256 {
        let message = ReceiveWithAuthorization {
            from: self.from,
            to: self.to,
            value: self.value.to_u256(),
            validAfter: U256::from(self.valid_after.get()),
            validBefore: U256::from(self.valid_before.get()),
            nonce: self.nonce,
        };
        domain.digest(message.eip712_hash_struct())
    }

    /// Finds this authorization's transfer among the logs of a mined transaction: the token's
    /// `AuthorizationUsed` for the payer and nonce, directly followed by its `Transfer` of exactly this
    /// value to exactly this payee. Adjacency matters: a payer may batch several authorizations in
    /// one transaction, and one transfer must not count for two of them.
    pub fn is_settled_by(&self, token: Address, logs: &[Log]) -> bool {
        let logs: Vec<&Log> = logs.iter().filter(|log| log.address == token).collect();
        logs.windows(2).any(|pair| match pair {
            [used, transfer] => {
                used.topics == self.used_topics()
                    && transfer.topics == [Transfer::SIGNATURE_HASH, self.from.into_word(), self.to.into_word()]
                    && U256::try_from_be_slice(&transfer.data) == Some(self.value.to_u256())
            }
            _ => false,
        })
    }

    /// The topics of the log of this authorization's use.
    pub fn used_topics(&self) -> [B256; 3] {
        [AuthorizationUsed::SIGNATURE_HASH, self.from.into_word(), self.nonce]
    }

    /// The filter that finds the log of its use, or of its cancellation, among the token's logs.
    pub fn ending_filter(&self) -> LogFilter {
        let events = [AuthorizationUsed::SIGNATURE_HASH, AuthorizationCanceled::SIGNATURE_HASH];
        LogFilter([events.to_vec(), [self.from.into_word()].to_vec(), [self.nonce].to_vec()].to_vec())
    }

    /// Calldata of `authorizationState(from, nonce)`: whether the nonce is used or cancelled.
    pub fn state_call(&self) -> Vec<u8> {
        authorizationStateCall { authorizer: self.from, nonce: self.nonce }.abi_encode()
    }
}

impl SignedAuthorization {
    /// Calldata of `transferWithAuthorization` in its `(v, r, s)` form, for accounts with a key.
    pub fn transfer_call(&self) -> Vec<u8> {
        let Authorization { from, to, value, valid_after, valid_before, nonce } = self.authorization;
        transferWithAuthorizationCall {
            from,
            to,
            value: value.to_u256(),
            validAfter: U256::from(valid_after.get()),
            validBefore: U256::from(valid_before.get()),
            nonce,
            v: self.signature.v(),
            r: self.signature.r(),
            s: self.signature.s(),
        }
        .abi_encode()
    }
}

/// Calldata of `balanceOf(account)`.
pub fn balance_call(account: Address) -> Vec<u8> {
    balanceOfCall { account }.abi_encode()
}

/// Calldata of `name()`, `version()`, `DOMAIN_SEPARATOR()` and `decimals()`.
pub fn metadata_calls() -> [Vec<u8>; 4] {
    [nameCall {}.abi_encode(), versionCall {}.abi_encode(), DOMAIN_SEPARATORCall {}.abi_encode(), decimalsCall {}.abi_encode()]
}

/// Calldata of `paused()`, which Circle's tokens have.
pub fn paused_call() -> Vec<u8> {
    pausedCall {}.abi_encode()
}

/// Calldata of `isBlacklisted(account)`, which Circle's tokens have.
pub fn is_blacklisted_call(account: Address) -> Vec<u8> {
    isBlacklistedCall { account }.abi_encode()
}

/// Reads the answer of `name()` or `version()`.
pub fn decode_string(answer: &[u8]) -> Option<alloc::string::String> {
    nameCall::abi_decode_returns(answer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloy_primitives::{address, b256};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TOKEN: Address = address!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61");

    fn authorization() -> Authorization {
        Authorization {
            from: address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            to: address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
            value: Amount::from_base_units(10_000),
            valid_after: UnixSeconds::new(0),
            valid_before: UnixSeconds::new(1_800_014_700),
            nonce: b256!("0xebf0e63daf02dc2c0dbfbfda9425089437772874adcc66da65c6cf120b9bac18"),
        }
    }

    fn used(a: &Authorization) -> Log {
        Log { address: TOKEN, topics: a.used_topics().to_vec(), data: vec![].into() }
    }

    fn transfer(from: Address, to: Address, value: u128) -> Log {
        Log {
            address: TOKEN,
            topics: vec![Transfer::SIGNATURE_HASH, from.into_word(), to.into_word()],
            data: U256::from(value).to_be_bytes_vec().into(),
        }
    }

    #[test]
    fn selectors_are_the_known_ones() {
        assert_eq!(transferWithAuthorizationCall::SELECTOR, [0xe3, 0xee, 0x16, 0x0e]);
        assert_eq!(authorizationStateCall::SELECTOR, [0xe9, 0x4a, 0x01, 0x02]);
    }

    #[test]
    fn the_matching_transfer_right_after_the_use_settles() {
        let a = authorization();
        assert!(a.is_settled_by(TOKEN, &[used(&a), transfer(a.from, a.to, 10_000)]));
        let foreign = Log { address: Address::ZERO, topics: vec![], data: vec![].into() };
        assert!(a.is_settled_by(TOKEN, &[used(&a), foreign, transfer(a.from, a.to, 10_000)]));
    }

    #[test]
    fn anything_else_does_not() {
        let a = authorization();
        let other = Authorization { nonce: B256::repeat_byte(1), ..a };
        assert!(!a.is_settled_by(TOKEN, &[]));
        assert!(!a.is_settled_by(TOKEN, &[used(&a)]));
        assert!(!a.is_settled_by(TOKEN, &[transfer(a.from, a.to, 10_000)]));
        assert!(!a.is_settled_by(TOKEN, &[used(&other), transfer(a.from, a.to, 10_000)]));
        assert!(!a.is_settled_by(TOKEN, &[used(&a), transfer(a.from, a.to, 9_999)]));
        assert!(!a.is_settled_by(TOKEN, &[used(&a), transfer(a.from, a.from, 10_000)]));
        assert!(!a.is_settled_by(TOKEN, &[used(&a), transfer(a.to, a.to, 10_000)]));
        assert!(!a.is_settled_by(Address::ZERO, &[used(&a), transfer(a.from, a.to, 10_000)]));
        // Two authorizations, one payment to us: it belongs to the second.
        let batch = [used(&a), transfer(a.from, a.from, 10_000), used(&other), transfer(a.from, a.to, 10_000)];
        assert!(!a.is_settled_by(TOKEN, &batch));
        assert!(other.is_settled_by(TOKEN, &batch));
    }
}
