//! Properties of metered answers: whatever the origin sends and the balance allows, what goes out is what is paid for.

use super::fixture::amount;
use mpp_edge::channel::{Bought, Counted, Delivery, Drawn, Head, Meter, Metering, Next, Waiting};
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
fn reserve(meter: &mut Counted, channel: &mut Channel, needed: u64) -> bool {
    let mut waiting = Waiting::new(Duration::ZERO);
    while meter.left() < needed {
        match waiting.judge(Some(channel.draw(meter.draw(needed)))) {
            Next::Drawn(units) => meter.drawn(units),
            _ if waiting.is_over(NOW) => return false,
            _ => {}
        }
    }
    true
}

proptest! {
    #[test]
    fn never_more_goes_out_than_was_paid_for_and_all_of_it_when_it_is(
        first in 1_u64..9,
        balance in 0_u64..5_000,
        chunks in prop::collection::vec(prop::collection::vec(0_u64..40, 0..20), 0..20),
    ) {
        let mut meter = counted(Meter::Event, first, true);
        let mut channel = Channel { balance, reserved: first, calls: 0 };
        let (mut sent, mut whole) = (0, true);
        'all: for chunk in &chunks {
            for units in chunk {
                if meter.is_short_of(*units) {
                    meter.went_out();
                    if !reserve(&mut meter, &mut channel, *units) {
                        whole = false;
                        break 'all;
                    }
                }
                meter.gather(*units);
                sent += units;
                prop_assert!(sent <= channel.reserved, "what is gathered is paid for");
            }
            meter.went_out();
        }
        meter.went_out();
        prop_assert_eq!(delivered(&meter), sent);
        prop_assert!(sent <= channel.reserved);
        let all: u64 = chunks.iter().flatten().sum();
        prop_assert_eq!(whole, sent == all);
        prop_assert_eq!(channel.reserved + channel.balance, first + balance);
        if !whole {
            let next = chunks.iter().flatten().scan(0, |sum, units| { *sum += units; Some((*sum, *units)) }).find(|(sum, _)| *sum > sent);
            prop_assert!(next.is_some_and(|(sum, _)| sum > first + balance), "it stops only where the balance ends");
        }
        // Each batch is twice the one before, or the balance has ended.
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
                if !reserve(&mut meter, &mut channel, 1) {
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
