//! The channel's object, one per channel. Here is how it is spoken to.

mod additions;
mod claims;
mod desk;
mod dispatch;
pub(super) mod object;
mod on_chain;

use super::message::{CALL_MARGIN, Refused, call};
use crate::channel::{Balance, Bought, Claim, Delivery, Drawn, Reuse, Status};
use crate::evm::reading::Reading;
use crate::evm::{Address, B256};
use crate::money::Amount;
use crate::rail::evm::session::Snapshot;
use crate::rail::evm::{Asset, Method};
use crate::wire::problem::Problem;
use crate::worker::connection::Connection;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use worker::Env;

/// What it is called in the environment.
const BINDING: &str = "CHANNEL";

/// What is asked of a channel's object.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) enum ChannelMessage {
    /// A client's credential, whose signatures were recovered.
    Claim { asset: Asset, method: Method, claim: Box<Claim> },
    /// The delivery of something that was bought at `price` per unit. For units that are missing it waits up to `wait` milliseconds.
    Delivery { delivery: Delivery, price: Amount, wait: u64 },
    /// The escrow's view of the channel has changed.
    Observed(Reading),
    /// How does it stand, for a client who is to pay `price`?
    Show { price: Amount, reuse: Reuse },
}

impl ChannelMessage {
    /// What is told of a delivery without waiting for anything.
    pub(in crate::worker) const fn told(delivery: Delivery, price: Amount) -> Self {
        Self::Delivery { delivery, price, wait: 0 }
    }
}

/// What a channel's object answers.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) enum ChannelReply {
    /// It is done.
    Done(Done),
    /// Noted, or not needed.
    Noted,
    /// The reading was older than another one.
    Behind,
    /// How it stands.
    Shown(Shown),
    /// No such channel was taken on.
    Unknown,
    /// Answer this instead; with what a client needs to go on, when the channel is known.
    Refused { refused: Refused, snapshot: Option<Snapshot> },
}

/// What was done for a claim or a metered sale.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) struct Done {
    pub(in crate::worker) payer: Address,
    pub(in crate::worker) bought: Option<Bought>,
    pub(in crate::worker) drawn: Option<Drawn>,
    pub(in crate::worker) balance: Balance,
    /// The transaction that closed the channel, or brought money in.
    pub(in crate::worker) transaction: Option<B256>,
}

/// A channel as its payer and the operator may see it.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) struct Shown {
    pub(in crate::worker) payer: Address,
    pub(in crate::worker) signer: Address,
    pub(in crate::worker) status: Status,
    pub(in crate::worker) delivered: Amount,
    pub(in crate::worker) settled: Amount,
    /// Settlements that failed in a row, and those that were mined and reverted.
    pub(in crate::worker) failures: (u8, u8),
    pub(in crate::worker) balance: Balance,
}

std::thread_local! {
    /// The escrows that were written last: its checksum makes that a matter of hashing.
    static WRITTEN: RefCell<Vec<(Address, Rc<str>)>> = const { RefCell::new(Vec::new()) };
}

/// So many escrows are remembered: two for each rail.
const MOST_WRITTEN: usize = 16;

/// An escrow as objects are named after it.
fn written(escrow: Address) -> Rc<str> {
    WRITTEN.with_borrow_mut(|known| {
        if let Some((_, text)) = known.iter().find(|(address, _)| *address == escrow) {
            return text.clone();
        }
        let text: Rc<str> = escrow.to_string().into();
        known.truncate(MOST_WRITTEN - 1);
        known.insert(0, (escrow, text.clone()));
        text
    })
}

/// Sends a message to the object of a channel, which may take `wait` for it besides.
pub(in crate::worker) async fn ask_channel(
    connection: &Connection,
    env: &Env,
    escrow: Address,
    channel_id: B256,
    message: &ChannelMessage,
) -> Result<ChannelReply, Problem> {
    let name = format!("{}:{}:{channel_id}", connection.rail.chain_id, written(escrow));
    let wait = match message {
        ChannelMessage::Delivery { wait, .. } => Duration::from_millis(*wait),
        // It may bring money in, read the chain a few times, and send a transaction.
        ChannelMessage::Claim { .. } => {
            connection.rpc.patience().saturating_mul(4) + connection.limits.settlement_timeout.saturating_mul(2)
        }
        _ => Duration::ZERO,
    };
    call(env, BINDING, &name, message, wait + CALL_MARGIN).await
}
