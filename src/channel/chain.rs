//! What the chain says of a channel: whether it can be taken on, and what has changed.

use super::attempts::Attempts;
use super::bookings::Bookings;
use super::breaks::Breaks;
use super::held::Held;
use super::idempotency::Keys;
use super::sales::Sales;
use super::setbacks::{RETRY, Setbacks};
use super::used::Used;
use super::{Answer, Channel, CloseReason, Refusal, Status};
use crate::evm::escrow::{EscrowFacts, MIN_GRACE_PERIOD};
use crate::evm::reading::Reading;
use crate::evm::{Address, B256};
use crate::money::Amount;
use crate::rail::evm::Asset;
use crate::time::{Timestamp, UnixSeconds};
use crate::wire::problem::{Problem, ProblemKind};
use core::fmt;
use core::time::Duration;

/// A node that lags behind another must not undo what that one has shown. One that lags for longer is right: the other has told
/// of a block that never was, or the chain was begun anew.
const LAG: Duration = Duration::from_secs(300);

/// What a channel must be to be taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The escrow's contract.
    pub escrow: Address,
    /// The separator of the domain in which its vouchers are signed.
    pub separator: B256,
    /// Who is paid.
    pub payee: Address,
    /// In what.
    pub asset: Asset,
    /// The least that must be left of the deposit.
    pub price: Amount,
}

/// Why a channel is not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is no such channel.
    Absent,
    /// It is closed.
    Finalized,
    /// The payer has asked the escrow to close it.
    CloseRequested,
    /// It pays somebody else.
    OtherPayee,
    /// It pays in something else.
    OtherToken,
    /// Not even one thing can be bought with what is left.
    TooSmall,
    /// Its signer is an account with code.
    SignerHasCode,
    /// The escrow gives the payee too little time.
    GracePeriod,
    /// The escrow's vouchers are signed in another domain.
    OtherDomain,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misfit = match self {
            Self::GracePeriod => "the escrow gives the payee too little time after a request to close",
            _ => "the escrow's vouchers are signed in another EIP-712 domain",
        };
        f.write_str(self.problem().as_ref().map_or(misfit, |problem| &problem.detail))
    }
}

impl core::error::Error for Unfit {}

impl Unfit {
    /// The answer to the client; `None` when it is the configuration that is wrong.
    pub fn problem(self) -> Option<Problem> {
        let failed = |detail| Some(Problem::new(ProblemKind::VerificationFailed, detail));
        match self {
            Self::Absent => Some(Problem::new(ProblemKind::ChannelNotFound, "payload.channelId: the escrow has no such channel; open one")),
            Self::Finalized => Some(Refusal::Closed.problem()),
            Self::CloseRequested => Some(Refusal::Closing.problem()),
            Self::OtherPayee => {
                failed("payload.channelId: the channel pays somebody else than the challenge's recipient; open one that pays it")
            }
            Self::OtherToken => {
                failed("payload.channelId: the channel pays in another token than the challenge's currency; open one in that")
            }
            Self::SignerHasCode => Some(Refusal::SignerHasCode.problem()),
            Self::TooSmall => Some(Problem::new(
                ProblemKind::InsufficientBalance,
                "payload.channelId: what is left of the channel's deposit does not pay for one unit; top it up, or open another",
            )),
            Self::GracePeriod | Self::OtherDomain => None,
        }
    }
}

impl EscrowFacts {
    /// Whether the escrow can be relied on, for vouchers signed in the domain with this separator.
    ///
    /// # Errors
    /// [`Unfit::GracePeriod`], [`Unfit::OtherDomain`].
    pub fn check(&self, separator: B256) -> Result<(), Unfit> {
        if self.grace_period < MIN_GRACE_PERIOD {
            return Err(Unfit::GracePeriod);
        }
        if self.separator != separator {
            return Err(Unfit::OtherDomain);
        }
        Ok(())
    }
}

impl Channel {
    /// Takes a channel on as the chain shows it. What is settled was sold before, here or elsewhere.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn adopt(id: B256, reading: &Reading, facts: &EscrowFacts, expected: &Expected, now: Timestamp) -> Result<Self, Unfit> {
        facts.check(expected.separator)?;
        Self::take_on(id, reading, expected, now)
    }

    /// As [`Channel::adopt`], where the escrow is relied on.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn take_on(id: B256, reading: &Reading, expected: &Expected, now: Timestamp) -> Result<Self, Unfit> {
        let on_chain = &reading.on_chain;
        // A finalized channel may read as zero in everything else.
        if on_chain.finalized {
            return Err(Unfit::Finalized);
        }
        if on_chain.payer == Address::ZERO {
            return Err(Unfit::Absent);
        }
        if on_chain.payee != expected.payee {
            return Err(Unfit::OtherPayee);
        }
        if on_chain.token != expected.asset.token {
            return Err(Unfit::OtherToken);
        }
        if on_chain.close_requested_at != UnixSeconds::new(0) {
            return Err(Unfit::CloseRequested);
        }
        if reading.signer_has_code {
            return Err(Unfit::SignerHasCode);
        }
        if on_chain.deposit.saturating_sub(on_chain.settled) < expected.price {
            return Err(Unfit::TooSmall);
        }
        let settled = on_chain.settled;
        Ok(Self {
            id,
            escrow: expected.escrow,
            payee: on_chain.payee,
            asset: expected.asset,
            payer: on_chain.payer,
            signer: on_chain.signer(),
            seen: (reading.block, now),
            status: Status::Open,
            signer_has_code: false,
            deposit: on_chain.deposit,
            settled,
            accepted: settled,
            spent: settled,
            published: (settled > Amount::ZERO).then_some(settled),
            held: Held::default(),
            asked: Amount::ZERO,
            used: Used::up_to(settled),
            bookings: Bookings::default(),
            breaks: Breaks::default(),
            sales: Sales::default(),
            keys: Keys::default(),
            attempts: Attempts::default(),
            collection: None,
            epoch: 0,
            retry_at: None,
            setbacks: Setbacks::default(),
            requested: false,
            unsettled_since: None,
            last_used: now,
            wake_at: None,
        })
    }

    /// Whether it pays this payee in this token; it was perhaps taken on under an earlier configuration.
    ///
    /// # Errors
    /// [`Refusal::Outdated`].
    pub fn check_payee(&self, payee: Address, asset: Asset) -> Result<(), Refusal> {
        if (self.payee, self.asset) == (payee, asset) { Ok(()) } else { Err(Refusal::Outdated) }
    }

    pub(super) fn observe(&mut self, reading: &Reading, now: Timestamp) -> Result<Answer, Refusal> {
        let Reading { block, on_chain, signer_has_code } = reading;
        let (highest, at) = self.seen;
        if *block < highest && now.since(at) < LAG {
            return Ok(Answer::Behind);
        }
        self.seen = (*block, now);
        if let Status::Closed { .. } = self.status {
            return Ok(Answer::Noted);
        }
        if on_chain.finalized {
            if !self.is_being_closed_by_us() {
                self.close(None);
            }
            return Ok(Answer::Noted);
        }
        if on_chain.settled > self.settled {
            self.settle_up_to(on_chain.settled, now);
        } else if on_chain.settled < self.settled {
            // A reorganisation took a settlement back: it must be made again, as another collection.
            self.settled = on_chain.settled;
            self.epoch = self.epoch.saturating_add(1);
            self.unsettled_since.get_or_insert(now);
            // Or it is so young that this reading did not show it yet: it is looked at once more before.
            self.retry_at = Some(now.saturating_add(RETRY));
        }
        if self.deposit != on_chain.deposit {
            self.setbacks.look_again();
        }
        self.deposit = on_chain.deposit;
        let shown = on_chain.payer == self.payer && self.accepted <= self.deposit;
        if self.signer_has_code && !signer_has_code {
            // What stood in the way of a settlement is gone.
            self.retry_at = None;
        }
        self.signer_has_code = shown && *signer_has_code;
        let was_requested = core::mem::replace(&mut self.requested, on_chain.close_requested_at != UnixSeconds::new(0));
        let requested = self.requested;
        match self.status {
            Status::Open | Status::Suspended if requested => self.begin_closing(CloseReason::Requested, now),
            // The payer has added to the deposit, which takes the request back.
            Status::Closing(CloseReason::Requested) if !requested && self.collection.is_none() => self.show(shown),
            Status::Open | Status::Suspended => self.show(shown),
            // What was put off for its failures must be there before the grace period ends.
            Status::Closing(_) if requested && !was_requested => self.hurry(),
            Status::Closing(_) | Status::Closed { .. } => {}
        }
        Ok(Answer::Noted)
    }

    const fn show(&mut self, shown: bool) {
        self.status = if shown && !self.signer_has_code { Status::Open } else { Status::Suspended };
    }

    /// The chain shows this much as settled. What exceeds our own count was sold elsewhere with the payer's voucher.
    pub(super) fn settle_up_to(&mut self, settled: Amount, now: Timestamp) {
        self.settled = self.settled.max(settled);
        self.published = self.published.max(Some(settled));
        self.setbacks.recover(matches!(self.status, Status::Closing(_)));
        if self.settled > self.delivered() {
            self.bookings.mature_all();
            self.sales.mature_all();
            self.spent = self.spent.max(self.settled);
            self.accepted = self.accepted.max(self.spent);
        }
        self.unsettled_since = (self.spent > self.settled).then_some(now);
    }

    /// It is over: nothing of it is needed any more but that it is.
    pub(super) fn close(&mut self, transaction: Option<B256>) {
        self.status = Status::Closed { transaction };
        self.collection = None;
        self.retry_at = None;
        self.setbacks = Setbacks::default();
        self.requested = false;
        self.unsettled_since = None;
        self.published = None;
        self.asked = Amount::ZERO;
        self.held.keep_best();
        self.used = Used::up_to(self.accepted);
        self.bookings.mature_all();
        self.sales.mature_all();
        self.breaks.clear();
        self.keys.clear();
        self.attempts.clear();
    }
}
