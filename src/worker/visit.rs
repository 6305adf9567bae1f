//! A request with a session credential whose proof is right: what its delivery needs, metered or not.

use super::clock::now;
use super::objects::channel::Done;
use super::paid::PaidRequest;
use super::remote::RemoteChannel;
use crate::channel::{Bought, Claim, Releasable};
use crate::gateway::offer::{Offer, SessionOffer};
use crate::money::Amount;
use crate::rail::evm::{Asset, Intent};
use crate::wire::mpp::receipt::{Receipt, SessionReceipt};
use std::time::Duration;
use web_sys::Response;

/// See the module.
pub(super) struct Visit<'a> {
    pub(super) request: &'a PaidRequest<'a>,
    pub(super) offer: &'a Offer,
    pub(super) session: &'a SessionOffer,
    pub(super) challenge_id: &'a str,
    pub(super) claim: Claim,
    /// What is paid in.
    pub(super) asset: Asset,
    /// How long a stream waits for a voucher.
    pub(super) voucher_wait: Duration,
}

impl Visit<'_> {
    /// What is released when what this visit bought is not delivered.
    pub(super) fn releasable(&self) -> Releasable {
        let voucher = self.claim.proof.presented.map_or(Amount::ZERO, |presented| presented.voucher.cumulative);
        Releasable { meter: self.request.route.meter, price: self.session.terms.price, voucher }
    }

    /// The channel's object, for what may outlive the request.
    pub(super) fn remote(&self) -> RemoteChannel {
        RemoteChannel { env: self.request.env.clone(), asset: self.asset, escrow: self.claim.escrow, id: self.claim.channel_id }
    }

    /// What its receipts have in common.
    pub(super) fn receipt_head(&self) -> ReceiptHead {
        ReceiptHead {
            method: self.session.method.name(),
            channel_id: self.claim.channel_id.to_string(),
            challenge_id: self.challenge_id.to_string(),
            chain_id: self.session.terms.chain_id,
        }
    }

    /// The origin's response with a receipt of what was booked by now.
    pub(super) fn prepare(
        &self,
        done: &Done,
        bought: Bought,
        response: &Response,
        body: Option<&js_sys::Object>,
    ) -> worker::Result<Response> {
        let receipt = self.receipt_head().receipt(done, Some(bought.units), |receipt| receipt.to_header());
        let replayed = bought.replayed.then(|| ("idempotency-replayed", "true".into()));
        let more: Vec<_> = [("payment-receipt", receipt)].into_iter().chain(replayed).collect();
        self.request.pass_on(response, body, &more)
    }
}

/// What receipts of one visit have in common.
pub(super) struct ReceiptHead {
    method: &'static str,
    channel_id: String,
    challenge_id: String,
    chain_id: u64,
}

impl ReceiptHead {
    pub(super) fn receipt<T>(&self, done: &Done, units: Option<u64>, write: impl FnOnce(&Receipt<'_>) -> T) -> T {
        let mut receipt = Receipt::new(self.method, &self.channel_id, now());
        receipt.challenge_id = Some(&self.challenge_id);
        receipt.chain_id = Some(self.chain_id);
        receipt.session = Some(SessionReceipt {
            intent: Intent::Session.name(),
            channel_id: self.channel_id.clone(),
            accepted_cumulative: done.balance.accepted.to_string(),
            spent: done.balance.spent.to_string(),
            units,
            tx_hash: done.transaction.map(|transaction| transaction.to_string()),
        });
        write(&receipt)
    }
}
