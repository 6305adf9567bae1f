//! The vouchers that are kept: the best one, and as many earlier ones as settlement needs.

use crate::evm::amount::Amount;
use crate::evm::escrow::SignedVoucher;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Kept at the most. The largest that is delivered can be settled at once; the others become so in turn, each of
/// them making room for a younger one.
const KEPT: usize = 5;

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

    /// Keeps a voucher, and drops those that are of no more use when this much is delivered.
    pub(super) fn keep(&mut self, voucher: SignedVoucher, delivered: Amount) {
        let Err(index) = self.0.binary_search_by_key(&voucher.cumulative, |held| held.cumulative) else { return };
        if index < self.0.len() {
            // A late one: those that came before it say more.
            return;
        }
        let settled_by_others = self.0.iter().filter(|held| held.cumulative <= delivered).count().saturating_sub(1);
        self.0.drain(..settled_by_others);
        if self.0.len() >= KEPT {
            // The oldest become settleable first, so it is the youngest that is superseded.
            self.0.pop();
        }
        self.0.push(voucher);
    }

    /// Keeps the best only.
    pub(super) fn keep_best(&mut self) {
        let others = self.0.len().saturating_sub(1);
        self.0.drain(..others);
    }
}
