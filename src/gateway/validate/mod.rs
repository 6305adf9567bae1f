//! The one place where a configuration is judged. Every rule has a number, so that a problem can be
//! looked up in docs/configuration.md and a test can name what it breaks.

mod rails;
mod routes;
mod secrets;

pub(crate) use rails::{Common, Place, rail_currency, rail_name};
pub use secrets::Secrets;
pub(crate) use secrets::{RPC_URL, secret_suffix};

use super::config::{Gateway, Limits, Origin, RawGateway, RawLimits, RawOrigin, RawSurface, RawSurfaceRoute, Surface};
use super::route::Pattern;
use crate::json::{self, Unreadable};
use crate::wire::mpp::challenge::BindingKeys;
use crate::wire::problem::FieldError;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// What a configuration must fulfil. The number is the discriminant.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(crate) enum Rule {
    Shape = 1,
    Network = 2,
    Token = 3,
    Recipient = 4,
    Realm = 5,
    RpcUrls = 6,
    Escrow = 7,
    Origin = 8,
    ChallengeLifetime = 9,
    Confirmations = 10,
    Limits = 11,
    RoutePath = 12,
    RouteTwice = 13,
    RouteMethods = 14,
    Price = 15,
    Description = 16,
    Intents = 17,
    PaymentMethods = 18,
    SecretKey = 19,
    SettlementKey = 20,
    AdminToken = 21,
    Sessions = 22,
    SessionFields = 23,
    Meter = 24,
    Header = 25,
    Rails = 26,
    RouteRails = 27,
    Wires = 28,
    Batches = 29,
    Tempo = 30,
    Provider = 31,
}

impl Rule {
    #[allow(clippy::as_conversions, reason = "the discriminant of a fieldless repr(u16) enum")]
    pub(in crate::gateway) const fn number(self) -> u16 {
        self as u16
    }
}

/// A wrong configuration: what is wrong, and what can still be served.
#[derive(Debug)]
pub struct Misconfigured {
    /// At least one.
    pub errors: Vec<FieldError>,
    /// Present when at least origin and paths are right, so that unpriced requests pass.
    pub surface: Option<Surface>,
}

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gateway's configuration is wrong")?;
        self.errors.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

impl core::error::Error for Misconfigured {}

/// Collects what is wrong instead of stopping at the first.
#[derive(Default)]
pub(crate) struct Findings(Vec<FieldError>);

impl Findings {
    pub(crate) fn add(&mut self, rule: Rule, field: impl Into<String>, detail: impl fmt::Display, remedy: &str) {
        let finding = FieldError { rule: rule.number(), field: field.into(), detail: detail.to_string(), remedy: remedy.to_owned() };
        // What is wrong for every rail is told once.
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }
}

/// Judges a configuration: `json` is the `gateway` variable, `None` when there is none; `is_bound` tells
/// which service bindings there are.
///
/// ```
/// use mpp_edge::gateway::{Secrets, validate};
///
/// let secrets = Secrets {
///     secret_key: Some("at least thirty-two bytes of secret".into()),
///     settlement_private_key: Some("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".into()),
///     ..Secrets::default()
/// };
/// let with_price = |price: &str| {
///     format!(
///         r#"{{"network":"base","recipient":"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
///         "origin":{{"url":"https://origin.example.com"}},"routes":[{{"path":"/v1/*","price":"{price}"}}]}}"#
///     )
/// };
/// assert!(validate(Some(&with_price("0.01")), &secrets, |_| false).is_ok());
///
/// let broken = validate(Some(&with_price("0.0000001")), &secrets, |_| false).unwrap_err();
/// assert_eq!(broken.errors[0].field, "routes[0].price");
/// assert!(broken.surface.is_some(), "what has no price still passes");
/// ```
///
/// # Errors
/// [`Misconfigured`] with every field that is wrong.
pub fn validate(json: Option<&str>, secrets: &Secrets, is_bound: impl Fn(&str) -> bool) -> Result<Gateway, Misconfigured> {
    let mut findings = Findings::default();
    let raw = read(json, &mut findings);
    let missing = raw.as_ref().and_then(|raw| raw.origin.service.as_deref()).is_some_and(|service| !is_bound(service));
    if missing {
        findings.add(Rule::Origin, "origin.service", "is not bound", "add it to [[services]] in wrangler.toml, or correct the name");
    }
    let readable = match &raw {
        Some(raw) => Some(RawSurface::of(raw)),
        None => json.and_then(|json| json::read(json).ok()),
    };
    let surface = readable.filter(|_| !missing).and_then(surface);
    let keys = secrets.binding_keys(&mut findings);
    let gateway = raw.and_then(|raw| gateway(raw, secrets, keys, &mut findings));
    match gateway {
        Some(gateway) if findings.0.is_empty() => Ok(gateway),
        _ => Err(Misconfigured { errors: findings.0, surface }),
    }
}

fn read(json: Option<&str>, findings: &mut Findings) -> Option<RawGateway> {
    let Some(json) = json else {
        findings.add(Rule::Shape, "gateway", "is missing", "add a [vars.gateway] table to wrangler.toml");
        return None;
    };
    json::read(json).map_err(|error| shape("", error, findings)).ok()
}

/// What stands `at` a place, such as `rails[1].`, cannot be read.
fn shape(at: &str, error: Unreadable, findings: &mut Findings) {
    let path = [at, &error.field].concat();
    let field = match path.trim_end_matches('.') {
        "" => "gateway",
        field => field,
    };
    findings.add(Rule::Shape, field, error.detail, "correct it as docs/configuration.md says");
}

impl RawSurface {
    fn of(raw: &RawGateway) -> Self {
        let routes = raw.routes.iter().map(|route| RawSurfaceRoute { path: route.path.clone(), methods: route.methods.clone() });
        let RawOrigin { url, service, dns } = &raw.origin;
        Self { origin: RawOrigin { url: url.clone(), service: service.clone(), dns: *dns }, routes: routes.collect() }
    }
}

/// The unpriced surface, if origin and every path can be relied on.
fn surface(raw: RawSurface) -> Option<Surface> {
    let mut ignored = Findings::default();
    let origin = origin(raw.origin, &mut ignored)?;
    let priced = raw
        .routes
        .into_iter()
        .map(|route| Some((Pattern::parse(&route.path).ok()?, routes::methods("", route.methods, &mut ignored)?)))
        .collect::<Option<_>>()?;
    Some(Surface { origin, priced })
}

/// Reads everything, so that everything that is wrong is found, before anything that is missing ends it.
fn gateway(mut raw: RawGateway, secrets: &Secrets, binding_keys: Option<BindingKeys>, findings: &mut Findings) -> Option<Gateway> {
    let limits = limits(&raw.limits, findings);
    let lifetime = bounded(Rule::ChallengeLifetime, "challengeLifetimeSeconds", raw.challenge_lifetime_seconds, 300, 30..=3600, findings);
    let challenge_lifetime = Duration::from_secs(lifetime);
    let rails = rails::rails(&mut raw, secrets, limits.as_ref(), challenge_lifetime, findings);
    let realm = raw.realm.and_then(|realm| valid_realm(realm, findings));
    let origin = origin(raw.origin, findings);
    let mut router = if rails.rails.is_empty() { None } else { Some(routes::router(raw.routes, &rails, findings)) };
    if let (Some(router), Some(keys), Some(realm)) = (&mut router, &binding_keys, &realm) {
        router.prepare(keys, realm);
    }
    Some(Gateway {
        rails: rails.finish()?,
        realm,
        challenge_lifetime,
        origin: origin?,
        limits: limits?,
        router: router?,
        binding_keys: binding_keys?,
        admin_token: secrets.admin_token.clone(),
    })
}

fn valid_realm(realm: String, findings: &mut Findings) -> Option<String> {
    let plain = !realm.is_empty() && realm.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'|' | b'"' | b'\\' | b','));
    if !plain {
        findings.add(
            Rule::Realm,
            "realm",
            "must be printable ASCII without spaces, commas, quotes, backslashes or |",
            "use the host name of the API",
        );
    }
    plain.then_some(realm)
}

pub(crate) fn is_http_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':'])) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Base URL of a rail's provider, without a slash at its end. What proves who we are goes there, so it must be `https`, but on this very
/// machine.
pub(crate) fn provider_url(field: &str, url: Option<&str>, findings: &mut Findings) -> Option<String> {
    const REMEDY: &str = "give the base URL of the provider's API";
    let is_here = |url: &str| {
        let host = url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
        matches!(host, Some("localhost" | "127.0.0.1"))
    };
    match url {
        None => findings.add(Rule::Provider, field, "is missing", REMEDY),
        Some(url) if !is_http_url(url) || url.contains(['?', '#', '@']) => {
            findings.add(Rule::Provider, field, "is not an absolute https URL without credentials, query and fragment", REMEDY);
        }
        Some(url) if !url.starts_with("https://") && !is_here(url) => {
            findings.add(Rule::Provider, field, "is not https: what proves who we are would be read on the way", "make it https");
        }
        Some(url) => return Some(url.trim_end_matches('/').to_owned()),
    }
    None
}

fn origin(raw: RawOrigin, findings: &mut Findings) -> Option<Origin> {
    const REMEDY: &str = "set exactly one of origin.url, origin.service and origin.dns = true";
    match (raw.url, raw.service, raw.dns) {
        (Some(url), None, false) => {
            if is_http_url(&url) && !url.contains(['?', '#', '@']) {
                return Some(Origin::Url(url.trim_end_matches('/').to_owned()));
            }
            findings.add(
                Rule::Origin,
                "origin.url",
                "is not an absolute http or https URL without credentials, query and fragment",
                "give the origin's base URL",
            );
        }
        (None, Some(service), false) if !service.is_empty() => return Some(Origin::Service(service)),
        (None, None, true) => return Some(Origin::Dns),
        (None, None, false) => findings.add(Rule::Origin, "origin", "names no origin", REMEDY),
        _ => findings.add(Rule::Origin, "origin", "names more than one origin, or an empty service", REMEDY),
    }
    None
}

pub(crate) fn bounded(
    rule: Rule,
    field: &str,
    value: Option<u64>,
    default: u64,
    range: core::ops::RangeInclusive<u64>,
    findings: &mut Findings,
) -> u64 {
    let value = value.unwrap_or(default);
    if !range.contains(&value) {
        findings.add(
            rule,
            field,
            format!("must lie between {} and {}", range.start(), range.end()),
            "correct it, or leave it out for the default",
        );
    }
    value
}

fn limits(raw: &RawLimits, findings: &mut Findings) -> Option<Limits> {
    let mut seconds = |field: &str, value, default, max| {
        let value = bounded(Rule::Limits, &format!("limits.{field}"), value, default, 1..=max, findings);
        Duration::from_secs(value)
    };
    let settlement_timeout = seconds("settlementTimeoutSeconds", raw.settlement_timeout_seconds, 20, 120);
    let origin_timeout = seconds("originTimeoutSeconds", raw.origin_timeout_seconds, 60, 600);
    let rpc_timeout = seconds("rpcTimeoutSeconds", raw.rpc_timeout_seconds, 5, 60);
    let mut bytes = |field: &str, value: Option<usize>, default: usize, min: usize, max: usize| {
        let value = value.unwrap_or(default);
        if (min..=max).contains(&value) {
            return Some(value);
        }
        findings.add(
            Rule::Limits,
            format!("limits.{field}"),
            format!("must lie between {min} and {max}"),
            "correct it, or leave it out for the default",
        );
        None
    };
    let credential_bytes = bytes("credentialBytes", raw.credential_bytes, 8 * 1024, 4 * 1024, 64 * 1024);
    let digest_body_bytes = bytes("digestBodyBytes", raw.digest_body_bytes, 1024 * 1024, 1, 32 * 1024 * 1024);
    Some(Limits {
        settlement_timeout,
        origin_timeout,
        rpc_timeout,
        credential_bytes: credential_bytes?,
        digest_body_bytes: digest_body_bytes?,
    })
}
