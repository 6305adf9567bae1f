//! A request with a payment of x402: verified and settled like a charge of the `Payment` scheme, and told in its own words.

use super::challenge::Rejection;
use super::charge::{ProvenCharge, Spoken};
use super::failure::internal;
use super::paid::PaidRequest;
use super::rail::RailState;
use crate::evm::keccak256;
use crate::rail::Terms;
use crate::wire::problem::Problem;
use crate::wire::x402::{Accepted, Outcome, PaymentPayload, Reason, Requested};
use web_sys::Response;

/// Everything that can be checked without state or network comes first, then the payer's object decides. A failure is told in an
/// outcome as well.
pub(super) async fn exact(request: &PaidRequest<'_>, presented: &PaymentPayload) -> Result<Response, Rejection> {
    buy(request, presented).await.map_err(|problem| {
        let told = presented.network().map(|network| Outcome::failed(network, None, Reason::of(&problem)).to_header());
        Rejection { outcome: told.map(|told| (presented.version().outcome_key(), told)), ..problem.into() }
    })
}

async fn buy(request: &PaidRequest<'_>, presented: &PaymentPayload) -> Result<Response, Problem> {
    let exact = request.route.exact.as_ref().ok_or_else(|| internal("x402", "the route does not take it"))?;
    let requested = Requested { url: &request.incoming.target.url(), method: &request.incoming.method };
    let accepted = presented.accept(&exact.offers, &requested)?;
    let (rail, terms) = exact.charge(&accepted).ok_or_else(|| internal("x402", accepted.index))?;
    let outcome = pay(request, presented, &accepted, terms, request.isolate.rail(rail)?).await;
    outcome.inspect_err(|problem| request.doubt(rail, problem))
}

async fn pay(
    request: &PaidRequest<'_>,
    presented: &PaymentPayload,
    accepted: &Accepted<'_>,
    terms: &dyn Terms,
    rail: &RailState,
) -> Result<Response, Problem> {
    let payment = rail.verify(terms.read_exact(presented, accepted)?).await?;
    // Only now is the body received, to be held: who proves nothing has none of our memory.
    let body = request.bound_body().await?.map(|digest| digest.to_string()).unwrap_or_default();
    let resource = keccak256(format!("{}\n{} {}\n{body}", request.asked.realm, request.asked.method, request.asked.target));
    let payment = payment.for_request(resource);
    let key = request.key(&payment.id().to_string(), presented.identifier()).await?;
    let identifier = presented.identifier().map(keccak256);
    let spoken = Spoken::X402 { version: accepted.version, network: accepted.network };
    ProvenCharge { request, rail, method: terms.method(), payment, key, identifier, spoken }.settle().await
}
