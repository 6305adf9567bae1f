//! The rules for secrets. No finding says more of one than that it is missing, short or unreadable.

use super::{Findings, Rule};
use crate::evm::key::PrivateKey;
use crate::wire::mpp::challenge::{BindingKeys, MIN_SECRET_BYTES};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The secret with the only rail's endpoints.
pub(crate) const RPC_URL: &str = "RPC_URL";

/// The secret with the key that pays gas and sends settlements.
const SETTLEMENT_KEY: &str = "SETTLEMENT_PRIVATE_KEY";

/// The secrets that prove to providers who we are: of all rails by such a provider, or with `_<NAME>` of one.
const PROVIDERS: &[&str] = &["LND_MACAROON", "PHOENIXD_PASSWORD"];

/// The shortest token that may protect the admin endpoints, in bytes.
const MIN_ADMIN_TOKEN_BYTES: usize = 16;

/// The secrets, as the environment holds them; `None` where it does not.
#[derive(Default)]
pub struct Secrets {
    /// `MPP_SECRET_KEY`
    pub secret_key: Option<String>,
    /// `MPP_SECRET_KEY_PREVIOUS`
    pub previous_secret_key: Option<String>,
    /// `SETTLEMENT_PRIVATE_KEY`: of every rail that has none of its own.
    pub settlement_private_key: Option<String>,
    /// `RPC_URL`, of the only rail: one or several, separated by commas or white space.
    pub rpc_url: Option<String>,
    /// `SETTLEMENT_PRIVATE_KEY_<NAME>` and `RPC_URL_<NAME>` of single rails, and those for providers, by these names.
    pub of_rails: BTreeMap<String, String>,
    /// `ADMIN_TOKEN`
    pub admin_token: Option<String>,
}

// Not even their lengths may be shown.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Whether a secret of this name is one of a single rail, or of a provider's.
    pub fn is_of_rail(name: &str) -> bool {
        let is_of = |prefix: &&str| name.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with('_'));
        [RPC_URL, SETTLEMENT_KEY].iter().any(is_of) || PROVIDERS.iter().any(|prefix| *prefix == name || is_of(prefix))
    }

    /// A rail's own secret, with its name: `suffix` is how the names of the rail's secrets end.
    pub(crate) fn own(&self, prefix: &str, suffix: Option<&str>) -> Option<(String, &str)> {
        let name = format!("{prefix}_{}", suffix?);
        let value = self.of_rails.get(&name)?;
        Some((name, value))
    }

    /// The secret for a rail's provider, with its name: the rail's own, or else that of all rails with such a provider.
    pub(crate) fn of_provider(&self, prefix: &str, suffix: &str) -> (String, Option<&str>) {
        let of_all = || (prefix.to_owned(), self.of_rails.get(prefix).map(String::as_str));
        self.own(prefix, Some(suffix)).map_or_else(of_all, |(name, value)| (name, Some(value)))
    }

    /// The secrets that bind challenges.
    pub(super) fn binding_keys(&self, findings: &mut Findings) -> Option<BindingKeys> {
        let binding_keys = binding_keys(self, findings);
        if self.admin_token.as_ref().is_some_and(|token| token.len() < MIN_ADMIN_TOKEN_BYTES) {
            let detail = format!("is shorter than {MIN_ADMIN_TOKEN_BYTES} bytes");
            findings.add(Rule::AdminToken, "ADMIN_TOKEN", detail, "set a longer random one with: wrangler secret put ADMIN_TOKEN");
        }
        binding_keys
    }

    /// The settlement keys of the rail whose secrets' names end so: its own, or those of all.
    pub(crate) fn settlement_keys(&self, suffix: Option<&str>, findings: &mut Findings) -> Option<Vec<PrivateKey>> {
        const REMEDY: &str = "set the private key of a funded account, 0x and 64 hexadecimal digits, with: wrangler secret put";
        let of_all = || self.settlement_private_key.as_deref().map(|value| (SETTLEMENT_KEY.to_owned(), value));
        let (name, value) = self.own(SETTLEMENT_KEY, suffix).or_else(of_all).unzip();
        let name = name.unwrap_or_else(|| SETTLEMENT_KEY.to_owned());
        let keys = |value: &str| value.split(',').map(|key| PrivateKey::parse(key.trim())).collect::<Result<Vec<_>, _>>();
        match value.map(keys) {
            Some(Ok(keys)) if are_different(&keys) => return Some(keys),
            Some(Ok(_)) => findings.add(Rule::SettlementKey, name.clone(), "holds one key twice", "give each account's key once"),
            Some(Err(_)) => findings.add(Rule::SettlementKey, name.clone(), "is not a private key", &format!("{REMEDY} {name}")),
            None => findings.add(Rule::SettlementKey, name.clone(), "is missing", &format!("{REMEDY} {name}")),
        }
        None
    }
}

/// How a rail's name ends the names of its secrets.
pub(crate) fn secret_suffix(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn are_different(keys: &[PrivateKey]) -> bool {
    let before = |place: usize| keys.iter().take(place).map(PrivateKey::address);
    keys.iter().enumerate().all(|(place, key)| before(place).all(|other| other != key.address()))
}

fn binding_keys(secrets: &Secrets, findings: &mut Findings) -> Option<BindingKeys> {
    const REMEDY: &str = "make one with: openssl rand -hex 32, and set it with: wrangler secret put MPP_SECRET_KEY";
    let too_short = |secret: &Option<String>| secret.as_ref().is_some_and(|secret| secret.len() < MIN_SECRET_BYTES);
    match &secrets.secret_key {
        None => findings.add(Rule::SecretKey, "MPP_SECRET_KEY", "is missing", REMEDY),
        current if too_short(current) => {
            findings.add(Rule::SecretKey, "MPP_SECRET_KEY", format!("is shorter than {MIN_SECRET_BYTES} bytes"), REMEDY)
        }
        Some(_) => {}
    }
    if too_short(&secrets.previous_secret_key) {
        let remedy = "set it to the secret that was in use before, or delete it with: wrangler secret delete MPP_SECRET_KEY_PREVIOUS";
        findings.add(Rule::SecretKey, "MPP_SECRET_KEY_PREVIOUS", format!("is shorter than {MIN_SECRET_BYTES} bytes"), remedy);
    }
    let current = secrets.secret_key.as_ref()?.as_bytes();
    BindingKeys::new(current, secrets.previous_secret_key.as_ref().map(String::as_bytes)).ok()
}
