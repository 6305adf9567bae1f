//! A charge: one payment for one request. Its proof is verified, the money moved, the origin called, the answer delivered.

use super::clock::now;
use super::config::load;
use super::failure::{failed, internal};
use super::holding::{Holding, hold};
use super::objects::payer::{PayerMessage, PayerReply, ask_holder};
use super::origin::{self, PaidBy};
use super::paid::PaidRequest;
use super::rail::RailState;
use super::watch::{Body, Ending, WatchedPipe, discard, unwatched};
use crate::evm::B256;
use crate::gateway::config::Settle;
use crate::gateway::offer::Accepted;
use crate::purchase::{Disposition, LeaseId, Undelivered};
use crate::rail::evm::Intent;
use crate::rail::{Payment, Reference, Terms};
use crate::wire::idempotency::Key;
use crate::wire::mpp::credential::Credential;
use crate::wire::mpp::receipt::Receipt;
use crate::wire::problem::Problem;
use crate::wire::x402::{Outcome, Version};
use std::borrow::Cow;
use std::rc::Rc;
use web_sys::Response;
use worker::{Env, console_warn};

/// A purchase whose proof is right: what is left is to move the money and the goods.
pub(super) struct ProvenCharge<'a> {
    pub(super) request: &'a PaidRequest<'a>,
    pub(super) rail: &'a RailState,
    /// Its payment method.
    pub(super) method: &'a str,
    pub(super) payment: Payment,
    /// The request's idempotency key.
    pub(super) key: Option<Key>,
    /// Hash of what the client calls its payment.
    pub(super) identifier: Option<B256>,
    pub(super) spoken: Spoken<'a>,
}

/// The wire by which a charge was asked for, and what its answers need.
#[derive(Clone, Copy)]
pub(super) enum Spoken<'a> {
    /// The `Payment` scheme.
    Mpp,
    /// x402, on the network of this name.
    X402 { version: Version, network: &'a str },
}

/// Everything that can be checked without state or network comes first, then the payer's object decides.
pub(super) async fn charge(
    request: &PaidRequest<'_>,
    rail: &RailState,
    credential: &Credential,
    accepted: &Accepted<'_>,
    terms: &dyn Terms,
) -> Result<Response, Problem> {
    let payment = rail.verify(terms.read(credential, accepted.expires)?).await?;
    // Only now is the body received, to be held: who proves nothing has none of our memory.
    accepted.covers(credential, request.bound_body().await?)?;
    let key = request.key(&credential.challenge.id, None).await?;
    ProvenCharge { request, rail, method: terms.method(), payment, key, identifier: None, spoken: Spoken::Mpp }.settle().await
}

impl ProvenCharge<'_> {
    /// Moves the money and the goods, in the route's order.
    pub(super) async fn settle(&self) -> Result<Response, Problem> {
        match self.request.route.settle {
            Settle::First => self.settle_first().await,
            Settle::AfterOrigin => self.settle_after_origin().await,
        }
    }

    async fn settle_first(&self) -> Result<Response, Problem> {
        let (reply, _holding) = self.claim(false).await?;
        self.fetch_and_deliver(reply).await
    }

    /// The payment is there: calls the origin and hands its answer out.
    async fn fetch_and_deliver(&self, reply: PayerReply) -> Result<Response, Problem> {
        match reply {
            PayerReply::Paid { lease, reference } => match self.fetch(lease, Some(&reference)).await {
                Ok(response) => self.deliver(lease, &reference, &response).await,
                Err(instead) => instead,
            },
            PayerReply::Replayed { reference } => self.replay(&reference).await,
            reply => Err(refusal(reply)),
        }
    }

    async fn settle_after_origin(&self) -> Result<Response, Problem> {
        let (lease, _holding) = match self.claim(true).await? {
            (PayerReply::Reserved { lease }, holding) => (lease, holding),
            // It was settled by an earlier attempt.
            (reply, _holding) => return self.fetch_and_deliver(reply).await,
        };
        let response = match self.fetch(lease, None).await {
            Ok(response) => response,
            Err(instead) => return instead,
        };
        let settled = self.ask(&PayerMessage::Settle { id: self.payment.id(), lease }).await;
        match settled.inspect_err(|_| discard(&response))? {
            PayerReply::Paid { lease, reference } => self.deliver(lease, &reference, &response).await,
            reply => {
                discard(&response);
                Err(refusal(reply))
            }
        }
    }

    /// Presents the charge to the payer's object. The answer may be a lease that has to be released.
    async fn claim(&self, reserve: bool) -> Result<(PayerReply, Holding), Problem> {
        let env = self.request.env.clone();
        let payment = Rc::new(self.payment.clone());
        let release = {
            let (env, payment) = (env.clone(), payment.clone());
            move |reply: &PayerReply, how| lease_in(reply).map(|lease| release(env.clone(), payment.clone(), lease, how))
        };
        let (key, identifier) = (self.key, self.identifier);
        let claim =
            async move { ask(&env, &payment, &PayerMessage::Claim { payment: Cow::Borrowed(&payment), key, identifier, reserve }).await };
        hold(self.request.context, &self.request.incoming.request, claim, release).await
    }

    async fn ask(&self, message: &PayerMessage<'_>) -> Result<PayerReply, Problem> {
        ask_holder(self.rail, self.request.env, &self.payment.holder(), message).await
    }

    /// The origin's answer, when it is one to be paid for. Otherwise the payment is released, and the
    /// error is what the client gets instead.
    async fn fetch(&self, lease: LeaseId, reference: Option<&Reference>) -> Result<Response, Result<Response, Problem>> {
        let outcome = self.call_origin(reference).await;
        let how = match outcome.as_ref().map(|response| self.request.disposition(reference.is_some(), response)) {
            Ok(Disposition::Deliver) => return outcome.map_err(Err),
            Ok(Disposition::PassOn(how)) => how,
            Ok(Disposition::Withhold) => Undelivered::Failed,
            Err(_) => self.request.failure(),
        };
        // If that fails, the lease runs out by itself: the origin's answer is worth more.
        let _ = self.ask(&PayerMessage::Release { id: self.payment.id(), lease, how }).await;
        Err(outcome.and_then(|response| self.request.undelivered(&response)))
    }

    /// What was delivered under the request's idempotency key is asked for again: nothing is charged for it, or released.
    async fn replay(&self, reference: &Reference) -> Result<Response, Problem> {
        let response = self.call_origin(Some(reference)).await?;
        if self.request.disposition(true, &response) != Disposition::Deliver {
            return self.request.undelivered(&response);
        }
        let mut more = self.receipts(reference);
        more.push(("idempotency-replayed", "true".into()));
        self.request.pass_on(&response, unwatched(&response)?.as_ref(), &more).map_err(failed("repeated response"))
    }

    async fn call_origin(&self, reference: Option<&Reference>) -> Result<Response, Problem> {
        let request = self.request;
        let gateway = &request.isolate.gateway;
        let payer = self.payment.payer();
        let paid_by = PaidBy {
            payer: payer.as_deref(),
            method: self.method,
            intent: Intent::Charge.name(),
            amount: &self.payment.amount().to_string(),
            reference: reference.map(Reference::as_str),
            metered: false,
        };
        origin::send(request.env, &gateway.origin, request.incoming, request.others, Some(&paid_by), gateway.limits.origin_timeout).await
    }

    /// Hands the response out, if the payer's object counts it as delivered. What can fail comes before that.
    async fn deliver(&self, lease: LeaseId, reference: &Reference, response: &Response) -> Result<Response, Problem> {
        let id = self.payment.id();
        let (prepared, pipe) = match self.prepare(reference, response) {
            Ok(prepared) => prepared,
            Err(problem) => {
                discard(response);
                self.ask(&PayerMessage::Release { id, lease, how: self.request.failure() }).await?;
                return Err(problem);
            }
        };
        let deliver = PayerMessage::Deliver { id, lease };
        let counted = match self.ask(&deliver).await {
            // It may have been counted all the same: asking again tells.
            Err(_) => self.ask(&deliver).await,
            counted => counted,
        };
        match counted.inspect_err(|_| discard(response))? {
            PayerReply::Noted => {
                if let Some(pipe) = pipe {
                    self.watch(pipe, lease);
                }
                Ok(prepared)
            }
            reply => {
                discard(response);
                Err(refusal(reply))
            }
        }
    }

    /// Lets the body flow. When the origin breaks off, the payer may fetch again.
    fn watch(&self, pipe: WatchedPipe, lease: LeaseId) {
        let PaidRequest { env, context, incoming, .. } = *self.request;
        let (env, payment) = (env.clone(), self.payment.clone());
        pipe.start(context, &incoming.request, incoming.upload(), move |ending| async move {
            let loaded = load(&env);
            let (Ending::Undelivered, Ok(isolate)) = (ending, loaded.as_ref()) else { return };
            let Some(rail) = isolate.rail_of(&payment) else { return };
            let reopen = PayerMessage::Reopen { id: payment.id(), lease };
            match ask_holder(rail, &env, &payment.holder(), &reopen).await {
                Ok(PayerReply::Noted) => {}
                outcome => console_warn!("a delivery broken off by the origin could not be reopened: {outcome:?}"),
            }
        });
    }

    /// The response with its receipt, and the pipe that its body will come through.
    fn prepare(&self, reference: &Reference, response: &Response) -> Result<(Response, Option<WatchedPipe>), Problem> {
        let body = Body::of(response)?;
        let readable = body.as_ref().map(Body::readable);
        let receipts = self.receipts(reference);
        let prepared = self.request.pass_on(response, readable.as_ref(), &receipts).map_err(failed("paid response"))?;
        Ok((prepared, body.and_then(Body::pipe)))
    }

    /// The headers that say what was paid.
    fn receipts(&self, reference: &Reference) -> Vec<(&'static str, String)> {
        let mut receipt = Receipt::new(self.method, reference.as_str(), now());
        receipt.challenge_id = self.payment.challenge_id();
        receipt.chain_id = self.payment.chain_id();
        let mut receipts = Vec::from([("payment-receipt", receipt.to_header())]);
        if let Spoken::X402 { version, network } = self.spoken {
            let payer = self.payment.payer().unwrap_or_default();
            receipts.push((version.outcome_key(), Outcome::settled(network, &payer, reference.as_str()).to_header()));
        }
        receipts
    }
}

/// Asks the object that remembers a payment.
async fn ask(env: &Env, payment: &Payment, message: &PayerMessage<'_>) -> Result<PayerReply, Problem> {
    let loaded = load(env);
    let isolate = loaded.as_ref().as_ref().map_err(|_| internal("claim", "the configuration is wrong"))?;
    let rail = isolate.rail_of(payment).ok_or_else(|| internal("claim", "no rail is configured for it"))?;
    ask_holder(rail, env, &payment.holder(), message).await
}

async fn release(env: Env, payment: Rc<Payment>, lease: LeaseId, how: Undelivered) {
    match ask(&env, &payment, &PayerMessage::Release { id: payment.id(), lease, how }).await {
        Ok(PayerReply::Noted) => {}
        outcome => console_warn!("a payment whose client hung up could not be released: {outcome:?}"),
    }
}

const fn lease_in(reply: &PayerReply) -> Option<LeaseId> {
    match reply {
        PayerReply::Reserved { lease } | PayerReply::Paid { lease, .. } => Some(*lease),
        _ => None,
    }
}

/// The problem in a reply that is not the hoped-for one.
fn refusal(reply: PayerReply) -> Problem {
    match reply {
        PayerReply::Refused(refused) => refused.into(),
        reply => internal("payer", reply),
    }
}
