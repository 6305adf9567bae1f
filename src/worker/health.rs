//! `GET /__mpp/health`: whether the gateway can do its work, and what hinders it. It holds no secret, and anybody may ask.

use super::config::{Isolate, load};
use super::connection::Connection;
use super::escrow::check_escrows;
use super::failure::entropy;
use super::glue::fetched;
use super::origin::Incoming;
use super::rail::RailState;
use super::respond::{json, problem};
use super::rpc::Network;
use super::shared::shared;
use super::together::join_all;
use super::watch::discard;
use crate::evm::jsonrpc::{Block, Request, decode, decode_u64};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, U256};
use crate::gateway::Misconfigured;
use crate::gateway::config::Origin;
use crate::gateway::probe::{self, Probe};
use crate::gateway::route::Router;
use crate::gateway::shared::{Bounds, Shared};
use crate::gateway::target::Target;
use crate::gateway::token::flag;
use crate::wire::problem::{FieldError, Problem};
use futures_util::future::join;
use serde::Serialize;
use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Duration;
use wasm_bindgen::JsValue;
use web_sys::{Headers, Request as HttpRequest, RequestInit, RequestRedirect, Response};
use worker::{Context, Env, Result, console_warn};

/// An answer is given again for this long, whatever it says.
const LIFETIME: Duration = Duration::from_secs(3);

/// One request examines for all of its isolate.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(30), per_second: 1 };

std::thread_local! {
    /// How the gateway is: a status, and what there is to say.
    static KNOWN: RefCell<Shared<(), (u16, String)>> = const { RefCell::new(Shared::new(BOUNDS)) };
}

/// The origin may take this long to show that it is there.
const ORIGIN_PATIENCE: Duration = Duration::from_secs(5);

/// Settlement accounts with less than this, in wei, are said to run dry: 0.0005 of the native coin pays
/// for hundreds of transfers on a rollup.
const LOW_BALANCE: u128 = 500_000_000_000_000;

const GOOD: &str = "good";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    ok: bool,
    configuration: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rails: Vec<RailHealth<'a>>,
}

/// How a rail is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RailHealth<'a> {
    name: &'a str,
    ok: bool,
    /// Where it is not paid on a chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'static str>,
    #[serde(flatten)]
    chain: ChainHealth,
}

/// What the chain has to do with it.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChainHealth {
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Cow<'static, str>>,
    /// Absent where the token does not say, as those below.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escrow: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement_account: Option<String>,
    /// In wei.
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement_balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<&'static str>,
    /// Those beside it, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_settlement_accounts: Vec<AccountHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement_account_blacklisted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_blacklisted: Option<bool>,
}

/// How a further settlement account is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountHealth {
    account: String,
    /// In wei.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    settlement: &'static str,
}

/// The health under a wrong configuration.
pub(super) fn of_broken(broken: &Misconfigured) -> Result<Response> {
    let health = Health { ok: false, configuration: "wrong", errors: &broken.errors, origin: None, rails: Vec::new() };
    json(&serde_json::to_string(&health)?, 503)
}

/// The health of the gateway.
pub(super) async fn answer(env: &Env, context: &Context, incoming: &Incoming) -> Result<Response> {
    let base = base(&incoming.target);
    let examined = {
        let env = env.clone();
        move || examine(env, base)
    };
    match shared(context, &KNOWN, (), examined).await {
        Some((status, body)) => json(&body, status),
        None => problem(&Problem::not_now("the gateway could not be examined in time; ask again")),
    }
}

async fn examine(env: Env, base: String) -> ((u16, String), Duration) {
    let loaded = load(&env);
    let Ok(isolate) = loaded.as_ref() else { return ((503, String::new()), Duration::ZERO) };
    let rails = join_all(isolate.rails.iter().map(|rail| examine_rail(rail, &isolate.gateway.router)));
    let (origin, rails) = join(examine_origin(&env, isolate, &base), rails).await;
    // A rail that is down is not offered, and the others sell on.
    let ok = origin == GOOD && rails.iter().any(|rail| rail.ok);
    let health = Health { ok, configuration: GOOD, errors: &[], origin: Some(origin), rails };
    // A struct of texts, numbers and flags always serialises.
    ((if ok { 200 } else { 503 }, serde_json::to_string(&health).unwrap_or_default()), LIFETIME)
}

async fn examine_rail<'a>(state: &'a RailState, router: &Router) -> RailHealth<'a> {
    let (chain, ok) = match state.connection() {
        Some(connection) => examine_chain(connection, router).await,
        None => (ChainHealth::default(), state.provider_answers().await),
    };
    let provider = state.connection().is_none().then_some(if ok { GOOD } else { "does not answer, or does not take our secret" });
    RailHealth { name: state.rail.name(), ok, provider, chain }
}

/// Says how the chain is, and whether that is good.
async fn examine_chain(connection: &Connection, router: &Router) -> (ChainHealth, bool) {
    let rail = &connection.rail;
    let account = rail.settlement_key.address();
    let mut health = ChainHealth { settlement_account: Some(account.to_checksum(None)), ..ChainHealth::default() };
    let blacklisted = |address: Address| rail.token.is_blacklisted(address);
    let questions = [
        Request::chain_id(),
        Request::balance(account),
        Request::latest_block(),
        rail.token.is_paused(),
        blacklisted(account),
        blacklisted(rail.recipient),
    ];
    let Ok([Ok(chain_id), Ok(balance), Ok(block), paused, account_barred, recipient_barred]) = connection.rpc.ask(questions).await else {
        let elsewhere = connection.rpc.is_elsewhere();
        health.rpc = Some(if elsewhere { "an endpoint serves another chain, and none the right one" } else { "no endpoint answers" });
        return (health, false);
    };
    health.chain_id = decode_u64(&chain_id).ok();
    let is_here = health.chain_id == Some(rail.chain_id);
    health.rpc = Some(if is_here { GOOD } else { "an endpoint serves another chain since it was first asked" });
    health.block = decode::<Block>(&block).ok().map(|block| block.number());
    let balance = decode::<U256>(&balance).ok();
    health.settlement_balance = balance.map(|balance| balance.to_string());
    health.settlement = Some(funding(balance));
    health.more_settlement_accounts = examine_accounts(connection).await;
    let more = health.more_settlement_accounts.iter().map(|account| account.settlement);
    let funded = health.settlement.into_iter().chain(more).all(|settlement| settlement == GOOD);
    let stops = [&paused, &account_barred, &recipient_barred].map(flag);
    [health.token_paused, health.settlement_account_blacklisted, health.recipient_blacklisted] = stops;
    let confirmed = connection.confirm_token().await;
    let escrows = check_escrows(connection, router).await;
    let good = is_here && funded && confirmed.is_ok() && escrows.is_ok() && !stops.contains(&Some(true));
    health.token = Some(confirmed.map_or_else(|problem| problem.detail, |_| GOOD.into()));
    health.escrow = Some(escrows.map_or_else(|problem| problem.detail, |()| GOOD.into()));
    (health, good)
}

/// Whether an account has enough for gas.
fn funding(balance: Option<U256>) -> &'static str {
    let is_funded = balance.is_some_and(|balance| balance >= U256::from(LOW_BALANCE));
    if is_funded { GOOD } else { "the settlement account is running out of gas money" }
}

/// Says how the settlement accounts are beside the first.
async fn examine_accounts(connection: &Connection) -> Vec<AccountHealth> {
    let accounts: Vec<Address> = connection.rail.more_keys.iter().map(PrivateKey::address).collect();
    if accounts.is_empty() {
        return Vec::new();
    }
    let questions = accounts.iter().map(|account| Request::balance(*account)).collect();
    let answers = connection.rpc.batch(questions).await.unwrap_or_default();
    let balances = answers.into_iter().map(|answer| answer.ok().and_then(|answer| decode::<U256>(&answer).ok()));
    let balances = balances.chain(std::iter::repeat(None));
    let one = |(account, balance): (Address, Option<U256>)| AccountHealth {
        account: account.to_checksum(None),
        balance: balance.map(|balance| balance.to_string()),
        settlement: funding(balance),
    };
    accounts.into_iter().zip(balances).map(one).collect()
}

/// Where the zone's own origin, or a service, would be asked for what is asked here.
fn base(target: &Target) -> String {
    format!("{}://{}", target.scheme, target.host)
}

/// Whether the origin answers, and is not the gateway itself.
async fn examine_origin(env: &Env, isolate: &Isolate, base: &str) -> Cow<'static, str> {
    let gateway = &isolate.gateway;
    let (base, service) = match &gateway.origin {
        Origin::Url(url) => (url.as_str(), None),
        Origin::Service(name) => (base, Some(name.as_str())),
        Origin::Dns => (base, None),
    };
    let Ok(probe) = entropy().map(Probe::new) else { return "could not be asked".into() };
    let limit = gateway.limits.origin_timeout.min(ORIGIN_PATIENCE);
    let response = match question(&format!("{base}/"), &probe.mark(&gateway.binding_keys)) {
        Ok(request) => fetched(env, service, &request, limit).await,
        Err(error) => Err(error),
    };
    let response = match response {
        Ok(Some(response)) => response,
        Ok(None) => return "did not answer in time".into(),
        Err(error) => {
            console_warn!("origin: {error:?}");
            return "cannot be reached".into();
        }
    };
    discard(&response);
    let answer = response.headers().get(probe::HEADER).ok().flatten();
    if answer.is_some_and(|answer| probe.is_answered_by(&gateway.binding_keys, &answer)) {
        return "is this gateway itself".into();
    }
    match response.status() {
        // Of whatever stands before an origin that is not there; 520 to 530 are Cloudflare's own.
        status @ (502..=504 | 520..=530) => format!("answers {status}").into(),
        _ => GOOD.into(),
    }
}

/// What the origin is asked: for the head of its root, and where that leads is not followed.
fn question(url: &str, mark: &str) -> std::result::Result<HttpRequest, JsValue> {
    let headers = Headers::new()?;
    headers.set(probe::HEADER, mark)?;
    let init = RequestInit::new();
    init.set_method("HEAD");
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    HttpRequest::new_with_str_and_init(url, &init)
}
