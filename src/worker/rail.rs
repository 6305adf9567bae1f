//! What an isolate has of each rail: its settings, whether it is up, and its connection where it is an EVM network.

use super::clock::{now, sleep};
use super::connection::Connection;
use super::failure::internal;
use super::http;
use super::rpc::{Network, Rpc};
use crate::evm::jsonrpc;
use crate::gateway::config::{Gateway, Limits};
use crate::rail::{Answer, AnyRail, Ask, Payment, Proof};
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
pub(super) struct RailState {
    /// What is configured.
    pub(super) rail: Arc<dyn AnyRail>,
    /// Bounds on time.
    pub(super) limits: Limits,
    /// To its network, where it is an EVM one.
    connection: Option<Connection>,
    /// To its network's nodes, where it is another one that has such.
    node: Option<Rpc>,
    /// Nobody answered there when last asked.
    is_down: Cell<bool>,
    /// When that was last found out.
    probed_at: Cell<Option<Timestamp>>,
    /// Something failed there since.
    is_doubted: Cell<bool>,
}

/// A rail that may be down is asked again after this.
const PROBE_AGAIN: Duration = Duration::from_secs(2);

impl RailState {
    /// One for each rail, in the order of the configuration.
    pub(super) fn all(gateway: &Gateway) -> Vec<Self> {
        let limits = gateway.limits;
        let one = |rail: &Arc<dyn AnyRail>| Self {
            rail: rail.clone(),
            limits,
            connection: rail.evm().map(|rail| Connection::new(rail.clone(), limits)),
            node: rail.node().map(|(chain_id, urls)| Rpc::new(urls.to_vec(), chain_id, limits.rpc_timeout)),
            is_down: Cell::new(false),
            probed_at: Cell::new(None),
            is_doubted: Cell::new(false),
        };
        gateway.rails.iter().map(one).collect()
    }

    /// To its network, where it is an EVM one.
    pub(super) const fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Whether its network answers, as far as is known here.
    pub(super) const fn is_up(&self) -> bool {
        !self.is_down.get()
    }

    /// Something failed that its network may be to blame for.
    pub(super) fn doubt(&self) {
        self.is_doubted.set(true);
    }

    /// Whether it is to be found out if its network answers: it did not, or something failed since it did.
    pub(super) const fn is_in_doubt(&self) -> bool {
        self.is_down.get() || self.is_doubted.get()
    }

    /// Finds out whether its network answers, unless that was done a moment ago.
    pub(super) async fn probe(&self) {
        if self.probed_at.get().is_some_and(|at| now().since(at) < PROBE_AGAIN) {
            return;
        }
        self.probed_at.set(Some(now()));
        self.is_doubted.set(false);
        let answers = match &self.connection {
            Some(connection) => connection.answers().await,
            None => self.provider_answers().await,
        };
        self.is_down.set(!answers);
    }

    /// Whether its provider, or its node where it has no connection, takes what it is asked.
    pub(super) async fn provider_answers(&self) -> bool {
        match (&self.node, self.rail.probe()) {
            (Some(node), _) => node.batch(Vec::from([jsonrpc::Request::chain_id()])).await.is_ok(),
            (None, Some(probe)) => matches!(self.ask(probe).await, Answer::Http(200..300, _)),
            (None, None) => true,
        }
    }

    /// The longest that what it asks for may take.
    pub(super) fn patience(&self) -> Duration {
        let rpc = self.connection.as_ref().map(|connection| &connection.rpc).or(self.node.as_ref());
        rpc.map_or(self.limits.rpc_timeout, Rpc::patience)
    }

    /// Does what a rail asks for.
    pub(super) async fn ask(&self, ask: Ask) -> Answer {
        match (ask, &self.connection) {
            (Ask::TryOut { call, payer, gas_cap, more }, Some(connection)) => connection.try_out(&call, payer, gas_cap, more).await,
            (Ask::Rpc { after, requests }, _) => {
                let Some(node) = &self.node else { return Answer::Nothing };
                if !after.is_zero() {
                    sleep(after).await;
                }
                node.batch(requests).await.map_or(Answer::Nothing, Answer::Rpc)
            }
            // Promises are made by an object, and asked for by that of the payer.
            (Ask::TryOut { .. }, None) | (Ask::Promise(_), _) => Answer::Nothing,
            (Ask::Http(request), _) => {
                let answer = http::ask(&request, self.limits.rpc_timeout).await;
                answer.map_or(Answer::Nothing, |(status, text)| Answer::Http(status, text))
            }
        }
    }

    /// Has checked what of a proof can only be checked with what the network says.
    pub(super) async fn verify(&self, proof: Proof) -> Result<Payment, Problem> {
        match (proof, &self.connection) {
            (Proof::Checked(payment), _) => Ok(*payment),
            (Proof::Signed(check), Some(connection)) => connection.verify(check).await,
            (Proof::Signed(_), None) => Err(internal("rail", "a signature in the domain of no token")),
        }
    }
}
