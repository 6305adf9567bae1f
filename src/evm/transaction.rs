//! Transactions that the settlement account sends: EIP-1559 (type 2), and the legacy form with
//! EIP-155 replay protection for chains without a base fee.

use super::key::PrivateKey;
use super::{Address, B256, ChainId, U256, keccak256};
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use alloy_rlp::{BufMut, Encodable, Header};
use serde::{Deserialize, Serialize};

/// What a unit of gas may cost, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GasPrice {
    /// EIP-1559.
    Dynamic {
        /// `maxFeePerGas`.
        max_fee: u128,
        /// `maxPriorityFeePerGas`.
        priority_fee: u128,
    },
    /// Before EIP-1559.
    Legacy(u128),
}

impl GasPrice {
    /// The most that a unit of gas may cost.
    pub const fn most(self) -> u128 {
        match self {
            Self::Dynamic { max_fee, .. } => max_fee,
            Self::Legacy(price) => price,
        }
    }
}

/// A call of a contract, without value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The contract.
    pub to: Address,
    /// Calldata.
    pub data: Bytes,
}

/// A transaction before its signature.
#[derive(Clone, Debug)]
pub struct Unsigned<'a> {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The sender's transaction count.
    pub nonce: u64,
    /// What is called.
    pub call: &'a Call,
    /// Most gas it may use.
    pub gas_limit: u64,
    /// Most it pays per gas.
    pub gas_price: GasPrice,
}

/// A transaction ready to be broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Its hash, 32 bytes.
    pub hash: B256,
    /// The bytes for `eth_sendRawTransaction`.
    pub raw: Bytes,
}

const EIP1559_TYPE: u8 = 2;

impl Unsigned<'_> {
    /// Signs with `key`.
    pub fn sign(&self, key: &PrivateKey) -> Signed {
        let unsigned = match self.gas_price {
            GasPrice::Dynamic { .. } => self.encode(&[]),
            GasPrice::Legacy(_) => self.encode(&[U256::from(self.chain_id), U256::ZERO, U256::ZERO]),
        };
        let signature = key.sign(keccak256(unsigned));
        let parity = u64::from(signature.parity());
        let v = match self.gas_price {
            GasPrice::Dynamic { .. } => U256::from(parity),
            GasPrice::Legacy(_) => U256::from(self.chain_id) * U256::from(2) + U256::from(35 + parity),
        };
        let raw = self.encode(&[v, signature.r().into(), signature.s().into()]);
        Signed { hash: keccak256(&raw), raw: raw.into() }
    }

    /// The RLP list of the fields and `tail`, behind the type byte where there is one.
    fn encode(&self, tail: &[U256]) -> Vec<u8> {
        let mut fields = Vec::with_capacity(128 + self.call.data.len());
        if let GasPrice::Dynamic { .. } = self.gas_price {
            self.chain_id.encode(&mut fields);
        }
        self.nonce.encode(&mut fields);
        match self.gas_price {
            GasPrice::Dynamic { max_fee, priority_fee } => {
                priority_fee.encode(&mut fields);
                max_fee.encode(&mut fields);
            }
            GasPrice::Legacy(gas_price) => gas_price.encode(&mut fields),
        }
        self.gas_limit.encode(&mut fields);
        self.call.to.encode(&mut fields);
        U256::ZERO.encode(&mut fields);
        self.call.data.encode(&mut fields);
        if let GasPrice::Dynamic { .. } = self.gas_price {
            Header { list: true, payload_length: 0 }.encode(&mut fields);
        }
        for word in tail {
            word.encode(&mut fields);
        }

        let mut out = Vec::with_capacity(fields.len() + 8);
        if let GasPrice::Dynamic { .. } = self.gas_price {
            out.put_u8(EIP1559_TYPE);
        }
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out
    }
}
