//! The configuration: as it is written (`Raw…`), and as it is once [`super::validate`] has passed it.

use super::route::{Pattern, Router};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, ChainId};
use crate::protocol::challenge::BindingKeys;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// `[vars.gateway]` as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawGateway {
    pub(super) network: Option<String>,
    pub(super) chain_id: Option<ChainId>,
    pub(super) rpc_urls: Option<Vec<String>>,
    pub(super) escrow: Option<String>,
    pub(super) token: Option<RawToken>,
    pub(super) recipient: String,
    pub(super) realm: Option<String>,
    pub(super) challenge_lifetime_seconds: Option<u64>,
    pub(super) confirmations: Option<u64>,
    pub(super) origin: RawOrigin,
    #[serde(default)]
    pub(super) limits: RawLimits,
    pub(super) routes: Vec<RawRoute>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawToken {
    pub(super) address: Option<String>,
    pub(super) decimals: Option<u8>,
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawOrigin {
    pub(super) url: Option<String>,
    pub(super) service: Option<String>,
    #[serde(default)]
    pub(super) dns: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) settlement_timeout_seconds: Option<u64>,
    pub(super) origin_timeout_seconds: Option<u64>,
    pub(super) rpc_timeout_seconds: Option<u64>,
    pub(super) credential_bytes: Option<usize>,
    pub(super) digest_body_bytes: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) path: String,
    pub(super) methods: Option<Vec<String>>,
    pub(super) price: String,
    pub(super) description: Option<String>,
    pub(super) intents: Option<Vec<String>>,
    pub(super) payment_methods: Option<Vec<String>>,
    #[serde(default)]
    pub(super) settle: Settle,
    #[serde(default)]
    pub(super) digest: bool,
}

/// What of a configuration must be right for unpriced requests to pass: read on its own when the rest
/// cannot be read.
#[derive(Debug, Deserialize)]
pub(super) struct RawSurface {
    pub(super) origin: RawOrigin,
    pub(super) routes: Vec<RawSurfaceRoute>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawSurfaceRoute {
    pub(super) path: String,
    pub(super) methods: Option<Vec<String>>,
}

/// When a charge is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settle {
    /// Before the origin is called.
    #[default]
    First,
    /// After the origin has answered below 400, before its answer is released.
    AfterOrigin,
}

/// A token that supports ERC-3009.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its contract.
    pub address: Address,
    /// Decimal places of a human unit.
    pub decimals: u8,
    /// Name and version of its EIP-712 domain, when configured; otherwise the token is asked.
    pub domain: Option<(String, String)>,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An absolute `http` or `https` URL, without a trailing slash; its path is put before the request's.
    Url(String),
    /// A service binding.
    Service(String),
    /// The zone's own origin, by DNS.
    Dns,
}

/// Bounds on time and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a request waits for its transaction to be settled before it is answered 503.
    pub settlement_timeout: Duration,
    /// How long the origin may take until its response headers.
    pub origin_timeout: Duration,
    /// How long one RPC endpoint may take.
    pub rpc_timeout: Duration,
    /// Longest base64 text of a credential that is read, in bytes.
    pub credential_bytes: usize,
    /// Longest body that is hashed for a digest, in bytes.
    pub digest_body_bytes: usize,
}

/// A validated configuration.
pub struct Gateway {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// What is paid in.
    pub token: Token,
    /// The channel escrow, where the network has one.
    pub escrow: Option<Address>,
    /// Who is paid.
    pub recipient: Address,
    /// Protection space; the request's host when not configured.
    pub realm: Option<String>,
    /// JSON-RPC endpoints in order of preference. May hold API keys: never shown.
    pub rpc_urls: Vec<String>,
    /// How long a challenge is honoured.
    pub challenge_lifetime: Duration,
    /// Blocks that a transaction needs to count as settled, its own included.
    pub confirmations: u64,
    /// Where requests go.
    pub origin: Origin,
    /// Bounds.
    pub limits: Limits,
    /// Which requests are priced, and what is offered for them.
    pub router: Router,
    /// The secrets that bind challenges.
    pub binding_keys: BindingKeys,
    /// The key that pays gas and sends settlements.
    pub settlement_key: PrivateKey,
}

// The configuration holds secrets.
impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("chain_id", &self.chain_id).field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

/// What still works under a wrong configuration: unpriced requests.
#[derive(Debug)]
pub struct Surface {
    /// Where they go.
    pub origin: Origin,
    /// The paths and methods that are priced, whatever the price.
    pub priced: Vec<(Pattern, super::route::Methods)>,
}
