//! The life of one charge as a state machine: claimed → submitted → settled → delivered, or, where the
//! origin is called first, claimed → reserved → submitted → settled → delivered.
//!
//! The payer's object keeps one [`Purchase`] per authorization nonce. While the object itself works on it
//! (simulating, settling), copies of the same credential find it busy. Where a request outside works on
//! it (calling the origin), that request holds a lease: copies find it busy until it is released or,
//! when the request died, runs out. Whoever delivers must still hold it, so there is one settlement and
//! one delivery.
//!
//! Each lease may call the origin, and so counts against the few calls that a purchase is good for ([`MAX_CALLS`]): what was paid for
//! once is not worked for any number of times, whoever leaves, breaks off, or asks again under its idempotency key.
//!
//! In which order its methods are called. What 3 to 5 leave behind is stored before anything is sent, called or handed out for it:
//!
//! 1. [`Purchase::present`] with what is stored. Its [`Next`] says what to do: [`Next::Prepare`] goes on with 2, [`Next::Settle`] with 3,
//!    [`Next::Deliver`] with 4; [`Next::Replay`] asks the origin again, and that is all.
//! 2. The transfer is simulated. If it will not do, [`Purchase::forgo`]. If the origin is to be called first, [`Purchase::reserve`] gives
//!    a lease; once the origin has answered, [`Purchase::resume`] and simulate again.
//! 3. [`Purchase::submit`], then do what the rail sends ([`Send`](crate::rail::Send)), and [`Purchase::conclude`] with the verdict.
//!    [`Purchase::withdraw`] where the settlement account knows nothing of it.
//! 4. The money is there: [`Purchase::hand_over`] gives a lease and the transaction, [`Purchase::hand_back`] goes on with the lease of 2.
//! 5. Under the lease the origin is called. [`Purchase::deliver`] comes before the answer is handed out, [`Purchase::release`] when there is
//!    none to hand out. If the origin breaks off later, [`Purchase::reopen`].
//!
//! ```
//! use core::time::Duration;
//! use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
//! use mpp_edge::evm::{Address, B256, key::PrivateKey};
//! use mpp_edge::money::Amount;
//! use mpp_edge::purchase::{Next, Purchase, Refusal};
//! use mpp_edge::rail::Payment;
//! use mpp_edge::rail::evm::Asset;
//! use mpp_edge::rail::evm::charge::{Binding, Charge};
//! use mpp_edge::settlement::Verdict;
//! use mpp_edge::time::Timestamp;
//!
//! # let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
//! # let now = Timestamp::from_millis(1_800_000_000_000);
//! # let authorization = Authorization {
//! #     from: key.address(),
//! #     to: Address::repeat_byte(2),
//! #     value: Amount::from_base_units(10_000),
//! #     valid_after: mpp_edge::time::UnixSeconds::new(0),
//! #     valid_before: now.seconds().saturating_add(300),
//! #     nonce: B256::repeat_byte(3),
//! # };
//! # let expires = now.saturating_add(Duration::from_secs(300));
//! # let payment = Payment::Evm(Charge {
//! #     binding: Binding::Challenge { id: "a".into(), expires, binds_nonce: true },
//! #     asset: Asset { chain_id: 1, token: Address::repeat_byte(1) },
//! #     signed: SignedAuthorization { authorization, signature: key.sign(B256::ZERO) },
//! # });
//! // `payment` was read from a credential, and its signature checked.
//! let (mut purchase, next) = Purchase::present(None, payment.clone(), None, now, false)?;
//! assert_eq!(next, Next::Prepare);
//!
//! // It would succeed, is handed to the settlement account, and settled.
//! purchase.submit(Some(91_000));
//! purchase.conclude(Verdict::Settled { transaction: B256::repeat_byte(7) });
//!
//! // The request that presented it calls the origin, and delivers.
//! let (lease, reference) = purchase.hand_over(now, Duration::from_secs(65)).unwrap();
//! assert_eq!(purchase.deliver(lease, now), Ok(reference));
//!
//! // It has bought what it could.
//! assert_eq!(Purchase::present(Some(purchase), payment, None, now, false).unwrap_err(), Refusal::Spent);
//! # Ok::<(), Refusal>(())
//! ```

mod broken;
mod calls;
mod delivery;
mod pace;
mod refusal;
mod reopened;

pub use broken::Broken;
pub use calls::{FREE_FAILURES, MAX_CALLS, REST, Undelivered};
pub use delivery::{Charging, Disposition};
pub use pace::{MOST_AT_ONCE, Record};
pub use refusal::{Lost, Refusal};
pub use reopened::{MAX_REOPENED, Reopened};

use crate::money::Amount;
use crate::rail::{Payment, Reference};
use crate::settlement::{Failure, Verdict};
use crate::time::Timestamp;
use crate::wire::idempotency::Key;
use calls::Calls;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A delivery that the origin broke off is reopened only so long after the first one.
pub const REOPENABLE: Duration = Duration::from_secs(60 * 60);

/// Names one holding of a purchase by one request. Each is larger than those before it, also of purchases
/// with the same nonce that were forgotten since: it begins at the time in milliseconds.
pub type LeaseId = u64;

/// How far a purchase has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        /// What names it on its rail.
        reference: Reference,
    },
    /// The money is ours and the resource was handed out.
    Delivered {
        /// What names it on its rail.
        reference: Reference,
    },
    /// It will never be paid.
    Failed(Failure),
}

/// One charge and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purchase {
    payment: Payment,
    /// When it was presented first.
    presented: Timestamp,
    stage: Stage,
    /// The latest lease.
    lease: LeaseId,
    /// Until when the latest lease is held; `None` when it was released.
    leased_until: Option<Timestamp>,
    /// Those of the origin.
    calls: Calls,
    /// When it was delivered first.
    delivered_at: Option<Timestamp>,
    /// The idempotency key of the request that it pays for.
    key: Option<Key>,
}

/// What must be done next for a presented payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the rail what must be done ([`AnyRail::next`](crate::rail::AnyRail::next)).
    Prepare,
    /// Have it settled, or wait for it. Asking again is asking once.
    Settle {
        /// See [`Stage::Submitted`].
        gas_limit: Option<u64>,
    },
    /// Call the origin and deliver.
    Deliver,
    /// Call the origin again for what was delivered, under the same idempotency key.
    Replay {
        /// What paid for it.
        reference: Reference,
    },
}

impl Purchase {
    /// A charge is presented, with the request's idempotency key. `stored` is what is known under its nonce; `at_work` says
    /// whether this very object is simulating or settling it at the moment. (After a restart it is not, whatever was stored.)
    ///
    /// # Errors
    /// [`Refusal`] when nothing is to be done for it now; the stored state stays as it is.
    pub fn present(
        stored: Option<Self>,
        payment: Payment,
        key: Option<Key>,
        now: Timestamp,
        at_work: bool,
    ) -> Result<(Self, Next), Refusal> {
        let mut purchase = match stored {
            None => Self {
                payment,
                presented: now,
                stage: Stage::Claimed,
                lease: 0,
                leased_until: None,
                calls: Calls::default(),
                delivered_at: None,
                key,
            },
            Some(purchase) if !purchase.payment.is_same(&payment) => return Err(Refusal::OtherChallenge),
            Some(purchase) => purchase,
        };
        if let (Some(known), Some(key)) = (&purchase.key, &key)
            && known.is_taken_by(key)
        {
            return Err(Refusal::KeyOfAnother);
        }
        let next = match &purchase.stage {
            Stage::Delivered { reference } => {
                let reference = reference.clone();
                return purchase.replay(key, reference);
            }
            Stage::Failed(failure) => return Err(Refusal::Failed(*failure)),
            _ if at_work || purchase.is_leased(now) => return Err(Refusal::Busy),
            Stage::Claimed | Stage::Reserved => {
                if let Some(problem) = purchase.payment.untimely(now) {
                    return Err(Refusal::Untimely(problem));
                }
                purchase.stage = Stage::Claimed;
                Next::Prepare
            }
            // Too late for a transaction, but one may have been sent in time.
            Stage::Submitted { .. } if purchase.payment.is_too_late(now) => Next::Settle { gas_limit: None },
            Stage::Submitted { gas_limit } => Next::Settle { gas_limit: *gas_limit },
            Stage::Settled { .. } => Next::Deliver,
        };
        purchase.calls.check(now)?;
        // What will be delivered is what is asked for now.
        purchase.key = key;
        Ok((purchase, next))
    }

    /// It was delivered. Who repeats the request under its key gets the origin asked again.
    fn replay(mut self, key: Option<Key>, reference: Reference) -> Result<(Self, Next), Refusal> {
        if key.is_none() || key != self.key || self.calls.are_used_up() {
            return Err(Refusal::Spent);
        }
        self.calls.begin();
        // Else the lease of the first request, held back until it breaks off, would be released for what its repetition got.
        self.lease = self.lease.saturating_add(1);
        Ok((self, Next::Replay { reference }))
    }

    fn lease(&mut self, now: Timestamp, duration: Duration) -> LeaseId {
        self.calls.begin();
        self.lease = self.lease.saturating_add(1).max(now.millis());
        self.leased_until = Some(now.saturating_add(duration));
        self.lease
    }

    /// The simulation went well, and the origin is to be called first by the request that presented the
    /// charge: it holds the purchase for at most `duration`.
    ///
    /// # Errors
    /// [`Lost`] when the purchase is not [`Stage::Claimed`].
    pub fn reserve(&mut self, now: Timestamp, duration: Duration) -> Result<LeaseId, Lost> {
        match self.stage {
            Stage::Claimed => {
                self.stage = Stage::Reserved;
                Ok(self.lease(now, duration))
            }
            _ => Err(Lost),
        }
    }

    /// The money is there: the request that presented the payment may deliver, for at most `duration`.
    ///
    /// # Errors
    /// [`Lost`] when the purchase is not [`Stage::Settled`].
    pub fn hand_over(&mut self, now: Timestamp, duration: Duration) -> Result<(LeaseId, Reference), Lost> {
        let Stage::Settled { reference } = &self.stage else { return Err(Lost) };
        let reference = reference.clone();
        Ok((self.lease(now, duration), reference))
    }

    /// The money for a [`Purchase::resume`]d purchase is there: the same lease holds it on.
    ///
    /// # Errors
    /// [`Lost`] when it was released meanwhile, or the purchase is not [`Stage::Settled`].
    pub fn hand_back(&mut self, lease: LeaseId, now: Timestamp, duration: Duration) -> Result<Reference, Lost> {
        match &self.stage {
            Stage::Settled { reference } if self.lease == lease => {
                self.leased_until = Some(now.saturating_add(duration));
                Ok(reference.clone())
            }
            _ => Err(Lost),
        }
    }

    fn is_leased(&self, now: Timestamp) -> bool {
        self.leased_until.is_some_and(|until| now < until)
    }

    /// What is paid.
    pub const fn payment(&self) -> &Payment {
        &self.payment
    }

    /// When it was presented first.
    pub const fn presented(&self) -> Timestamp {
        self.presented
    }

    /// How far it has come.
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// It is about to be handed to the settlement account.
    pub fn submit(&mut self, gas_limit: Option<u64>) {
        if let Stage::Claimed | Stage::Reserved = self.stage {
            self.stage = Stage::Submitted { gas_limit };
        }
    }

    /// The origin has answered a reserved purchase, which is to be simulated again and settled.
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

    /// Whether `lease` is the latest and was not released. It may have run out: nobody took over.
    fn holds(&self, lease: LeaseId) -> bool {
        self.lease == lease && self.leased_until.is_some()
    }

    /// The settlement account knows nothing of it, and no request is asking it to: nothing was ever sent.
    pub fn withdraw(&mut self) {
        if let Stage::Submitted { .. } = self.stage {
            self.stage = Stage::Claimed;
        }
    }

    /// The settlement account has reached a verdict. Repeating it is harmless.
    pub fn conclude(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Settled { transaction } => self.settle(transaction.into()),
            Verdict::Failed(failure) if self.is_open() => self.stage = Stage::Failed(failure),
            Verdict::Failed(_) => {}
        }
    }

    /// The money is ours. Repeating it is harmless.
    pub fn settle(&mut self, reference: Reference) {
        if self.is_open() {
            self.stage = Stage::Settled { reference };
        }
    }

    /// The resource is about to be handed out, now or never. Returns what paid for it; again
    /// when the same holder asks again, since the first answer may have been lost.
    ///
    /// # Errors
    /// [`Lost`] when another request has taken over or the money is not there: nothing may be handed out.
    pub fn deliver(&mut self, lease: LeaseId, now: Timestamp) -> Result<Reference, Lost> {
        match &self.stage {
            Stage::Settled { reference } if self.holds(lease) => {
                let reference = reference.clone();
                self.delivered_at.get_or_insert(now);
                self.stage = Stage::Delivered { reference: reference.clone() };
                self.leased_until = None;
                Ok(reference)
            }
            Stage::Delivered { reference } if self.lease == lease => Ok(reference.clone()),
            _ => Err(Lost),
        }
    }

    /// The delivery broke off by the origin's fault: the same credential may fetch again.
    ///
    /// # Errors
    /// [`Lost`] when this lease did not deliver, the origin may not be called any more, or it was delivered first too long ago.
    pub fn reopen(&mut self, lease: LeaseId, now: Timestamp) -> Result<(), Lost> {
        let in_time = self.delivered_at.is_some_and(|first| now.since(first) < REOPENABLE);
        match &self.stage {
            Stage::Delivered { reference } if self.lease == lease && in_time && !self.calls.are_used_up() => {
                self.stage = Stage::Settled { reference: reference.clone() };
                Ok(())
            }
            _ => Err(Lost),
        }
    }

    /// The request that held the lease is done without delivering: the lease is void, also for a
    /// settlement that it has just asked for. Returns what is to be remembered, if anything is.
    pub fn release(mut self, lease: LeaseId, how: Undelivered, now: Timestamp) -> Option<Self> {
        if self.lease != lease || matches!(self.stage, Stage::Delivered { .. }) {
            return Some(self);
        }
        self.lease = self.lease.saturating_add(1);
        self.leased_until = None;
        self.calls.end(how, now);
        match self.stage {
            Stage::Reserved => self.forgo(),
            _ => Some(self),
        }
    }

    /// Nothing was broadcast, and nothing will be. Returns what is to be remembered: nothing when the origin was not called either.
    pub fn forgo(mut self) -> Option<Self> {
        self.stage = Stage::Claimed;
        if self.calls.are_none() { None } else { Some(self) }
    }

    /// What the purchase will still take from the payer's balance, as far as is known. `at_work` as in
    /// [`Purchase::present`].
    pub fn reserves(&self, now: Timestamp, at_work: bool) -> Amount {
        let on_its_way = match self.stage {
            Stage::Claimed => at_work,
            Stage::Reserved => self.is_leased(now),
            Stage::Submitted { .. } => true,
            _ => false,
        };
        if on_its_way { self.payment.amount() } else { Amount::ZERO }
    }

    /// Whether money may still be moved for it.
    pub const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Claimed | Stage::Reserved | Stage::Submitted { .. })
    }

    /// When the purchase may be forgotten: when its credential can neither buy nor resume anything any more.
    pub fn forget_at(&self) -> Timestamp {
        self.payment.resumable_until()
    }
}

#[cfg(test)]
mod tests;
