//! What a rail asks its network for before it can make an offer, such as an invoice. Whoever does not pay causes it, so it is asked for once
//! for each client and offer until what came of it expires, and only so often in all: then the offer is left out.

use super::clock::now;
use super::config::load;
use super::paid::PaidRequest;
use super::shared::shared;
use crate::gateway::offer::Offer;
use crate::gateway::shared::{Bounds, Shared};
use crate::rail::{Ask, Fresh, RailId};
use std::cell::RefCell;
use std::time::Duration;
use worker::console_warn;

/// How often an isolate asks, whoever causes it.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(10), per_second: 16 };

/// What was given is not given out any more when less than this is left of it.
const LEAST: Duration = Duration::from_secs(60);

/// A network that gave nothing is not asked again for the same client so soon.
const NOTHING_LIFETIME: Duration = Duration::from_secs(2);

/// An offer, as its rail and request object name it, and for whom.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    rail: RailId,
    request: String,
    client: String,
}

std::thread_local! {
    static KNOWN: RefCell<Shared<Wanted, Option<Fresh>>> = const { RefCell::new(Shared::new(BOUNDS)) };
}

/// What the network gives for an offer to this client. `None` when it gives nothing now, or was asked for too much.
pub(super) async fn fresh(request: &PaidRequest<'_>, offer: &Offer, ask: Ask) -> Option<Fresh> {
    let client = request.incoming.header("cf-connecting-ip").unwrap_or_default();
    let wanted = Wanted { rail: offer.rail, request: offer.request.clone(), client };
    let find_out = {
        let (env, rail, terms) = (request.env.clone(), offer.rail, offer.charge()?.clone());
        move || async move {
            let loaded = load(&env);
            let state = loaded.as_ref().as_ref().ok().and_then(|isolate| isolate.rail(rail).ok());
            let found = match state {
                Some(state) => terms.freshen(&state.ask(ask).await),
                None => None,
            };
            let lifetime = found.as_ref().map_or(NOTHING_LIFETIME, |fresh| fresh.until.since(now()).saturating_sub(LEAST));
            (found, lifetime)
        }
    };
    let found = shared(request.context, &KNOWN, wanted, find_out).await.flatten();
    if found.is_none() {
        console_warn!("rail {:?}: an offer was left out, since its network gave nothing for it", offer.rail);
    }
    found
}
