//! What the gateway says of itself: `/__mpp/health` and `/__mpp/config`. Neither holds a secret. Its other own path is
//! [`admin`]'s.

use super::admin;
use super::clock::now;
use super::config::Isolate;
use super::origin::Incoming;
use super::respond::{json, misconfigured, problem};
use crate::evm::U256;
use crate::evm::jsonrpc::{Request, decode, decode_u64};
use crate::gateway::Broken;
use crate::gateway::route::{Methods, OWN_PREFIX, Route};
use crate::protocol::problem::{FieldError, Problem, ProblemKind};
use crate::time::Timestamp;
use serde::Serialize;
use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Duration;
use web_sys::Response;
use worker::{Env, Result};

/// Anybody may ask for the health, so an answer is given again for this long.
const HEALTH_LIFETIME: Duration = Duration::from_secs(1);

/// Settlement accounts with less than this, in wei, are said to run dry: 0.0005 of the native coin pays
/// for hundreds of transfers on a rollup.
const LOW_BALANCE: u128 = 500_000_000_000_000;

std::thread_local! {
    static HEALTH: RefCell<Option<(Timestamp, u16, String)>> = const { RefCell::new(None) };
}

/// Answers the gateway's own paths, and only those.
pub(super) async fn answer(loaded: &std::result::Result<Isolate, Broken>, env: &Env, incoming: &Incoming) -> Result<Option<Response>> {
    let Some(name) = incoming.target.path().strip_prefix(OWN_PREFIX) else { return Ok(None) };
    if !matches!(incoming.method.as_str(), "GET" | "HEAD") {
        let response = problem(&Problem::new(ProblemKind::MethodNotAllowed, "only GET is possible here"))?;
        response.headers().set("allow", "GET, HEAD")?;
        return Ok(Some(response));
    }
    match (name, loaded) {
        ("health", Ok(isolate)) => health(isolate).await.map(Some),
        ("health", Err(broken)) => broken_health(broken).map(Some),
        ("config", Ok(isolate)) => config(isolate, &incoming.target.host).map(Some),
        (_, Err(broken)) => problem(&misconfigured(&broken.errors)).map(Some),
        (_, Ok(isolate)) => match name.strip_prefix("channels/") {
            Some(id) => admin::channel(isolate, env, incoming, id).await.map(Some),
            None => problem(&Problem::new(ProblemKind::NotFound, "the gateway has health, config and channels/{id} here")).map(Some),
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    ok: bool,
    configuration: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escrow: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement_account: Option<String>,
    /// In wei.
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement_balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<&'a str>,
}

impl Health<'_> {
    const fn of(configuration: &'static str) -> Self {
        Self {
            ok: false,
            configuration,
            errors: &[],
            rpc: None,
            chain_id: None,
            block: None,
            token: None,
            escrow: None,
            settlement_account: None,
            settlement_balance: None,
            settlement: None,
        }
    }
}

fn broken_health(broken: &Broken) -> Result<Response> {
    let health = Health { errors: &broken.errors, ..Health::of("wrong") };
    json(&serde_json::to_string(&health)?, 503)
}

async fn health(isolate: &Isolate) -> Result<Response> {
    let known = HEALTH.with_borrow(|health| health.clone().filter(|(at, ..)| now().since(*at) < HEALTH_LIFETIME));
    if let Some((_, status, body)) = known {
        return json(&body, status);
    }
    let health = examine(isolate).await;
    let status = if health.ok { 200 } else { 503 };
    let body = serde_json::to_string(&health)?;
    HEALTH.replace(Some((now(), status, body.clone())));
    json(&body, status)
}

async fn examine(isolate: &Isolate) -> Health<'static> {
    let account = isolate.gateway.settlement_key.address();
    let mut health = Health::of("good");
    health.settlement_account = Some(account.to_checksum(None));
    let answers = isolate.rpc.batch(&[Request::chain_id(), Request::balance(account), Request::latest_block()]).await;
    let Ok([Ok(chain_id), Ok(balance), Ok(block)]) = answers.as_deref() else {
        // The endpoints' own faults, a wrong chain among them, are in the log.
        health.rpc = Some("no endpoint of the right chain answers");
        return health;
    };
    health.rpc = Some("good");
    health.chain_id = decode_u64(chain_id).ok();
    health.block = decode::<crate::evm::jsonrpc::Block>(block).ok().map(|block| block.number());
    let balance = decode::<U256>(balance).ok();
    health.settlement_balance = balance.map(|balance| balance.to_string());
    let funded = balance.is_some_and(|balance| balance >= U256::from(LOW_BALANCE));
    health.settlement = Some(if funded { "good" } else { "the settlement account is running out of gas money" });
    let confirmed = isolate.confirm_token().await;
    let escrows = isolate.check_escrows().await;
    health.ok = funded && confirmed.is_ok() && escrows.is_ok() && health.chain_id == Some(isolate.gateway.chain_id);
    health.token = Some(confirmed.map_or_else(|problem| problem.detail, |_| "good".into()));
    health.escrow = Some(escrows.map_or_else(|problem| problem.detail, |()| "good".into()));
    health
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Public<'a> {
    realm: &'a str,
    chain_id: u64,
    token: PublicToken<'a>,
    recipient: String,
    escrow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evm_escrow: Option<String>,
    challenge_lifetime_seconds: u64,
    confirmations: u64,
    routes: Vec<PublicRoute<'a>>,
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
    amount: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    offers: Vec<String>,
    settle: crate::gateway::config::Settle,
    digest: bool,
    meter: crate::gateway::config::Meter,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'static str>,
}

fn config(isolate: &Isolate, host: &str) -> Result<Response> {
    let gateway = &isolate.gateway;
    let token = &gateway.token;
    let domain = token.domain.as_ref();
    let public = Public {
        realm: gateway.realm.as_deref().unwrap_or(host),
        chain_id: gateway.chain_id,
        token: PublicToken {
            address: token.address.to_checksum(None),
            decimals: token.decimals,
            name: domain.map(|(name, _)| name.as_str()),
            version: domain.map(|(_, version)| version.as_str()),
        },
        recipient: gateway.recipient.to_checksum(None),
        escrow: gateway.escrow.map(|escrow| escrow.to_checksum(None)),
        evm_escrow: gateway.evm_escrow.map(|escrow| escrow.to_checksum(None)),
        challenge_lifetime_seconds: gateway.challenge_lifetime.as_secs(),
        confirmations: gateway.confirmations,
        routes: gateway.router.routes().iter().map(|route| public_route(route, token.decimals)).collect(),
    };
    json(&serde_json::to_string(&public)?, 200)
}

fn public_route(route: &Route, decimals: u8) -> PublicRoute<'_> {
    PublicRoute {
        path: route.pattern.to_string(),
        methods: match &route.methods {
            Methods::Any => None,
            Methods::Only(methods) => Some(methods),
        },
        price: route.terms.amount.to_human(decimals),
        amount: route.terms.amount.to_string(),
        description: route.description.as_deref(),
        offers: route.offers.iter().map(|offer| format!("{}/{}", offer.method, offer.intent)).collect(),
        settle: route.settle,
        digest: route.digest,
        meter: route.meter,
        header: route.field.parameter(),
    }
}
