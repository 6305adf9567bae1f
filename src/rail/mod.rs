//! Rails: how money is proven and moved. A rail knows no HTTP of ours.
//!
//! A rail is a folder here and an arm of [`Payment`]. It reads and checks a proof offline, and from there on says step by step what is
//! to be done until the money is there: [`Payment::next`] is asked with what is known so far, its [`Step`] is done by the one loop of the
//! shell that serves all rails (`worker/objects/payer`), and it is asked again with the answer. A [`Purchase`](crate::purchase::Purchase)
//! sees to it that one payment buys one delivery, whatever the rail.
//!
//! docs/architecture.md walks through the adding of one.

pub mod evm;
#[cfg(test)]
mod toy;

use crate::evm::B256;
use crate::evm::jsonrpc;
use crate::evm::transaction::Call;
use crate::money::Amount;
use crate::settlement::{Purpose, Tried};
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use evm::Asset;
use evm::charge::Charge;
use serde::{Deserialize, Serialize};

/// Names a rail of the configuration by its place there. It is good for as long as the configuration is: nothing stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RailId(pub usize);

/// A payment whose proof is right as far as it can be told offline. One arm for each rail.
#[allow(clippy::large_enum_variant, reason = "the small one is there in tests alone")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Payment {
    /// An ERC-3009 authorization on an EVM network.
    Evm(Charge),
    /// Coupons.
    #[cfg(test)]
    Toy(toy::Coupon),
}

/// What names a payment on its rail once the money is there, such as the hash of a transaction. Receipts show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(String);

/// What must be done next to have a payment settled.
#[derive(Clone, Debug)]
pub enum Step {
    /// Ask the network. No money moves by that. The answer comes to [`Progress::answers`].
    Ask(Ask),
    /// It can be settled: remember that, and hand it to the settlement account's outbox. Money may move from here on.
    Send(Box<Send>),
    /// The money is there already.
    Settled(Reference),
    /// It will not do, and is to be forgotten. The answer.
    Refused(Problem),
    /// It would do, but not at the moment: to be remembered, and asked for again. The answer.
    Later(Problem),
    /// Nothing is known: whether it would do, or that it would not. The answer.
    Unknown(Problem),
}

/// A question to the network of a rail.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Try a transaction of the settlement account out, and ask a node more with it, in one batch.
    TryOut {
        /// The call.
        call: Call,
        /// The most gas that it may take.
        gas_cap: u64,
        /// What else is asked.
        more: Vec<jsonrpc::Request>,
    },
    /// An HTTP request to a provider.
    Http {
        /// Such as `GET`.
        method: &'static str,
        /// Absolute, `https`.
        url: String,
        /// The body, JSON.
        body: Option<String>,
    },
}

/// What came of an [`Ask`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// Of [`Ask::TryOut`].
    Tried(Tried, Vec<jsonrpc::NodeAnswer>),
    /// Of [`Ask::Http`]: status and body.
    Http(u16, String),
    /// There was none.
    Nothing,
}

/// A transaction for the settlement account's outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// What is to be brought about.
    pub purpose: Purpose,
    /// For the transaction; `None` when somebody else seems to have sent one, which is to be looked for.
    pub gas_limit: Option<u64>,
}

/// What is known of a payment that is to be settled.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What was asked so far, in order.
    pub answers: Vec<Answer>,
    /// When it was presented first.
    pub presented: Timestamp,
    /// It was found to be good before: who has used its proof since then had it from the payer.
    pub was_good: bool,
    /// What the payer's other payments on their way will take.
    pub reserved: Amount,
}

impl Payment {
    /// What must be done next.
    pub fn next(&self, progress: &Progress) -> Step {
        match self {
            Self::Evm(charge) => charge.next(progress),
            #[cfg(test)]
            Self::Toy(coupon) => coupon.next(progress),
        }
    }

    /// What looks for the payment where something may have been sent for it, without sending anything.
    pub fn search(&self, presented: Timestamp) -> Option<Purpose> {
        match self {
            Self::Evm(charge) => Some(charge.purpose(presented)),
            #[cfg(test)]
            Self::Toy(_) => None,
        }
    }

    /// What it is paid in, where that is on a chain: the rail's network is asked there.
    pub const fn asset(&self) -> Option<Asset> {
        match self {
            Self::Evm(charge) => Some(charge.asset),
            #[cfg(test)]
            Self::Toy(_) => None,
        }
    }

    /// The object that remembers it, by name. Everything that could buy with the same money is remembered there.
    pub fn holder(&self) -> String {
        match self {
            Self::Evm(charge) => charge.holder(),
            #[cfg(test)]
            Self::Toy(coupon) => coupon.holder(),
        }
    }

    /// What makes its proof unique there.
    pub fn id(&self) -> B256 {
        match self {
            Self::Evm(charge) => charge.signed.authorization.nonce,
            #[cfg(test)]
            Self::Toy(coupon) => coupon.id(),
        }
    }

    /// What it takes from the payer.
    pub const fn amount(&self) -> Amount {
        match self {
            Self::Evm(charge) => charge.signed.authorization.value,
            #[cfg(test)]
            Self::Toy(coupon) => coupon.amount(),
        }
    }

    /// Whether both are the same payment for the same thing, whatever valid signature each came with.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Evm(charge), Self::Evm(other)) => charge.is_same(other),
            #[cfg(test)]
            (Self::Toy(coupon), Self::Toy(other)) => coupon == other,
            #[cfg(test)]
            _ => false,
        }
    }

    /// Whether its proof says by itself what it was made for; else whoever has seen it may have made something of it.
    pub const fn is_bound(&self) -> bool {
        match self {
            Self::Evm(charge) => charge.is_bound(),
            #[cfg(test)]
            Self::Toy(_) => true,
        }
    }

    /// Why it must not be begun now, if so. One that was begun in time is finished all the same.
    pub fn untimely(&self, now: Timestamp) -> Option<Problem> {
        match self {
            Self::Evm(charge) => charge.untimely(now),
            #[cfg(test)]
            Self::Toy(_) => None,
        }
    }

    /// Whether what is sent now might come too late.
    pub fn is_too_late(&self, now: Timestamp) -> bool {
        match self {
            Self::Evm(charge) => charge.is_too_late(now),
            #[cfg(test)]
            Self::Toy(_) => false,
        }
    }

    /// Until when it may be resumed once it was begun in time, and must be remembered.
    pub fn resumable_until(&self) -> Timestamp {
        match self {
            Self::Evm(charge) => charge.resumable_until(),
            #[cfg(test)]
            Self::Toy(coupon) => coupon.resumable_until(),
        }
    }
}

impl Reference {
    /// A name that the rail gives.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// As receipts show it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<B256> for Reference {
    /// That of a transaction: `0x` and 64 hexadecimal digits.
    fn from(transaction: B256) -> Self {
        Self(transaction.to_string())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
