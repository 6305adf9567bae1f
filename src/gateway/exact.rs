//! What a route asks for over x402: its charges, by the scheme `exact`.

use super::config::Settle;
use crate::rail::RailId;
use crate::rail::evm::charge::ChargeTerms;
use crate::rail::evm::exact::requirement;
use crate::wire::x402::{Accepted, Flow, Offers};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// One charge, and the rail that it is paid by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactCharge {
    /// The rail.
    pub rail: RailId,
    /// What is asked for.
    pub terms: ChargeTerms,
    /// Name and version of the token's EIP-712 domain, as the configuration says.
    pub domain: (String, String),
}

/// A route's charges over x402. Those whose token's domain is not configured cannot be among them: clients are told it.
#[derive(Clone, Debug)]
pub struct ExactOffers {
    /// As clients read them.
    pub offers: Offers,
    /// In the same order.
    charges: Vec<ExactCharge>,
}

impl ExactOffers {
    /// `None` when there is no charge. A client's authorization is to be good for `lifetime`.
    pub fn new(charges: Vec<ExactCharge>, description: Option<&str>, settle: Settle, lifetime: Duration) -> Option<Self> {
        let flow = match settle {
            Settle::First => Flow::Upfront,
            Settle::AfterOrigin => Flow::Authorization,
        };
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let requirements = charges.iter().map(|charge| requirement(&charge.terms, &charge.domain.0, &charge.domain.1, flow, seconds));
        let offers = Offers::new(requirements.collect(), description, None);
        (!charges.is_empty()).then_some(Self { offers, charges })
    }

    /// The charge that a payment answers.
    pub fn charge(&self, accepted: &Accepted<'_>) -> Option<&ExactCharge> {
        self.charges.get(accepted.index)
    }

    /// The rails of the charges, in order.
    pub fn rails(&self) -> impl Iterator<Item = RailId> {
        self.charges.iter().map(|charge| charge.rail)
    }

    /// The rail of the charge at this place.
    pub fn rail(&self, index: usize) -> Option<RailId> {
        self.charges.get(index).map(|charge| charge.rail)
    }
}
