//! `GET /__mpp/channels/{id}`: how a channel stands, for the operator and for its payer.

use super::clock::now;
use super::config::{Isolate, load};
use super::failure::internal;
use super::objects::channel::{ChannelMessage, ChannelReply, ask_channel};
use super::origin::Incoming;
use super::respond::{json, problem};
use super::shared::shared;
use crate::channel::{CloseReason, Reuse, Status};
use crate::evm::{Address, B256, parse};
use crate::gateway::admin::{Caller, caller};
use crate::gateway::shared::{Bounds, Shared};
use crate::money::Amount;
use crate::rail::evm::Method;
use crate::wire::problem::{Problem, ProblemKind};
use serde::Serialize;
use std::cell::RefCell;
use std::time::Duration;
use web_sys::Response;
use worker::{Context, Env, Result};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    channel_id: B256,
    method: Method,
    escrow: String,
    chain_id: u64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<CloseReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<B256>,
    payer: String,
    signer: String,
    deposit: Amount,
    accepted_cumulative: Amount,
    spent: Amount,
    delivered: Amount,
    settled: Amount,
    /// Settlements that failed in a row: nothing is sold while there are any.
    #[serde(skip_serializing_if = "is_none")]
    settlement_failures: u8,
    /// Those that were mined and reverted.
    #[serde(skip_serializing_if = "is_none")]
    settlement_reverts: u8,
    required_cumulative: Amount,
}

/// A channel's view, and who may see it.
#[derive(Clone)]
struct Book {
    payer: Address,
    signer: Address,
    /// The view as JSON.
    body: String,
}

/// It could not be looked up: for now.
#[derive(Clone, Copy, Debug)]
struct Unavailable;

std::thread_local! {
    /// What was looked up for signers.
    static BOOKS: RefCell<Shared<B256, std::result::Result<Option<Book>, Unavailable>>> = const { RefCell::new(Shared::new(BOUNDS)) };
}

/// How often an isolate looks something up for signers. Each time wakes an object for each escrow.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(5), per_second: 16 };

/// A payer that looks again after this sees what has changed.
const LIFETIME: Duration = Duration::from_secs(1);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none(count: &u8) -> bool {
    *count == 0
}

/// Answers the path `channels/{id}`.
pub(super) async fn channel(isolate: &Isolate, env: &Env, context: &Context, incoming: &Incoming, id: &str) -> Result<Response> {
    let unauthorized = || {
        let response = problem(&Problem::new(
            ProblemKind::Unauthorized,
            "Authorization: must be Bearer with the admin token, or Channel with a signature of the channel's payer or signer",
        ))?;
        response.headers().set("www-authenticate", "Bearer, Channel")?;
        Ok(response)
    };
    let authorization = incoming.header("authorization").unwrap_or_default();
    let Ok(channel_id) = parse::hash(id) else {
        return problem(&Problem::new(ProblemKind::NotFound, "path: must end in a channel's id, 0x and 64 hexadecimal digits"));
    };
    let Some(caller) = caller(&authorization, isolate.gateway.admin_token.as_deref(), channel_id, now()) else {
        return unauthorized();
    };
    let found = match caller {
        Caller::Operator => find(isolate, env, channel_id).await,
        Caller::Signer(_) => find_for_signer(env, context, channel_id).await,
    };
    match (caller, found) {
        (_, Err(unavailable)) => problem(&unavailable),
        (Caller::Operator, Ok(None)) => problem(&Problem::new(ProblemKind::NotFound, "path: no channel with this id was used here")),
        (Caller::Operator, Ok(Some(book))) => json(&book.body, 200),
        (Caller::Signer(address), Ok(Some(book))) if address == book.payer || address == book.signer => json(&book.body, 200),
        // Whether there is such a channel is not told to others.
        (Caller::Signer(_), Ok(_)) => unauthorized(),
    }
}

/// Anybody can sign: what is looked up for those is shared, and bounded.
async fn find_for_signer(env: &Env, context: &Context, channel_id: B256) -> std::result::Result<Option<Book>, Problem> {
    let look_up = {
        let env = env.clone();
        move || async move {
            let loaded = load(&env);
            let found = match loaded.as_ref() {
                Ok(isolate) => find(isolate, &env, channel_id).await.map_err(|_| Unavailable),
                Err(_) => Err(Unavailable),
            };
            let lifetime = if found.is_ok() { LIFETIME } else { Duration::ZERO };
            (found, lifetime)
        }
    };
    let found = shared(context, &BOOKS, channel_id, look_up).await;
    found.unwrap_or(Err(Unavailable)).map_err(|_| Problem::not_now("the channel cannot be looked up at the moment; ask again"))
}

async fn find(isolate: &Isolate, env: &Env, channel_id: B256) -> std::result::Result<Option<Book>, Problem> {
    for (connection, method) in isolate.connections().flat_map(|connection| Method::ALL.map(|method| (connection, method))) {
        let Some(escrow) = connection.rail.escrow_of(method) else { continue };
        let show = ChannelMessage::Show { price: Amount::from_base_units(1), reuse: Reuse::DrawDown };
        let ChannelReply::Shown(shown) = ask_channel(connection, env, escrow, channel_id, &show).await? else { continue };
        let (name, reason, tx_hash) = match shown.status {
            Status::Open => ("open", None, None),
            Status::Suspended => ("suspended", None, None),
            Status::Closing(reason) => ("closing", Some(reason), None),
            Status::Closed { transaction } => ("closed", None, transaction),
        };
        let view = View {
            channel_id,
            method,
            escrow: escrow.to_checksum(None),
            chain_id: connection.rail.chain_id,
            status: name,
            reason,
            tx_hash,
            payer: shown.payer.to_checksum(None),
            signer: shown.signer.to_checksum(None),
            deposit: shown.balance.deposit,
            accepted_cumulative: shown.balance.accepted,
            spent: shown.balance.spent,
            delivered: shown.delivered,
            settled: shown.settled,
            settlement_failures: shown.failures.0,
            settlement_reverts: shown.failures.1,
            required_cumulative: shown.balance.required,
        };
        let body = serde_json::to_string(&view).map_err(|error| internal("books", error))?;
        return Ok(Some(Book { payer: shown.payer, signer: shown.signer, body }));
    }
    Ok(None)
}
