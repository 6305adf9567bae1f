//! The ledger of one channel as a state machine: [`Channel::step`] takes an event and the time, and gives
//! the next state, an answer and what is to be done.
//!
//! What holds in every state that is not closed, and what the tests try to break:
//!
//! * `settled ≤ delivered ≤ spent ≤ accepted`, and `accepted ≤ deposit` unless the channel is suspended or being closed;
//! * `accepted` and `settled` never fall while the chain does not take back what it showed, `delivered` never
//!   falls, and `spent` falls only by what was booked and is known not to have been delivered;
//! * an event that is repeated changes nothing the second time (a purchase is the same by its attempt);
//! * a voucher that the chain may have shown neither buys nor closes unless its signer's key is shown to be there;
//! * nothing is sold after a settlement has failed, until one succeeds or the chain shows it;
//! * the state is bounded, however many vouchers pass.
//!
//! `spent` is what was booked, before it is delivered. What was booked counts as delivered after the
//! [`Policy::delivery_window`] unless it was released, so that one call per request is enough; what a
//! meter reserves counts as delivered when it is reported.
//!
//! In which order its methods are called:
//!
//! 1. [`Channel::adopt`], once, with what the chain shows of a channel that is not known. It must be watched, and stored, before anything is
//!    sold on it. What a client wants of a channel, known or not, goes through [`Claiming`], which says when to do this.
//! 2. [`Channel::step`] with each [`Event`]. Store the next state, then do the [`Effect`]s in their order, then answer.
//! 3. What was bought ([`Answer::Bought`]) is asked of the origin. What comes of that is an [`Event::Delivery`]; that all went well need not be
//!    said of a fixed price.
//! 4. [`Effect::WakeAt`] is answered by [`Event::Woken`], [`Effect::Submit`] by [`Event::Concluded`], [`Effect::Inspect`] by
//!    [`Event::Observed`].
//!
//! ```
//! use core::time::Duration;
//! use mpp_edge::channel::{Answer, Channel, Event, Expected, Kind, Order, Policy, PresentedVoucher, Refusal, Reuse};
//! use mpp_edge::evm::escrow::{EscrowFacts, OnChain, SignedVoucher};
//! use mpp_edge::evm::{Address, B256, key::PrivateKey, reading::Reading};
//! use mpp_edge::money::Amount;
//! use mpp_edge::rail::evm::Asset;
//! use mpp_edge::time::{Timestamp, UnixSeconds};
//!
//! # let [payer, payee, token, escrow] = [1, 2, 3, 4].map(Address::repeat_byte);
//! # let (id, separator) = (B256::repeat_byte(5), B256::repeat_byte(6));
//! # let now = Timestamp::from_millis(1_800_000_000_000);
//! # let amount = Amount::from_base_units;
//! # let policy = Policy {
//! #     settle_amount: amount(1_000_000),
//! #     settle_after: Duration::from_secs(3600),
//! #     settle_minimum: amount(0),
//! #     close_idle: Duration::from_secs(86_400),
//! #     delivery_window: Duration::from_secs(65),
//! #     min_delta: amount(0),
//! # };
//! # let on_chain = OnChain {
//! #     finalized: false,
//! #     close_requested_at: UnixSeconds::new(0),
//! #     payer,
//! #     payee,
//! #     token,
//! #     authorized_signer: Address::ZERO,
//! #     deposit: amount(50_000),
//! #     settled: amount(0),
//! # };
//! # let facts = EscrowFacts { grace_period: Duration::from_secs(900), separator };
//! # let expected = Expected { escrow, separator, payee, asset: Asset { chain_id: 1, token }, price: amount(10_000) };
//! # let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
//! // A channel with a deposit of 50 000, as the chain shows it.
//! let reading = Reading { block: 9, on_chain, signer_has_code: false };
//! let channel = Channel::adopt(id, &reading, &facts, &expected, now).unwrap();
//!
//! // A voucher for 20 000, whose signature was checked, buys a request that costs 10 000, twice; each is an attempt of its own.
//! let voucher = SignedVoucher { cumulative: amount(20_000), signature: key.sign(B256::ZERO) };
//! let presented = PresentedVoucher { voucher, signer: payer, source: None, fresh: false };
//! let order = |attempt| Order {
//!     price: amount(10_000),
//!     least: 1,
//!     most: 1,
//!     kind: Kind::Request,
//!     reuse: Reuse::DrawDown,
//!     key: None,
//!     attempt,
//!     since: 0,
//! };
//! let (channel, first) = channel.step(Event::Voucher(presented, Some(order(1))), &policy, now);
//! assert!(matches!(first.answer, Ok(Answer::Bought(bought)) if bought.units == 1));
//! let (channel, _) = channel.step(Event::Voucher(presented, Some(order(2))), &policy, now);
//! let (channel, third) = channel.step(Event::Voucher(presented, Some(order(3))), &policy, now);
//! assert_eq!(third.answer, Err(Refusal::Insufficient));
//! assert_eq!(channel.balance(amount(10_000), Reuse::DrawDown, &policy).required, amount(30_000));
//! ```

mod action;
mod additions;
mod attempts;
mod bookings;
mod breaks;
mod chain;
mod claim;
mod claiming;
mod evidence;
mod foresight;
mod gate;
mod held;
mod idempotency;
mod meter;
mod metered;
mod purchase;
mod refusal;
mod sales;
mod setbacks;
mod settling;
mod used;

pub use crate::wire::idempotency::Key;
pub use action::{Action, is_bare};
pub use additions::{Addition, Additions, Told};
pub use attempts::InFlight;
pub use chain::{Expected, Unfit};
pub use claim::{Claim, Proof, SponsoredDeposit};
pub use claiming::{Claiming, Denied, Found, Rules, Task};
pub use evidence::{Said, check_transaction};
pub use gate::{EventGate, Missing, Passage};
pub use meter::{Meter, Releasable};
pub use metered::{Counted, Fixed, Head, Metering, Next, PIECE, REPORT, Stop, Waiting};
pub use purchase::{Bought, Kind, Order, PresentedVoucher, Reuse};
pub use refusal::Refusal;
pub use sales::{Drawn, SILENCE};
pub use settling::{CollectBy, Collection};

use crate::evm::escrow::SignedVoucher;
use crate::evm::reading::Reading;
use crate::evm::{Address, B256};
use crate::money::Amount;
use crate::rail::evm::Asset;
use crate::settlement::Verdict;
use crate::time::Timestamp;
use alloc::vec::Vec;
use attempts::Attempts;
use bookings::Bookings;
use breaks::Breaks;
use core::time::Duration;
use held::Held;
use idempotency::Keys;
use sales::Sales;
use serde::{Deserialize, Serialize};
use setbacks::Setbacks;
use used::Used;

/// When money is brought onto the chain, and what a voucher must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Settle when what is delivered and not settled reaches this.
    pub settle_amount: Amount,
    /// Settle when the oldest of it is older than this.
    pub settle_after: Duration,
    /// For its age alone nothing is settled or closed that brings less than this.
    pub settle_minimum: Amount,
    /// Close a channel that was not used for this long.
    pub close_idle: Duration,
    /// What was booked counts as delivered after this unless it was released.
    pub delivery_window: Duration,
    /// The least by which a voucher must raise the total.
    pub min_delta: Amount,
}

/// Where a channel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// It can be used.
    Open,
    /// The chain does not show any more what was relied on: a reorganisation took the opening or an addition
    /// back, or an end that is not deep yet was seen. Or its signer is an account with code now, which the escrow asks
    /// instead of checking a signature. It can be used again when that has passed.
    Suspended,
    /// It is being closed, or the payer has asked for it on chain: it buys nothing any more.
    Closing(CloseReason),
    /// It is finalized on chain.
    Closed {
        /// The transaction that closed it, when it was ours.
        transaction: Option<B256>,
    },
}

/// Why a channel is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CloseReason {
    /// The payer has asked the gateway.
    Asked,
    /// The payer has asked the escrow: the grace period runs.
    Requested,
    /// It was not used for long.
    Idle,
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    id: B256,
    escrow: Address,
    payee: Address,
    asset: Asset,
    payer: Address,
    signer: Address,
    /// The latest block in which it was seen, and when that was.
    seen: (u64, Timestamp),
    status: Status,
    /// It is suspended for this alone: what was sold is settled at once, as far as the code of its signer lets it be.
    signer_has_code: bool,
    deposit: Amount,
    settled: Amount,
    accepted: Amount,
    spent: Amount,
    /// The highest total of which a voucher was ever handed out to be put on chain, or that the chain shows: who has read it there
    /// can present it.
    published: Option<Amount>,
    held: Held,
    /// What the payer's own close asks to be taken at the least.
    asked: Amount,
    used: Used,
    bookings: Bookings,
    breaks: Breaks,
    sales: Sales,
    keys: Keys,
    attempts: Attempts,
    collection: Option<Collection>,
    epoch: u32,
    /// Not before this is a failed collection tried again.
    retry_at: Option<Timestamp>,
    setbacks: Setbacks,
    /// The payer has asked the escrow for the end, whatever it has asked the gateway for: the grace period runs.
    requested: bool,
    /// Since when something is booked that is not settled.
    unsettled_since: Option<Timestamp>,
    last_used: Timestamp,
    /// When the object is woken.
    wake_at: Option<Timestamp>,
}

/// What happens to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A voucher came, alone or to buy something with.
    Voucher(PresentedVoucher, Option<Order>),
    /// The payer asks for the end, with a last voucher.
    Close(PresentedVoucher),
    /// What is told of the delivery of something that was bought.
    Delivery(Delivery),
    /// What the escrow says.
    Observed(Reading),
    /// The alarm went off.
    Woken,
    /// The collection that was submitted has ended.
    Concluded(Collection, Verdict),
}

/// What is told of the delivery of something that was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Delivery {
    /// What was booked was not delivered: it is released, once.
    Release {
        /// The booking.
        booking: u64,
        /// What it cost.
        amount: Amount,
        /// The voucher that bought it, which may buy again.
        voucher: Amount,
        /// Some of it had gone out to the client.
        begun: bool,
    },
    /// What an attempt was to buy is not wanted any more, since its answer was lost: it is released, if it has bought.
    Cancel {
        /// The attempt.
        attempt: u64,
        /// How it was charged.
        kind: Kind,
        /// Per unit.
        price: Amount,
        /// The voucher that was to buy it, which may buy again.
        voucher: Amount,
    },
    /// A metered sale needs more units.
    Draw {
        /// The sale.
        sale: u64,
        /// All units delivered so far.
        delivered: u64,
        /// All units it knows to be reserved.
        reserved: u64,
        /// Units wanted besides those; none only reports.
        wanted: u64,
    },
    /// A metered sale is over: what it has reserved and not delivered is released.
    End {
        /// The sale.
        sale: u64,
        /// All units delivered.
        delivered: u64,
        /// It broke off: some of it had gone out, though nobody can say how many units.
        begun: bool,
    },
}

/// What the one who brought the event is told, besides the [`Balance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, or nothing to do.
    Noted,
    /// The reading is of an earlier block than another one, and changes nothing.
    Behind,
    /// The voucher holds; what it bought.
    Bought(Bought),
    /// What a metered sale got.
    Drawn(Drawn),
    /// The channel is closed by this transaction.
    Closed(B256),
    /// The channel is being closed; the [`Effect`] says how.
    Closing,
}

/// What is to be done, after the state is persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Set the alarm, which was later or not set.
    WakeAt(Timestamp),
    /// Have this brought onto the chain, and tell how it ended.
    Submit(Collection),
    /// Ask the escrow about the channel, and tell what it says.
    Inspect,
}

/// The counters of a channel, all in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// The highest voucher.
    pub accepted: Amount,
    /// What was booked.
    pub spent: Amount,
    /// What was deposited.
    pub deposit: Amount,
    /// The least total that a next voucher must allow to buy one more thing at the last price asked for.
    pub required: Amount,
}

/// What a step gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For the one who brought the event.
    pub answer: Result<Answer, Refusal>,
    /// In this order.
    pub effects: Vec<Effect>,
}

impl Channel {
    /// The next state, and what comes of it.
    pub fn step(mut self, event: Event, policy: &Policy, now: Timestamp) -> (Self, Outcome) {
        self = self.matured(now);
        let asks = matches!(event, Event::Woken | Event::Close(_));
        // Who may be anybody is shown what is under way, and begins nothing.
        let begins = match &event {
            Event::Woken => true,
            Event::Close(presented) => self.is_proof(presented),
            _ => false,
        };
        let mut effects = Vec::new();
        let answer = match event {
            Event::Voucher(presented, order) => self.present(&presented, order.as_ref(), policy, now),
            Event::Close(presented) => self.ask_to_close(&presented, now),
            Event::Delivery(delivery) => self.deliver(delivery, now),
            Event::Observed(reading) => self.observe(&reading, now),
            Event::Woken => {
                self.wake_at = None;
                Ok(Answer::Noted)
            }
            Event::Concluded(collection, verdict) => self.conclude(&collection, verdict, now),
        };
        // Who is refused moves nothing.
        if begins && answer.is_ok() {
            self.begin_what_is_due(policy, now, &mut effects);
        }
        if asks && answer.is_ok() {
            effects.extend(self.collection.map(Effect::Submit));
        }
        self.set_alarm(policy, now, &mut effects);
        (self, Outcome { answer, effects })
    }

    /// What time alone has made of it by `now`, which every step begins with.
    pub fn matured(mut self, now: Timestamp) -> Self {
        self.bookings.mature(now);
        self.sales.mature(now);
        self
    }

    fn deliver(&mut self, delivery: Delivery, now: Timestamp) -> Result<Answer, Refusal> {
        match delivery {
            Delivery::Release { booking, amount, voucher, begun } => self.release(booking, amount, voucher, begun, now),
            Delivery::Cancel { attempt, kind, price, voucher } => self.cancel(attempt, kind, price, voucher, now),
            Delivery::Draw { sale, delivered, reserved, wanted } => self.draw(sale, delivered, reserved, wanted, now),
            Delivery::End { sale, delivered, begun } => self.end(sale, delivered, begun, now),
        }
    }

    /// The channel's id.
    pub const fn id(&self) -> B256 {
        self.id
    }

    /// Its escrow.
    pub const fn escrow(&self) -> Address {
        self.escrow
    }

    /// What it pays in.
    pub const fn asset(&self) -> Asset {
        self.asset
    }

    /// Who is paid.
    pub const fn payee(&self) -> Address {
        self.payee
    }

    /// Who deposited, and gets the rest back.
    pub const fn payer(&self) -> Address {
        self.payer
    }

    /// Who signs its vouchers.
    pub const fn signer(&self) -> Address {
        self.signer
    }

    /// Where it stands.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// What was deposited.
    pub const fn deposit(&self) -> Amount {
        self.deposit
    }

    /// What was settled on chain.
    pub const fn settled(&self) -> Amount {
        self.settled
    }

    /// The highest total of which the chain may have shown a voucher.
    pub const fn published(&self) -> Option<Amount> {
        self.published
    }

    /// Settlements that failed in a row; nothing is sold while there are any.
    pub const fn failures(&self) -> u8 {
        self.setbacks.failures
    }

    /// Settlements that were mined and reverted since one has succeeded.
    pub const fn reverts(&self) -> u8 {
        self.setbacks.reverts
    }

    /// What of the booked was delivered.
    pub fn delivered(&self) -> Amount {
        self.spent.saturating_sub(self.bookings.pending()).saturating_sub(self.sales.pending())
    }

    /// How it was closed, if it is: by this transaction, or not by us.
    pub const fn closed(&self) -> Option<Result<B256, Refusal>> {
        match self.status {
            Status::Closed { transaction: Some(transaction) } => Some(Ok(transaction)),
            Status::Closed { transaction: None } => Some(Err(Refusal::Closed)),
            Status::Open | Status::Suspended | Status::Closing(_) => None,
        }
    }

    /// Its best voucher.
    pub fn best(&self) -> Option<SignedVoucher> {
        self.held.best()
    }

    /// The counters, and what a next voucher must allow at `price`.
    pub fn balance(&self, price: Amount, reuse: Reuse, policy: &Policy) -> Balance {
        Balance { accepted: self.accepted, spent: self.spent, deposit: self.deposit, required: self.required(price, reuse, policy) }
    }

    /// Whether those who wait for its balance, or for the end of its collection, want to know of this change.
    pub fn is_other_for_waiters(&self, next: &Self) -> bool {
        let news = |channel: &Self| (channel.accepted, channel.spent, channel.status, channel.collection);
        news(self) != news(next)
    }

    fn available(&self) -> Amount {
        self.accepted.saturating_sub(self.spent)
    }
}
