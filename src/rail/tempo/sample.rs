//! Transactions as clients make them, for tests.

use super::memo::Bound;
use super::transaction::EXPIRING;
use crate::evm::key::PrivateKey;
use crate::evm::{Address, B256, U256, keccak256};
use alloc::vec::Vec;
use alloy_primitives::address;
use alloy_rlp::{Encodable, Header};

pub(super) const TOKEN: Address = address!("0x20c0000000000000000000000000000000000000");
pub(super) const RECIPIENT: Address = address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
pub(super) const CHAIN: u64 = 42431;
pub(super) const ID: &str = "kM9xPqWvT2nJrHsY4aDfEbkM9xPqWvT2nJrHsY4aDfE";
pub(super) const REALM: &str = "api.example.com";

/// The payer's.
pub(super) fn key() -> PrivateKey {
    PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap()
}

/// Somebody else's.
pub(super) fn other_key() -> PrivateKey {
    PrivateKey::parse("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d").unwrap()
}

/// A transaction, each field as RLP.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) fields: Vec<Vec<u8>>,
    pub(super) key_authorization: Option<Vec<u8>>,
}

/// The places of fields.
pub(super) const CHAIN_ID: usize = 0;
pub(super) const PRIORITY_FEE: usize = 1;
pub(super) const MAX_FEE: usize = 2;
pub(super) const GAS: usize = 3;
pub(super) const CALLS: usize = 4;
pub(super) const ACCESS_LIST: usize = 5;
pub(super) const NONCE_KEY: usize = 6;
pub(super) const NONCE: usize = 7;
pub(super) const VALID_BEFORE: usize = 8;
pub(super) const VALID_AFTER: usize = 9;
pub(super) const FEE_TOKEN: usize = 10;
pub(super) const FEES: usize = 11;
pub(super) const AUTHORIZATIONS: usize = 12;

pub(super) fn rlp(value: &impl Encodable) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

pub(super) fn rlp_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes.encode(&mut out);
    out
}

pub(super) fn rlp_list(items: &[Vec<u8>]) -> Vec<u8> {
    let payload: Vec<u8> = items.concat();
    let mut out = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend(payload);
    out
}

/// A call, without value.
pub(super) fn call(to: Address, data: &[u8]) -> Vec<u8> {
    rlp_list(&[rlp(&to), rlp(&U256::ZERO), rlp_bytes(data)])
}

pub(super) fn transfer(to: Address, amount: u128) -> Vec<u8> {
    [&[0xa9, 0x05, 0x9c, 0xbb][..], to.into_word().as_slice(), &U256::from(amount).to_be_bytes::<32>()].concat()
}

pub(super) fn transfer_with_memo(to: Address, amount: u128, memo: B256) -> Vec<u8> {
    let mut data = transfer(to, amount);
    data.splice(..4, [0x95, 0x77, 0x7d, 0x59]);
    data.extend(memo);
    data
}

impl Sample {
    /// That pays `amount` for the challenge, and ends at `valid_before`.
    pub(super) fn paying(amount: u128, valid_before: u64) -> Self {
        let memo = Bound::to(REALM, ID).memo(None);
        Self::calling(&[call(TOKEN, &transfer_with_memo(RECIPIENT, amount, memo))], valid_before)
    }

    pub(super) fn calling(calls: &[Vec<u8>], valid_before: u64) -> Self {
        let fields = [
            rlp(&CHAIN),
            rlp(&1_000_000_000u64),
            rlp(&25_000_000_000u64),
            rlp(&800_000u64),
            rlp_list(calls),
            rlp_list(&[]),
            rlp(&EXPIRING),
            rlp(&0u64),
            rlp(&valid_before),
            rlp(&0u64),
            rlp_bytes(&[]),
            rlp_bytes(&[]),
            rlp_list(&[]),
        ];
        Self { fields: fields.into(), key_authorization: None }
    }

    pub(super) fn with(mut self, place: usize, field: Vec<u8>) -> Self {
        self.fields[place] = field;
        self
    }

    /// The whole with a signature at the end, or without one.
    pub(super) fn bytes(&self, kind: u8, signature: Option<&[u8]>) -> Vec<u8> {
        let mut items = self.fields.clone();
        items.extend(self.key_authorization.clone());
        items.extend(signature.map(rlp_bytes));
        [&[kind][..], &rlp_list(&items)].concat()
    }

    /// A transaction that pays its own fees.
    pub(super) fn signed(&self, key: &PrivateKey) -> Vec<u8> {
        self.bytes(0x76, Some(&key.sign(keccak256(self.bytes(0x76, None))).to_bytes()))
    }

    /// What is handed to a fee payer, by `sender`.
    pub(super) fn for_fee_payer(&self, key: &PrivateKey, sender: Address) -> Vec<u8> {
        let presigned = self.clone().with(FEES, rlp_bytes(&[0]));
        let signature = key.sign(keccak256(presigned.bytes(0x76, None))).to_bytes();
        self.clone().with(FEES, rlp(&sender)).bytes(0x78, Some(&signature))
    }
}
