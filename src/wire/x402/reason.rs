//! Reasons of failure, as clients are told them.

use crate::wire::problem::{Problem, ProblemKind};
use core::fmt;
use serde::{Deserialize, Serialize};

/// The `errorReason` of a payment that failed (`x402-specification-v2.md` §9, and the names that the published facilitators use).
/// Published clients show it; those of the scheme `exact` branch on none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The payment is of a version that its header does not carry, or of none.
    InvalidVersion,
    /// The payment cannot be read, or is for another request.
    InvalidPayload,
    /// The proof is of a kind that is not taken.
    UnsupportedPayload,
    /// Nothing is offered by this scheme.
    UnsupportedScheme,
    /// Nothing is offered on this network.
    InvalidNetwork,
    /// What the client accepts is not what is offered.
    InvalidRequirements,
    /// What the client returns of an extension is not what was sent.
    ExtensionMismatch,
    /// The payer does not have the money.
    InsufficientFunds,
    /// The proof is past its time.
    Expired,
    /// The proof has bought something already.
    Duplicate,
    /// Nothing is decided yet: the same payment may be presented again.
    Pending,
    /// The chain does not take the payment, or will not.
    InvalidTransaction,
    /// Anything else.
    Unexpected,
    /// `exact` on EVM: the authorization pays somebody else.
    ExactRecipient,
    /// `exact` on EVM: the authorization moves another amount.
    ExactValue,
    /// `exact` on EVM: the authorization ends too soon, or too late.
    ExactValidBefore,
    /// `exact` on EVM: the authorization is not valid yet.
    ExactValidAfter,
    /// `exact` on EVM: not the payer's signature of the authorization.
    ExactSignature,
    /// `exact` on EVM: the signature is that of a wallet that is not deployed yet.
    ExactUndeployed,
}

impl Reason {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidVersion => "invalid_x402_version",
            Self::InvalidPayload => "invalid_payload",
            Self::UnsupportedPayload => "unsupported_payload_type",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::InvalidNetwork => "invalid_network",
            Self::InvalidRequirements => "invalid_payment_requirements",
            Self::ExtensionMismatch => "extension_echo_mismatch",
            Self::InsufficientFunds => "insufficient_funds",
            Self::Expired => "payment_expired",
            Self::Duplicate => "duplicate_settlement",
            Self::Pending => "settlement_pending",
            Self::InvalidTransaction => "invalid_transaction_state",
            Self::Unexpected => "unexpected_settle_error",
            Self::ExactRecipient => "invalid_exact_evm_recipient_mismatch",
            Self::ExactValue => "invalid_exact_evm_payload_authorization_value_mismatch",
            Self::ExactValidBefore => "invalid_exact_evm_payload_authorization_valid_before",
            Self::ExactValidAfter => "invalid_exact_evm_payload_authorization_valid_after",
            Self::ExactSignature => "invalid_exact_evm_signature",
            Self::ExactUndeployed => "invalid_exact_evm_payload_undeployed_smart_wallet",
        }
    }

    /// Why this problem came about: what it says itself, else what its kind says.
    pub fn of(problem: &Problem) -> Self {
        problem.reason.unwrap_or(match problem.kind {
            ProblemKind::MalformedCredential | ProblemKind::BadRequest => Self::InvalidPayload,
            ProblemKind::InvalidChallenge => Self::InvalidRequirements,
            ProblemKind::PaymentInsufficient => Self::InsufficientFunds,
            ProblemKind::PaymentExpired => Self::Expired,
            ProblemKind::Spent | ProblemKind::Conflict => Self::Duplicate,
            ProblemKind::Unavailable => Self::Pending,
            ProblemKind::VerificationFailed => Self::InvalidTransaction,
            _ => Self::Unexpected,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
