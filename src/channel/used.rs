//! Which vouchers have bought already, where each buys once.

use crate::money::Amount;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Vouchers may come out of order by as many as this.
const REMEMBERED: usize = 64;

/// The totals of vouchers that have bought: some by name, and all up to a floor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Used {
    /// Vouchers up to this, itself included, count as used.
    floor: Amount,
    /// Those above it, in order.
    above: Vec<Amount>,
}

impl Used {
    /// Nothing above `floor` was used.
    pub(super) const fn up_to(floor: Amount) -> Self {
        Self { floor, above: Vec::new() }
    }

    pub(super) fn contains(&self, voucher: Amount) -> bool {
        voucher <= self.floor || self.above.binary_search(&voucher).is_ok()
    }

    pub(super) fn insert(&mut self, voucher: Amount) {
        if let (false, Err(index)) = (voucher <= self.floor, self.above.binary_search(&voucher)) {
            self.above.insert(index, voucher);
        }
        if self.above.len() > REMEMBERED {
            self.floor = self.above.remove(0);
        }
    }

    /// What it bought was not delivered: it may buy again, unless that is too long ago.
    pub(super) fn remove(&mut self, voucher: Amount) {
        if let Ok(index) = self.above.binary_search(&voucher) {
            self.above.remove(index);
        }
    }
}
