//! Rust's side of `glue.js`: what the runtime does for the gateway in one call.

use crate::gateway::headers::Names;
use js_sys::{Object, Uint8Array};
use std::num::NonZeroU32;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ReadableStream, Request, Response};
use worker::Env;

mod js {
    use js_sys::{Object, Promise, Uint8Array};
    use wasm_bindgen::JsValue;
    use wasm_bindgen::prelude::wasm_bindgen;
    use web_sys::{Headers, ReadableStream, Request, Response, WritableStream};
    use worker::Env;

    #[wasm_bindgen(module = "/src/worker/glue.js")]
    extern "C" {
        pub(super) fn names(headers: &Headers) -> String;
        #[wasm_bindgen(catch)]
        pub(super) fn forwarded(request: &Request, url: &str, removed: &str, added: &str, body: &JsValue) -> Result<Request, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) fn changed(response: &Response, removed: &str, added: &str, body: Option<&Object>) -> Result<Response, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn ask(env: &Env, namespace: &str, name: &str, message: Uint8Array, limit: i32) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn fetched(
            env: &Env,
            service: Option<&str>,
            request: &Request,
            limit: i32,
            upload: Option<&Flow>,
        ) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn beginning(body: &ReadableStream, length: u32) -> Result<JsValue, JsValue>;
        #[wasm_bindgen(catch)]
        pub(super) async fn read(
            request: &Request,
            id: u32,
            most: u32,
            budget: u32,
            patience: i32,
            lifetime: i32,
        ) -> Result<JsValue, JsValue>;
        pub(in crate::worker) fn held(id: u32) -> Option<Uint8Array>;
        pub(in crate::worker) fn release(id: u32);
        #[wasm_bindgen(catch)]
        pub(super) fn answer(status: u16, headers: &str, body: Option<&str>) -> Result<Response, JsValue>;

        /// A body on its way from one end to the other that is watched.
        #[derive(Clone)]
        pub(in crate::worker) type Flow;
        #[wasm_bindgen(constructor)]
        pub(in crate::worker) fn new(beginning: Option<Uint8Array>, source: &ReadableStream, sink: &WritableStream) -> Flow;
        /// Resolves when it has ended. Nothing is cancelled or aborted.
        #[wasm_bindgen(method)]
        pub(in crate::worker) async fn run(this: &Flow);
        /// The same, by itself; if it does not end whole each end learns of it at once.
        #[wasm_bindgen(method)]
        pub(in crate::worker) fn pour(this: &Flow) -> Promise;
        /// Whichever end it waits for has failed by standing still.
        #[wasm_bindgen(method, js_name = giveUp)]
        pub(in crate::worker) fn give_up(this: &Flow);
        /// Each end learns that there is nothing more to come from the other.
        #[wasm_bindgen(method)]
        pub(in crate::worker) fn stop(this: &Flow);
        /// Bytes that the sink has taken.
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

/// The names of a message's headers. Most that is asked for is not there: then nothing else has to be asked.
pub(super) fn names(headers: &web_sys::Headers) -> Names {
    Names::new(js::names(headers))
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

    /// A request like `request` to `url` with its headers changed. A redirect will not be followed.
    pub(super) fn request(&self, request: &Request, url: &str, body: &JsValue) -> Result<Request, JsValue> {
        js::forwarded(request, url, &self.removed, &self.added, body)
    }

    /// A response like `response` with its headers changed, and with `body`.
    pub(super) fn response(&self, response: &Response, body: Option<&Object>) -> Result<Response, JsValue> {
        js::changed(response, &self.removed, &self.added, body)
    }

    /// The gateway's own response, with the headers that are set. One that is set twice is one line of both values.
    pub(super) fn answer(&self, status: u16, body: Option<&str>) -> Result<Response, JsValue> {
        js::answer(status, &self.added, body)
    }
}

/// What the object called `name` answers to `message`.
pub(super) async fn ask(env: &Env, namespace: &str, name: &str, message: &[u8], limit: Duration) -> worker::Result<Vec<u8>> {
    let answer = js::ask(env, namespace, name, Uint8Array::from(message), millis(limit)).await?;
    if answer.is_undefined() {
        return Err("no answer in time".into());
    }
    Ok(answer.unchecked_into::<Uint8Array>().to_vec())
}

/// What a service that is bound to the gateway, or else the network, answers to a request; `None` if not in time.
/// The time runs as long as nothing moves of `upload`, the request's body.
pub(super) async fn fetched(
    env: &Env,
    service: Option<&str>,
    request: &Request,
    limit: Duration,
    upload: Option<&Flow>,
) -> Result<Option<Response>, JsValue> {
    let response = js::fetched(env, service, request, millis(limit), upload).await?;
    Ok(if response.is_undefined() { None } else { Some(response.unchecked_into()) })
}

/// What there is at first of a body of `length` bytes, if its stream can tell.
pub(super) async fn beginning(body: &ReadableStream, length: u32) -> Result<Option<Uint8Array>, JsValue> {
    let read = js::beginning(body, length).await?;
    Ok(if read.is_undefined() { None } else { Some(read.unchecked_into()) })
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
    js::read(request, id.map_or(0, NonZeroU32::get), most, budget, millis(patience), millis(lifetime)).await
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
