//! The settlement account's outbox: what it has to bring onto the chain, as a state machine; and the channels it
//! keeps an eye on.

mod batch;
mod gas;
mod operation;
mod outbox;
mod purpose;
mod scan;
mod sweep;
mod watched;

pub use batch::{Batching, batches};
pub use gas::{Flaw, Tried};
pub use operation::{Attempt, Ending, Operation, Search};
pub use outbox::{AccountView, Effect, Outbox, Receipts};
pub use purpose::{Purpose, SearchPlan, Transfer};
pub use scan::{Fresh, Heard, Scan};
pub use sweep::{Compared, Comparison, Sweep};
pub use watched::Watched;

use crate::evm::B256;
use crate::wire::problem::{Problem, ProblemKind};
use core::fmt;
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
    /// Something else has come in its way: the authorization was cancelled, or used for something else than this
    /// payment; the channel ended with less than its voucher.
    UsedElsewhere,
    /// No node or no block would take its transaction, and its nonce was given up.
    NotMined,
    /// It would revert, and was not sent: no gas was lost.
    Refused,
    /// The provider of the rail declined it.
    Declined,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem().detail)
    }
}

impl core::error::Error for Failure {}

impl Failure {
    /// The answer to the payer of a charge.
    pub fn problem(self) -> Problem {
        match self {
            Self::Reverted | Self::Refused => Problem::new(
                ProblemKind::VerificationFailed,
                "the token reverted the transfer, and nothing was paid; check the payer's balance, then sign a new authorization",
            ),
            Self::Expired => Problem::new(
                ProblemKind::PaymentExpired,
                "payload.validBefore: the authorization expired before its transfer was mined, and nothing was paid; sign a new one",
            ),
            Self::UsedElsewhere => Problem::new(
                ProblemKind::VerificationFailed,
                "payload.nonce: the authorization was cancelled, or used for something else than this payment; sign a new one",
            ),
            Self::NotMined => Problem::new(
                ProblemKind::VerificationFailed,
                "the chain did not take the transfer, and nothing was paid; sign a new authorization",
            ),
            Self::Declined => {
                Problem::new(ProblemKind::VerificationFailed, "the payment was declined, and nothing was paid; pay by another one")
            }
        }
    }

    /// The answer to the client of a channel.
    pub fn session_problem(self) -> Problem {
        let detail = match self {
            Self::Reverted | Self::Refused | Self::Declined => {
                "the escrow or the token reverted the opening or the addition, and nothing was taken; check the payer's balance, then sign anew"
            }
            Self::Expired => {
                "payload.authorization.validBefore: the authorization expired before its transaction was mined, and nothing was taken; sign anew"
            }
            Self::UsedElsewhere => {
                "payload.authorization.nonce: the authorization was cancelled or used for something else, or the channel has ended; look at the chain"
            }
            Self::NotMined => "the chain did not take the transaction, and nothing was taken; sign anew",
        };
        Problem::new(ProblemKind::TransactionReverted, detail)
    }
}
