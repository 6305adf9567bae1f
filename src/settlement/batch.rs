//! Several transfers in one transaction. One of them leads: the others are stored with it, and brought about by its transactions.
//! Each is judged by its own log. What a batch cannot do for one of them, a transaction of its own does.

use super::operation::Attempt;
use super::purpose::{Purpose, Transfer};
use crate::evm::multicall::all_of;
use crate::evm::transaction::Call;
use crate::evm::{Address, B256};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Gas that each takes of a batch besides its own.
const GAS_OF_EACH: u64 = 10_000;

/// The most gas of one batch: a third of the smallest block that networks have, and below what one transaction may have anywhere.
const MOST_GAS: u64 = 10_000_000;

/// Those that one operation takes along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    multicall: Address,
    others: Vec<(Transfer, u64)>,
}

/// A transaction that may bring an operation about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Carrier {
    pub(super) nonce: u64,
    pub(super) hash: B256,
}

impl Carrier {
    pub(super) const fn of(attempt: &Attempt) -> Self {
        Self { nonce: attempt.nonce, hash: attempt.hash }
    }
}

impl Batch {
    pub(super) const fn new(multicall: Address, others: Vec<(Transfer, u64)>) -> Self {
        Self { multicall, others }
    }

    /// What is taken along, with the gas limit of each.
    pub(super) fn others(&self) -> impl Iterator<Item = (Purpose, u64)> {
        self.others.iter().map(|(transfer, gas)| (Purpose::Transfer(*transfer), *gas))
    }

    /// Gas for them.
    pub(super) fn gas(&self) -> u64 {
        let each = self.others.iter().map(|(_, gas)| gas.saturating_add(GAS_OF_EACH));
        each.fold(GAS_OF_EACH, u64::saturating_add)
    }

    /// The call that brings about all of them, and `leader` first.
    pub(super) fn call(&self, leader: &Purpose) -> Call {
        let others = self.others().map(|(purpose, _)| purpose.call());
        all_of(self.multicall, core::iter::once(leader.call()).chain(others))
    }
}

/// How a rail settles in batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// The most transfers in one.
    pub most: usize,
    /// The longest that one waits for others.
    pub wait: Duration,
    /// The contract that makes several calls.
    pub multicall: Address,
}

/// Parts transfers, given with the gas limit of each, into batches of `most` at most that no block is too small for.
pub fn batches(transfers: impl IntoIterator<Item = (Transfer, u64)>, most: usize) -> Vec<Vec<(Transfer, u64)>> {
    let mut batches: Vec<Vec<(Transfer, u64)>> = Vec::new();
    let mut sum = 0_u64;
    for (transfer, gas) in transfers {
        let gas_in_all = gas.saturating_add(GAS_OF_EACH);
        match batches.last_mut() {
            Some(batch) if batch.len() < most && sum.saturating_add(gas_in_all) <= MOST_GAS => batch.push((transfer, gas)),
            _ => {
                batches.push([(transfer, gas)].into());
                sum = 0;
            }
        }
        sum = sum.saturating_add(gas_in_all);
    }
    batches
}
