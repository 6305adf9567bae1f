//! What Ethereum defines. Addresses, hashes and 256-bit words are [`alloy_primitives`]' types;
//! money is [`Amount`](crate::money::Amount).

pub mod eip712;
pub mod erc3009;
pub mod escrow;
pub mod gather;
pub mod jsonrpc;
pub mod key;
pub mod multicall;
pub mod parse;
pub mod reading;
#[cfg_attr(
    not(any(all(target_arch = "wasm32", feature = "relaxed-simd"), all(test, not(target_arch = "wasm32")))),
    path = "recovery/none.rs"
)]
mod recovery;
pub mod signature;
pub mod signers;
pub mod transaction;

pub use alloy_primitives::{Address, B256, U256, keccak256};

/// EIP-155 chain id.
pub type ChainId = u64;
