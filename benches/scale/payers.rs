//! Who comes when, what for, and how they leave.

use super::random::Random;

/// How a payer leaves when it has bought what it wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Asks the gateway to close.
    Closes,
    /// Says nothing.
    Vanishes,
    /// Asks the escrow, and withdraws after the grace period.
    Forces,
}

#[derive(Clone, Debug)]
pub(crate) struct Payer {
    /// In seconds from the beginning.
    pub(crate) arrives: u64,
    /// Of one request, in base units.
    pub(crate) price: u128,
    pub(crate) requests: u64,
    pub(crate) leaving: Leaving,
}

/// Payers until `seconds`, `per_hour` of them on average.
pub(crate) fn payers(seed: u64, seconds: u64, per_hour: u64) -> Vec<Payer> {
    let mut random = Random::new(seed ^ 0x9a7e);
    let mut payers = Vec::new();
    let mut arrives = 0;
    loop {
        arrives += random.exponential(3_600_000 / per_hour) / 1_000;
        if arrives >= seconds {
            return payers;
        }
        let price = match random.below(100) {
            0..60 => 1_000,
            60..85 => 5_000,
            _ => 20_000,
        };
        let mean = if random.is(10) { 1_000 } else { 150 };
        let requests = 1 + random.exponential(mean);
        let leaving = match random.below(100) {
            0..60 => Leaving::Closes,
            60..95 => Leaving::Vanishes,
            _ => Leaving::Forces,
        };
        payers.push(Payer { arrives, price, requests, leaving });
    }
}

/// Seconds to the payer's next request: bursts of some twenty, half an hour apart.
pub(crate) fn pause(random: &mut Random) -> u64 {
    if random.below(20) == 0 { 60 + random.exponential(1_500) } else { 1 + random.exponential(5) }
}
