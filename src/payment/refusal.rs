//! Why a payment is not worked on, and what the client is told.

use crate::protocol::problem::{Problem, ProblemKind};
use crate::settlement::Failure;

/// Why a presented charge is not worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another request is working on it.
    Busy,
    /// It bought something already.
    Spent,
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

impl Lost {
    /// The answer to the client.
    pub fn into_problem(self) -> Problem {
        Problem::unavailable("another request has taken this payment over")
    }
}

impl Refusal {
    /// The answer to the client.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Busy => Problem::unavailable("this payment is being worked on"),
            Self::Spent => Problem::new(ProblemKind::InvalidChallenge, "the credential has been used"),
            Self::OtherChallenge => {
                Problem::new(ProblemKind::InvalidChallenge, "payload.nonce: the authorization was presented for another challenge")
            }
            Self::Failed(failure) => failure.problem(),
            Self::Untimely(problem) => problem,
        }
    }
}
