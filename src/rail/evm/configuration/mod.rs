//! How a rail on an EVM network is configured.

mod session;
mod settlement;

pub(crate) use session::RawSession;
pub(crate) use settlement::RawSettlement;

use super::charge::ChargeTerms;
use super::network::{PRESET_DECIMALS, PRESETS, Preset, is_abstract};
use super::{Asset, Method, Offered, Rail, Session, Token};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, ChainId, parse};
use crate::gateway::validate::{Common, Findings, Place, RPC_URL, Rule, bounded, is_http_url, rail_currency, rail_name, secret_suffix};
use crate::money::Amount;
use crate::rail::{AnyDraft, AnyRail, Terms};
use crate::settlement::Batching;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A rail's table as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRail {
    pub(crate) name: Option<String>,
    #[allow(dead_code, reason = "whose table this is was read before")]
    pub(crate) kind: Option<IgnoredAny>,
    pub(crate) network: Option<String>,
    pub(crate) chain_id: Option<ChainId>,
    pub(crate) rpc_urls: Option<Vec<String>>,
    pub(crate) escrow: Option<String>,
    pub(crate) evm_escrow: Option<String>,
    pub(crate) token: Option<RawToken>,
    pub(crate) recipient: Option<String>,
    pub(crate) confirmations: Option<u64>,
    pub(crate) settle: Option<RawSettlement>,
    pub(crate) currency: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawToken {
    address: Option<String>,
    decimals: Option<u8>,
    name: Option<String>,
    version: Option<String>,
}

/// A rail as far as its configuration is right.
pub struct Draft {
    name: String,
    currency: String,
    /// Where its fields stand.
    pub(crate) at: String,
    pub(crate) chain_id: ChainId,
    pub(crate) token: Token,
    pub(crate) recipient: Address,
    escrow: Option<Address>,
    evm_escrow: Option<Address>,
    pub(crate) session: Option<Session>,
    /// The first is that of sessions.
    pub(crate) settlement_keys: Option<Vec<PrivateKey>>,
    rpc_urls: Option<Vec<String>>,
    pub(crate) confirmations: u64,
    pub(crate) batching: Option<Batching>,
}

impl Draft {
    /// The channel escrow of a method.
    pub(crate) const fn escrow_of(&self, method: Method) -> Option<Address> {
        match method {
            Method::Abstract => self.escrow,
            Method::Evm => self.evm_escrow,
        }
    }

    /// The methods by which it can be paid.
    const fn evm_methods(&self) -> &'static [Method] {
        if is_abstract(self.chain_id) { &Method::ALL } else { &[Method::Evm] }
    }

    /// Its method of this name.
    pub(crate) fn method(&self, name: &str) -> Option<Method> {
        self.evm_methods().iter().copied().find(|method| method.name() == name)
    }

    pub(crate) const fn asset(&self) -> Asset {
        Asset { chain_id: self.chain_id, token: self.token.address }
    }

    fn offered(&self, method: Method, amount: Amount) -> Arc<dyn Terms> {
        let Self { chain_id, token, recipient, .. } = self;
        let terms = ChargeTerms { amount, chain_id: *chain_id, token: token.address, decimals: token.decimals, recipient: *recipient };
        Offered::new(method, terms, token.domain.clone())
    }
}

impl AnyDraft for Draft {
    fn name(&self) -> &str {
        &self.name
    }

    fn at(&self) -> &str {
        &self.at
    }

    fn currency(&self) -> &str {
        &self.currency
    }

    fn decimals(&self) -> u8 {
        self.token.decimals
    }

    fn methods(&self) -> Vec<&str> {
        self.evm_methods().iter().map(|method| method.name()).collect()
    }

    fn charge(&self, method: &str, amount: Amount) -> Option<Arc<dyn Terms>> {
        Some(self.offered(self.method(method)?, amount))
    }

    fn exact(&self, amount: Amount) -> Option<Arc<dyn Terms>> {
        self.token.domain.as_ref().map(|_| self.offered(Method::Evm, amount))
    }

    fn evm(&self) -> Option<&Draft> {
        Some(self)
    }

    fn finish(self: Box<Self>) -> Option<Arc<dyn AnyRail>> {
        let Self {
            name,
            at,
            chain_id,
            token,
            escrow,
            evm_escrow,
            session,
            recipient,
            rpc_urls,
            confirmations,
            settlement_keys,
            batching,
            ..
        } = *self;
        let mut keys = settlement_keys?.into_iter();
        let rail = Rail {
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
            settlement_key: keys.next()?,
            more_keys: keys.collect(),
            batching,
        };
        Some(Arc::new(Arc::new(rail)))
    }
}

/// A rail's table.
pub(crate) fn read(place: Place<'_>, common: &Common<'_>, findings: &mut Findings) -> Option<Box<dyn AnyDraft>> {
    let raw = place.read(findings)?;
    draft(place.at, raw, common, findings)
}

/// Reads all of a rail, so that everything that is wrong is found, before anything that is missing ends it.
pub(crate) fn draft(at: String, raw: RawRail, common: &Common<'_>, findings: &mut Findings) -> Option<Box<dyn AnyDraft>> {
    let network = network(&at, &raw, findings);
    let preset = network.as_ref().and_then(|network| network.preset);
    let name = match (raw.name, &network) {
        // What is wrong with the network is told, and the name may come with it.
        (None, None) => None,
        (given, _) => rail_name(&at, given.or_else(|| preset.map(|preset| preset.name.to_owned())), findings),
    };
    let currency = rail_currency(&at, raw.currency.as_deref().or(Some(common.currency)), findings);
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
    let recipient = recipient(&at, raw.recipient.as_deref(), common, findings);
    let secret_name = name.as_deref().map(secret_suffix);
    let rpc_secret = rpc_secret(common, secret_name.as_deref());
    let rpc_urls = rpc_urls(&at, raw.rpc_urls, rpc_secret, preset.map(|preset| preset.rpc_url), findings);
    let confirmations = bounded(Rule::Confirmations, &format!("{at}confirmations"), raw.confirmations, 1, 1..=1000, findings);
    let settlement_keys = common.secrets.settlement_keys(secret_name.as_deref(), findings);
    let batching =
        network.as_ref().and_then(|network| settlement::batching(&at, raw.settle.as_ref(), network.chain_id, preset.is_some(), findings));
    let (chain_id, token) = (network?.chain_id, token?);
    let session = session::session(common.session, token.decimals, common.limits, findings);
    Some(Box::new(Draft {
        name: name?,
        at,
        currency: currency?,
        chain_id,
        token,
        recipient: recipient?,
        escrow,
        evm_escrow,
        session,
        settlement_keys,
        rpc_urls,
        confirmations,
        batching: batching?,
    }))
}

/// Who is paid on a rail: its own recipient, or that of all.
pub(in crate::rail) fn recipient(at: &str, own: Option<&str>, common: &Common<'_>, findings: &mut Findings) -> Option<Address> {
    match (own, common.recipient) {
        (Some(text), _) => address(Rule::Recipient, format!("{at}recipient"), text, findings),
        (None, Some(text)) => address(Rule::Recipient, "recipient".to_owned(), text, findings),
        (None, None) => {
            findings.add(Rule::Recipient, format!("{at}recipient"), "is missing", "set the address that is paid");
            None
        }
    }
}

/// The secret with a rail's endpoints, by its name: the rail's own, or that of the only rail.
pub(in crate::rail) fn rpc_secret<'a>(common: &Common<'a>, suffix: Option<&str>) -> Option<(String, &'a str)> {
    let of_only = || common.secrets.rpc_url.as_deref().filter(|_| common.is_only).map(|value| (RPC_URL.to_owned(), value));
    common.secrets.own(RPC_URL, suffix).or_else(of_only)
}

struct Network {
    chain_id: ChainId,
    preset: Option<&'static Preset>,
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

pub(in crate::rail) fn address(rule: Rule, field: String, text: &str, findings: &mut Findings) -> Option<Address> {
    const REMEDY: &str = "set an address, 0x and 40 hexadecimal digits";
    match parse::address(text) {
        Ok(Address::ZERO) => findings.add(rule, field, "is the zero address", REMEDY),
        Ok(address) => return Some(address),
        Err(error) => findings.add(rule, field, error, REMEDY),
    }
    None
}

/// Endpoints may carry an API key, so a finding never repeats one.
pub(in crate::rail) fn rpc_urls(
    at: &str,
    configured: Option<Vec<String>>,
    secret: Option<(String, &str)>,
    default: Option<&str>,
    findings: &mut Findings,
) -> Option<Vec<String>> {
    let split = |text: &str| text.split([',', ' ', '\n', '\t', '\r']).filter(|url| !url.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (field, urls) = match (secret, configured) {
        (Some((name, text)), _) => (name, split(text)),
        (None, Some(urls)) => (format!("{at}rpcUrls"), urls),
        (None, None) => (format!("{at}rpcUrls"), default.map(str::to_owned).into_iter().collect()),
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
