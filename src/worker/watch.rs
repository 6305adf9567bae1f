//! Watching what flows for a paid request, its own body to the origin and the response's to the client: who breaks it off, and how much
//! had gone out. When the origin breaks off, the payer may fetch again; when the client brings that about, it may not.

use super::clock::sleep;
use super::glue::{self, Flow, Whole};
use super::promised::go_on;
use crate::purchase::Broken;
use crate::wire::problem::{Problem, ProblemKind};
use js_sys::{BigInt, Object, Uint8Array};
use std::future::Future;
use std::time::Duration;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ReadableStream, Request, Response, TransformStream, WritableStream};
use worker::{Context, console_error};

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

/// A response's body as it is to go out.
pub(super) enum Body {
    /// There is nothing more that could fail.
    Whole(Uint8Array),
    /// It is still to come.
    Flowing(WatchedPipe),
}

impl Body {
    /// That of an answer of the origin to a paid request; `None` when there is none.
    ///
    /// # Errors
    /// It was small, and the origin broke off before its end.
    pub(super) fn of(response: &Response) -> Result<Option<Self>, Problem> {
        match glue::whole(response).map_err(failed)? {
            Some(Whole::Bytes(bytes)) => Ok(Some(Self::Whole(bytes))),
            Some(Whole::Empty) => Ok(None),
            None => Ok(WatchedPipe::new(response).map_err(|error| failed(error.into()))?.map(Self::Flowing)),
        }
    }

    /// What the client reads.
    pub(super) fn readable(&self) -> Object {
        match self {
            Self::Whole(bytes) => bytes.clone().into(),
            Self::Flowing(pipe) => pipe.readable().into(),
        }
    }

    /// The pipe, when there is one.
    pub(super) fn pipe(self) -> Option<WatchedPipe> {
        if let Self::Flowing(pipe) = self { Some(pipe) } else { None }
    }
}

/// The body of an answer of the origin as it comes: for what is not watched.
///
/// # Errors
/// As of [`Body::of`].
pub(super) fn unwatched(response: &Response) -> Result<Option<Object>, Problem> {
    Ok(match glue::whole(response).map_err(failed)? {
        Some(Whole::Bytes(bytes)) => Some(bytes.into()),
        Some(Whole::Empty) => None,
        None => response.body().map(Into::into),
    })
}

fn failed(error: JsValue) -> Problem {
    console_error!("origin: {error:?}");
    Problem::new(ProblemKind::OriginFailed, "the origin broke off, and nothing was delivered; send the same request again")
}

/// A response's body on its way through a pipe that is watched to its end.
pub(super) struct WatchedPipe {
    source: ReadableStream,
    pipe: TransformStream,
    /// By the origin's word.
    length: Option<u64>,
}

impl WatchedPipe {
    /// A pipe for the response's body, `None` when there is none. Nothing flows yet.
    pub(super) fn new(response: &Response) -> worker::Result<Option<Self>> {
        let Some(source) = response.body() else { return Ok(None) };
        let length = length(response)?;
        Ok(Some(Self { source, pipe: pipe(length)?, length }))
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

    /// Lets the body flow to the client of `request`, and does `on_end` when it is known how that ended. `upload` is the request's own
    /// body.
    pub(super) fn start<F: Future<Output = ()> + 'static>(
        self,
        context: &Context,
        request: &Request,
        upload: Option<Upload>,
        on_end: impl FnOnce(Ending) -> F + 'static,
    ) {
        let flow = Flow::new(&self.source, &self.pipe.writable(), Some(Broken::much(self.length)));
        let (client, announced) = (request.signal(), self.length);
        go_on(context, async move {
            // It never fails.
            let _ = glue::of(&flow.run()).await;
            if flow.is_whole() {
                return on_end(Ending::Delivered).await;
            }
            // The runtime's news of the client may come a moment later.
            sleep(NEWS_OF_CLIENT).await;
            let unread = Duration::from_millis(flow.waited_for_sink().into());
            let origin_broke = flow.source_failed() && !client.aborted();
            let undelivered = origin_broke && broken(upload.as_ref(), flow.gone(), announced, unread).is_undelivered();
            on_end(if undelivered { Ending::Undelivered } else { Ending::Delivered }).await;
            // The origin learns that nobody reads on, and the client that the body is not whole.
            flow.stop();
        });
    }
}

/// How the body of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It counts as delivered: all of it went out, or the client hung up, or brought about that it broke off.
    Delivered,
    /// The origin broke off.
    Undelivered,
}

/// The body of a paid request on its way to the origin.
#[derive(Clone)]
pub(super) struct Upload(Flow);

impl Upload {
    /// The body flows from here on; the origin reads it from the stream.
    pub(super) fn start(body: &ReadableStream, length: Option<u64>) -> Result<(Self, ReadableStream), JsValue> {
        let pipe = pipe(length)?;
        let flow = Flow::new(body, &pipe.writable(), None);
        // It never fails, and nobody waits for it.
        let _ = flow.pour();
        Ok((Self(flow), pipe.readable()))
    }

    pub(super) const fn flow(&self) -> &Flow {
        &self.0
    }
}

/// What is known of an answer that ended before its end, after so many bytes that the client did not read for so long.
pub(super) fn broken(upload: Option<&Upload>, delivered: u64, announced: Option<u64>, unread: Duration) -> Broken {
    let unsent = upload.filter(|upload| !upload.0.is_whole()).map_or(0, |upload| upload.0.waited_for_source());
    Broken {
        delivered,
        announced,
        kept_waiting: unread + Duration::from_millis(unsent.into()),
        upload_broke: upload.is_some_and(|upload| upload.0.source_failed()),
    }
}

/// Drops a response that is not handed out. Unread, it would hold its connection.
pub(super) fn discard(response: &Response) {
    if let Some(body) = response.body() {
        // Whether cancelling works changes nothing for the client.
        let _ = body.cancel();
    }
}

/// How long the body is by the origin's word, unless the runtime decodes it on the way.
pub(super) fn length(response: &Response) -> Result<Option<u64>, JsValue> {
    let headers = response.headers();
    if headers.has("content-encoding")? {
        return Ok(None);
    }
    Ok(headers.get("content-length")?.and_then(|length| length.parse().ok()))
}

/// A pipe that announces the length, when it is known.
fn pipe(length: Option<u64>) -> Result<TransformStream, JsValue> {
    Ok(match length {
        Some(length) => FixedLengthStream::new(BigInt::from(length))?.unchecked_into(),
        None => IdentityTransformStream::new()?.unchecked_into(),
    })
}
