//! The URL of a request, taken apart without changing a byte of it.

use crate::wire::mpp::digest::sha256_base64url;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::Ipv4Addr;

/// The longest path and query that are looked at, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// The longest that is priced: what a challenge binds is hashed before anybody has paid.
pub const LONGEST_PRICED: usize = 6 * 1024;

/// The longest that stands for itself in a challenge.
const LONGEST_BOUND: usize = 1024;

/// Where a request went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `https` or `http`.
    pub scheme: String,
    /// Host, and port where it is not the scheme's own, as the client sees them.
    pub host: String,
    /// Path and query as they stand on the request line.
    pub path_and_query: String,
}

impl Target {
    /// Takes an absolute URL apart; `None` when it has no scheme.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, rest) = rest.split_at_checked(end)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let path_and_query = if rest.starts_with('/') { rest.to_string() } else { format!("/{rest}") };
        Some(Self { scheme: scheme.to_string(), host: host.to_string(), path_and_query })
    }

    /// [`Target::parse`] for a URL that a URL parser would leave as it is, by a look that is quick and rather says `None`: then
    /// it must be asked.
    pub fn parse_resolved(url: &str) -> Option<Self> {
        let target = Self::parse(url)?;
        let (path, query) = target.path_and_query.split_once('?').unwrap_or((&target.path_and_query, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@/".contains(&byte);
        let stays = url.ends_with(&target.path_and_query)
            && is_resolved_host(&target.scheme, &target.host)
            && path.bytes().all(plain)
            && !path.split('/').any(|segment| matches!(segment, "." | ".."))
            && query.bytes().all(|byte| plain(byte) || matches!(byte, b'?' | b'%'));
        stays.then_some(target)
    }

    /// All of it, as the client asked for it.
    pub fn url(&self) -> String {
        [&self.scheme, "://", &self.host, &self.path_and_query].concat()
    }

    /// Whether path and query are short enough.
    pub const fn fits(&self) -> bool {
        self.path_and_query.len() <= LONGEST
    }

    /// What stands for path and query in a challenge: of a long one its hash, so that it is read once and not for each
    /// offer. No path and query begins with `#`. `None` when they are too long to be priced.
    pub fn bound(&self) -> Option<Cow<'_, str>> {
        let length = self.path_and_query.len();
        if length <= LONGEST_BOUND {
            return Some(Cow::Borrowed(&self.path_and_query));
        }
        (length <= LONGEST_PRICED).then(|| Cow::Owned(format!("#{}", sha256_base64url(self.path_and_query.as_bytes()))))
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// Whether nobody on the way can read a credential: https, or the machine itself.
    pub fn is_confidential(&self) -> bool {
        let (name, port) = self.host.rsplit_once(':').unwrap_or((&self.host, ""));
        let name = if port.bytes().all(|b| b.is_ascii_digit()) { name } else { &self.host };
        let loopback = name == "localhost"
            || name.ends_with(".localhost")
            || name == "[::1]"
            || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        self.scheme == "https" || loopback
    }
}

/// Whether a URL parser would leave host and port as they are.
fn is_resolved_host(scheme: &str, host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let standard = match scheme {
        "https" => "443",
        "http" => "80",
        _ => return false,
    };
    let port_stays = port.is_none_or(|port| port != standard && port.parse::<u16>().is_ok_and(|number| number.to_string() == port));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    // What ends in a number is read as an address.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = last.starts_with(|first: char| first.is_ascii_lowercase()) && !name.contains("xn--");
    port_stays && name.bytes().all(plain) && (is_name || name.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_a_url_parser_might_change_is_not_resolved() {
        for url in ["https://api.example/v1/x.json?a=%2e&b=/..", "http://127.0.0.1:8787/", "http://localhost:65535/a..b/.well-known"] {
            assert_eq!(Target::parse_resolved(url), Target::parse(url), "{url}");
        }
        for url in [
            "https://api.example",
            "https://api.example?x",
            "https://api.example/./x",
            "https://api.example/x/..",
            "https://api.example/x/../y",
            "https://api.example/%2e%2e/x",
            "https://api.example/a\\..\\b",
            "https://api.example/a\tb",
            "https://api.example/x y",
            "https://api.example/x#y",
            "https://api.example/x#",
            "https://api.example/x?a=\"b\"",
            "https://api.example/x?a='b'",
            "https://api.example/ä",
            "https://API.example/x",
            "HTTPS://api.example/x",
            "ftp://api.example/x",
            "https://api.example:443/x",
            "http://api.example:80/x",
            "http://api.example:/x",
            "http://api.example:080/x",
            "http://api.example:99999/x",
            "https://user@api.example/x",
            "https://127.1/x",
            "https://127.0.0.01/x",
            "https://0x7f.1/x",
            "https://example./x",
            "https://xn--a/x",
            "https:///x",
            "http://[::1]:8787/x",
        ] {
            assert_eq!(Target::parse_resolved(url), None, "{url}");
        }
    }

    #[test]
    fn nothing_of_path_and_query_is_changed() {
        for (url, host, path_and_query, path) in [
            ("https://api.example/v1/x?a=b?c", "api.example", "/v1/x?a=b?c", "/v1/x"),
            ("http://[::1]:8787//x/../y", "[::1]:8787", "//x/../y", "//x/../y"),
            ("https://api.example", "api.example", "/", "/"),
            ("https://api.example?x#y", "api.example", "/?x", "/"),
            ("https://api.example/a%2Fb#c", "api.example", "/a%2Fb", "/a%2Fb"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.host.as_str(), target.path_and_query.as_str(), target.path()), (host, path_and_query, path), "{url}");
        }
        assert_eq!(Target::parse("/v1/x"), None);
    }

    #[test]
    fn long_targets_are_bound_by_their_hash_and_too_long_ones_are_not_looked_at() {
        let of = |length: usize, end: char| Target::parse(&format!("https://api.example/{}{end}", "x".repeat(length - 2))).unwrap();
        assert_eq!(of(LONGEST_BOUND, 'y').bound().unwrap(), of(LONGEST_BOUND, 'y').path_and_query);
        let long = of(LONGEST_PRICED, 'y').bound().map(Cow::into_owned).unwrap();
        assert!(long.starts_with('#') && long.len() < 64, "{long}");
        assert_ne!(long, of(LONGEST_PRICED, 'z').bound().unwrap());
        assert_eq!(of(LONGEST_PRICED + 1, 'y').bound(), None);
        assert!(of(LONGEST, 'y').fits() && !of(LONGEST + 1, 'y').fits());
    }

    #[test]
    fn credentials_travel_by_https_or_stay_on_the_machine() {
        let confidential = |url| Target::parse(url).unwrap().is_confidential();
        for url in [
            "https://api.example/",
            "http://localhost:8787/",
            "http://gateway.localhost/",
            "http://127.0.0.1/",
            "http://127.1.2.3:80/",
            "http://[::1]/",
            "http://[::1]:8787/",
        ] {
            assert!(confidential(url), "{url}");
        }
        for url in [
            "http://api.example/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://10.0.0.1/",
            "http://[::2]:1/",
            "http://notlocalhost/",
        ] {
            assert!(!confidential(url), "{url}");
        }
    }
}
