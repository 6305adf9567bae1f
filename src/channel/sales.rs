//! Metered sales under way: units are reserved, reported as delivered, and what is left at the end goes back.

use super::bookings::Bookings;
use super::{Answer, Channel, Refusal, Status};
use crate::evm::amount::Amount;
use crate::time::Timestamp;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Sales under way at the most; of more, the oldest counts as delivered in full.
const MAX_SALES: usize = 32;

/// A sale that has not reported for this long counts as delivered in full: whoever served it died.
pub const SILENCE: Duration = Duration::from_secs(10 * 60);

/// What a metered sale got for its asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Drawn {
    /// This many more units are reserved.
    Units(u64),
    /// The balance does not pay for one more.
    Exhausted,
    /// Another stream has begun on the channel, or it is being closed: it is over.
    Over,
}

/// Oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sales(Vec<Sale>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sale {
    id: u64,
    price: Amount,
    /// Units booked.
    reserved: u64,
    /// Of these, units delivered.
    delivered: u64,
    /// Whether a later stream ends it.
    stream: bool,
    superseded: bool,
    heard_at: Timestamp,
}

impl Sale {
    fn pending(&self) -> Amount {
        self.price.times(self.reserved.saturating_sub(self.delivered))
    }

    fn report(&mut self, delivered: u64, now: Timestamp) {
        self.delivered = self.delivered.max(delivered.min(self.reserved));
        self.heard_at = now;
    }
}

impl Sales {
    pub(super) fn begin(&mut self, bookings: &mut Bookings, price: Amount, units: u64, stream: bool, now: Timestamp) -> u64 {
        if stream {
            self.0.iter_mut().filter(|sale| sale.stream).for_each(|sale| sale.superseded = true);
        }
        if self.0.len() >= MAX_SALES {
            self.0.remove(0);
        }
        let id = bookings.next_id();
        self.0.push(Sale { id, price, reserved: units, delivered: 0, stream, superseded: false, heard_at: now });
        id
    }

    /// What is reserved and not reported as delivered.
    pub(super) fn pending(&self) -> Amount {
        self.0.iter().fold(Amount::ZERO, |sum, sale| sum.saturating_add(sale.pending()))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn mature(&mut self, now: Timestamp) {
        self.0.retain(|sale| now.since(sale.heard_at) < SILENCE);
    }

    pub(super) fn mature_all(&mut self) {
        self.0.clear();
    }

    fn get(&mut self, id: u64) -> Option<&mut Sale> {
        self.0.iter_mut().find(|sale| sale.id == id)
    }
}

impl Channel {
    pub(super) fn draw(&mut self, id: u64, delivered: u64, wanted: u64, now: Timestamp) -> Result<Answer, Refusal> {
        let available = self.available();
        let open = self.status == Status::Open;
        let sale = self.sales.get(id).ok_or(Refusal::NoSale)?;
        sale.report(delivered, now);
        if sale.superseded || !open {
            return Ok(Answer::Drawn(Drawn::Over));
        }
        let units = wanted.min(available.units_at(sale.price));
        sale.reserved = sale.reserved.saturating_add(units);
        self.spent = self.spent.saturating_add(sale.price.times(units));
        self.last_used = now;
        Ok(Answer::Drawn(if units == 0 && wanted > 0 { Drawn::Exhausted } else { Drawn::Units(units) }))
    }

    /// Ends a sale; one that has ended already is left alone.
    pub(super) fn end(&mut self, id: u64, delivered: u64) -> Result<Answer, Refusal> {
        if let Some(sale) = self.sales.get(id) {
            sale.report(delivered, sale.heard_at);
            self.spent = self.spent.saturating_sub(sale.pending());
            self.sales.0.retain(|sale| sale.id != id);
        }
        Ok(Answer::Noted)
    }
}
