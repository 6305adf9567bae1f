//! A request with a credential: verify, settle, fetch, deliver.

use super::clock::now;
use super::config::Isolate;
use super::entry::failed;
use super::objects::{PayerMessage, PayerReply};
use super::origin::{self, Incoming, PaidBy};
use super::respond::internal;
use super::token::TokenDomain;
use crate::evm::B256;
use crate::gateway::config::Settle;
use crate::gateway::headers::{CACHE_OVERRIDES, private_cache_control};
use crate::gateway::offer::{Accepted, Asked};
use crate::gateway::route::Route;
use crate::method::charge::{Charge, Claim, Terms};
use crate::payment::LeaseId;
use crate::protocol::credential::Credential;
use crate::protocol::problem::{Problem, ProblemKind};
use crate::protocol::receipt::Receipt;
use web_sys::{ReadableStream, Response};
use worker::{Context, Env};

/// One attempt to buy one response.
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

impl Purchase<'_> {
    /// Everything that can be checked without state or network comes first, then the payer's object
    /// decides.
    pub(super) async fn complete(&self, credential: &Credential, body: Option<Vec<u8>>) -> Result<Response, Problem> {
        let gateway = &self.isolate.gateway;
        let accepted = self.asked.accept(credential, &self.route.offers, &gateway.binding_keys, now())?;
        let charge = self.verify(credential, &accepted).await?;
        match self.route.settle {
            Settle::First => self.settle_first(&accepted, charge, body).await,
            Settle::AfterOrigin => self.settle_after_origin(&accepted, charge, body).await,
        }
    }

    async fn verify(&self, credential: &Credential, accepted: &Accepted<'_>) -> Result<Charge, Problem> {
        let gateway = &self.isolate.gateway;
        let terms = Terms {
            amount: self.route.price,
            chain_id: gateway.chain_id,
            token: gateway.token.address,
            decimals: gateway.token.decimals,
            recipient: gateway.recipient,
            description: self.route.description.as_deref(),
        };
        let claim = Claim::read(credential, accepted.offer.method, &terms)?;
        let domain = self.isolate.token_domain().await?;
        let signed = claim.verify(domain.domain())?;
        if let TokenDomain::Configured(_) = domain {
            self.isolate.confirm_token().await?;
        }
        let issued = accepted.expires.saturating_sub(gateway.challenge_lifetime);
        Ok(Charge {
            challenge_id: credential.challenge.id.clone(),
            issued,
            expires: accepted.expires,
            token: gateway.token.address,
            signed,
        })
    }

    async fn settle_first(&self, accepted: &Accepted<'_>, charge: Charge, body: Option<Vec<u8>>) -> Result<Response, Problem> {
        let (lease, transaction) = match self.ask(&charge, PayerMessage::Claim { charge: Box::new(charge.clone()), reserve: false }).await?
        {
            PayerReply::Paid { lease, transaction } => (lease, transaction),
            reply => return Err(refusal(reply)),
        };
        self.fetch_and_deliver(accepted, &charge, lease, transaction, body).await
    }

    /// The payment is there: calls the origin and hands its answer out.
    async fn fetch_and_deliver(
        &self,
        accepted: &Accepted<'_>,
        charge: &Charge,
        lease: LeaseId,
        transaction: B256,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Problem> {
        let nonce = charge.signed.authorization.nonce;
        let response = match self.fetch(accepted, charge, Some(transaction), body).await {
            Ok(response) if !is_failure(response.status()) => response,
            outcome => {
                self.ask(charge, PayerMessage::Release { nonce, lease }).await?;
                return self.unpaid(outcome);
            }
        };
        match self.ask(charge, PayerMessage::Deliver { nonce, lease }).await? {
            PayerReply::Delivered { transaction } => self.release(accepted, charge, lease, transaction, &response),
            reply => Err(withhold(&response, reply)),
        }
    }

    async fn settle_after_origin(&self, accepted: &Accepted<'_>, charge: Charge, body: Option<Vec<u8>>) -> Result<Response, Problem> {
        let nonce = charge.signed.authorization.nonce;
        let lease = match self.ask(&charge, PayerMessage::Claim { charge: Box::new(charge.clone()), reserve: true }).await? {
            PayerReply::Reserved { lease } => lease,
            // It was settled by an earlier attempt.
            PayerReply::Paid { lease, transaction } => return self.fetch_and_deliver(accepted, &charge, lease, transaction, body).await,
            reply => return Err(refusal(reply)),
        };
        let response = match self.fetch(accepted, &charge, None, body).await {
            Ok(response) if response.status() < 400 => response,
            outcome => {
                self.ask(&charge, PayerMessage::Release { nonce, lease }).await?;
                return self.unpaid(outcome);
            }
        };
        match self.ask(&charge, PayerMessage::Settle { nonce, lease }).await? {
            PayerReply::Delivered { transaction } => self.release(accepted, &charge, lease, transaction, &response),
            reply => Err(withhold(&response, reply)),
        }
    }

    async fn ask(&self, charge: &Charge, message: PayerMessage) -> Result<PayerReply, Problem> {
        self.isolate.ask_payer(self.env, charge.signed.authorization.from, &message).await
    }

    async fn fetch(
        &self,
        accepted: &Accepted<'_>,
        charge: &Charge,
        transaction: Option<B256>,
        body: Option<Vec<u8>>,
    ) -> Result<Response, Problem> {
        let gateway = &self.isolate.gateway;
        let reference = transaction.map(|transaction| transaction.to_string());
        let paid_by = PaidBy {
            payer: &charge.signed.authorization.from.to_checksum(None),
            method: accepted.offer.method.name(),
            intent: accepted.offer.intent.name(),
            amount: &self.route.price.to_string(),
            reference: reference.as_deref(),
        };
        origin::send(self.env, &gateway.origin, self.incoming, self.others, Some(&paid_by), body, gateway.limits.origin_timeout).await
    }

    /// The origin's failure, passed on without a receipt: the payment stays open.
    fn unpaid(&self, outcome: Result<Response, Problem>) -> Result<Response, Problem> {
        let response = outcome?;
        if response.status() == 402 {
            // A paying client would take the origin's own paywall for ours, and pay again.
            return Err(Problem::new(ProblemKind::OriginFailed, "the origin asks for a payment of its own"));
        }
        self.pass_on(&response, response.body().as_ref()).map_err(failed("origin's response"))
    }

    /// The origin's response as a payer gets it: not for shared caches, whatever its status.
    fn pass_on(&self, response: &Response, body: Option<&ReadableStream>) -> worker::Result<Response> {
        let response = origin::finish(response, self.incoming, &self.isolate.gateway.origin, body)?;
        let headers = response.headers();
        let from_origin = headers.get("cache-control")?;
        headers.set("cache-control", &private_cache_control(from_origin.as_deref()))?;
        for name in CACHE_OVERRIDES {
            headers.delete(name)?;
        }
        Ok(response)
    }

    /// Hands the response out: it counts as delivered from here on.
    fn release(
        &self,
        accepted: &Accepted<'_>,
        charge: &Charge,
        lease: LeaseId,
        transaction: B256,
        response: &Response,
    ) -> Result<Response, Problem> {
        let body = self.watched_body(charge, lease, response).map_err(failed("response body"))?;
        let delivered = self.pass_on(response, body.as_ref()).map_err(failed("paid response"))?;
        if (200..300).contains(&response.status()) {
            let reference = transaction.to_string();
            let mut receipt = Receipt::new(accepted.offer.method.name(), &reference, now());
            receipt.challenge_id = Some(&charge.challenge_id);
            receipt.chain_id = Some(self.isolate.gateway.chain_id);
            delivered.headers().set("payment-receipt", &receipt.to_header()).map_err(|error| internal("receipt", error))?;
        }
        Ok(delivered)
    }
}

/// Drops a response that must not be handed out.
fn withhold(response: &Response, reply: PayerReply) -> Problem {
    if let Some(body) = response.body() {
        // Unread, it would hold its connection; whether cancelling works changes nothing for the client.
        let _ = body.cancel();
    }
    refusal(reply)
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
