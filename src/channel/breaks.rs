//! Answers that broke off after some of them had gone out, and were released. Whose doing that was is judged elsewhere, as well
//! as it can be; who finds a way to bring it about gets little by it.

use crate::money::Amount;
use crate::time::Timestamp;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// So many are released on a channel within an hour, and so many for one voucher.
const MOST: usize = 8;
const MOST_PER_VOUCHER: usize = 3;
const WITHIN: Duration = Duration::from_secs(60 * 60);

/// Those of the last hour, with the vouchers that had bought them (of what is metered only where each buys once); oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Breaks(Vec<(Timestamp, Option<Amount>)>);

impl Breaks {
    /// Whether one more may be released.
    pub(super) fn allow(&self, voucher: Option<Amount>, now: Timestamp) -> bool {
        let recent = || self.0.iter().filter(|(at, _)| now.since(*at) < WITHIN);
        let of_voucher = || recent().filter(|(_, other)| voucher.is_some() && *other == voucher).count();
        recent().count() < MOST && of_voucher() < MOST_PER_VOUCHER
    }

    /// Whether there were none lately.
    pub(super) fn are_over(&self, now: Timestamp) -> bool {
        self.0.iter().all(|(at, _)| now.since(*at) >= WITHIN)
    }

    pub(super) fn note(&mut self, voucher: Option<Amount>, now: Timestamp) {
        self.0.retain(|(at, _)| now.since(*at) < WITHIN);
        self.0.push((now, voucher));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
