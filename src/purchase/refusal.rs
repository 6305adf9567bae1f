//! Why a payment is not worked on, and what the client is told.

use crate::settlement::Failure;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::format;
use core::fmt;
use core::time::Duration;

/// Why a presented charge is not worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another request is working on it.
    Busy,
    /// It bought something already.
    Spent,
    /// The origin was called for it as often as it may be.
    UsedUp,
    /// The origin has failed it often: it is called again after this long.
    Resting(Duration),
    /// Its idempotency key was used for another request.
    KeyOfAnother,
    /// The authorization belongs to another challenge.
    OtherChallenge,
    /// It never became a payment.
    Failed(Failure),
    /// It comes too late or too early to be begun.
    Untimely(Problem),
}

/// The caller no longer holds the lease, or the payment is not at the stage it believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another request has taken this payment over")
    }
}

impl core::error::Error for Lost {}

impl Lost {
    /// The answer to the client.
    pub fn into_problem(self) -> Problem {
        Problem::unavailable(&format!("{self}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.clone().into_problem().detail)
    }
}

impl core::error::Error for Refusal {}

impl Refusal {
    /// The answer to the client.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Busy => Problem::unavailable("another request is working on this payment"),
            Self::Spent => {
                Problem::new(ProblemKind::Spent, "the credential has bought what it pays for; ask again without it for a fresh challenge")
            }
            Self::UsedUp => Problem::new(
                ProblemKind::Spent,
                "the credential is used up: the origin was called for it as often as it may be; ask again without it for a fresh challenge",
            ),
            Self::Resting(rest) => Problem {
                retry_after: Some(u32::try_from(rest.as_secs()).unwrap_or(u32::MAX).saturating_add(1)),
                ..Problem::unavailable("the origin has failed this payment many times, and is given a rest")
            },
            Self::KeyOfAnother => {
                Problem::new(ProblemKind::BadRequest, "Idempotency-Key: was used for another request; choose another key")
            }
            Self::OtherChallenge => Problem::new(
                ProblemKind::InvalidChallenge,
                "payload.nonce: the authorization was presented for something else before; sign one with another nonce",
            ),
            Self::Failed(failure) => failure.problem(),
            Self::Untimely(problem) => problem,
        }
    }
}
