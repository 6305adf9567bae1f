//! HTTP requests to the networks of rails: short JSON there and back, within a time.

use super::glue::exchanged;
use std::time::Duration;
use wasm_bindgen::JsValue;

/// Sends a request, with a body of JSON if there is one. Returns status and body.
///
/// # Errors
/// There was no answer in time.
pub(super) async fn request(method: &str, url: &str, body: Option<&str>, timeout: Duration) -> Result<(u16, String), JsValue> {
    exchanged(method, url, body, timeout).await?.ok_or(JsValue::UNDEFINED)
}
