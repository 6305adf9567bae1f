//! The settlement account's outbox: what it has to bring onto the chain, as a state machine.

mod operation;
mod outbox;

pub use operation::{Attempt, Ending, Operation, Purpose, Search, Transfer};
pub use outbox::{AccountView, Effect, Outbox, Receipts, poll_delay};

use crate::evm::B256;
use crate::protocol::problem::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It took effect, in this transaction.
    Settled {
        /// Its hash; not necessarily one of ours.
        transaction: B256,
    },
    /// It did not and will not take effect.
    Failed(Failure),
}

/// Why an operation will never take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    /// The transaction was mined and reverted.
    Reverted,
    /// Its time was over before a transaction was mined.
    Expired,
    /// The authorization was cancelled, or used for something else than this payment.
    UsedElsewhere,
}

impl Failure {
    /// The answer to the payer.
    pub fn problem(self) -> Problem {
        match self {
            Self::Reverted => Problem::new(ProblemKind::VerificationFailed, "the transfer was reverted by the token; nothing was paid"),
            Self::Expired => {
                Problem::new(ProblemKind::PaymentExpired, "the authorization expired before the transfer was mined; nothing was paid")
            }
            Self::UsedElsewhere => {
                Problem::new(ProblemKind::VerificationFailed, "payload.nonce: the authorization was cancelled or used for something else")
            }
        }
    }
}
