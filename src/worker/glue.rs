//! Rust's side of `glue.js`: what the runtime does for the gateway in one call.

use super::promised::{Promised, Settle};
use crate::gateway::cors::EXPOSED_HEADERS;
use crate::gateway::headers::Names;
use js_sys::{Function, Object, Promise, Uint8Array};
use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Headers, Request, Response};
use worker::Env;
use worker::worker_sys::Context;

mod js {
    use super::Settle;
    use js_sys::{Function, Object, Promise, Uint8Array};
    use wasm_bindgen::JsValue;
    use wasm_bindgen::prelude::{Closure, wasm_bindgen};
    use web_sys::{ReadableStream, Request, Response, WritableStream};
    use worker::Env;
    use worker::worker_sys::Context;

    #[wasm_bindgen(module = "/src/worker/glue.js")]
    extern "C" {
        pub(super) fn requested(request: &Request) -> String;
        pub(super) fn responded(response: &Response) -> String;
        #[wasm_bindgen(catch)]
        pub(super) fn changed(response: &Response, changes: &str, body: Option<&Object>) -> Result<Response, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) fn ask(
            env: &Env,
            namespace: &str,
            name: &str,
            message: &str,
            limit: i32,
            id: u32,
            settle: &Settle,
        ) -> Result<(), JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) fn fetched(
            env: &Env,
            service: Option<&str>,
            request: &Request,
            limit: i32,
            id: u32,
            settle: &Settle,
        ) -> Result<(), JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) fn exchanged(
            method: &str,
            url: &str,
            headers: &str,
            body: Option<&str>,
            most: u32,
            limit: i32,
            id: u32,
            settle: &Settle,
        ) -> Result<(), JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) fn sent(
            env: &Env,
            service: Option<&str>,
            request: &Request,
            changes: &str,
            body: &JsValue,
            limit: i32,
            upload: Option<&Flow>,
            is_gathered: bool,
            id: u32,
            settle: &Settle,
        ) -> Result<(), JsValue>;
        #[wasm_bindgen(js_name = watchFor)]
        pub(super) fn watch_for(names: &str, otherwise: &Closure<dyn Fn(Env, Request, JsValue, bool) -> JsValue>);
        #[wasm_bindgen(catch)]
        pub(super) fn passed(
            env: &Env,
            service: Option<&str>,
            request: &Request,
            changes: &str,
            body: &JsValue,
            limit: i32,
            is_looked_at: bool,
        ) -> Result<Promise, JsValue>;
        pub(super) fn watch(promise: &Promise, id: u32, settle: &Settle);
        pub(super) fn hold(context: &Context, request: &Request, id: u32, left: &Closure<dyn Fn(u32)>) -> Function;
        #[wasm_bindgen(catch)]
        pub(super) fn whole(response: &Response) -> Result<JsValue, JsValue>;
        pub(super) fn read(request: &Request, id: u32, most: u32, budget: u32, patience: i32, lifetime: i32) -> Promise;
        pub(in crate::worker) fn held(id: u32) -> Option<Uint8Array>;
        pub(in crate::worker) fn release(id: u32);
        pub(super) fn expose(names: &str);
        #[wasm_bindgen(catch)]
        pub(super) fn answer(status: u16, text: &str, is_problem: bool) -> Result<Response, JsValue>;

        /// A body on its way from one end to the other that is watched.
        #[derive(Clone)]
        pub(in crate::worker) type Flow;
        /// After `enough` bytes, if that is told, it does not matter any more how it ends.
        #[wasm_bindgen(constructor)]
        pub(in crate::worker) fn new(source: &ReadableStream, sink: &WritableStream, enough: Option<u64>) -> Flow;
        /// Resolves when it has ended. Nothing is cancelled or aborted.
        #[wasm_bindgen(method)]
        pub(in crate::worker) fn run(this: &Flow) -> Promise;
        /// The same, by itself; if it does not end whole each end learns of it at once.
        #[wasm_bindgen(method)]
        pub(in crate::worker) fn pour(this: &Flow) -> Promise;
        /// Whichever end it waits for has failed by standing still.
        #[wasm_bindgen(method, js_name = giveUp)]
        pub(in crate::worker) fn give_up(this: &Flow);
        /// Each end learns that there is nothing more to come from the other.
        #[wasm_bindgen(method)]
        pub(in crate::worker) fn stop(this: &Flow);
        /// Bytes that the sink has taken; where more than enough are gone, at least so many.
        #[wasm_bindgen(method, getter)]
        pub(in crate::worker) fn gone(this: &Flow) -> u64;
        /// How long it has waited for the source, in milliseconds.
        #[wasm_bindgen(method, getter = waitedForSource)]
        pub(in crate::worker) fn waited_for_source(this: &Flow) -> u32;
        #[wasm_bindgen(method, getter = waitedForSink)]
        pub(in crate::worker) fn waited_for_sink(this: &Flow) -> u32;
        #[wasm_bindgen(method, getter = isWhole)]
        pub(in crate::worker) fn is_whole(this: &Flow) -> bool;
        #[wasm_bindgen(method, getter = sourceFailed)]
        pub(in crate::worker) fn source_failed(this: &Flow) -> bool;
    }
}

/// The headers of a message, as they were when they were read.
pub(super) struct Head {
    /// Which there are. Most that is asked for is not there: then nothing else has to be asked.
    pub(super) names: Names,
    /// The values of those that much is asked for.
    values: Vec<(String, String)>,
}

impl Head {
    /// Those of a response.
    pub(super) fn of(response: &Response) -> Self {
        Self::read(&js::responded(response))
    }

    fn read(mut text: &str) -> Self {
        let mut values = Vec::new();
        while let Some((name, rest)) = text.split_once('\n') {
            text = rest;
            if name.is_empty() {
                break;
            }
            let (value, rest) = rest.split_once('\n').unwrap_or((rest, ""));
            values.push((name.into(), value.into()));
            text = rest;
        }
        Self { names: Names::new(text.into()), values }
    }

    /// A header's value, its name in lower case; several are joined with `, `. What did not come along is asked of `headers`.
    pub(super) fn get(&self, name: &str, headers: impl FnOnce() -> Headers) -> Option<String> {
        match self.values.iter().find(|(known, _)| known == name) {
            Some((_, value)) => Some(value.clone()),
            None if self.names.has(name) => headers().get(name).ok().flatten(),
            None => None,
        }
    }
}

/// A request's method, URL and headers.
pub(super) fn requested(request: &Request) -> (String, String, Head) {
    let text = js::requested(request);
    let (method, rest) = text.split_once('\n').unwrap_or_default();
    let (url, rest) = rest.split_once('\n').unwrap_or_default();
    (method.into(), url.into(), Head::read(rest))
}

/// Changes of a message's headers: first some are removed, then some are set.
#[derive(Default)]
pub(super) struct Changes {
    removed: String,
    added: String,
}

impl Changes {
    pub(super) fn remove(&mut self, name: &str) {
        line(&mut self.removed, name);
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        line(&mut self.added, name);
        line(&mut self.added, value);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    fn text(&self) -> String {
        format!("{}\n{}", self.removed, self.added)
    }

    /// A response like `response` with its headers changed, and with `body`.
    pub(super) fn response(&self, response: &Response, body: Option<&Object>) -> Result<Response, JsValue> {
        js::changed(response, &self.text(), body)
    }

    /// The gateway's own response, with the headers that are set, each once.
    pub(super) fn answer(&self, status: u16, body: Option<&str>) -> Result<Response, JsValue> {
        js::answer(status, &self.behind(body.unwrap_or_default()), false)
    }

    /// The same for a problem, with the headers that all problems have.
    pub(super) fn problem(&self, status: u16, body: &str) -> Result<Response, JsValue> {
        EXPOSED.with(|()| ());
        js::answer(status, &self.behind(body), true)
    }

    fn behind(&self, body: &str) -> String {
        let mut text = String::with_capacity(body.len() + 1 + self.added.len());
        line(&mut text, body);
        text.push_str(&self.added);
        text
    }
}

std::thread_local! {
    /// Says once which headers pages may read of a problem.
    static EXPOSED: () = js::expose(&EXPOSED_HEADERS.join(", "));
}

/// A request on its way to a service that is bound to the gateway, or else over the network.
pub(super) struct Forwarded<'a> {
    pub(super) env: &'a Env,
    pub(super) service: Option<&'a str>,
    /// What it is like.
    pub(super) request: &'a Request,
    pub(super) url: &'a str,
    pub(super) changes: &'a Changes,
    /// Its body, or `undefined`.
    pub(super) body: &'a JsValue,
    /// How long the answer may take.
    pub(super) limit: Duration,
}

impl Forwarded<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        line(&mut text, self.url);
        text + &self.changes.text()
    }

    /// What is answered; `None` if not in time. The time runs as long as nothing moves of `upload`, the request's body. A small body of
    /// the answer is read with it if it `is_gathered`: then [`whole`] has it.
    pub(super) async fn send(&self, upload: Option<&Flow>, is_gathered: bool) -> Result<Option<Response>, JsValue> {
        let Self { env, service, request, body, limit, .. } = *self;
        let text = self.text();
        let sent = |id, settle: &Settle| js::sent(env, service, request, &text, body, millis(limit), upload, is_gathered, id, settle);
        Ok(response(Promised::begin(sent).await?))
    }

    /// A promise of the answer as it comes, unless it `is_looked_at` or something about it is to be; see [`watch_for`].
    pub(super) fn pass(&self, is_looked_at: bool) -> Result<Promise, JsValue> {
        let Self { env, service, request, body, limit, .. } = *self;
        js::passed(env, service, request, &self.text(), body, millis(limit), is_looked_at)
    }
}

/// Says what of an answer that [`Forwarded::pass`] promises is to be looked at, by the headers that it has, and who looks: of an answer
/// that has none of them, of none at all (`undefined`), and of an error he says what the client gets.
pub(super) fn watch_for<'a>(names: impl Iterator<Item = &'a str>, otherwise: &Closure<dyn Fn(Env, Request, JsValue, bool) -> JsValue>) {
    let mut lines = String::new();
    names.for_each(|name| line(&mut lines, name));
    js::watch_for(&lines, otherwise);
}

/// What the object called `name` answers to `message`.
pub(super) async fn ask(env: &Env, namespace: &str, name: &str, message: &str, limit: Duration) -> worker::Result<String> {
    let answer = Promised::begin(|id, settle| js::ask(env, namespace, name, message, millis(limit), id, settle)).await?;
    answer.as_string().ok_or_else(|| "no answer in time".into())
}

/// What a service that is bound to the gateway, or else the network, answers to a request; `None` if not in time.
pub(super) async fn fetched(env: &Env, service: Option<&str>, request: &Request, limit: Duration) -> Result<Option<Response>, JsValue> {
    Ok(response(Promised::begin(|id, settle| js::fetched(env, service, request, millis(limit), id, settle)).await?))
}

/// A request to the network of a rail.
pub(super) struct Exchange<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: Option<&'a str>,
    /// The longest answer that is read, in bytes.
    pub(super) most: u32,
}

/// The status and the body of the answer; `None` if it did not come in time.
pub(super) async fn exchanged(exchange: &Exchange<'_>, limit: Duration) -> Result<Option<(u16, String)>, JsValue> {
    let Exchange { method, url, headers, body, most } = *exchange;
    let mut lines = String::new();
    for (name, value) in headers {
        line(&mut lines, name);
        line(&mut lines, value);
    }
    let sent = |id, settle: &Settle| js::exchanged(method, url, &lines, body, most, millis(limit), id, settle);
    let answer = Promised::begin(sent).await?.as_string();
    Ok(answer.as_deref().and_then(|answer| answer.split_once('\n')).and_then(|(status, body)| Some((status.parse().ok()?, body.into()))))
}

fn response(outcome: JsValue) -> Option<Response> {
    if outcome.is_undefined() { None } else { Some(outcome.unchecked_into()) }
}

/// Keeps what is done for a request alive, even when its client leaves; `left` is told by `id` that it did. Returns what ends that.
pub(super) fn hold(context: &Context, request: &Request, id: u32, left: &Closure<dyn Fn(u32)>) -> Function {
    js::hold(context, request, id, left)
}

/// What a promise gives.
pub(super) fn of(promise: &Promise) -> impl Future<Output = Result<JsValue, JsValue>> + 'static + use<> {
    Promised::begin(|id, settle| {
        js::watch(promise, id, settle);
        Ok(())
    })
}

/// A response's body that was gathered.
pub(super) enum Whole {
    /// There is none.
    Empty,
    /// All of it.
    Bytes(Uint8Array),
}

/// The body of a response if it was gathered with it; `None` if it was not, and is still to be read.
///
/// # Errors
/// It was, but broke off.
pub(super) fn whole(response: &Response) -> Result<Option<Whole>, JsValue> {
    let whole = js::whole(response)?;
    Ok(match () {
        () if whole.is_undefined() => None,
        () if whole.is_null() => Some(Whole::Empty),
        () => Some(Whole::Bytes(whole.unchecked_into())),
    })
}

pub(super) use js::Flow;
pub(super) use js::{held, release};

/// What a body that is read beforehand may take.
pub(super) struct Bounds {
    /// The longest body.
    pub(super) most: u32,
    /// What may be held at once.
    pub(super) budget: u32,
    /// How long nothing may come.
    pub(super) patience: Duration,
    /// How long it is held after something came, if it is not released before.
    pub(super) lifetime: Duration,
}

/// Reads a body, and holds it as `id` if there is one. Gives its SHA-256, or a word for what is wrong.
pub(super) async fn read(request: &Request, id: Option<NonZeroU32>, bounds: &Bounds) -> Result<JsValue, JsValue> {
    let Bounds { most, budget, patience, lifetime } = *bounds;
    of(&js::read(request, id.map_or(0, NonZeroU32::get), most, budget, millis(patience), millis(lifetime))).await
}

/// As the runtime's timers take it.
fn millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}

/// No header holds a line feed. If one did, what follows must not become a header of its own.
fn line(lines: &mut String, text: &str) {
    if text.contains('\n') {
        lines.push_str(&text.replace('\n', " "));
    } else {
        lines.push_str(text);
    }
    lines.push('\n');
}
