//! The 402: what is asked for a priced request, as each wire says it.

use super::clock::now;
use super::config::{Isolate, doubt};
use super::failure::entropy;
use super::fresh::fresh;
use super::glue::Changes;
use super::paid::PaidRequest;
use super::respond::{problem, problem_with};
use super::snapshot::Located;
use crate::gateway::offer::{Asked, Circumstances, Offer};
use crate::rail::RailId;
use crate::rail::evm::Method;
use crate::wire::mpp::accept::preferred;
use crate::wire::problem::Problem;
use crate::wire::x402::Requested;
use web_sys::Response;
use worker::Result;

/// Why a client does not get what it asked for, and what it needs to go on with its channel.
pub(super) struct Rejection {
    pub(super) problem: Problem,
    pub(super) snapshot: Option<Located>,
    /// A header that says it in the client's own wire.
    pub(super) outcome: Option<(&'static str, String)>,
}

impl From<Problem> for Rejection {
    fn from(problem: Problem) -> Self {
        Self { problem, snapshot: None, outcome: None }
    }
}

/// Answers with a problem and, when its status is 402, what is asked for by each wire: a fresh challenge for each offer that the
/// client accepts, and the offers of x402. A rail that is down is not offered.
pub(super) async fn challenge(rejection: Rejection, request: &PaidRequest<'_>, asked: &Asked<'_>) -> Result<Response> {
    let PaidRequest { isolate, env, context, incoming, route, .. } = *request;
    let Rejection { problem: mut reason, snapshot, outcome } = rejection;
    if let Some((_, _, snapshot)) = &snapshot {
        reason.members = snapshot.members();
    }
    let mut headers = Changes::default();
    if let Some((name, value)) = &outcome {
        headers.set(name, value);
    }
    if reason.kind.status() != 402 {
        return problem_with(&reason, None, headers);
    }
    for rail in isolate.rails_in_doubt() {
        doubt(isolate, env, context, rail);
    }
    let gateway = &isolate.gateway;
    let is_offered = isolate.offered(route);
    let offers: Vec<&Offer> = route.offers.iter().filter(|offer| is_offered(offer.rail)).collect();
    let sponsored = sponsored(isolate, &offers).await;
    let snapshot = snapshot.as_ref().map(|(rail, method, snapshot)| (*rail, *method, snapshot));
    let names: Vec<(&str, &str)> = offers.iter().map(|offer| (offer.method(), offer.intent().name())).collect();
    let expires = now().saturating_add(gateway.challenge_lifetime);
    headers.set("vary", &format!("{}, Accept-Payment, Payment-Session", route.field.name()));
    let mut is_left_out = false;
    let mut challenges = Vec::new();
    for index in preferred(&names, incoming.header("accept-payment").as_deref()) {
        let Some(offer) = offers.get(index) else { continue };
        let fresh = match offer.first(route.description.as_deref()) {
            None => None,
            Some(ask) => match fresh(request, offer, ask).await {
                None => {
                    is_left_out = true;
                    continue;
                }
                found => found,
            },
        };
        let circumstances = Circumstances { sponsored: &sponsored, snapshot, fresh: fresh.as_ref() };
        let issued = offer.issue(asked, &gateway.binding_keys, route.description.as_deref(), &circumstances, expires, entropy()?);
        reason.challenge_id.get_or_insert(issued.id);
        challenges.push(issued.header);
    }
    if !challenges.is_empty() {
        headers.set("www-authenticate", &challenges.join(", "));
    }
    if is_left_out && reason.challenge_id.is_none() && route.exact.is_none() {
        return problem(&Problem::not_now("nothing can be asked for at the moment; ask again"));
    }
    let mut members = None;
    if let Some(exact) = &route.exact {
        let requested = Requested { url: &incoming.target.url(), method: &incoming.method };
        let is_offered = |index: usize| exact.rail(index).is_some_and(&is_offered);
        if let Some(header) = exact.offers.header(&requested, &reason.detail, is_offered) {
            headers.set("payment-required", &header);
        }
        members = exact.offers.v1_members(&requested, &reason.detail, is_offered);
    }
    problem_with(&reason, members.as_deref(), headers)
}

/// The rails of the sessions among `offers` on which the gateway submits openings for clients.
async fn sponsored(isolate: &Isolate, offers: &[&Offer]) -> Vec<RailId> {
    let mut sponsored = Vec::new();
    for offer in offers.iter().filter(|offer| offer.session().is_some_and(|session| session.method == Method::Evm)) {
        if let Ok(connection) = isolate.connection(offer.rail)
            && connection.sponsors().await
        {
            sponsored.push(offer.rail);
        }
    }
    sponsored
}
