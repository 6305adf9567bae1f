//! The configuration, read once per isolate.

use super::admin::{self, Books};
use super::escrow::EscrowSupport;
use super::health;
use super::rpc::Rpc;
use super::snapshot::{self, Snapshots};
use super::token::TokenFacts;
use crate::channel::InFlight;
use crate::gateway::config::Gateway;
use crate::gateway::shared::Shared;
use crate::gateway::{Broken, Secrets, validate};
use js_sys::JSON;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use wasm_bindgen::JsValue;
use worker::{Env, console_error};

/// What an isolate keeps between requests: nothing that belongs to one of them.
pub(super) struct Isolate {
    /// The validated configuration.
    pub(super) gateway: Gateway,
    /// The chain's endpoints.
    pub(super) rpc: Rpc,
    /// What was learned of the token.
    pub(super) token: TokenFacts,
    /// What was learned of the escrow.
    pub(super) escrow: EscrowSupport,
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
    let rpc = Rpc::new(gateway.rpc_urls.clone(), gateway.chain_id, gateway.limits.rpc_timeout);
    let health = RefCell::new(Shared::new(health::BOUNDS));
    Ok(Isolate {
        gateway,
        rpc,
        token: TokenFacts::default(),
        escrow: EscrowSupport::default(),
        health,
        in_flight: RefCell::default(),
        snapshots: snapshot::none(),
        books: admin::none(),
    })
}

fn report(broken: &Broken) {
    for error in &broken.errors {
        console_error!("configuration: rule {}: {} {} ({})", error.rule, error.field, error.detail, error.remedy);
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
    }
}
