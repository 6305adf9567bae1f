//! A priced request: what it presents is verified, settled, fetched, delivered.

use super::challenge::Rejection;
use super::clock::now;
use super::config::{Isolate, doubt, load};
use super::connection::Connection;
use super::failure::{failed, internal};
use super::objects::{PayerMessage, PayerReply};
use super::origin::{self, Incoming, Outgoing, PaidBy};
use super::snapshot::snapshot;
use super::token::TokenDomain;
use super::watch::{Body, Ending, WatchedPipe, discard};
use crate::evm::B256;
use crate::evm::eip712::Domain;
use crate::gateway::config::Settle;
use crate::gateway::offer::{Accepted, Ask, Asked};
use crate::gateway::route::Route;
use crate::purchase::{Charging, Disposition, LeaseId, Undelivered};
use crate::rail::evm::charge::{Binding, Charge, Terms, Unverified};
use crate::rail::evm::{Intent, Method};
use crate::rail::{Payment, RailId, Reference};
use crate::wire::detect::Presented;
use crate::wire::idempotency::{Key, MAX_BYTES};
use crate::wire::mpp::credential::{Credential, CredentialField};
use crate::wire::mpp::digest::BodyDigest;
use crate::wire::mpp::receipt::Receipt;
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::x402::{Outcome, Version};
use js_sys::Object;
use web_sys::Response;
use worker::{Context, Env, console_warn};

/// A priced request.
pub(super) struct PaidRequest<'a> {
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
    pub(super) request: &'a PaidRequest<'a>,
    pub(super) connection: &'a Connection,
    pub(super) payment: Payment,
    /// What receipts and the origin are told of it.
    pub(super) told: Told,
    /// The request's idempotency key.
    pub(super) key: Option<Key>,
    /// Hash of what the client calls its payment.
    pub(super) identifier: Option<B256>,
    pub(super) spoken: Spoken<'a>,
}

/// The wire by which a sale was asked for, and what its answers need.
#[derive(Clone, Copy)]
pub(super) enum Spoken<'a> {
    /// The `Payment` scheme, with this method.
    Mpp(Method),
    /// x402, on the network of this name.
    X402 { version: Version, network: &'a str },
}

/// What receipts and the origin are told of a payment.
pub(super) struct Told {
    payer: String,
    chain_id: u64,
    challenge_id: Option<String>,
}

impl Told {
    pub(super) fn of(charge: &Charge) -> Self {
        Self {
            payer: charge.signed.authorization.from.to_checksum(None),
            chain_id: charge.asset.chain_id,
            challenge_id: charge.challenge_id().map(str::to_owned),
        }
    }
}

impl Spoken<'_> {
    /// The method that origins and receipts are told.
    const fn method(self) -> Method {
        match self {
            Self::Mpp(method) => method,
            Self::X402 { .. } => Method::Evm,
        }
    }
}

impl PaidRequest<'_> {
    /// Everything that can be checked without state or network comes first, then the payer's object
    /// decides.
    pub(super) async fn complete(&self, presented: &Presented) -> Result<Response, Rejection> {
        match presented {
            Presented::Nothing => {
                let detail = match self.route.field {
                    CredentialField::Authorization => "this resource must be paid for; the offers come with this answer",
                    CredentialField::PaymentAuthorization => {
                        "this resource must be paid for; the offers come with this answer, and a credential goes into Payment-Authorization"
                    }
                };
                let snapshot = snapshot(self.isolate, self.env, self.context, self.incoming, self.route).await;
                Err(Rejection { snapshot, ..Problem::new(ProblemKind::PaymentRequired, detail).into() })
            }
            Presented::Mpp(credential) => self.by_credential(credential).await,
            Presented::X402(payment) => self.exact(payment).await,
        }
    }

    async fn by_credential(&self, credential: &Credential) -> Result<Response, Rejection> {
        let gateway = &self.isolate.gateway;
        let accepted = self.asked.accept_head(credential, &self.route.offers, &gateway.binding_keys, now())?;
        let rail = accepted.offer.rail;
        let connection = self.isolate.connection(rail)?;
        let outcome = match &accepted.offer.ask {
            Ask::Session(session) => self.visit(connection, credential, &accepted, session).await,
            Ask::Charge(terms) => self.charge(connection, credential, &accepted, terms).await.map_err(Rejection::from),
        };
        outcome.inspect_err(|rejection| self.doubt(rail, &rejection.problem))
    }

    /// A rail that leaves a payment undecided may be down, and is not offered then.
    pub(super) fn doubt(&self, rail: RailId, problem: &Problem) {
        if problem.kind == ProblemKind::Unavailable {
            doubt(self.isolate, self.env, self.context, rail);
        }
    }

    async fn charge(
        &self,
        connection: &Connection,
        credential: &Credential,
        accepted: &Accepted<'_>,
        terms: &Terms,
    ) -> Result<Response, Problem> {
        let method = accepted.offer.method;
        let unverified = Unverified::read(credential, method, terms)?;
        let signed = connection.verify(|domain| unverified.verify(domain)).await?;
        // Only now is the body received, to be held: who proves nothing has none of our memory.
        accepted.covers(credential, self.bound_body().await?)?;
        let id = &credential.challenge.id;
        let key = self.key(id, None).await?;
        let binding = Binding::Challenge { id: id.clone(), expires: accepted.expires, binds_nonce: method.binds_nonces() };
        let charge = Charge { binding, asset: connection.rail.asset(), signed };
        let told = Told::of(&charge);
        let payment = Payment::Evm(charge);
        Sale { request: self, connection, payment, told, key, identifier: None, spoken: Spoken::Mpp(method) }.settle().await
    }

    /// The digest of the body, which is held from then on, where the route binds it.
    pub(super) async fn bound_body(&self) -> Result<Option<BodyDigest>, Problem> {
        if !self.route.binds_body(&self.incoming.method) {
            return Ok(None);
        }
        self.incoming.hold(&self.isolate.gateway.limits).await.map(Some)
    }

    /// The request's idempotency key, or else what the client calls its payment, bound to the proof and to all of the request: a body
    /// that comes with one is read as a whole.
    pub(super) async fn key(&self, proof: &str, identifier: Option<&str>) -> Result<Option<Key>, Problem> {
        let header = self.incoming.header("idempotency-key");
        let Some(key) = header.as_deref().or(identifier) else { return Ok(None) };
        if key.len() > MAX_BYTES {
            return Err(Problem::new(
                ProblemKind::BadRequest,
                format!("Idempotency-Key: is longer than {MAX_BYTES} bytes; send a shorter one"),
            ));
        }
        let has_body = self.incoming.has_body();
        let content = if has_body { self.incoming.hold(&self.isolate.gateway.limits).await? } else { BodyDigest::of(&[]) };
        let content = B256::from(content.sha256());
        Ok(Some(Key::new(proof, key, self.asked.method, self.asked.target, content)))
    }
}

impl Connection {
    /// Has a signature verified in the token's domain, which the chain must have confirmed before money depends on it.
    pub(super) async fn verify<T>(&self, verify: impl FnOnce(&Domain) -> Result<T, Problem>) -> Result<T, Problem> {
        let domain = self.token_domain().await?;
        let verified = verify(domain.domain())?;
        if let TokenDomain::Configured(_) = domain {
            self.confirm_token().await?;
        }
        Ok(verified)
    }
}

impl Sale<'_> {
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

    async fn ask(&self, message: &PayerMessage) -> Result<PayerReply, Problem> {
        self.connection.ask_holder(self.request.env, &self.payment.holder(), message).await
    }

    /// The origin's answer, when it is one to be paid for. Otherwise the payment is given back, and the
    /// error is what the client gets instead.
    async fn fetch(&self, lease: LeaseId, reference: Option<&Reference>) -> Result<Response, Result<Response, Problem>> {
        let outcome = self.call_origin(reference).await;
        let how = match outcome.as_ref().map(|response| self.request.disposition(reference.is_some(), response)) {
            Ok(Disposition::Deliver) => return outcome.map_err(Err),
            Ok(Disposition::PassOn(how)) => how,
            Ok(Disposition::Withhold) => Undelivered::Failed,
            Err(_) => self.request.failure(),
        };
        // If giving it back fails, the lease runs out by itself: the origin's answer is worth more.
        let _ = self.ask(&PayerMessage::Release { id: self.payment.id(), lease, how }).await;
        Err(outcome.and_then(|response| self.request.undelivered(&response)))
    }

    /// What was delivered under the request's idempotency key is asked for again: nothing is charged for it, or given back.
    async fn replay(&self, reference: &Reference) -> Result<Response, Problem> {
        let response = self.call_origin(Some(reference)).await?;
        if self.request.disposition(true, &response) != Disposition::Deliver {
            return self.request.undelivered(&response);
        }
        let mut more = self.receipts(reference);
        more.push(("idempotency-replayed", "true".into()));
        self.request.pass_on(&response, response.body().as_deref(), &more).map_err(failed("repeated response"))
    }

    async fn call_origin(&self, reference: Option<&Reference>) -> Result<Response, Problem> {
        let request = self.request;
        let gateway = &request.isolate.gateway;
        let paid_by = PaidBy {
            payer: &self.told.payer,
            method: self.spoken.method().name(),
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
        let (prepared, pipe) = match self.prepare(reference, response).await {
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
            let Some(connection) = isolate.connection_for(&payment) else { return };
            let reopen = PayerMessage::Reopen { id: payment.id(), lease };
            match connection.ask_holder(&env, &payment.holder(), &reopen).await {
                Ok(PayerReply::Noted) => {}
                outcome => console_warn!("a delivery broken off by the origin could not be reopened: {outcome:?}"),
            }
        });
    }

    /// The response with its receipt, and the pipe that its body will come through.
    async fn prepare(&self, reference: &Reference, response: &Response) -> Result<(Response, Option<WatchedPipe>), Problem> {
        let body = Body::of(response).await?;
        let readable = body.as_ref().map(Body::readable);
        let receipts = self.receipts(reference);
        let prepared = self.request.pass_on(response, readable.as_ref(), &receipts).map_err(failed("paid response"))?;
        Ok((prepared, body.and_then(Body::pipe)))
    }

    /// The headers that say what was paid.
    fn receipts(&self, reference: &Reference) -> Vec<(&'static str, String)> {
        let mut receipt = Receipt::new(self.spoken.method().name(), reference.as_str(), now());
        receipt.challenge_id = self.told.challenge_id.as_deref();
        receipt.chain_id = Some(self.told.chain_id);
        let mut receipts = Vec::from([("payment-receipt", receipt.to_header())]);
        if let Spoken::X402 { version, network } = self.spoken {
            receipts.push((version.outcome_key(), Outcome::settled(network, &self.told.payer, reference.as_str()).to_header()));
        }
        receipts
    }
}

impl PaidRequest<'_> {
    /// The origin's response as a payer gets it, with `more` headers: not for shared caches, whatever its status.
    pub(super) fn pass_on(&self, response: &Response, body: Option<&Object>, more: &[(&str, String)]) -> worker::Result<Response> {
        let mut outgoing = Outgoing::new(response, self.incoming, &self.isolate.gateway.origin)?;
        outgoing.keep_private()?;
        outgoing.open_to_pages(self.incoming)?;
        for (name, value) in more {
            outgoing.set(name, value);
        }
        outgoing.with_body(body)
    }

    /// Nothing came of calling the origin: whose doing that was.
    pub(super) fn failure(&self) -> Undelivered {
        if self.incoming.is_failed_by_origin() { Undelivered::Failed } else { Undelivered::Unfinished }
    }

    /// What becomes of an answer of the origin. The money may be ours already.
    pub(super) fn disposition(&self, is_ours: bool, response: &Response) -> Disposition {
        Charging { is_ours, redirects: self.route.charge_redirects }.disposition(response.status())
    }

    /// An answer of the origin that is not paid for.
    pub(super) fn undelivered(&self, response: &Response) -> Result<Response, Problem> {
        // The client would take the origin's own paywall for ours.
        if response.status() == ProblemKind::PaymentRequired.status() {
            discard(response);
            return Err(Problem::new(
                ProblemKind::OriginFailed,
                "the origin asks for a payment of its own (402), which cannot be made through this gateway; nothing was delivered",
            ));
        }
        self.pass_on(response, response.body().as_deref(), &[]).map_err(failed("origin's response"))
    }
}

/// The problem in a reply that is not the hoped-for one.
fn refusal(reply: PayerReply) -> Problem {
    match reply {
        PayerReply::Refused(refused) => refused.into(),
        reply => internal("payer", reply),
    }
}
