//! Networks that a configuration can name instead of spelling them out.

use crate::evm::{Address, ChainId};
use alloy_primitives::address;

/// What is known of a network.
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) chain_id: ChainId,
    pub(crate) rpc_url: &'static str,
    /// The channel escrow of the method `abstract`.
    pub(crate) escrow: Option<Address>,
    /// US dollars with 6 decimals and ERC-3009: Circle's, or what was bridged from there.
    pub(crate) token: Address,
    /// Name and version of the token's EIP-712 domain, where they are known. Always checked against the
    /// token's `DOMAIN_SEPARATOR()`; read from the token where they are not.
    pub(crate) token_domain: Option<(&'static str, &'static str)>,
}

/// Decimal places of every preset's token.
pub(crate) const PRESET_DECIMALS: u8 = 6;

/// Abstract's.
const ESCROW: Option<Address> = Some(address!("0x29635C384f451a72ED2e2a312BCeb8b0bDC0923c"));

const USD_COIN: Option<(&str, &str)> = Some(("USD Coin", "2"));

pub(crate) const PRESETS: [Preset; 9] = [
    Preset {
        name: "abstract",
        chain_id: 2741,
        rpc_url: "https://api.mainnet.abs.xyz",
        escrow: ESCROW,
        token: address!("0x84A71ccD554Cc1b02749b35d22F684CC8ec987e1"),
        token_domain: Some(("Bridged USDC (Stargate)", "2")),
    },
    Preset {
        name: "abstract-testnet",
        chain_id: 11124,
        rpc_url: "https://api.testnet.abs.xyz",
        escrow: ESCROW,
        token: address!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61"),
        token_domain: None,
    },
    Preset {
        name: "base",
        chain_id: 8453,
        rpc_url: "https://mainnet.base.org",
        escrow: None,
        token: address!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
        token_domain: USD_COIN,
    },
    Preset {
        name: "base-sepolia",
        chain_id: 84532,
        rpc_url: "https://sepolia.base.org",
        escrow: None,
        token: address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
        token_domain: Some(("USDC", "2")),
    },
    Preset {
        name: "ethereum",
        chain_id: 1,
        rpc_url: "https://ethereum-rpc.publicnode.com",
        escrow: None,
        token: address!("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
        token_domain: USD_COIN,
    },
    Preset {
        name: "arbitrum",
        chain_id: 42161,
        rpc_url: "https://arb1.arbitrum.io/rpc",
        escrow: None,
        token: address!("0xaf88d065e77c8cC2239327C5EDb3A432268e5831"),
        token_domain: USD_COIN,
    },
    Preset {
        name: "optimism",
        chain_id: 10,
        rpc_url: "https://mainnet.optimism.io",
        escrow: None,
        token: address!("0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85"),
        token_domain: USD_COIN,
    },
    Preset {
        name: "polygon",
        chain_id: 137,
        rpc_url: "https://polygon-rpc.com",
        escrow: None,
        token: address!("0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"),
        token_domain: USD_COIN,
    },
    Preset {
        name: "avalanche",
        chain_id: 43114,
        rpc_url: "https://api.avax.network/ext/bc/C/rpc",
        escrow: None,
        token: address!("0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E"),
        token_domain: USD_COIN,
    },
];

/// Whether the chain is one of Abstract's, on which the method `abstract` is understood.
pub(crate) const fn is_abstract(chain_id: ChainId) -> bool {
    matches!(chain_id, 2741 | 11124)
}
