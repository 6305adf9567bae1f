//! `GET /__mpp/channels/{id}`: how a channel stands, for the operator and for its payer.

use super::clock::now;
use super::config::Isolate;
use super::objects::{ChannelMessage, ChannelReply, Shown};
use super::origin::Incoming;
use super::respond::{json, problem};
use crate::channel::{Reason, Reuse, Status};
use crate::evm::amount::Amount;
use crate::evm::{B256, parse};
use crate::gateway::admin::{Caller, caller};
use crate::method::Method;
use crate::protocol::problem::{Problem, ProblemKind};
use serde::Serialize;
use web_sys::Response;
use worker::{Env, Result};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    channel_id: B256,
    method: Method,
    escrow: String,
    chain_id: u64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<B256>,
    payer: String,
    signer: String,
    deposit: Amount,
    accepted_cumulative: Amount,
    spent: Amount,
    delivered: Amount,
    settled: Amount,
    required_cumulative: Amount,
}

/// Answers the path `channels/{id}`.
pub(super) async fn channel(isolate: &Isolate, env: &Env, incoming: &Incoming, id: &str) -> Result<Response> {
    let unauthorized = || {
        let response = problem(&Problem::new(ProblemKind::Unauthorized, "Authorization: needs the admin token, or the payer's signature"))?;
        response.headers().set("www-authenticate", "Bearer, Channel")?;
        Ok(response)
    };
    let authorization = incoming.header("authorization").unwrap_or_default();
    let Ok(channel_id) = parse::hash(id) else {
        return problem(&Problem::new(ProblemKind::NotFound, "a channel's id is 0x and 64 hexadecimal digits"));
    };
    let Some(caller) = caller(&authorization, isolate.gateway.admin_token.as_deref(), channel_id, now()) else {
        return unauthorized();
    };
    let found = find(isolate, env, channel_id).await;
    match (caller, found) {
        (_, Err(unavailable)) => problem(&unavailable),
        (Caller::Operator, Ok(None)) => problem(&Problem::new(ProblemKind::NotFound, "no such channel was used here")),
        (Caller::Operator, Ok(Some((_, view)))) => json(&serde_json::to_string(&view)?, 200),
        (Caller::Signer(address), Ok(Some((shown, view)))) if address == shown.payer || address == shown.signer => {
            json(&serde_json::to_string(&view)?, 200)
        }
        // Whether there is such a channel is not told to others.
        (Caller::Signer(_), Ok(_)) => unauthorized(),
    }
}

async fn find(isolate: &Isolate, env: &Env, channel_id: B256) -> std::result::Result<Option<(Shown, View)>, Problem> {
    let gateway = &isolate.gateway;
    for method in Method::ALL {
        let Some(escrow) = gateway.escrow_of(method) else { continue };
        let show = ChannelMessage::Show { price: Amount::from_base_units(1), reuse: Reuse::DrawDown };
        let ChannelReply::Shown(shown) = isolate.ask_channel(env, escrow, channel_id, &show).await? else { continue };
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
            chain_id: gateway.chain_id,
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
            required_cumulative: shown.balance.required,
        };
        return Ok(Some((shown, view)));
    }
    Ok(None)
}
