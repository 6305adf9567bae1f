//! The account's object, one per settlement key and chain. Here is how it is spoken to.

mod in_use;
mod intake;
pub(super) mod object;
mod rounds;

use super::message::{CALL_MARGIN, call, unknown};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, B256};
use crate::settlement::{Purpose, Verdict};
use crate::wire::problem::Problem;
use crate::worker::connection::Connection;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use worker::{Env, State};

/// What it is called in the environment.
const BINDING: &str = "ACCOUNT";

/// What is asked of the account's object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum AccountMessage {
    /// About a purpose.
    Settle(Box<SettleMessage>),
    /// Look at this channel on chain until it has ended, and tell its object what changes.
    Watch { escrow: Address, channel_id: B256, signer: Address },
    /// Something is to be bought on this channel: look whether its signer has code by now.
    Use { channel_id: B256 },
}

/// What the account's object answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum AccountReply {
    /// What has become of the purpose.
    Settlement(SettleReply),
    /// Done.
    Noted,
}

/// An errand for the settlement account.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::worker) struct SettleMessage {
    pub(in crate::worker) purpose: Purpose,
    pub(in crate::worker) errand: Errand,
}

/// What is to be done for a purpose, and told of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::worker) enum Errand {
    /// Bring it about, and wait for the verdict.
    Send { gas_limit: u64 },
    /// Look whether somebody else has brought it about, and wait for the verdict.
    Search,
    /// Only tell what is known.
    Inquire,
}

/// What has become of an errand.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) enum SettleReply {
    /// It is over.
    Ended(Verdict),
    /// It is on its way.
    Pending,
    /// Nothing was begun, and nothing will be unless it is asked for again.
    NotTaken,
}

/// Gives the settlement account an errand.
pub(in crate::worker) async fn ask_account(connection: &Connection, env: &Env, message: &SettleMessage) -> Result<SettleReply, Problem> {
    let wait = connection.limits.settlement_timeout;
    let account = connection.rail.key_for(&message.purpose).address();
    match call_account(connection, env, account, &AccountMessage::Settle(Box::new(*message)), wait).await? {
        AccountReply::Settlement(reply) => Ok(reply),
        AccountReply::Noted => Err(unknown()),
    }
}

/// Has a channel watched on chain from here on.
pub(in crate::worker) async fn watch_channel(
    connection: &Connection,
    env: &Env,
    escrow: Address,
    channel_id: B256,
    signer: Address,
) -> Result<(), Problem> {
    let account = connection.rail.settlement_key.address();
    call_account(connection, env, account, &AccountMessage::Watch { escrow, channel_id, signer }, Duration::ZERO).await.map(drop)
}

/// Says that something is to be bought on a channel.
pub(in crate::worker) async fn use_channel(connection: &Connection, env: &Env, channel_id: B256) -> Result<(), Problem> {
    let wait = connection.rail.session.watch + connection.rpc.patience();
    call_account(connection, env, connection.rail.settlement_key.address(), &AccountMessage::Use { channel_id }, wait).await.map(drop)
}

async fn call_account(
    connection: &Connection,
    env: &Env,
    account: Address,
    message: &AccountMessage,
    wait: Duration,
) -> Result<AccountReply, Problem> {
    call(env, BINDING, &name(connection, account), message, wait + CALL_MARGIN).await
}

fn name(connection: &Connection, account: Address) -> String {
    format!("{}:{account}", connection.rail.chain_id)
}

/// The key of the account of this rail whose object has this `state`.
pub(super) fn own_key(connection: &Connection, env: &Env, state: &State) -> worker::Result<Option<PrivateKey>> {
    let own = state.id().to_string();
    for key in connection.rail.keys() {
        let configured = env.durable_object(BINDING)?.id_from_name(&name(connection, key.address()))?.to_string();
        if configured == own {
            return Ok(Some(key.clone()));
        }
    }
    Ok(None)
}
