//! What is common to all that is sold: the request, its body and key, and what becomes of the origin's answer.

use super::config::{Isolate, doubt};
use super::failure::failed;
use super::origin::{Incoming, Outgoing};
use super::watch::{discard, unwatched};
use crate::evm::B256;
use crate::gateway::offer::Asked;
use crate::gateway::route::Route;
use crate::purchase::{Charging, Disposition, Undelivered};
use crate::rail::RailId;
use crate::wire::idempotency::{Key, MAX_BYTES};
use crate::wire::mpp::digest::BodyDigest;
use crate::wire::problem::{Problem, ProblemKind};
use js_sys::Object;
use web_sys::Response;
use worker::{Context, Env};

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

impl PaidRequest<'_> {
    /// A rail that leaves a payment undecided may be down, and is not offered then.
    pub(super) fn doubt(&self, rail: RailId, problem: &Problem) {
        if problem.kind == ProblemKind::Unavailable {
            doubt(self.isolate, self.env, self.context, rail);
        }
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
        self.pass_on(response, unwatched(response)?.as_ref(), &[]).map_err(failed("origin's response"))
    }
}
