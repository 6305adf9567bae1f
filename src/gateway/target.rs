//! The URL of a request, taken apart without changing a byte of it.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::Ipv4Addr;

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

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

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
