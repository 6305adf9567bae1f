//! Payment methods × intents: what each asks for and what proves it.

pub mod charge;
pub(crate) mod configuration;
pub mod exact;
mod flaw;
mod network;
mod offered;
pub mod session;
mod settings;
mod simulation;

pub use configuration::Draft;
pub use offered::Offered;
pub use settings::{Asset, Rail, Session, Token};

use core::fmt;
use serde::{Deserialize, Serialize};

/// A payment method, the `method` parameter of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Abstract's own: the client chooses the authorization's nonce.
    Abstract,
    /// `draft-evm-charge-00`: the nonce is bound to the challenge.
    Evm,
}

/// A payment intent, the `intent` parameter of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// One payment for one request (`draft-payment-intent-charge-00`).
    Charge,
    /// A channel, and a voucher with every request (`draft-evm-session-00`).
    Session,
}

impl Method {
    /// All methods, in the order in which they are offered by default.
    pub const ALL: [Self; 2] = [Self::Abstract, Self::Evm];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abstract => "abstract",
            Self::Evm => "evm",
        }
    }

    /// Whether the nonce of a charge's authorization is derived from its challenge.
    pub const fn binds_nonces(self) -> bool {
        matches!(self, Self::Evm)
    }
}

impl Intent {
    /// All intents.
    pub const ALL: [Self; 2] = [Self::Charge, Self::Session];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
