//! How charges are settled.

use super::address;
use crate::evm::multicall::multicall3_on;
use crate::gateway::validate::{Findings, Rule, bounded};
use crate::settlement::Batching;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use serde::Deserialize;

/// What stands under `settle`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSettlement {
    batch: Option<RawBatch>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBatch {
    max: Option<u64>,
    wait_ms: Option<u64>,
    multicall: Option<String>,
}

/// `None` when something is wrong with it; `Some(None)` when each charge is a transaction of its own.
pub(super) fn batching(
    at: &str,
    raw: Option<&RawSettlement>,
    chain_id: u64,
    is_preset: bool,
    findings: &mut Findings,
) -> Option<Option<Batching>> {
    let Some(batch) = raw.and_then(|raw| raw.batch.as_ref()) else { return Some(None) };
    let field = |name: &str| format!("{at}settle.batch.{name}");
    let most = bounded(Rule::Batches, &field("max"), batch.max, 20, 2..=50, findings);
    let wait = bounded(Rule::Batches, &field("waitMs"), batch.wait_ms, 250, 0..=5000, findings);
    let multicall = match &batch.multicall {
        Some(text) => address(Rule::Batches, field("multicall"), text, findings)?,
        None if is_preset => multicall3_on(chain_id),
        None => {
            let remedy = "set the address of Multicall3 on that chain, which the chain's documentation says";
            findings.add(Rule::Batches, field("multicall"), "is missing, and the chain is none of the networks that are known", remedy);
            return None;
        }
    };
    Some(Some(Batching { most: usize::try_from(most).ok()?, wait: Duration::from_millis(wait), multicall }))
}
