//! The arithmetic of metered answers on their way out: how many units there are, when more must be drawn and how many, how long a
//! voucher is waited for, and what is told at the end.
//!
//! Few units are drawn at first, so that little is bound for a short answer, and twice as many each time, so that a long one costs
//! few calls. Where a whole [`PIECE`] of events has come at once there are more behind it: then much is drawn
//! ([`Counted::ahead_of`]).
//!
//! An event stream goes through an [`EventGate`](super::EventGate), and where that is short more is drawn, as a [`Waiting`] says. Of
//! any other body, where nothing is [`left`](Counted::left), one unit is drawn; then a [`Counted::piece`] goes out
//! ([`Counted::went_out`]). After the last one, [`Counted::end`].

use super::meter::{FIRST_BYTES, FIRST_EVENTS, Meter};
use super::{Balance, Bought, Delivery, Drawn, SILENCE};
use crate::money::{Amount, decimal_u64};
use crate::time::Timestamp;
use crate::wire::sse::Block;
use core::time::Duration;

/// Units drawn at once at the most.
const MOST_EVENTS: u64 = 1024;
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A body goes out in pieces of about this many bytes: what is on its way when a client hangs up is not charged.
pub const PIECE: u32 = 16 * 1024;

/// How many times what has come at once is drawn, as much again being behind it.
const AHEAD: u64 = 8;

/// The channel's object holds a call for units this long, and is asked again after it.
const LONG_POLL: Duration = Duration::from_secs(20);

/// A sale under way is heard of at least this often: four times before it counts as delivered for its silence.
pub const REPORT: Duration = Duration::from_secs(120);

const _: () = assert!(REPORT.as_secs() * 4 < SILENCE.as_secs());

/// What the origin's response says before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// It is a `text/event-stream`.
    pub is_event_stream: bool,
    /// The number in its `Payment-Units`.
    pub reported: Option<u64>,
    /// It has a body.
    pub has_body: bool,
}

/// How an answer is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metering {
    /// Its units are known before its body goes out.
    Fixed(Fixed),
    /// They are counted on the way.
    Counted(Counted),
}

/// An answer whose units are known before its body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    sale: u64,
    price: Amount,
    units: u64,
    reserved: u64,
}

/// An answer whose units are counted on the way, as the one who serves it counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    sale: u64,
    price: Amount,
    unit: Unit,
    is_event_stream: bool,
    reserved: u64,
    delivered: u64,
    /// Units of what is about to go out.
    gathered: u64,
    /// What is drawn next, and at the most.
    batch: u64,
    largest: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Event,
    Byte,
    /// Nothing: the last event says how many it were.
    Reported(Option<u64>),
}

/// Why a body does not flow to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is over for the client: another stream has begun, the channel is being closed, or no voucher came.
    Unpaid,
    /// The origin broke off.
    OriginBroke,
    /// The client hung up.
    ClientLeft,
}

impl Head {
    /// Reads the fields `Content-Type` and `Payment-Units`. What is no plain decimal number reports nothing.
    pub fn read(content_type: &str, units: Option<&str>, has_body: bool) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is_event_stream = essence.eq_ignore_ascii_case("text/event-stream");
        Self { is_event_stream, reported: units.and_then(|units| decimal_u64(units.trim())), has_body }
    }
}

impl Metering {
    /// How the answer to what was `bought` at `price` per unit is metered.
    pub fn of(meter: Meter, price: Amount, bought: Bought, head: Head) -> Self {
        let Bought { booking: sale, units: reserved, .. } = bought;
        let fixed = |units| Self::Fixed(Fixed { sale, price, units, reserved });
        let (unit, first, largest) = match (meter, head.reported) {
            (Meter::Reported, Some(units)) => return fixed(units.min(reserved)),
            (Meter::Reported, None) if head.is_event_stream => (Unit::Reported(None), 0, 0),
            (Meter::Reported, None) => return fixed(reserved),
            (Meter::Event, _) if head.is_event_stream => (Unit::Event, FIRST_EVENTS, MOST_EVENTS),
            (Meter::Event | Meter::Request, _) => return fixed(1),
            (Meter::Byte, _) => (Unit::Byte, FIRST_BYTES, MOST_BYTES),
        };
        if !head.has_body {
            return fixed(0);
        }
        let is_event_stream = head.is_event_stream;
        let mut counted = Counted { sale, price, unit, is_event_stream, reserved: 0, delivered: 0, gathered: 0, batch: first, largest };
        counted.drawn(reserved);
        Self::Counted(counted)
    }
}

impl Fixed {
    /// The units that are charged.
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// The counters once what was reserved and is not charged is released.
    pub fn charged(&self, balance: Balance) -> Balance {
        let released = self.price.times(self.reserved.saturating_sub(self.units));
        Balance { spent: balance.spent.saturating_sub(released), ..balance }
    }

    /// Tells that the sale goes on.
    pub const fn report(&self) -> Delivery {
        Delivery::Draw { sale: self.sale, delivered: 0, reserved: self.reserved, wanted: 0 }
    }

    /// The body is over; or it `broke_off`, and is to be released.
    pub const fn end(&self, broke_off: bool) -> Delivery {
        let delivered = if broke_off { 0 } else { self.units };
        Delivery::End { sale: self.sale, delivered, begun: broke_off }
    }
}

impl Counted {
    /// Whether the body goes out event by event.
    pub const fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    /// The units of a block of an event stream; `None` when it is not passed on.
    pub fn cost(&mut self, block: &Block<'_>) -> Option<u64> {
        match &mut self.unit {
            Unit::Event => Some(block.billable.into()),
            Unit::Byte => Some(u64::try_from(block.bytes.len()).unwrap_or(u64::MAX)),
            Unit::Reported(last) => match block.report() {
                Some(units) => {
                    *last = units.or(*last);
                    None
                }
                None => Some(0),
            },
        }
    }

    /// Whether what is left does not pay for this many units more than were gathered.
    pub const fn is_short_of(&self, units: u64) -> bool {
        units > 0 && self.left() < units.saturating_add(self.gathered)
    }

    /// Gathers something of this many units, which goes out with the rest.
    pub const fn gather(&mut self, units: u64) {
        self.gathered = self.gathered.saturating_add(units);
    }

    /// What was gathered went out.
    pub const fn went_out(&mut self) {
        self.delivered = self.delivered.saturating_add(self.gathered);
        self.gathered = 0;
    }

    /// Whether all of these bytes may go out at once; if so they are gathered.
    pub fn whole(&mut self, bytes: u32) -> bool {
        let fits = bytes <= PIECE && !self.is_short_of(bytes.into());
        if fits {
            self.gather(bytes.into());
        }
        fits
    }

    /// How many of these bytes may go out now, and gathers them.
    pub fn piece(&mut self, bytes: u32) -> u32 {
        let affordable = u32::try_from(self.left()).unwrap_or(u32::MAX);
        let piece = bytes.min(PIECE).min(affordable);
        self.gather(piece.into());
        piece
    }

    /// Units that may still go out.
    pub const fn left(&self) -> u64 {
        self.reserved.saturating_sub(self.delivered)
    }

    /// What draws units when there is a use for `waiting` at once.
    pub fn draw(&self, waiting: u64) -> Delivery {
        let wanted = self.batch.max(self.missing(waiting));
        Delivery::Draw { sale: self.sale, delivered: self.delivered, reserved: self.reserved, wanted }
    }

    /// The units that there will be a use for when so many came in a [`PIECE`] that was full.
    pub fn ahead_of(&self, units: u64) -> u64 {
        units.saturating_mul(AHEAD).min(self.largest).max(units)
    }

    /// Tells that the sale goes on, and how far it is.
    pub const fn report(&self) -> Delivery {
        Delivery::Draw { sale: self.sale, delivered: self.delivered, reserved: self.reserved, wanted: 0 }
    }

    /// What the units cost that are missing of `needed`.
    pub fn cost_of_missing(&self, needed: u64) -> Amount {
        self.price.times(self.missing(needed))
    }

    const fn missing(&self, needed: u64) -> u64 {
        needed.saturating_sub(self.left())
    }

    /// Units that were drawn. After a full batch the next is twice as large as what was drawn.
    pub fn drawn(&mut self, units: u64) {
        self.reserved = self.reserved.saturating_add(units);
        if units >= self.batch {
            self.batch = units.saturating_mul(2).min(self.largest);
        }
    }

    /// The body is over. Where the origin breaks off and was to say how many units it were, it did not: then `is_undelivered` tells
    /// whether it is released, and else all of it is charged.
    pub fn end(&self, ended: Result<(), Stop>, is_undelivered: impl FnOnce() -> bool) -> Delivery {
        let (delivered, begun) = match self.unit {
            Unit::Reported(_) if ended == Err(Stop::OriginBroke) && is_undelivered() => (0, true),
            Unit::Reported(last) => (last.unwrap_or(self.reserved).min(self.reserved), false),
            Unit::Event | Unit::Byte => (self.delivered, false),
        };
        Delivery::End { sale: self.sale, delivered, begun }
    }

    /// Whether the client's body ends as a whole one does: an event stream that ends for want of money ends as it should, anything else
    /// that is cut short must show it.
    pub fn ends_whole(&self, ended: Result<(), Stop>) -> bool {
        match ended {
            Ok(()) => true,
            Err(Stop::Unpaid) => self.is_event_stream,
            Err(Stop::OriginBroke | Stop::ClientLeft) => false,
        }
    }
}

/// Drawing units until there are enough, while a balance that has ended is waited for.
///
/// For each call to the channel: [`Waiting::hold`] before it, [`Waiting::judge`] after it, then what that says, then
/// [`Waiting::is_over`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    patience: Duration,
    until: Option<Timestamp>,
    asked: bool,
}

/// What to do after a call for units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This many more are reserved; nothing is waited for any more.
    Drawn(u64),
    /// Tell the client that a voucher is needed.
    AskForVoucher,
    /// Call again.
    Again,
    /// Nobody has answered: pause, and call again.
    Pause,
    /// Stop: the sale is over.
    Stop,
}

impl Waiting {
    /// Waits this long for a voucher, from when it is first missing.
    pub const fn new(patience: Duration) -> Self {
        Self { patience, until: None, asked: false }
    }

    /// How long the channel's object may hold the next call.
    pub fn hold(&self, now: Timestamp) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.since(now).min(LONG_POLL))
    }

    /// Judges what came of a call; `None` when there was no answer.
    pub const fn judge(&mut self, drawn: Option<Drawn>) -> Next {
        match drawn {
            Some(Drawn::Units(units)) => {
                (self.until, self.asked) = (None, false);
                Next::Drawn(units)
            }
            Some(Drawn::Exhausted) if self.asked => Next::Again,
            Some(Drawn::Exhausted) => {
                self.asked = true;
                Next::AskForVoucher
            }
            Some(Drawn::Over) => Next::Stop,
            None => Next::Pause,
        }
    }

    /// Whether the patience has ended. It begins with the first call that brought nothing.
    pub fn is_over(&mut self, now: Timestamp) -> bool {
        now >= *self.until.get_or_insert_with(|| now.saturating_add(self.patience))
    }
}

#[cfg(test)]
mod tests;
