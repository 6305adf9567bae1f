//! What a transaction may cost, and what a node says of one before it is sent.

use super::Purpose;
use crate::evm::ChainId;
use crate::evm::jsonrpc::NodeError;
use alloc::string::String;
use core::fmt;

/// A transaction may take this many times the gas of a plain one: a token behind a proxy, or with hooks of its own, takes two or three.
const MARGIN: u64 = 5;

/// The same where what is written is paid for at the price of the chain below it, which rises tenfold now and then.
const PUBDATA_MARGIN: u64 = 20;

/// Abstract, ZKsync Era, and the test networks of both.
const PUBDATA_CHAINS: [ChainId; 4] = [2741, 11124, 324, 300];

/// What a node said about a transaction that is to be sent, on its latest block, at a price that nodes take and with no more gas
/// than [`Purpose::gas_cap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Whether it succeeds.
    pub outcome: Result<(), NodeError>,
    /// The gas it takes.
    pub gas: Result<u64, NodeError>,
}

/// Why a transaction is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It reverts. The reason, when the contract gave a readable one.
    Reverts(Option<String>),
    /// It takes more gas than it may.
    TooDear,
    /// The node estimates on newer state than it simulates on.
    Changing,
    /// The node cannot say, or the account cannot pay for the gas.
    Unknown,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reverts(Some(reason)) => write!(f, "reverts: {reason}"),
            Self::Reverts(None) => f.write_str("reverts"),
            Self::TooDear => f.write_str("takes more gas than it may"),
            Self::Changing => f.write_str("has another outcome each time it is tried out"),
            Self::Unknown => f.write_str("cannot be tried out at the moment"),
        }
    }
}

impl core::error::Error for Flaw {}

impl Purpose {
    /// Gas of a plain one: what was measured with Circle's token and the channel escrow.
    const fn plain_gas(&self) -> u64 {
        match self {
            Self::Transfer(_) => 91_000,
            Self::Open(_) => 178_000,
            Self::TopUp(_) => 98_000,
            Self::Settle(_) => 69_000,
            Self::Close(_) => 72_000,
        }
    }

    /// The most gas that is paid for it. What takes more is not sent: code of the payer's choice would be paid by us.
    pub fn gas_cap(&self, chain_id: ChainId) -> u64 {
        let margin = if PUBDATA_CHAINS.contains(&chain_id) { PUBDATA_MARGIN } else { MARGIN };
        self.plain_gas().saturating_mul(margin)
    }
}

impl Tried {
    /// The gas limit of the transaction to send: a quarter to spare, and never above `cap`.
    ///
    /// # Errors
    /// [`Flaw`] when it is not to be sent.
    pub fn judge(&self, cap: u64) -> Result<u64, Flaw> {
        match &self.outcome {
            Ok(()) => {}
            Err(NodeError::Reverted(reason)) => return Err(Flaw::Reverts(reason.clone())),
            Err(NodeError::OutOfGas) => return Err(Flaw::TooDear),
            Err(_) => return Err(Flaw::Unknown),
        }
        match &self.gas {
            // Not every node keeps to the cap that it was given.
            Ok(gas) if *gas > cap => Err(Flaw::TooDear),
            Ok(gas) => Ok(gas.saturating_add(gas / 4).min(cap)),
            Err(NodeError::Reverted(_) | NodeError::OutOfGas) => Err(Flaw::Changing),
            // It succeeds within the cap, whatever it takes.
            Err(_) => Ok(cap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const CAP: u64 = 455_000;

    fn judge(outcome: Result<(), NodeError>, gas: Result<u64, NodeError>) -> Result<u64, Flaw> {
        Tried { outcome, gas }.judge(CAP)
    }

    #[test]
    fn what_succeeds_gets_its_gas_up_to_the_cap() {
        assert_eq!(judge(Ok(()), Ok(80_000)), Ok(100_000));
        assert_eq!(judge(Ok(()), Ok(400_000)), Ok(CAP));
        assert_eq!(judge(Ok(()), Ok(CAP)), Ok(CAP));
        assert_eq!(judge(Ok(()), Ok(CAP + 1)), Err(Flaw::TooDear));
        assert_eq!(judge(Ok(()), Err(NodeError::Busy)), Ok(CAP));
    }

    #[test]
    fn what_fails_is_told_apart() {
        assert_eq!(judge(Err(NodeError::Reverted(None)), Ok(1)), Err(Flaw::Reverts(None)));
        assert_eq!(judge(Err(NodeError::OutOfGas), Err(NodeError::OutOfGas)), Err(Flaw::TooDear));
        // An account without money is not the payer's fault, although nodes word its estimate as one of too much gas.
        assert_eq!(judge(Err(NodeError::InsufficientFunds), Err(NodeError::OutOfGas)), Err(Flaw::Unknown));
        assert_eq!(judge(Ok(()), Err(NodeError::Reverted(None))), Err(Flaw::Changing));
        assert_eq!(judge(Ok(()), Err(NodeError::OutOfGas)), Err(Flaw::Changing));
    }
}
