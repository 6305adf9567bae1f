//! Towards the origin and back, streaming both ways.

use super::clock::within;
use super::respond::EXPOSED_HEADERS;
use crate::gateway::config::Origin;
use crate::gateway::headers::{
    PAYER_PREFIX, RESPONSE_PAYMENT, below, is_forwarded, is_hop_by_hop, is_private, with_names, without_payment_challenges,
};
use crate::gateway::target::Target;
use crate::protocol::problem::{Problem, ProblemKind};
use js_sys::{Array, Uint8Array};
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Headers, Request, RequestInit, RequestRedirect, Response, ResponseInit, Url, WorkerGlobalScope};
use worker::{Env, Result, console_error};

/// A request on its way through the gateway.
pub(super) struct Incoming {
    /// As it came.
    pub(super) request: Request,
    /// Where it went.
    pub(super) target: Target,
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
    /// A header's value; several are joined with `, `.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.request.headers().get(name).ok().flatten()
    }

    /// Whether there is a body, by what the headers announce.
    pub(super) fn has_body(&self) -> bool {
        let length = self.header("content-length");
        self.header("transfer-encoding").is_some() || length.is_some_and(|length| length.trim() != "0")
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
    let abort = AbortController::new().map_err(failed)?;
    let init = RequestInit::new();
    init.set_method(&incoming.request.method());
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&abort.signal()));
    let headers = headers(incoming, origin, authorization, paid_by).map_err(failed)?;
    init.set_headers(&headers);
    match body {
        _ if matches!(incoming.request.method().as_str(), "GET" | "HEAD") => {}
        Some(bytes) if !bytes.is_empty() => init.set_body(&Uint8Array::from(bytes.as_slice())),
        Some(_) => {}
        None => init.set_body_opt_readable_stream(incoming.request.body().as_ref()),
    }
    let url = match origin {
        Origin::Url(base) => format!("{base}{}", incoming.target.path_and_query),
        Origin::Service(_) | Origin::Dns => {
            format!("{}://{}{}", incoming.target.scheme, incoming.target.host, incoming.target.path_and_query)
        }
    };
    let request = Request::new_with_str_and_init(&url, &init).map_err(failed)?;
    let answer = async {
        match origin {
            Origin::Service(name) => service(env, name, &request).await,
            Origin::Url(_) | Origin::Dns => {
                let global: WorkerGlobalScope = js_sys::global().unchecked_into();
                JsFuture::from(global.fetch_with_request(&request)).await?.dyn_into()
            }
        }
    };
    match within(limit, answer).await {
        Some(response) => response.map_err(failed),
        None => {
            abort.abort();
            Err(Problem::new(ProblemKind::OriginTimeout, "the origin did not answer in time"))
        }
    }
}

async fn service(env: &Env, name: &str, request: &Request) -> std::result::Result<Response, JsValue> {
    let fetcher: JsValue = env.service(name).map_err(JsValue::from)?.into();
    let fetch: js_sys::Function = js_sys::Reflect::get(&fetcher, &JsValue::from_str("fetch"))?.dyn_into()?;
    let promise: js_sys::Promise = fetch.call1(&fetcher, request)?.dyn_into()?;
    JsFuture::from(promise).await?.dyn_into()
}

fn headers(
    incoming: &Incoming,
    origin: &Origin,
    authorization: Option<&str>,
    paid_by: Option<&PaidBy<'_>>,
) -> std::result::Result<Headers, JsValue> {
    let headers = Headers::new_with_headers(&incoming.request.headers())?;
    let connection = incoming.header("connection");
    let upgrades = paid_by.is_none() && incoming.is_websocket();
    // An origin with a URL of its own sees another host: it is told the client's, and no client may tell it another.
    let renamed = matches!(origin, Origin::Url(_));
    for name in names(&headers) {
        let transport = is_hop_by_hop(&name, connection.as_deref()) && !(upgrades && matches!(name.as_str(), "upgrade" | "connection"));
        if transport || is_private(&name) || (renamed && is_forwarded(&name)) {
            headers.delete(&name)?;
        }
    }
    match authorization {
        Some(value) => headers.set("authorization", value)?,
        None => headers.delete("authorization")?,
    }
    if renamed {
        headers.delete("host")?;
        headers.set("x-forwarded-host", &incoming.target.host)?;
        headers.set("x-forwarded-proto", &incoming.target.scheme)?;
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
                headers.set(&format!("{PAYER_PREFIX}{name}"), value)?;
            }
        }
    }
    Ok(headers)
}

/// The names of all headers, in one crossing into JavaScript and back.
fn names(headers: &Headers) -> Vec<String> {
    let joined = String::from(Array::from(&headers.keys()).join("\n"));
    joined.split('\n').filter(|name| !name.is_empty()).map(str::to_string).collect()
}

/// The origin's response as the client gets it: redirects to the origin lead to the gateway, payment
/// headers are readable across origins. `body` replaces the response's own.
pub(super) fn finish(
    response: &Response,
    incoming: &Incoming,
    origin: &Origin,
    body: Option<&web_sys::ReadableStream>,
) -> Result<Response> {
    let headers = Headers::new_with_headers(&response.headers())?;
    for name in RESPONSE_PAYMENT {
        headers.delete(name)?;
    }
    if let Some(challenges) = headers.get("www-authenticate")? {
        match without_payment_challenges(&challenges) {
            Some(rest) => headers.set("www-authenticate", &rest)?,
            None => headers.delete("www-authenticate")?,
        }
    }
    if let Some(location) = headers.get("location")?.and_then(|location| on_gateway(&location, incoming, origin)) {
        headers.set("location", &location)?;
    }
    expose(&headers, incoming)?;
    let init = ResponseInit::new();
    init.set_status(response.status());
    init.set_status_text(&response.status_text());
    init.set_headers(&headers);
    if let Ok(socket) = js_sys::Reflect::get(response, &JsValue::from_str("webSocket"))
        && !socket.is_null()
    {
        js_sys::Reflect::set(&init, &JsValue::from_str("webSocket"), &socket)?;
    }
    Ok(Response::new_with_opt_readable_stream_and_init(body, &init)?)
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

/// When the origin uses CORS, pages may send the credential and read the payment headers.
fn expose(headers: &Headers, incoming: &Incoming) -> Result<()> {
    if !headers.has("access-control-allow-origin")? {
        return Ok(());
    }
    if incoming.request.method() == "OPTIONS" {
        let allowed = headers.get("access-control-allow-headers")?;
        headers.set("access-control-allow-headers", &with_names(allowed.as_deref(), &["Authorization", "Accept-Payment"]))?;
    } else {
        let exposed = headers.get("access-control-expose-headers")?;
        headers.set("access-control-expose-headers", &with_names(exposed.as_deref(), &EXPOSED_HEADERS))?;
    }
    Ok(())
}
