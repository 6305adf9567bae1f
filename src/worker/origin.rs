//! Towards the origin and back, streaming both ways.

use super::body::{self, Held};
use super::glue::{self, Changes, Forwarded, Head};
use super::watch::{Upload, broken, discard};
use crate::gateway::config::{Limits, Origin};
use crate::gateway::cors::{EXPOSED_HEADERS, allowed_headers};
use crate::gateway::headers::{
    PAYER_PREFIX, RESPONSE_PAYMENT, Withheld, below, is_readable, overrules_cache_control, private_cache_control, readable_codings,
    with_names, without_payment_challenges,
};
use crate::gateway::target::{LONGEST, Target};
use crate::wire::mpp::digest::BodyDigest;
use crate::wire::problem::{Problem, ProblemKind};
use js_sys::{Object, Promise};
use std::cell::OnceCell;
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
    head: Head,
    /// Its body, once it is on its way to the origin for a paid request.
    upload: OnceCell<Upload>,
    /// Its body, if that had to be read before it can be passed on.
    held: OnceCell<Held>,
}

/// Who paid for a request: told to the origin in headers that no client can set.
pub(super) struct PaidBy<'a> {
    pub(super) payer: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) intent: &'a str,
    pub(super) amount: &'a str,
    /// Absent while the payment is only reserved.
    pub(super) reference: Option<&'a str>,
    /// The answer is metered, so it must be readable.
    pub(super) metered: bool,
}

impl Incoming {
    /// # Errors
    /// The request is larger than what is looked at before it is paid for, or its URL is none.
    pub(super) fn new(request: Request) -> std::result::Result<Self, Problem> {
        let (method, url, head) = glue::requested(&request);
        // What is priced must be what is sent on: the runtime resolves dot segments when it sends, so they are
        // resolved here already.
        let resolved = || Target::parse(&Url::new(&url).map_or_else(|_| url.clone(), |url| url.href()));
        let Some(target) = Target::parse_resolved(&url).or_else(resolved) else {
            return Err(Problem::new(ProblemKind::BadRequest, "the request has no absolute URL"));
        };
        if !target.fits() {
            return Err(Problem::new(ProblemKind::UriTooLong, format!("path and query are longer than {LONGEST} bytes; shorten them")));
        }
        let incoming = Self { request, target, method, head, upload: OnceCell::new(), held: OnceCell::new() };
        incoming.head.names.admit(incoming.header("connection").as_deref())?;
        Ok(incoming)
    }

    /// A header's value, its name in lower case; several are joined with `, `.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.head.get(name, || self.request.headers())
    }

    /// Reads the body, which is held from then on, and gives its digest.
    pub(super) async fn hold(&self, limits: &Limits) -> std::result::Result<BodyDigest, Problem> {
        if let Some(held) = self.held.get() {
            return Ok(held.digest);
        }
        let held = body::hold(&self.request, limits).await?;
        Ok(self.held.get_or_init(|| held).digest)
    }

    /// The digest of the body, held or not.
    pub(super) async fn digest(&self, limits: &Limits) -> std::result::Result<BodyDigest, Problem> {
        match self.held.get() {
            Some(held) => Ok(held.digest),
            None => body::hash(&self.request, limits).await,
        }
    }

    /// Whether there may be a body. Over HTTP/2 no header has to announce one: then the runtime has a stream, and only that
    /// a length of 0 was announced says that it is empty.
    pub(super) fn has_body(&self) -> bool {
        let length = self.header("content-length");
        let announced = self.head.names.has("transfer-encoding") || length.as_ref().is_some_and(|length| length.trim() != "0");
        announced || (length.is_none() && self.request.body().is_some())
    }

    /// Its body, if that is on its way to the origin for a paid request.
    pub(super) fn upload(&self) -> Option<Upload> {
        self.upload.get().cloned()
    }

    /// Whether an answer that did not come, or of which nothing could be delivered, is the origin's failure and not the client's.
    pub(super) fn is_failed_by_origin(&self) -> bool {
        broken(self.upload.get(), 0, None, Duration::ZERO).is_undelivered()
    }

    /// Its body as the origin gets it; watched when it is paid for.
    fn body(&self, is_paid: bool) -> std::result::Result<JsValue, JsValue> {
        let Some(body) = self.request.body() else { return Ok(JsValue::UNDEFINED) };
        if !is_paid || !self.has_body() {
            return Ok(body.into());
        }
        let length = self.header("content-length").and_then(|length| length.trim().parse().ok());
        let (upload, readable) = Upload::start(&body, length)?;
        // A request is sent once.
        let _ = self.upload.set(upload);
        Ok(readable.into())
    }

    /// The `Upgrade` to a WebSocket is asked for.
    pub(super) fn is_websocket(&self) -> bool {
        let names = |upgrade: String| upgrade.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"));
        self.header("upgrade").is_some_and(names)
    }
}

/// Sends the request to the origin and returns its response as it is. `authorization` is what is left of
/// that header; a body that was read already goes on from where it is held.
pub(super) async fn send(
    env: &Env,
    origin: &Origin,
    incoming: &Incoming,
    authorization: Option<&str>,
    paid_by: Option<&PaidBy<'_>>,
    limit: Duration,
) -> std::result::Result<Response, Problem> {
    let (url, changes) = (url(origin, incoming), changes(incoming, origin, authorization, paid_by));
    let body = match incoming.held.get() {
        _ if is_bodiless(incoming) => JsValue::UNDEFINED,
        Some(held) => held.bytes()?.into(),
        None => incoming.body(paid_by.is_some()).map_err(unreached)?,
    };
    let forwarded =
        Forwarded { env, service: service(origin), request: &incoming.request, url: &url, changes: &changes, body: &body, limit };
    let upload = incoming.upload();
    let flow = upload.as_ref().map(Upload::flow);
    // One that is late is cancelled by the runtime together with ours, which ends here.
    let late = || {
        if let Some(flow) = flow {
            flow.give_up();
        }
        late()
    };
    // What is metered is counted on its way.
    let is_gathered = paid_by.is_some_and(|paid_by| !paid_by.metered);
    let answer = forwarded.send(flow, is_gathered).await.map_err(unreached);
    let response = answer.and_then(|answer| answer.ok_or_else(late)).map_err(|problem| {
        if incoming.is_failed_by_origin() {
            return problem;
        }
        Problem::new(ProblemKind::BadRequest, "the request's body broke off, or came too slowly; send the whole request again")
    })?;
    if paid_by.is_some_and(|paid_by| paid_by.metered) {
        let coding = response.headers().get("content-encoding").ok().flatten();
        if !is_readable(coding.as_deref()) {
            discard(&response);
            return Err(Problem::new(
                ProblemKind::OriginFailed,
                "the origin answered in a Content-Encoding that it was not asked for and that cannot be metered; nothing was delivered",
            ));
        }
    }
    Ok(response)
}

/// Hands a request that costs nothing to the origin, and its answer back as it comes; where anything of that is to be looked at, to
/// whoever [`glue::watch_for`] was told, and in any case where it `is_looked_at`. A body is not held for such a request.
pub(super) fn pass(
    env: &Env,
    origin: &Origin,
    incoming: &Incoming,
    authorization: Option<&str>,
    is_looked_at: bool,
    limit: Duration,
) -> std::result::Result<Promise, Problem> {
    let (url, changes) = (url(origin, incoming), changes(incoming, origin, authorization, None));
    let body = if is_bodiless(incoming) { JsValue::UNDEFINED } else { incoming.body(false).map_err(unreached)? };
    Forwarded { env, service: service(origin), request: &incoming.request, url: &url, changes: &changes, body: &body, limit }
        .pass(is_looked_at)
        .map_err(unreached)
}

/// Headers of an answer that make [`Outgoing`] change it, priced or not.
pub(super) fn watched_headers() -> impl Iterator<Item = &'static str> {
    RESPONSE_PAYMENT.into_iter().chain(["www-authenticate", "location"])
}

fn is_bodiless(incoming: &Incoming) -> bool {
    matches!(incoming.method.as_str(), "GET" | "HEAD")
}

fn url(origin: &Origin, incoming: &Incoming) -> String {
    let target = &incoming.target;
    match origin {
        Origin::Url(base) => format!("{base}{}", target.path_and_query),
        Origin::Service(_) | Origin::Dns => format!("{}://{}{}", target.scheme, target.host, target.path_and_query),
    }
}

const fn service(origin: &Origin) -> Option<&str> {
    if let Origin::Service(name) = origin { Some(name.as_str()) } else { None }
}

/// The origin could not be reached.
pub(super) fn unreached(error: JsValue) -> Problem {
    console_error!("origin: {error:?}");
    Problem::new(ProblemKind::OriginFailed, "the origin could not be reached, and nothing was delivered; send the same request again")
}

/// The origin did not answer.
pub(super) fn late() -> Problem {
    Problem::new(ProblemKind::OriginTimeout, "the origin did not answer in time, and nothing was delivered; send the same request again")
}

/// What of the request's headers the origin gets otherwise.
fn changes(incoming: &Incoming, origin: &Origin, authorization: Option<&str>, paid_by: Option<&PaidBy<'_>>) -> Changes {
    let mut changes = Changes::default();
    let upgrades = incoming.is_websocket();
    // An origin with a URL of its own sees another host: it is told the client's, and no client may tell it another.
    let renamed = matches!(origin, Origin::Url(_));
    let withheld = Withheld::new(incoming.header("connection").as_deref(), renamed, upgrades);
    for name in incoming.head.names.iter().filter(|name| withheld.holds(name)) {
        changes.remove(name);
    }
    if let Some(value) = authorization {
        changes.set("authorization", value);
    }
    if renamed {
        changes.set("x-forwarded-host", &incoming.target.host);
        changes.set("x-forwarded-proto", &incoming.target.scheme);
    }
    if let Some(paid_by) = paid_by {
        if paid_by.metered {
            changes.set("accept-encoding", &readable_codings(incoming.header("accept-encoding").as_deref()));
        }
        let values = [
            ("payer", paid_by.payer),
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
    head: Head,
    changes: Changes,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(response: &'a Response, incoming: &Incoming, origin: &Origin) -> Result<Self> {
        let mut outgoing = Self { response, head: Head::of(response), changes: Changes::default() };
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
        Ok(self.head.get(name, || self.response.headers()))
    }

    pub(super) fn remove(&mut self, names: &[&str]) {
        for name in names.iter().filter(|name| self.head.names.has(name)) {
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
        for name in self.head.names.iter().filter(|name| overrules_cache_control(name)) {
            self.changes.remove(name);
        }
        Ok(())
    }

    /// Lets pages read an answer that was paid for. Where the origin does not say whose pages may, any may that did not send
    /// cookies: browsers let nobody read an answer to those with `*`.
    pub(super) fn open_to_pages(&mut self, incoming: &Incoming) -> Result<()> {
        if !self.is_open_to_pages() {
            if incoming.head.names.has("cookie") {
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
        self.head.names.has("access-control-allow-origin")
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
