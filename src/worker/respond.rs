//! The gateway's own answers.

use super::clock::now;
use super::config::Isolate;
use super::connection::doubt;
use super::glue::Changes;
use super::paid::PaidRequest;
use crate::gateway::cors::{EXPOSED_HEADERS, Preflight};
use crate::gateway::offer::{Asked, Circumstances, Entropy, Offer};
use crate::gateway::probe;
use crate::gateway::route::Route;
use crate::rail::RailId;
use crate::rail::evm::Method;
use crate::rail::evm::session::Snapshot;
use crate::wire::mpp::accept::preferred;
use crate::wire::problem::{FieldError, Problem, ProblemKind};
use crate::wire::x402::Requested;
use std::fmt;
use web_sys::Response;
use worker::{Result, console_error};

/// Answers with a problem.
pub(super) fn problem(problem: &Problem) -> Result<Response> {
    problem_with(problem, None, Changes::default())
}

/// Answers with a problem, and more members of its JSON.
fn problem_with(problem: &Problem, members: Option<&str>, mut headers: Changes) -> Result<Response> {
    headers.set("content-type", "application/problem+json");
    headers.set("cache-control", "no-store");
    if let Some(seconds) = problem.retry_after {
        headers.set("retry-after", &format!("{seconds}"));
    }
    // The answer holds nothing private, so a page of any origin may read it.
    headers.set("access-control-allow-origin", "*");
    headers.set("access-control-expose-headers", &EXPOSED_HEADERS.join(", "));
    let body = members.map_or_else(|| problem.to_json(), |members| problem.to_json_with(members));
    Ok(headers.answer(problem.kind.status(), Some(&body))?)
}

/// Answers with JSON.
pub(super) fn json(body: &str, status: u16) -> Result<Response> {
    let mut headers = Changes::default();
    headers.set("content-type", "application/json");
    headers.set("cache-control", "no-store");
    headers.set("access-control-allow-origin", "*");
    Ok(headers.answer(status, Some(body))?)
}

/// Tells a gateway that its origin is itself.
pub(super) fn looped(answer: &str) -> Result<Response> {
    let mut headers = Changes::default();
    headers.set("cache-control", "no-store");
    headers.set(probe::HEADER, answer);
    Ok(headers.answer(508, None)?)
}

/// Tells a browser that a page may send the request that it asked about.
pub(super) fn preflight(preflight: &Preflight) -> Result<Response> {
    let mut headers = Changes::default();
    headers.set("cache-control", "no-store");
    for (name, value) in preflight.answer() {
        headers.set(name, &value);
    }
    Ok(headers.answer(204, None)?)
}

/// Why a client does not get what it asked for, and what it needs to go on with its channel.
pub(super) struct Rejection {
    pub(super) problem: Problem,
    pub(super) snapshot: Option<(RailId, Method, Snapshot)>,
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
    for rail in isolate.rails_down() {
        doubt(isolate, env, context, rail);
    }
    let gateway = &isolate.gateway;
    let sponsored = sponsored(isolate, route).await;
    let circumstances =
        Circumstances { sponsored: &sponsored, snapshot: snapshot.as_ref().map(|(rail, method, snapshot)| (*rail, *method, snapshot)) };
    let offers: Vec<&Offer> = route.offers.iter().filter(|offer| isolate.offers(offer.rail)).collect();
    let names: Vec<(&str, &str)> = offers.iter().map(|offer| (offer.method.name(), offer.intent().name())).collect();
    let expires = now().saturating_add(gateway.challenge_lifetime);
    headers.set("vary", &format!("{}, Accept-Payment, Payment-Session", route.field.name()));
    for index in preferred(&names, incoming.header("accept-payment").as_deref()) {
        let Some(offer) = offers.get(index) else { continue };
        let issued = offer.issue(asked, &gateway.binding_keys, route.description.as_deref(), &circumstances, expires, entropy()?);
        reason.challenge_id.get_or_insert(issued.id);
        headers.set("www-authenticate", &issued.header);
    }
    let mut members = None;
    if let Some(exact) = &route.exact {
        let requested = Requested { url: &incoming.target.url(), method: &incoming.method };
        let is_offered = |index: usize| exact.rail(index).is_some_and(|rail| isolate.offers(rail));
        if let Some(header) = exact.offers.header(&requested, &reason.detail, is_offered) {
            headers.set("payment-required", &header);
        }
        members = exact.offers.v1_members(&requested, &reason.detail, is_offered);
    }
    problem_with(&reason, members.as_deref(), headers)
}

/// The rails of a route's sessions on which the gateway submits openings for clients.
async fn sponsored(isolate: &Isolate, route: &Route) -> Vec<RailId> {
    let mut sponsored = Vec::new();
    for offer in route.offers.iter().filter(|offer| offer.session().is_some() && offer.method == Method::Evm) {
        if let Ok(connection) = isolate.connection(offer.rail)
            && connection.sponsors().await
        {
            sponsored.push(offer.rail);
        }
    }
    sponsored
}

pub(super) fn entropy() -> Result<Entropy> {
    let mut entropy = Entropy::default();
    getrandom::fill(&mut entropy).map_err(|error| worker::Error::RustError(format!("entropy: {error}")))?;
    Ok(entropy)
}

/// The problem of a wrong configuration.
pub(super) fn misconfigured(errors: &[FieldError]) -> Problem {
    let first = errors.first().map_or_else(|| "".into(), |error| format!(": {} {}", error.field, error.detail));
    let mut problem = Problem::new(ProblemKind::Internal, format!("the gateway's configuration is wrong{first}"));
    problem.errors = errors.to_vec();
    problem
}

/// Logs what failed under a reference and gives the problem that shows only the reference.
pub(super) fn internal(what: &str, error: impl fmt::Debug) -> Problem {
    let reference = entropy().map(crate::wire::encoding::to_base64url).unwrap_or_default();
    console_error!("{reference}: {what}: {error:?}");
    Problem::new(ProblemKind::Internal, format!("the gateway failed; its log says more under {reference}, so tell that to its operator"))
}

/// [`internal`] for a JavaScript error.
pub(super) fn failed(what: &str) -> impl Fn(worker::Error) -> Problem + '_ {
    move |error| internal(what, error)
}
