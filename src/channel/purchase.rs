//! Vouchers and what they buy.

use super::{Answer, Channel, Key, Policy, Refusal, Status};
use crate::evm::Address;
use crate::evm::escrow::SignedVoucher;
use crate::money::Amount;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A voucher as it was presented. Its signer was recovered already; the channel compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresentedVoucher {
    /// The voucher.
    pub voucher: SignedVoucher,
    /// Whose key signed it.
    pub signer: Address,
    /// Whom the credential's `source` names.
    pub source: Option<Address>,
    /// The same key has also signed for a challenge of ours: whoever sends it holds that key now.
    pub fresh: bool,
}

/// Whether a voucher that has bought may buy again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// It buys once.
    Once,
    /// It buys as long as the balance lasts.
    DrawDown,
}

/// How a purchase is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A fixed price.
    Request,
    /// Units are reserved, more may be drawn, and what is not delivered goes back.
    Metered,
    /// The same, and a later one on the channel ends it.
    Stream,
}

/// What is to be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Per unit, in base units.
    pub price: Amount,
    /// Units that the balance must pay for.
    pub least: u64,
    /// Units to reserve if it pays for them.
    pub most: u64,
    /// How it is charged.
    pub kind: Kind,
    /// Whether the voucher may have bought before.
    pub reuse: Reuse,
    /// The request's idempotency key.
    pub key: Option<Key>,
    /// Named by the isolate that asks ([`InFlight`](super::InFlight)): asking again with it, when the answer was lost, is asking once.
    pub attempt: u64,
    /// The first attempt of the same isolate that may still be asked for again.
    pub since: u64,
}

impl Order {
    /// What must be there for it.
    fn cost(&self) -> Amount {
        self.price.times(self.least)
    }
}

/// What was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bought {
    /// Names the booking, or the metered sale.
    pub booking: u64,
    /// Units booked; none when it was bought before under the same key.
    pub units: u64,
    /// It was bought before under the same key.
    pub replayed: bool,
}

impl Channel {
    /// A voucher's signer and source are checked before anything is told about it.
    fn check_signer(&self, presented: &PresentedVoucher) -> Result<(), Refusal> {
        if presented.signer != self.signer {
            return Err(Refusal::SignerMismatch);
        }
        self.check_source(presented.source)
    }

    /// Whether `source` of a credential, if there is one, names the payer or the signer.
    ///
    /// # Errors
    /// [`Refusal::ForeignSource`].
    pub fn check_source(&self, source: Option<Address>) -> Result<(), Refusal> {
        match source {
            Some(source) if source != self.payer && source != self.signer => Err(Refusal::ForeignSource),
            _ => Ok(()),
        }
    }

    pub(super) fn present(
        &mut self,
        presented: &PresentedVoucher,
        order: Option<&Order>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        self.check_signer(presented)?;
        self.check_usable()?;
        if !self.is_proof(presented) {
            // It was taken long ago, and handed in alone it does no harm.
            return order.map_or(Ok(Answer::Noted), |order| {
                self.repeat(order).and_then(|bought| bought.ok_or(Refusal::Insufficient)).map(Answer::Bought)
            });
        }
        let voucher = presented.voucher;
        let is_news = voucher.cumulative > self.accepted;
        self.accept(voucher.cumulative, policy.min_delta)?;
        let answer = order.map_or(Ok(Answer::Noted), |order| self.buy(voucher.cumulative, order, policy, now).map(Answer::Bought));
        // Who is refused for a voucher that is known has nothing changed, and so nothing is written for him.
        if is_news || answer.is_ok() {
            self.last_used = now;
        }
        self.keep(voucher);
        answer
    }

    /// Whether who sends it is more than somebody who reads the chain, or what is sent there: a voucher up to what was ever
    /// handed out shows nothing by itself.
    pub(super) fn is_proof(&self, presented: &PresentedVoucher) -> bool {
        presented.fresh || self.published.is_none_or(|published| presented.voucher.cumulative > published)
    }

    /// Takes a voucher's total for what it allows. One at or below the highest changes nothing.
    fn accept(&mut self, cumulative: Amount, min_delta: Amount) -> Result<(), Refusal> {
        if cumulative > self.deposit {
            return Err(Refusal::ExceedsDeposit);
        }
        if cumulative > self.accepted && cumulative.saturating_sub(self.accepted) < min_delta {
            return Err(Refusal::DeltaTooSmall);
        }
        self.accepted = self.accepted.max(cumulative);
        Ok(())
    }

    fn keep(&mut self, voucher: SignedVoucher) {
        let delivered = self.delivered();
        self.held.keep(voucher, delivered, self.spent.max(self.asked));
    }

    /// What an order has bought before: by its attempt, whose answer was lost, or by its key.
    fn repeat(&mut self, order: &Order) -> Result<Option<Bought>, Refusal> {
        if let Some(bought) = self.attempts.find(order.attempt)? {
            return Ok(Some(bought));
        }
        if let Some(key) = &order.key
            && let Some(booking) = self.keys.replay(key, order.cost())?
        {
            // Else the first request, held back until it fails, would give the price back for what its repetition got.
            if !self.bookings.seal(booking) {
                return Err(Refusal::KeySpent);
            }
            return Ok(Some(Bought { booking, units: 0, replayed: true }));
        }
        Ok(None)
    }

    fn buy(&mut self, voucher: Amount, order: &Order, policy: &Policy, now: Timestamp) -> Result<Bought, Refusal> {
        if let Some(bought) = self.repeat(order)? {
            return Ok(bought);
        }
        let cost = order.cost();
        let is_used = order.reuse == Reuse::Once && self.used.contains(voucher);
        let available = self.available();
        if is_used || available < cost {
            return Err(Refusal::Insufficient);
        }
        if order.kind != Kind::Request && self.sales.is_full() {
            return Err(Refusal::Busy);
        }
        let units = order.most.min(available.units_at(order.price)).max(order.least);
        let booked = order.price.times(units);
        let booking = match order.kind {
            Kind::Request => self.bookings.book(booked, policy.delivery_window, now),
            Kind::Metered | Kind::Stream => self.bookings.next_id(),
        };
        if order.kind != Kind::Request {
            self.sales.begin(booking, order, voucher, units, now);
        }
        self.spent = self.spent.saturating_add(booked);
        self.unsettled_since.get_or_insert(now);
        if order.reuse == Reuse::Once {
            self.used.insert(voucher);
        }
        if let Some(key) = order.key {
            self.keys.remember(key, cost, booking, order.kind == Kind::Request);
        }
        let bought = Bought { booking, units, replayed: false };
        self.attempts.remember(order.attempt, order.since, bought);
        Ok(bought)
    }

    pub(super) fn release(
        &mut self,
        booking: u64,
        amount: Amount,
        voucher: Amount,
        begun: bool,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        // Beyond the bounds it stays charged.
        let is_allowed = !begun || self.breaks.allow(Some(voucher), now);
        if is_allowed && self.bookings.release(booking, amount) {
            if begun {
                self.breaks.note(Some(voucher), now);
            }
            self.release_amount(amount);
            self.release_voucher(booking, Some(voucher));
        }
        Ok(Answer::Noted)
    }

    /// What was booked and not delivered is the payer's again.
    pub(super) fn release_amount(&mut self, amount: Amount) {
        self.spent = self.spent.saturating_sub(amount);
        if self.spent <= self.settled {
            self.unsettled_since = None;
        }
    }

    /// Nothing of a purchase was delivered: its voucher and its key may buy anew.
    pub(super) fn release_voucher(&mut self, booking: u64, voucher: Option<Amount>) {
        if let Some(voucher) = voucher {
            self.used.remove(voucher);
        }
        self.keys.forget(booking);
    }

    /// Whether anything can be bought or added.
    pub const fn check_usable(&self) -> Result<(), Refusal> {
        match self.status {
            Status::Open if self.setbacks.failures > 0 => Err(Refusal::Uncollectable),
            Status::Open => Ok(()),
            Status::Suspended if self.signer_has_code => Err(Refusal::SignerHasCode),
            Status::Suspended => Err(Refusal::Suspended),
            Status::Closing(_) => Err(Refusal::Closing),
            Status::Closed { .. } => Err(Refusal::Closed),
        }
    }

    /// The least total that a next voucher must allow to buy for `price`; one that proves who sends it.
    pub(super) fn required(&self, price: Amount, reuse: Reuse, policy: &Policy) -> Amount {
        let unseen = self.published.map_or(Amount::ZERO, |published| published.saturating_add(Amount::from_base_units(1)));
        let price = self.spent.saturating_add(price).max(unseen);
        let raise = self.accepted.saturating_add(policy.min_delta.max(Amount::from_base_units(1)));
        match reuse {
            Reuse::DrawDown if price <= self.accepted => price,
            Reuse::Once | Reuse::DrawDown => price.max(raise),
        }
    }

    pub(super) fn ask_to_close(&mut self, presented: &PresentedVoucher, now: Timestamp) -> Result<Answer, Refusal> {
        self.check_signer(presented)?;
        if let Some(closed) = self.closed() {
            return closed.map(Answer::Closed);
        }
        match self.status {
            Status::Suspended if !self.signer_has_code => return Err(Refusal::Suspended),
            // It is under way; a repetition has nothing to add, since its voucher was handed out by then.
            Status::Closing(_) if !self.is_proof(presented) => return Ok(Answer::Closing),
            Status::Open | Status::Suspended if !self.is_proof(presented) => return Err(Refusal::Unproven),
            _ => {}
        }
        // However little it raises: it is the last one.
        self.accept(presented.voucher.cumulative, Amount::ZERO)?;
        self.asked = self.asked.max(presented.voucher.cumulative);
        self.keep(presented.voucher);
        self.begin_closing(super::CloseReason::Asked, now);
        Ok(Answer::Closing)
    }
}
