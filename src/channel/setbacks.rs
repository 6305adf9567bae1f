//! Settlements that fail: when the next one is tried, and how much gas may be lost on them.
//!
//! A try that a simulation refuses costs nothing but a question; one that is mined and reverts costs gas. The first is repeated
//! ever more seldom, the second only a few times.

use super::CollectBy;
use crate::settlement::Failure;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A failed collection is tried again after this, and each time after twice as long…
pub(super) const RETRY: Duration = Duration::from_secs(30);

/// …but not longer than this…
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// …and while the grace period of a forced close runs, not longer than this.
const LONGEST_FORCED: Duration = Duration::from_secs(120);

/// Tries that cost gas in vain, in a row; and in all, when the payer has asked the escrow for the end. Then it rests.
const REVERTS: u8 = 4;
const REVERTS_FORCED: u8 = 10;
const REST: Duration = Duration::from_secs(24 * 60 * 60);

/// Closes that are tried where they bring nothing any more but what the payer gets back.
const CLOSES: u8 = 4;

/// What failed since a settlement has succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Setbacks {
    /// In a row.
    pub(super) failures: u8,
    /// Those that were mined, and cost gas.
    pub(super) reverts: u8,
    /// Those that were to close it.
    closes: u8,
    /// A close reverts where the refund does (a payer whom the token has blacklisted): a settlement may pay all the same.
    settle_next: bool,
}

impl Setbacks {
    pub(super) fn count(&mut self, by: CollectBy, failure: Failure) {
        let is_close = by == CollectBy::Close;
        self.failures = self.failures.saturating_add(1);
        self.reverts = self.reverts.saturating_add(matches!(failure, Failure::Reverted | Failure::UsedElsewhere).into());
        self.closes = self.closes.saturating_add(is_close.into());
        self.settle_next = is_close && matches!(failure, Failure::Refused | Failure::Reverted);
    }

    /// One has succeeded. On a channel that is being closed that is not the end of it.
    pub(super) fn recover(&mut self, is_closing: bool) {
        *self = if is_closing { Self { failures: 0, settle_next: false, ..*self } } else { Self::default() };
    }

    /// The deposit is another one: a close may succeed now.
    pub(super) const fn look_again(&mut self) {
        self.settle_next = false;
    }

    /// Somebody wants the end: it is tried at once, if there is gas left for it. Returns whether there is.
    pub(super) const fn begin_anew(&mut self, is_forced: bool) -> bool {
        let may = self.reverts < Self::most(is_forced);
        if may {
            self.closes = 0;
            self.settle_next = false;
        }
        may
    }

    /// A close has failed, and a settlement may be tried at once.
    pub(super) const fn may_settle_instead(&self, is_forced: bool) -> bool {
        self.settle_next && self.reverts < Self::most(is_forced)
    }

    const fn most(is_forced: bool) -> u8 {
        if is_forced { REVERTS_FORCED } else { REVERTS }
    }

    /// After the last failure.
    pub(super) fn delay(&self, is_forced: bool) -> Duration {
        if self.reverts >= Self::most(is_forced) {
            return REST;
        }
        let doubled = RETRY.saturating_mul(1 << self.failures.saturating_sub(1).min(7));
        doubled.min(if is_forced { LONGEST_FORCED } else { LONGEST })
    }

    /// What the end is tried with; nothing, when nothing is at risk and it has failed often enough.
    pub(super) const fn last_resort(&self, at_risk: bool) -> Option<CollectBy> {
        match (at_risk, self.settle_next) {
            (true, true) => Some(CollectBy::Settle),
            (false, _) if self.closes >= CLOSES => None,
            _ => Some(CollectBy::Close),
        }
    }
}
