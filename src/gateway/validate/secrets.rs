//! The rules for secrets. No finding says more of one than that it is missing, short or unreadable.

use super::{Findings, Rule};
use crate::evm::key::PrivateKey;
use crate::wire::mpp::challenge::{BindingKeys, MIN_SECRET_BYTES};
use alloc::format;
use alloc::string::String;
use core::fmt;

/// The shortest token that may protect the admin endpoints, in bytes.
const MIN_ADMIN_TOKEN_BYTES: usize = 16;

/// The secrets, as the environment holds them; `None` where it does not.
#[derive(Default)]
pub struct Secrets {
    /// `MPP_SECRET_KEY`
    pub secret_key: Option<String>,
    /// `MPP_SECRET_KEY_PREVIOUS`
    pub previous_secret_key: Option<String>,
    /// `SETTLEMENT_PRIVATE_KEY`
    pub settlement_private_key: Option<String>,
    /// `RPC_URL`: one or several, separated by commas or white space.
    pub rpc_url: Option<String>,
    /// `ADMIN_TOKEN`
    pub admin_token: Option<String>,
}

// Not even their lengths may be shown.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// The keys that the secrets hold.
pub(super) struct Keys {
    pub(super) binding_keys: BindingKeys,
    pub(super) settlement_key: PrivateKey,
}

impl Secrets {
    pub(super) fn keys(&self, findings: &mut Findings) -> Option<Keys> {
        let binding_keys = binding_keys(self, findings);
        let settlement_key = settlement_key(self, findings);
        if self.admin_token.as_ref().is_some_and(|token| token.len() < MIN_ADMIN_TOKEN_BYTES) {
            let detail = format!("is shorter than {MIN_ADMIN_TOKEN_BYTES} bytes");
            findings.add(Rule::AdminToken, "ADMIN_TOKEN", detail, "set a longer random one with: wrangler secret put ADMIN_TOKEN");
        }
        Some(Keys { binding_keys: binding_keys?, settlement_key: settlement_key? })
    }
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

fn settlement_key(secrets: &Secrets, findings: &mut Findings) -> Option<PrivateKey> {
    const REMEDY: &str =
        "set the private key of a funded account, 0x and 64 hexadecimal digits, with: wrangler secret put SETTLEMENT_PRIVATE_KEY";
    match secrets.settlement_private_key.as_deref().map(PrivateKey::parse) {
        Some(Ok(key)) => return Some(key),
        Some(Err(_)) => findings.add(Rule::SettlementKey, "SETTLEMENT_PRIVATE_KEY", "is not a private key", REMEDY),
        None => findings.add(Rule::SettlementKey, "SETTLEMENT_PRIVATE_KEY", "is missing", REMEDY),
    }
    None
}
