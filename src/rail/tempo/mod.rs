//! Payments on Tempo: the method `tempo`, intent `charge` (`draft-tempo-charge-01`).
//!
//! A payer either signs a transaction that the gateway sends (pull), or sends it himself and tells its hash (push). Either way its
//! transfers must be those of the challenge, and the first of them must carry the [memo] that names the challenge. Where nothing is asked
//! for, a signature alone proves who asks. If the configuration says so, the gateway pays the fees of what it sends ([sponsor]).
//!
//! What makes a payment unique is the challenge that its memo is bound to, with its payer: whoever signs a second transaction for the same
//! challenge, has another pay its fees, or shows as a hash what was sent for him before, shows the same payment. A transaction pays for one
//! challenge only ([transfers]), so that none is bought with twice.

mod charge;
pub(crate) mod configuration;
pub mod memo;
mod offered;
mod sender;
mod settings;
mod simulation;
pub mod sponsor;
mod steps;
pub mod transaction;
pub mod transfers;

pub use charge::{Charge, Evidence, RESUMABLE};
pub use offered::Offered;
pub use sender::{InvalidSender, SenderSignature};
pub use settings::{Asking, Modes, Rail, Split};

use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::Cow;
use alloc::format;
use core::fmt;

/// The payment method.
pub const METHOD: &str = "tempo";

/// The decimal places of all tokens.
pub const DECIMALS: u8 = 6;

/// A field that cannot be read.
fn malformed(field: &str, what: impl fmt::Display) -> Problem {
    Problem::new(ProblemKind::MalformedCredential, format!("{field}: {what}"))
}

/// A proof that does not prove what it should.
fn failed(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ProblemKind::VerificationFailed, detail)
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
