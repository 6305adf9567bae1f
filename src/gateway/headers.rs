//! Header hygiene between client and origin.

use crate::wire::mpp::credential::split_outside_quotes;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Request headers that only the gateway may set towards the origin all start with this.
pub const PAYER_PREFIX: &str = "x-payment-";

/// The most headers that a request may have, and the most bytes of their names together: each is looked at, and nobody
/// has paid for that.
const MOST_NAMES: usize = 100;
const MOST_NAME_BYTES: usize = 8 * 1024;

/// The longest `Connection` that is read, in bytes.
const LONGEST_CONNECTION: usize = 1024;

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

/// Credentials and tokens of payment protocols, besides `Authorization: Payment`; and what clients of x402 send along, though it is
/// for responses.
const PAYMENT: [&str; 8] = [
    "accept-payment",
    "access-control-expose-headers",
    "payment-authorization",
    "payment-session",
    "payment-signature",
    "sign-in-with-x",
    "x-mpp-session",
    "x-payment",
];

/// Headers by which frameworks, servers and platforms let a client override the request line, or skip what judges
/// it: an origin that honours one would serve another request than the one that was priced.
const OVERRIDES: [&str; 41] = [
    "path-info",
    "request-uri",
    "script-name",
    "x-envoy-original-path",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-http-destinationurl",
    "x-http-method",
    "x-http-method-override",
    "x-http-path-override",
    "x-invoke-error",
    "x-invoke-output",
    "x-invoke-path",
    "x-invoke-query",
    "x-invoke-status",
    "x-matched-path",
    "x-method-override",
    "x-middleware-invoke",
    "x-middleware-rewrite",
    "x-middleware-subrequest",
    "x-ms-original-url",
    "x-now-route-matches",
    "x-origin-url",
    "x-original-method",
    "x-original-path",
    "x-original-request-uri",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-proxy-url",
    "x-real-path",
    "x-real-uri",
    "x-real-url",
    "x-request-uri",
    "x-rewrite-path",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-script-name",
    "x-waws-unencoded-url",
];

/// Headers that tell an origin behind the gateway what the client sees; set by the gateway alone.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-server"];

/// No name in these lists is longer.
const LONGEST_LISTED: usize = 32;

/// Headers of a response that only the gateway may set.
pub const RESPONSE_PAYMENT: [&str; 6] =
    ["idempotency-replayed", "payment-receipt", "payment-required", "payment-response", "payment-units", "x-payment-response"];

/// The names of a message's headers, in lower case.
pub struct Names {
    text: String,
    /// Where each stands, in order of the names.
    spans: Vec<Range<usize>>,
}

/// A request has more headers than can be looked at before it is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the request has too many headers; send at most {MOST_NAMES}, with names of {MOST_NAME_BYTES} bytes together, and a Connection of at most {LONGEST_CONNECTION} bytes"
        )
    }
}

impl core::error::Error for TooMany {}

impl From<TooMany> for Problem {
    fn from(too_many: TooMany) -> Self {
        Self::new(ProblemKind::HeadersTooLarge, format!("{too_many}"))
    }
}

impl Names {
    /// Takes the names in lower case, each with a line feed behind it.
    pub fn new(text: String) -> Self {
        let mut start = 0;
        let mut spans: Vec<_> = text
            .split_terminator('\n')
            .map(|name| {
                let span = start..start + name.len();
                start = span.end + 1;
                span
            })
            .collect();
        spans.sort_by(|one, other| text.get(one.clone()).cmp(&text.get(other.clone())));
        Self { text, spans }
    }

    /// Whether the message has such a header; `name` in lower case.
    pub fn has(&self, name: &str) -> bool {
        self.spans.binary_search_by(|span| self.text.get(span.clone()).cmp(&Some(name))).is_ok()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.spans.iter().filter_map(|span| self.text.get(span.clone()))
    }

    /// Whether a request with these names, and with this `Connection`, may be looked at further.
    pub fn admit(&self, connection: Option<&str>) -> Result<(), TooMany> {
        let fits = self.spans.len() <= MOST_NAMES
            && self.text.len() <= MOST_NAME_BYTES
            && connection.is_none_or(|connection| connection.len() <= LONGEST_CONNECTION);
        if fits { Ok(()) } else { Err(TooMany) }
    }
}

/// Which headers of a request do not go on to the origin as they are.
pub struct Withheld {
    /// The names in `Connection`, in lower case and in order.
    connection: Vec<String>,
    /// The origin knows the gateway's host by another name.
    renamed: bool,
    /// The request is to become another protocol.
    upgrades: bool,
}

impl Withheld {
    /// Of a request with this `Connection`, to an origin that has a URL of its own (`renamed`) or not.
    pub fn new(connection: Option<&str>, renamed: bool, upgrades: bool) -> Self {
        let mut connection: Vec<_> = connection.unwrap_or_default().split(',').map(|token| token.trim().to_ascii_lowercase()).collect();
        connection.sort_unstable();
        Self { connection, renamed, upgrades }
    }

    /// Whether the header of this name, in lower case, is withheld.
    pub fn holds(&self, name: &str) -> bool {
        let stays = self.upgrades && matches!(name, "upgrade" | "connection");
        let folded = Folded::of(name);
        name == "authorization"
            || (!stays && self.is_hop_by_hop(name))
            || folded.is_private()
            || (self.renamed && (folded.is_in(&FORWARDED) || name == "host"))
    }

    fn is_hop_by_hop(&self, name: &str) -> bool {
        HOP_BY_HOP.binary_search(&name).is_ok() || self.connection.binary_search_by(|token| token.as_str().cmp(name)).is_ok()
    }
}

/// A name as servers read it that make variables of headers: there `_`, `.` and other marks are the same as `-`. What is
/// longer than any listed name is cut one byte behind that.
struct Folded {
    bytes: [u8; LONGEST_LISTED + 1],
    length: usize,
}

impl Folded {
    fn of(name: &str) -> Self {
        let mut bytes = [0; LONGEST_LISTED + 1];
        for (folded, byte) in bytes.iter_mut().zip(name.bytes()) {
            *folded = if byte.is_ascii_alphanumeric() { byte } else { b'-' };
        }
        Self { bytes, length: name.len().min(LONGEST_LISTED + 1) }
    }

    fn name(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn is_in(&self, list: &[&str]) -> bool {
        list.binary_search_by(|listed| listed.as_bytes().cmp(self.name())).is_ok()
    }

    /// Whether a request header must not reach the origin, priced or not.
    fn is_private(&self) -> bool {
        self.name().starts_with(PAYER_PREFIX.as_bytes()) || self.is_in(&PAYMENT) || self.is_in(&OVERRIDES)
    }
}

/// Whether a response header (lower-case name) tells caches more than `Cache-Control` does, and would overrule it: what
/// is targeted at some (RFC 9213) or known to one alone.
pub fn overrules_cache_control(name: &str) -> bool {
    const OTHERS: [&str; 3] = ["edge-control", "surrogate-control", "x-accel-expires"];
    OTHERS.contains(&name) || (name.ends_with("cache-control") && name != "cache-control")
}

/// Codings that the runtime decodes of itself, as it reads them: what comes in another one cannot be metered.
const READABLE: [&str; 2] = ["gzip", "br"];

/// What of a client's `Accept-Encoding` an origin is told whose answer is metered: what the client can read and we can, too.
pub fn readable_codings(accept_encoding: Option<&str>) -> String {
    let is_readable = |item: &&str| {
        let coding = item.split(';').next().unwrap_or_default().trim();
        READABLE.iter().any(|readable| coding.eq_ignore_ascii_case(readable))
    };
    let kept: Vec<_> = accept_encoding.unwrap_or_default().split(',').map(str::trim).filter(is_readable).collect();
    if kept.is_empty() { "identity".into() } else { kept.join(", ") }
}

/// Whether an answer with this `Content-Encoding` can be metered.
pub fn is_readable(content_encoding: Option<&str>) -> bool {
    content_encoding.is_none_or(|coding| matches!(coding, "" | "identity") || READABLE.contains(&coding))
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
    fn lists_that_are_searched_are_in_order() {
        for list in [&HOP_BY_HOP[..], &PAYMENT, &OVERRIDES, &FORWARDED] {
            assert!(list.is_sorted(), "{list:?}");
            assert!(list.iter().all(|name| name.len() <= LONGEST_LISTED && Folded::of(name).name() == name.as_bytes()), "{list:?}");
        }
    }

    fn is_private(name: &str) -> bool {
        Withheld::new(None, false, false).holds(name)
    }

    #[test]
    fn private_names_are_known_however_a_server_spells_them() {
        let long = format!("x.payment.{}", "a".repeat(100));
        for name in [
            "x-payment",
            "x_payment_payer",
            "x.payment.payer",
            "x-payment.payer",
            "x~payment!payer",
            &long,
            "x-payment-payer",
            "x-payment-anything",
            "payment-signature",
            "x-rewrite-url",
            "x-mpp-session",
            "x_original_path",
            "path_info",
            "x-waws-unencoded-url",
        ] {
            assert!(is_private(name), "{name}");
        }
        for name in ["x-authorization", "cookie", "x-pay", "content-type", "xpayment", "x-original-path-of-mine", "x-waws-unencoded-urls"] {
            assert!(!is_private(name), "{name}");
        }
    }

    #[test]
    fn hop_by_hop_headers_and_what_we_set_are_withheld() {
        let plain = Withheld::new(Some("close, X-Trace,upgrade"), false, false);
        for name in ["te", "x-trace", "close", "connection", "upgrade", "authorization", "x-payment-payer"] {
            assert!(plain.holds(name), "{name}");
        }
        for name in ["x-trace-id", "host", "forwarded", "x-forwarded-host", "accept"] {
            assert!(!plain.holds(name), "{name}");
        }
        let renamed = Withheld::new(Some("upgrade"), true, true);
        assert!(renamed.holds("host") && renamed.holds("x.forwarded_host") && renamed.holds("te"));
        assert!(!renamed.holds("upgrade") && !renamed.holds("connection"));
    }

    #[test]
    fn names_are_found_in_any_order() {
        let names = Names::new("host\naccept\nx-own\n".into());
        assert_eq!(names.iter().collect::<Vec<_>>(), ["accept", "host", "x-own"]);
        assert!(names.has("host") && names.has("accept") && names.has("x-own"));
        assert!(!names.has("") && !names.has("accep") && !names.has("hosts") && !names.has("host\naccept"));
        assert!(!Names::new(String::new()).has(""));
    }

    #[test]
    fn headers_are_bounded() {
        let of = |count: usize, length: usize| Names::new(format!("{}\n", "x".repeat(length)).repeat(count));
        for (names, connection, admitted) in
            [(of(100, 8), 1024, true), (of(101, 8), 0, false), (of(1, 8191), 0, true), (of(1, 8192), 0, false), (of(0, 0), 1025, false)]
        {
            assert_eq!(names.admit(Some(&"x".repeat(connection))).is_ok(), admitted);
        }
    }

    #[test]
    fn only_codings_that_can_be_metered_are_asked_for() {
        for (client, origin) in [
            (None, "identity"),
            (Some(""), "identity"),
            (Some("zstd, deflate;q=0.5, *"), "identity"),
            (Some("zstd, GZIP;q=0.5, br"), "GZIP;q=0.5, br"),
            (Some("gzip, deflate, br, zstd"), "gzip, br"),
            (Some("gzip;q=0, x-gzip, brotli"), "gzip;q=0"),
        ] {
            assert_eq!(readable_codings(client), origin);
        }
        for coding in [None, Some(""), Some("identity"), Some("gzip"), Some("br")] {
            assert!(is_readable(coding), "{coding:?}");
        }
        for coding in ["zstd", "deflate", "gzip, gzip", "gzip, br", "x-gzip", "GZIP", "br ", "compress"] {
            assert!(!is_readable(Some(coding)), "{coding}");
        }
    }

    #[test]
    fn headers_for_certain_caches_are_known() {
        for name in ["cdn-cache-control", "cloudflare-cdn-cache-control", "x-litespeed-cache-control", "surrogate-control", "edge-control"]
        {
            assert!(overrules_cache_control(name), "{name}");
        }
        assert!(overrules_cache_control("x-accel-expires"));
        assert!(!overrules_cache_control("cache-control") && !overrules_cache_control("expires"));
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
