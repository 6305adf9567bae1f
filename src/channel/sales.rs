//! Metered sales under way: units are reserved, reported as delivered, and what is left at the end is released.

use super::{Answer, Channel, Kind, Order, Refusal, Reuse};
use crate::money::Amount;
use crate::time::Timestamp;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Sales under way at the most; more are refused until one has ended.
const MAX_SALES: usize = 32;

/// A sale that has not reported for this long counts as delivered in full: whoever served it died. An origin may take
/// ten minutes until it begins to answer, and nothing is reported before that.
pub const SILENCE: Duration = Duration::from_secs(15 * 60);

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
    /// The voucher that bought it, where each buys once.
    voucher: Option<Amount>,
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
    /// Begins a sale for an order that a voucher has paid for.
    pub(super) fn begin(&mut self, id: u64, order: &Order, voucher: Amount, units: u64, now: Timestamp) {
        let stream = order.kind == Kind::Stream;
        if stream {
            self.0.iter_mut().filter(|sale| sale.stream).for_each(|sale| sale.superseded = true);
        }
        let voucher = (order.reuse == Reuse::Once).then_some(voucher);
        self.0.push(Sale { id, price: order.price, reserved: units, delivered: 0, voucher, stream, superseded: false, heard_at: now });
    }

    pub(super) const fn is_full(&self) -> bool {
        self.0.len() >= MAX_SALES
    }

    /// What is reserved and not reported as delivered.
    pub(super) fn pending(&self) -> Amount {
        self.0.iter().fold(Amount::ZERO, |sum, sale| sum.saturating_add(sale.pending()))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the next sale counts as delivered for its silence.
    pub(super) fn matures(&self) -> Option<Timestamp> {
        self.0.iter().map(|sale| sale.heard_at.saturating_add(SILENCE)).min()
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
    /// Reserves `wanted` more units for a sale that knows of `reserved`. Units of an answer that was lost are told again.
    pub(super) fn draw(&mut self, id: u64, delivered: u64, reserved: u64, wanted: u64, now: Timestamp) -> Result<Answer, Refusal> {
        let available = self.available();
        let open = self.check_usable().is_ok();
        let sale = self.sales.get(id).ok_or(Refusal::NoSale)?;
        sale.report(delivered, now);
        if sale.superseded || !open {
            return Ok(Answer::Drawn(Drawn::Over));
        }
        let untold = sale.reserved.saturating_sub(reserved);
        if untold > 0 || wanted == 0 {
            return Ok(Answer::Drawn(Drawn::Units(untold)));
        }
        let units = wanted.min(available.units_at(sale.price));
        if units == 0 {
            return Ok(Answer::Drawn(Drawn::Exhausted));
        }
        sale.reserved = sale.reserved.saturating_add(units);
        self.spent = self.spent.saturating_add(sale.price.times(units));
        self.unsettled_since.get_or_insert(now);
        self.last_used = now;
        Ok(Answer::Drawn(Drawn::Units(units)))
    }

    /// Ends a sale; one that has ended already is left alone.
    pub(super) fn end(&mut self, id: u64, delivered: u64, begun: bool, now: Timestamp) -> Result<Answer, Refusal> {
        let broke_off = begun && delivered == 0;
        let breaks = &mut self.breaks;
        if let Some(sale) = self.sales.get(id) {
            // Beyond the bounds all of it stays charged.
            let released = !broke_off || breaks.allow(sale.voucher, now);
            if broke_off && released {
                breaks.note(sale.voucher, now);
            }
            sale.report(if released { delivered } else { u64::MAX }, sale.heard_at);
            let Sale { voucher, delivered, .. } = *sale;
            let undelivered = sale.pending();
            self.sales.0.retain(|sale| sale.id != id);
            self.release_amount(undelivered);
            self.last_used = now;
            if delivered == 0 {
                self.release_voucher(id, voucher);
            }
        }
        Ok(Answer::Noted)
    }
}
