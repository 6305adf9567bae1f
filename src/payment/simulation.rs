//! What a simulated transfer says about a payment, before any gas is spent.

use crate::evm::amount::Amount;
use crate::evm::jsonrpc::NodeError;
use crate::protocol::problem::{Problem, ProblemKind};
use alloc::format;

/// Gas for a transfer whose estimate could not be had although its simulation succeeds.
const FALLBACK_GAS_LIMIT: u64 = 500_000;

/// What a node said about a transfer, on its latest block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// Whether the transfer succeeds.
    pub transfer: Result<(), NodeError>,
    /// The gas it takes.
    pub gas: Result<u64, NodeError>,
    /// Whether the authorization was used or cancelled.
    pub used: bool,
    /// What the payer has. Saturated: a balance over 2^128 − 1 covers everything.
    pub balance: Amount,
}

/// How a payment whose transfer was simulated goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// It can be settled with this gas limit.
    Viable {
        /// With a quarter to spare.
        gas_limit: u64,
    },
    /// The authorization is used already: perhaps somebody else sent it.
    Used,
}

impl Simulated {
    /// The gas limit of the transaction to send, when there is one to send.
    pub const fn gas_limit(self) -> Option<u64> {
        match self {
            Self::Viable { gas_limit } => Some(gas_limit),
            Self::Used => None,
        }
    }
}

impl Simulation {
    /// Judges a transfer of `value` beside the `reserved` sum of the payer's other payments on their way.
    ///
    /// # Errors
    /// The problem to answer with.
    pub fn judge(&self, value: Amount, reserved: Amount) -> Result<Simulated, Problem> {
        if self.used {
            return Ok(Simulated::Used);
        }
        if self.balance < value {
            return Err(Problem::new(ProblemKind::PaymentInsufficient, "the payer's token balance is less than the amount"));
        }
        match &self.transfer {
            Ok(()) => {}
            Err(NodeError::Reverted(reason)) => {
                let detail = match reason {
                    Some(reason) => format!("the token refuses the transfer: {reason}"),
                    None => "the token refuses the transfer".into(),
                };
                return Err(Problem::new(ProblemKind::VerificationFailed, detail));
            }
            Err(_) => {
                return Err(Problem::unavailable("the transfer could not be simulated"));
            }
        }
        if value.checked_add(reserved).is_none_or(|sum| self.balance < sum) {
            return Err(Problem::unavailable("the payer's token balance does not cover this payment beside its others on their way"));
        }
        if let Err(NodeError::Reverted(_)) = self.gas {
            // The node estimates on newer state than it simulates on.
            return Err(Problem::unavailable("the transfer's outcome is changing"));
        }
        let gas_limit = self.gas.as_ref().map_or(FALLBACK_GAS_LIMIT, |gas| gas.saturating_add(gas / 4));
        Ok(Simulated::Viable { gas_limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn units(units: u128) -> Amount {
        Amount::from_base_units(units)
    }

    fn good() -> Simulation {
        Simulation { transfer: Ok(()), gas: Ok(80_000), used: false, balance: units(100) }
    }

    fn kind(simulation: &Simulation, reserved: u128) -> ProblemKind {
        simulation.judge(units(60), units(reserved)).unwrap_err().kind
    }

    #[test]
    fn a_transfer_that_succeeds_gets_its_gas() {
        assert_eq!(good().judge(units(60), units(40)), Ok(Simulated::Viable { gas_limit: 100_000 }));
        let unestimated = Simulation { gas: Err(NodeError::InsufficientFunds), ..good() };
        assert_eq!(unestimated.judge(units(60), units(0)), Ok(Simulated::Viable { gas_limit: FALLBACK_GAS_LIMIT }));
    }

    #[test]
    fn what_fails_is_told_apart() {
        let reverted = Err(NodeError::Reverted(Some("paused".into())));
        assert_eq!(kind(&Simulation { balance: units(59), transfer: reverted.clone(), ..good() }, 0), ProblemKind::PaymentInsufficient);
        assert_eq!(kind(&Simulation { transfer: reverted.clone(), ..good() }, 0), ProblemKind::VerificationFailed);
        assert_eq!(kind(&Simulation { transfer: Err(NodeError::Busy), ..good() }, 0), ProblemKind::Unavailable);
        assert_eq!(kind(&Simulation { gas: reverted.clone().map(|()| 0), ..good() }, 0), ProblemKind::Unavailable);
        assert_eq!(kind(&good(), 41), ProblemKind::Unavailable);
        assert_eq!(kind(&good(), u128::MAX), ProblemKind::Unavailable);
        assert_eq!(Simulation { used: true, transfer: reverted, ..good() }.judge(units(60), units(0)), Ok(Simulated::Used));
    }
}
