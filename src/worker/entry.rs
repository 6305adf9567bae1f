//! Where every request comes in.

use super::config::{Isolate, load};
use super::failure::{internal, misconfigured};
use super::origin::{Incoming, Outgoing, send};
use super::priced::{presented, priced, unpaid_authorization};
use super::respond::problem;
use super::watch::discard;
use super::{respond, status};
use crate::channel::is_bare;
use crate::gateway::Misconfigured;
use crate::gateway::config::{Gateway, Origin, Surface};
use crate::gateway::cors::Preflight;
use crate::gateway::path::Readings;
use crate::gateway::probe;
use crate::gateway::route::{Route, is_priced};
use crate::gateway::target::Target;
use crate::rail::evm::Intent;
use crate::wire::detect::Presented;
use crate::wire::mpp::credential::CredentialField;
use crate::wire::problem::{Problem, ProblemKind};
use std::time::Duration;
use web_sys::{Request, Response, Url};
use worker::{Context, Env, Result, event};

/// The origin may take this long for an unpriced request under a wrong configuration.
const DEFAULT_ORIGIN_TIMEOUT: Duration = Duration::from_secs(60);

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    match answer(request, env, context).await {
        Ok(response) => Ok(response),
        Err(error) => problem(&internal("fetch", error)),
    }
}

async fn answer(request: Request, env: Env, context: Context) -> Result<Response> {
    // What is priced must be what is sent on: the runtime resolves dot segments when it sends, so they are
    // resolved here already.
    let url = request.url();
    let resolved = || Target::parse(&Url::new(&url).map_or_else(|_| url.clone(), |url| url.href()));
    let Some(target) = Target::parse_resolved(&url).or_else(resolved) else {
        return problem(&Problem::new(ProblemKind::BadRequest, "the request has no absolute URL"));
    };
    let incoming = match Incoming::new(request, target) {
        Ok(incoming) => incoming,
        Err(reason) => return problem(&reason),
    };
    let loaded = load(&env);
    if let (Ok(isolate), Some(mark)) = (loaded.as_ref(), incoming.header(probe::HEADER))
        && let Some(answer) = probe::answer(&isolate.gateway.binding_keys, &mark)
    {
        return respond::looped(&answer);
    }
    if let Some(response) = status::answer(&loaded, &env, &context, &incoming).await? {
        return Ok(response);
    }
    match loaded.as_ref() {
        Ok(isolate) => route(isolate, &env, &context, incoming).await,
        Err(broken) => broken_route(broken, &env, &incoming).await,
    }
}

async fn route(isolate: &Isolate, env: &Env, context: &Context, incoming: Incoming) -> Result<Response> {
    let gateway = &isolate.gateway;
    let path = match gateway.origin.read(incoming.target.path()) {
        Ok(path) => path,
        Err(invalid) => return problem(&invalid.into()),
    };
    if let Some(preflight) = preflight_of(&incoming).filter(|preflight| preflight.is_priced(&gateway.router, &path)) {
        return preflighted(env, gateway, &incoming, &preflight).await;
    }
    let route = gateway.router.find(&incoming.method, &path).or_else(|| managed_route(gateway, &incoming, &path));
    match route {
        Some(route) => priced(isolate, env, context, &incoming, route).await,
        None => unpriced(env, &gateway.origin, &incoming, gateway.limits.origin_timeout).await,
    }
}

/// The route of a request that only manages a channel, whatever the route's own methods are.
fn managed_route<'a>(gateway: &'a Gateway, incoming: &Incoming, path: &Readings) -> Option<&'a Route> {
    if !is_bare(&incoming.method, || incoming.has_body()) {
        return None;
    }
    if ![CredentialField::Authorization, CredentialField::PaymentAuthorization].iter().any(|field| incoming.header(field.key()).is_some()) {
        return None;
    }
    let route = gateway.router.find_session(path)?;
    let (presented, _) = presented(incoming, route, gateway.limits.credential_bytes).ok()?;
    matches!(presented, Presented::Mpp(credential) if credential.challenge.intent == Intent::Session.name()).then_some(route)
}

/// A request without a price passes, but no credential goes with it.
async fn unpriced(env: &Env, origin: &Origin, incoming: &Incoming, limit: Duration) -> Result<Response> {
    let authorization = match unpaid_authorization(incoming) {
        Ok(authorization) => authorization,
        Err(reason) => return problem(&reason),
    };
    let response = match send(env, origin, incoming, authorization.as_deref(), None, limit).await {
        Ok(response) => response,
        Err(reason) => return problem(&reason),
    };
    let mut outgoing = Outgoing::new(&response, incoming, origin)?;
    // Unlike `Authorization`, a field of its own keeps no shared cache from storing the answer.
    if incoming.header(CredentialField::PaymentAuthorization.key()).is_some() {
        outgoing.keep_private()?;
    }
    outgoing.finish()
}

/// A browser's question whether a page may send a request.
fn preflight_of(incoming: &Incoming) -> Option<Preflight> {
    if incoming.method != "OPTIONS" || incoming.header("origin").is_none() {
        return None;
    }
    let headers = incoming.header("access-control-request-headers");
    Preflight::read(&incoming.header("access-control-request-method")?, headers.as_deref())
}

/// Whether a page may send a priced request is the origin's to say. One that does not say, or cannot be reached, leaves it to the
/// gateway.
async fn preflighted(env: &Env, gateway: &Gateway, incoming: &Incoming, preflight: &Preflight) -> Result<Response> {
    let authorization = match unpaid_authorization(incoming) {
        Ok(authorization) => authorization,
        Err(reason) => return problem(&reason),
    };
    let origin = &gateway.origin;
    if let Ok(response) = send(env, origin, incoming, authorization.as_deref(), None, gateway.limits.origin_timeout).await {
        let mut outgoing = Outgoing::new(&response, incoming, origin)?;
        if outgoing.is_open_to_pages() {
            outgoing.allow_payment_headers()?;
            return outgoing.finish();
        }
        discard(&response);
    }
    respond::preflight(preflight)
}

/// Under a wrong configuration paid routes are closed, and so is everything when it is unknown which are.
async fn broken_route(broken: &Misconfigured, env: &Env, incoming: &Incoming) -> Result<Response> {
    let Some(Surface { origin, priced }) = &broken.surface else { return problem(&misconfigured(&broken.errors)) };
    match origin.read(incoming.target.path()) {
        Ok(path) if is_priced(priced, &incoming.method, &path) => problem(&misconfigured(&broken.errors)),
        Ok(_) => unpriced(env, origin, incoming, DEFAULT_ORIGIN_TIMEOUT).await,
        Err(invalid) => problem(&invalid.into()),
    }
}
