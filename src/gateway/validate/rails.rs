//! The rules for rails: which networks and tokens the gateway is paid by.

use super::secrets::{RPC_URL, Secrets};
use super::{Findings, Rule, bounded, is_http_url, session};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, ChainId, parse};
use crate::gateway::config::{Kind, Limits, RawGateway, RawRail, RawSession, RawToken};
use crate::rail::evm::{Asset, Method, PRESET_DECIMALS, PRESETS, Preset, Rail, Session, Token, is_abstract};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// The currency of prices, unless another is named.
const DOLLARS: &str = "USD";

/// The rails as far as they are right, and whether that is all of it.
pub(super) struct Drafts {
    pub(super) rails: Vec<Draft>,
    /// What the prices of routes are in.
    pub(super) currency: String,
    /// How long what is offered is good for.
    pub(super) challenge_lifetime: Duration,
    are_whole: bool,
}

/// A rail of which routes can be judged. Its secrets may be missing, and its endpoints wrong.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) at: String,
    pub(super) currency: String,
    pub(super) chain_id: ChainId,
    pub(super) token: Token,
    pub(super) recipient: Address,
    pub(super) escrow: Option<Address>,
    pub(super) evm_escrow: Option<Address>,
    pub(super) session: Option<Session>,
    pub(super) settlement_key: Option<PrivateKey>,
    rpc_urls: Option<Vec<String>>,
    confirmations: u64,
}

impl Draft {
    pub(super) const fn escrow_of(&self, method: Method) -> Option<Address> {
        match method {
            Method::Abstract => self.escrow,
            Method::Evm => self.evm_escrow,
        }
    }

    /// The methods by which it can be paid.
    pub(super) const fn methods(&self) -> &'static [Method] {
        if is_abstract(self.chain_id) { &Method::ALL } else { &[Method::Evm] }
    }

    const fn asset(&self) -> Asset {
        Asset { chain_id: self.chain_id, token: self.token.address }
    }

    fn finish(self) -> Option<Rail> {
        let Self { name, at, chain_id, token, escrow, evm_escrow, session, recipient, rpc_urls, confirmations, settlement_key, .. } = self;
        Some(Rail {
            name,
            at,
            chain_id,
            token,
            escrow,
            evm_escrow,
            session: session?,
            recipient,
            rpc_urls: rpc_urls?,
            confirmations,
            settlement_key: settlement_key?,
        })
    }
}

impl Drafts {
    /// The rails, when nothing is missing.
    pub(super) fn finish(self) -> Option<Vec<Arc<Rail>>> {
        let are_whole = self.are_whole;
        self.rails.into_iter().map(|draft| draft.finish().map(Arc::new)).collect::<Option<Vec<_>>>().filter(|_| are_whole)
    }
}

/// What all rails have in common.
struct Common<'a> {
    recipient: Option<&'a str>,
    currency: &'a str,
    session: &'a RawSession,
    secrets: &'a Secrets,
    limits: Option<&'a Limits>,
    /// Whether there is one rail.
    is_only: bool,
}

/// Reads the rails out of either form of the configuration.
pub(super) fn rails(
    raw: &mut RawGateway,
    secrets: &Secrets,
    limits: Option<&Limits>,
    challenge_lifetime: Duration,
    findings: &mut Findings,
) -> Drafts {
    let currency = currency("", raw.currency.as_deref(), findings).unwrap_or_else(|| DOLLARS.to_owned());
    let raws = match raw.rails.take() {
        Some(rails) => {
            refuse_short_form(raw, findings);
            rails.into_iter().enumerate().map(|(place, rail)| (format!("rails[{place}]."), rail)).collect()
        }
        None => Vec::from([(String::new(), short_form(raw))]),
    };
    if raws.is_empty() {
        findings.add(Rule::Rails, "rails", "is empty", "name a network in a [[vars.gateway.rails]] table, or leave it out and set network");
    }
    let expected = raws.len();
    let is_only = expected == 1;
    if !is_only && secrets.rpc_url.is_some() {
        let remedy = "delete it, and set one for each rail that needs it, such as RPC_URL_BASE for the rail base";
        findings.add(Rule::RpcUrls, RPC_URL, "is for one network, and there are several rails", remedy);
    }
    let common = Common { recipient: raw.recipient.as_deref(), currency: &currency, session: &raw.session, secrets, limits, is_only };
    let mut rails: Vec<Draft> = Vec::with_capacity(expected);
    for (at, raw) in raws {
        let Some(rail) = draft(at, raw, &common, findings) else { continue };
        if rails.iter().any(|other| other.name == rail.name) {
            findings.add(Rule::Rails, format!("{}name", rail.at), "is that of another rail", "give each rail a name of its own");
        }
        if rails.iter().any(|other| other.asset() == rail.asset()) {
            let remedy = "keep one of the two; the same token on the same network is one rail";
            findings.add(Rule::Rails, format!("{}token", rail.at), "is that of another rail on the same network", remedy);
        }
        if rails.iter().any(|other| other.chain_id == rail.chain_id && other.confirmations != rail.confirmations) {
            let remedy = "give both the same: one account moves what is paid on a chain, and waits for as many blocks";
            findings.add(Rule::Rails, format!("{}confirmations", rail.at), "differs from that of another rail on the same chain", remedy);
        }
        rails.push(rail);
    }
    if raw.session.fee_payer && rails.iter().all(|rail| rail.evm_escrow.is_none()) {
        let remedy = "set evmEscrow to an escrow with openWithAuthorization, or remove session.feePayer";
        findings.add(Rule::SessionFields, "session.feePayer", "does nothing without evmEscrow", remedy);
    }
    let are_whole = rails.len() == expected;
    Drafts { rails, currency, challenge_lifetime, are_whole }
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
        kind: Kind::Evm,
        network: raw.network.take(),
        chain_id: raw.chain_id,
        rpc_urls: raw.rpc_urls.take(),
        escrow: raw.escrow.take(),
        evm_escrow: raw.evm_escrow.take(),
        token: raw.token.take(),
        recipient: None,
        confirmations: raw.confirmations,
        currency: None,
    }
}

/// Reads all of a rail, so that everything that is wrong is found, before anything that is missing ends it.
fn draft(at: String, raw: RawRail, common: &Common<'_>, findings: &mut Findings) -> Option<Draft> {
    let Kind::Evm = raw.kind;
    let network = network(&at, &raw, findings);
    let preset = network.as_ref().and_then(|network| network.preset);
    let name = name(&at, raw.name, network.as_ref(), findings);
    let currency = currency(&at, raw.currency.as_deref().or(Some(common.currency)), findings);
    let token = token(&at, raw.token, preset, findings);
    let escrow = match raw.escrow {
        Some(text) => address(Rule::Escrow, format!("{at}escrow"), &text, findings),
        None => preset.and_then(|preset| preset.escrow),
    };
    let evm_escrow = raw.evm_escrow.and_then(|text| address(Rule::Escrow, format!("{at}evmEscrow"), &text, findings));
    if evm_escrow.is_some() && evm_escrow == escrow {
        findings.add(
            Rule::Escrow,
            format!("{at}evmEscrow"),
            "is also escrow",
            "an escrow has one signing domain: set the one of the method evm, or leave it out",
        );
    }
    let recipient = match raw.recipient {
        Some(text) => address(Rule::Recipient, format!("{at}recipient"), &text, findings),
        None => match common.recipient {
            Some(text) => address(Rule::Recipient, "recipient".to_owned(), text, findings),
            None => {
                findings.add(Rule::Recipient, format!("{at}recipient"), "is missing", "set the address that is paid");
                None
            }
        },
    };
    let secret_name = name.as_deref().map(secret_suffix);
    let rpc_urls = rpc_urls(&at, raw.rpc_urls, rpc_secret(common, secret_name.as_deref()), preset, findings);
    let confirmations = bounded(Rule::Confirmations, &format!("{at}confirmations"), raw.confirmations, 1, 1..=1000, findings);
    let settlement_key = common.secrets.settlement_key(secret_name.as_deref(), findings);
    let (chain_id, token) = (network?.chain_id, token?);
    let session = session::session(common.session, token.decimals, common.limits, findings);
    Some(Draft {
        name: name?,
        at,
        currency: currency?,
        chain_id,
        token,
        recipient: recipient?,
        escrow,
        evm_escrow,
        session,
        settlement_key,
        rpc_urls,
        confirmations,
    })
}

/// How a rail's name ends the names of its secrets.
fn secret_suffix(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

/// The secret with a rail's endpoints, by its name: the rail's own, or that of the only rail.
fn rpc_secret<'a>(common: &Common<'a>, suffix: Option<&str>) -> Option<(String, &'a str)> {
    let own = suffix.map(|suffix| format!("{RPC_URL}_{suffix}"));
    let found = own.and_then(|own| common.secrets.of_rails.get(&own).map(|value| (own, value.as_str())));
    found.or_else(|| common.secrets.rpc_url.as_deref().filter(|_| common.is_only).map(|value| (RPC_URL.to_owned(), value)))
}

struct Network {
    chain_id: ChainId,
    preset: Option<&'static Preset>,
}

fn name(at: &str, raw: Option<String>, network: Option<&Network>, findings: &mut Findings) -> Option<String> {
    let name = match raw {
        Some(name) => name,
        None => match network?.preset {
            Some(preset) => preset.name.to_owned(),
            None => {
                findings.add(Rule::Rails, format!("{at}name"), "is missing", "name the rail: routes and secrets call it by that name");
                return None;
            }
        },
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        findings.add(Rule::Rails, format!("{at}name"), "must be 1 to 32 lower-case letters, digits and -", "name it like base-usdc");
        return None;
    }
    Some(name)
}

fn currency(at: &str, raw: Option<&str>, findings: &mut Findings) -> Option<String> {
    let code = raw.unwrap_or(DOLLARS);
    if (3..=8).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase()) {
        return Some(code.to_owned());
    }
    findings.add(Rule::Rails, format!("{at}currency"), "must be 3 to 8 upper-case letters", "name it like USD");
    None
}

fn network(at: &str, raw: &RawRail, findings: &mut Findings) -> Option<Network> {
    match (&raw.network, raw.chain_id) {
        (Some(name), chain_id) => {
            let preset = PRESETS.iter().find(|preset| preset.name == name);
            match (preset, chain_id) {
                (None, _) => {
                    let known = PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ");
                    findings.add(
                        Rule::Network,
                        format!("{at}network"),
                        format!("is not a known network; known are {known}"),
                        "correct it, or leave it out and set chainId, token and rpcUrls",
                    );
                }
                (Some(preset), Some(chain_id)) if preset.chain_id != chain_id => {
                    findings.add(
                        Rule::Network,
                        format!("{at}chainId"),
                        format!("contradicts network: {name} is chain {}", preset.chain_id),
                        "leave out one of the two",
                    );
                }
                (Some(preset), _) => return Some(Network { chain_id: preset.chain_id, preset: Some(preset) }),
            }
            None
        }
        (None, Some(chain_id)) if chain_id > 0 => Some(Network { chain_id, preset: None }),
        (None, _) => {
            findings.add(
                Rule::Network,
                format!("{at}network"),
                "is missing, and so is a positive chainId",
                "set network, such as abstract or base, or set chainId, token and rpcUrls",
            );
            None
        }
    }
}

fn token(at: &str, raw: Option<RawToken>, preset: Option<&Preset>, findings: &mut Findings) -> Option<Token> {
    let raw = raw.unwrap_or_default();
    let required = |field: &str, findings: &mut Findings| {
        findings.add(Rule::Token, format!("{at}{field}"), "is missing", "set it, or use the token of a network preset");
    };
    let token = match raw.address {
        Some(text) => address(Rule::Token, format!("{at}token.address"), &text, findings)?,
        None => preset.map(|preset| preset.token).or_else(|| {
            required("token.address", findings);
            None
        })?,
    };
    // What a preset says holds for its own token only.
    let preset = preset.filter(|preset| preset.token == token);
    let Some(decimals) = raw.decimals.or(preset.map(|_| PRESET_DECIMALS)) else {
        required("token.decimals", findings);
        return None;
    };
    if decimals > 36 {
        findings.add(Rule::Token, format!("{at}token.decimals"), "exceeds 36", "set the value of the token's decimals()");
        return None;
    }
    let domain = match (raw.name, raw.version) {
        (Some(name), Some(version)) => Some((name, version)),
        (None, None) => preset.and_then(|preset| preset.token_domain).map(|(name, version)| (name.to_owned(), version.to_owned())),
        (name, _) => {
            let missing = if name.is_some() { "token.version" } else { "token.name" };
            findings.add(
                Rule::Token,
                format!("{at}{missing}"),
                "is missing",
                "set both name and version of the token's EIP-712 domain, or neither to have them read from the token",
            );
            return None;
        }
    };
    Some(Token { address: token, decimals, domain })
}

fn address(rule: Rule, field: String, text: &str, findings: &mut Findings) -> Option<Address> {
    const REMEDY: &str = "set an address, 0x and 40 hexadecimal digits";
    match parse::address(text) {
        Ok(Address::ZERO) => findings.add(rule, field, "is the zero address", REMEDY),
        Ok(address) => return Some(address),
        Err(error) => findings.add(rule, field, error, REMEDY),
    }
    None
}

/// Endpoints may carry an API key, so a finding never repeats one.
fn rpc_urls(
    at: &str,
    configured: Option<Vec<String>>,
    secret: Option<(String, &str)>,
    preset: Option<&Preset>,
    findings: &mut Findings,
) -> Option<Vec<String>> {
    let split = |text: &str| text.split([',', ' ', '\n', '\t', '\r']).filter(|url| !url.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (field, urls) = match (secret, configured) {
        (Some((name, text)), _) => (name, split(text)),
        (None, Some(urls)) => (format!("{at}rpcUrls"), urls),
        (None, None) => (format!("{at}rpcUrls"), preset.map(|preset| preset.rpc_url.to_owned()).into_iter().collect()),
    };
    if urls.is_empty() {
        findings.add(
            Rule::RpcUrls,
            field,
            "names no endpoint",
            "set rpcUrls, or the secret RPC_URL, which is called RPC_URL_<NAME> where there are several rails",
        );
        return None;
    }
    for (index, url) in urls.iter().enumerate() {
        if !is_http_url(url) {
            findings.add(
                Rule::RpcUrls,
                format!("{field}[{index}]"),
                "is not an absolute http or https URL",
                "give the endpoint's full URL",
            );
            return None;
        }
    }
    Some(urls)
}
