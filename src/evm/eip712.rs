//! EIP-712 typed data: the domain of a contract and the digest that is signed.

use super::{Address, B256, ChainId, U256, keccak256};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use alloy_sol_types::Eip712Domain;

/// A signing domain: `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`, the last where it is that of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    separator: B256,
}

impl Domain {
    /// The domain of `contract` on a chain.
    pub fn new(name: &str, version: &str, chain_id: ChainId, contract: Address) -> Self {
        let domain = Eip712Domain::new(
            Some(Cow::Owned(String::from(name))),
            Some(Cow::Owned(String::from(version))),
            Some(U256::from(chain_id)),
            Some(contract),
            None,
        );
        Self { separator: domain.hash_struct() }
    }

    /// The domain of no contract on a chain.
    pub fn of_chain(name: &str, version: &str, chain_id: ChainId) -> Self {
        let (name, version) = (Cow::Owned(String::from(name)), Cow::Owned(String::from(version)));
        let domain = Eip712Domain::new(Some(name), Some(version), Some(U256::from(chain_id)), None, None);
        Self { separator: domain.hash_struct() }
    }

    /// The domain separator, as the contract's `DOMAIN_SEPARATOR()` gives it.
    pub const fn separator(&self) -> B256 {
        self.separator
    }

    /// The digest to sign for a struct whose hash is `struct_hash`.
    pub fn digest(&self, struct_hash: B256) -> B256 {
        let mut message = Vec::with_capacity(66);
        message.extend_from_slice(&[0x19, 0x01]);
        message.extend_from_slice(self.separator.as_slice());
        message.extend_from_slice(struct_hash.as_slice());
        keccak256(message)
    }
}
