//! What a rail is to the rest of the house before there is a payment: its configuration, what it asks for, and how a proof of it is read.

use super::step::{Answer, Ask, Progress, Step};
use super::{Payment, evm};
use crate::evm::ChainId;
use crate::evm::eip712::Domain;
use crate::money::Amount;
use crate::time::Timestamp;
use crate::wire::mpp::credential::Credential;
use crate::wire::problem::Problem;
use crate::wire::x402::{Accepted, Flow, PaymentPayload, Requirement};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// A rail as it is configured, its secrets included: what it shows by `Debug` holds none.
pub trait AnyRail: fmt::Debug {
    /// What routes and secrets call it.
    fn name(&self) -> &str;

    /// What must be done next to have a payment settled.
    fn next(&self, payment: &Payment, progress: &Progress) -> Step;

    /// Whether a payment is one of this rail's.
    fn owns(&self, payment: &Payment) -> bool;

    /// Whether it can finish a payment of a rail that is not configured any more.
    fn can_finish(&self, payment: &Payment) -> bool {
        self.owns(payment)
    }

    /// Where its network is one of JSON-RPC nodes, its EIP-155 chain id and their endpoints, in order of preference. They may hold keys.
    fn node(&self) -> Option<(ChainId, &[String])> {
        None
    }

    /// What shows whether its provider is there, and takes us for who we are, where that is not a chain: an answer of 2xx.
    fn probe(&self) -> Option<Ask> {
        None
    }

    /// Its settings where it is an EVM network: sessions and the settlement account are on one.
    fn evm(&self) -> Option<&Arc<evm::Rail>> {
        None
    }
}

/// A rail as far as its configuration is right: enough for routes to be judged. Its secrets may be missing, and its endpoints wrong.
pub trait AnyDraft {
    /// What routes and secrets call it.
    fn name(&self) -> &str;

    /// Where its fields stand in the configuration, such as `rails[1].`; empty for the one of the short form.
    fn at(&self) -> &str;

    /// What its prices are in, such as `USD`.
    fn currency(&self) -> &str;

    /// The decimal places of that in the amounts that are paid.
    fn decimals(&self) -> u8;

    /// The payment methods by which it can be paid, in the order in which they are offered.
    fn methods(&self) -> Vec<&str>;

    /// Why a price of `amount` base units cannot be asked for.
    ///
    /// # Errors
    /// A clause about the price.
    fn check_price(&self, amount: Amount) -> Result<(), &'static str> {
        if amount == Amount::ZERO { Err("is zero") } else { Ok(()) }
    }

    /// What tells its payments from those of other rails, such as the name of its network; two rails with the same are one. EVM networks
    /// are told by their tokens.
    fn territory(&self) -> Option<String> {
        None
    }

    /// What a charge of `amount` base units asks for by one of its methods.
    fn charge(&self, method: &str, amount: Amount) -> Option<Arc<dyn Terms>>;

    /// The same over x402, if the rail can be paid by that.
    fn exact(&self, amount: Amount) -> Option<Arc<dyn Terms>> {
        let _ = amount;
        None
    }

    /// It, where it is an EVM network: sessions are sold on one.
    fn evm(&self) -> Option<&evm::Draft> {
        None
    }

    /// The rail, when nothing is missing.
    fn finish(self: Box<Self>) -> Option<Arc<dyn AnyRail>>;
}

/// What one way of paying for one request asks for, and how it is proven.
pub trait Terms: fmt::Debug {
    /// The payment method, as the parameter `method` of a challenge says it.
    fn method(&self) -> &str;

    /// What is asked for, in base units.
    fn amount(&self) -> Amount;

    /// The JCS form of the request object of a challenge, with a line for people, and with what was asked for first.
    fn request(&self, description: Option<&str>, fresh: Option<&Fresh>) -> String;

    /// What the network must be asked before this can be offered, such as an invoice. Unpaid requests cause it, so the shell asks it only so
    /// often; where it cannot be asked, this is not offered.
    ///
    /// `description`: a line for people.
    fn first(&self, description: Option<&str>) -> Option<Ask> {
        let _ = description;
        None
    }

    /// Whether there is something to ask first.
    fn asks_first(&self) -> bool {
        false
    }

    /// Reads what [`Terms::first`] was answered. `None` when that will not do.
    fn freshen(&self, answer: &Answer) -> Option<Fresh> {
        let _ = answer;
        None
    }

    /// Reads the proof in the answer to a challenge of this offer, which expires at `expires`, and checks all of it that can be checked
    /// offline.
    ///
    /// # Errors
    /// The problem to answer with; its detail names the field.
    fn read(&self, credential: &Credential, expires: Timestamp) -> Result<Proof, Problem>;

    /// What is asked for over x402; a payment is to be good for `max_timeout_seconds`.
    fn requirement(&self, flow: Flow, max_timeout_seconds: u32) -> Option<Requirement> {
        let _ = (flow, max_timeout_seconds);
        None
    }

    /// Reads a payment over x402 as [`Terms::read`] does a credential. It is bound to its request afterwards ([`Payment::for_request`]).
    ///
    /// # Errors
    /// 402 with its reason; the detail names the field.
    fn read_exact(&self, payment: &PaymentPayload, accepted: &Accepted<'_>) -> Result<Proof, Problem> {
        let _ = (payment, accepted);
        Err(Problem::unavailable("the rail is not paid by x402"))
    }
}

/// What the network gave for an offer, for one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// As the request object holds it.
    pub value: String,
    /// Until when it can be paid.
    pub until: Timestamp,
}

/// A proof that was read.
pub enum Proof {
    /// It is right as far as can be told offline.
    Checked(Box<Payment>),
    /// It is right but for its signature, which is made in the domain of the rail's token: what checks it there.
    Signed(Box<SignatureCheck>),
}

/// Checks a signature, which costs most, so it comes last.
pub type SignatureCheck = dyn FnOnce(&Domain) -> Result<Payment, Problem>;

/// What is answered for a payment of another rail, which nobody asks for.
pub(super) fn not_ours() -> Step {
    Step::Prepared(super::Prepared::Unknown(Problem::unavailable("the payment's rail is not configured")))
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked(payment) => f.debug_tuple("Checked").field(payment).finish(),
            Self::Signed(_) => f.write_str("Signed(…)"),
        }
    }
}
