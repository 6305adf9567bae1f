//! The gate of a metered event stream: of each chunk that has arrived it lets out what is reserved, and holds back the rest.
//!
//! [`EventGate::take`] is called for each chunk, once all that was let out before has gone out. When it says
//! [`Passage::Short`]: [`EventGate::affordable`], and once that has gone out, [`EventGate::missing`], which says what must be drawn;
//! these two in turn until nothing is missing. Then the next chunk.

use super::metered::{Counted, PIECE};
use crate::wire::sse::{Splitter, TooLong};
use alloc::vec::Vec;
use core::mem;

/// See the module.
#[derive(Clone, Debug)]
pub struct EventGate {
    /// What counts its units.
    pub count: Counted,
    splitter: Splitter,
    /// Whole events that have arrived and did not go out yet.
    arrived: Vec<u8>,
    /// Where in them each one begins that costs something, and how many units that is.
    costs: Vec<(usize, u64)>,
    /// The last chunk was as long as one can be: there is more behind it.
    is_full: bool,
}

/// What of a chunk goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// All of it, as it came.
    Whole,
    /// These bytes: the rest is no whole event yet, or not for the client.
    Part(Vec<u8>),
    /// Less than there is: it costs more than what is left.
    Short,
}

/// What must be drawn before anything more goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The units of the next event.
    pub next: u64,
    /// The units of all that has arrived, and of what is behind it.
    pub all: u64,
}

impl EventGate {
    /// A gate for a stream, none of whose events is longer than `longest` bytes.
    pub const fn new(count: Counted, longest: usize) -> Self {
        Self { count, splitter: Splitter::new(longest), arrived: Vec::new(), costs: Vec::new(), is_full: false }
    }

    /// Takes the next chunk, and gathers what goes out of it.
    ///
    /// # Errors
    /// An event is too long. Nothing more goes out.
    pub fn take(&mut self, chunk: &[u8]) -> Result<Passage, TooLong> {
        self.count.went_out();
        self.is_full = u32::try_from(chunk.len()).map_or(true, |length| length >= PIECE);
        let begins_whole = !self.splitter.is_amid();
        for block in self.splitter.push(chunk) {
            let block = block?;
            let Some(units) = self.count.cost(&block) else { continue };
            if units > 0 {
                self.costs.push((self.arrived.len(), units));
            }
            self.arrived.extend_from_slice(&block.bytes);
        }
        let units = self.waiting();
        if self.count.is_short_of(units) {
            return Ok(Passage::Short);
        }
        self.count.gather(units);
        self.costs.clear();
        // As many bytes and none from before: they are the same.
        if begins_whole && self.arrived.len() == chunk.len() {
            self.arrived.clear();
            return Ok(Passage::Whole);
        }
        Ok(Passage::Part(mem::take(&mut self.arrived)))
    }

    /// As much of what was held back as is reserved, possibly nothing. It is gathered.
    pub fn affordable(&mut self) -> Vec<u8> {
        let mut paid = 0;
        for (_, units) in &self.costs {
            if self.count.is_short_of(*units) {
                break;
            }
            self.count.gather(*units);
            paid += 1;
        }
        self.costs.drain(..paid);
        let end = self.costs.first().map_or(self.arrived.len(), |(begin, _)| *begin);
        self.costs.iter_mut().for_each(|(begin, _)| *begin = begin.saturating_sub(end));
        let rest = self.arrived.split_off(end);
        mem::replace(&mut self.arrived, rest)
    }

    /// What must be drawn before the rest can go out; `None` when there is none.
    pub fn missing(&self) -> Option<Missing> {
        let (_, next) = self.costs.first()?;
        let waiting = self.waiting();
        Some(Missing { next: *next, all: if self.is_full { self.count.ahead_of(waiting) } else { waiting } })
    }

    fn waiting(&self) -> u64 {
        self.costs.iter().fold(0, |sum, (_, units)| sum.saturating_add(*units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Bought, Head, Meter, Metering};
    use crate::money::Amount;
    use alloc::format;
    use alloc::string::String;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn gate(meter: Meter, units: u64) -> EventGate {
        let bought = Bought { booking: 9, units, replayed: false };
        let head = Head { is_event_stream: true, reported: None, has_body: true };
        match Metering::of(meter, Amount::from_base_units(3), bought, head) {
            Metering::Counted(count) => EventGate::new(count, 100),
            Metering::Fixed(fixed) => panic!("{fixed:?}"),
        }
    }

    fn part(text: &str) -> Result<Passage, TooLong> {
        Ok(Passage::Part(text.as_bytes().to_vec()))
    }

    fn affordable(gate: &mut EventGate) -> String {
        let text = String::from_utf8(gate.affordable()).unwrap();
        gate.count.went_out();
        text
    }

    #[test]
    fn a_chunk_of_whole_events_goes_out_as_it_came_and_any_other_in_whole_events() {
        let mut gate = gate(Meter::Event, 8);
        assert_eq!(gate.take(b"data: 1\n\n: free\n\ndata: 2\n\n"), Ok(Passage::Whole));
        assert_eq!(gate.take(b"data: 3\n\nda"), part("data: 3\n\n"));
        assert_eq!(gate.take(b"ta: "), part(""));
        // As long as what goes out, but other bytes.
        assert_eq!(gate.take(b"4\n\ndata: "), part("data: 4\n\n"));
        assert_eq!(gate.take(b"5\n\n"), part("data: 5\n\n"));
        assert_eq!(gate.take(b"data: 6\n\n"), Ok(Passage::Whole));
        gate.count.went_out();
        assert_eq!(gate.count.left(), 2);
    }

    #[test]
    fn what_is_let_out_counts_as_delivered_when_it_has_gone_out() {
        let mut gate = gate(Meter::Event, 8);
        gate.take(b"data: 1\n\n").unwrap();
        assert_eq!(gate.count.left(), 8);
        gate.take(b"data: 2\n\n").unwrap();
        assert_eq!(gate.count.left(), 7, "the first has gone out, or there would be no second");
    }

    #[test]
    fn what_is_not_paid_for_is_held_back_and_goes_out_as_units_are_drawn() {
        let mut gate = gate(Meter::Event, 2);
        assert_eq!(gate.take(b": a\n\ndata: 1\n\ndata: 2\n\n: b\n\ndata: 3\n\ndata: 4\n\n: c\n\ndata"), Ok(Passage::Short));
        assert_eq!(affordable(&mut gate), ": a\n\ndata: 1\n\ndata: 2\n\n: b\n\n", "what is free waits for nothing");
        assert_eq!(gate.missing(), Some(Missing { next: 1, all: 2 }));
        assert_eq!(affordable(&mut gate), "");
        gate.count.drawn(1);
        assert_eq!(affordable(&mut gate), "data: 3\n\n");
        assert_eq!(gate.missing(), Some(Missing { next: 1, all: 1 }));
        gate.count.drawn(1);
        assert_eq!(affordable(&mut gate), "data: 4\n\n: c\n\n");
        assert_eq!(gate.missing(), None);
        gate.count.drawn(8);
        assert_eq!(gate.take(b": 5\n\n"), part("data: 5\n\n"));
    }

    #[test]
    fn where_a_whole_piece_has_come_at_once_more_is_drawn_than_is_in_it() {
        let piece = usize::try_from(PIECE).unwrap();
        let all = |event: &str, of: usize| {
            let mut gate = gate(Meter::Event, 8);
            // The last one is cut off.
            assert_eq!(gate.take(&event.repeat(piece).as_bytes()[..of]), Ok(Passage::Short));
            assert_eq!(affordable(&mut gate), event.repeat(8));
            gate.missing().unwrap().all
        };
        let rare = format!("data: {}\n\n: {}\n\n", "x".repeat(92), "x".repeat(96));
        assert_eq!(rare.len(), 200);
        assert_eq!(all(&rare, piece - 1), 82 - 8);
        assert_eq!(all(&rare, piece), 8 * (82 - 8));
        assert_eq!(all("data: 0123456789ab\n\n", piece - 1), 819 - 8);
        assert_eq!(all("data: 0123456789ab\n\n", piece), 1024, "no more than a batch can be");
        assert_eq!(all("data: 01\n\n", piece), 1638 - 8, "but what has come");
    }

    #[test]
    fn an_event_of_many_units_waits_for_all_of_them() {
        let mut gate = gate(Meter::Byte, 10);
        assert_eq!(gate.take(b"data: 1\n\ndata: 22\n\n"), Ok(Passage::Short));
        assert_eq!(affordable(&mut gate), "data: 1\n\n");
        assert_eq!(gate.missing(), Some(Missing { next: 10, all: 10 }));
        gate.count.drawn(8);
        assert_eq!((affordable(&mut gate), gate.missing()), (String::new(), Some(Missing { next: 10, all: 10 })));
        gate.count.drawn(1);
        assert_eq!(affordable(&mut gate), "data: 22\n\n");
    }

    #[test]
    fn what_the_origin_reports_is_not_for_the_client() {
        let mut gate = gate(Meter::Reported, 10);
        assert_eq!(gate.take(b"data: 1\n\nevent: payment-units\ndata: 3\n\n"), part("data: 1\n\n"));
        assert_eq!(gate.take(b"event: payment-units\ndata: 4\n\n"), part(""));
        assert_eq!(gate.take(b"data: 2\n\n"), Ok(Passage::Whole));
    }

    #[test]
    fn an_event_that_is_too_long_ends_the_stream() {
        let mut gate = gate(Meter::Event, 8);
        assert_eq!(gate.take(&[b'x'; 101]), Err(TooLong));
        assert_eq!(gate.take(b"data: 1\n\n"), Err(TooLong));
    }
}
