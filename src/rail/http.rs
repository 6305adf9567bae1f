//! HTTP requests to the provider of a rail, as data.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A request to a provider. It may hold secrets, so only where it goes is shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Such as `GET`.
    pub method: &'static str,
    /// Absolute; `https`, or on this very machine. It holds no secret.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent along.
    pub body: Option<HttpBody>,
}

/// The body of a request.
#[derive(Clone, PartialEq, Eq)]
pub enum HttpBody {
    /// `application/json`
    Json(String),
    /// `application/x-www-form-urlencoded`: see [`form`].
    Form(String),
}

impl HttpRequest {
    /// One without headers of its own and without a body.
    pub const fn new(method: &'static str, url: String) -> Self {
        Self { method, url, headers: Vec::new(), body: None }
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn sending(mut self, body: HttpBody) -> Self {
        self.body = Some(body);
        self
    }
}

impl HttpBody {
    /// Its media type, and its text.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Json(text) => ("application/json", text),
            Self::Form(text) => ("application/x-www-form-urlencoded", text),
        }
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

/// Fields as a form holds them (WHATWG URL §5.2), in their order.
pub fn form(fields: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        escape(name, &mut form);
        form.push('=');
        escape(value, &mut form);
    }
    form
}

fn escape(text: &str, form: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    for byte in text.bytes() {
        match byte {
            b' ' => form.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => form.push(char::from(byte)),
            _ => form.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn forms_are_escaped() {
        assert_eq!(form(&[]), "");
        assert_eq!(form(&[("a[b]", "1 & 2"), ("c", "ü=%")]), "a%5Bb%5D=1+%26+2&c=%C3%BC%3D%25");
        assert_eq!(form(&[("plain-._*", "Az09")]), "plain-._*=Az09");
    }

    #[test]
    fn secrets_are_not_shown() {
        let request = HttpRequest::new("POST", "https://node.example/v1".into())
            .with("authorization", "Basic c2VjcmV0".into())
            .sending(HttpBody::Form("token=secret".into()));
        assert_eq!(format!("{request:?}"), "POST https://node.example/v1");
    }
}
