//! Where every request comes in.

use super::challenge::{Rejection, challenge};
use super::config::{Isolate, load};
use super::failure::{internal, misconfigured};
use super::origin::{Incoming, Outgoing, send};
use super::paid::PaidRequest;
use super::respond::problem;
use super::watch::discard;
use super::{respond, status};
use crate::channel::is_bare;
use crate::gateway::Broken;
use crate::gateway::config::{Gateway, Origin, Surface};
use crate::gateway::cors::Preflight;
use crate::gateway::offer::Asked;
use crate::gateway::path::Readings;
use crate::gateway::probe;
use crate::gateway::route::{Route, is_priced};
use crate::gateway::target::{LONGEST_PRICED, Target};
use crate::rail::evm::Intent;
use crate::wire::detect::{Fields, Presented};
use crate::wire::mpp::credential::{AuthorizationHeader, CredentialField, split_authorization, without_payment};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::x402::Version;
use std::borrow::Cow;
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
async fn broken_route(broken: &Broken, env: &Env, incoming: &Incoming) -> Result<Response> {
    let Some(Surface { origin, priced }) = &broken.surface else { return problem(&misconfigured(&broken.errors)) };
    match origin.read(incoming.target.path()) {
        Ok(path) if is_priced(priced, &incoming.method, &path) => problem(&misconfigured(&broken.errors)),
        Ok(_) => unpriced(env, origin, incoming, DEFAULT_ORIGIN_TIMEOUT).await,
        Err(invalid) => problem(&invalid.into()),
    }
}

async fn priced(isolate: &Isolate, env: &Env, context: &Context, incoming: &Incoming, route: &Route) -> Result<Response> {
    let gateway = &isolate.gateway;
    if !incoming.target.is_confidential() {
        return problem(&Problem::new(ProblemKind::BadRequest, "payments are taken over https only; send the request to the https URL"));
    }
    if incoming.is_websocket() {
        let detail = "Upgrade: a WebSocket is not sold here; ask without it, or for a path that is free";
        return problem(&Problem::new(ProblemKind::BadRequest, detail));
    }
    let Some(target) = incoming.target.bound() else {
        return problem(&Problem::new(
            ProblemKind::UriTooLong,
            format!("path and query are longer than {LONGEST_PRICED} bytes; shorten them"),
        ));
    };
    let asked = Asked {
        realm: gateway.realm.as_deref().unwrap_or(&incoming.target.host),
        method: &incoming.method,
        target: &target,
        digest: None,
        field: route.field,
    };
    let (presented, others) = match presented(incoming, route, gateway.limits.credential_bytes) {
        Ok((presented, others)) => (Ok(presented), others),
        Err(reason) => (Err(Rejection::from(reason)), None),
    };
    let request = PaidRequest { isolate, env, context, incoming, route, asked: &asked, others: others.as_deref() };
    let outcome = match presented {
        Ok(presented) => request.complete(&presented).await,
        Err(rejection) => Err(rejection),
    };
    match outcome {
        Ok(response) => Ok(response),
        Err(rejection) => {
            // A fresh challenge is bound to the body, which is hashed for that but not kept.
            let digest = match rejection.problem.kind.status() {
                402 if route.binds_body(&incoming.method) => match incoming.digest(&gateway.limits).await {
                    Ok(digest) => Some(digest),
                    Err(reason) => return problem(&reason),
                },
                _ => None,
            };
            challenge(rejection, &request, &Asked { digest, ..asked }).await
        }
    }
}

/// What a request presents, and what of its `Authorization` is for the origin.
fn presented(incoming: &Incoming, route: &Route, limit: usize) -> std::result::Result<(Presented, Option<String>), Problem> {
    let field = route.field;
    let value = incoming.header(field.key()).unwrap_or_default();
    let AuthorizationHeader { payment, others } = split_authorization(&value).map_err(|invalid| invalid.problem(field.name()))?;
    let others = match field {
        CredentialField::Authorization => others.map(Cow::into_owned),
        CredentialField::PaymentAuthorization => unpaid_authorization(incoming)?,
    };
    let header = |version: Version| route.exact.as_ref().and_then(|_| incoming.header(version.payment_key()));
    let (signature, x_payment) = (header(Version::V2), header(Version::V1));
    let fields = Fields { field, credential: payment, signature: signature.as_deref(), x_payment: x_payment.as_deref() };
    Ok((fields.read(limit)?, others))
}

/// What of an `Authorization` that no credential is taken from is for the origin.
fn unpaid_authorization(incoming: &Incoming) -> std::result::Result<Option<String>, Problem> {
    let field = CredentialField::Authorization;
    let value = incoming.header(field.key()).unwrap_or_default();
    Ok(without_payment(&value).map_err(|invalid| invalid.problem(field.name()))?.map(Cow::into_owned))
}
