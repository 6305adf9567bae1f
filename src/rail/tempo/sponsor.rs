//! Paying the fees of what clients sign. A sponsor signs away money of its own, so it signs nothing but the transfers that it asks for, of
//! a bounded price, for a bounded time, and only so many at once.

use super::transaction::{EXPIRING, Sealed, Transaction};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, B256, ChainId};
use crate::time::UnixSeconds;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Who pays fees, and which.
#[derive(Clone, Debug)]
pub struct Sponsor {
    /// Of the account that pays.
    pub key: PrivateKey,
    /// What it pays in.
    pub fee_token: Address,
    /// What it pays for.
    pub policy: Policy,
}

/// The most that is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Gas of one transaction.
    pub gas: u64,
    /// `maxFeePerGas`, in attodollars.
    pub fee_per_gas: u128,
    /// `maxPriorityFeePerGas`, in attodollars.
    pub priority_fee_per_gas: u128,
    /// All of it for one transaction, in attodollars.
    pub fee: u128,
    /// Transactions at once.
    pub at_once: u16,
}

/// What a sponsored transaction may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sponsored {
    /// Who pays it.
    pub sponsor: Address,
    /// At the most, in attodollars.
    pub fee: u128,
}

/// What is to be promised before a sponsored transaction is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// Whose budget it is.
    pub sponsor: Address,
    /// The transaction.
    pub transaction: B256,
    /// It is in a block before this time, or never.
    pub until: UnixSeconds,
    /// The most that are promised at once.
    pub at_once: u16,
}

/// The object that keeps the budget of a sponsor on a chain.
pub fn budget_of(chain_id: ChainId, sponsor: Address) -> String {
    format!("tempo:sponsor:{chain_id}:{sponsor}")
}

/// Why the fees of a transaction are not paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It names storage, or delegates accounts, which only makes it dearer.
    Lists,
    /// Its nonce is not an expiring one, so that it might be held back.
    Nonce,
    /// It may use too much gas, or none.
    Gas,
    /// It may pay too much for it, or nothing.
    FeePerGas,
    /// Too much of it for the block's producer.
    PriorityFee,
    /// Too much in all.
    Fee,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fees of this transaction are not paid: ")?;
        f.write_str(match self {
            Self::Lists => "its accessList and authorizationList must be empty",
            Self::Nonce => "its nonceKey must be that of expiring nonces (2^256 - 1), and its nonce 0",
            Self::Gas => "its gas is none, or more than is paid for",
            Self::FeePerGas => "its maxFeePerGas is nothing, or more than is paid",
            Self::PriorityFee => "its maxPriorityFeePerGas is more than is paid, or than maxFeePerGas",
            Self::Fee => "its gas times maxFeePerGas is more than is paid",
        })
    }
}

impl core::error::Error for Refused {}

impl Sponsor {
    /// Whether the fees of a transaction are paid whose calls were found to be those of a challenge. Its times are looked at when it is
    /// begun ([`Charge::untimely`](super::Charge::untimely)).
    ///
    /// # Errors
    /// [`Refused`]
    pub fn judge(&self, transaction: &Transaction<'_>) -> Result<Sponsored, Refused> {
        let Policy { gas, fee_per_gas, priority_fee_per_gas, fee: most, .. } = self.policy;
        let wrong = |is_wrong, refused| if is_wrong { Err(refused) } else { Ok(()) };
        wrong(transaction.has_access_list || transaction.has_authorizations, Refused::Lists)?;
        wrong(transaction.nonce_key != EXPIRING || transaction.nonce != 0, Refused::Nonce)?;
        wrong(transaction.gas == 0 || transaction.gas > gas, Refused::Gas)?;
        wrong(transaction.max_fee == 0 || transaction.max_fee > fee_per_gas, Refused::FeePerGas)?;
        wrong(transaction.priority_fee > priority_fee_per_gas.min(transaction.max_fee), Refused::PriorityFee)?;
        let fee = u128::from(transaction.gas).checked_mul(transaction.max_fee).filter(|fee| *fee <= most).ok_or(Refused::Fee)?;
        Ok(Sponsored { sponsor: self.key.address(), fee })
    }

    /// Signs for the fees of what `sender` has signed. The same transaction always gets the same signature.
    pub fn seal(&self, transaction: &Transaction<'_>, sender: Address) -> Sealed {
        let signature = self.key.sign(transaction.fee_payer_digest(self.fee_token, sender));
        transaction.seal_sponsored(self.fee_token, &signature)
    }
}

/// The transactions that a sponsor has signed for, as long as they may be in a block and it is not known whether they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Their hashes, and until when they may be.
    promised: Vec<(B256, UnixSeconds)>,
}

/// As much is promised as may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as many fees are being paid as may be at once")
    }
}

impl core::error::Error for Exhausted {}

/// Blocks may be dated so many seconds before our clock: a promise is kept so long after its end.
const CLOCK_SKEW: u64 = 30;

impl Budget {
    /// Promises the fees of a transaction. Asking again is asking once. Those that are too late for a block are forgotten.
    ///
    /// # Errors
    /// [`Exhausted`]
    pub fn promise(&mut self, promise: &Promise, now: UnixSeconds) -> Result<(), Exhausted> {
        self.promised.retain(|(_, until)| until.saturating_add(CLOCK_SKEW) > now);
        if self.promised.iter().any(|(transaction, _)| *transaction == promise.transaction) {
            return Ok(());
        }
        if self.promised.len() >= usize::from(promise.at_once) {
            return Err(Exhausted);
        }
        self.promised.push((promise.transaction, promise.until));
        Ok(())
    }

    /// It is known what became of a transaction.
    pub fn release(&mut self, transaction: B256) {
        self.promised.retain(|(promised, _)| *promised != transaction);
    }

    /// Until when something is promised; `None` when nothing is.
    pub fn until(&self) -> Option<UnixSeconds> {
        self.promised.iter().map(|(_, until)| until.saturating_add(CLOCK_SKEW)).max()
    }
}

#[cfg(test)]
mod tests;
