//! The gateway's own paths, and what it says of itself at `/__mpp/config`. The others are [`admin`]'s and [`health`]'s.

use super::config::Isolate;
use super::failure::misconfigured;
use super::origin::Incoming;
use super::respond::{json, problem};
use super::{admin, health};
use crate::gateway::Misconfigured;
use crate::gateway::config::Gateway;
use crate::gateway::offer::{Offer, OfferTerms};
use crate::gateway::route::{Methods, OWN_PREFIX, Route};
use crate::rail::evm::Rail;
use crate::wire::problem::{Problem, ProblemKind};
use serde::Serialize;
use web_sys::Response;
use worker::{Context, Env, Result};

/// Answers the gateway's own paths, and only those.
pub(super) async fn answer(
    loaded: &std::result::Result<Isolate, Misconfigured>,
    env: &Env,
    context: &Context,
    incoming: &Incoming,
) -> Result<Option<Response>> {
    let Some(name) = incoming.target.path().strip_prefix(OWN_PREFIX) else { return Ok(None) };
    if !matches!(incoming.method.as_str(), "GET" | "HEAD") {
        let response = problem(&Problem::new(ProblemKind::MethodNotAllowed, "method: only GET and HEAD are possible here"))?;
        response.headers().set("allow", "GET, HEAD")?;
        return Ok(Some(response));
    }
    match (name, loaded) {
        ("health", Ok(_)) => health::answer(env, context, incoming).await.map(Some),
        ("health", Err(broken)) => health::of_broken(broken).map(Some),
        ("config", Ok(isolate)) => config(isolate, &incoming.target.host).map(Some),
        (_, Err(broken)) => problem(&misconfigured(&broken.errors)).map(Some),
        (_, Ok(isolate)) => match name.strip_prefix("channels/") {
            Some(id) => admin::channel(isolate, env, context, incoming, id).await.map(Some),
            None => problem(&Problem::new(
                ProblemKind::NotFound,
                "path: the gateway's own are /__mpp/health, /__mpp/config and /__mpp/channels/{id}",
            ))
            .map(Some),
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Public<'a> {
    realm: &'a str,
    challenge_lifetime_seconds: u64,
    rails: Vec<PublicRail<'a>>,
    routes: Vec<PublicRoute<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicRail<'a> {
    name: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    network: Option<PublicNetwork<'a>>,
}

/// An EVM network.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicNetwork<'a> {
    chain_id: u64,
    token: PublicToken<'a>,
    recipient: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    escrow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evm_escrow: Option<String>,
    confirmations: u64,
}

#[derive(Serialize)]
struct PublicToken<'a> {
    address: String,
    decimals: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicRoute<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    methods: Option<&'a [String]>,
    price: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    offers: Vec<PublicOffer<'a>>,
    settle: crate::gateway::config::Settle,
    digest: bool,
    meter: crate::gateway::config::Meter,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'static str>,
}

/// One way to pay for a route.
#[derive(Serialize)]
struct PublicOffer<'a> {
    rail: &'a str,
    method: &'a str,
    intent: &'static str,
    /// In base units.
    amount: String,
}

fn config(isolate: &Isolate, host: &str) -> Result<Response> {
    let gateway = &isolate.gateway;
    let public = Public {
        realm: gateway.realm.as_deref().unwrap_or(host),
        challenge_lifetime_seconds: gateway.challenge_lifetime.as_secs(),
        rails: gateway
            .rails
            .iter()
            .map(|rail| PublicRail { name: rail.name(), network: rail.evm().map(|rail| public_network(rail)) })
            .collect(),
        routes: gateway.router.routes().iter().map(|route| public_route(gateway, route)).collect(),
    };
    json(&serde_json::to_string(&public)?, 200)
}

fn public_network(rail: &Rail) -> PublicNetwork<'_> {
    let Rail { chain_id, token, recipient, escrow, evm_escrow, confirmations, .. } = rail;
    let domain = token.domain.as_ref();
    PublicNetwork {
        chain_id: *chain_id,
        token: PublicToken {
            address: token.address.to_checksum(None),
            decimals: token.decimals,
            name: domain.map(|(name, _)| name.as_str()),
            version: domain.map(|(_, version)| version.as_str()),
        },
        recipient: recipient.to_checksum(None),
        escrow: escrow.map(|escrow| escrow.to_checksum(None)),
        evm_escrow: evm_escrow.map(|escrow| escrow.to_checksum(None)),
        confirmations: *confirmations,
    }
}

fn public_route<'a>(gateway: &'a Gateway, route: &'a Route) -> PublicRoute<'a> {
    let offer = |offer: &'a Offer| {
        let amount = match &offer.terms {
            OfferTerms::Charge(terms) => terms.amount(),
            OfferTerms::Session(session) => session.terms.price,
        };
        let rail = gateway.rail(offer.rail)?.name();
        Some(PublicOffer { rail, method: offer.method(), intent: offer.intent().name(), amount: amount.to_string() })
    };
    PublicRoute {
        path: route.pattern.to_string(),
        methods: match &route.methods {
            Methods::Any => None,
            Methods::Only(methods) => Some(methods),
        },
        price: route.price.to_string(),
        description: route.description.as_deref(),
        offers: route.offers.iter().filter_map(offer).collect(),
        settle: route.settle,
        digest: route.digest,
        meter: route.meter,
        header: route.field.parameter(),
    }
}
