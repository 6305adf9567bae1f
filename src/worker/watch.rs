//! Watching a paid response on its way out. The runtime pumps the bytes natively; only the end is looked
//! at: when the origin breaks off, the payer may fetch again; when the client hangs up, it may not.

use super::clock::sleep;
use super::config::load;
use super::objects::PayerMessage;
use super::paid::Sale;
use crate::evm::Address;
use crate::payment::LeaseId;
use js_sys::{BigInt, Promise};
use std::time::Duration;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, ReadableStream, Response, StreamPipeOptions, TransformStream, WritableStream};
use worker::{Env, console_warn};

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

impl Sale<'_> {
    /// The response's body, watched until it was handed out. `None` when there is none.
    pub(super) fn watched_body(&self, lease: LeaseId, response: &Response) -> worker::Result<Option<ReadableStream>> {
        let Some(source) = response.body() else { return Ok(None) };
        let pipe = pipe_for(response)?;
        // Neither end may hide from the other which of them failed.
        let options = StreamPipeOptions::new();
        options.set_prevent_abort(true);
        options.set_prevent_cancel(true);
        let sink = pipe.writable();
        let piped = source.pipe_to_with_options(&sink, &options);
        let payer = self.charge.signed.authorization.from;
        let reopen = PayerMessage::Reopen { nonce: self.nonce(), lease };
        let client = self.request.incoming.request.signal();
        self.request.context.wait_until(watch(self.request.env.clone(), Piping { piped, source, sink, client }, payer, reopen));
        Ok(Some(pipe.readable()))
    }
}

struct Piping {
    piped: Promise,
    source: ReadableStream,
    sink: WritableStream,
    /// Aborted when the client hangs up.
    client: AbortSignal,
}

async fn watch(env: Env, piping: Piping, payer: Address, reopen: PayerMessage) {
    let Piping { piped, source, sink, client } = piping;
    let Err(error) = JsFuture::from(piped).await else { return };
    // Either end's failure looks the same here, and the runtime's news of the client may come a moment later.
    sleep(NEWS_OF_CLIENT).await;
    if !client.aborted() {
        let loaded = load(&env);
        if let Ok(isolate) = loaded.as_ref()
            && let Err(problem) = isolate.ask_payer(&env, payer, &reopen).await
        {
            console_warn!("a delivery broken off by the origin could not be reopened: {}", problem.detail);
        }
    }
    // The origin learns that nobody reads on, and the client that the body is not whole.
    let _ = JsFuture::from(source.cancel_with_reason(&error)).await;
    let _ = JsFuture::from(sink.abort_with_reason(&error)).await;
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
