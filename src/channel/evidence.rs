//! What a client's transaction proves.

use crate::evm::jsonrpc::{Log, TransactionReceipt};
use crate::wire::problem::{Problem, ProblemKind};

/// What a client says that its transaction has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has opened the channel.
    Opened,
    /// It has added the amount to the channel's deposit.
    Added,
}

/// Whether a transaction did what the client has `said`, deep enough in the chain. `receipt` is absent while it is not
/// mined, `head` is the latest block's number, and `shows` looks for the effect among its logs. Returns what that found.
///
/// # Errors
/// The problem to answer with.
pub fn check_transaction<T>(
    said: Said,
    receipt: Option<&TransactionReceipt>,
    head: u64,
    confirmations: u64,
    shows: impl FnOnce(&[Log]) -> Option<T>,
) -> Result<T, Problem> {
    let receipt = receipt.ok_or_else(|| Problem::unavailable("the transaction that the credential names is not mined yet"))?;
    if !receipt.succeeded() {
        return Err(Problem::new(
            ProblemKind::TransactionReverted,
            "the transaction that the credential names was reverted; look at the chain, and make another",
        ));
    }
    let not_this = match said {
        Said::Opened => "payload.channelId: the transaction that the credential names did not open this channel; name the one that did",
        Said::Added => {
            "payload.additionalDeposit: the transaction that the credential names did not add this to the channel; name the one that did"
        }
    };
    let shown = shows(&receipt.logs).ok_or_else(|| Problem::new(ProblemKind::VerificationFailed, not_this))?;
    let depth = head.checked_sub(receipt.block_number()).map_or(0, |above| above.saturating_add(1));
    if depth < confirmations {
        return Err(Problem::unavailable("the transaction that the credential names is not deep enough in the chain yet"));
    }
    Ok(shown)
}
