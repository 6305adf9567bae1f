//! Patterns by their segments: what matches a path is found without looking at what does not.

use super::{Pattern, Segment, path};
use alloc::boxed::Box;
use alloc::vec::Vec;
use litemap::LiteMap;

/// What begins with the same segments: the patterns that end here, and those that go on.
#[derive(Clone, Debug, Default)]
pub(super) struct Trie {
    literals: LiteMap<Box<[u8]>, Self>,
    parameter: Option<Box<Self>>,
    /// Positions of the patterns for just this path, in the order they were inserted.
    exact: Vec<usize>,
    /// Positions of those for this path and everything below.
    tail: Vec<usize>,
}

impl Trie {
    /// Adds a pattern, which is found by its position.
    pub(super) fn insert(&mut self, pattern: &Pattern, position: usize) {
        let end = pattern.segments.iter().fold(self, |node, segment| match segment {
            Segment::Literal(literal) => node.literals.entry(literal.as_bytes().into()).or_default(),
            Segment::Parameter => node.parameter.get_or_insert_default(),
        });
        if pattern.tail { end.tail.push(position) } else { end.exact.push(position) }
    }

    /// What `applies` makes of the most specific pattern that matches `path`, of all for which it makes something: from the left
    /// on a literal comes before a parameter, and whatever is longer before the rest of a path. Where several patterns are the
    /// same, the last inserted comes first.
    pub(super) fn most_specific<T>(&self, path: &[path::Segment<'_>], applies: &impl Fn(usize) -> Option<T>) -> Option<T> {
        let last = |positions: &[usize]| positions.iter().rev().find_map(|&position| applies(position));
        let longer = match path {
            [] => last(&self.exact),
            [segment, rest @ ..] => {
                let literal = self.literals.get(*segment).and_then(|node| node.most_specific(rest, applies));
                literal.or_else(|| self.parameter.as_deref()?.most_specific(rest, applies))
            }
        };
        longer.or_else(|| last(&self.tail))
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use crate::gateway::path::Readings;
    use crate::gateway::route::tests::route;
    use crate::gateway::route::{Methods, Route, Router};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::ptr;
    use proptest::prelude::*;

    /// Looks at all routes for each reading: what the trie must do without.
    fn scan<'r>(routes: &'r [Route], path: &Readings, applies: impl Fn(&Route) -> bool) -> Option<&'r Route> {
        let mut dearest: Option<&Route> = None;
        path.each(|reading| {
            let matching = routes.iter().filter(|route| applies(route) && route.pattern.matches(reading));
            let specificity = |route: &&Route| (route.pattern.segments.clone(), !route.pattern.tail);
            let Some(route) = matching.max_by_key(specificity) else { return };
            if dearest.is_none_or(|dearest| dearest.price < route.price) {
                dearest = Some(route);
            }
        });
        dearest
    }

    fn routes() -> impl Strategy<Value = Vec<Route>> {
        let segment = prop::sample::select(&["a", "b", "c", "{x}", "{y}"][..]);
        let path = (prop::collection::vec(segment, 0..5), prop::sample::select(&["", "/*"][..])).prop_map(|(segments, end)| {
            let text: String = segments.iter().map(|segment| format!("/{segment}")).chain([end.into()]).collect();
            if text.is_empty() { "/".into() } else { text }
        });
        let only = |methods: &[&str]| Methods::Only(methods.iter().map(|&method| method.into()).collect());
        let methods = prop::sample::select(Vec::from([Methods::Any, only(&["GET"]), only(&["POST"]), only(&["GET", "PUT"])]));
        let route = (path, methods, 1..5u128).prop_map(|(path, methods, price)| route(&path, methods, price));
        prop::collection::vec(route, 0..40)
    }

    /// Paths with several readings now and then.
    fn path() -> impl Strategy<Value = String> {
        let plain = prop::sample::select(&["a", "b", "c", "d", "A"][..]);
        let odd = prop::sample::select(&["", ".", "..", "%61", "%2e%2e", "..%2fb", "a%252fb", "b;x", "a%3fc", "c\\a", "b.", "a%20"][..]);
        prop::collection::vec(prop_oneof![3 => plain, 1 => odd], 0..7).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_route_found_is_the_one_that_looking_at_all_finds(
            routes in routes(), path in path(), method in prop::sample::select(&["GET", "HEAD", "POST", "OPTIONS"][..]), only in 1..5u128,
        ) {
            let Ok(path) = Readings::of(&path) else { return Ok(()) };
            let router = Router::new(routes);
            let same = |found: Option<&Route>, scanned: Option<&Route>| found.map(ptr::from_ref) == scanned.map(ptr::from_ref);
            let found = router.find(method, &path);
            let scanned = scan(router.routes(), &path, |route| route.methods.contain(method));
            prop_assert!(same(found, scanned), "{:?}, not {:?}", found, scanned);
            // What applies need not be the method: routes that sell sessions are looked for whatever it is.
            let applies = |route: &Route| route.price != crate::money::Price::parse(&format!("{only}")).unwrap();
            let (found, scanned) = (router.find_where(&path, applies), scan(router.routes(), &path, applies));
            prop_assert!(same(found, scanned), "{:?}, not {:?}", found, scanned);
        }
    }
}
