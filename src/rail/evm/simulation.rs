//! The steps of a charge: its transfer is simulated before any gas is spent, and then sent.

use super::charge::Charge;
use crate::evm::jsonrpc::{self, Request, decode, has_code};
use crate::evm::transaction::Call;
use crate::evm::{U256, erc3009};
use crate::money::Amount;
use crate::rail::{Answer, Ask, Prepared, Progress, Send, Step};
use crate::settlement::{Flaw, Purpose, Tried};
use crate::wire::problem::{Problem, ProblemKind};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use alloy_primitives::Bytes;

/// What a node said about a transfer, on its latest block.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Simulation {
    /// The transfer itself.
    tried: Tried,
    /// Whether the authorization was used or cancelled.
    used: bool,
    /// What the payer has. Saturated: a balance over 2^128 − 1 covers everything.
    balance: Amount,
    /// Whether the payer is an account with code, which the token asks instead of checking a signature.
    payer_has_code: bool,
}

/// What a simulated transfer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Simulated {
    /// It can be settled with this gas limit.
    Viable {
        /// With a quarter to spare.
        gas_limit: u64,
    },
    /// The authorization is used already: perhaps somebody else sent it.
    Used,
}

/// Why a payment whose transfer was simulated does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unfit {
    /// It will not do. The answer.
    Refused(Problem),
    /// It would do, since the payer has the money and the authorization is unused, but not at the moment. The answer.
    Later(Problem),
}

impl Charge {
    /// What must be done next: the transfer is simulated, and then sent.
    pub fn next(&self, progress: &Progress) -> Step {
        let purpose = self.purpose(progress.presented);
        let gas_cap = purpose.gas_cap(self.asset.chain_id);
        let Some(answer) = progress.answers.first() else { return Step::Ask(self.simulate(&purpose, gas_cap)) };
        let simulation = match answer {
            Answer::Tried(tried, answers) => Simulation::read(tried, answers),
            _ => None,
        };
        let Some(simulation) = simulation else {
            return Step::Prepared(Prepared::Unknown(Problem::unavailable("the chain cannot be asked")));
        };
        let counts_if_used = progress.was_good || self.is_bound();
        let send = |gas_limit| Prepared::Send(Box::new(Send::Transaction { purpose, gas_limit }));
        Step::Prepared(match simulation.judge(self.signed.authorization.value, progress.reserved, gas_cap, counts_if_used) {
            Ok(Simulated::Viable { gas_limit }) => send(Some(gas_limit)),
            Ok(Simulated::Used) => send(None),
            Err(Unfit::Refused(problem)) => Prepared::Refused(problem),
            Err(Unfit::Later(problem)) => Prepared::Later(problem),
        })
    }

    /// The transfer itself; with it, whether the authorization is used, what the payer has, and whether it is an account with code.
    fn simulate(&self, purpose: &Purpose, gas_cap: u64) -> Ask {
        let authorization = &self.signed.authorization;
        let to_token = |data: Vec<u8>| Request::call(&Call { to: self.asset.token, data: data.into() });
        let more = Vec::from([
            to_token(authorization.state_call()),
            to_token(erc3009::balance_call(authorization.from)),
            Request::code(authorization.from),
        ]);
        Ask::TryOut { call: purpose.call(), payer: authorization.from, gas_cap, more }
    }
}

impl Simulation {
    /// Reads what nodes answered. The authorization's state, the balance and the code must be readable.
    fn read(tried: &Tried, answers: &[jsonrpc::NodeAnswer]) -> Option<Self> {
        let [used, balance, code] = answers else { return None };
        let word =
            |answer: &jsonrpc::NodeAnswer| decode::<Bytes>(answer.as_ref().ok()?).ok().and_then(|bytes| U256::try_from_be_slice(&bytes));
        Some(Self {
            tried: tried.clone(),
            used: !word(used)?.is_zero(),
            balance: Amount::from_base_units(word(balance)?.saturating_to()),
            payer_has_code: has_code(code.as_ref().ok()?).ok()?,
        })
    }

    /// Judges a transfer of `value` beside the `reserved` sum of the payer's other payments on their way. It may take `gas_cap`.
    /// `counts_if_used`: a use by somebody else is this payment, since only the payer can have presented it here before.
    ///
    /// # Errors
    /// [`Unfit`].
    fn judge(&self, value: Amount, reserved: Amount, gas_cap: u64, counts_if_used: bool) -> Result<Simulated, Unfit> {
        if self.used {
            return if counts_if_used { Ok(Simulated::Used) } else { Err(Unfit::Refused(used_before())) };
        }
        let refused = |kind, detail| Err(Unfit::Refused(Problem::new(kind, detail)));
        if self.payer_has_code {
            let detail = "payload.from: has code (a contract, or a key delegated to one); pay from an account that has none";
            return refused(ProblemKind::VerificationFailed, detail);
        }
        if self.balance < value {
            return refused(
                ProblemKind::PaymentInsufficient,
                "payload.from: has less of the token than the amount; pay from an account that has enough",
            );
        }
        let gas_limit = self.tried.judge(gas_cap).map_err(unfit)?;
        if value.checked_add(reserved).is_none_or(|sum| self.balance < sum) {
            let detail = "payload.from: has not enough of the token for this payment beside its others that are on their way";
            return Err(Unfit::Later(Problem::unavailable(detail)));
        }
        Ok(Simulated::Viable { gas_limit })
    }
}

fn used_before() -> Problem {
    Problem::new(
        ProblemKind::VerificationFailed,
        "payload.nonce: the authorization was used or cancelled before it was presented here, and may be anybody's; sign a new one",
    )
}

fn unfit(flaw: Flaw) -> Unfit {
    let failed = |detail| Unfit::Refused(Problem::new(ProblemKind::VerificationFailed, detail));
    match flaw {
        Flaw::Reverts(Some(reason)) => Unfit::Refused(Problem::new(
            ProblemKind::VerificationFailed,
            format!("the token would revert the transfer, and nothing was paid: {reason}"),
        )),
        Flaw::Reverts(None) => {
            failed("the token would revert the transfer, and nothing was paid; it may be paused, or have blacklisted the payer")
        }
        Flaw::TooDear => {
            failed("the transfer would take more gas than this gateway pays for; pay in a plain token, from an account without code")
        }
        Flaw::Changing => Unfit::Later(Problem::unavailable("the chain gives different answers about the transfer at the moment")),
        Flaw::Unknown => Unfit::Later(Problem::unavailable("the transfer could not be tried out at the moment")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::jsonrpc::NodeError;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const CAP: u64 = 455_000;

    const fn units(units: u128) -> Amount {
        Amount::from_base_units(units)
    }

    fn good() -> Simulation {
        Simulation { tried: tried(Ok(())), used: false, balance: units(100), payer_has_code: false }
    }

    fn tried(outcome: Result<(), NodeError>) -> Tried {
        Tried { outcome, gas: Ok(80_000) }
    }

    fn problem(unfit: Unfit) -> Problem {
        match unfit {
            Unfit::Refused(problem) | Unfit::Later(problem) => problem,
        }
    }

    fn kind(simulation: &Simulation, reserved: u128) -> ProblemKind {
        simulation.judge(units(60), units(reserved), CAP, true).map_err(problem).unwrap_err().kind
    }

    #[test]
    fn a_transfer_that_succeeds_gets_its_gas() {
        assert_eq!(good().judge(units(60), units(40), CAP, true), Ok(Simulated::Viable { gas_limit: 100_000 }));
    }

    #[test]
    fn what_fails_is_told_apart() {
        let reverted = tried(Err(NodeError::Reverted(Some("paused".into()))));
        assert_eq!(kind(&Simulation { balance: units(59), tried: reverted.clone(), ..good() }, 0), ProblemKind::PaymentInsufficient);
        assert_eq!(kind(&Simulation { tried: reverted.clone(), ..good() }, 0), ProblemKind::VerificationFailed);
        assert_eq!(kind(&Simulation { tried: tried(Err(NodeError::OutOfGas)), ..good() }, 0), ProblemKind::VerificationFailed);
        assert_eq!(kind(&Simulation { tried: tried(Err(NodeError::Busy)), ..good() }, 0), ProblemKind::Unavailable);
        let changing = Tried { outcome: Ok(()), gas: Err(NodeError::Reverted(None)) };
        assert_eq!(kind(&Simulation { tried: changing, ..good() }, 0), ProblemKind::Unavailable);
        assert_eq!(kind(&good(), 41), ProblemKind::Unavailable);
        assert_eq!(kind(&good(), u128::MAX), ProblemKind::Unavailable);
        let used = Simulation { used: true, tried: reverted, ..good() };
        assert_eq!(used.judge(units(60), units(0), CAP, true), Ok(Simulated::Used));
        assert_eq!(used.judge(units(60), units(0), CAP, false).map_err(problem).unwrap_err().kind, ProblemKind::VerificationFailed);
    }

    /// It was presented while the authorization was unused: should somebody else use it from then on, it is this payment.
    #[test]
    fn what_would_do_but_not_now_is_remembered() {
        let is_good =
            |simulation: Simulation, reserved| matches!(simulation.judge(units(60), units(reserved), CAP, false), Err(Unfit::Later(_)));
        let changing = Tried { outcome: Ok(()), gas: Err(NodeError::Reverted(None)) };
        assert!(is_good(Simulation { tried: changing, ..good() }, 0));
        assert!(is_good(good(), 41));
        assert!(is_good(Simulation { tried: tried(Err(NodeError::InsufficientFunds)), ..good() }, 0));
        assert!(!is_good(Simulation { balance: units(59), ..good() }, 0));
        assert!(!is_good(Simulation { used: true, ..good() }, 0));
        assert!(!is_good(Simulation { tried: tried(Err(NodeError::Reverted(None))), ..good() }, 0));
    }

    /// However well it simulates: the code may see that it is simulated.
    #[test]
    fn a_payer_with_code_does_not_pay() {
        assert_eq!(kind(&Simulation { payer_has_code: true, ..good() }, 0), ProblemKind::VerificationFailed);
    }
}
