//! The configuration: as it is written (`Raw…`), and as it is once [`super::validate()`] has passed it.

use super::path::{InvalidPath, Readings};
use super::route::{Pattern, Router};
pub use crate::channel::Meter;
use crate::channel::Reuse;
use crate::evm::ChainId;
use crate::rail::evm::configuration::{RawSession, RawSettlement, RawToken};
use crate::rail::{AnyRail, RailId};
use crate::wire::mpp::challenge::BindingKeys;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `[vars.gateway]` as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::gateway) struct RawGateway {
    /// The short form: one rail, without a name of its own.
    pub(in crate::gateway) network: Option<String>,
    pub(in crate::gateway) chain_id: Option<ChainId>,
    pub(in crate::gateway) rpc_urls: Option<Vec<String>>,
    pub(in crate::gateway) escrow: Option<String>,
    pub(in crate::gateway) evm_escrow: Option<String>,
    pub(in crate::gateway) token: Option<RawToken>,
    pub(in crate::gateway) confirmations: Option<u64>,
    pub(in crate::gateway) settle: Option<RawSettlement>,
    /// The long form.
    /// A table each, to be read by whoever its kind belongs to.
    pub(in crate::gateway) rails: Option<Vec<Box<RawValue>>>,
    pub(in crate::gateway) recipient: Option<String>,
    pub(in crate::gateway) currency: Option<String>,
    pub(in crate::gateway) realm: Option<String>,
    pub(in crate::gateway) challenge_lifetime_seconds: Option<u64>,
    pub(in crate::gateway) origin: RawOrigin,
    #[serde(default)]
    pub(in crate::gateway) limits: RawLimits,
    #[serde(default)]
    pub(in crate::gateway) session: RawSession,
    pub(in crate::gateway) routes: Vec<RawRoute>,
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
    pub(in crate::gateway) rails: Option<Vec<String>>,
    pub(in crate::gateway) prices: Option<BTreeMap<String, String>>,
    pub(in crate::gateway) wires: Option<Vec<String>>,
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
    /// What it is paid by; never empty.
    pub rails: Vec<Arc<dyn AnyRail>>,
    /// Protection space; the request's host when not configured.
    pub realm: Option<String>,
    /// How long a challenge is honoured.
    pub challenge_lifetime: Duration,
    /// Where requests go.
    pub origin: Origin,
    /// Bounds.
    pub limits: Limits,
    /// Which requests are priced, and what is offered for them.
    pub router: Router,
    /// The secrets that bind challenges.
    pub binding_keys: BindingKeys,
    /// Opens the operators' endpoints, where there is one.
    pub admin_token: Option<String>,
}

impl Gateway {
    /// The rail of an offer.
    pub fn rail(&self, id: RailId) -> Option<&dyn AnyRail> {
        self.rails.get(id.0).map(Arc::as_ref)
    }
}

// The configuration holds secrets.
impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("rails", &self.rails).finish_non_exhaustive()
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
