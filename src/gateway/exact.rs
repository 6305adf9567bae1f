//! What a route asks for over x402: its charges, by the scheme `exact`.

use super::config::Settle;
use crate::rail::{RailId, Terms};
use crate::wire::x402::{Accepted, Flow, Offers};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// A route's charges over x402. Those that cannot be told to its clients (a token whose domain is not configured) are not among them.
#[derive(Clone, Debug)]
pub struct ExactOffers {
    /// As clients read them.
    pub offers: Offers,
    /// In the same order.
    charges: Vec<(RailId, Arc<dyn Terms>)>,
}

impl ExactOffers {
    /// `None` when there is no charge. A client's authorization is to be good for `lifetime`.
    pub fn new(charges: Vec<(RailId, Arc<dyn Terms>)>, description: Option<&str>, settle: Settle, lifetime: Duration) -> Option<Self> {
        let flow = match settle {
            Settle::First => Flow::Upfront,
            Settle::AfterOrigin => Flow::Authorization,
        };
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let asked = charges.into_iter().filter_map(|(rail, terms)| Some((terms.requirement(flow, seconds)?, (rail, terms))));
        let (requirements, charges): (Vec<_>, Vec<_>) = asked.unzip();
        let offers = Offers::new(requirements, description, None);
        (!charges.is_empty()).then_some(Self { offers, charges })
    }

    /// The charge that a payment answers, and its rail.
    pub fn charge(&self, accepted: &Accepted<'_>) -> Option<(RailId, &dyn Terms)> {
        self.charges.get(accepted.index).map(|(rail, terms)| (*rail, terms.as_ref()))
    }

    /// The rails of the charges, in order.
    pub fn rails(&self) -> impl Iterator<Item = RailId> {
        self.charges.iter().map(|(rail, _)| *rail)
    }

    /// The rail of the charge at this place.
    pub fn rail(&self, index: usize) -> Option<RailId> {
        self.charges.get(index).map(|(rail, _)| *rail)
    }
}
