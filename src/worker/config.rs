//! The configuration, read once per isolate.

use super::connection::Connection;
use super::failure::internal;
use super::promised::go_on;
use super::rail::RailState;
use crate::gateway::config::Gateway;
use crate::gateway::route::Route;
use crate::gateway::{Misconfigured, Secrets, validate};
use crate::rail::evm::Asset;
use crate::rail::{AnyRail, Payment, RailId};
use crate::wire::problem::Problem;
use js_sys::{JSON, Object};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Context, Env, console_error};

/// What every request of an isolate needs. What only one module remembers between requests stands in that module, as a `thread_local`:
/// nothing that belongs to one request, or that another isolate would need.
pub(super) struct Isolate {
    /// The validated configuration.
    pub(super) gateway: Gateway,
    /// What there is of each rail.
    pub(super) rails: Vec<RailState>,
}

impl Isolate {
    /// Which of a route's rails are offered: those that are up, or all of them when none is.
    pub(super) fn offered(&self, route: &Route) -> impl Fn(RailId) -> bool {
        let is_up = |id: RailId| self.rails.get(id.0).is_some_and(RailState::is_up);
        let none_is_up = !route.rails().any(is_up);
        move |id| none_is_up || is_up(id)
    }

    /// The rails of which it is to be found out whether they are down.
    pub(super) fn rails_in_doubt(&self) -> impl Iterator<Item = RailId> {
        self.rails.iter().enumerate().filter(|(_, rail)| rail.is_in_doubt()).map(|(place, _)| RailId(place))
    }

    /// That of an offer.
    pub(super) fn rail(&self, id: RailId) -> Result<&RailState, Problem> {
        self.rails.get(id.0).ok_or_else(|| internal("rail", id))
    }

    /// That of a payment; when it is not configured any more, another that can finish what was begun.
    pub(super) fn rail_of(&self, payment: &Payment) -> Option<&RailState> {
        let find = |can: fn(&dyn AnyRail, &Payment) -> bool| self.rails.iter().find(|state| can(state.rail.as_ref(), payment));
        find(|rail, payment| rail.owns(payment)).or_else(|| find(|rail, payment| rail.can_finish(payment)))
    }

    /// The EVM networks.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.rails.iter().filter_map(RailState::connection)
    }

    /// The EVM network of an offer.
    pub(super) fn connection(&self, id: RailId) -> Result<&Connection, Problem> {
        self.rail(id)?.connection().ok_or_else(|| internal("connection", id))
    }

    /// That of what is stored; when its rail is not configured any more, another on the same chain, so that what was begun is
    /// finished.
    pub(super) fn connection_of(&self, asset: Asset) -> Option<&Connection> {
        let on_chain = || self.connections().filter(|connection| connection.rail.chain_id == asset.chain_id);
        on_chain().find(|connection| connection.rail.asset() == asset).or_else(|| on_chain().next())
    }
}

pub(super) type Loaded = Result<Isolate, Misconfigured>;

std::thread_local! {
    static ISOLATE: OnceCell<Rc<Loaded>> = const { OnceCell::new() };
}

/// The isolate's configuration, validated at the first call.
pub(super) fn load(env: &Env) -> Rc<Loaded> {
    ISOLATE.with(|isolate| isolate.get_or_init(|| Rc::new(read(env))).clone())
}

fn read(env: &Env) -> Loaded {
    let gateway = validate(variable(env).as_deref(), &secrets(env), |service| env.service(service).is_ok()).inspect_err(report)?;
    let rails = RailState::all(&gateway);
    Ok(Isolate { gateway, rails })
}

/// Something failed that a rail may be to blame for: finds out whether it is down, for what is offered from then on. With one rail
/// nothing depends on it.
pub(super) fn doubt(isolate: &Isolate, env: &Env, context: &Context, id: RailId) {
    let Some(rail) = isolate.rails.get(id.0).filter(|_| isolate.rails.len() > 1) else { return };
    rail.doubt();
    let loaded = load(env);
    go_on(context, async move {
        if let Some(rail) = loaded.as_ref().as_ref().ok().and_then(|isolate| isolate.rails.get(id.0)) {
            rail.probe().await;
        }
    });
}

fn report(broken: &Misconfigured) {
    for error in &broken.errors {
        console_error!("configuration: {error}");
    }
}

/// The `gateway` variable as JSON. serde-wasm-bindgen would ignore unknown fields.
fn variable(env: &Env) -> Option<String> {
    let value = js_sys::Reflect::get(env, &JsValue::from_str("gateway")).ok()?;
    let json = JSON::stringify(&value).ok()?;
    json.as_string()
}

fn secrets(env: &Env) -> Secrets {
    let secret = |name: &str| env.secret(name).ok().map(|secret| secret.to_string()).filter(|secret| !secret.is_empty());
    Secrets {
        secret_key: secret("MPP_SECRET_KEY"),
        previous_secret_key: secret("MPP_SECRET_KEY_PREVIOUS"),
        settlement_private_key: secret("SETTLEMENT_PRIVATE_KEY"),
        rpc_url: secret("RPC_URL"),
        admin_token: secret("ADMIN_TOKEN"),
        of_rails: secrets_of_rails(env),
    }
}

/// Those that are named after a rail.
fn secrets_of_rails(env: &Env) -> BTreeMap<String, String> {
    let names = Object::keys(env.unchecked_ref::<Object>());
    let named = names.iter().filter_map(|name| name.as_string()).filter(|name| Secrets::is_of_rail(name));
    let read = named.filter_map(|name| env.secret(&name).ok().map(|secret| (name, secret.to_string())));
    let mut all = BTreeMap::new();
    all.extend(read.filter(|(_, secret)| !secret.is_empty()));
    all
}
