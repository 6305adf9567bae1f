//! What an isolate has of each rail: its settings, its endpoints, and what was learned of its token and escrow.

use super::config::Isolate;
use super::escrow::EscrowSupport;
use super::respond::internal;
use super::rpc::Rpc;
use super::token::TokenFacts;
use crate::gateway::config::{Gateway, Limits};
use crate::rail::RailId;
use crate::rail::evm::{Asset, Rail};
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
    /// What was learned of the token.
    pub(super) token: TokenFacts,
    /// What was learned of the escrow.
    pub(super) escrow: EscrowSupport,
}

impl Connection {
    /// One for each rail, in the order of the configuration.
    pub(super) fn all(gateway: &Gateway) -> Vec<Self> {
        let limits = gateway.limits;
        let one = |rail: &Arc<Rail>| Self {
            rail: rail.clone(),
            limits,
            rpc: Rpc::new(rail.rpc_urls.clone(), rail.chain_id, limits.rpc_timeout),
            token: TokenFacts::default(),
            escrow: EscrowSupport::default(),
        };
        gateway.rails.iter().map(one).collect()
    }
}

impl Isolate {
    /// That of an offer's rail.
    pub(super) fn connection(&self, id: RailId) -> Result<&Connection, Problem> {
        self.connections.get(id.0).ok_or_else(|| internal("rail", id))
    }

    /// That of what is stored; when its rail is not configured any more, another on the same chain, so that what was begun is
    /// finished.
    pub(super) fn connection_of(&self, asset: Asset) -> Option<&Connection> {
        let on_chain = || self.connections.iter().filter(|connection| connection.rail.chain_id == asset.chain_id);
        on_chain().find(|connection| connection.rail.asset() == asset).or_else(|| on_chain().next())
    }
}
