//! Payments over the Lightning network (`draft-lightning-charge-00`): a node of the payee's makes an invoice for each challenge, and the
//! preimage that the payer got for paying it is the proof.
//!
//! What proves a payment is its preimage, whose SHA-256 stands in the invoice, which the challenge binds: no network is needed to check it.
//! Everybody on the way of a payment learns its preimage; only who was given the challenge can answer it.

mod charge;
pub(crate) mod configuration;
pub mod invoice;
mod node;

pub use charge::Charge;
pub use node::{Node, NodeKind};

use super::configured::not_ours;
use super::{Answer, AnyRail, Ask, Payment, Prepared, Progress, Reference, Step};
use crate::wire::problem::Problem;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The payment method, as challenges name it.
pub const METHOD: &str = "lightning";

/// A network of bitcoin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Where bitcoin are worth something.
    Mainnet,
    /// The public one for trying.
    Testnet,
    /// The other public one, whose blocks are signed.
    Signet,
    /// A local one.
    Regtest,
}

/// What is configured.
pub struct Rail {
    name: String,
    network: Network,
    node: Node,
    /// Whether the node is asked if it has the money.
    check_settled: bool,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mainnet, Self::Testnet, Self::Signet, Self::Regtest];

    /// As challenges and the configuration name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }

    /// As invoices name it, behind `ln`.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Mainnet => "bc",
            Self::Testnet => "tb",
            Self::Signet => "tbs",
            Self::Regtest => "bcrt",
        }
    }
}

impl AnyRail for Rail {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&self, payment: &Payment, progress: &Progress) -> Step {
        let Payment::Lightning(charge) = payment else { return not_ours() };
        // Whoever has the preimage has paid: no money moves from here on.
        let settled = || Prepared::Settled(Reference::new(charge.reference()));
        let unknown = |why| Prepared::Unknown(Problem::unavailable(why));
        Step::Prepared(match progress.answers.last() {
            None if self.check_settled => return Step::Ask(Ask::Http(self.node.look_up(charge.payment_hash()))),
            None => settled(),
            Some(Answer::Http(200, body)) if self.node.has_been_paid(body) => settled(),
            Some(Answer::Http(200, _)) => unknown("the node has not settled the invoice yet"),
            Some(_) => unknown("the node does not say whether the invoice is settled"),
        })
    }

    fn owns(&self, payment: &Payment) -> bool {
        matches!(payment, Payment::Lightning(charge) if charge.network() == self.network)
    }

    fn probe(&self) -> Option<Ask> {
        Some(Ask::Http(self.node.probe()))
    }
}

impl fmt::Debug for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rail").field("name", &self.name).field("network", &self.network).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
