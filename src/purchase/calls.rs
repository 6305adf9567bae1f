//! How often the origin is called for one payment. Whoever may call it holds a lease, and each lease counts as a call: what becomes
//! of it may never be told. A call that the origin failed does not count, but such calls are spread over time.

use super::refusal::Refusal;
use crate::time::Timestamp;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Calls that one payment is good for, whatever becomes of them, but for the origin's own failures: the one that is paid for, and
/// three that the client left, that broke off, that were not charged, or that repeat what was delivered.
pub const MAX_CALLS: u8 = 4;

/// So often an origin may fail a payment before each next call has to wait.
pub const FREE_FAILURES: u8 = 8;

/// How long it waits then.
pub const REST: Duration = Duration::from_secs(60);

/// How a lease ended under which nothing was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undelivered {
    /// The origin was not called.
    Uncalled,
    /// The origin could not be reached, was too slow, or asked for another try.
    Failed,
    /// The client left, broke its own request, or got an answer that is not charged.
    Unfinished,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Calls {
    made: u8,
    failed: u8,
    /// When the origin failed it last.
    failed_at: Option<Timestamp>,
}

impl Calls {
    /// Whether the origin may be called at this time.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.made >= MAX_CALLS {
            return Err(Refusal::UsedUp);
        }
        match self.failed_at.map(|at| at.saturating_add(REST)) {
            Some(rested) if self.failed >= FREE_FAILURES && now < rested => Err(Refusal::Resting(rested.since(now))),
            _ => Ok(()),
        }
    }

    /// Another one would be one too many.
    pub(super) const fn are_used_up(&self) -> bool {
        self.made >= MAX_CALLS
    }

    /// Somebody may call from here on.
    pub(super) const fn begin(&mut self) {
        self.made = self.made.saturating_add(1);
    }

    /// The one that was begun last has ended.
    pub(super) const fn end(&mut self, how: Undelivered, now: Timestamp) {
        match how {
            Undelivered::Uncalled => self.made = self.made.saturating_sub(1),
            Undelivered::Failed => {
                self.made = self.made.saturating_sub(1);
                self.failed = self.failed.saturating_add(1);
                self.failed_at = Some(now);
            }
            Undelivered::Unfinished => {}
        }
    }

    /// There were none.
    pub(super) const fn are_none(&self) -> bool {
        self.made == 0 && self.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn after(ends: &[Undelivered]) -> Calls {
        let mut calls = Calls::default();
        for end in ends {
            calls.begin();
            calls.end(*end, NOW);
        }
        calls
    }

    #[test]
    fn a_call_counts_unless_it_was_not_made_or_the_origin_failed_it() {
        use Undelivered::{Failed, Uncalled, Unfinished};
        assert_eq!(after(&[Unfinished; 3]).check(NOW), Ok(()));
        assert_eq!(after(&[Unfinished; 4]).check(NOW), Err(Refusal::UsedUp));
        assert_eq!(after(&[Unfinished, Uncalled, Unfinished, Failed, Unfinished, Uncalled]).check(NOW), Ok(()));
        assert_eq!(after(&[Uncalled; 200]), Calls::default());
        let mut untold = after(&[Unfinished; 3]);
        untold.begin();
        assert_eq!(untold.check(NOW), Err(Refusal::UsedUp));
        assert!(after(&[Uncalled]).are_none() && !after(&[Failed]).are_none() && !after(&[Unfinished]).are_none());
    }

    #[test]
    fn failures_of_the_origin_never_use_a_payment_up_but_are_spread_over_time() {
        assert_eq!(after(&[Undelivered::Failed; 7]).check(NOW), Ok(()));
        for failures in [8, 9, 255, 1_000] {
            let calls = after(&vec![Undelivered::Failed; failures]);
            assert_eq!(calls.check(NOW), Err(Refusal::Resting(REST)));
            let late = NOW.saturating_add(REST);
            assert_eq!(calls.check(late), Ok(()));
        }
    }
}
