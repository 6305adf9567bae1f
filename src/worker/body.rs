//! Reading a request body as a whole, with a limit: only for routes that bind it by digest.

use crate::protocol::problem::{Problem, ProblemKind};
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Request};

/// The whole body, empty when there is none.
///
/// # Errors
/// `413` when it is longer than `limit` bytes; then no more than that was read.
pub(super) async fn read(request: &Request, limit: usize) -> Result<Vec<u8>, Problem> {
    let too_large =
        || Problem::new(ProblemKind::ContentTooLarge, format!("the body exceeds the {limit} bytes that this route can bind to a payment"));
    let declared = request.headers().get("content-length").ok().flatten().and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let Some(stream) = request.body() else { return Ok(Vec::new()) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut body = Vec::new();
    while let Some(chunk) = next(&reader).await.map_err(|_| Problem::new(ProblemKind::BadRequest, "the body could not be read"))? {
        let length = usize::try_from(chunk.length()).unwrap_or(usize::MAX);
        if body.len().saturating_add(length) > limit {
            let _ = JsFuture::from(reader.cancel()).await;
            return Err(too_large());
        }
        body.extend(chunk.to_vec());
    }
    Ok(body)
}

async fn next(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    let result = JsFuture::from(reader.read()).await?;
    if Reflect::get(&result, &JsValue::from_str("done"))?.is_truthy() {
        return Ok(None);
    }
    Reflect::get(&result, &JsValue::from_str("value"))?.dyn_into().map(Some)
}
