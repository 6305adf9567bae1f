//! What a rail's network is asked for before it can make an offer, such as an invoice, for as many as one client gets
//! ([`crate::gateway::handout`]). Where nothing is to be had, the offer is left out.

use super::clock::now;
use super::paid::PaidRequest;
use crate::gateway::handout::{Handouts, Next, Wanted, client};
use crate::gateway::offer::Offer;
use crate::rail::{Ask, Fresh};
use std::cell::RefCell;
use worker::console_warn;

std::thread_local! {
    static HANDOUTS: RefCell<Handouts> = const { RefCell::new(Handouts::new()) };
}

/// What the network gives for an offer to this client. `None` when it gives nothing now, or was asked for too much.
pub(super) async fn fresh(request: &PaidRequest<'_>, offer: &Offer, ask: Ask) -> Option<Fresh> {
    let wanted = Wanted {
        rail: offer.rail,
        request: offer.request.clone(),
        method: request.asked.method.to_owned(),
        target: request.asked.target.to_owned(),
        client: client(&request.incoming.header("cf-connecting-ip").unwrap_or_default()),
    };
    match HANDOUTS.with_borrow_mut(|handouts| handouts.ask(&wanted, now())) {
        Next::Take(fresh) => return Some(fresh),
        Next::DoWithout => return None,
        Next::Ask => {}
    }
    let (terms, rail) = (offer.charge()?, request.isolate.rail(offer.rail).ok()?);
    let found = terms.freshen(&rail.ask(ask).await);
    HANDOUTS.with_borrow_mut(|handouts| handouts.given(wanted, found.as_ref(), now()));
    if found.is_none() {
        console_warn!("rail {}: its network gave nothing for an offer, which was left out", rail.rail.name());
    }
    found
}
