//! The rules for routes.

use super::rails::Drafts;
use super::{Findings, Rule};
use crate::channel::Reuse;
use crate::evm::key::PrivateKey;
use crate::gateway::config::{Meter, RawRoute};
use crate::gateway::exact::ExactOffers;
use crate::gateway::offer::Offer;
use crate::gateway::route::{Methods, Pattern, Route, Router};
use crate::money::{Amount, Price};
use crate::rail::evm::{self, Intent, Method, session};
use crate::rail::{AnyDraft, RailId};
use crate::wire::Wire;
use crate::wire::mpp::credential::CredentialField;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(super) fn router(raw: Vec<RawRoute>, drafts: &Drafts, findings: &mut Findings) -> Router {
    let mut routes: Vec<Route> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let at = format!("routes[{index}]");
        let Some(route) = route(&at, raw, drafts, findings) else { continue };
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

fn route(at: &str, raw: RawRoute, drafts: &Drafts, findings: &mut Findings) -> Option<Route> {
    let pattern = Pattern::parse(&raw.path)
        .map_err(|error| findings.add(Rule::RoutePath, format!("{at}.path"), error, "write it like /v1/items, /v1/items/{id} or /v1/*"))
        .ok();
    let methods = methods(at, raw.methods, findings);
    let description = match raw.description {
        Some(text) => Some(description(at, text, findings)?),
        None => None,
    };
    let intents = raw.intents.or_else(|| Some([Intent::Charge.name().into()].to_vec()));
    let intents = named(Rule::Intents, &format!("{at}.intents"), intents, &Intent::ALL, Intent::name, findings);
    let rails = chosen_rails(at, raw.rails, drafts, findings);
    let offered = offered_methods(rails.as_ref().map_or(&[], Vec::as_slice));
    let lists_methods = raw.payment_methods.is_some();
    let payment_methods =
        named(Rule::PaymentMethods, &format!("{at}.paymentMethods"), raw.payment_methods, &offered, |method| method, findings);
    let price = price(&format!("{at}.price"), &raw.price, findings);
    let rails = priced_rails(at, rails, raw.prices, price.as_ref(), &drafts.currency, findings);
    let wires = named(Rule::Wires, &format!("{at}.wires"), raw.wires, &Wire::ALL, Wire::name, findings);
    let (intents, payment_methods, rails, price, wires) = (intents?, payment_methods?, rails?, price?, wires?);
    let sells_sessions = intents.contains(&Intent::Session);
    if sells_sessions {
        check_sessions(at, &payment_methods, &rails, findings);
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
    let route = format!("{pattern}");
    let session_offer = |rail: &Priced<'_>, method: &str| {
        let Priced { id, draft, amount } = rail;
        let draft = draft.evm()?;
        let (session, method) = (draft.session.as_ref()?, draft.method(method)?);
        let terms = session::SessionTerms {
            price: *amount,
            unit_type: raw.unit_type.clone().unwrap_or_else(|| raw.meter.unit_type().into()),
            chain_id: draft.chain_id,
            token: draft.token.address,
            recipient: draft.recipient,
            escrow: draft.escrow_of(method)?,
            suggested_deposit: session.suggested_deposit,
            min_delta: session.policy.min_delta,
        };
        let reuse = raw.reuse.unwrap_or(match method {
            Method::Abstract => Reuse::Once,
            Method::Evm => Reuse::DrawDown,
        });
        Some(Offer::of_session(*id, method, &route, terms, description.as_deref(), reuse))
    };
    let mut offers = Vec::new();
    for rail in rails.iter().filter(|_| wires.contains(&Wire::Mpp)) {
        // In the route's order where it lists them, else in each rail's own.
        let (methods, of_rail) =
            if lists_methods { (payment_methods.clone(), rail.draft.methods()) } else { (rail.draft.methods(), payment_methods.clone()) };
        for method in methods.iter().filter(|method| of_rail.contains(method)) {
            offers.extend(intents.iter().filter_map(|intent| match intent {
                Intent::Charge => Some(Offer::of_charge(rail.id, rail.draft.charge(method, rail.amount)?, description.as_deref())),
                Intent::Session => session_offer(rail, method),
            }));
        }
    }
    let charges = rails.iter().filter(|_| wires.contains(&Wire::X402) && intents.contains(&Intent::Charge));
    let charges = charges.filter_map(|rail| Some((rail.id, rail.draft.exact(rail.amount)?)));
    let exact = ExactOffers::new(charges.collect(), description.as_deref(), raw.settle, drafts.challenge_lifetime);
    if offers.is_empty() && exact.is_none() && wires == [Wire::X402] {
        let remedy = "sell charges, on a rail whose token.name and token.version are set or come with its network";
        findings.add(Rule::Wires, format!("{at}.wires"), "leaves nothing to pay by: x402 has no charge to ask for", remedy);
    }
    Some(Route {
        pattern,
        methods: methods?,
        price,
        description,
        offers,
        exact,
        settle: raw.settle,
        charge_redirects: raw.charge_redirects,
        digest: raw.digest,
        meter: raw.meter,
        max_units: max_units?,
        field: field?,
    })
}

/// A rail, and what a route costs on it.
struct Priced<'a> {
    id: RailId,
    draft: &'a dyn AnyDraft,
    amount: Amount,
}

/// The methods by which any of the rails can be paid, in the order of the first that has them.
fn offered_methods<'a>(rails: &[(RailId, &'a dyn AnyDraft)]) -> Vec<&'a str> {
    let mut methods = Vec::new();
    for method in rails.iter().flat_map(|(_, rail)| rail.methods()) {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    methods
}

/// The rails that a route takes, in its order: all of them unless it lists some.
fn chosen_rails<'a>(
    at: &str,
    names: Option<Vec<String>>,
    drafts: &'a Drafts,
    findings: &mut Findings,
) -> Option<Vec<(RailId, &'a dyn AnyDraft)>> {
    let all: Vec<_> = drafts.rails.iter().enumerate().map(|(place, draft)| (RailId(place), draft.as_ref())).collect();
    let Some(names) = names else { return Some(all) };
    let field = format!("{at}.rails");
    let mut chosen: Vec<(RailId, &dyn AnyDraft)> = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        match all.iter().find(|(_, draft)| draft.name() == *name) {
            Some(rail) if !chosen.iter().any(|(id, _)| *id == rail.0) => chosen.push(*rail),
            Some(_) => findings.add(Rule::RouteRails, format!("{field}[{index}]"), "is listed twice", "remove one"),
            None => {
                let known = all.iter().map(|(_, draft)| draft.name()).collect::<Vec<_>>().join(", ");
                let detail = format!("is the name of no rail; there are {known}");
                findings.add(Rule::RouteRails, format!("{field}[{index}]"), detail, "correct or remove it");
            }
        }
    }
    if names.is_empty() {
        findings.add(Rule::RouteRails, field, "is empty", "leave it out to take every rail");
    }
    (chosen.len() == names.len() && !chosen.is_empty()).then_some(chosen)
}

/// What a route costs on each of its rails: its price, or the price for just that rail.
fn priced_rails<'a>(
    at: &str,
    rails: Option<Vec<(RailId, &'a dyn AnyDraft)>>,
    prices: Option<BTreeMap<String, String>>,
    price_of_all: Option<&Price>,
    currency: &str,
    findings: &mut Findings,
) -> Option<Vec<Priced<'a>>> {
    let rails = rails?;
    let prices = prices.unwrap_or_default();
    for name in prices.keys() {
        if !rails.iter().any(|(_, draft)| draft.name() == *name) {
            let remedy = "correct or remove it";
            findings.add(Rule::RouteRails, format!("{at}.prices.{name}"), "is for a rail that the route does not take", remedy);
        }
    }
    let (mut priced, expected) = (Vec::with_capacity(rails.len()), rails.len());
    for (id, draft) in rails {
        let (field, own) = match prices.get(draft.name()) {
            Some(text) => {
                let field = format!("{at}.prices.{}", draft.name());
                let own = price(&field, text, findings);
                (field, own)
            }
            None if draft.currency() == currency => (format!("{at}.price"), price_of_all.cloned()),
            None => {
                let detail =
                    format!("has no price for the rail {}, whose currency is {} and not {currency}", draft.name(), draft.currency());
                findings.add(Rule::RouteRails, format!("{at}.prices"), detail, "set one, or list the route's rails without it");
                continue;
            }
        };
        let Some(own) = own else { continue };
        match own.in_units(draft.decimals()) {
            Ok(amount) => match draft.check_price(amount) {
                Ok(()) => priced.push(Priced { id, draft, amount }),
                Err(what) => findings.add(Rule::Price, field, what, PRICE_REMEDY),
            },
            Err(error) => findings.add(Rule::Price, field, error, PRICE_REMEDY),
        }
    }
    (priced.len() == expected).then_some(priced)
}

/// Only the payee can take what a voucher allows, so the payee must be the account that we send from.
fn check_sessions(at: &str, methods: &[&str], rails: &[Priced<'_>], findings: &mut Findings) {
    let networks = || rails.iter().filter_map(|rail| rail.draft.evm());
    let sells =
        |draft: &evm::Draft| methods.iter().filter_map(|method| draft.method(method)).any(|method| draft.escrow_of(method).is_some());
    // Where there is one rail, what is wrong with it is told even if it has no escrow.
    for draft in networks().filter(|draft| rails.len() == 1 || sells(draft)) {
        let account = draft.settlement_keys.as_deref().and_then(<[_]>::first).map(PrivateKey::address);
        if account.is_some_and(|account| account != draft.recipient) {
            findings.add(
                Rule::Sessions,
                format!("{}recipient", draft.at),
                format!("is not the settlement account, as {at}.intents needs it: only the payee of a channel can settle it"),
                "set recipient to the address of SETTLEMENT_PRIVATE_KEY, or sell charges only",
            );
        }
    }
    if !networks().any(sells) {
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

const PRICE_REMEDY: &str = "give a price in human units, such as \"0.01\"; leave the route out to make it free";

fn price(field: &str, text: &str, findings: &mut Findings) -> Option<Price> {
    match Price::parse(text) {
        Ok(price) => Some(price),
        Err(error) => {
            findings.add(Rule::Price, field, error, PRICE_REMEDY);
            None
        }
    }
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
fn named<'a, T: Copy + PartialEq + 'a>(
    rule: Rule,
    field: &str,
    names: Option<Vec<String>>,
    known: &[T],
    name_of: fn(T) -> &'a str,
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
