//! When a channel's money is brought onto the chain.

use super::setbacks::RETRY;
use super::{Answer, Channel, CloseReason, Effect, Policy, Refusal, Status};
use crate::evm::escrow::{Payout, SignedVoucher};
use crate::money::Amount;
use crate::settlement::{Purpose, Verdict};
use crate::time::Timestamp;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What is done on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CollectBy {
    /// `settle`: the channel goes on.
    Settle,
    /// `close`: it ends.
    Close,
}

/// A collection on the chain, submitted or about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// What is done.
    pub by: CollectBy,
    /// With which voucher.
    pub payout: Payout,
}

impl Collection {
    /// For the account's outbox.
    pub const fn purpose(&self) -> Purpose {
        match self.by {
            CollectBy::Settle => Purpose::Settle(self.payout),
            CollectBy::Close => Purpose::Close(self.payout),
        }
    }
}

impl Channel {
    /// The collection that was begun and whose end is not known.
    pub const fn collection(&self) -> Option<Collection> {
        self.collection
    }

    pub(super) fn is_being_closed_by_us(&self) -> bool {
        self.collection.is_some_and(|collection| collection.by == CollectBy::Close)
    }

    pub(super) fn begin_closing(&mut self, reason: CloseReason, now: Timestamp) {
        self.status = Status::Closing(reason);
        self.last_used = now;
        self.hurry();
    }

    /// What was put off for its failures is tried at once, if there is gas left for it.
    pub(super) fn hurry(&mut self) {
        if self.setbacks.begin_anew(self.is_forced()) {
            self.retry_at = None;
        }
    }

    pub(super) fn conclude(&mut self, collection: &Collection, verdict: Verdict, now: Timestamp) -> Result<Answer, Refusal> {
        if self.collection.as_ref() != Some(collection) {
            // It was concluded before.
            return Ok(match self.status {
                Status::Closed { transaction: Some(transaction) } => Answer::Closed(transaction),
                _ => Answer::Noted,
            });
        }
        self.collection = None;
        let transaction = match verdict {
            Verdict::Settled { transaction } => transaction,
            Verdict::Failed(failure) => {
                // Whatever stood in the way, trying again is another collection.
                self.epoch = self.epoch.saturating_add(1);
                self.setbacks.count(collection.by, failure);
                let falls_back = self.is_at_risk() && self.setbacks.may_settle_instead(self.is_forced());
                self.retry_at = (!falls_back).then(|| now.saturating_add(self.setbacks.delay(self.is_forced())));
                return Ok(Answer::Noted);
            }
        };
        match collection.by {
            CollectBy::Settle => {
                self.settle_up_to(collection.payout.voucher.cumulative, now);
                Ok(Answer::Noted)
            }
            CollectBy::Close => {
                self.settled = self.settled.max(collection.payout.voucher.cumulative);
                self.close(Some(transaction));
                Ok(Answer::Closed(transaction))
            }
        }
    }

    /// Begins what is due.
    pub(super) fn begin_what_is_due(&mut self, policy: &Policy, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.retry_at {
            // What stood in the way is looked at before it is tried again.
            Some(at) if at <= now => {
                self.retry_at = None;
                effects.push(Effect::Inspect);
            }
            Some(_) => {}
            None if self.collection.is_none() => self.collection = self.due(policy, now),
            None => {}
        }
    }

    /// Sees to it that the object is woken for what will be due.
    pub(super) fn set_alarm(&mut self, policy: &Policy, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(at) = self.next_wake(policy, now)
            && self.wake_at.is_none_or(|earlier| at < earlier)
        {
            self.wake_at = Some(at);
            effects.push(Effect::WakeAt(at));
        }
    }

    fn due(&mut self, policy: &Policy, now: Timestamp) -> Option<Collection> {
        if self.status == Status::Open && self.idle_at(policy).is_some_and(|at| at <= now) {
            self.begin_closing(CloseReason::Idle, now);
        }
        match self.status {
            Status::Open => {
                let is_due = self.settle_at(policy, now).is_some_and(|at| at <= now);
                let voucher = self.unsettled().filter(|voucher| self.is_hindered() || self.is_worth_it(voucher, policy))?;
                is_due.then(|| self.begin(CollectBy::Settle, voucher))
            }
            Status::Suspended if self.signer_has_code => self.unsettled().map(|voucher| self.begin(CollectBy::Settle, voucher)),
            // Nothing would be taken: the payer withdraws by itself.
            Status::Closing(CloseReason::Requested) if !self.is_at_risk() => None,
            Status::Closing(_) => {
                let by = self.setbacks.last_resort(self.is_at_risk())?;
                self.last_voucher().map(|voucher| self.begin(by, voucher))
            }
            Status::Suspended | Status::Closed { .. } => None,
        }
    }

    /// From here on others may know the voucher: who estimates the gas for it, and who sees the transaction.
    fn begin(&mut self, by: CollectBy, voucher: SignedVoucher) -> Collection {
        self.published = self.published.max(Some(voucher.cumulative));
        Collection { by, payout: Payout { escrow: self.escrow, channel_id: self.id, voucher, epoch: self.epoch } }
    }

    /// When the policy wants a settlement of what will be delivered by then.
    fn settle_at(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        // Nothing is sold before one has succeeded, however little it brings.
        if self.is_hindered() && self.unsettled().is_some() {
            return Some(now);
        }
        let more = |voucher: &SignedVoucher| self.is_worth_it(voucher, policy);
        let booked = self.held.within(self.spent).filter(more)?;
        let delivered = self.held.within(self.delivered()).filter(more);
        let enough = |voucher: SignedVoucher| voucher.cumulative.saturating_sub(self.settled) >= policy.settle_amount;
        let delivery = self.bookings.matures().unwrap_or_else(|| now.saturating_add(RETRY));
        let old = self.unsettled_since?.saturating_add(policy.settle_after);
        let old = if delivered.is_some() { old } else { old.max(delivery) };
        Some(match delivered {
            Some(voucher) if enough(voucher) => now,
            _ if enough(booked) => old.min(delivery),
            _ => old,
        })
    }

    /// What was delivered, as far as a voucher allows and it is not settled.
    fn unsettled(&self) -> Option<SignedVoucher> {
        self.held.within(self.delivered()).filter(|voucher| voucher.cumulative > self.settled)
    }

    /// Whether a settlement with this voucher brings enough for its gas.
    fn is_worth_it(&self, voucher: &SignedVoucher, policy: &Policy) -> bool {
        let brings = voucher.cumulative.saturating_sub(self.settled);
        brings > Amount::ZERO && brings >= policy.settle_minimum
    }

    /// Whether the last settlement has failed.
    const fn is_hindered(&self) -> bool {
        self.setbacks.failures > 0
    }

    /// The payer has asked the escrow for the end, and the grace period runs.
    const fn is_forced(&self) -> bool {
        self.requested
    }

    /// What a close takes: the smallest voucher held that covers what was spent, and what the payer's own close asks for. A
    /// reorganisation may have left a deposit that allows less: then the best that the escrow takes.
    fn last_voucher(&self) -> Option<SignedVoucher> {
        let covering = self.held.covering(self.spent.max(self.asked)).filter(|voucher| voucher.cumulative <= self.deposit);
        covering.or_else(|| self.held.within(self.deposit)).filter(|_| self.deposit > Amount::ZERO)
    }

    /// Whether something was sold that could be taken and is not settled.
    fn is_at_risk(&self) -> bool {
        self.spent > self.settled && self.last_voucher().is_some_and(|last| last.cumulative > self.settled)
    }

    /// When an unused channel is closed. One on which nothing was bought, or not enough that is not settled, is left to its payer.
    fn idle_at(&self, policy: &Policy) -> Option<Timestamp> {
        let bought = self.best().is_some() && self.spent > Amount::ZERO;
        let is_worth_it = self.spent.saturating_sub(self.settled) >= policy.settle_minimum;
        (bought && is_worth_it && self.sales.is_empty()).then(|| self.last_used.saturating_add(policy.close_idle))
    }

    /// Whether the channel may be forgotten, until a voucher brings it back as the chain shows it: it was not used for long, nothing
    /// of what was sold on it is not settled, and nothing is remembered of it that the chain does not show.
    pub fn is_forgettable(&self, policy: &Policy, now: Timestamp) -> bool {
        let is_even = self.spent <= self.settled && self.published.is_none_or(|published| published <= self.settled);
        let is_quiet = self.collection.is_none() && self.sales.is_empty() && self.breaks.are_over(now) && self.setbacks.failures == 0;
        let may_end = matches!(self.status, Status::Open | Status::Suspended | Status::Closing(CloseReason::Requested));
        may_end && is_even && is_quiet && now.since(self.last_used) >= policy.close_idle
    }

    fn next_wake(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        if self.collection.is_some() {
            // Whoever submits it tells its end; should he die, the alarm submits it again.
            return Some(now.saturating_add(RETRY));
        }
        match self.status {
            Status::Open => {
                let settle = self.settle_at(policy, now);
                let idle = self.idle_at(policy);
                let next = [settle, idle, self.sales.matures()].into_iter().flatten().min();
                self.retry_at.map_or(next, |retry| next.map(|next| next.max(retry)))
            }
            Status::Suspended if self.signer_has_code => {
                let next = if self.unsettled().is_some() { Some(now) } else { self.bookings.matures().or_else(|| self.sales.matures()) };
                self.retry_at.map_or(next, |retry| next.map(|next| next.max(retry)))
            }
            Status::Closing(CloseReason::Requested) if !self.is_at_risk() => None,
            // Until the chain shows enough of a deposit again there is nothing to close with.
            Status::Closing(_) if self.last_voucher().is_none() => self.retry_at,
            Status::Closing(_) if self.setbacks.last_resort(self.is_at_risk()).is_none() => None,
            Status::Closing(_) => Some(self.retry_at.unwrap_or(now)),
            Status::Suspended | Status::Closed { .. } => None,
        }
    }
}
