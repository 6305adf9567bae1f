//! A request for what has a price: what it presents is taken to whoever serves that, and what it must pay is asked for.

use super::challenge::{Rejection, challenge};
use super::charge::charge;
use super::clock::now;
use super::config::Isolate;
use super::exact::exact;
use super::origin::Incoming;
use super::paid::PaidRequest;
use super::respond::problem;
use super::session::visit;
use super::snapshot::snapshot;
use crate::gateway::offer::{Asked, OfferTerms};
use crate::gateway::route::Route;
use crate::gateway::target::LONGEST_PRICED;
use crate::wire::detect::{Fields, Presented};
use crate::wire::mpp::credential::{AuthorizationHeader, Credential, CredentialField, split_authorization, without_payment};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::x402::Version;
use std::borrow::Cow;
use web_sys::Response;
use worker::{Context, Env, Result};

/// Answers a request for a route that has a price.
pub(super) async fn priced(isolate: &Isolate, env: &Env, context: &Context, incoming: &Incoming, route: &Route) -> Result<Response> {
    let gateway = &isolate.gateway;
    if !incoming.target.is_confidential() {
        return problem(&Problem::new(ProblemKind::BadRequest, "payments are taken over https only; send the request to the https URL"));
    }
    if incoming.is_websocket() {
        let detail = "Upgrade: a WebSocket is not sold here; ask without it, or for a path that is free";
        return problem(&Problem::new(ProblemKind::BadRequest, detail));
    }
    let Some(target) = incoming.target.bound() else {
        return problem(&Problem::new(
            ProblemKind::UriTooLong,
            format!("path and query are longer than {LONGEST_PRICED} bytes; shorten them"),
        ));
    };
    let asked = Asked {
        realm: gateway.realm.as_deref().unwrap_or(&incoming.target.host),
        method: &incoming.method,
        target: &target,
        digest: None,
        field: route.field,
    };
    let (presented, others) = match presented(incoming, route, gateway.limits.credential_bytes) {
        Ok((presented, others)) => (Ok(presented), others),
        Err(reason) => (Err(Rejection::from(reason)), None),
    };
    let request = PaidRequest { isolate, env, context, incoming, route, asked: &asked, others: others.as_deref() };
    let outcome = match presented {
        Ok(presented) => complete(&request, &presented).await,
        Err(rejection) => Err(rejection),
    };
    match outcome {
        Ok(response) => Ok(response),
        Err(rejection) => {
            // A fresh challenge is bound to the body, which is hashed for that but not kept.
            let digest = match rejection.problem.kind.status() {
                402 if route.binds_body(&incoming.method) => match incoming.digest(&gateway.limits).await {
                    Ok(digest) => Some(digest),
                    Err(reason) => return problem(&reason),
                },
                _ => None,
            };
            challenge(rejection, &request, &Asked { digest, ..asked }).await
        }
    }
}

/// Everything that can be checked without state or network comes first, then the payer's object
/// decides.
async fn complete(request: &PaidRequest<'_>, presented: &Presented) -> Result<Response, Rejection> {
    match presented {
        Presented::Nothing => {
            let detail = match request.route.field {
                CredentialField::Authorization => "this resource must be paid for; the offers come with this answer",
                CredentialField::PaymentAuthorization => {
                    "this resource must be paid for; the offers come with this answer, and a credential goes into Payment-Authorization"
                }
            };
            let snapshot = snapshot(request.isolate, request.env, request.context, request.incoming, request.route).await;
            Err(Rejection { snapshot, ..Problem::new(ProblemKind::PaymentRequired, detail).into() })
        }
        Presented::Mpp(credential) => by_credential(request, credential).await,
        Presented::X402(payment) => exact(request, payment).await,
    }
}

async fn by_credential(request: &PaidRequest<'_>, credential: &Credential) -> Result<Response, Rejection> {
    let gateway = &request.isolate.gateway;
    let accepted = request.asked.accept_head(credential, &request.route.offers, &gateway.binding_keys, now())?;
    let rail = accepted.offer.rail;
    let outcome = match &accepted.offer.terms {
        OfferTerms::Session(session) => visit(request, request.isolate.connection(rail)?, credential, &accepted, session).await,
        OfferTerms::Charge(terms) => {
            charge(request, request.isolate.rail(rail)?, credential, &accepted, terms.as_ref()).await.map_err(Rejection::from)
        }
    };
    outcome.inspect_err(|rejection| request.doubt(rail, &rejection.problem))
}

/// What a request presents, and what of its `Authorization` is for the origin.
pub(super) fn presented(incoming: &Incoming, route: &Route, limit: usize) -> std::result::Result<(Presented, Option<String>), Problem> {
    let field = route.field;
    let value = incoming.header(field.key()).unwrap_or_default();
    let AuthorizationHeader { payment, others } = split_authorization(&value).map_err(|invalid| invalid.problem(field.name()))?;
    let others = match field {
        CredentialField::Authorization => others.map(Cow::into_owned),
        CredentialField::PaymentAuthorization => unpaid_authorization(incoming)?,
    };
    let header = |version: Version| route.exact.as_ref().and_then(|_| incoming.header(version.payment_key()));
    let (signature, x_payment) = (header(Version::V2), header(Version::V1));
    let fields = Fields { field, credential: payment, signature: signature.as_deref(), x_payment: x_payment.as_deref() };
    Ok((fields.read(limit)?, others))
}

/// What of an `Authorization` that no credential is taken from is for the origin.
pub(super) fn unpaid_authorization(incoming: &Incoming) -> std::result::Result<Option<String>, Problem> {
    let field = CredentialField::Authorization;
    let value = incoming.header(field.key()).unwrap_or_default();
    Ok(without_payment(&value).map_err(|invalid| invalid.problem(field.name()))?.map(Cow::into_owned))
}
