//! Repeated requests are not charged again: those of a client by their idempotency key (`draft-evm-session-00`, Request
//! Idempotency), and those of an isolate whose answer was lost by its attempt.

use super::{Bought, Key, Refusal};
use crate::evm::amount::Amount;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Keys remembered per channel.
const REMEMBERED: usize = 16;

/// A request may be repeated this often: the origin is asked each time.
const MAX_REPLAYS: u8 = 3;

/// Oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Keys(Vec<Known>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    key: Key,
    amount: Amount,
    booking: u64,
    /// `None`: it must not be repeated.
    replays: Option<u8>,
}

impl Keys {
    /// The booking that the key stands for, when it was used before. That counts as a replay.
    pub(super) fn replay(&mut self, key: &Key, amount: Amount) -> Result<Option<u64>, Refusal> {
        let Some(known) = self.0.iter_mut().find(|known| known.key.name == key.name) else { return Ok(None) };
        if known.key.is_taken_by(key) || known.amount != amount {
            return Err(Refusal::KeyOfAnother);
        }
        match &mut known.replays {
            Some(replays) if *replays < MAX_REPLAYS => {
                *replays = replays.saturating_add(1);
                Ok(Some(known.booking))
            }
            _ => Err(Refusal::KeySpent),
        }
    }

    pub(super) fn remember(&mut self, key: Key, amount: Amount, booking: u64, repeatable: bool) {
        if self.0.len() >= REMEMBERED {
            self.0.remove(0);
        }
        self.0.push(Known { key, amount, booking, replays: repeatable.then_some(0) });
    }

    /// The booking was credited back: its key may buy anew.
    pub(super) fn forget(&mut self, booking: u64) {
        self.0.retain(|known| known.booking != booking);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Attempts remembered per channel: an answer that was lost is asked for again at once.
const ATTEMPTS: usize = 16;

/// What the last attempts have bought, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Attempts(Vec<(u64, u64, u64)>);

impl Attempts {
    pub(super) fn find(&self, attempt: u64) -> Option<Bought> {
        let found = self.0.iter().find(|(known, ..)| *known == attempt);
        found.map(|(_, booking, units)| Bought { booking: *booking, units: *units, replayed: false })
    }

    pub(super) fn remember(&mut self, attempt: u64, bought: Bought) {
        if self.0.len() >= ATTEMPTS {
            self.0.remove(0);
        }
        self.0.push((attempt, bought.booking, bought.units));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
