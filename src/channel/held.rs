//! The vouchers that are kept: those that a settlement or a close would take now, the best one, and as many of the others as
//! they may need later.

use crate::evm::escrow::SignedVoucher;
use crate::money::Amount;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Kept at the most.
///
/// Always kept are the largest that is delivered, the smallest that covers what a close has to take, and the best. Of the others the one
/// is dropped that leaves the smallest gap. So a voucher that was dropped leaves a gap of at most a third of what lay between
/// the delivered and the best then: of nine vouchers at least six may go, and the gaps around them sum up to no more than twice
/// that. By as much may a close exceed what the payer's vouchers would have allowed it to take.
const KEPT: usize = 8;

/// Vouchers in the order of their totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Held(Vec<SignedVoucher>);

impl Held {
    pub(super) fn best(&self) -> Option<SignedVoucher> {
        self.0.last().copied()
    }

    /// The largest that takes no more than `amount`.
    pub(super) fn within(&self, amount: Amount) -> Option<SignedVoucher> {
        self.0.iter().rev().find(|voucher| voucher.cumulative <= amount).copied()
    }

    /// The smallest that takes at least `amount`, or the best.
    pub(super) fn covering(&self, amount: Amount) -> Option<SignedVoucher> {
        self.0.iter().find(|voucher| voucher.cumulative >= amount).copied().or_else(|| self.best())
    }

    /// Keeps a voucher, and drops what is of no more use when this much is delivered and a close would have to cover that much.
    pub(super) fn keep(&mut self, voucher: SignedVoucher, delivered: Amount, needed: Amount) {
        let Err(index) = self.0.binary_search_by_key(&voucher.cumulative, |held| held.cumulative) else { return };
        let below = self.0.iter().take(index).next_back();
        let covers_best = voucher.cumulative >= needed && below.is_none_or(|below| below.cumulative < needed);
        if index < self.0.len() && !covers_best {
            // A late one: those that came before it say more.
            return;
        }
        self.0.insert(index, voucher);
        let superseded = self.0.partition_point(|held| held.cumulative <= delivered).saturating_sub(1);
        self.0.drain(..superseded);
        if self.0.len() > KEPT
            && let Some(index) = self.dispensable(delivered, needed)
        {
            self.0.remove(index);
        }
    }

    /// The one without which the gap between its neighbours is the smallest.
    fn dispensable(&self, delivered: Amount, needed: Amount) -> Option<usize> {
        let covering = self.0.iter().position(|held| held.cumulative >= needed);
        let before = core::iter::once(delivered).chain(self.0.iter().map(|held| held.cumulative));
        let after = self.0.iter().skip(1).map(|held| held.cumulative);
        let gaps = before.zip(after).map(|(before, after)| after.saturating_sub(before)).enumerate();
        let may_go = |index: &usize| Some(*index) != covering && self.0.get(*index).is_some_and(|held| held.cumulative > delivered);
        gaps.filter(|(index, _)| may_go(index)).min_by_key(|(_, gap)| *gap).map(|(index, _)| index)
    }

    /// Keeps the best only.
    pub(super) fn keep_best(&mut self) {
        let others = self.0.len().saturating_sub(1);
        self.0.drain(..others);
    }
}
