//! Header hygiene between client and origin.

use crate::protocol::credential::split_outside_quotes;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Request headers that only the gateway may set towards the origin all start with this.
pub const PAYER_PREFIX: &str = "x-payment-";

/// Hop-by-hop headers (RFC 9110 §7.6.1) besides those that `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Credentials and tokens of payment protocols, besides `Authorization: Payment`.
const PAYMENT: [&str; 6] =
    ["accept-payment", "payment-authorization", "payment-session", "payment-signature", "x-mpp-session", "x-payment"];

/// Headers by which frameworks let a client override the request line: an origin that honours one would
/// serve another request than the one that was priced.
const OVERRIDES: [&str; 9] = [
    "x-envoy-original-path",
    "x-forwarded-uri",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-url",
];

/// Headers that tell an origin behind the gateway what the client sees; set by the gateway alone.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-server"];

/// Headers of a response that only the gateway may set.
pub const RESPONSE_PAYMENT: [&str; 5] =
    ["idempotency-replayed", "payment-receipt", "payment-required", "payment-response", "payment-units"];

/// Response headers that tell caches more than `Cache-Control` does, and would overrule it.
pub const CACHE_OVERRIDES: [&str; 3] = ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"];

/// Whether a request header (lower-case name) must not reach the origin, priced or not. Many servers take
/// `_` for `-` in names (CGI's variables), so here they are the same.
pub fn is_private(name: &str) -> bool {
    let name = name.replace('_', "-");
    let name = name.as_str();
    name.starts_with(PAYER_PREFIX) || PAYMENT.contains(&name) || OVERRIDES.contains(&name)
}

/// Whether a header (lower-case name) is one that tells an origin what the client sees.
pub fn is_forwarded(name: &str) -> bool {
    FORWARDED.contains(&name.replace('_', "-").as_str())
}

/// Whether a header (lower-case name) concerns one connection only. `connection` is the value of the
/// `Connection` header.
pub fn is_hop_by_hop(name: &str, connection: Option<&str>) -> bool {
    let named = |value: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(name));
    HOP_BY_HOP.contains(&name) || connection.is_some_and(named)
}

/// A `Cache-Control` that keeps shared caches from storing a paid response, and keeps what else the
/// origin asked for.
pub fn private_cache_control(from_origin: Option<&str>) -> String {
    let shared = |directive: &str| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        ["public", "private", "s-maxage", "proxy-revalidate"].iter().any(|shared| name.eq_ignore_ascii_case(shared))
    };
    let kept = from_origin.unwrap_or_default().split(',').map(str::trim).filter(|directive| !directive.is_empty() && !shared(directive));
    kept.fold(String::from("private"), |value, directive| format!("{value}, {directive}"))
}

/// What is left of a `WWW-Authenticate` without the challenges of the `Payment` scheme, which only the
/// gateway may make.
pub fn without_payment_challenges(value: &str) -> Option<String> {
    let mut kept = Vec::new();
    let mut dropping = false;
    for part in split_outside_quotes(value).filter(|part| !part.is_empty()) {
        // A part that starts with a token and no `=` begins a challenge; the others are its parameters.
        let first = part.split([' ', '\t']).next().unwrap_or_default();
        if !first.contains('=') {
            dropping = first.eq_ignore_ascii_case("payment");
        }
        if !dropping {
            kept.push(part);
        }
    }
    if kept.is_empty() { None } else { Some(kept.join(", ")) }
}

/// What of `path` lies below `prefix`, on a segment border.
pub fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// `list` with the `names` it lacks, comma-separated: for `Access-Control-Expose-Headers` and the like.
pub fn with_names(list: Option<&str>, names: &[&str]) -> String {
    let mut out = String::from(list.unwrap_or_default().trim());
    for name in names {
        if !out.split(',').any(|held| held.trim().eq_ignore_ascii_case(name)) {
            if !out.is_empty() {
                out.push_str(", ");
            }
            out.push_str(name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn private_and_hop_by_hop_names_are_known() {
        for name in
            ["x-payment", "x_payment_payer", "x-payment-payer", "x-payment-anything", "payment-signature", "x-rewrite-url", "x-mpp-session"]
        {
            assert!(is_private(name), "{name}");
        }
        for name in ["authorization", "cookie", "x-pay", "content-type"] {
            assert!(!is_private(name), "{name}");
        }
        assert!(is_hop_by_hop("te", None));
        assert!(is_hop_by_hop("x-trace", Some("close, X-Trace")));
        assert!(!is_hop_by_hop("x-trace", Some("close, x-trace-id")));
    }

    #[test]
    fn only_payment_challenges_are_dropped() {
        assert_eq!(without_payment_challenges(r#"Payment id="x", realm="y""#), None);
        assert_eq!(without_payment_challenges(r#"Basic realm="a, b""#).as_deref(), Some(r#"Basic realm="a, b""#));
        let mixed = r#"Basic realm="a", charset="UTF-8", payment id="x", realm="y", Negotiate, Bearer scope="z""#;
        assert_eq!(without_payment_challenges(mixed).as_deref(), Some(r#"Basic realm="a", charset="UTF-8", Negotiate, Bearer scope="z""#));
    }

    #[test]
    fn paths_below_a_prefix_are_known() {
        assert_eq!(below("/x", "/"), Some("/x"));
        assert_eq!(below("/api/x", "/api"), Some("/x"));
        assert_eq!(below("/api", "/api/"), Some(""));
        assert_eq!(below("/apix", "/api"), None);
        assert_eq!(below("/", "/api"), None);
    }

    #[test]
    fn paid_responses_are_private_whatever_the_origin_says() {
        assert_eq!(private_cache_control(None), "private");
        assert_eq!(private_cache_control(Some("public, max-age=60, S-MaxAge=600")), "private, max-age=60");
        assert_eq!(private_cache_control(Some("no-store")), "private, no-store");
    }

    #[test]
    fn names_are_added_once() {
        assert_eq!(with_names(None, &["A", "B"]), "A, B");
        assert_eq!(with_names(Some("X, a"), &["A", "B"]), "X, a, B");
    }
}
