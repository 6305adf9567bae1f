//! What the ledger should say of sales, computed the long way: it forgets nothing, and has no buckets.

use mpp_edge::channel::{Answer, Bought, Delivery, Drawn, Event, Kind, Order, Policy, Refusal, Reuse, SILENCE};
use mpp_edge::money::Amount;
use mpp_edge::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

struct Booking {
    amount: u128,
    at: Timestamp,
    /// It was repeated: something of it was delivered, so it is not released. When it was delivered nobody knows, so it counts
    /// as delivered no earlier than any other.
    sealed: bool,
}

struct Sale {
    price: u128,
    reserved: u64,
    delivered: u64,
    voucher: Option<u128>,
    stream: bool,
    superseded: bool,
    heard_at: Timestamp,
}

struct Known {
    target: u8,
    cost: u128,
    booking: u64,
    replays: Option<u8>,
}

/// The sales of an open channel.
#[derive(Default)]
pub(crate) struct Oracle {
    deposit: u128,
    min_delta: u128,
    pub(crate) accepted: u128,
    pub(crate) spent: u128,
    used: BTreeSet<u128>,
    bookings: BTreeMap<u64, Booking>,
    sales: BTreeMap<u64, Sale>,
    keys: BTreeMap<u8, Known>,
    attempts: BTreeMap<u64, Bought>,
    next: u64,
}

type Told = Result<Answer, Refusal>;

impl Oracle {
    pub(crate) fn new(deposit: u128, policy: &Policy) -> Self {
        Self { deposit, min_delta: policy.min_delta.base_units(), ..Self::default() }
    }

    /// What may be delivered by now: a booking is not before its window has passed, and is an eighth of it later.
    pub(crate) fn delivered(&self, policy: &Policy, now: Timestamp) -> (u128, u128) {
        let metered: u128 = self.sales.values().map(|sale| sale.price * u128::from(sale.reserved - sale.delivered)).sum();
        let young = |age| {
            let young = self.bookings.values().filter(move |booking| now.since(booking.at) < age);
            young.map(|booking| booking.amount).sum::<u128>()
        };
        (self.spent - metered - young(policy.delivery_window * 9 / 8), self.spent - metered - young(policy.delivery_window))
    }

    /// What should be answered; `None` where either is right.
    pub(crate) fn step(&mut self, event: &Event, policy: &Policy, now: Timestamp) -> Option<Told> {
        self.sales.retain(|_, sale| now.since(sale.heard_at) < SILENCE);
        self.bookings.retain(|_, booking| now.since(booking.at) < policy.delivery_window * 9 / 8);
        match event {
            Event::Voucher(presented, order) => Some(self.present(presented.voucher.cumulative.base_units(), order.as_ref(), now)),
            Event::Delivery(Delivery::Draw { sale, delivered, reserved, wanted }) => {
                Some(self.draw(*sale, *delivered, *reserved, *wanted, now))
            }
            Event::Delivery(Delivery::End { sale, delivered, .. }) => {
                self.end(*sale, *delivered);
                Some(Ok(Answer::Noted))
            }
            _ => Some(Ok(Answer::Noted)),
        }
    }

    /// Whether a release must, or must not, be given; `None` where either is right.
    pub(crate) fn must_release(&self, booking: u64, amount: Amount, policy: &Policy, now: Timestamp) -> Option<bool> {
        match self.bookings.get(&booking) {
            Some(found) if found.sealed => Some(false),
            Some(found) if amount.base_units() != found.amount => None,
            Some(found) if now.since(found.at) < policy.delivery_window => Some(true),
            Some(_) => None,
            None => Some(false),
        }
    }

    pub(crate) fn released(&mut self, booking: u64, voucher: Amount) {
        if let Some(found) = self.bookings.get(&booking).filter(|found| !found.sealed) {
            self.spent -= found.amount;
            self.used.remove(&voucher.base_units());
            self.keys.retain(|_, known| known.booking != booking);
            self.bookings.remove(&booking);
        }
    }

    fn present(&mut self, voucher: u128, order: Option<&Order>, now: Timestamp) -> Told {
        if voucher > self.deposit {
            return Err(Refusal::ExceedsDeposit);
        }
        if voucher > self.accepted && voucher - self.accepted < self.min_delta {
            return Err(Refusal::DeltaTooSmall);
        }
        self.accepted = self.accepted.max(voucher);
        order.map_or(Ok(Answer::Noted), |order| self.buy(voucher, order, now).map(Answer::Bought))
    }

    fn buy(&mut self, voucher: u128, order: &Order, now: Timestamp) -> Result<Bought, Refusal> {
        if let Some(bought) = self.attempts.get(&order.attempt) {
            return Ok(*bought);
        }
        let price = order.price.base_units();
        let cost = price * u128::from(order.least);
        let name = order.key.map(|key| (key.name[0], key.target[0]));
        if let Some((name, target)) = name
            && let Some(known) = self.keys.get_mut(&name)
        {
            if (known.target, known.cost) != (target, cost) {
                return Err(Refusal::KeyOfAnother);
            }
            let Some(replays) = known.replays.as_mut().filter(|replays| **replays < 3) else { return Err(Refusal::KeySpent) };
            *replays += 1;
            let booking = known.booking;
            if let Some(found) = self.bookings.get_mut(&booking) {
                found.sealed = true;
            }
            return Ok(Bought { booking, units: 0, replayed: true });
        }
        let once = order.reuse == Reuse::Once;
        let available = self.accepted - self.spent;
        if once && (voucher == 0 || self.used.contains(&voucher)) || available < cost {
            return Err(Refusal::Insufficient);
        }
        let affordable = available.checked_div(price).map_or(u64::MAX, |units| u64::try_from(units).unwrap());
        let units = order.most.min(affordable).max(order.least);
        let booking = self.next;
        self.next += 1;
        if order.kind == Kind::Request {
            self.bookings.insert(booking, Booking { amount: price * u128::from(units), at: now, sealed: false });
        } else {
            let stream = order.kind == Kind::Stream;
            self.sales.values_mut().filter(|sale| stream && sale.stream).for_each(|sale| sale.superseded = true);
            let voucher = once.then_some(voucher);
            self.sales.insert(booking, Sale { price, reserved: units, delivered: 0, voucher, stream, superseded: false, heard_at: now });
        }
        self.spent += price * u128::from(units);
        if once {
            self.used.insert(voucher);
        }
        if let Some((name, target)) = name {
            self.keys.insert(name, Known { target, cost, booking, replays: (order.kind == Kind::Request).then_some(0) });
        }
        let bought = Bought { booking, units, replayed: false };
        self.attempts.insert(order.attempt, bought);
        Ok(bought)
    }

    fn draw(&mut self, sale: u64, delivered: u64, reserved: u64, wanted: u64, now: Timestamp) -> Told {
        let available = self.accepted - self.spent;
        let sale = self.sales.get_mut(&sale).ok_or(Refusal::NoSale)?;
        sale.delivered = sale.delivered.max(delivered.min(sale.reserved));
        sale.heard_at = now;
        let untold = sale.reserved.saturating_sub(reserved);
        let affordable = available.checked_div(sale.price).map_or(u64::MAX, |units| u64::try_from(units).unwrap());
        let drawn = match (sale.superseded, untold, wanted.min(affordable)) {
            (true, ..) => Drawn::Over,
            (_, 1.., _) => Drawn::Units(untold),
            (_, _, 0) if wanted > 0 => Drawn::Exhausted,
            (_, _, units) => {
                sale.reserved += units;
                self.spent += sale.price * u128::from(units);
                Drawn::Units(units)
            }
        };
        Ok(Answer::Drawn(drawn))
    }

    fn end(&mut self, id: u64, delivered: u64) {
        let Some(mut sale) = self.sales.remove(&id) else { return };
        sale.delivered = sale.delivered.max(delivered.min(sale.reserved));
        self.spent -= sale.price * u128::from(sale.reserved - sale.delivered);
        if sale.delivered == 0 {
            sale.voucher.map(|voucher| self.used.remove(&voucher));
            self.keys.retain(|_, known| known.booking != id);
        }
    }
}
