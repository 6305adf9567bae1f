//! How many deliveries of one payer the origin may break off within an hour before they count as delivered: an origin that breaks off
//! more of them than that has help.

use super::REOPENABLE;
use crate::time::Timestamp;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// See the module.
pub const MAX_REOPENED: usize = 16;

/// When the deliveries of one payer were reopened, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reopened(Vec<Timestamp>);

impl Reopened {
    /// Whether another one may be reopened.
    pub fn allows(&self, now: Timestamp) -> bool {
        self.0.iter().filter(|at| now.since(**at) < REOPENABLE).count() < MAX_REOPENED
    }

    /// Another one was.
    pub fn note(&mut self, now: Timestamp) {
        self.0.retain(|at| now.since(*at) < REOPENABLE);
        self.0.push(now);
    }

    /// When all of it may be forgotten.
    pub fn forget_at(&self) -> Option<Timestamp> {
        self.0.last().map(|at| at.saturating_add(REOPENABLE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a22_sixteen_deliveries_of_a_payer_are_reopened_within_an_hour() {
        let at = |seconds| Timestamp::from_millis(1_800_000_000_000).saturating_add(Duration::from_secs(seconds));
        let mut reopened = Reopened::default();
        assert_eq!(reopened.forget_at(), None);
        for second in 0..16 {
            assert!(reopened.allows(at(second)));
            reopened.note(at(second));
        }
        assert!(!reopened.allows(at(16)) && !reopened.allows(at(3_599)));
        assert_eq!(reopened.forget_at(), Some(at(15 + 3_600)));
        assert!(reopened.allows(at(3_600)));
        reopened.note(at(3_600));
        assert!(!reopened.allows(at(3_600)) && reopened.allows(at(3_601)));
    }
}
