//! The rules for rails: what the gateway is paid by. What only one kind of rail has is judged in that rail's folder.

use super::secrets::{RPC_URL, Secrets};
use super::{Findings, Rule, shape};
use crate::gateway::config::{Limits, RawGateway};
use crate::json;
use crate::rail::evm::configuration::{RawRail, RawSession};
use crate::rail::evm::{self, Method};
use crate::rail::{AnyDraft, AnyRail, lightning, tempo};
use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The currency of prices, unless another is named.
const DOLLARS: &str = "USD";

/// The kind of a rail that names none.
const DEFAULT_KIND: &str = "evm";

/// Reads a rail's table.
type Reader = fn(Place<'_>, &Common<'_>, &mut Findings) -> Option<Box<dyn AnyDraft>>;

/// The kinds of rails, and who reads their tables.
const KINDS: &[(&str, Reader)] = &[
    (DEFAULT_KIND, evm::configuration::read),
    (tempo::METHOD, tempo::configuration::read),
    (lightning::METHOD, lightning::configuration::read),
    #[cfg(test)]
    ("toy", crate::rail::toy::read),
];

/// The rails as far as they are right, and whether that is all of it.
pub(super) struct Drafts {
    pub(super) rails: Vec<Box<dyn AnyDraft>>,
    /// What the prices of routes are in.
    pub(super) currency: String,
    /// How long what is offered is good for.
    pub(super) challenge_lifetime: Duration,
    are_whole: bool,
}

impl Drafts {
    /// The rails, when nothing is missing.
    pub(super) fn finish(self) -> Option<Vec<Arc<dyn AnyRail>>> {
        let are_whole = self.are_whole;
        self.rails.into_iter().map(AnyDraft::finish).collect::<Option<Vec<_>>>().filter(|_| are_whole)
    }
}

/// What all rails have in common.
pub(crate) struct Common<'a> {
    pub(crate) recipient: Option<&'a str>,
    /// That of the routes' prices.
    pub(crate) currency: &'a str,
    pub(crate) session: &'a RawSession,
    pub(crate) secrets: &'a Secrets,
    pub(crate) limits: Option<&'a Limits>,
    /// How long what is offered is good for.
    pub(crate) challenge_lifetime: Duration,
    /// Whether there is one rail.
    pub(crate) is_only: bool,
}

/// A rail's table, and where it stands.
pub(crate) struct Place<'a> {
    /// Such as `rails[1].`
    pub(crate) at: String,
    table: &'a RawValue,
}

impl Place<'_> {
    /// Reads it as what its kind has.
    pub(crate) fn read<T: DeserializeOwned>(&self, findings: &mut Findings) -> Option<T> {
        json::read(self.table.get()).map_err(|error| shape(&self.at, error, findings)).ok()
    }
}

/// Reads the rails out of either form of the configuration.
pub(super) fn rails(
    raw: &mut RawGateway,
    secrets: &Secrets,
    limits: Option<&Limits>,
    challenge_lifetime: Duration,
    findings: &mut Findings,
) -> Drafts {
    let currency = rail_currency("", raw.currency.as_deref(), findings).unwrap_or_else(|| DOLLARS.to_owned());
    let tables = raw.rails.take();
    if tables.is_some() {
        refuse_short_form(raw, findings);
    }
    let expected = tables.as_ref().map_or(1, Vec::len);
    if expected == 0 {
        findings.add(Rule::Rails, "rails", "is empty", "name a network in a [[vars.gateway.rails]] table, or leave it out and set network");
    }
    let is_only = expected == 1;
    if !is_only && secrets.rpc_url.is_some() {
        let remedy = "delete it, and set one for each rail that needs it, such as RPC_URL_BASE for the rail base";
        findings.add(Rule::RpcUrls, RPC_URL, "is for one network, and there are several rails", remedy);
    }
    let short_form = short_form(raw);
    let common = Common {
        recipient: raw.recipient.as_deref(),
        currency: &currency,
        session: &raw.session,
        secrets,
        limits,
        challenge_lifetime,
        is_only,
    };
    let drafts: Vec<_> = match &tables {
        Some(tables) => {
            tables.iter().enumerate().filter_map(|(place, table)| read(format!("rails[{place}]."), table, &common, findings)).collect()
        }
        None => evm::configuration::draft(String::new(), short_form, &common, findings).into_iter().collect(),
    };
    let mut rails: Vec<Box<dyn AnyDraft>> = Vec::with_capacity(expected);
    for rail in drafts {
        check_others(rail.as_ref(), &rails, findings);
        rails.push(rail);
    }
    if raw.session.fee_payer && rails.iter().filter_map(|rail| rail.evm()).all(|rail| rail.escrow_of(Method::Evm).is_none()) {
        let remedy = "set evmEscrow to an escrow with openWithAuthorization, or remove session.feePayer";
        findings.add(Rule::SessionFields, "session.feePayer", "does nothing without evmEscrow", remedy);
    }
    let are_whole = rails.len() == expected;
    Drafts { rails, currency, challenge_lifetime, are_whole }
}

/// Reads a rail's table as its kind has it.
fn read(at: String, table: &RawValue, common: &Common<'_>, findings: &mut Findings) -> Option<Box<dyn AnyDraft>> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        kind: Option<Cow<'a, str>>,
    }
    let Kind { kind } = json::read(table.get()).map_err(|error| shape(&at, error, findings)).ok()?;
    let kind = kind.as_deref().unwrap_or(DEFAULT_KIND);
    let Some((_, read)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        let known = KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        findings.add(
            Rule::Rails,
            format!("{at}kind"),
            format!("is not a kind of rail; known are {known}"),
            "correct it, or leave it out for evm",
        );
        return None;
    };
    read(Place { at, table }, common, findings)
}

/// What two rails must not have in common, and what they must.
fn check_others(rail: &dyn AnyDraft, others: &[Box<dyn AnyDraft>], findings: &mut Findings) {
    if others.iter().any(|other| other.name() == rail.name()) {
        findings.add(Rule::Rails, format!("{}name", rail.at()), "is that of another rail", "give each rail a name of its own");
    }
    if rail.territory().is_some_and(|own| others.iter().any(|other| other.territory().as_ref() == Some(&own))) {
        let remedy = "keep one of the two; what is paid there is one rail";
        findings.add(Rule::Rails, format!("{}network", rail.at()), "is that of another rail of its kind", remedy);
    }
    let Some(rail) = rail.evm() else { return };
    let others = || others.iter().filter_map(|other| other.evm());
    if others().any(|other| other.asset() == rail.asset()) {
        let remedy = "keep one of the two; the same token on the same network is one rail";
        findings.add(Rule::Rails, format!("{}token", rail.at), "is that of another rail on the same network", remedy);
    }
    if others().any(|other| other.chain_id == rail.chain_id && other.confirmations != rail.confirmations) {
        let remedy = "give both the same: one account moves what is paid on a chain, and waits for as many blocks";
        findings.add(Rule::Rails, format!("{}confirmations", rail.at), "differs from that of another rail on the same chain", remedy);
    }
    if others().any(|other| other.chain_id == rail.chain_id && other.batching != rail.batching) {
        let remedy = "give both the same: one account moves what is paid on a chain, and puts it together";
        findings.add(Rule::Batches, format!("{}settle", rail.at), "differs from that of another rail on the same chain", remedy);
    }
}

/// A field of the short form says nothing beside the long form, so it is a mistake.
fn refuse_short_form(raw: &RawGateway, findings: &mut Findings) {
    let fields = [
        ("network", raw.network.is_some()),
        ("chainId", raw.chain_id.is_some()),
        ("rpcUrls", raw.rpc_urls.is_some()),
        ("escrow", raw.escrow.is_some()),
        ("evmEscrow", raw.evm_escrow.is_some()),
        ("token", raw.token.is_some()),
        ("confirmations", raw.confirmations.is_some()),
        ("settle", raw.settle.is_some()),
    ];
    for (field, _) in fields.into_iter().filter(|(_, is_set)| *is_set) {
        findings.add(
            Rule::Rails,
            field,
            "is about one rail, and there is a list of rails",
            "move it into its [[vars.gateway.rails]] table",
        );
    }
}

fn short_form(raw: &mut RawGateway) -> RawRail {
    RawRail {
        name: raw.network.is_none().then(|| "evm".to_owned()),
        network: raw.network.take(),
        chain_id: raw.chain_id,
        rpc_urls: raw.rpc_urls.take(),
        escrow: raw.escrow.take(),
        evm_escrow: raw.evm_escrow.take(),
        token: raw.token.take(),
        confirmations: raw.confirmations,
        settle: raw.settle.take(),
        ..RawRail::default()
    }
}

/// A rail's name, which routes and secrets call it by.
pub(crate) fn rail_name(at: &str, name: Option<String>, findings: &mut Findings) -> Option<String> {
    let Some(name) = name else {
        findings.add(Rule::Rails, format!("{at}name"), "is missing", "name the rail: routes and secrets call it by that name");
        return None;
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        findings.add(Rule::Rails, format!("{at}name"), "must be 1 to 32 lower-case letters, digits and -", "name it like base-usdc");
        return None;
    }
    Some(name)
}

/// What prices are in; dollars where nothing is said.
pub(crate) fn rail_currency(at: &str, code: Option<&str>, findings: &mut Findings) -> Option<String> {
    let code = code.unwrap_or(DOLLARS);
    if (3..=8).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase()) {
        return Some(code.to_owned());
    }
    findings.add(Rule::Rails, format!("{at}currency"), "must be 3 to 8 upper-case letters", "name it like USD");
    None
}
