//! The configuration: as it is written (`Raw…`), and as it is once [`super::validate()`] has passed it.

use super::path::{InvalidPath, Readings};
use super::route::{Pattern, Router};
pub use crate::channel::Meter;
use crate::channel::{Policy, Reuse};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, ChainId};
use crate::money::Amount;
use crate::rail::evm::Method;
use crate::wire::mpp::challenge::BindingKeys;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// `[vars.gateway]` as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::gateway) struct RawGateway {
    pub(in crate::gateway) network: Option<String>,
    pub(in crate::gateway) chain_id: Option<ChainId>,
    pub(in crate::gateway) rpc_urls: Option<Vec<String>>,
    pub(in crate::gateway) escrow: Option<String>,
    pub(in crate::gateway) evm_escrow: Option<String>,
    pub(in crate::gateway) token: Option<RawToken>,
    pub(in crate::gateway) recipient: String,
    pub(in crate::gateway) realm: Option<String>,
    pub(in crate::gateway) challenge_lifetime_seconds: Option<u64>,
    pub(in crate::gateway) confirmations: Option<u64>,
    pub(in crate::gateway) origin: RawOrigin,
    #[serde(default)]
    pub(in crate::gateway) limits: RawLimits,
    #[serde(default)]
    pub(in crate::gateway) session: RawSession,
    pub(in crate::gateway) routes: Vec<RawRoute>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::gateway) struct RawToken {
    pub(in crate::gateway) address: Option<String>,
    pub(in crate::gateway) decimals: Option<u8>,
    pub(in crate::gateway) name: Option<String>,
    pub(in crate::gateway) version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::gateway) struct RawOrigin {
    pub(in crate::gateway) url: Option<String>,
    pub(in crate::gateway) service: Option<String>,
    #[serde(default)]
    pub(in crate::gateway) dns: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::gateway) struct RawLimits {
    pub(in crate::gateway) settlement_timeout_seconds: Option<u64>,
    pub(in crate::gateway) origin_timeout_seconds: Option<u64>,
    pub(in crate::gateway) rpc_timeout_seconds: Option<u64>,
    pub(in crate::gateway) credential_bytes: Option<usize>,
    pub(in crate::gateway) digest_body_bytes: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::gateway) struct RawSession {
    pub(in crate::gateway) settle_amount: Option<String>,
    pub(in crate::gateway) settle_minimum: Option<String>,
    pub(in crate::gateway) settle_after_seconds: Option<u64>,
    pub(in crate::gateway) close_idle_seconds: Option<u64>,
    pub(in crate::gateway) watch_seconds: Option<u64>,
    pub(in crate::gateway) voucher_wait_seconds: Option<u64>,
    pub(in crate::gateway) suggested_deposit: Option<String>,
    pub(in crate::gateway) min_voucher_delta: Option<String>,
    #[serde(default)]
    pub(in crate::gateway) fee_payer: bool,
    pub(in crate::gateway) min_deposit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::gateway) struct RawRoute {
    pub(in crate::gateway) path: String,
    pub(in crate::gateway) methods: Option<Vec<String>>,
    pub(in crate::gateway) price: String,
    pub(in crate::gateway) description: Option<String>,
    pub(in crate::gateway) intents: Option<Vec<String>>,
    pub(in crate::gateway) payment_methods: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::gateway) settle: Settle,
    #[serde(default)]
    pub(in crate::gateway) charge_redirects: bool,
    #[serde(default)]
    pub(in crate::gateway) digest: bool,
    #[serde(default)]
    pub(in crate::gateway) meter: Meter,
    pub(in crate::gateway) unit_type: Option<String>,
    pub(in crate::gateway) max_units: Option<u64>,
    pub(in crate::gateway) reuse: Option<Reuse>,
    pub(in crate::gateway) header: Option<String>,
}

/// What of a configuration must be right for unpriced requests to pass: read on its own when the rest
/// cannot be read.
#[derive(Debug, Deserialize)]
pub(in crate::gateway) struct RawSurface {
    pub(in crate::gateway) origin: RawOrigin,
    pub(in crate::gateway) routes: Vec<RawSurfaceRoute>,
}

#[derive(Debug, Deserialize)]
pub(in crate::gateway) struct RawSurfaceRoute {
    pub(in crate::gateway) path: String,
    pub(in crate::gateway) methods: Option<Vec<String>>,
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

/// How sessions are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// When money is brought onto the chain, and what a voucher must be like.
    pub policy: Policy,
    /// How often channels are looked at on chain.
    pub watch: Duration,
    /// How long a stream waits for a voucher.
    pub voucher_wait: Duration,
    /// What clients are advised to deposit.
    pub suggested_deposit: Option<Amount>,
    /// Whether openings and additions are submitted for clients.
    pub fee_payer: bool,
    /// The least deposit that is submitted for a client.
    pub min_deposit: Amount,
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

impl Origin {
    /// The ways in which this origin may read the path of a request.
    ///
    /// # Errors
    /// [`InvalidPath`] when they are too many, or one of them leaves the base URL. Without a path of its own the
    /// origin has nothing above its root.
    pub fn read(&self, path: &str) -> Result<Readings, InvalidPath> {
        let readings = Readings::of(path)?;
        let has_base = matches!(self, Self::Url(url) if url.split_once("://").is_some_and(|(_, rest)| rest.contains('/')));
        if has_base && readings.climb() { Err(InvalidPath::LeavesBase) } else { Ok(readings) }
    }
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
    /// The channel escrow of the method `abstract`, where the network has one.
    pub escrow: Option<Address>,
    /// That of the method `evm`.
    pub evm_escrow: Option<Address>,
    /// How sessions are run.
    pub session: Session,
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
    /// Opens the operators' endpoints, where there is one.
    pub admin_token: Option<String>,
}

impl Gateway {
    /// The channel escrow of a method. An escrow has one signing domain, so each method has its own.
    pub const fn escrow_of(&self, method: Method) -> Option<Address> {
        match method {
            Method::Abstract => self.escrow,
            Method::Evm => self.evm_escrow,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_path_must_stay_below_the_base_where_there_is_one() {
        let below = Origin::Url("https://origin.example/api".into());
        for path in ["/..%2fapi/premium/x", "/..%2finternal/keys.txt", "/..;/x"] {
            assert_eq!(below.read(path).unwrap_err(), InvalidPath::LeavesBase, "{path}");
            for origin in [Origin::Url("https://origin.example".into()), Origin::Service("ORIGIN".into()), Origin::Dns] {
                assert!(origin.read(path).is_ok(), "{path}");
            }
        }
        assert!(below.read("/free/..%2fpremium/x").is_ok());
    }
}
