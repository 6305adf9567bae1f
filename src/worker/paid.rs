//! A request with a credential: verify, settle, fetch, deliver.

use super::clock::now;
use super::config::Isolate;
use super::entry::failed;
use super::objects::{PayerMessage, PayerReply};
use super::origin::{self, Incoming, PaidBy};
use super::respond::internal;
use super::token::TokenDomain;
use crate::evm::B256;
use crate::evm::erc3009::SignedAuthorization;
use crate::gateway::config::Settle;
use crate::gateway::headers::{CACHE_OVERRIDES, private_cache_control};
use crate::gateway::offer::{Asked, Offer};
use crate::gateway::route::Route;
use crate::method::charge::{Charge, Claim, Terms};
use crate::payment::LeaseId;
use crate::protocol::credential::Credential;
use crate::protocol::problem::{Problem, ProblemKind};
use crate::protocol::receipt::Receipt;
use web_sys::{ReadableStream, Response};
use worker::{Context, Env};

/// A priced request that came with a credential.
pub(super) struct Purchase<'a> {
    pub(super) isolate: &'a Isolate,
    pub(super) env: &'a Env,
    pub(super) context: &'a Context,
    pub(super) incoming: &'a Incoming,
    pub(super) route: &'a Route,
    pub(super) asked: &'a Asked<'a>,
    /// The `Authorization` of other schemes, for the origin.
    pub(super) others: Option<&'a str>,
}

/// A purchase whose proof is right: what is left is to move the money and the goods.
pub(super) struct Sale<'a> {
    pub(super) request: &'a Purchase<'a>,
    pub(super) charge: Charge,
    offer: &'a Offer,
}

impl Purchase<'_> {
    /// Everything that can be checked without state or network comes first, then the payer's object
    /// decides.
    pub(super) async fn complete(&self, credential: &Credential, body: Option<Vec<u8>>) -> Result<Response, Problem> {
        let gateway = &self.isolate.gateway;
        let accepted = self.asked.accept(credential, &self.route.offers, &gateway.binding_keys, now())?;
        let signed = self.verify(credential, accepted.offer).await?;
        let charge = Charge {
            challenge_id: credential.challenge.id.clone(),
            issued: accepted.expires.saturating_sub(gateway.challenge_lifetime),
            expires: accepted.expires,
            token: gateway.token.address,
            signed,
        };
        let sale = Sale { request: self, charge, offer: accepted.offer };
        match self.route.settle {
            Settle::First => sale.settle_first(body).await,
            Settle::AfterOrigin => sale.settle_after_origin(body).await,
        }
    }

    async fn verify(&self, credential: &Credential, offer: &Offer) -> Result<SignedAuthorization, Problem> {
        let gateway = &self.isolate.gateway;
        let terms = Terms {
            amount: self.route.price,
            chain_id: gateway.chain_id,
            token: gateway.token.address,
            decimals: gateway.token.decimals,
            recipient: gateway.recipient,
            description: self.route.description.as_deref(),
        };
        let claim = Claim::read(credential, offer.method, &terms)?;
        let domain = self.isolate.token_domain().await?;
        let signed = claim.verify(domain.domain())?;
        if let TokenDomain::Configured(_) = domain {
            self.isolate.confirm_token().await?;
        }
        Ok(signed)
    }
}

impl Sale<'_> {
    async fn settle_first(&self, body: Option<Vec<u8>>) -> Result<Response, Problem> {
        match self.claim(false).await? {
            (PayerReply::Paid { lease, transaction }, _holding) => self.fetch_and_deliver(lease, transaction, body).await,
            (reply, _) => Err(refusal(reply)),
        }
    }

    /// The payment is there: calls the origin and hands its answer out.
    async fn fetch_and_deliver(&self, lease: LeaseId, transaction: B256, body: Option<Vec<u8>>) -> Result<Response, Problem> {
        let response = match self.fetch(Some(transaction), body).await {
            Ok(response) if !is_failure(response.status()) => response,
            outcome => return self.unpaid(lease, outcome).await,
        };
        let deliver = PayerMessage::Deliver { nonce: self.nonce(), lease };
        self.hand_out(lease, self.ask(&deliver).await?, &response)
    }

    async fn settle_after_origin(&self, body: Option<Vec<u8>>) -> Result<Response, Problem> {
        let (lease, _holding) = match self.claim(true).await? {
            (PayerReply::Reserved { lease }, holding) => (lease, holding),
            // It was settled by an earlier attempt.
            (PayerReply::Paid { lease, transaction }, _holding) => return self.fetch_and_deliver(lease, transaction, body).await,
            (reply, _) => return Err(refusal(reply)),
        };
        let response = match self.fetch(None, body).await {
            Ok(response) if response.status() < 400 => response,
            outcome => return self.unpaid(lease, outcome).await,
        };
        let settle = PayerMessage::Settle { nonce: self.nonce(), lease };
        self.hand_out(lease, self.ask(&settle).await?, &response)
    }

    pub(super) const fn nonce(&self) -> B256 {
        self.charge.signed.authorization.nonce
    }

    async fn ask(&self, message: &PayerMessage) -> Result<PayerReply, Problem> {
        self.request.isolate.ask_payer(self.request.env, self.charge.signed.authorization.from, message).await
    }

    async fn fetch(&self, transaction: Option<B256>, body: Option<Vec<u8>>) -> Result<Response, Problem> {
        let request = self.request;
        let gateway = &request.isolate.gateway;
        let reference = transaction.map(|transaction| transaction.to_string());
        let paid_by = PaidBy {
            payer: &self.charge.signed.authorization.from.to_checksum(None),
            method: self.offer.method.name(),
            intent: self.offer.intent.name(),
            amount: &request.route.price.to_string(),
            reference: reference.as_deref(),
        };
        origin::send(request.env, &gateway.origin, request.incoming, request.others, Some(&paid_by), body, gateway.limits.origin_timeout)
            .await
    }

    /// The origin's failure, passed on without a receipt: the payment stays open.
    async fn unpaid(&self, lease: LeaseId, outcome: Result<Response, Problem>) -> Result<Response, Problem> {
        // If giving it back fails, the lease runs out by itself: the origin's answer is worth more.
        let _ = self.ask(&PayerMessage::Release { nonce: self.nonce(), lease }).await;
        let response = outcome?;
        if response.status() == 402 {
            // A paying client would take the origin's own paywall for ours, and pay again.
            discard(&response);
            return Err(Problem::new(ProblemKind::OriginFailed, "the origin asks for a payment of its own"));
        }
        self.pass_on(&response, response.body().as_ref()).map_err(failed("origin's response"))
    }

    /// Hands the response out if the payer's object has counted it as delivered.
    fn hand_out(&self, lease: LeaseId, reply: PayerReply, response: &Response) -> Result<Response, Problem> {
        let PayerReply::Delivered { transaction } = reply else {
            discard(response);
            return Err(refusal(reply));
        };
        let body = self.watched_body(lease, response).map_err(failed("response body"))?;
        let delivered = self.pass_on(response, body.as_ref()).map_err(failed("paid response"))?;
        if (200..300).contains(&response.status()) {
            let reference = transaction.to_string();
            let mut receipt = Receipt::new(self.offer.method.name(), &reference, now());
            receipt.challenge_id = Some(&self.charge.challenge_id);
            receipt.chain_id = Some(self.request.isolate.gateway.chain_id);
            delivered.headers().set("payment-receipt", &receipt.to_header()).map_err(|error| internal("receipt", error))?;
        }
        Ok(delivered)
    }

    /// The origin's response as a payer gets it: not for shared caches, whatever its status.
    fn pass_on(&self, response: &Response, body: Option<&ReadableStream>) -> worker::Result<Response> {
        let request = self.request;
        let response = origin::finish(response, request.incoming, &request.isolate.gateway.origin, body)?;
        let headers = response.headers();
        let from_origin = headers.get("cache-control")?;
        headers.set("cache-control", &private_cache_control(from_origin.as_deref()))?;
        for name in CACHE_OVERRIDES {
            headers.delete(name)?;
        }
        Ok(response)
    }
}

/// Drops a response that is not handed out. Unread, it would hold its connection.
fn discard(response: &Response) {
    if let Some(body) = response.body() {
        // Whether cancelling works changes nothing for the client.
        let _ = body.cancel();
    }
}

/// The problem in a reply that is not the hoped-for one.
fn refusal(reply: PayerReply) -> Problem {
    match reply {
        PayerReply::Refused(refused) => refused.into(),
        reply => internal("payer", reply),
    }
}

/// Statuses after which the client may fetch again without paying again: the origin failed, or asks to
/// be tried later. 402 would make the client pay again.
const fn is_failure(status: u16) -> bool {
    status >= 500 || matches!(status, 402 | 408 | 425 | 429)
}
