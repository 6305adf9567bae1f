//! How a rail on the Lightning network is configured.

use super::charge::Asked;
use super::{METHOD, Network, Node, NodeKind, Rail};
use crate::gateway::validate::{Common, Findings, Place, Rule, provider_url, rail_name, secret_suffix};
use crate::money::Amount;
use crate::rail::{AnyDraft, AnyRail, Terms};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A rail's table as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawRail {
    #[allow(dead_code, reason = "whose table this is was read before")]
    kind: Option<IgnoredAny>,
    name: Option<String>,
    network: Option<String>,
    node: Option<String>,
    url: Option<String>,
    #[serde(default)]
    check_settled: bool,
}

/// What prices on it are in. It has no smaller unit here.
const CURRENCY: &str = "SAT";

/// A rail as far as its configuration is right.
struct Draft {
    name: String,
    at: String,
    network: Network,
    lifetime: Duration,
    /// Without its credential it can be offered nowhere.
    node: Option<Node>,
    check_settled: bool,
}

/// A rail's table.
pub(crate) fn read(place: Place<'_>, common: &Common<'_>, findings: &mut Findings) -> Option<Box<dyn AnyDraft>> {
    let raw: RawRail = place.read(findings)?;
    let at = place.at;
    let name = rail_name(&at, raw.name, findings);
    let network = network(&at, raw.network.as_deref(), findings);
    let kind = kind(&at, raw.node.as_deref(), findings);
    let url = provider_url(&format!("{at}url"), raw.url.as_deref(), findings);
    let secret = kind.zip(name.as_deref()).and_then(|(kind, name)| secret(kind, name, common, findings));
    let node = kind.zip(url).zip(secret).map(|((kind, url), secret)| Node { kind, url, secret });
    Some(Box::new(Draft {
        name: name?,
        at,
        network: network?,
        lifetime: common.challenge_lifetime,
        node,
        check_settled: raw.check_settled,
    }))
}

fn network(at: &str, name: Option<&str>, findings: &mut Findings) -> Option<Network> {
    let Some(name) = name else { return Some(Network::Mainnet) };
    let network = Network::ALL.into_iter().find(|network| network.name() == name);
    if network.is_none() {
        let known = Network::ALL.map(Network::name).join(", ");
        findings.add(
            Rule::Network,
            format!("{at}network"),
            format!("is not a network of bitcoin's; known are {known}"),
            "correct it, or leave it out for mainnet",
        );
    }
    network
}

fn kind(at: &str, name: Option<&str>, findings: &mut Findings) -> Option<NodeKind> {
    const REMEDY: &str = "set it to lnd or to phoenixd, whichever API the node has";
    let field = || format!("{at}node");
    match name {
        Some("lnd") => return Some(NodeKind::Lnd),
        Some("phoenixd") => return Some(NodeKind::Phoenixd),
        Some(_) => findings.add(Rule::Provider, field(), "is not a kind of node; known are lnd, phoenixd", REMEDY),
        None => findings.add(Rule::Provider, field(), "is missing", REMEDY),
    }
    None
}

/// A macaroon that may make invoices, or a password.
fn secret(kind: NodeKind, rail: &str, common: &Common<'_>, findings: &mut Findings) -> Option<Arc<str>> {
    let (prefix, remedy) = match kind {
        NodeKind::Lnd => {
            ("LND_MACAROON", "set the hexadecimal digits of a macaroon that may read and write invoices, with: wrangler secret put")
        }
        NodeKind::Phoenixd => ("PHOENIXD_PASSWORD", "set the node's http-password-limited-access, with: wrangler secret put"),
    };
    let (name, value) = common.secrets.of_provider(prefix, &secret_suffix(rail));
    let remedy = format!("{remedy} {name}");
    let is_hex = |text: &str| text.len() >= 32 && text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (kind, value) {
        (NodeKind::Lnd, Some(value)) if !is_hex(value) => {
            findings.add(Rule::Provider, name, "is not a macaroon in hexadecimal digits", &remedy);
        }
        (_, Some(value)) => return Some(value.into()),
        (_, None) => findings.add(Rule::Provider, name, "is missing", &remedy),
    }
    None
}

impl AnyDraft for Draft {
    fn name(&self) -> &str {
        &self.name
    }

    fn at(&self) -> &str {
        &self.at
    }

    fn currency(&self) -> &'static str {
        CURRENCY
    }

    fn decimals(&self) -> u8 {
        0
    }

    fn methods(&self) -> Vec<&str> {
        Vec::from([METHOD])
    }

    fn territory(&self) -> Option<String> {
        Some(format!("{METHOD} {}", self.network.name()))
    }

    fn charge(&self, _: &str, amount: Amount) -> Option<Arc<dyn Terms>> {
        let node = self.node.clone()?;
        Some(Arc::new(Asked { satoshi: amount, network: self.network, node, lifetime: self.lifetime }))
    }

    fn finish(self: Box<Self>) -> Option<Arc<dyn AnyRail>> {
        let Self { name, network, node, check_settled, .. } = *self;
        Some(Arc::new(Rail { name, network, node: node?, check_settled }))
    }
}
