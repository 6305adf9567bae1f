//! The rules for routes.

use super::{Findings, Rule};
use crate::channel::Reuse;
use crate::evm::{Address, ChainId};
use crate::gateway::config::{Meter, RawRoute, Session, Token};
use crate::gateway::offer::Offer;
use crate::gateway::route::{Methods, Pattern, Route, Router};
use crate::money::Amount;
use crate::rail::evm::is_abstract;
use crate::rail::evm::{Intent, Method, charge, session};
use crate::wire::mpp::credential::CredentialField;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What every route is paid in and to.
pub(super) struct Asset<'a> {
    pub(super) chain_id: ChainId,
    pub(super) token: &'a Token,
    pub(super) recipient: Address,
    /// Channel escrows of the methods `abstract` and `evm`.
    pub(super) escrow: Option<Address>,
    pub(super) evm_escrow: Option<Address>,
    /// The settlement account, when its key is known.
    pub(super) account: Option<Address>,
    pub(super) session: Option<&'a Session>,
}

impl Asset<'_> {
    const fn escrow_of(&self, method: Method) -> Option<Address> {
        match method {
            Method::Abstract => self.escrow,
            Method::Evm => self.evm_escrow,
        }
    }
}

pub(super) fn router(raw: Vec<RawRoute>, asset: &Asset<'_>, findings: &mut Findings) -> Router {
    let mut routes: Vec<Route> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let at = format!("routes[{index}]");
        let Some(route) = route(&at, raw, asset, findings) else { continue };
        if routes.iter().any(|other| other.pattern.same_paths(&route.pattern) && other.methods.overlap(&route.methods)) {
            findings.add(
                Rule::RouteTwice,
                format!("{at}.path"),
                "prices the same paths and methods as an earlier route",
                "remove one, or give them different methods",
            );
        }
        routes.push(route);
    }
    Router::new(routes)
}

fn route(at: &str, raw: RawRoute, asset: &Asset<'_>, findings: &mut Findings) -> Option<Route> {
    let pattern = Pattern::parse(&raw.path)
        .map_err(|error| findings.add(Rule::RoutePath, format!("{at}.path"), error, "write it like /v1/items, /v1/items/{id} or /v1/*"))
        .ok();
    let methods = methods(at, raw.methods, findings);
    let price = price(at, &raw.price, asset.token.decimals, findings);
    let description = match raw.description {
        Some(text) => Some(description(at, text, findings)?),
        None => None,
    };
    let intents = raw.intents.or_else(|| Some([Intent::Charge.name().into()].to_vec()));
    let intents = named(Rule::Intents, &format!("{at}.intents"), intents, &Intent::ALL, Intent::name, findings);
    let offered: &[Method] = if is_abstract(asset.chain_id) { &Method::ALL } else { &[Method::Evm] };
    let payment_methods =
        named(Rule::PaymentMethods, &format!("{at}.paymentMethods"), raw.payment_methods, offered, Method::name, findings);
    let (intents, payment_methods, price) = (intents?, payment_methods?, price?);
    let terms = charge::Terms {
        amount: price,
        chain_id: asset.chain_id,
        token: asset.token.address,
        decimals: asset.token.decimals,
        recipient: asset.recipient,
    };
    let sells_sessions = intents.contains(&Intent::Session);
    if sells_sessions {
        check_sessions(at, &payment_methods, asset, findings);
    }
    let max_units = check_meter(at, raw.meter, raw.max_units, raw.unit_type.as_deref(), &intents, findings);
    if !sells_sessions {
        for (field, is_set) in [("reuse", raw.reuse.is_some()), ("unitType", raw.unit_type.is_some())] {
            if is_set {
                let remedy = "remove it, or add the intent session";
                findings.add(Rule::Meter, format!("{at}.{field}"), "is about sessions, which the route does not sell", remedy);
            }
        }
    }
    let field = credential_field(at, raw.header.as_deref(), findings);
    let pattern = pattern?;
    let session_offer = |method: Method| {
        let session = asset.session?;
        let terms = session::Terms {
            price,
            unit_type: raw.unit_type.clone().unwrap_or_else(|| raw.meter.unit_type().into()),
            chain_id: asset.chain_id,
            token: asset.token.address,
            recipient: asset.recipient,
            escrow: asset.escrow_of(method)?,
            suggested_deposit: session.suggested_deposit,
            min_delta: session.policy.min_delta,
        };
        let reuse = raw.reuse.unwrap_or(match method {
            Method::Abstract => Reuse::Once,
            Method::Evm => Reuse::DrawDown,
        });
        Some(Offer::session(method, &format!("{pattern}"), terms, description.as_deref(), reuse))
    };
    let offers = payment_methods
        .iter()
        .flat_map(|method| intents.iter().map(move |intent| (*method, *intent)))
        .filter_map(|(method, intent)| match intent {
            Intent::Charge => Some(Offer::charge(method, &terms.request(method, description.as_deref()))),
            Intent::Session => session_offer(method),
        })
        .collect();
    Some(Route {
        pattern,
        methods: methods?,
        terms,
        description,
        offers,
        settle: raw.settle,
        charge_redirects: raw.charge_redirects,
        digest: raw.digest,
        meter: raw.meter,
        max_units: max_units?,
        field: field?,
    })
}

/// Only the payee can take what a voucher allows, so the payee must be the account that we send from.
fn check_sessions(at: &str, methods: &[Method], asset: &Asset<'_>, findings: &mut Findings) {
    if asset.account.is_some_and(|account| account != asset.recipient) {
        findings.add(
            Rule::Sessions,
            "recipient",
            format!("is not the settlement account, as {at}.intents needs it: only the payee of a channel can settle it"),
            "set recipient to the address of SETTLEMENT_PRIVATE_KEY, or sell charges only",
        );
    }
    if methods.iter().all(|method| asset.escrow_of(*method).is_none()) {
        findings.add(
            Rule::Sessions,
            format!("{at}.intents"),
            "holds session, but no payment method of the route has an escrow",
            "set escrow for the method abstract, evmEscrow for the method evm",
        );
    }
}

/// The units that are reserved before the origin reports.
fn check_meter(
    at: &str,
    meter: Meter,
    max_units: Option<u64>,
    unit_type: Option<&str>,
    intents: &[Intent],
    findings: &mut Findings,
) -> Option<u64> {
    if meter != Meter::Request && intents != [Intent::Session] {
        findings.add(
            Rule::Meter,
            format!("{at}.meter"),
            "needs intents = [\"session\"]: a charge has a fixed price",
            "set intents, or remove meter",
        );
    }
    let plain =
        |text: &str| !text.is_empty() && text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if unit_type.is_some_and(|text| !plain(text)) {
        findings.add(Rule::Meter, format!("{at}.unitType"), "must be at most 40 letters, digits, _ and -", "name it like llm_token");
    }
    match (meter, max_units) {
        (Meter::Reported, Some(units)) if units > 0 => Some(units),
        (Meter::Reported, _) => {
            let remedy = "set the most units that one answer can have: they are reserved before the origin is called";
            findings.add(Rule::Meter, format!("{at}.maxUnits"), "is missing or zero, which meter = \"reported\" needs", remedy);
            None
        }
        (_, Some(_)) => {
            findings.add(Rule::Meter, format!("{at}.maxUnits"), "is for meter = \"reported\" only", "remove it");
            None
        }
        (_, None) => Some(1),
    }
}

/// The field for credentials. The drafts know one besides the default.
fn credential_field(at: &str, header: Option<&str>, findings: &mut Findings) -> Option<CredentialField> {
    let Some(name) = header else { return Some(CredentialField::Authorization) };
    if name == CredentialField::PaymentAuthorization.name() {
        return Some(CredentialField::PaymentAuthorization);
    }
    let remedy = "set it to Payment-Authorization where the origin has a login of its own, or leave it out";
    findings.add(Rule::Header, format!("{at}.header"), "can only be Payment-Authorization", remedy);
    None
}

pub(super) fn methods(at: &str, raw: Option<Vec<String>>, findings: &mut Findings) -> Option<Methods> {
    let Some(methods) = raw else { return Some(Methods::Any) };
    let valid = |method: &String| !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') && method != "OPTIONS";
    if methods.is_empty() || !methods.iter().all(valid) {
        let remedy = "list HTTP methods in upper case, such as [\"GET\", \"POST\"]; leave it out for all; OPTIONS is never priced";
        findings.add(Rule::RouteMethods, format!("{at}.methods"), "is empty or holds something that is no priceable HTTP method", remedy);
        return None;
    }
    Some(Methods::Only(methods))
}

fn price(at: &str, text: &str, decimals: u8, findings: &mut Findings) -> Option<Amount> {
    const REMEDY: &str = "give a price in human units, such as \"0.01\"; leave the route out to make it free";
    match Amount::parse_human(text, decimals) {
        Ok(Amount::ZERO) => findings.add(Rule::Price, format!("{at}.price"), "is zero", REMEDY),
        Ok(price) => return Some(price),
        Err(error) => findings.add(Rule::Price, format!("{at}.price"), error, REMEDY),
    }
    None
}

/// It goes into a header that several clients split at `, Payment `.
fn description(at: &str, text: String, findings: &mut Findings) -> Option<String> {
    let printable = text.len() <= 200 && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if !printable || text.to_ascii_lowercase().contains(", payment ") {
        findings.add(
            Rule::Description,
            format!("{at}.description"),
            "must be at most 200 characters of printable ASCII, without \", Payment \"",
            "shorten or reword it",
        );
        return None;
    }
    Some(text)
}

/// The values that a list of names stands for; all of `known` when there is no list.
fn named<T: Copy + PartialEq>(
    rule: Rule,
    field: &str,
    names: Option<Vec<String>>,
    known: &[T],
    name_of: fn(T) -> &'static str,
    findings: &mut Findings,
) -> Option<Vec<T>> {
    let Some(names) = names else { return Some(known.to_vec()) };
    let mut values = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        match known.iter().copied().find(|value| name_of(*value) == name) {
            Some(value) if !values.contains(&value) => values.push(value),
            Some(_) => findings.add(rule, format!("{field}[{index}]"), "is listed twice", "remove one"),
            None => {
                let known = known.iter().map(|value| name_of(*value)).collect::<Vec<_>>().join(", ");
                findings.add(
                    rule,
                    format!("{field}[{index}]"),
                    format!("is not one of those possible here: {known}"),
                    "correct or remove it",
                );
            }
        }
    }
    if names.is_empty() {
        findings.add(rule, field, "is empty", "leave it out for the default");
    }
    (values.len() == names.len() && !values.is_empty()).then_some(values)
}
