//! The gateway's own answers.

use super::clock::now;
use super::config::Isolate;
use super::glue::Changes;
use crate::gateway::cors::{EXPOSED_HEADERS, Preflight};
use crate::gateway::offer::{Asked, Circumstances, Entropy};
use crate::gateway::probe;
use crate::gateway::route::Route;
use crate::rail::RailId;
use crate::rail::evm::Method;
use crate::rail::evm::session::Snapshot;
use crate::wire::mpp::accept::preferred;
use crate::wire::problem::{FieldError, Problem, ProblemKind};
use std::fmt;
use web_sys::Response;
use worker::{Result, console_error};

/// Answers with a problem.
pub(super) fn problem(problem: &Problem) -> Result<Response> {
    problem_with(problem, Changes::default())
}

fn problem_with(problem: &Problem, mut headers: Changes) -> Result<Response> {
    headers.set("content-type", "application/problem+json");
    headers.set("cache-control", "no-store");
    if let Some(seconds) = problem.retry_after {
        headers.set("retry-after", &format!("{seconds}"));
    }
    // The answer holds nothing private, so a page of any origin may read it.
    headers.set("access-control-allow-origin", "*");
    headers.set("access-control-expose-headers", &EXPOSED_HEADERS.join(", "));
    Ok(headers.answer(problem.kind.status(), Some(&problem.to_json()))?)
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
}

impl From<Problem> for Rejection {
    fn from(problem: Problem) -> Self {
        Self { problem, snapshot: None }
    }
}

/// Answers with a problem and, when its status is 402, a fresh challenge for each offer that the client
/// accepts.
pub(super) async fn challenge(
    rejection: Rejection,
    isolate: &Isolate,
    route: &Route,
    asked: &Asked<'_>,
    accept_payment: Option<&str>,
) -> Result<Response> {
    let Rejection { problem: mut reason, snapshot } = rejection;
    if let Some((_, _, snapshot)) = &snapshot {
        reason.members = snapshot.members();
    }
    if reason.kind.status() != 402 {
        return problem(&reason);
    }
    let gateway = &isolate.gateway;
    let sponsored = sponsored(isolate, route).await;
    let circumstances =
        Circumstances { sponsored: &sponsored, snapshot: snapshot.as_ref().map(|(rail, method, snapshot)| (*rail, *method, snapshot)) };
    let names: Vec<(&str, &str)> = route.offers.iter().map(|offer| (offer.method.name(), offer.intent().name())).collect();
    let expires = now().saturating_add(gateway.challenge_lifetime);
    let mut headers = Changes::default();
    headers.set("vary", &format!("{}, Accept-Payment, Payment-Session", route.field.name()));
    for index in preferred(&names, accept_payment) {
        let Some(offer) = route.offers.get(index) else { continue };
        let issued = offer.issue(asked, &gateway.binding_keys, route.description.as_deref(), &circumstances, expires, entropy()?);
        reason.challenge_id.get_or_insert(issued.id);
        headers.set("www-authenticate", &issued.header);
    }
    problem_with(&reason, headers)
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
