//! Wires: how a payment is asked for and shown. A wire knows no rail.

pub mod detect;
pub mod encoding;
pub mod idempotency;
pub mod mpp;
pub mod problem;
pub mod sse;
pub mod x402;

/// How a payment is asked for and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// The `Payment` scheme.
    Mpp,
    /// Both versions.
    X402,
}

impl Wire {
    /// All wires.
    pub const ALL: [Self; 2] = [Self::Mpp, Self::X402];

    /// What the configuration calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mpp => "mpp",
            Self::X402 => "x402",
        }
    }
}
