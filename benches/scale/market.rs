//! What gas costs over time: a calm base fee that wavers, and spikes that rise and fall as fast as EIP-1559 lets them.

use super::random::Random;
use std::ops::Range;

/// Seconds from block to block.
pub(crate) const BLOCK: u64 = 2;
/// What a calm block asks for a unit of gas, in wei, and what is paid on top.
pub(crate) const CALM: u128 = 50_000_000;
pub(crate) const TIP: u128 = 1_000_000;

pub(crate) struct Market {
    fees: Vec<u128>,
    /// In seconds from the beginning.
    pub(crate) spikes: Vec<Range<u64>>,
}

impl Market {
    /// One spike in each third of `spiking`: of 30 to 120 minutes, 20 to 60 times as dear as calm.
    pub(crate) fn new(seed: u64, spiking: u64, seconds: u64) -> Self {
        let mut random = Random::new(seed ^ 0xfee5);
        let spikes: Vec<_> = (0..3)
            .map(|third| {
                let begins = third * spiking / 3 + random.below(spiking / 6);
                let lasts = random.between(1_800, 7_200).min(spiking / 8);
                (begins..begins + lasts, CALM * u128::from(random.between(20, 60)))
            })
            .collect();
        let mut fee = CALM;
        let fees = (0..seconds / BLOCK)
            .map(|block| {
                let time = block * BLOCK;
                let spike = spikes.iter().find(|(range, _)| range.contains(&time));
                // Calm is what it returns to, between a half and one and a half times.
                let aim = spike.map_or(CALM / 2 + u128::from(random.below(50)) * CALM / 50, |(_, peak)| *peak);
                fee = aim.clamp(fee - fee / 8, fee + fee / 8);
                fee
            })
            .collect();
        Self { fees, spikes: spikes.into_iter().map(|(range, _)| range).collect() }
    }

    pub(crate) fn base_fee(&self, block: u64) -> u128 {
        let last = self.fees.last().copied().unwrap_or(CALM);
        usize::try_from(block).ok().and_then(|block| self.fees.get(block)).copied().unwrap_or(last)
    }

    pub(crate) fn is_spike(&self, second: u64) -> bool {
        self.spikes.iter().any(|spike| spike.contains(&second))
    }
}
