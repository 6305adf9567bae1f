//! Watching a paid response on its way out. The runtime pumps the bytes natively; only the end is looked
//! at: when the origin breaks off, the payer may fetch again; when the client hangs up, it may not.

use super::clock::sleep;
use js_sys::{BigInt, Promise};
use std::future::Future;
use std::time::Duration;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, ReadableStream, Response, StreamPipeOptions, TransformStream, WritableStream};
use worker::Context;

#[wasm_bindgen]
extern "C" {
    /// A pipe inside the runtime.
    #[wasm_bindgen(extends = TransformStream)]
    type IdentityTransformStream;
    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<IdentityTransformStream, JsValue>;

    /// The same with a known length, which keeps the response's `Content-Length`.
    #[wasm_bindgen(extends = TransformStream)]
    type FixedLengthStream;
    #[wasm_bindgen(constructor, catch)]
    fn new(length: BigInt) -> Result<FixedLengthStream, JsValue>;
}

/// How long after the end of a body the client's hanging up may become known.
const NEWS_OF_CLIENT: Duration = Duration::from_millis(50);

/// A response's body on its way through a pipe that is watched to its end.
pub(super) struct WatchedPipe {
    source: ReadableStream,
    pipe: TransformStream,
}

impl WatchedPipe {
    /// A pipe for the response's body, `None` when there is none. Nothing flows yet.
    pub(super) fn new(response: &Response) -> worker::Result<Option<Self>> {
        let Some(source) = response.body() else { return Ok(None) };
        Ok(Some(Self { source, pipe: pipe_for(response)? }))
    }

    /// A pipe without a source: the end that the client reads, and the end to write to.
    pub(super) fn identity() -> worker::Result<(ReadableStream, WritableStream)> {
        let pipe = IdentityTransformStream::new()?;
        Ok((pipe.readable(), pipe.writable()))
    }

    /// The end that the client reads.
    pub(super) fn readable(&self) -> ReadableStream {
        self.pipe.readable()
    }

    /// Lets the body flow, and does `on_end` when it is known how that ended.
    pub(super) fn start<F: Future<Output = ()> + 'static>(
        self,
        context: &Context,
        client: AbortSignal,
        on_end: impl FnOnce(Ending) -> F + 'static,
    ) {
        let Self { source, pipe } = self;
        let sink = pipe.writable();
        // Neither end may hide from the other which of them failed.
        let options = StreamPipeOptions::new();
        options.set_prevent_abort(true);
        options.set_prevent_cancel(true);
        let piped = source.pipe_to_with_options(&sink, &options);
        let flow = Flow { piped, source, sink, client };
        context.wait_until(flow.watch(on_end));
    }
}

/// How the body of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All of it went out.
    Whole,
    /// The origin broke off.
    OriginBroke,
    /// The client hung up.
    ClientLeft,
}

struct Flow {
    piped: Promise,
    source: ReadableStream,
    sink: WritableStream,
    /// Aborted when the client hangs up.
    client: AbortSignal,
}

impl Flow {
    async fn watch<F: Future<Output = ()>>(self, on_end: impl FnOnce(Ending) -> F) {
        let Err(error) = JsFuture::from(self.piped).await else { return on_end(Ending::Whole).await };
        // Either end's failure looks the same here, and the runtime's news of the client may come a moment later.
        sleep(NEWS_OF_CLIENT).await;
        on_end(if self.client.aborted() { Ending::ClientLeft } else { Ending::OriginBroke }).await;
        // The origin learns that nobody reads on, and the client that the body is not whole.
        let _ = JsFuture::from(self.source.cancel_with_reason(&error)).await;
        let _ = JsFuture::from(self.sink.abort_with_reason(&error)).await;
    }
}

/// Resolves when the client hangs up.
pub(super) fn hung_up(client: &AbortSignal) -> Promise {
    Promise::new(&mut |resolve, _| {
        if client.aborted() {
            let _ = resolve.call0(&resolve);
        } else {
            let _ = client.add_event_listener_with_callback("abort", &resolve);
        }
    })
}

/// A pipe that announces the origin's length, unless the runtime decodes the body on the way.
fn pipe_for(response: &Response) -> worker::Result<TransformStream> {
    let headers = response.headers();
    let encoded = headers.has("content-encoding")?;
    let length = headers.get("content-length")?.and_then(|length| length.parse::<u64>().ok());
    Ok(match length {
        Some(length) if !encoded => FixedLengthStream::new(BigInt::from(length))?.unchecked_into(),
        _ => IdentityTransformStream::new()?.unchecked_into(),
    })
}
