//! Which route prices a request, among few and among many.

use super::bench::Bench;
use mpp_edge::gateway::config::{Meter, Settle};
use mpp_edge::gateway::path::Readings;
use mpp_edge::gateway::route::{Methods, Pattern, Route, Router};
use mpp_edge::money::Price;
use mpp_edge::wire::mpp::credential::CredentialField;

fn route(index: usize) -> Route {
    Route {
        pattern: Pattern::parse(&format!("/v1/service-{index}/items/{{id}}")).unwrap(),
        methods: Methods::Any,
        price: Price::parse("0.01").unwrap(),
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

pub(crate) fn all(bench: &mut Bench) {
    for count in [1, 1000] {
        let router = Router::new((0..count).map(route).collect());
        let path = || Readings::of(&format!("/v1/service-{}/items/7", count / 2)).unwrap();
        bench.ours(&format!("route-of-{count}"), path, |path| {
            assert!(router.find("GET", &path).is_some());
        });
    }
}
