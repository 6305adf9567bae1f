//! What the chain says of a rail's token: the EIP-712 domain its payers sign in, and whether the
//! configuration is right about it. Asked once per isolate; a failure is never remembered.

use super::clock::{now, sleep};
use super::failure::misconfigured;
use super::rpc::{Network, Rpc};
use crate::evm::eip712::Domain;
use crate::gateway::token::Unconfirmed;
use crate::rail::evm::Rail;
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;

/// How often a request looks whether another has heard from the token.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is known so far.
#[derive(Default)]
pub(super) struct TokenFacts {
    /// What the configuration says, as it is a few hashes to compute.
    configured: OnceCell<Domain>,
    confirmed: RefCell<Option<Domain>>,
    /// Since when a request of this isolate is asking the token.
    asking_since: Cell<Option<Timestamp>>,
    /// When it last failed to hear.
    failed_at: Cell<Option<Timestamp>>,
}

/// The domain to check a signature in.
pub(super) enum TokenDomain {
    /// The token has confirmed it.
    Confirmed(Domain),
    /// The configuration says so; the token must still be asked before money depends on it.
    Configured(Domain),
}

impl TokenDomain {
    pub(super) const fn domain(&self) -> &Domain {
        match self {
            Self::Confirmed(domain) | Self::Configured(domain) => domain,
        }
    }
}

impl TokenFacts {
    /// The token's domain, without asking the chain where the configuration names it.
    pub(super) async fn domain(&self, rail: &Rail, rpc: &Rpc) -> Result<TokenDomain, Problem> {
        if let Some(domain) = self.confirmed.borrow().clone() {
            return Ok(TokenDomain::Confirmed(domain));
        }
        let token = &rail.token;
        match &token.domain {
            Some((name, version)) => {
                let domain = || Domain::new(name, version, rail.chain_id, token.address);
                Ok(TokenDomain::Configured(self.configured.get_or_init(domain).clone()))
            }
            None => Ok(TokenDomain::Confirmed(self.confirm(rail, rpc).await?)),
        }
    }

    /// The token's domain as the token confirms it. On a cold isolate one request asks and the others wait
    /// for it: a request cannot await another's promise on Workers, so they look again and again.
    pub(super) async fn confirm(&self, rail: &Rail, rpc: &Rpc) -> Result<Domain, Problem> {
        let begun = now();
        let is_asking = || self.asking_since.get().is_some_and(|since| now().since(since) < rpc.timeout());
        while self.confirmed.borrow().is_none() && is_asking() {
            sleep(LOOK_AGAIN).await;
        }
        if let Some(domain) = self.confirmed.borrow().clone() {
            return Ok(domain);
        }
        if self.failed_at.get().is_some_and(|failed_at| failed_at > begun) {
            // Whoever was waited for has not heard: asking one after another would only take longer.
            return Err(unknown());
        }
        self.asking_since.set(Some(now()));
        let domain = ask(rail, rpc).await;
        self.asking_since.set(None);
        match &domain {
            Ok(domain) => drop(self.confirmed.replace(Some(domain.clone()))),
            Err(_) => self.failed_at.set(Some(now())),
        }
        domain
    }
}

async fn ask(rail: &Rail, rpc: &Rpc) -> Result<Domain, Problem> {
    let token = &rail.token;
    let answers = rpc.batch(token.questions().into()).await.map_err(|_| unknown())?;
    token.confirm(rail.chain_id, &answers).map_err(|unconfirmed| match unconfirmed {
        Unconfirmed::Unknown => unknown(),
        Unconfirmed::Wrong(error) => misconfigured(&[rail.locate(error)]),
    })
}

fn unknown() -> Problem {
    Problem::unavailable("the chain cannot be asked about the token at the moment")
}
