//! The payer's object, one per payer and token. Here is how it is spoken to. (Of a sponsor there is one as well, which keeps its budget.)

pub(super) mod object;
mod store;

use super::message::{CALL_MARGIN, Refused, call};
use crate::evm::{Address, B256};
use crate::gateway::config::Limits;
use crate::purchase::{LeaseId, Undelivered};
use crate::rail::evm::Method;
use crate::rail::tempo::sponsor::Promise;
use crate::rail::{Payment, Reference};
use crate::wire::idempotency::Key;
use crate::wire::problem::Problem;
use crate::worker::connection::Connection;
use crate::worker::rail::RailState;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;
use worker::Env;

/// What it is called in the environment.
const BINDING: &str = "PAYER";

/// What a request asks of the payer's object.
#[allow(clippy::large_enum_variant, reason = "it is written or read once, and taken apart")]
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) enum PayerMessage<'a> {
    /// Take this payment on, for a request with this idempotency key: settle it, or with `reserve` only make sure that it could be
    /// settled. The client calls it by the name that hashes to `identifier`.
    Claim { payment: Cow<'a, Payment>, key: Option<Key>, identifier: Option<B256>, reserve: bool },
    /// The origin has answered: settle a reserved payment.
    Settle { id: B256, lease: LeaseId },
    /// The resource is about to be handed out.
    Deliver { id: B256, lease: LeaseId },
    /// Nothing was handed out.
    Release { id: B256, lease: LeaseId, how: Undelivered },
    /// What was handed out broke off by the origin's fault.
    Reopen { id: B256, lease: LeaseId },
    /// The payer has a channel here.
    Opened { method: Method, channel_id: B256 },
    /// Which channel did it open last?
    LastChannel,
    /// May the fees of this transaction be paid, beside those of others? This object is that of a sponsor.
    Promise(Promise),
    /// It is known what became of a transaction that was promised.
    Redeemed(B256),
}

/// What the payer's object answers.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) enum PayerReply {
    /// It could be settled; call the origin.
    Reserved { lease: LeaseId },
    /// The money is there, and the resource may be delivered.
    Paid { lease: LeaseId, reference: Reference },
    /// It was delivered already under the same idempotency key: ask the origin again.
    Replayed { reference: Reference },
    /// Done.
    Noted,
    /// The payer's last channel.
    Channel(Option<(Method, B256)>),
    /// Answer this instead.
    Refused(Refused),
    /// Whether they may.
    Promised(bool),
}

/// Sends a message to the object of a payer.
pub(in crate::worker) async fn ask_payer(
    connection: &Connection,
    env: &Env,
    payer: Address,
    message: &PayerMessage<'_>,
) -> Result<PayerReply, Problem> {
    ask(env, &connection.rail.asset().holder(payer), message, connection.rpc.patience(), &connection.limits).await
}

/// Sends a message to the object that remembers a payment ([`Payment::holder`]).
pub(in crate::worker) async fn ask_holder(
    rail: &RailState,
    env: &Env,
    name: &str,
    message: &PayerMessage<'_>,
) -> Result<PayerReply, Problem> {
    ask(env, name, message, rail.patience(), &rail.limits).await
}

/// `patience`: the longest that the rail's network may take.
async fn ask(env: &Env, name: &str, message: &PayerMessage<'_>, patience: Duration, limits: &Limits) -> Result<PayerReply, Problem> {
    // Simulation, the account's wait, and the way there and back.
    let wait = patience + limits.settlement_timeout + CALL_MARGIN;
    call(env, BINDING, name, message, wait + CALL_MARGIN).await
}
