//! What an isolate has of an EVM network: its settings, its endpoints, and what was learned of its token and escrow.

use super::rpc::{Network, Rpc};
use super::sponsoring::Sponsoring;
use super::token::{TokenDomain, TokenFacts};
use crate::evm::Address;
use crate::evm::eip712::Domain;
use crate::evm::jsonrpc::Request;
use crate::evm::transaction::Call;
use crate::gateway::config::Limits;
use crate::rail::Answer;
use crate::rail::evm::Rail;
use crate::wire::problem::Problem;
use std::sync::Arc;

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
}

impl Connection {
    pub(super) fn new(rail: Arc<Rail>, limits: Limits) -> Self {
        let rpc = Rpc::new(rail.rpc_urls.clone(), rail.chain_id, limits.rpc_timeout);
        Self { rail, limits, rpc, token: TokenFacts::default(), sponsoring: Sponsoring::default() }
    }

    /// Tries a transaction of the settlement account out, and asks more with it ([`Ask::TryOut`](crate::rail::Ask)).
    pub(super) async fn try_out(&self, call: &Call, payer: Address, gas_cap: u64, more: Vec<Request>) -> Answer {
        let tried = self.rpc.try_out(self.rail.key_of_payer(payer).address(), call, gas_cap, more).await;
        tried.map_or(Answer::Nothing, |(tried, answers)| Answer::Tried(tried, answers))
    }

    /// Whether an endpoint answers.
    pub(super) async fn answers(&self) -> bool {
        matches!(self.rpc.ask([Request::latest_block()]).await, Ok([Ok(_)]))
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
