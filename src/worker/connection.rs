//! What an isolate has of each rail: its settings, its endpoints, and what was learned of its token and escrow.

use super::clock::now;
use super::config::{Isolate, load};
use super::escrow::EscrowSupport;
use super::http;
use super::respond::internal;
use super::rpc::Rpc;
use super::token::TokenFacts;
use crate::evm::jsonrpc::Request;
use crate::gateway::config::{Gateway, Limits};
use crate::rail::evm::{Asset, Rail};
use crate::rail::{Answer, Ask, Payment, RailId};
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use worker::{Context, Env};

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
    /// No endpoint answered when last asked.
    is_down: Cell<bool>,
    /// When that was last found out.
    probed_at: Cell<Option<Timestamp>>,
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
            escrow: EscrowSupport::default(),
            is_down: Cell::new(false),
            probed_at: Cell::new(None),
        };
        gateway.rails.iter().map(one).collect()
    }

    /// Whether its endpoints answer, as far as is known here.
    pub(super) const fn is_up(&self) -> bool {
        !self.is_down.get()
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
    async fn probe(&self) {
        if self.probed_at.get().is_some_and(|at| now().since(at) < PROBE_AGAIN) {
            return;
        }
        self.probed_at.set(Some(now()));
        let answers = self.rpc.ask([Request::latest_block()]).await;
        self.is_down.set(!matches!(answers, Ok([Ok(_)])));
    }
}

/// Finds out whether a rail is down, for what is offered from then on. With one rail nothing depends on it.
pub(super) fn doubt(isolate: &Isolate, env: &Env, context: &Context, id: RailId) {
    if isolate.connections.len() == 1 {
        return;
    }
    let loaded = load(env);
    context.wait_until(async move {
        if let Ok(connection) = loaded.as_ref().as_ref().map_err(drop).and_then(|isolate| isolate.connection(id).map_err(drop)) {
            connection.probe().await;
        }
    });
}

impl Isolate {
    /// Whether a rail is offered: it is up, or none is.
    pub(super) fn offers(&self, id: RailId) -> bool {
        let is_up = self.connections.get(id.0).is_some_and(Connection::is_up);
        is_up || !self.connections.iter().any(Connection::is_up)
    }

    /// The rails that were found to be down.
    pub(super) fn rails_down(&self) -> impl Iterator<Item = RailId> {
        self.connections.iter().enumerate().filter(|(_, connection)| !connection.is_up()).map(|(place, _)| RailId(place))
    }

    /// That of an offer's rail.
    pub(super) fn connection(&self, id: RailId) -> Result<&Connection, Problem> {
        self.connections.get(id.0).ok_or_else(|| internal("rail", id))
    }

    /// That of a payment's rail.
    pub(super) fn connection_for(&self, payment: &Payment) -> Option<&Connection> {
        match payment {
            Payment::Evm(charge) => self.connection_of(charge.asset),
            #[cfg(test)]
            Payment::Toy(_) => None,
        }
    }

    /// That of what is stored; when its rail is not configured any more, another on the same chain, so that what was begun is
    /// finished.
    pub(super) fn connection_of(&self, asset: Asset) -> Option<&Connection> {
        let on_chain = || self.connections.iter().filter(|connection| connection.rail.chain_id == asset.chain_id);
        on_chain().find(|connection| connection.rail.asset() == asset).or_else(|| on_chain().next())
    }
}
