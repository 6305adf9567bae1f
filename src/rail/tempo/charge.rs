//! A payment whose proof is right as far as it can be told offline, as it is stored.

use super::failed;
use super::memo::Bound;
use super::sponsor::{Sponsored, budget_of};
use super::transaction::Sealed;
use super::transfers::Dues;
use crate::evm::{Address, B256, ChainId};
use crate::money::Amount;
use crate::time::{Timestamp, UnixSeconds};
use crate::wire::problem::{Problem, ProblemKind};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// How long after its challenge's expiry a credential may still resume a payment that was begun in time.
pub const RESUMABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is sent with less time left might be too late for a block: nodes do not take it in the last three seconds.
const MIN_VALIDITY: Duration = Duration::from_secs(5);

/// What is sponsored needs more time than this, and has less than that: a payer who could hold it back could have it fail at our cost.
const MIN_SPONSORED: Duration = Duration::from_secs(15);
const MOST_SPONSORED: Duration = Duration::from_secs(15 * 60);

/// It may end so long after its challenge.
const SPONSORED_AFTER: Duration = Duration::from_secs(60);

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// The id of the challenge that it answers.
    pub challenge: String,
    /// When that expires.
    pub expires: Timestamp,
    /// What its memo says of that.
    pub bound: Bound,
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// Who pays.
    pub payer: Address,
    /// What proves it.
    pub evidence: Evidence,
}

/// What proves a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Evidence {
    /// A transaction that is to be sent (pull).
    Transaction {
        /// What it transfers.
        dues: Dues,
        /// The memo of the primary transfer.
        memo: B256,
        /// As it is sent, with our signature where it is sponsored.
        sealed: Sealed,
        /// It is in a block before this time, or never.
        valid_before: UnixSeconds,
        /// It is in a block after this time.
        valid_after: UnixSeconds,
        /// Where we pay its fees.
        sponsored: Option<Sponsored>,
    },
    /// A transaction that was sent (push).
    Hash {
        /// What it should have transferred.
        dues: Dues,
        /// Its hash.
        hash: B256,
    },
    /// Nothing was asked for but who it is.
    Identity {
        /// What would have been paid in.
        token: Address,
    },
}

impl Charge {
    /// What is paid in.
    pub const fn token(&self) -> Address {
        match &self.evidence {
            Evidence::Transaction { dues, .. } | Evidence::Hash { dues, .. } => dues.token,
            Evidence::Identity { token } => *token,
        }
    }

    /// What it takes from the payer.
    pub fn amount(&self) -> Amount {
        match &self.evidence {
            Evidence::Transaction { dues, .. } | Evidence::Hash { dues, .. } => dues.total(),
            Evidence::Identity { .. } => Amount::ZERO,
        }
    }

    /// The object of its payer.
    pub fn holder(&self) -> String {
        format!("tempo:{}:{}:{}", self.chain_id, self.token(), self.payer)
    }

    /// What all proofs of it have in common, however often it is signed, sponsored, sent or shown.
    pub fn id(&self) -> B256 {
        self.bound.id()
    }

    /// The transaction that pays, where one does.
    pub const fn transaction(&self) -> Option<B256> {
        match &self.evidence {
            Evidence::Transaction { sealed, .. } => Some(sealed.hash),
            Evidence::Hash { hash, .. } => Some(*hash),
            Evidence::Identity { .. } => None,
        }
    }

    /// Whether it is a transaction that we send. Of what was sent already nothing is on its way from the payer any more, and who shows a hash
    /// has not proved to be the payer: he must not stand in the payer's way.
    pub const fn is_sent_by_us(&self) -> bool {
        matches!(self.evidence, Evidence::Transaction { .. })
    }

    /// What a sponsor has promised for it before it was sent: the object that keeps the promise, and the transaction.
    pub fn promised(&self) -> Option<(String, B256)> {
        match &self.evidence {
            Evidence::Transaction { sealed, sponsored: Some(sponsored), .. } => {
                Some((budget_of(self.chain_id, sponsored.sponsor), sealed.hash))
            }
            _ => None,
        }
    }

    /// Whether both are the same payment. Who shows a hash must show the one that is known, since anybody can read one off the chain;
    /// a signature is the payer's own.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_signed = |charge: &Self| !matches!(charge.evidence, Evidence::Hash { .. });
        self.challenge == other.challenge
            && (self.chain_id, self.token(), self.payer, self.amount()) == (other.chain_id, other.token(), other.payer, other.amount())
            && (self.transaction() == other.transaction() || (is_signed(self) && is_signed(other)))
    }

    /// Until when it may be resumed once it was begun in time.
    pub fn resumable_until(&self) -> Timestamp {
        self.expires.saturating_add(RESUMABLE)
    }

    /// Whether what is sent now might be too late for a block.
    pub fn is_too_late(&self, now: Timestamp) -> bool {
        match &self.evidence {
            Evidence::Transaction { valid_before, .. } => now.saturating_add(MIN_VALIDITY) >= valid_before.timestamp(),
            Evidence::Hash { .. } | Evidence::Identity { .. } => false,
        }
    }

    /// Why it must not be begun now, if so. One that was begun in time is finished all the same.
    pub fn untimely(&self, now: Timestamp) -> Option<Problem> {
        if now >= self.expires {
            return Some(Problem::challenge_expired());
        }
        let Evidence::Transaction { valid_before, valid_after, sponsored, .. } = &self.evidence else { return None };
        let (end, is_sponsored) = (valid_before.timestamp(), sponsored.is_some());
        if self.is_too_late(now) || (is_sponsored && now.saturating_add(MIN_SPONSORED) > end) {
            let detail = "payload.signature: the transaction's validBefore is too soon to send it; sign one that is valid for longer";
            return Some(Problem::new(ProblemKind::PaymentExpired, detail));
        }
        if is_sponsored && end > self.expires.saturating_add(SPONSORED_AFTER).min(now.saturating_add(MOST_SPONSORED)) {
            return Some(failed(
                "payload.signature: the transaction's validBefore must be within 15 minutes, and a minute of the challenge's expiry, for its fees to be paid",
            ));
        }
        if end > self.expires.saturating_add(RESUMABLE) {
            return Some(failed("payload.signature: the transaction's validBefore must be within a day of the challenge's expiry"));
        }
        if *valid_after >= now.seconds() {
            return Some(failed("payload.signature: the transaction's validAfter is not past; sign one that is valid now"));
        }
        None
    }
}
