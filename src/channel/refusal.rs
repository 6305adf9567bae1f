//! Why a channel does not do what was asked for.

use crate::wire::problem::{Problem, ProblemKind};
use core::fmt;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not signed by the channel's signer.
    SignerMismatch,
    /// `source` names neither the payer nor the signer.
    ForeignSource,
    /// No voucher of it has come here yet.
    Unknown,
    /// It is closed.
    Closed,
    /// It is being closed.
    Closing,
    /// It pays another payee than now, or in another token: the configuration was changed.
    Outdated,
    /// A reorganisation took back what was relied on.
    Suspended,
    /// The channel's signer is an account with code, which the escrow would ask instead of checking a signature.
    SignerHasCode,
    /// What was sold cannot be settled.
    Uncollectable,
    /// The voucher exceeds the deposit.
    ExceedsDeposit,
    /// The voucher raises the total by less than the least raise.
    DeltaTooSmall,
    /// The balance does not pay for it, or the voucher has bought already.
    Insufficient,
    /// The chain has shown the voucher, so that anybody may have sent it.
    Unproven,
    /// The idempotency key stands for another purchase.
    KeyOfAnother,
    /// The idempotency key was repeated too often, or stands for a metered sale.
    KeySpent,
    /// As many metered sales are under way as there can be.
    Busy,
    /// The purchase was given up before it came.
    Cancelled,
    /// There is no such sale any more.
    NoSale,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem().detail)
    }
}

impl core::error::Error for Refusal {}

impl Refusal {
    /// The answer to the client.
    pub fn problem(self) -> Problem {
        let (kind, detail) = match self {
            Self::SignerMismatch => (
                ProblemKind::SignerMismatch,
                "payload.signature: the channel's signer did not make it for this channel, total and escrow; sign with the channel's authorizedSigner, or with its payer where there is none",
            ),
            Self::ForeignSource => (ProblemKind::VerificationFailed, "source: must name the channel's payer or its signer"),
            Self::Unknown => (
                ProblemKind::VerificationFailed,
                "payload.channelId: this gateway does not know the channel yet; send a voucher of it, and the addition counts with that",
            ),
            Self::Closed => (ProblemKind::ChannelFinalized, "payload.channelId: the channel is closed; open another"),
            Self::Closing => {
                (ProblemKind::ChannelFinalized, "payload.channelId: the channel is being closed and buys nothing any more; open another")
            }
            Self::Outdated => (
                ProblemKind::ChannelFinalized,
                "payload.channelId: the channel pays another recipient, or in another token, than this gateway now does; open another, and get the deposit of this one back by requestClose",
            ),
            Self::Busy => return Problem::unavailable("as many metered answers are under way on the channel as there can be"),
            Self::Cancelled => return Problem::unavailable("the purchase was given up, and nothing was charged for it"),
            Self::Suspended => {
                return Problem::unavailable("the chain does not show the channel's deposit at the moment, so nothing is sold on it");
            }
            Self::SignerHasCode => (
                ProblemKind::VerificationFailed,
                "the channel's payer or signer has code (a contract, or a key delegated to one); sign with an account that has none",
            ),
            // Waiting loses nothing; another channel would bind another deposit, and may fare no better.
            Self::Uncollectable => {
                return Problem::unavailable("what the channel has bought cannot be settled at the moment, so nothing is sold on it");
            }
            Self::ExceedsDeposit => {
                (ProblemKind::AmountExceedsDeposit, "payload.cumulativeAmount: exceeds the channel's deposit; top the channel up first")
            }
            Self::DeltaTooSmall => (
                ProblemKind::DeltaTooSmall,
                "payload.cumulativeAmount: raises the total by less than the challenge's minVoucherDelta; sign for more",
            ),
            Self::Insufficient => (
                ProblemKind::InsufficientBalance,
                "payload.cumulativeAmount: what is left of it does not pay for this request, or the chain has shown this voucher; sign one for at least requiredCumulative",
            ),
            Self::Unproven => (
                ProblemKind::VerificationFailed,
                "payload.cumulativeAmount: the chain has shown this voucher, so anybody may have sent it; add payload.proof, or sign for more than is settled",
            ),
            Self::KeyOfAnother => (ProblemKind::BadRequest, "Idempotency-Key: was used for another request; choose another key"),
            Self::KeySpent => (
                ProblemKind::BadRequest,
                "Idempotency-Key: was repeated too often, or used for a metered answer, which is not repeated; choose another key",
            ),
            Self::NoSale => (ProblemKind::BadRequest, "the metered answer that this is about has ended"),
        };
        Problem::new(kind, detail)
    }
}
