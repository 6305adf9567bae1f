//! How a rail on Tempo is configured.

use super::settings::{Asking, Modes, Rail, Split};
use super::sponsor::{Policy, Sponsor};
use super::transaction::MOST_CALLS;
use super::{DECIMALS, METHOD, Offered};
use crate::evm::{Address, ChainId};
use crate::gateway::validate::{Common, Findings, Place, Rule, bounded, rail_currency, rail_name, secret_suffix};
use crate::money::Amount;
use crate::rail::evm::configuration::{address, recipient, rpc_secret, rpc_urls};
use crate::rail::{AnyDraft, AnyRail, Terms};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloy_primitives::address as known;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A rail's table as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawRail {
    #[allow(dead_code, reason = "whose table this is was read before")]
    kind: Option<IgnoredAny>,
    name: Option<String>,
    chain_id: Option<ChainId>,
    rpc_urls: Option<Vec<String>>,
    token: Option<String>,
    recipient: Option<String>,
    currency: Option<String>,
    confirmations: Option<u64>,
    #[serde(default)]
    splits: Vec<RawSplit>,
    modes: Option<Vec<String>>,
    fee_payer: Option<RawFeePayer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawSplit {
    recipient: String,
    basis_points: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawFeePayer {
    fee_token: Option<String>,
    max_gas: Option<u64>,
    max_fee_per_gas: Option<u64>,
    max_priority_fee_per_gas: Option<u64>,
    max_fee: Option<String>,
    at_once: Option<u64>,
}

/// A chain that is known.
struct Known {
    name: &'static str,
    chain_id: ChainId,
    rpc_url: &'static str,
    token: Address,
    /// What is paid for a unit of gas beside the base fee, in billionths of a dollar.
    priority_fee: u64,
}

const CHAINS: [Known; 2] = [
    Known {
        name: "tempo",
        chain_id: 4217,
        rpc_url: "https://rpc.tempo.xyz",
        token: known!("0x20C000000000000000000000b9537d11c60E8b50"),
        priority_fee: 10,
    },
    Known {
        name: "tempo-testnet",
        chain_id: 42431,
        rpc_url: "https://rpc.moderato.tempo.xyz",
        token: known!("0x20c0000000000000000000000000000000000000"),
        priority_fee: 50,
    },
];

/// Most that share a price with the recipient.
const MOST_SPLITS: usize = 10;
const _: () = assert!(MOST_SPLITS + 3 <= MOST_CALLS, "a swap and all transfers are read");

/// Attodollars, in which gas is priced, in a billionth of a dollar, and the decimal places of a dollar in them.
const BILLIONTH: u128 = 1_000_000_000;
const FEE_DECIMALS: u8 = 18;

/// A rail as far as its configuration is right.
struct Draft {
    name: String,
    at: String,
    currency: String,
    asking: Arc<Asking>,
    rpc_urls: Option<Vec<String>>,
    confirmations: u64,
    is_whole: bool,
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
        DECIMALS
    }

    fn methods(&self) -> Vec<&str> {
        Vec::from([METHOD])
    }

    // For nothing it is asked who pays.
    fn check_price(&self, amount: Amount) -> Result<(), &'static str> {
        let can_be_parted = amount == Amount::ZERO || self.asking.dues(amount).is_some();
        if can_be_parted { Ok(()) } else { Err("is so small that one of the rail's splits would get nothing") }
    }

    fn charge(&self, _: &str, amount: Amount) -> Option<Arc<dyn Terms>> {
        Offered::new(self.asking.clone(), amount)
    }

    fn finish(self: Box<Self>) -> Option<Arc<dyn AnyRail>> {
        let Self { name, asking, rpc_urls, confirmations, is_whole, .. } = *self;
        if !is_whole {
            return None;
        }
        Some(Arc::new(Rail { name, rpc_urls: rpc_urls?, confirmations, asking }))
    }
}

/// Reads all of a rail, so that everything that is wrong is found, before anything that is missing ends it.
pub(crate) fn read(place: Place<'_>, common: &Common<'_>, findings: &mut Findings) -> Option<Box<dyn AnyDraft>> {
    let raw: RawRail = place.read(findings)?;
    let at = place.at;
    let chain_id = raw.chain_id.unwrap_or(CHAINS[0].chain_id);
    let known = CHAINS.iter().find(|known| known.chain_id == chain_id);
    if chain_id == 0 {
        findings.add(
            Rule::Network,
            format!("{at}chainId"),
            "must be positive",
            "leave it out for Tempo, or set 42431 for its test network",
        );
    }
    let name = rail_name(&at, raw.name.or_else(|| known.map(|known| known.name.to_owned())), findings);
    let currency = rail_currency(&at, raw.currency.as_deref().or(Some(common.currency)), findings);
    let token = match (raw.token, known) {
        (Some(text), _) => address(Rule::Token, format!("{at}token"), &text, findings),
        (None, Some(known)) => Some(known.token),
        (None, None) => {
            findings.add(Rule::Token, format!("{at}token"), "is missing", "set the address of the TIP-20 token that is paid in");
            None
        }
    };
    let recipient = recipient(&at, raw.recipient.as_deref(), common, findings);
    let suffix = name.as_deref().map(secret_suffix);
    let secret = rpc_secret(common, suffix.as_deref());
    let rpc_urls = rpc_urls(&at, raw.rpc_urls, secret, known.map(|known| known.rpc_url), findings);
    let confirmations = bounded(Rule::Confirmations, &format!("{at}confirmations"), raw.confirmations, 1, 1..=1000, findings);
    let splits = splits(&at, raw.splits, findings);
    let modes = modes(&at, raw.modes.as_deref(), findings);
    let sponsor = match raw.fee_payer {
        None => Some(None),
        Some(raw) => {
            let keys = common.secrets.settlement_keys(suffix.as_deref(), findings);
            sponsor(&at, raw, keys.and_then(|keys| keys.into_iter().next()), token, known, findings).map(Some)
        }
    };
    if matches!(sponsor, Some(Some(_))) && !modes.is_some_and(Modes::pulls) {
        findings.add(Rule::Tempo, format!("{at}feePayer"), "pays for nothing where modes has not pull", "remove it, or add pull to modes");
    }
    let is_whole = sponsor.is_some() && chain_id > 0;
    let asking = Asking { chain_id, token: token?, recipient: recipient?, splits: splits?, modes: modes?, sponsor: sponsor.flatten() };
    Some(Box::new(Draft { name: name?, at, currency: currency?, asking: Arc::new(asking), rpc_urls, confirmations, is_whole }))
}

fn splits(at: &str, raw: Vec<RawSplit>, findings: &mut Findings) -> Option<Vec<Split>> {
    let expected = raw.len();
    if expected > MOST_SPLITS {
        findings.add(
            Rule::Tempo,
            format!("{at}splits"),
            format!("are more than {MOST_SPLITS}"),
            "keep the largest, and part the rest elsewhere",
        );
        return None;
    }
    let mut splits = Vec::with_capacity(expected);
    for (index, RawSplit { recipient, basis_points }) in raw.into_iter().enumerate() {
        let field = format!("{at}splits[{index}]");
        let recipient = address(Rule::Tempo, format!("{field}.recipient"), &recipient, findings);
        let basis_points = u16::try_from(basis_points).ok().filter(|points| (1..10_000).contains(points));
        if basis_points.is_none() {
            findings.add(
                Rule::Tempo,
                format!("{field}.basisPoints"),
                "must lie between 1 and 9999",
                "give the share in hundredths of a percent, such as 250 for 2.5 %",
            );
        }
        splits.extend(recipient.zip(basis_points).map(|(recipient, basis_points)| Split { recipient, basis_points }));
    }
    if splits.iter().map(|split| u32::from(split.basis_points)).sum::<u32>() >= 10_000 {
        findings.add(Rule::Tempo, format!("{at}splits"), "leave nothing to the recipient", "make them less than 10000 together");
        return None;
    }
    (splits.len() == expected).then_some(splits)
}

fn modes(at: &str, raw: Option<&[String]>, findings: &mut Findings) -> Option<Modes> {
    let names: Option<Vec<&str>> = raw.map(|names| names.iter().map(String::as_str).collect());
    match names.as_deref() {
        None | Some(["pull", "push"] | ["push", "pull"]) => Some(Modes::Both),
        Some(["pull"]) => Some(Modes::Pull),
        Some(["push"]) => Some(Modes::Push),
        Some(_) => {
            let remedy = "set [\"pull\"] or [\"push\"], or leave it out for both";
            findings.add(Rule::Tempo, format!("{at}modes"), "must hold pull, push, or both, each once", remedy);
            None
        }
    }
}

fn sponsor(
    at: &str,
    raw: RawFeePayer,
    key: Option<crate::evm::key::PrivateKey>,
    token: Option<Address>,
    known: Option<&Known>,
    findings: &mut Findings,
) -> Option<Sponsor> {
    let at = format!("{at}feePayer.");
    let fee_token = match raw.fee_token {
        Some(text) => address(Rule::Tempo, format!("{at}feeToken"), &text, findings),
        None => token,
    };
    let mut within = |field: &str, value, default, most| bounded(Rule::Tempo, &format!("{at}{field}"), value, default, 1..=most, findings);
    let gas = within("maxGas", raw.max_gas, 2_000_000, 30_000_000);
    let fee_per_gas = within("maxFeePerGas", raw.max_fee_per_gas, 100, 10_000);
    let priority_fee = within("maxPriorityFeePerGas", raw.max_priority_fee_per_gas, known.map_or(10, |known| known.priority_fee), 10_000);
    let at_once = within("atOnce", raw.at_once, 100, 1000);
    let fee = Amount::parse_human(raw.max_fee.as_deref().unwrap_or("0.05"), FEE_DECIMALS).ok().filter(|fee| *fee > Amount::ZERO);
    if fee.is_none() {
        let remedy = "give the most that one transaction's fees may be in dollars, such as \"0.05\"";
        findings.add(Rule::Tempo, format!("{at}maxFee"), "is not an amount of dollars above zero", remedy);
    }
    let policy = Policy {
        gas,
        fee_per_gas: u128::from(fee_per_gas).saturating_mul(BILLIONTH),
        priority_fee_per_gas: u128::from(priority_fee).saturating_mul(BILLIONTH),
        fee: fee?.base_units(),
        at_once: u16::try_from(at_once).ok()?,
    };
    Some(Sponsor { key: key?, fee_token: fee_token?, policy })
}
