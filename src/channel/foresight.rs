//! What will be said of a client's wishes once its money is in the channel. Nobody pays gas to bring in money for a client who is
//! refused all the same, and whose deposit then lies in a channel that it cannot use.

use super::{Channel, Event, Order, Policy, PresentedVoucher, Refusal};
use crate::money::Amount;
use crate::time::Timestamp;

impl Channel {
    /// Whether a voucher that comes with an addition to the deposit, and what it is to buy, would be taken once the money is
    /// there; without a voucher, whether the channel can be added to. Nothing is changed.
    ///
    /// # Errors
    /// What the answer would be then.
    pub fn foresee(
        &self,
        addition: Amount,
        presented: Option<PresentedVoucher>,
        order: Option<Order>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(presented) = presented else { return self.check_usable() };
        let funded = Self { deposit: self.deposit.saturating_add(addition), ..self.clone() };
        let (_, outcome) = funded.step(Event::Voucher(presented, order), policy, now);
        outcome.answer.map(drop)
    }
}
