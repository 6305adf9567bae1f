//! The Durable Objects and how they are spoken to: typed messages in binary form, by one method of each. (The runtime's own
//! remote calls cost a third of a fetch; what the `worker` crate makes of them is experimental.)

mod account;
mod channel;
mod export;
mod payer;
mod rounds;
mod table;

use super::connection::Connection;
use super::glue;
use crate::binary::{decode, encode};
use crate::channel::{Balance, Bought, Claim, Delivery, Drawn, Reuse, Status};
use crate::evm::reading::Reading;
use crate::evm::{Address, B256};
use crate::money::Amount;
use crate::purchase::{LeaseId, Undelivered};
use crate::rail::evm::session::Snapshot;
use crate::rail::evm::{Asset, Method as PaymentMethod};
use crate::rail::{Payment, Reference};
use crate::settlement::{Purpose, Verdict};
use crate::wire::idempotency::Key;
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::x402::Reason;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use worker::{Env, State, console_error};

/// What a request asks of the payer's object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum PayerMessage {
    /// Take this payment on, for a request with this idempotency key: settle it, or with `reserve` only make sure that it could be
    /// settled. The client calls it by the name that hashes to `identifier`.
    Claim { payment: Box<Payment>, key: Option<Key>, identifier: Option<B256>, reserve: bool },
    /// The origin has answered: settle a reserved payment.
    Settle { id: B256, lease: LeaseId },
    /// The resource is about to be handed out.
    Deliver { id: B256, lease: LeaseId },
    /// Nothing was handed out.
    Release { id: B256, lease: LeaseId, how: Undelivered },
    /// What was handed out broke off by the origin's fault.
    Reopen { id: B256, lease: LeaseId },
    /// The payer has a channel here.
    Opened { method: PaymentMethod, channel_id: B256 },
    /// Which channel did it open last?
    LastChannel,
}

/// What the payer's object answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum PayerReply {
    /// It could be settled; call the origin.
    Reserved { lease: LeaseId },
    /// The money is there, and the resource may be delivered.
    Paid { lease: LeaseId, reference: Reference },
    /// It was delivered already under the same idempotency key: ask the origin again.
    Replayed { reference: Reference },
    /// Done.
    Noted,
    /// The payer's last channel.
    Channel(Option<(PaymentMethod, B256)>),
    /// Answer this instead.
    Refused(Refused),
}

/// What is asked of a channel's object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ChannelMessage {
    /// A client's credential, whose signatures were recovered.
    Claim { asset: Asset, method: PaymentMethod, claim: Box<Claim> },
    /// The delivery of something that was bought at `price` per unit. For units that are missing it waits up to `wait` milliseconds.
    Delivery { delivery: Delivery, price: Amount, wait: u64 },
    /// The escrow's view of the channel has changed.
    Observed(Reading),
    /// How does it stand, for a client who is to pay `price`?
    Show { price: Amount, reuse: Reuse },
}

impl ChannelMessage {
    /// What is told of a delivery without waiting for anything.
    pub(super) const fn told(delivery: Delivery, price: Amount) -> Self {
        Self::Delivery { delivery, price, wait: 0 }
    }
}

/// What a channel's object answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ChannelReply {
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
pub(super) struct Done {
    pub(super) payer: Address,
    pub(super) bought: Option<Bought>,
    pub(super) drawn: Option<Drawn>,
    pub(super) balance: Balance,
    /// The transaction that closed the channel, or brought money in.
    pub(super) transaction: Option<B256>,
}

/// A channel as its payer and the operator may see it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) payer: Address,
    pub(super) signer: Address,
    pub(super) status: Status,
    pub(super) delivered: Amount,
    pub(super) settled: Amount,
    /// Settlements that failed in a row, and those that were mined and reverted.
    pub(super) failures: (u8, u8),
    pub(super) balance: Balance,
}

/// A problem as it travels between objects.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    kind: ProblemKind,
    detail: String,
    retry_after: Option<u32>,
    reason: Option<Reason>,
}

/// What is asked of the account's object.
#[derive(Debug, Serialize, Deserialize)]
enum AccountMessage {
    /// About a purpose.
    Settle(Box<SettleMessage>),
    /// Look at this channel on chain until it has ended, and tell its object what changes.
    Watch { escrow: Address, channel_id: B256, signer: Address },
}

/// What the account's object answers.
#[derive(Debug, Serialize, Deserialize)]
enum AccountReply {
    /// What has become of the purpose.
    Settlement(SettleReply),
    /// Done.
    Noted,
}

/// An errand for the settlement account.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SettleMessage {
    pub(super) purpose: Purpose,
    pub(super) errand: Errand,
}

/// What is to be done for a purpose, and told of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Errand {
    /// Bring it about, and wait for the verdict.
    Send { gas_limit: u64 },
    /// Look whether somebody else has brought it about, and wait for the verdict.
    Search,
    /// Only tell what is known.
    Inquire,
}

/// What has become of an errand.
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
        Self { kind: problem.kind, detail: problem.detail.into_owned(), retry_after: problem.retry_after, reason: problem.reason }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { retry_after: refused.retry_after, reason: refused.reason, ..Self::new(refused.kind, refused.detail) }
    }
}

/// An object may be moved or restarted during a call, so each gets this much more than it should take.
const CALL_MARGIN: Duration = Duration::from_secs(5);

impl Connection {
    /// Sends a message to the object of a payer.
    pub(super) async fn ask_payer(&self, env: &Env, payer: Address, message: &PayerMessage) -> Result<PayerReply, Problem> {
        self.ask_holder(env, &self.rail.asset().holder(payer), message).await
    }

    /// Sends a message to the object that remembers a payment ([`Payment::holder`]).
    pub(super) async fn ask_holder(&self, env: &Env, name: &str, message: &PayerMessage) -> Result<PayerReply, Problem> {
        // Simulation, the account's wait, and the way there and back.
        let limits = &self.limits;
        call(env, "PAYER", name, message, self.rpc.patience() + limits.settlement_timeout + CALL_MARGIN + CALL_MARGIN).await
    }

    /// Sends a message to the object of a channel, which may take `wait` for it besides.
    pub(super) async fn ask_channel(
        &self,
        env: &Env,
        escrow: Address,
        channel_id: B256,
        message: &ChannelMessage,
    ) -> Result<ChannelReply, Problem> {
        let name = format!("{}:{escrow}:{channel_id}", self.rail.chain_id);
        let wait = match message {
            ChannelMessage::Delivery { wait, .. } => Duration::from_millis(*wait),
            // It may bring money in, read the chain a few times, and send a transaction.
            ChannelMessage::Claim { .. } => self.rpc.patience().saturating_mul(4) + self.limits.settlement_timeout.saturating_mul(2),
            _ => Duration::ZERO,
        };
        call(env, "CHANNEL", &name, message, wait + CALL_MARGIN).await
    }

    /// Gives the settlement account an errand.
    pub(super) async fn ask_account(&self, env: &Env, message: &SettleMessage) -> Result<SettleReply, Problem> {
        let wait = self.limits.settlement_timeout;
        match self.call_account(env, &AccountMessage::Settle(Box::new(*message)), wait).await? {
            AccountReply::Settlement(reply) => Ok(reply),
            AccountReply::Noted => Err(unknown()),
        }
    }

    /// Has a channel watched on chain from here on.
    pub(super) async fn watch_channel(&self, env: &Env, escrow: Address, channel_id: B256, signer: Address) -> Result<(), Problem> {
        self.call_account(env, &AccountMessage::Watch { escrow, channel_id, signer }, Duration::ZERO).await.map(drop)
    }

    async fn call_account(&self, env: &Env, message: &AccountMessage, wait: Duration) -> Result<AccountReply, Problem> {
        call(env, "ACCOUNT", &self.account_name(), message, wait + CALL_MARGIN).await
    }

    fn account_name(&self) -> String {
        format!("{}:{}", self.rail.chain_id, self.rail.settlement_key.address())
    }

    /// Whether `state` is that of the object of this rail's account.
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
    let answer = async { read(&glue::ask(env, namespace, name, &binary(message)?, limit).await?) };
    answer.await.map_err(|error: worker::Error| {
        console_error!("object {namespace}: {error}");
        unknown()
    })
}

fn unknown() -> Problem {
    Problem::unavailable("the payment's state is not known at the moment")
}

fn binary(value: &impl Serialize) -> worker::Result<Vec<u8>> {
    encode(value).map_err(|error| worker::Error::RustError(error.to_string()))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> worker::Result<T> {
    decode(bytes).map_err(|error| worker::Error::RustError(error.to_string()))
}

/// The error of an object that cannot work because the configuration is wrong.
fn unconfigured() -> worker::Error {
    worker::Error::RustError("the configuration is wrong".to_string())
}
