//! Purchases whose answer may be lost. An isolate that gets none asks again, or has the purchase cancelled: both must be the same
//! purchase, however many others are in flight.

use super::{Answer, Bought, Channel, Kind, Refusal};
use crate::money::Amount;
use crate::time::Timestamp;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Remembered per channel. More than are in flight on one channel at a time; what isolates that died have left goes first.
const REMEMBERED: usize = 256;

/// The bits of an attempt that count the attempts of one isolate; those above them name the isolate.
const COUNTED: u32 = 24;

/// What the attempts in flight have bought, oldest first; nothing, where they were cancelled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Attempts(Vec<(u64, Option<(u64, u64)>)>);

impl Attempts {
    /// What the attempt has bought before.
    pub(super) fn find(&self, attempt: u64) -> Result<Option<Bought>, Refusal> {
        match self.0.iter().find(|(known, _)| *known == attempt) {
            None => Ok(None),
            Some((_, None)) => Err(Refusal::Cancelled),
            Some((_, Some((booking, units)))) => Ok(Some(Bought { booking: *booking, units: *units, replayed: false })),
        }
    }

    /// The attempts of the same isolate before `since` are over.
    pub(super) fn remember(&mut self, attempt: u64, since: u64, bought: Bought) {
        self.0.retain(|(known, _)| *known >= since || *known >> COUNTED != since >> COUNTED);
        self.push(attempt, Some((bought.booking, bought.units)));
    }

    /// It must buy nothing any more. Returns what it has bought.
    fn cancel(&mut self, attempt: u64) -> Option<Bought> {
        let bought = self.find(attempt).ok()?;
        self.0.retain(|(known, _)| *known != attempt);
        self.push(attempt, None);
        bought
    }

    fn push(&mut self, attempt: u64, bought: Option<(u64, u64)>) {
        if self.0.len() >= REMEMBERED {
            self.0.remove(0);
        }
        self.0.push((attempt, bought));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Channel {
    /// Nobody will ever get what an attempt has bought: it is released, and if it comes late it buys nothing.
    pub(super) fn cancel(&mut self, attempt: u64, kind: Kind, price: Amount, voucher: Amount, now: Timestamp) -> Result<Answer, Refusal> {
        match (self.attempts.cancel(attempt), kind) {
            (None, _) => Ok(Answer::Noted),
            (Some(bought), Kind::Request) => self.release(bought.booking, price.times(bought.units), voucher, false, now),
            (Some(bought), Kind::Metered | Kind::Stream) => self.end(bought.booking, 0, false, now),
        }
    }
}

/// The attempts that one isolate has in flight.
#[derive(Debug)]
pub struct InFlight {
    next: u64,
    /// In the order in which they were begun, which is that of their numbers.
    open: Vec<u64>,
}

impl InFlight {
    /// Those of an isolate by a name of its own, chosen at random.
    pub const fn of(isolate: u64) -> Self {
        Self { next: isolate << COUNTED, open: Vec::new() }
    }

    /// Begins one. Returns it, and the first that is still in flight.
    pub fn begin(&mut self) -> (u64, u64) {
        let attempt = self.next;
        self.next = attempt.wrapping_add(1);
        self.open.push(attempt);
        (attempt, self.open.first().copied().unwrap_or(attempt))
    }

    /// Ends one: it is not asked for again.
    pub fn end(&mut self, attempt: u64) {
        if let Ok(place) = self.open.binary_search(&attempt) {
            self.open.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn bought(booking: u64) -> Bought {
        Bought { booking, units: 1, replayed: false }
    }

    #[test]
    fn b8_what_is_in_flight_is_remembered_and_no_more() {
        let (mut here, mut there) = (InFlight::of(1), InFlight::of(2));
        let mut attempts = Attempts::default();
        let (other, since) = there.begin();
        attempts.remember(other, since, bought(7));
        let in_flight: Vec<u64> = (0..160)
            .map(|booking| {
                let (attempt, since) = here.begin();
                attempts.remember(attempt, since, bought(booking));
                attempt
            })
            .collect();
        for (attempt, booking) in in_flight.iter().zip(0..) {
            assert_eq!(attempts.find(*attempt), Ok(Some(bought(booking))));
        }
        for attempt in in_flight.iter().skip(1) {
            here.end(*attempt);
        }
        let (attempt, since) = here.begin();
        assert_eq!(since, in_flight[0], "the first one is still in flight");
        attempts.remember(attempt, since, bought(200));
        assert_eq!(attempts.0.len(), 162);
        here.end(in_flight[0]);
        here.end(attempt);
        let (attempt, since) = here.begin();
        attempts.remember(attempt, since, bought(201));
        assert_eq!(attempts.find(other), Ok(Some(bought(7))), "what another isolate has in flight stays");
        assert_eq!(attempts.0.len(), 2);
    }

    #[test]
    fn b8_they_are_bounded() {
        let mut attempts = Attempts::default();
        for attempt in 0..1000 {
            attempts.remember(attempt, 0, bought(attempt));
        }
        assert_eq!(attempts.0.len(), REMEMBERED);
        assert_eq!((attempts.find(743), attempts.find(744)), (Ok(None), Ok(Some(bought(744)))));
    }
}
