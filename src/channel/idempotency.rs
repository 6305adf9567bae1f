//! Requests that a client repeats under their idempotency key are not charged again (`draft-evm-session-00`, Request Idempotency).

use super::{Key, Refusal};
use crate::money::Amount;
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

    /// The booking was released: its key may buy anew.
    pub(super) fn forget(&mut self, booking: u64) {
        self.0.retain(|known| known.booking != booking);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
