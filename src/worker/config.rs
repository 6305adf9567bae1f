//! The configuration, read once per isolate.

use super::admin::{self, Books};
use super::connection::Connection;
use super::health;
use super::snapshot::{self, Snapshots};
use crate::channel::InFlight;
use crate::gateway::config::Gateway;
use crate::gateway::shared::Shared;
use crate::gateway::{Broken, Secrets, validate};
use js_sys::{JSON, Object};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, console_error};

/// What an isolate keeps between requests: nothing that belongs to one of them.
pub(super) struct Isolate {
    /// The validated configuration.
    pub(super) gateway: Gateway,
    /// What there is of each rail.
    pub(super) connections: Vec<Connection>,
    /// How the gateway is.
    pub(super) health: RefCell<Shared<(), (u16, String)>>,
    /// Purchases that channels' objects were asked for, once there was one.
    pub(super) in_flight: RefCell<Option<InFlight>>,
    /// Where channels stand.
    pub(super) snapshots: Snapshots,
    /// What was shown of channels to their signers.
    pub(super) books: Books,
}

pub(super) type Loaded = Result<Isolate, Broken>;

std::thread_local! {
    static ISOLATE: OnceCell<Rc<Loaded>> = const { OnceCell::new() };
}

/// The isolate's configuration, validated at the first call.
pub(super) fn load(env: &Env) -> Rc<Loaded> {
    ISOLATE.with(|isolate| isolate.get_or_init(|| Rc::new(read(env))).clone())
}

fn read(env: &Env) -> Loaded {
    let gateway = validate(variable(env).as_deref(), &secrets(env), |service| env.service(service).is_ok()).inspect_err(report)?;
    let connections = Connection::all(&gateway);
    let health = RefCell::new(Shared::new(health::BOUNDS));
    Ok(Isolate { gateway, connections, health, in_flight: RefCell::default(), snapshots: snapshot::none(), books: admin::none() })
}

fn report(broken: &Broken) {
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
    named.filter_map(|name| env.secret(&name).ok().map(|secret| (name, secret.to_string()))).collect()
}
