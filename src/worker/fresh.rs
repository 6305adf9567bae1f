//! What a rail asks its network for before it can make an offer, such as an invoice. Whoever does not pay causes it, so who asks for the same
//! again and again gets the same for a while, and it is only asked for so often in all: then the offer is left out.

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

/// What was given is given out again for so long, to who asks for the same. Not for longer: once it is paid, nobody can pay it again.
const LIFETIME: Duration = Duration::from_secs(10);

/// A network that gave nothing is not asked again for the same client so soon.
const NOTHING_LIFETIME: Duration = Duration::from_secs(2);

/// An offer, as its rail and request object name it, for what, and for whom.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    rail: RailId,
    request: String,
    method: String,
    target: String,
    client: String,
}

std::thread_local! {
    static KNOWN: RefCell<Shared<Wanted, Option<Fresh>>> = const { RefCell::new(Shared::new(BOUNDS)) };
}

/// What the network gives for an offer to this client. `None` when it gives nothing now, or was asked for too much.
pub(super) async fn fresh(request: &PaidRequest<'_>, offer: &Offer, ask: Ask) -> Option<Fresh> {
    let client = request.incoming.header("cf-connecting-ip").unwrap_or_default();
    let (method, target) = (request.asked.method.to_owned(), request.asked.target.to_owned());
    let wanted = Wanted { rail: offer.rail, request: offer.request.clone(), method, target, client };
    let find_out = {
        let (env, rail, terms) = (request.env.clone(), offer.rail, offer.charge()?.clone());
        move || async move {
            let loaded = load(&env);
            let state = loaded.as_ref().as_ref().ok().and_then(|isolate| isolate.rail(rail).ok());
            let found = match state {
                Some(state) => terms.freshen(&state.ask(ask).await),
                None => None,
            };
            let lifetime = found.as_ref().map_or(NOTHING_LIFETIME, |fresh| fresh.until.since(now()).min(LIFETIME));
            (found, lifetime)
        }
    };
    let found = shared(request.context, &KNOWN, wanted, find_out).await.flatten();
    if found.is_none() {
        console_warn!("rail {:?}: an offer was left out, since its network gave nothing for it", offer.rail);
    }
    found
}
