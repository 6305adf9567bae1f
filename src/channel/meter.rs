//! How many units a metered sale reserves at a time: few at first, so that little is bound for a short answer, and
//! twice as many each time, so that a long one costs few calls.

/// The units of one sale, as the one who serves it counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    reserved: u64,
    delivered: u64,
    batch: u64,
    largest: u64,
}

impl Meter {
    /// A meter that reserves `first` units to begin with, and never more than `largest` at once.
    pub const fn new(first: u64, largest: u64) -> Self {
        Self { reserved: 0, delivered: 0, batch: first, largest }
    }

    /// Units to ask for now, when `needed` must be had.
    pub fn wanted(&self, needed: u64) -> u64 {
        self.batch.max(needed.saturating_sub(self.left()))
    }

    /// Units that were reserved. After a full batch the next is twice as large.
    pub fn reserve(&mut self, units: u64) {
        self.reserved = self.reserved.saturating_add(units);
        if units >= self.batch {
            self.batch = self.batch.saturating_mul(2).min(self.largest);
        }
    }

    /// Units that were delivered.
    pub const fn deliver(&mut self, units: u64) {
        self.delivered = self.delivered.saturating_add(units);
    }

    /// Units that may still be delivered.
    pub const fn left(&self) -> u64 {
        self.reserved.saturating_sub(self.delivered)
    }

    /// All units reserved so far.
    pub const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// All units delivered so far.
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn ten_thousand_units_take_tens_of_batches() {
        let mut meter = Meter::new(8, 1024);
        let mut batches = 0;
        for _ in 0..10_000 {
            if meter.left() == 0 {
                meter.reserve(meter.wanted(1));
                batches += 1;
            }
            meter.deliver(1);
        }
        assert_eq!((meter.delivered(), batches), (10_000, 16));
    }

    #[test]
    fn a_batch_cut_short_by_the_balance_does_not_grow_the_next() {
        let mut meter = Meter::new(8, 1024);
        meter.reserve(3);
        assert_eq!(meter.wanted(1), 8);
        meter.reserve(8);
        assert_eq!((meter.wanted(1), meter.wanted(100)), (16, 89));
    }
}
