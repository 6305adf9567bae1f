//! What has to come of every state in the end.

use super::chain::Call;
use super::world::{Checked, Serving, World, small};
use mpp_edge::channel::{CloseReason, Status};
use mpp_edge::money::Amount;
use std::time::Duration;

impl World {
    /// From here on everything goes its way: nobody buys, nothing fails, and the payer wants out. Then the ledger must end
    /// closed, and the payee have at least what was delivered.
    pub(super) fn complete(mut self) -> Checked {
        self.deliver();
        for index in 0..self.sales.len() {
            if self.sales[index].state == Serving::Live {
                self.end(index)?;
            }
        }
        self.chain.recent.clear();
        if !self.chain.escrow.exists {
            // Nothing was ever deposited, and nothing can be taken.
            return Ok(());
        }
        let is_over = self.chain.escrow.finalized || self.is_closed();
        let owed = match self.misled {
            // Another gateway may have ended it with less than was sold here.
            None if self.foreign && is_over => 0,
            None => self.delivered(),
            Some(_) if self.setup.prudent => self.delivered(),
            // The payer may have withdrawn on the strength of an old request.
            Some(_) if is_over => 0,
            Some(deposit) => self.delivered().min(self.redeemable(deposit)),
        };
        self.rest()?;
        if !self.chain.escrow.finalized {
            self.payer(Call::Request);
            self.chain.recent.clear();
            self.rest()?;
        }
        if let Some(end) = self.grace_ends() {
            while self.alarm.is_some_and(|at| at < end) && !self.chain.escrow.finalized {
                self.wake(false)?;
                self.rest()?;
            }
            if !self.chain.escrow.finalized {
                self.pass_to(self.now.max(end));
                self.payer(Call::Withdraw);
                self.chain.recent.clear();
            }
        }
        self.rest()?;
        for _ in 0..5 {
            self.wake(false)?;
            self.rest()?;
        }
        if !self.is_closed() || self.alarm.is_some() {
            return Err(format!("in the end it is {:?}, with an alarm at {:?}", self.ledger.status(), self.alarm));
        }
        let paid = self.chain.escrow.paid;
        if paid < owed {
            return Err(format!("in the end the payee has {paid}, and {owed} was delivered"));
        }
        if let Status::Closed { transaction: Some(_) } = self.ledger.status()
            && small(self.ledger.settled()) != paid
            && !self.foreign
        {
            return Err(format!("in the end the payee has {paid}, and the ledger says {}", self.ledger.settled()));
        }
        self.audit()
    }

    /// The largest voucher that the ledger holds and the escrow takes with this deposit.
    fn redeemable(&self, deposit: u8) -> u8 {
        let json = serde_json::to_value(&self.ledger).unwrap();
        let held = json["held"].as_array().unwrap().iter();
        let totals = held.map(|voucher| voucher["cumulative"].as_str().unwrap().parse().unwrap());
        totals.filter(|total| *total <= deposit).max().unwrap_or(0)
    }

    /// Nobody ever comes again, and the chain stays as it is: what was used is closed for want of use.
    pub(super) fn abandon(mut self) -> Checked {
        self.deliver();
        for index in 0..self.sales.len() {
            if self.sales[index].state == Serving::Live {
                self.end(index)?;
            }
        }
        self.chain.recent.clear();
        self.rest()?;
        for _ in 0..60 {
            if self.alarm.is_none() {
                break;
            }
            self.wake(false)?;
            self.rest()?;
        }
        let unused = self.counters().spent == Amount::ZERO || self.ledger.best().is_none();
        match self.ledger.status() {
            Status::Closed { .. } => {}
            Status::Open if unused => {}
            // The payer has asked for the end, and has nothing to pay.
            Status::Closing(CloseReason::Requested) if self.chain.escrow.settled >= self.delivered() => {}
            status => return Err(format!("abandoned, it stays {status:?}, with an alarm at {:?}", self.alarm)),
        }
        Ok(())
    }

    /// Until nobody on the payee's side has anything to do now.
    fn rest(&mut self) -> Checked {
        for _ in 0..40 {
            let untold = self.chain.outbox.iter().position(|entry| entry.told.is_none());
            match untold {
                _ if self.has_news() => self.watch()?,
                Some(index) if self.chain.outbox[index].in_pool => self.mine(index)?,
                Some(index) => {
                    self.chain.recent.clear();
                    self.conclude_entry(index)?;
                }
                None if self.alarm.is_some_and(|at| at <= self.now.saturating_add(Duration::from_secs(60))) && !self.is_closed() => {
                    self.wake(false)?;
                }
                None => return Ok(()),
            }
        }
        Err(format!("it does not come to rest: {:?}, {:?}", self.ledger.status(), self.chain))
    }
}
