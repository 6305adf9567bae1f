//! How many charges of one payer may be on their way at once. Each simulates well for itself; one transfer that empties the payer's
//! balance, or cancels their authorizations, reverts them all at our cost.

use crate::settlement::Failure;
use crate::time::Timestamp;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Charges on their way at once, of a payer that has cost nothing: with 50 000 gas for one that reverts, less than a million is lost
/// before the payer is known.
pub const MOST_AT_ONCE: usize = 16;

/// A charge that cost gas for nothing is remembered for this long.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// After this many, none is taken on.
const ENOUGH: usize = 3;

/// A payer's charges that cost gas for nothing. Kept only where there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(Vec<Timestamp>);

impl Record {
    /// How many charges may be on their way at once; with none nothing is taken on.
    pub fn places(&self, now: Timestamp) -> usize {
        match self.0.iter().filter(|at| now.since(**at) < MEMORY).count() {
            0 => MOST_AT_ONCE,
            lately if lately < ENOUGH => 1,
            _ => 0,
        }
    }

    /// A charge for which a transaction was sent has failed. Returns whether that is remembered: what was not mined cost nothing.
    pub fn note(&mut self, failure: Failure, now: Timestamp) -> bool {
        let is_costly = matches!(failure, Failure::Reverted | Failure::UsedElsewhere);
        if is_costly {
            self.0.retain(|at| now.since(*at) < MEMORY);
            self.0.push(now);
            // The latest are those that count for longest.
            let surplus = self.0.len().saturating_sub(ENOUGH);
            self.0.drain(..surplus);
        }
        is_costly
    }

    /// When nothing of it counts any more.
    pub fn forget_at(&self) -> Option<Timestamp> {
        self.0.last().map(|at| at.saturating_add(MEMORY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis((1_800_000_000 + seconds) * 1000)
    }

    #[test]
    fn fewer_after_one_and_none_after_three_within_a_day() {
        let mut record = Record::default();
        let mut places = Vec::new();
        for hour in 0..4 {
            places.push(record.places(at(hour * HOUR)));
            assert!(record.note(Failure::Reverted, at(hour * HOUR)));
        }
        assert_eq!(places, [MOST_AT_ONCE, 1, 1, 0]);
        assert_eq!(record.places(at(4 * HOUR)), 0);
    }

    #[test]
    fn what_is_a_day_old_is_forgotten() {
        let mut record = Record::default();
        for hour in [0, 1, 2] {
            record.note(Failure::UsedElsewhere, at(hour * HOUR));
        }
        let day = 24 * HOUR;
        assert_eq!(
            [day - 1, day, day + 2 * HOUR - 1, day + 2 * HOUR].map(|at_second| record.places(at(at_second))),
            [0, 1, 1, MOST_AT_ONCE]
        );
        assert_eq!(record.forget_at(), Some(at(day + 2 * HOUR)));
        // Only what still counts is kept, and no more than is needed.
        for hour in 0..10 {
            record.note(Failure::Reverted, at(day + hour * HOUR));
        }
        assert_eq!(record.0.len(), ENOUGH);
    }

    #[test]
    fn what_was_never_mined_cost_nothing() {
        let mut record = Record::default();
        for failure in [Failure::Expired, Failure::NotMined] {
            assert!(!record.note(failure, at(0)));
        }
        assert_eq!((record.places(at(0)), record.forget_at()), (MOST_AT_ONCE, None));
    }
}
