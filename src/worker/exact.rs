//! A request with a payment of x402: verified and settled like a charge of the `Payment` scheme, and told in its own words.

use super::challenge::Rejection;
use super::connection::Connection;
use super::failure::internal;
use super::paid::{PaidRequest, Sale, Spoken, Told};
use crate::evm::keccak256;
use crate::gateway::exact::ExactCharge;
use crate::rail::Payment;
use crate::rail::evm::exact::Unverified;
use crate::wire::problem::Problem;
use crate::wire::x402::{Accepted, Outcome, Payment as Presented, Reason, Requested};
use web_sys::Response;

impl PaidRequest<'_> {
    /// Everything that can be checked without state or network comes first, then the payer's object decides. A failure is told in an
    /// outcome as well.
    pub(super) async fn exact(&self, presented: &Presented) -> Result<Response, Rejection> {
        self.buy_exactly(presented).await.map_err(|problem| {
            let told = presented.network().map(|network| Outcome::failed(network, None, Reason::of(&problem)).to_header());
            Rejection { outcome: told.map(|told| (presented.version().outcome_key(), told)), ..problem.into() }
        })
    }

    async fn buy_exactly(&self, presented: &Presented) -> Result<Response, Problem> {
        let exact = self.route.exact.as_ref().ok_or_else(|| internal("x402", "the route does not take it"))?;
        let requested = Requested { url: &self.incoming.target.url(), method: &self.incoming.method };
        let accepted = presented.accept(&exact.offers, &requested)?;
        let charge = exact.charge(&accepted).ok_or_else(|| internal("x402", accepted.index))?;
        let connection = self.isolate.connection(charge.rail)?;
        let outcome = self.pay_exactly(presented, &accepted, charge, connection).await;
        outcome.inspect_err(|problem| self.doubt(charge.rail, problem))
    }

    async fn pay_exactly(
        &self,
        presented: &Presented,
        accepted: &Accepted<'_>,
        charge: &ExactCharge,
        connection: &Connection,
    ) -> Result<Response, Problem> {
        let unverified = Unverified::read(presented, accepted, &charge.terms)?;
        let exact = connection.verify(|domain| unverified.verify(domain)).await?;
        // Only now is the body received, to be held: who proves nothing has none of our memory.
        let body = self.bound_body().await?.map(|digest| digest.to_string()).unwrap_or_default();
        let request = keccak256(format!("{}\n{} {}\n{body}", self.asked.realm, self.asked.method, self.asked.target));
        let key = self.key(&exact.signed.authorization.nonce.to_string(), presented.identifier()).await?;
        let charge = exact.charge(request);
        let identifier = presented.identifier().map(keccak256);
        let spoken = Spoken::X402 { version: accepted.version, network: accepted.network };
        let told = Told::of(&charge);
        let payment = Payment::Evm(charge);
        Sale { request: self, connection, payment, told, key, identifier, spoken }.settle().await
    }
}
