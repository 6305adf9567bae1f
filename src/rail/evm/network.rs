//! Networks that a configuration can name instead of spelling them out.

use crate::evm::{Address, ChainId};
use alloy_primitives::address;

/// What is known of a network.
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) chain_id: ChainId,
    pub(crate) rpc_url: &'static str,
    pub(crate) escrow: Address,
    /// USDC.e, 6 decimals, ERC-3009.
    pub(crate) token: Address,
    pub(crate) token_decimals: u8,
    /// Name and version of the token's EIP-712 domain, where they are known. Always checked against the
    /// token's `DOMAIN_SEPARATOR()`; read from the token where they are not.
    pub(crate) token_domain: Option<(&'static str, &'static str)>,
}

const ESCROW: Address = address!("0x29635C384f451a72ED2e2a312BCeb8b0bDC0923c");

pub(crate) const PRESETS: [Preset; 2] = [
    Preset {
        name: "abstract",
        chain_id: 2741,
        rpc_url: "https://api.mainnet.abs.xyz",
        escrow: ESCROW,
        token: address!("0x84A71ccD554Cc1b02749b35d22F684CC8ec987e1"),
        token_decimals: 6,
        token_domain: Some(("Bridged USDC (Stargate)", "2")),
    },
    Preset {
        name: "abstract-testnet",
        chain_id: 11124,
        rpc_url: "https://api.testnet.abs.xyz",
        escrow: ESCROW,
        token: address!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61"),
        token_decimals: 6,
        token_domain: None,
    },
];

/// Whether the chain is one of Abstract's, on which the method `abstract` is understood.
pub(crate) fn is_abstract(chain_id: ChainId) -> bool {
    PRESETS.iter().any(|preset| preset.chain_id == chain_id)
}
