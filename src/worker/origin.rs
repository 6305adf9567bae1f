//! Towards the origin and back, streaming both ways.

use super::glue::{Changes, HeaderNames, fetched};
use crate::gateway::config::Origin;
use crate::gateway::cors::{EXPOSED_HEADERS, allowed_headers};
use crate::gateway::headers::{
    CACHE_OVERRIDES, PAYER_PREFIX, RESPONSE_PAYMENT, below, is_forwarded, is_hop_by_hop, is_private, private_cache_control, with_names,
    without_payment_challenges,
};
use crate::gateway::target::Target;
use crate::protocol::problem::{Problem, ProblemKind};
use js_sys::{Object, Uint8Array};
use std::time::Duration;
use wasm_bindgen::JsValue;
use web_sys::{Request, Response, Url};
use worker::{Env, Result, console_error};

/// A request on its way through the gateway.
pub(super) struct Incoming {
    /// As it came.
    pub(super) request: Request,
    /// Where it went.
    pub(super) target: Target,
    /// Its method.
    pub(super) method: String,
    /// Which headers it has.
    names: HeaderNames,
}

/// Who paid for a request: told to the origin in headers that no client can set.
pub(super) struct PaidBy<'a> {
    pub(super) payer: &'a str,
    pub(super) method: &'a str,
    pub(super) intent: &'a str,
    pub(super) amount: &'a str,
    /// Absent while the payment is only reserved.
    pub(super) reference: Option<&'a str>,
}

impl Incoming {
    pub(super) fn new(request: Request, target: Target) -> Self {
        Self { target, method: request.method(), names: HeaderNames::of(&request.headers()), request }
    }

    /// A header's value, its name in lower case; several are joined with `, `.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        if self.names.has(name) { self.request.headers().get(name).ok().flatten() } else { None }
    }

    /// Whether there is a body, by what the headers announce.
    pub(super) fn has_body(&self) -> bool {
        let length = self.header("content-length");
        self.names.has("transfer-encoding") || length.is_some_and(|length| length.trim() != "0")
    }

    /// The `Upgrade` to a WebSocket is asked for.
    fn is_websocket(&self) -> bool {
        self.header("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
    }
}

/// Sends the request to the origin and returns its response as it is. `authorization` is what is left of
/// that header; `body` replaces the request's own, which was read already.
pub(super) async fn send(
    env: &Env,
    origin: &Origin,
    incoming: &Incoming,
    authorization: Option<&str>,
    paid_by: Option<&PaidBy<'_>>,
    body: Option<Vec<u8>>,
    limit: Duration,
) -> std::result::Result<Response, Problem> {
    let failed = |error: JsValue| {
        console_error!("origin: {error:?}");
        Problem::new(ProblemKind::OriginFailed, "the origin could not be reached")
    };
    let body = match body {
        _ if matches!(incoming.method.as_str(), "GET" | "HEAD") => JsValue::UNDEFINED,
        Some(bytes) if !bytes.is_empty() => Uint8Array::from(bytes.as_slice()).into(),
        Some(_) => JsValue::UNDEFINED,
        None => incoming.request.body().into(),
    };
    let url = match origin {
        Origin::Url(base) => format!("{base}{}", incoming.target.path_and_query),
        Origin::Service(_) | Origin::Dns => {
            format!("{}://{}{}", incoming.target.scheme, incoming.target.host, incoming.target.path_and_query)
        }
    };
    let request = changes(incoming, origin, authorization, paid_by).request(&incoming.request, &url, &body).map_err(failed)?;
    let service = if let Origin::Service(name) = origin { Some(name.as_str()) } else { None };
    // One that is late is cancelled by the runtime together with ours, which ends here.
    let late = || Problem::new(ProblemKind::OriginTimeout, "the origin did not answer in time");
    fetched(env, service, &request, limit).await.map_err(failed)?.ok_or_else(late)
}

/// What of the request's headers the origin gets otherwise.
fn changes(incoming: &Incoming, origin: &Origin, authorization: Option<&str>, paid_by: Option<&PaidBy<'_>>) -> Changes {
    let mut changes = Changes::default();
    let connection = incoming.header("connection");
    let upgrades = paid_by.is_none() && incoming.is_websocket();
    // An origin with a URL of its own sees another host: it is told the client's, and no client may tell it another.
    let renamed = matches!(origin, Origin::Url(_));
    for name in incoming.names.iter() {
        let transport = is_hop_by_hop(name, connection.as_deref()) && !(upgrades && matches!(name, "upgrade" | "connection"));
        if transport || is_private(name) || (renamed && (is_forwarded(name) || name == "host")) || name == "authorization" {
            changes.remove(name);
        }
    }
    if let Some(value) = authorization {
        changes.set("authorization", value);
    }
    if renamed {
        changes.set("x-forwarded-host", &incoming.target.host);
        changes.set("x-forwarded-proto", &incoming.target.scheme);
    }
    if let Some(paid_by) = paid_by {
        let values = [
            ("payer", Some(paid_by.payer)),
            ("method", Some(paid_by.method)),
            ("intent", Some(paid_by.intent)),
            ("amount", Some(paid_by.amount)),
            ("reference", paid_by.reference),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                changes.set(&format!("{PAYER_PREFIX}{name}"), value);
            }
        }
    }
    changes
}

/// The origin's response on its way to the client: redirects to the origin lead to the gateway, and payment headers are the
/// gateway's alone.
pub(super) struct Outgoing<'a> {
    response: &'a Response,
    names: HeaderNames,
    changes: Changes,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(response: &'a Response, incoming: &Incoming, origin: &Origin) -> Result<Self> {
        let names = HeaderNames::of(&response.headers());
        let mut outgoing = Self { response, names, changes: Changes::default() };
        outgoing.remove(&RESPONSE_PAYMENT);
        if let Some(challenges) = outgoing.header("www-authenticate")? {
            match without_payment_challenges(&challenges) {
                Some(rest) if rest == challenges => {}
                Some(rest) => outgoing.set("www-authenticate", &rest),
                None => outgoing.changes.remove("www-authenticate"),
            }
        }
        if let Some(location) = outgoing.header("location")?.and_then(|location| on_gateway(&location, incoming, origin)) {
            outgoing.set("location", &location);
        }
        Ok(outgoing)
    }

    /// A header's value as the origin gave it, its name in lower case.
    pub(super) fn header(&self, name: &str) -> Result<Option<String>> {
        Ok(if self.names.has(name) { self.response.headers().get(name)? } else { None })
    }

    pub(super) fn remove(&mut self, names: &[&str]) {
        for name in names.iter().filter(|name| self.names.has(name)) {
            self.changes.remove(name);
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.changes.set(name, value);
    }

    /// Shared caches may not store it.
    pub(super) fn keep_private(&mut self) -> Result<()> {
        let from_origin = self.header("cache-control")?;
        self.set("cache-control", &private_cache_control(from_origin.as_deref()));
        self.remove(&CACHE_OVERRIDES);
        Ok(())
    }

    /// Lets pages read an answer that was paid for. Where the origin does not say whose pages may, any may that did not send
    /// cookies: browsers let nobody read an answer to those with `*`.
    pub(super) fn open_to_pages(&mut self, incoming: &Incoming) -> Result<()> {
        if !self.is_open_to_pages() {
            if incoming.names.has("cookie") {
                return Ok(());
            }
            self.remove(&["access-control-allow-credentials"]);
            self.set("access-control-allow-origin", "*");
        }
        let name = "access-control-expose-headers";
        let exposed = with_names(self.header(name)?.as_deref(), &EXPOSED_HEADERS);
        self.set(name, &exposed);
        Ok(())
    }

    /// Whether the origin says whose pages may read it.
    pub(super) fn is_open_to_pages(&self) -> bool {
        self.names.has("access-control-allow-origin")
    }

    /// Adds what is needed to pay to the request headers that the origin lets pages send.
    pub(super) fn allow_payment_headers(&mut self) -> Result<()> {
        let name = "access-control-allow-headers";
        let allowed = allowed_headers(self.header(name)?.as_deref());
        self.set(name, &allowed);
        Ok(())
    }

    /// The response; the very same when nothing about it is changed.
    pub(super) fn finish(self) -> Result<Response> {
        if self.changes.is_empty() {
            return Ok(Clone::clone(self.response));
        }
        let body = self.response.body();
        self.with_body(body.as_deref())
    }

    /// The response with `body` instead of its own, and with headers that can be changed.
    pub(super) fn with_body(self, body: Option<&Object>) -> Result<Response> {
        Ok(self.changes.response(self.response, body)?)
    }
}

/// Where a redirect to the origin's own URL leads through the gateway. Those relative to the request do so
/// by themselves, and those relative to the host when the origin has no path of its own.
fn on_gateway(location: &str, incoming: &Incoming, origin: &Origin) -> Option<String> {
    let Origin::Url(base) = origin else { return None };
    let base = Url::new(base).ok()?;
    let relative = !location.contains("//") && (!location.starts_with('/') || base.pathname() == "/");
    if relative {
        return None;
    }
    let target = Url::new_with_base(location, &base.href()).ok()?;
    if target.host() != base.host() {
        return None;
    }
    let path = target.pathname();
    let path = below(&path, &base.pathname())?;
    Some(format!("{}://{}{path}{}{}", incoming.target.scheme, incoming.target.host, target.search(), target.hash()))
}
