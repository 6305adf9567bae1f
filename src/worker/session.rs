//! A request with a session credential: verify in the isolate, book in the channel's object, fetch, deliver.

use super::challenge::Rejection;
use super::clock::now;
use super::connection::Connection;
use super::failure::{failed, internal};
use super::glue::Changes;
use super::holding::{Holding, hold};
use super::objects::channel::{ChannelReply, Done};
use super::origin::{self, PaidBy};
use super::paid::PaidRequest;
use super::remote::RemoteChannel;
use super::stream;
use super::watch::{Body, Ending, discard};
use crate::channel::{Bought, Claim, Delivery, Meter, Releasable};
use crate::gateway::config::Settle;
use crate::gateway::offer::{Accepted, Offer, SessionOffer};
use crate::money::Amount;
use crate::purchase::Disposition;
use crate::rail::evm::session::Unverified;
use crate::rail::evm::{Asset, Intent};
use crate::wire::mpp::credential::Credential;
use crate::wire::mpp::receipt::{Receipt, SessionReceipt};
use crate::wire::problem::Problem;
use futures_channel::oneshot;
use std::time::Duration;
use web_sys::Response;

/// A visit whose proof is right.
pub(super) struct Visit<'a> {
    pub(super) request: &'a PaidRequest<'a>,
    pub(super) offer: &'a Offer,
    pub(super) session: &'a SessionOffer,
    pub(super) challenge_id: &'a str,
    pub(super) claim: Claim,
    /// What is paid in.
    asset: Asset,
    /// How long a stream waits for a voucher.
    pub(super) voucher_wait: Duration,
}

impl PaidRequest<'_> {
    /// Everything that can be checked without state or network comes first, then the channel's object decides.
    pub(super) async fn visit(
        &self,
        connection: &Connection,
        credential: &Credential,
        accepted: &Accepted<'_>,
        session: &SessionOffer,
    ) -> Result<Response, Rejection> {
        let unverified = Unverified::read(credential, accepted.offer.method, &session.terms)?;
        unverified.check_expiry(accepted.expires, now())?;
        let token = if unverified.is_sponsored() { Some(connection.confirm_token().await?) } else { None };
        let proof = unverified.verify(&session.domain, token.as_ref())?;
        let order = if unverified.action.only_manages(&self.incoming.method, || self.incoming.has_body()) {
            None
        } else {
            let key = self.key(&credential.challenge.id, None).await?;
            Some(self.route.meter.order(session.terms.price, self.route.max_units, session.reuse, key))
        };
        let claim = Claim {
            escrow: session.terms.escrow,
            channel_id: unverified.channel_id,
            action: unverified.action,
            proof,
            order,
            price: self.route.least_cost(session),
            reuse: session.reuse,
        };
        let visit = Visit {
            request: self,
            offer: accepted.offer,
            session,
            challenge_id: &credential.challenge.id,
            claim,
            asset: connection.rail.asset(),
            voucher_wait: connection.rail.session.voucher_wait,
        };
        visit.complete().await
    }
}

impl Visit<'_> {
    async fn complete(self) -> Result<Response, Rejection> {
        let (reply, _holding) = self.present().await?;
        let done = match reply {
            ChannelReply::Done(done) => done,
            ChannelReply::Refused { refused, snapshot } => {
                let snapshot = snapshot.map(|snapshot| (self.offer.rail, self.offer.method, snapshot));
                let mut problem = Problem::from(refused);
                problem.members.push(("channelId", self.claim.channel_id.to_string()));
                return Err(Rejection { problem, snapshot, outcome: None });
            }
            reply => return Err(internal("channel", reply).into()),
        };
        let Some(bought) = done.bought else { return self.managed(&done).map_err(|error| internal("receipt", error).into()) };
        Ok(self.deliver(done, bought).await?)
    }

    /// Presents the claim to the channel's object.
    async fn present(&self) -> Result<(ChannelReply, Option<Holding>), Problem> {
        let PaidRequest { context, incoming, .. } = *self.request;
        let claim = self.remote().claim(self.offer.method, self.claim.clone());
        if self.claim.order.is_none() {
            return Ok((claim.await?, None));
        }
        let (remote, releasable) = (self.remote(), self.releasable());
        let release = move |reply: &ChannelReply, how| {
            let ChannelReply::Done(Done { bought: Some(bought), .. }) = reply else { return None };
            let (remote, delivery) = (remote.clone(), releasable.undelivered(*bought, how)?);
            Some(async move { remote.tell(delivery, releasable.price).await })
        };
        let (reply, holding) = hold(context, incoming.request.signal(), claim, release).await?;
        Ok((reply, Some(holding)))
    }

    /// What is released when what this visit bought is not delivered.
    fn releasable(&self) -> Releasable {
        let voucher = self.claim.proof.presented.map_or(Amount::ZERO, |presented| presented.voucher.cumulative);
        Releasable { meter: self.request.route.meter, price: self.session.terms.price, voucher }
    }

    /// The channel's object, for what may outlive the request.
    pub(super) fn remote(&self) -> RemoteChannel {
        RemoteChannel { env: self.request.env.clone(), asset: self.asset, escrow: self.claim.escrow, id: self.claim.channel_id }
    }

    /// The answer to a management request: a receipt and nothing else.
    fn managed(&self, done: &Done) -> worker::Result<Response> {
        let mut headers = Changes::default();
        headers.set("payment-receipt", &self.receipt_head().receipt(done, None, |receipt| receipt.to_header()));
        headers.set("cache-control", "no-store");
        headers.set("access-control-allow-origin", "*");
        headers.set("access-control-expose-headers", "Payment-Receipt");
        Ok(headers.answer(if self.request.incoming.method == "HEAD" { 200 } else { 204 }, None)?)
    }

    /// What its receipts have in common.
    pub(super) fn receipt_head(&self) -> ReceiptHead {
        ReceiptHead {
            method: self.offer.method.name(),
            channel_id: self.claim.channel_id.to_string(),
            challenge_id: self.challenge_id.to_string(),
            chain_id: self.session.terms.chain_id,
        }
    }

    async fn deliver(&self, mut done: Done, bought: Bought) -> Result<Response, Problem> {
        let response = match self.call_origin(&done).await {
            Ok(response) => response,
            Err(problem) => {
                self.release(self.releasable().undelivered(bought, self.request.failure())).await;
                return Err(problem);
            }
        };
        // Under `after-origin` no error is paid for.
        if self.request.disposition(self.request.route.settle == Settle::First, &response) != Disposition::Deliver {
            self.release(self.releasable().uncharged(bought)).await;
            return self.request.undelivered(&response);
        }
        let delivered = match self.request.route.meter {
            Meter::Request => self.deliver_whole(&done, bought, &response).await,
            _ => stream::deliver(self, &mut done, bought, &response).map_err(failed("paid response")),
        };
        match delivered {
            Ok(delivered) => Ok(delivered),
            Err(problem) => {
                discard(&response);
                self.release(self.releasable().undelivered(bought, self.request.failure())).await;
                Err(problem)
            }
        }
    }

    async fn deliver_whole(&self, done: &Done, bought: Bought, response: &Response) -> Result<Response, Problem> {
        let body = Body::of(response).await?;
        let readable = body.as_ref().map(Body::readable);
        let prepared = self.prepare(done, bought, response, readable.as_ref()).map_err(failed("paid response"))?;
        if let Some(pipe) = body.and_then(Body::pipe) {
            let releasable = self.releasable();
            let PaidRequest { context, incoming, .. } = *self.request;
            let remote = self.remote();
            pipe.start(context, &incoming.request, incoming.upload(), move |ending| async move {
                if let (Ending::Undelivered, Some(broken)) = (ending, releasable.broken(bought)) {
                    remote.tell(broken, releasable.price).await;
                }
            });
        }
        Ok(prepared)
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

    async fn call_origin(&self, done: &Done) -> Result<Response, Problem> {
        let request = self.request;
        let gateway = &request.isolate.gateway;
        let paid_by = PaidBy {
            payer: &done.payer.to_checksum(None),
            method: self.offer.method.name(),
            intent: self.offer.intent().name(),
            amount: &self.session.terms.price.to_string(),
            reference: Some(&self.claim.channel_id.to_string()),
            metered: request.route.meter.is_metered(),
        };
        origin::send(request.env, &gateway.origin, request.incoming, request.others, Some(&paid_by), gateway.limits.origin_timeout).await
    }

    /// Releases something, even if the client leaves meanwhile.
    async fn release(&self, delivery: Option<Delivery>) {
        let Some(delivery) = delivery else { return };
        let (remote, price) = (self.remote(), self.session.terms.price);
        let (told, is_told) = oneshot::channel();
        self.request.context.wait_until(async move {
            remote.tell(delivery, price).await;
            // Nobody waits for it when the client has left.
            let _ = told.send(());
        });
        let _ = is_told.await;
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
