//! Pages of other origins (the CORS protocol of the Fetch standard): what browsers let them do at priced routes. Whether a page
//! may send a request is asked in advance; where the origin does not know the protocol, the gateway answers for what is priced.
//! It only ever speaks of requests without cookies and the like: those it allows to pages of any origin, since anybody else can
//! make them too.

use super::headers::with_names;
use super::path::Readings;
use super::route::Router;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Request headers that pages need in order to pay.
const REQUEST_HEADERS: [&str; 7] =
    ["Authorization", "Accept-Payment", "Payment-Authorization", "Payment-Session", "Idempotency-Key", "PAYMENT-SIGNATURE", "X-PAYMENT"];

/// What pages may read of the gateway's answers and of paid responses.
pub const EXPOSED_HEADERS: [&str; 7] = [
    "Idempotency-Replayed",
    "Payment-Receipt",
    "PAYMENT-REQUIRED",
    "PAYMENT-RESPONSE",
    "Retry-After",
    "WWW-Authenticate",
    "X-PAYMENT-RESPONSE",
];

/// How long a browser may remember an answer of the gateway's, in seconds.
const MAX_AGE: u32 = 600;

/// What a browser asks before it lets a page send a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The request's method.
    method: String,
    /// Names of its headers, as they were listed.
    headers: String,
}

impl Preflight {
    /// Reads `Access-Control-Request-Method` and `Access-Control-Request-Headers`. What is no name of a header is left out.
    pub fn read(method: &str, headers: Option<&str>) -> Option<Self> {
        let names: Vec<&str> = headers.unwrap_or_default().split(',').map(str::trim).filter(|name| is_token(name)).collect();
        is_token(method).then(|| Self { method: method.into(), headers: names.join(", ") })
    }

    /// Whether it is about a request that is paid for: a priced one, or one that manages a channel, which shows by the
    /// credential that it will carry.
    pub fn is_priced(&self, router: &Router, path: &Readings) -> bool {
        let carries = |field: &str| self.headers.split(", ").any(|name| name.eq_ignore_ascii_case(field));
        let manages = || {
            let route = matches!(self.method.as_str(), "HEAD" | "POST").then(|| router.find_session(path)).flatten();
            route.is_some_and(|route| carries(route.field.key()))
        };
        router.find(&self.method, path).is_some() || manages()
    }

    /// The headers of the gateway's own answer. There is none for credentials in the sense of the standard, so that no cookie
    /// comes along.
    pub fn answer(&self) -> [(&'static str, String); 4] {
        [
            ("access-control-allow-origin", "*".into()),
            ("access-control-allow-methods", self.method.clone()),
            ("access-control-allow-headers", allowed_headers(Some(&self.headers))),
            ("access-control-max-age", format!("{MAX_AGE}")),
        ]
    }
}

/// The request headers that an origin allows, and those that are needed to pay.
pub fn allowed_headers(from_origin: Option<&str>) -> String {
    with_names(from_origin, &REQUEST_HEADERS)
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::Address;
    use crate::gateway::config::{Meter, Settle};
    use crate::gateway::offer::Offer;
    use crate::gateway::route::{Methods, Pattern, Route};
    use crate::money::{Amount, Price};
    use crate::rail::RailId;
    use crate::rail::evm::{Method, Offered, charge, session};
    use crate::wire::mpp::credential::CredentialField;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn router(field: CredentialField) -> Router {
        let price = Amount::from_base_units(1);
        let asset = Address::repeat_byte(1);
        let terms = session::SessionTerms {
            price,
            unit_type: "request".into(),
            chain_id: 1,
            token: asset,
            recipient: asset,
            escrow: asset,
            suggested_deposit: None,
            min_delta: Amount::ZERO,
        };
        let route = |path: &str, methods: Methods, offers: Vec<Offer>| Route {
            pattern: Pattern::parse(path).unwrap(),
            methods,
            price: Price::parse("0.01").unwrap(),
            description: None,
            offers,
            exact: None,
            settle: Settle::First,
            charge_redirects: false,
            digest: false,
            meter: Meter::Request,
            max_units: 1,
            field,
        };
        let get = || Methods::Only(vec!["GET".into()]);
        let charge = charge::ChargeTerms { amount: price, chain_id: 1, token: asset, decimals: 6, recipient: asset };
        let charge = Offer::of_charge(RailId(0), Offered::new(Method::Evm, charge, None), None);
        let session = Offer::of_session(RailId(0), Method::Evm, "/s", terms, None, crate::channel::Reuse::Once);
        Router::new(vec![route("/charge", get(), vec![charge]), route("/s", get(), vec![session])])
    }

    fn is_priced(method: &str, headers: &str, path: &str) -> bool {
        Preflight::read(method, Some(headers)).unwrap().is_priced(&router(CredentialField::Authorization), &Readings::of(path).unwrap())
    }

    #[test]
    fn what_is_priced_is_known_by_the_method_to_come() {
        for method in ["GET", "HEAD"] {
            assert!(is_priced(method, "", "/charge"), "{method}");
            assert!(!is_priced(method, "authorization", "/free"), "{method}");
        }
        for method in ["POST", "DELETE", "OPTIONS", "get"] {
            assert!(!is_priced(method, "authorization", "/charge"), "{method}");
        }
    }

    #[test]
    fn a_request_that_manages_a_channel_carries_its_credential() {
        assert!(is_priced("POST", "content-type,Authorization", "/s"));
        assert!(!is_priced("POST", "content-type", "/s"));
        assert!(!is_priced("PUT", "authorization", "/s"));
        let path = Readings::of("/s").unwrap();
        let post = Preflight::read("POST", Some("authorization")).unwrap();
        assert!(!post.is_priced(&router(CredentialField::PaymentAuthorization), &path));
        let post = Preflight::read("POST", Some("payment-authorization")).unwrap();
        assert!(post.is_priced(&router(CredentialField::PaymentAuthorization), &path));
    }

    #[test]
    fn the_answer_allows_what_was_asked_for_and_what_pays_without_cookies() {
        let asked = Preflight::read("PATCH", Some("x-one, authorization,,x two,\"x\", X-Three")).unwrap();
        let answer = asked.answer();
        assert_eq!(
            answer.map(|(name, value)| format!("{name}: {value}")),
            [
                "access-control-allow-origin: *",
                "access-control-allow-methods: PATCH",
                "access-control-allow-headers: \
                 x-one, authorization, X-Three, Accept-Payment, Payment-Authorization, Payment-Session, Idempotency-Key, PAYMENT-SIGNATURE, X-PAYMENT",
                "access-control-max-age: 600",
            ]
        );
    }

    #[test]
    fn what_is_no_method_is_no_preflight() {
        for method in ["", "GE T", "GET, PUT", "GET\nx: y"] {
            assert_eq!(Preflight::read(method, None), None, "{method}");
        }
    }

    #[test]
    fn an_origins_list_is_kept() {
        assert_eq!(
            allowed_headers(Some("*, X-One,idempotency-key")),
            "*, X-One,idempotency-key, Authorization, Accept-Payment, Payment-Authorization, Payment-Session, PAYMENT-SIGNATURE, X-PAYMENT"
        );
    }
}
