//! Chance, the same for the same seed on every machine: SplitMix64, and only such arithmetic as IEEE 754 defines to the bit.

pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// In `0..below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.next() % below.max(1)
    }

    /// In `from..to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    /// Whether one of `percent` in a hundred.
    pub(crate) fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Exponentially distributed, rounded: the time to what comes at random, or the size of what is mostly small.
    pub(crate) fn exponential(&mut self, mean: u64) -> u64 {
        // 53 bits, never zero.
        let uniform = ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-ln(uniform) * mean as f64) as u64
    }
}

/// The natural logarithm of what lies in `0..=1`, by sums and products only: a library's may differ in the last bit.
fn ln(mut value: f64) -> f64 {
    let mut halvings = 0.0;
    while value < 0.75 {
        value *= 2.0;
        halvings += 1.0;
    }
    let ratio = (value - 1.0) / (value + 1.0);
    let (square, mut power, mut sum) = (ratio * ratio, ratio, 0.0);
    for odd in (1..40).step_by(2) {
        sum += power / f64::from(odd);
        power *= square;
    }
    2.0 * sum - halvings * std::f64::consts::LN_2
}
