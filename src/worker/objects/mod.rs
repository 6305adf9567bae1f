//! The Durable Objects and how they are spoken to: typed messages as JSON over the object's fetch. (The
//! RPC export of the `worker` crate is experimental.)

mod account;
mod payer;
mod table;

use super::clock::within;
use super::config::Isolate;
use crate::evm::{Address, B256};
use crate::method::charge::Charge;
use crate::payment::LeaseId;
use crate::protocol::problem::{Problem, ProblemKind};
use crate::settlement::{Purpose, Verdict};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use wasm_bindgen::JsValue;
use worker::{Env, Method, Request, RequestInit, Response, State, console_error};

/// What a request asks of the payer's object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum PayerMessage {
    /// Take this charge on: settle it, or with `reserve` only make sure that it could be settled.
    Claim { charge: Box<Charge>, reserve: bool },
    /// The origin has answered: settle a reserved charge.
    Settle { nonce: B256, lease: LeaseId },
    /// The resource is about to be handed out.
    Deliver { nonce: B256, lease: LeaseId },
    /// Nothing was handed out.
    Release { nonce: B256, lease: LeaseId },
    /// What was handed out broke off by the origin's fault.
    Reopen { nonce: B256, lease: LeaseId },
}

/// What the payer's object answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum PayerReply {
    /// It could be settled; call the origin.
    Reserved { lease: LeaseId },
    /// The money is there, and the resource may be delivered.
    Paid { lease: LeaseId, transaction: B256 },
    /// Done.
    Noted,
    /// Answer this instead.
    Refused(Refused),
}

/// A problem as it travels between objects.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    kind: ProblemKind,
    detail: String,
    retry_after: Option<u32>,
}

/// What the payer's object asks of the account's object about a purpose.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SettleMessage {
    purpose: Purpose,
    errand: Errand,
}

/// What is to be done for a purpose, and told of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Errand {
    /// Bring it about, and wait for the verdict.
    Send { gas_limit: u64 },
    /// Look whether somebody else has brought it about, and wait for the verdict.
    Search,
    /// Only tell what is known.
    Inquire,
}

/// What the account's object answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum SettleReply {
    /// It is over.
    Ended(Verdict),
    /// It is on its way.
    Pending,
    /// Nothing was begun, and nothing will be unless it is asked for again.
    NotTaken,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { kind: problem.kind, detail: problem.detail.into_owned(), retry_after: problem.retry_after }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { retry_after: refused.retry_after, ..Self::new(refused.kind, refused.detail) }
    }
}

/// An object may be moved or restarted during a call, so each gets this much more than it should take.
const CALL_MARGIN: Duration = Duration::from_secs(5);

impl Isolate {
    /// Sends a message to the object of a payer.
    pub(super) async fn ask_payer(&self, env: &Env, payer: Address, message: &PayerMessage) -> Result<PayerReply, Problem> {
        let name = format!("{}:{}:{payer}", self.gateway.chain_id, self.gateway.token.address);
        // Simulation, the account's wait, and the way there and back.
        let limits = &self.gateway.limits;
        call(env, "PAYER", &name, message, self.rpc.patience() + limits.settlement_timeout + CALL_MARGIN + CALL_MARGIN).await
    }

    /// Sends a message to the object of the settlement account.
    async fn ask_account(&self, env: &Env, message: &SettleMessage) -> Result<SettleReply, Problem> {
        call(env, "ACCOUNT", &self.account_name(), message, self.gateway.limits.settlement_timeout + CALL_MARGIN).await
    }

    fn account_name(&self) -> String {
        format!("{}:{}", self.gateway.chain_id, self.gateway.settlement_key.address())
    }

    /// Whether `state` is that of the configured account's object.
    fn is_account(&self, env: &Env, state: &State) -> worker::Result<bool> {
        let configured = env.durable_object("ACCOUNT")?.id_from_name(&self.account_name())?.to_string();
        Ok(configured == state.id().to_string())
    }
}

/// Calls an object. Whatever goes wrong, what it has done is unknown: the caller must not take it for a no.
async fn call<A: DeserializeOwned>(
    env: &Env,
    namespace: &str,
    name: &str,
    message: &impl Serialize,
    limit: Duration,
) -> Result<A, Problem> {
    let unknown = || Problem::unavailable("the payment's state is not known at the moment");
    match within(limit, send(env, namespace, name, message)).await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => {
            console_error!("object {namespace}: {error}");
            Err(unknown())
        }
        None => {
            console_error!("object {namespace}: no answer in time");
            Err(unknown())
        }
    }
}

async fn send<A: DeserializeOwned>(env: &Env, namespace: &str, name: &str, message: &impl Serialize) -> worker::Result<A> {
    let stub = env.durable_object(namespace)?.get_by_name(name)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(JsValue::from_str(&serde_json::to_string(message)?)));
    let mut response = stub.fetch_with_request(Request::new_with_init("http://object/", &init)?).await?;
    let text = response.text().await?;
    if response.status_code() != 200 {
        return Err(worker::Error::RustError(format!("status {}", response.status_code())));
    }
    Ok(serde_json::from_str(&text)?)
}

/// Reads the message that an object was sent.
async fn receive<M: DeserializeOwned>(mut request: Request) -> worker::Result<M> {
    Ok(serde_json::from_str(&request.text().await?)?)
}

/// Answers a message.
fn reply(answer: &impl Serialize) -> worker::Result<Response> {
    Response::ok(serde_json::to_string(answer)?)
}

/// The error of an object that cannot work because the configuration is wrong.
fn unconfigured() -> worker::Error {
    worker::Error::RustError("the configuration is wrong".to_string())
}
