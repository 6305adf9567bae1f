//! Which requests are priced.

mod trie;

use super::config::{Meter, Settle};
use super::exact::ExactOffers;
use super::offer::{Offer, SessionOffer};
use super::path::{self, Readings};
use crate::money::{Amount, Price};
use crate::rail::RailId;
use crate::wire::mpp::challenge::BindingKeys;
use crate::wire::mpp::credential::CredentialField;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use trie::Trie;

/// Paths under this are the gateway's own.
pub const OWN_PREFIX: &str = "/__mpp/";

/// A path pattern: literal segments, `{name}` for exactly one segment, and `/*` at the end for the
/// path before it and everything below. Compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
    tail: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Parameter,
    Literal(String),
}

/// What was wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPattern {
    /// Does not start with `/`.
    NotAbsolute,
    /// `*` anywhere but as the last segment, or braces that do not enclose a whole segment.
    MisplacedWildcard,
    /// Under `/__mpp/`, the gateway's own.
    Own,
    /// Characters that a path does not hold as they are, an empty segment, or a dot segment.
    NotCanonical,
}

/// The HTTP methods a route prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// All but `OPTIONS`.
    Any,
    /// These, in upper case. `GET` includes `HEAD`.
    Only(Vec<String>),
}

/// A priced route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which paths.
    pub pattern: Pattern,
    /// Which methods.
    pub methods: Methods,
    /// What one request costs, in the gateway's currency; a rail may have a price of its own.
    pub price: Price,
    /// A line for people, printable ASCII.
    pub description: Option<String>,
    /// What is asked for, in the server's order; never empty.
    pub offers: Vec<Offer>,
    /// What is asked for over x402, if anything.
    pub exact: Option<ExactOffers>,
    /// When a charge is settled.
    pub settle: Settle,
    /// Whether redirects (3xx) and 304 are charged.
    pub charge_redirects: bool,
    /// Whether the request body is bound to the challenge.
    pub digest: bool,
    /// What a session pays for.
    pub meter: Meter,
    /// Units reserved before the origin reports how many it were; 1 where it does not.
    pub max_units: u64,
    /// Where its credentials are.
    pub field: CredentialField,
}

/// All priced routes.
#[derive(Clone, Debug, Default)]
pub struct Router {
    routes: Vec<Route>,
    /// Where a route stands among them, by its pattern.
    positions: Trie,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let rest = text.strip_prefix('/').ok_or(InvalidPattern::NotAbsolute)?;
        let (rest, tail) = match rest.strip_suffix('*') {
            Some("") => ("", true),
            Some(before) => (before.strip_suffix('/').ok_or(InvalidPattern::MisplacedWildcard)?, true),
            None => (rest, false),
        };
        let segments = match rest {
            "" => Vec::new(),
            rest => rest.split('/').map(Segment::parse).collect::<Result<_, _>>()?,
        };
        if let Some(Segment::Literal(first)) = segments.first()
            && first == OWN_PREFIX.trim_matches('/')
        {
            return Err(InvalidPattern::Own);
        }
        Ok(Self { text: text.into(), segments, tail })
    }

    fn matches(&self, path: &[path::Segment<'_>]) -> bool {
        let long_enough = if self.tail { path.len() >= self.segments.len() } else { path.len() == self.segments.len() };
        let covers = |(segment, part): (&Segment, &path::Segment<'_>)| match segment {
            Segment::Parameter => true,
            Segment::Literal(literal) => literal.as_bytes() == *part,
        };
        long_enough && self.segments.iter().zip(path).all(covers)
    }

    /// Whether both stand for the same paths, so that neither is more specific.
    pub fn same_paths(&self, other: &Self) -> bool {
        self.segments == other.segments && self.tail == other.tail
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return if named { Ok(Self::Parameter) } else { Err(InvalidPattern::MisplacedWildcard) };
        }
        if text.contains(['{', '}', '*']) {
            return Err(InvalidPattern::MisplacedWildcard);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@".contains(&b);
        let canonical = !text.is_empty() && text.bytes().all(plain) && !text.ends_with('.');
        if canonical { Ok(Self::Literal(text.to_lowercase())) } else { Err(InvalidPattern::NotCanonical) }
    }
}

impl Methods {
    /// Whether a request with this method is priced.
    pub fn contain(&self, method: &str) -> bool {
        match self {
            Self::Any => method != "OPTIONS",
            Self::Only(methods) => {
                let listed = |wanted: &str| methods.iter().any(|method| method == wanted);
                listed(method) || (method == "HEAD" && listed("GET"))
            }
        }
    }

    /// Whether some method is in both.
    pub fn overlap(&self, other: &Self) -> bool {
        let holds_any_of = |methods: &Self, others: &Self| match others {
            Self::Any => true,
            Self::Only(others) => others.iter().any(|other| methods.contain(other)),
        };
        holds_any_of(self, other) || holds_any_of(other, self)
    }
}

impl Route {
    /// Whether the body of a request by this method is bound to its challenge.
    pub fn binds_body(&self, method: &str) -> bool {
        self.digest && !matches!(method, "GET" | "HEAD")
    }

    /// The rails that it can be paid by, some of them several times.
    pub fn rails(&self) -> impl Iterator<Item = RailId> {
        self.offers.iter().map(|offer| offer.rail).chain(self.exact.iter().flat_map(ExactOffers::rails))
    }

    /// What the least that a session can buy here costs.
    pub fn least_cost(&self, session: &SessionOffer) -> Amount {
        session.terms.price.times(self.max_units)
    }
}

impl Router {
    /// Takes routes of which no two stand for the same paths and methods.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut positions = Trie::default();
        for (position, route) in routes.iter().enumerate() {
            positions.insert(&route.pattern, position);
        }
        Self { routes, positions }
    }

    /// Does the work beforehand that all challenges in the protection space `realm` have in common.
    pub fn prepare(&mut self, keys: &BindingKeys, realm: &str) {
        for route in &mut self.routes {
            route.offers.iter_mut().for_each(|offer| offer.prepare(keys, realm, route.description.as_deref()));
        }
    }

    /// All routes, in the configuration's order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route that prices a request, if any does. The most specific pattern wins; where an origin may
    /// read the path in several ways, the most expensive reading does.
    pub fn find(&self, method: &str, path: &Readings) -> Option<&Route> {
        self.find_where(path, |route| route.methods.contain(method))
    }

    /// The route whose channels a request to `path` manages, whatever its method.
    pub fn find_session(&self, path: &Readings) -> Option<&Route> {
        self.find_where(path, |route| route.offers.iter().any(|offer| offer.session().is_some()))
    }

    fn find_where(&self, path: &Readings, applies: impl Fn(&Route) -> bool) -> Option<&Route> {
        let mut dearest: Option<&Route> = None;
        path.each(|reading| {
            let applies = |position| self.routes.get(position).filter(|route| applies(route));
            let Some(route) = self.positions.most_specific(reading, &applies) else { return };
            // The first of equally expensive readings: the path as it stands.
            if dearest.is_none_or(|dearest| dearest.price < route.price) {
                dearest = Some(route);
            }
        });
        dearest
    }
}

/// Whether any of the patterns may price the request.
pub fn is_priced(priced: &[(Pattern, Methods)], method: &str, path: &Readings) -> bool {
    let mut found = false;
    path.each(|reading| found = found || priced.iter().any(|(pattern, methods)| methods.contain(method) && pattern.matches(reading)));
    found
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "does not start with /",
            Self::MisplacedWildcard => "has a wildcard that is neither a whole {name} segment nor a final /*",
            Self::Own => "lies under /__mpp/, where the gateway answers itself",
            Self::NotCanonical => "has an empty segment, a trailing slash or dot, or a character that must be written otherwise",
        })
    }
}

impl core::error::Error for InvalidPattern {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    pub(super) fn route(pattern: &str, methods: Methods, price: u128) -> Route {
        Route {
            pattern: Pattern::parse(pattern).unwrap(),
            methods,
            price: Price::parse(&format!("{price}")).unwrap(),
            description: None,
            offers: vec![],
            exact: None,
            settle: Settle::First,
            charge_redirects: false,
            digest: false,
            meter: Meter::Request,
            max_units: 1,
            field: CredentialField::Authorization,
        }
    }

    fn router(routes: &[(&str, u128)]) -> Router {
        Router::new(routes.iter().map(|(pattern, price)| route(pattern, Methods::Any, *price)).collect())
    }

    fn find<'r>(router: &'r Router, method: &str, path: &str) -> Option<&'r Route> {
        router.find(method, &Readings::of(path).unwrap())
    }

    fn price(router: &Router, path: &str) -> Option<u128> {
        find(router, "GET", path).map(|route| route.price.to_string().parse().unwrap())
    }

    #[test]
    fn patterns_match_on_segment_borders() {
        let router = router(&[("/exact", 1), ("/users/{id}/posts", 2), ("/premium/*", 3)]);
        for (path, expected) in [
            ("/exact", Some(1)),
            ("/exact/", Some(1)),
            ("/exact/x", None),
            ("/exactly", None),
            ("/users/7/posts", Some(2)),
            ("/users//posts", None),
            ("/users/7/8/posts", None),
            ("/premium", Some(3)),
            ("/premium/", Some(3)),
            ("/premium/a/b", Some(3)),
            ("/premiumfoo", None),
            ("/", None),
        ] {
            assert_eq!(price(&router, path), expected, "{path}");
        }
    }

    #[test]
    fn the_most_specific_pattern_wins_in_any_order() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
            let all = [("/*", 1), ("/v1/*", 2), ("/v1/{x}", 3), ("/v1/x", 4)];
            let router = router(&order.map(|index| all[index]));
            assert_eq!(price(&router, "/v1/x"), Some(4));
            assert_eq!(price(&router, "/v1/y"), Some(3));
            assert_eq!(price(&router, "/v1/y/z"), Some(2));
            assert_eq!(price(&router, "/else"), Some(1));
        }
    }

    #[test]
    fn an_ambiguous_path_costs_its_dearest_reading() {
        let router = router(&[("/cheap/*", 1), ("/dear/*", 9)]);
        assert_eq!(price(&router, "/cheap/..%2fdear/x"), Some(9));
        assert_eq!(price(&router, "/dear/..%2fcheap/x"), Some(9));
        assert_eq!(price(&router, "/free/..%2fcheap/x"), Some(1));
    }

    #[test]
    fn methods_are_priced_separately_and_head_counts_as_get() {
        let router = Router::new(vec![route("/x", Methods::Only(vec!["GET".into()]), 1)]);
        assert!(find(&router, "GET", "/x").is_some());
        assert!(find(&router, "HEAD", "/x").is_some());
        assert!(find(&router, "POST", "/x").is_none());
        assert!(!Methods::Any.contain("OPTIONS"));
        assert!(Methods::Any.contain("BREW"));
        assert!(Methods::Only(vec!["GET".into()]).overlap(&Methods::Any));
        let only = |method: &str| Methods::Only(vec![method.into()]);
        assert!(!only("GET").overlap(&only("POST")));
        assert!(only("GET").overlap(&only("HEAD")) && only("HEAD").overlap(&only("GET")));
    }

    #[test]
    fn bad_patterns_say_why() {
        for (text, error) in [
            ("x", InvalidPattern::NotAbsolute),
            ("", InvalidPattern::NotAbsolute),
            ("/a*", InvalidPattern::MisplacedWildcard),
            ("/*/a", InvalidPattern::MisplacedWildcard),
            ("/a{b}", InvalidPattern::MisplacedWildcard),
            ("/{}", InvalidPattern::MisplacedWildcard),
            ("/__mpp/*", InvalidPattern::Own),
            ("//a", InvalidPattern::NotCanonical),
            ("/a/", InvalidPattern::NotCanonical),
            ("/a/..", InvalidPattern::NotCanonical),
            ("/a%20b", InvalidPattern::NotCanonical),
            ("/a?b", InvalidPattern::NotCanonical),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
        assert!(Pattern::parse("/*").is_ok());
        assert!(Pattern::parse("/").is_ok());
    }
}
