//! Rails: how money is proven and moved. A rail knows no HTTP of ours.
//!
//! A rail is a folder here, an arm of [`Payment`], and a row in the table of kinds of `gateway/validate/rails.rs`. It reads its own part of
//! the configuration ([`AnyDraft`], [`AnyRail`]), says what a price asks for ([`Terms`]), and reads and checks a proof offline. From there on
//! it says step by step what is to be done until the money is there: [`AnyRail::next`] is asked with what is known so far, its [`Step`] is
//! done by the one loop of the shell that serves all rails (`worker/objects/payer`), and it is asked again with the answer. A
//! [`Purchase`](crate::purchase::Purchase) sees to it that one payment buys one delivery, whatever the rail.
//!
//! docs/architecture.md walks through the adding of one.

mod configured;
pub mod evm;
pub mod http;
pub mod lightning;
mod step;
pub mod tempo;
#[cfg(test)]
pub(crate) mod toy;

pub use configured::{AnyDraft, AnyRail, Fresh, Proof, SignatureCheck, Terms};
pub use step::{Answer, Ask, Prepared, Progress, Send, Step};

use crate::evm::{B256, ChainId};
use crate::money::Amount;
use crate::settlement::Purpose;
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;
use evm::charge::Charge;
use serde::{Deserialize, Serialize};

/// What was begun while its challenge was good may be gone on with for so long after that.
pub const RESUMABLE: Duration = Duration::from_secs(24 * 60 * 60);

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
    /// A transaction on Tempo, or a proof of who asks.
    Tempo(tempo::Charge),
    /// An invoice that was paid over the Lightning network.
    Lightning(lightning::Charge),
    /// Coupons.
    #[cfg(test)]
    Toy(toy::Coupon),
}

/// What names a payment on its rail once the money is there, such as the hash of a transaction. Receipts show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(String);

impl Payment {
    /// What looks for the payment in the settlement account's outbox, without sending anything. `None` where nothing is sent through it.
    pub fn search(&self, presented: Timestamp) -> Option<Purpose> {
        match self {
            Self::Evm(charge) => Some(charge.purpose(presented)),
            Self::Tempo(_) | Self::Lightning(_) => None,
            #[cfg(test)]
            Self::Toy(_) => None,
        }
    }

    /// The object that remembers it, by name. Everything that could buy with the same money is remembered there.
    pub fn holder(&self) -> String {
        match self {
            Self::Evm(charge) => charge.holder(),
            Self::Tempo(charge) => charge.holder(),
            Self::Lightning(charge) => charge.holder(),
            #[cfg(test)]
            Self::Toy(coupon) => coupon.holder(),
        }
    }

    /// What makes its proof unique there.
    pub fn id(&self) -> B256 {
        match self {
            Self::Evm(charge) => charge.signed.authorization.nonce,
            Self::Tempo(charge) => charge.id(),
            Self::Lightning(charge) => charge.id(),
            #[cfg(test)]
            Self::Toy(coupon) => coupon.id(),
        }
    }

    /// What was promised for it ([`Ask::Promise`]), to be released once it is known what became of it: the object that keeps it, and what it is
    /// called there.
    pub fn promised(&self) -> Option<(String, B256)> {
        match self {
            Self::Tempo(charge) => charge.promised(),
            _ => None,
        }
    }

    /// Whether its holder remembers the payments of one payer alone, who has signed for this one: what one payer may have on their way is bounded.
    pub const fn is_of_one_payer(&self) -> bool {
        match self {
            Self::Evm(_) => true,
            Self::Tempo(charge) => charge.is_sent_by_us(),
            Self::Lightning(_) => false,
            #[cfg(test)]
            Self::Toy(_) => false,
        }
    }

    /// What it takes from the payer.
    pub fn amount(&self) -> Amount {
        match self {
            Self::Evm(charge) => charge.signed.authorization.value,
            Self::Tempo(charge) => charge.amount(),
            Self::Lightning(charge) => charge.amount(),
            #[cfg(test)]
            Self::Toy(coupon) => coupon.amount(),
        }
    }

    /// Who pays, as receipts and the origin are told; `None` where nobody is named.
    pub fn payer(&self) -> Option<String> {
        match self {
            Self::Evm(charge) => Some(charge.signed.authorization.from.to_checksum(None)),
            Self::Tempo(charge) => Some(charge.payer.to_checksum(None)),
            Self::Lightning(_) => None,
            #[cfg(test)]
            Self::Toy(_) => None,
        }
    }

    /// EIP-155 chain id, where it is paid on a chain that has one.
    pub const fn chain_id(&self) -> Option<ChainId> {
        match self {
            Self::Evm(charge) => Some(charge.asset.chain_id),
            Self::Tempo(charge) => Some(charge.chain_id),
            Self::Lightning(_) => None,
            #[cfg(test)]
            Self::Toy(_) => None,
        }
    }

    /// The id of the challenge that it answers, if there is one.
    pub fn challenge_id(&self) -> Option<&str> {
        match self {
            Self::Evm(charge) => charge.challenge_id(),
            Self::Tempo(charge) => Some(&charge.challenge),
            Self::Lightning(charge) => Some(charge.challenge_id()),
            #[cfg(test)]
            Self::Toy(coupon) => Some(coupon.challenge_id()),
        }
    }

    /// The same, made for the request that hashes to `request`, where it answers no challenge.
    #[must_use]
    pub fn for_request(self, request: B256) -> Self {
        match self {
            Self::Evm(charge) => Self::Evm(charge.for_request(request)),
            Self::Tempo(_) | Self::Lightning(_) => self,
            #[cfg(test)]
            Self::Toy(_) => self,
        }
    }

    /// Whether both are the same payment for the same thing, whatever valid signature each came with.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Evm(charge), Self::Evm(other)) => charge.is_same(other),
            (Self::Tempo(charge), Self::Tempo(other)) => charge.is_same(other),
            (Self::Lightning(charge), Self::Lightning(other)) => charge.is_same(other),
            #[cfg(test)]
            (Self::Toy(coupon), Self::Toy(other)) => coupon == other,
            _ => false,
        }
    }

    /// Whether its proof says by itself what it was made for; else whoever has seen it may have made something of it.
    pub const fn is_bound(&self) -> bool {
        match self {
            Self::Evm(charge) => charge.is_bound(),
            Self::Tempo(_) | Self::Lightning(_) => true,
            #[cfg(test)]
            Self::Toy(_) => true,
        }
    }

    /// Why it must not be begun now, if so. One that was begun in time is finished all the same.
    pub fn untimely(&self, now: Timestamp) -> Option<Problem> {
        match self {
            Self::Evm(charge) => charge.untimely(now),
            Self::Tempo(charge) => charge.untimely(now),
            // Whoever can prove it has paid already.
            Self::Lightning(_) => None,
            #[cfg(test)]
            Self::Toy(coupon) => coupon.untimely(now),
        }
    }

    /// Whether what is sent now might come too late.
    pub fn is_too_late(&self, now: Timestamp) -> bool {
        match self {
            Self::Evm(charge) => charge.is_too_late(now),
            Self::Tempo(charge) => charge.is_too_late(now),
            Self::Lightning(_) => false,
            #[cfg(test)]
            Self::Toy(_) => false,
        }
    }

    /// Until when it may be resumed once it was begun in time, and must be remembered.
    pub fn resumable_until(&self) -> Timestamp {
        match self {
            Self::Evm(charge) => charge.resumable_until(),
            Self::Tempo(charge) => charge.resumable_until(),
            Self::Lightning(charge) => charge.resumable_until(),
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
