//! HTTP requests to the networks of rails: texts there and back, within a time.

use super::glue::{Exchange, exchanged};
use crate::rail::http::HttpRequest;
use std::time::Duration;
use wasm_bindgen::JsValue;

/// The longest answer of a provider that is read, in bytes.
const LONGEST: u32 = 64 * 1024;

/// The longest of a node, which may be asked for the events of many channels at once.
const LONGEST_OF_NODE: u32 = 16 * 1024 * 1024;

/// Posts JSON to a node. Returns status and body.
///
/// # Errors
/// There was no answer in time, or none that is short enough.
pub(super) async fn post(url: &str, body: &str, timeout: Duration) -> Result<(u16, String), JsValue> {
    let headers = &[("content-type", "application/json")];
    let exchange = Exchange { method: "POST", url, headers, body: Some(body), most: LONGEST_OF_NODE };
    exchanged(&exchange, timeout).await?.ok_or(JsValue::UNDEFINED)
}

/// Asks the provider of a rail. Returns status and body.
///
/// # Errors
/// There was no answer in time, or none that is short enough.
pub(super) async fn ask(request: &HttpRequest, timeout: Duration) -> Result<(u16, String), JsValue> {
    let body = request.body.as_ref().map(|body| body.parts());
    let headers = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let headers: Vec<_> = headers.chain(body.map(|(media_type, _)| ("content-type", media_type))).collect();
    let (method, url, body) = (request.method, request.url.as_str(), body.map(|(_, text)| text));
    exchanged(&Exchange { method, url, headers: &headers, body, most: LONGEST }, timeout).await?.ok_or(JsValue::UNDEFINED)
}
