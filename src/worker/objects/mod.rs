//! The Durable Objects, each in its folder: how it is spoken to, and what it does.

pub(super) mod account;
pub(super) mod channel;
mod export;
pub(super) mod message;
mod object;
mod payer;
mod table;

use super::connection::Connection;
use crate::evm::{Address, B256};
use crate::purchase::{LeaseId, Undelivered};
use crate::rail::evm::Method as PaymentMethod;
use crate::rail::{Payment, Reference};
use crate::wire::idempotency::Key;
use crate::wire::problem::Problem;
use account::{Errand, SettleMessage, SettleReply, ask_account};
use message::{CALL_MARGIN, Refused, call};
use object::unconfigured;
use serde::{Deserialize, Serialize};
use worker::Env;

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

    /// Gives the settlement account an errand.
    async fn ask_account(&self, env: &Env, message: &SettleMessage) -> Result<SettleReply, Problem> {
        ask_account(self, env, message).await
    }
}
