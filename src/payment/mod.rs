//! The life of one charge as a state machine: claimed → submitted → settled → delivered, or, where the
//! origin is called first, claimed → reserved → submitted → settled → delivered.
//!
//! The payer's object keeps one [`Payment`] per authorization nonce. While the object itself works on it
//! (simulating, settling), copies of the same credential find it busy. Where a request outside works on
//! it (calling the origin), that request holds a lease: copies find it busy until it is given back or,
//! when the request died, runs out. Whoever delivers must still hold it, so there is one settlement and
//! one delivery.

mod delivery;
mod refusal;
mod simulation;

pub use delivery::{Disposition, disposition, has_receipt};
pub use refusal::{Lost, Refusal};
pub use simulation::{Simulated, Simulation};

use crate::evm::B256;
use crate::evm::amount::Amount;
use crate::method::charge::Charge;
use crate::settlement::{Failure, Verdict};
use crate::time::Timestamp;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// How often a delivery may be reopened: an origin that breaks off more often is not worth a free download
/// each time.
const MAX_REOPENINGS: u8 = 3;

/// Names one holding of a payment by one request. Each is larger than those before it, also of payments
/// with the same nonce that were forgotten since: it begins at the time in milliseconds.
pub type LeaseId = u64;

/// How far a payment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Being simulated; nothing was broadcast.
    Claimed,
    /// It would succeed; the origin is being called before anything is broadcast.
    Reserved,
    /// Handed to the settlement account, or about to be; may be on chain.
    Submitted {
        /// For its transaction; `None` when somebody else seems to have sent it.
        gas_limit: Option<u64>,
    },
    /// The money is ours.
    Settled {
        /// The transaction that moved it.
        transaction: B256,
    },
    /// The money is ours and the resource was handed out.
    Delivered {
        /// The transaction that moved it.
        transaction: B256,
    },
    /// It will never be paid.
    Failed(Failure),
}

/// One charge and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    charge: Charge,
    stage: Stage,
    /// The latest lease.
    lease: LeaseId,
    /// Until when the latest lease is held; `None` when it was given back.
    leased_until: Option<Timestamp>,
    /// How often a delivery broke off.
    reopened: u8,
}

/// What must be done next for a presented charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Find out whether the transfer would succeed.
    Simulate,
    /// Have it settled, or wait for it. Asking again is asking once.
    Settle {
        /// See [`Stage::Submitted`].
        gas_limit: Option<u64>,
    },
    /// Call the origin and deliver.
    Deliver,
}

impl Payment {
    /// A charge is presented. `stored` is what is known under its nonce; `at_work` says whether this very
    /// object is simulating or settling it at the moment. (After a restart it is not, whatever was stored.)
    ///
    /// # Errors
    /// [`Refusal`] when nothing is to be done for it now; the stored state stays as it is.
    pub fn present(stored: Option<Self>, charge: Charge, now: Timestamp, at_work: bool) -> Result<(Self, Next), Refusal> {
        let mut payment = match stored {
            None => Self { charge, stage: Stage::Claimed, lease: 0, leased_until: None, reopened: 0 },
            Some(payment) if !payment.is_for(&charge) => return Err(Refusal::OtherChallenge),
            Some(payment) => payment,
        };
        let next = match payment.stage {
            Stage::Delivered { .. } => return Err(Refusal::Spent),
            Stage::Failed(failure) => return Err(Refusal::Failed(failure)),
            _ if at_work || payment.is_leased(now) => return Err(Refusal::Busy),
            Stage::Claimed | Stage::Reserved => {
                if let Some(problem) = payment.charge.untimely(now) {
                    return Err(Refusal::Untimely(problem));
                }
                payment.stage = Stage::Claimed;
                Next::Simulate
            }
            // Too late for a transaction, but one may have been sent in time.
            Stage::Submitted { .. } if payment.charge.is_too_late(now) => Next::Settle { gas_limit: None },
            Stage::Submitted { gas_limit } => Next::Settle { gas_limit },
            Stage::Settled { .. } => Next::Deliver,
        };
        Ok((payment, next))
    }

    fn lease(&mut self, now: Timestamp, duration: Duration) -> LeaseId {
        self.lease = self.lease.saturating_add(1).max(now.millis());
        self.leased_until = Some(now.saturating_add(duration));
        self.lease
    }

    /// The simulation went well, and the origin is to be called first by the request that presented the
    /// charge: it holds the payment for at most `duration`.
    ///
    /// # Errors
    /// [`Lost`] when the payment is not [`Stage::Claimed`].
    pub fn reserve(&mut self, now: Timestamp, duration: Duration) -> Result<LeaseId, Lost> {
        match self.stage {
            Stage::Claimed => {
                self.stage = Stage::Reserved;
                Ok(self.lease(now, duration))
            }
            _ => Err(Lost),
        }
    }

    /// The money is there: the request that presented the charge may deliver, for at most `duration`.
    ///
    /// # Errors
    /// [`Lost`] when the payment is not [`Stage::Settled`].
    pub fn hand_over(&mut self, now: Timestamp, duration: Duration) -> Result<(LeaseId, B256), Lost> {
        match self.stage {
            Stage::Settled { transaction } => Ok((self.lease(now, duration), transaction)),
            _ => Err(Lost),
        }
    }

    /// The money for a [`Payment::resume`]d payment is there: the same lease holds it on.
    ///
    /// # Errors
    /// [`Lost`] when it was given back meanwhile, or the payment is not [`Stage::Settled`].
    pub fn hand_back(&mut self, lease: LeaseId, now: Timestamp, duration: Duration) -> Result<B256, Lost> {
        match self.stage {
            Stage::Settled { transaction } if self.lease == lease => {
                self.leased_until = Some(now.saturating_add(duration));
                Ok(transaction)
            }
            _ => Err(Lost),
        }
    }

    /// The same payment, whatever valid signature it came with.
    fn is_for(&self, charge: &Charge) -> bool {
        self.charge.challenge_id == charge.challenge_id
            && self.charge.token == charge.token
            && self.charge.signed.authorization == charge.signed.authorization
    }

    fn is_leased(&self, now: Timestamp) -> bool {
        self.leased_until.is_some_and(|until| now < until)
    }

    /// What is paid.
    pub const fn charge(&self) -> &Charge {
        &self.charge
    }

    /// How far it has come.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// It is about to be handed to the settlement account.
    pub const fn submit(&mut self, gas_limit: Option<u64>) {
        if let Stage::Claimed | Stage::Reserved = self.stage {
            self.stage = Stage::Submitted { gas_limit };
        }
    }

    /// The origin has answered a reserved payment, which is to be simulated again and settled.
    ///
    /// # Errors
    /// [`Lost`] when this lease no longer holds the reservation.
    pub fn resume(&mut self, lease: LeaseId) -> Result<(), Lost> {
        match self.stage {
            Stage::Reserved if self.holds(lease) => {
                self.stage = Stage::Claimed;
                self.leased_until = None;
                Ok(())
            }
            _ => Err(Lost),
        }
    }

    /// Whether `lease` is the latest and was not given back. It may have run out: nobody took over.
    fn holds(&self, lease: LeaseId) -> bool {
        self.lease == lease && self.leased_until.is_some()
    }

    /// The settlement account knows nothing of it, and no request is asking it to: nothing was ever sent.
    pub const fn withdraw(&mut self) {
        if let Stage::Submitted { .. } = self.stage {
            self.stage = Stage::Claimed;
        }
    }

    /// The settlement account has reached a verdict. Repeating it is harmless.
    pub const fn conclude(&mut self, verdict: Verdict) {
        if let Stage::Claimed | Stage::Reserved | Stage::Submitted { .. } = self.stage {
            self.stage = match verdict {
                Verdict::Settled { transaction } => Stage::Settled { transaction },
                Verdict::Failed(failure) => Stage::Failed(failure),
            };
        }
    }

    /// The resource is about to be handed out, now or never. Returns the transaction that paid for it; again
    /// when the same holder asks again, since the first answer may have been lost.
    ///
    /// # Errors
    /// [`Lost`] when another request has taken over or the money is not there: nothing may be handed out.
    pub fn deliver(&mut self, lease: LeaseId) -> Result<B256, Lost> {
        match self.stage {
            Stage::Settled { transaction } if self.holds(lease) => {
                self.stage = Stage::Delivered { transaction };
                self.leased_until = None;
                Ok(transaction)
            }
            Stage::Delivered { transaction } if self.lease == lease => Ok(transaction),
            _ => Err(Lost),
        }
    }

    /// The delivery broke off by the origin's fault: the same credential may fetch again.
    ///
    /// # Errors
    /// [`Lost`] when this lease did not deliver, or it happened too often.
    pub fn reopen(&mut self, lease: LeaseId) -> Result<(), Lost> {
        match self.stage {
            Stage::Delivered { transaction } if self.lease == lease && self.reopened < MAX_REOPENINGS => {
                self.stage = Stage::Settled { transaction };
                self.reopened = self.reopened.saturating_add(1);
                Ok(())
            }
            _ => Err(Lost),
        }
    }

    /// The request that held the lease is done without delivering: the lease is void, also for a
    /// settlement that it has just asked for. Returns what is to be remembered: nothing when nothing was
    /// broadcast.
    pub fn release(mut self, lease: LeaseId) -> Option<Self> {
        if self.lease != lease || matches!(self.stage, Stage::Delivered { .. }) {
            return Some(self);
        }
        self.lease = self.lease.saturating_add(1);
        self.leased_until = None;
        match self.stage {
            Stage::Reserved => None,
            _ => Some(self),
        }
    }

    /// What the payment will still take from the payer's balance, as far as is known. `at_work` as in
    /// [`Payment::present`].
    pub fn reserves(&self, now: Timestamp, at_work: bool) -> Amount {
        let on_its_way = match self.stage {
            Stage::Claimed => at_work,
            Stage::Reserved => self.is_leased(now),
            Stage::Submitted { .. } => true,
            _ => false,
        };
        if on_its_way { self.charge.signed.authorization.value } else { Amount::ZERO }
    }

    /// Whether money may still be moved for it.
    pub const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Claimed | Stage::Reserved | Stage::Submitted { .. })
    }

    /// When the payment may be forgotten: when its credential can neither buy nor resume anything any more.
    pub fn forget_at(&self) -> Timestamp {
        self.charge.resumable_until()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::erc3009::{Authorization, SignedAuthorization};
    use crate::evm::keccak256;
    use crate::evm::key::PrivateKey;
    use crate::time::UnixSeconds;
    use alloy_primitives::Address;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const TX: B256 = B256::repeat_byte(7);

    fn charge(id: &str) -> Charge {
        let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
        let authorization = Authorization {
            from: key.address(),
            to: Address::repeat_byte(2),
            value: Amount::from_base_units(10_000),
            valid_after: UnixSeconds::new(0),
            valid_before: NOW.seconds().saturating_add(300),
            nonce: B256::repeat_byte(3),
        };
        Charge {
            challenge_id: id.into(),
            issued: NOW,
            expires: NOW.saturating_add(Duration::from_secs(300)),
            token: Address::repeat_byte(1),
            signed: SignedAuthorization { authorization, signature: key.sign(keccak256(b"x")) },
        }
    }

    fn later(seconds: u64) -> Timestamp {
        NOW.saturating_add(Duration::from_secs(seconds))
    }

    fn claimed() -> Payment {
        Payment::present(None, charge("a"), NOW, false).unwrap().0
    }

    fn settled() -> Payment {
        let mut payment = claimed();
        payment.submit(Some(1));
        payment.conclude(Verdict::Settled { transaction: TX });
        payment
    }

    fn present(payment: &Payment, now: Timestamp) -> Result<Next, Refusal> {
        Payment::present(Some(payment.clone()), charge("a"), now, false).map(|(_, next)| next)
    }

    #[test]
    fn a_new_charge_is_simulated_and_its_copies_wait() {
        let payment = claimed();
        assert_eq!(Payment::present(Some(payment.clone()), charge("a"), NOW, true).unwrap_err(), Refusal::Busy);
        // After a restart nobody is at work on it.
        assert_eq!(present(&payment, NOW), Ok(Next::Simulate));
    }

    #[test]
    fn delivery_happens_once_and_needs_the_latest_lease() {
        let mut payment = settled();
        let (first, _) = payment.hand_over(NOW, Duration::from_secs(10)).unwrap();
        assert_eq!(present(&payment, later(9)), Err(Refusal::Busy));
        assert_eq!(present(&payment, later(10)), Ok(Next::Deliver));
        let (second, _) = payment.hand_over(later(10), Duration::from_secs(10)).unwrap();
        assert_eq!(payment.deliver(first), Err(Lost));
        assert_eq!(payment.deliver(second), Ok(TX));
        // The answer may have been lost: the same holder may ask again, and nobody else.
        assert_eq!(payment.deliver(second), Ok(TX));
        assert_eq!(payment.deliver(first), Err(Lost));
        assert_eq!(present(&payment, later(100)), Err(Refusal::Spent));
    }

    #[test]
    fn a_failed_origin_leaves_the_payment_to_be_presented_again_even_late() {
        let mut payment = settled();
        let (lease, _) = payment.hand_over(NOW, Duration::from_secs(10)).unwrap();
        let payment = payment.release(lease).unwrap();
        assert_eq!(present(&payment, later(10_000)), Ok(Next::Deliver));
        assert_eq!(payment.clone().deliver(lease), Err(Lost));
        assert_eq!(payment.forget_at(), later(300 + 86_400));
    }

    #[test]
    fn a_broken_delivery_can_be_reopened_by_who_delivered() {
        let mut payment = settled();
        let (lease, _) = payment.hand_over(NOW, Duration::from_secs(10)).unwrap();
        assert_eq!(payment.reopen(lease), Err(Lost));
        payment.deliver(lease).unwrap();
        assert_eq!(payment.reopen(lease + 1), Err(Lost));
        assert_eq!(payment.reopen(lease), Ok(()));
        assert_eq!(present(&payment, NOW), Ok(Next::Deliver));
    }

    #[test]
    fn a_delivery_is_reopened_a_few_times_only() {
        let mut payment = settled();
        for _ in 0..MAX_REOPENINGS {
            let (lease, _) = payment.hand_over(NOW, Duration::from_secs(10)).unwrap();
            payment.deliver(lease).unwrap();
            payment.reopen(lease).unwrap();
        }
        let (lease, _) = payment.hand_over(NOW, Duration::from_secs(10)).unwrap();
        payment.deliver(lease).unwrap();
        assert_eq!(payment.reopen(lease), Err(Lost));
    }

    #[test]
    fn a_reservation_is_settled_by_its_holder_or_forgotten() {
        let mut payment = claimed();
        let lease = payment.reserve(NOW, Duration::from_secs(10)).unwrap();
        assert_eq!(payment.reserves(NOW, false), Amount::from_base_units(10_000));
        assert_eq!(payment.reserves(later(10), false), Amount::ZERO);
        assert_eq!(payment.clone().release(lease), None);
        assert_eq!(payment.resume(lease + 1), Err(Lost));
        assert_eq!(payment.resume(lease), Ok(()));
        assert_eq!(payment.resume(lease), Err(Lost));
        payment.submit(Some(9));
        assert_eq!(payment.forget_at(), later(300 + 86_400));
        assert_eq!(present(&payment, later(280)), Ok(Next::Settle { gas_limit: Some(9) }));
        assert_eq!(present(&payment, later(10_000)), Ok(Next::Settle { gas_limit: None }));
    }

    #[test]
    fn a_settled_reservation_stays_with_its_holder_unless_that_is_gone() {
        let mut payment = claimed();
        let lease = payment.reserve(NOW, Duration::from_secs(10)).unwrap();
        payment.resume(lease).unwrap();
        payment.submit(Some(9));
        let mut abandoned = payment.clone().release(lease).unwrap();
        for payment in [&mut payment, &mut abandoned] {
            payment.conclude(Verdict::Settled { transaction: TX });
        }
        assert_eq!(payment.hand_back(lease, NOW, Duration::from_secs(10)), Ok(TX));
        assert_eq!(payment.deliver(lease), Ok(TX));
        assert_eq!(payment.reopen(lease), Ok(()));
        assert_eq!(abandoned.hand_back(lease, NOW, Duration::from_secs(10)), Err(Lost));
        assert_eq!(present(&abandoned, NOW), Ok(Next::Deliver));
    }

    #[test]
    fn only_what_was_begun_in_time_is_finished_late() {
        assert!(matches!(Payment::present(None, charge("a"), later(300), false), Err(Refusal::Untimely(_))));
        assert!(matches!(present(&claimed(), later(300)), Err(Refusal::Untimely(_))));
        assert!(matches!(Payment::present(None, charge("a"), later(290), false), Err(Refusal::Untimely(_))));
        assert!(Payment::present(None, charge("a"), later(289), false).is_ok());
    }

    #[test]
    fn one_authorization_belongs_to_one_challenge() {
        assert_eq!(Payment::present(Some(settled()), charge("b"), NOW, false).unwrap_err(), Refusal::OtherChallenge);
    }

    #[test]
    fn a_verdict_is_final() {
        let mut payment = settled();
        payment.conclude(Verdict::Failed(Failure::Reverted));
        assert_eq!(payment.stage(), Stage::Settled { transaction: TX });
        let mut failed = claimed();
        failed.conclude(Verdict::Failed(Failure::Expired));
        failed.conclude(Verdict::Settled { transaction: TX });
        assert_eq!(present(&failed, NOW), Err(Refusal::Failed(Failure::Expired)));
    }
}
