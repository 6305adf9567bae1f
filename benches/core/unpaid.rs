//! Requests that nobody has paid for: what the core does until one is refused or passed on. A plain one, and the dearest of each kind.

use super::bench::Bench;
use super::setting::{CHARGE, NOW, PAYER, charge_header, keys, session};
use mpp_edge::channel::Reuse;
use mpp_edge::gateway::config::{Meter, Origin, Settle};
use mpp_edge::gateway::headers::{Names, Withheld};
use mpp_edge::gateway::offer::{Asked, Circumstances, Offer};
use mpp_edge::gateway::route::{Methods, Pattern, Route, Router};
use mpp_edge::gateway::target::Target;
use mpp_edge::money::Price;
use mpp_edge::rail::RailId;
use mpp_edge::rail::evm::{Method, Offered};
use mpp_edge::wire::encoding::to_base64url;
use mpp_edge::wire::mpp::accept::preferred;
use mpp_edge::wire::mpp::challenge::BindingKeys;
use mpp_edge::wire::mpp::credential::{Credential, CredentialField, split_authorization};
use mpp_edge::wire::problem::{Problem, ProblemKind};
use serde_json::json;
use std::time::Duration;

/// The limits of a default configuration.
const CREDENTIAL_BYTES: usize = 8 * 1024;

/// A request as the runtime hands it over.
struct Unpaid {
    target: String,
    names: String,
    connection: String,
    authorization: String,
    accept_payment: String,
}

impl Default for Unpaid {
    fn default() -> Self {
        Self {
            target: "/v1/quote?of=the+day".into(),
            names: "accept\naccept-encoding\naccept-language\nconnection\nhost\nuser-agent\n".into(),
            connection: "keep-alive".into(),
            authorization: String::new(),
            accept_payment: String::new(),
        }
    }
}

/// Makes one over and over.
type Kind = Box<dyn Fn() -> Unpaid>;

/// A gateway that sells by both methods and both intents.
struct Gateway {
    origin: Origin,
    router: Router,
    keys: BindingKeys,
}

impl Gateway {
    fn new() -> Self {
        let offers = [Method::Abstract, Method::Evm].into_iter().flat_map(|method| {
            let charge = Offer::of_charge(RailId(0), Offered::new(method, CHARGE, None), None);
            [charge, Offer::of_session(RailId(0), method, "/v1/*", session(), None, Reuse::Once)]
        });
        let route = Route {
            pattern: Pattern::parse("/v1/*").unwrap(),
            methods: Methods::Any,
            price: Price::parse("0.01").unwrap(),
            description: Some("A quote".into()),
            offers: offers.collect(),
            exact: None,
            settle: Settle::First,
            charge_redirects: false,
            digest: false,
            meter: Meter::Request,
            max_units: 1,
            field: CredentialField::Authorization,
        };
        Self { origin: Origin::Url("https://origin.example.com/api".into()), router: Router::new(vec![route]), keys: keys() }
    }

    /// What the answer is made of.
    fn answer(&self, request: Unpaid) -> (Problem, Vec<String>) {
        self.challenge(request).unwrap_or_else(|problem| (problem, Vec::new()))
    }

    fn challenge(&self, request: Unpaid) -> Result<(Problem, Vec<String>), Problem> {
        let url = format!("https://api.example.com{}", request.target);
        let target = Target::parse_resolved(&url).or_else(|| Target::parse(&url)).unwrap();
        if !target.fits() {
            return Err(Problem::new(ProblemKind::UriTooLong, "path and query are too long"));
        }
        let names = Names::new(request.names);
        names.admit(Some(&request.connection))?;
        for name in ["authorization", "accept-payment", "payment-session", "content-length", "upgrade", "idempotency-key"] {
            std::hint::black_box(names.has(name));
        }
        let path = self.origin.read(target.path())?;
        let header = split_authorization(&request.authorization).map_err(|invalid| invalid.problem("Authorization"))?;
        let Some(route) = self.router.find("GET", &path) else {
            // It passes free of charge.
            let withheld = Withheld::new(Some(&request.connection), true, false);
            let kept: Vec<_> = names.iter().filter(|name| !withheld.holds(name)).map(String::from).collect();
            return Ok((Problem::new(ProblemKind::NotFound, ""), kept));
        };
        let too_long = || Problem::new(ProblemKind::UriTooLong, "path and query are too long to be priced");
        let bound = target.bound().ok_or_else(too_long)?;
        let asked = Asked { realm: "api.example.com", method: "GET", target: &bound, digest: None, field: CredentialField::Authorization };
        let mut problem = Problem::new(ProblemKind::PaymentRequired, "this resource is paid for");
        if let Some(token) = header.payment.filter(|token| token.len() <= CREDENTIAL_BYTES) {
            problem = match Credential::parse(token) {
                Ok(credential) => asked.accept(&credential, &route.offers, &self.keys, NOW).unwrap_err(),
                Err(error) => Problem::new(ProblemKind::MalformedCredential, format!("Authorization: {error}")),
            };
        }
        let named: Vec<_> = route.offers.iter().map(|offer| (offer.method(), offer.intent().name())).collect();
        let accept_payment = (!request.accept_payment.is_empty()).then_some(request.accept_payment.as_str());
        let expires = NOW.saturating_add(Duration::from_secs(300));
        let offers = preferred(&named, accept_payment).into_iter().filter_map(|index| route.offers.get(index));
        let issue = |offer: &Offer| offer.issue(&asked, &self.keys, Some("A quote"), &Circumstances::default(), expires, [1; 12]).header;
        let challenges: Vec<_> = offers.map(issue).collect();
        std::hint::black_box(problem.to_json());
        Ok((problem, challenges))
    }
}

pub(crate) fn all(bench: &mut Bench) {
    let gateway = Gateway::new();
    let path = |path: String| Unpaid { target: format!("/v1/{path}"), ..Unpaid::default() };
    let authorization = |authorization: String| Unpaid { authorization, ..Unpaid::default() };
    let names = |free: bool| {
        let names: String = (0..100).map(|index| format!("x-original-path.of.mine-{index:05}\n")).collect();
        let connection = "x,".repeat(512);
        Unpaid { names, connection, target: if free { "/free" } else { "/v1/quote" }.into(), ..Unpaid::default() }
    };
    let forged = |request: usize| {
        let honest = Credential::parse(split_authorization(&charge_header()).unwrap().payment.unwrap()).unwrap().challenge;
        let challenge = json!({
            "id": honest.id, "realm": honest.realm, "method": honest.method, "intent": "charge", "request": "x".repeat(request),
            "expires": honest.expires, "opaque": honest.opaque,
        });
        let credential = json!({ "challenge": challenge, "payload": {}, "source": PAYER.to_string() });
        format!("Payment {}", to_base64url(credential.to_string()))
    };
    let nested = format!("Payment {}", to_base64url(format!("{{\"payload\":{}", "[0,".repeat(2000))));
    let cases: Vec<(&str, Kind)> = vec![
        ("plain", Box::new(Unpaid::default)),
        ("query", Box::new(move || path(format!("?{}", "q".repeat(6 * 1024 - 5))))),
        ("path", Box::new(move || path(format!("{}.", "quote".repeat(510))))),
        ("path-encoded", Box::new(move || path("%25".repeat(630)))),
        ("path-ambiguous", Box::new(move || path(";%252525/".repeat(15)))),
        ("path-too-ambiguous", Box::new(move || path(";%25".repeat(2000)))),
        ("query-free", Box::new(move || Unpaid { target: format!("/free?{}", "q".repeat(16 * 1024 - 6)), ..Unpaid::default() })),
        ("names", Box::new(move || names(false))),
        ("names-free", Box::new(move || names(true))),
        ("authorization", Box::new(move || authorization(format!("{},Payment x", "\"\"".repeat(2 * 1024 - 5))))),
        ("authorization-parts", Box::new(move || authorization(format!("{}Payment x", "p,".repeat(64))))),
        ("credential-malformed", Box::new(move || authorization(nested.clone()))),
        ("credential-forged", Box::new(move || authorization(forged(5_500)))),
        ("accept-payment", Box::new(move || Unpaid { accept_payment: "*/*;q=0.1,".repeat(102), ..Unpaid::default() })),
    ];
    for (kind, request) in cases {
        bench.ours(&format!("unpaid-{kind}"), request, |request| gateway.answer(request));
    }
}
