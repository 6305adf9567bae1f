//! Where every request comes in.

use super::config::{Isolate, load};
use super::failure::{internal, misconfigured};
use super::glue;
use super::origin::{Incoming, Outgoing, late, pass, send, unreached, watched_headers};
use super::priced::{presented, priced, unpaid_authorization};
use super::promised::at_once;
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
use crate::rail::evm::Intent;
use crate::wire::detect::Presented;
use crate::wire::mpp::credential::CredentialField;
use std::time::Duration;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Request, Response};
use worker::{Context, Env, Result, worker_sys};

/// The origin may take this long for an unpriced request under a wrong configuration.
const DEFAULT_ORIGIN_TIMEOUT: Duration = Duration::from_secs(60);

#[expect(unreachable_pub, reason = "the runtime calls it")]
/// Answers a request, by a promise where something has to be waited for.
///
/// # Errors
/// Not even a problem could be answered.
#[wasm_bindgen]
pub fn fetch(request: Request, env: Env, context: worker_sys::Context) -> std::result::Result<JsValue, JsValue> {
    let context = Context::new(context);
    at_once(async move {
        match answer(request, env, context).await {
            Ok(answer) => Ok(answer),
            Err(error) => Ok(problem(&internal("fetch", error))?.into()),
        }
    })
}

/// The answer, or the runtime's promise of it.
async fn answer(request: Request, env: Env, context: Context) -> Result<JsValue> {
    let incoming = match Incoming::new(request) {
        Ok(incoming) => incoming,
        Err(reason) => return Ok(problem(&reason)?.into()),
    };
    let loaded = load(&env);
    if let (Ok(isolate), Some(mark)) = (loaded.as_ref(), incoming.header(probe::HEADER))
        && let Some(answer) = probe::answer(&isolate.gateway.binding_keys, &mark)
    {
        return Ok(respond::looped(&answer)?.into());
    }
    if let Some(response) = status::answer(&loaded, &env, &context, &incoming).await? {
        return Ok(response.into());
    }
    match loaded.as_ref() {
        Ok(isolate) => route(isolate, &env, &context, incoming).await,
        Err(broken) => broken_route(broken, &env, &incoming),
    }
}

async fn route(isolate: &Isolate, env: &Env, context: &Context, incoming: Incoming) -> Result<JsValue> {
    let gateway = &isolate.gateway;
    let path = match gateway.origin.read(incoming.target.path()) {
        Ok(path) => path,
        Err(invalid) => return Ok(problem(&invalid.into())?.into()),
    };
    if let Some(preflight) = preflight_of(&incoming).filter(|preflight| preflight.is_priced(&gateway.router, &path)) {
        return Ok(preflighted(env, gateway, &incoming, &preflight).await?.into());
    }
    let route = gateway.router.find(&incoming.method, &path).or_else(|| managed_route(gateway, &incoming, &path));
    match route {
        Some(route) => Ok(priced(isolate, env, context, &incoming, route).await?.into()),
        None => unpriced(env, &gateway.origin, &incoming, gateway.limits.origin_timeout),
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
fn unpriced(env: &Env, origin: &Origin, incoming: &Incoming, limit: Duration) -> Result<JsValue> {
    OTHERWISE.with(|_| ());
    let passed = unpaid_authorization(incoming)
        .and_then(|authorization| pass(env, origin, incoming, authorization.as_deref(), is_paid_privately(incoming), limit));
    match passed {
        Ok(promise) => Ok(promise.into()),
        Err(reason) => Ok(problem(&reason)?.into()),
    }
}

std::thread_local! {
    /// What becomes of an answer to a request without a price that is not handed on as it is.
    static OTHERWISE: Closure<dyn Fn(Env, Request, JsValue, bool) -> JsValue> = {
        let otherwise = Closure::new(|env, request, outcome, failed| {
            let answer = passed_otherwise(&env, request, outcome, failed).or_else(|error| problem(&internal("fetch", error)));
            answer.map_or_else(JsValue::from, JsValue::from)
        });
        glue::watch_for(watched_headers(), &otherwise);
        otherwise
    };
}

/// The origin's answer, if there was one, as the client gets it.
fn passed_otherwise(env: &Env, request: Request, outcome: JsValue, failed: bool) -> Result<Response> {
    if failed {
        return problem(&unreached(outcome));
    }
    if outcome.is_undefined() {
        return problem(&late());
    }
    let response: Response = outcome.unchecked_into();
    let incoming = match Incoming::new(request) {
        Ok(incoming) => incoming,
        Err(reason) => return problem(&reason),
    };
    let loaded = load(env);
    let origin = match loaded.as_ref() {
        Ok(isolate) => &isolate.gateway.origin,
        Err(broken) => match &broken.surface {
            Some(surface) => &surface.origin,
            None => return problem(&misconfigured(&broken.errors)),
        },
    };
    let mut outgoing = Outgoing::new(&response, &incoming, origin)?;
    if is_paid_privately(&incoming) {
        outgoing.keep_private()?;
    }
    outgoing.finish()
}

/// Unlike `Authorization`, a field of its own keeps no shared cache from storing the answer.
fn is_paid_privately(incoming: &Incoming) -> bool {
    incoming.header(CredentialField::PaymentAuthorization.key()).is_some()
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
fn broken_route(broken: &Misconfigured, env: &Env, incoming: &Incoming) -> Result<JsValue> {
    let closed = || Ok(problem(&misconfigured(&broken.errors))?.into());
    let Some(Surface { origin, priced }) = &broken.surface else { return closed() };
    match origin.read(incoming.target.path()) {
        Ok(path) if is_priced(priced, &incoming.method, &path) => closed(),
        Ok(_) => unpriced(env, origin, incoming, DEFAULT_ORIGIN_TIMEOUT),
        Err(invalid) => Ok(problem(&invalid.into())?.into()),
    }
}
