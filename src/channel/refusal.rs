//! Why a channel does not do what was asked for.

use crate::wire::problem::{Problem, ProblemKind};

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

impl Refusal {
    /// The answer to the client.
    pub fn problem(self) -> Problem {
        let (kind, detail) = match self {
            Self::SignerMismatch => {
                (ProblemKind::SignerMismatch, "payload.signature: not made by the channel's signer for this voucher and escrow")
            }
            Self::ForeignSource => (ProblemKind::VerificationFailed, "source: must be the channel's payer or its authorized signer"),
            Self::Unknown => (
                ProblemKind::VerificationFailed,
                "payload.channelId: the channel is not known here yet; send a voucher of it, and what was added counts with that",
            ),
            Self::Closed => (ProblemKind::ChannelFinalized, "the channel is closed; open another"),
            Self::Closing => (ProblemKind::ChannelFinalized, "the channel is being closed; open another"),
            Self::Outdated => (
                ProblemKind::ChannelFinalized,
                "the channel was opened for another recipient or currency; open another, and request its close from the escrow",
            ),
            Self::Busy => return Problem::unavailable("too many metered answers are under way on the channel"),
            Self::Cancelled => return Problem::unavailable("the purchase was given up, and nothing was charged for it"),
            Self::Suspended => return Problem::unavailable("the chain does not show the channel's deposit at the moment"),
            Self::SignerHasCode => (
                ProblemKind::VerificationFailed,
                "the payer or the channel's signer is a contract, or delegated to one; sign with an account without code",
            ),
            // Waiting loses nothing; another channel would bind another deposit, and may fare no better.
            Self::Uncollectable => {
                return Problem::unavailable(
                    "what the channel has bought cannot be settled at the moment; nothing is sold on it until it is",
                );
            }
            Self::ExceedsDeposit => {
                (ProblemKind::AmountExceedsDeposit, "payload.cumulativeAmount: exceeds the channel's deposit; top it up first")
            }
            Self::DeltaTooSmall => (ProblemKind::DeltaTooSmall, "payload.cumulativeAmount: raises the total by less than minVoucherDelta"),
            Self::Insufficient => (
                ProblemKind::InsufficientBalance,
                "payload.cumulativeAmount: does not pay for this, or was shown by the chain; sign a voucher for at least requiredCumulative",
            ),
            Self::Unproven => (
                ProblemKind::VerificationFailed,
                "payload.cumulativeAmount: the chain has shown this voucher; add payload.proof, or send a voucher above what is settled",
            ),
            Self::KeyOfAnother => (ProblemKind::BadRequest, "Idempotency-Key: was used for another request or amount"),
            Self::KeySpent => {
                (ProblemKind::BadRequest, "Idempotency-Key: was used too often, or for a metered answer, which is not repeated")
            }
            Self::NoSale => (ProblemKind::BadRequest, "there is no such sale"),
        };
        Problem::new(kind, detail)
    }
}
