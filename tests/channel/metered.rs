//! Properties of metered answers: whatever the origin sends and the balance allows, what goes out is what is paid for.

use super::fixture::amount;
use mpp_edge::channel::{Bought, Counted, Delivery, Drawn, EventGate, Head, Meter, Metering, Missing, Next, Passage, Waiting};
use mpp_edge::time::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn counted(meter: Meter, units: u64, is_event_stream: bool) -> Counted {
    let bought = Bought { booking: 9, units, replayed: false };
    match Metering::of(meter, amount(3), bought, Head { is_event_stream, reported: None, has_body: true }) {
        Metering::Counted(counted) => counted,
        Metering::Fixed(fixed) => panic!("{fixed:?}"),
    }
}

fn delivered(meter: &Counted) -> u64 {
    match meter.end(Ok(()), || panic!("nobody needs to know")) {
        Delivery::End { sale: 9, delivered, begun: false } => delivered,
        other => panic!("{other:?}"),
    }
}

/// A channel that gives what its balance allows.
struct Channel {
    balance: u64,
    reserved: u64,
    calls: u64,
}

impl Channel {
    fn draw(&mut self, delivery: Delivery) -> Drawn {
        let Delivery::Draw { wanted, reserved, delivered, .. } = delivery else { panic!("{delivery:?}") };
        assert_eq!(reserved, self.reserved, "what was told is known");
        assert!(delivered <= reserved);
        self.calls += 1;
        let units = wanted.min(self.balance);
        if units == 0 {
            return Drawn::Exhausted;
        }
        self.balance -= units;
        self.reserved += units;
        Drawn::Units(units)
    }
}

/// Draws until there is enough; `false` when the balance has ended.
fn reserve(meter: &mut Counted, channel: &mut Channel, missing: Missing) -> bool {
    let mut waiting = Waiting::new(Duration::ZERO);
    while meter.left() < missing.next {
        match waiting.judge(Some(channel.draw(meter.draw(missing.all)))) {
            Next::Drawn(units) => meter.drawn(units),
            _ if waiting.is_over(NOW) => return false,
            _ => {}
        }
    }
    true
}

/// An event that costs a unit, or a comment that costs none.
fn block(costs: bool) -> &'static str {
    if costs { "data: x\n\n" } else { ": x\n\n" }
}

proptest! {
    #[test]
    fn never_more_goes_out_than_was_paid_for_and_all_of_it_when_it_is(
        first in 1_u64..9,
        balance in 0_u64..1_000,
        blocks in prop::collection::vec(any::<bool>(), 0..1_500),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let stream: String = blocks.iter().map(|costs| block(*costs)).collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([stream.len()]).collect();
        ends.sort_unstable();
        let mut gate = EventGate::new(counted(Meter::Event, first, true), 1_000);
        let mut channel = Channel { balance, reserved: first, calls: 0 };
        let (mut out, mut begin) = (String::new(), 0);
        let units = |out: &str| u64::try_from(out.matches("data").count()).unwrap();
        'all: for end in ends {
            let chunk = stream.get(begin..end).unwrap();
            begin = end;
            match gate.take(chunk.as_bytes()).unwrap() {
                Passage::Whole => out += chunk,
                Passage::Part(part) => out += str::from_utf8(&part).unwrap(),
                Passage::Short => loop {
                    out += str::from_utf8(&gate.affordable()).unwrap();
                    prop_assert!(units(&out) <= channel.reserved, "what goes out is paid for");
                    gate.count.went_out();
                    let Some(missing) = gate.missing() else { break };
                    if !reserve(&mut gate.count, &mut channel, missing) {
                        break 'all;
                    }
                },
            }
            prop_assert!(units(&out) <= channel.reserved, "what goes out is paid for");
        }
        gate.count.went_out();
        prop_assert_eq!(delivered(&gate.count), units(&out));
        prop_assert_eq!(channel.reserved + channel.balance, first + balance);
        prop_assert!(stream.starts_with(&out));
        if out.len() < stream.len() {
            prop_assert_eq!(units(&out), first + balance, "it stops only where the balance ends");
            prop_assert!(stream.get(out.len()..).unwrap().starts_with("data"), "what is free goes out");
        }
        // Each batch is twice the one before, or the balance has ended.
        let all = units(&stream);
        prop_assert!(channel.calls <= u64::from(u64::BITS - all.leading_zeros()) + all / 1024 + 2);
    }

    #[test]
    fn every_byte_goes_out_once_in_pieces_that_are_paid_for(first in 1_u64..100_000, balance in 0_u64..300_000, chunks in prop::collection::vec(0_u32..70_000, 0..8)) {
        let mut meter = counted(Meter::Byte, first, false);
        let mut channel = Channel { balance, reserved: first, calls: 0 };
        let mut sent = 0_u64;
        'all: for chunk in &chunks {
            let mut rest = *chunk;
            while rest > 0 {
                if !reserve(&mut meter, &mut channel, Missing { next: 1, all: rest.into() }) {
                    break 'all;
                }
                let piece = meter.piece(rest);
                prop_assert!((1..=16_384).contains(&piece) && piece <= rest && u64::from(piece) <= meter.left());
                meter.went_out();
                rest -= piece;
                sent += u64::from(piece);
            }
        }
        let all = chunks.iter().map(|chunk| u64::from(*chunk)).sum::<u64>();
        prop_assert_eq!(sent, all.min(first + balance));
        prop_assert_eq!(delivered(&meter), sent);
    }
}
