//! What an isolate has of each rail: its settings, its endpoints, and what was learned of its token and escrow.

use super::clock::now;
use super::http;
use super::rpc::{Network, Rpc};
use super::sponsoring::Sponsoring;
use super::token::{TokenDomain, TokenFacts};
use crate::evm::eip712::Domain;
use crate::evm::jsonrpc::Request;
use crate::gateway::config::{Gateway, Limits};
use crate::rail::evm::Rail;
use crate::rail::{Answer, Ask};
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
pub(super) struct Connection {
    /// What is configured.
    pub(super) rail: Arc<Rail>,
    /// Bounds on time.
    pub(super) limits: Limits,
    /// The chain's endpoints.
    pub(super) rpc: Rpc,
    token: TokenFacts,
    sponsoring: Sponsoring,
    /// No endpoint answered when last asked.
    is_down: Cell<bool>,
    /// When that was last found out.
    probed_at: Cell<Option<Timestamp>>,
    /// Something failed there since.
    is_doubted: Cell<bool>,
}

/// A rail that may be down is asked again after this.
const PROBE_AGAIN: Duration = Duration::from_secs(2);

impl Connection {
    /// One for each rail, in the order of the configuration.
    pub(super) fn all(gateway: &Gateway) -> Vec<Self> {
        let limits = gateway.limits;
        let one = |rail: &Arc<Rail>| Self {
            rail: rail.clone(),
            limits,
            rpc: Rpc::new(rail.rpc_urls.clone(), rail.chain_id, limits.rpc_timeout),
            token: TokenFacts::default(),
            sponsoring: Sponsoring::default(),
            is_down: Cell::new(false),
            probed_at: Cell::new(None),
            is_doubted: Cell::new(false),
        };
        gateway.rails.iter().map(one).collect()
    }

    /// Whether its endpoints answer, as far as is known here.
    pub(super) const fn is_up(&self) -> bool {
        !self.is_down.get()
    }

    /// Something failed that its endpoints may be to blame for.
    pub(super) fn doubt(&self) {
        self.is_doubted.set(true);
    }

    /// Whether it is to be found out if its endpoints answer: they did not, or something failed since they did.
    pub(super) const fn is_in_doubt(&self) -> bool {
        self.is_down.get() || self.is_doubted.get()
    }

    /// Does what a rail asks for.
    pub(super) async fn ask(&self, ask: Ask) -> Answer {
        match ask {
            Ask::TryOut { call, gas_cap, more } => {
                let account = self.rail.settlement_key.address();
                let tried = self.rpc.try_out(account, &call, gas_cap, more).await;
                tried.map_or(Answer::Nothing, |(tried, answers)| Answer::Tried(tried, answers))
            }
            Ask::Http { method, url, body } => match http::request(method, &url, body.as_deref(), self.limits.rpc_timeout).await {
                Ok((status, text)) => Answer::Http(status, text),
                Err(_) => Answer::Nothing,
            },
        }
    }

    /// Finds out whether an endpoint answers, unless that was done a moment ago.
    pub(super) async fn probe(&self) {
        if self.probed_at.get().is_some_and(|at| now().since(at) < PROBE_AGAIN) {
            return;
        }
        self.probed_at.set(Some(now()));
        self.is_doubted.set(false);
        let answers = self.rpc.ask([Request::latest_block()]).await;
        self.is_down.set(!matches!(answers, Ok([Ok(_)])));
    }

    /// Has a signature verified in the token's domain, which the chain must have confirmed before money depends on it.
    pub(super) async fn verify<T>(&self, verify: impl FnOnce(&Domain) -> Result<T, Problem>) -> Result<T, Problem> {
        let domain = self.token.domain(&self.rail, &self.rpc).await?;
        let verified = verify(domain.domain())?;
        if let TokenDomain::Configured(_) = domain {
            self.confirm_token().await?;
        }
        Ok(verified)
    }

    /// The token's domain as the token confirms it.
    pub(super) async fn confirm_token(&self) -> Result<Domain, Problem> {
        self.token.confirm(&self.rail, &self.rpc).await
    }

    /// Whether deposits are sponsored: openings and additions are submitted for clients.
    pub(super) async fn sponsors(&self) -> bool {
        self.sponsoring.is_possible(&self.rail, &self.rpc).await
    }
}
