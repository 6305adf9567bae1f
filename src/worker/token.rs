//! What the chain says of the configured token: the EIP-712 domain its payers sign in, and whether the
//! configuration is right about it. Asked once per isolate; a failure is never remembered.

use super::clock::{now, sleep};
use super::config::Isolate;
use super::respond::misconfigured;
use crate::evm::eip712::Domain;
use crate::evm::erc3009;
use crate::evm::jsonrpc::{Answer, Request, decode};
use crate::evm::transaction::Call;
use crate::evm::{Address, B256, U256};
use crate::protocol::problem::{FieldError, Problem};
use crate::time::Timestamp;
use alloy_primitives::Bytes;
use core::time::Duration;
use std::cell::{Cell, RefCell};

/// How often a request looks whether another has heard from the token.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is known so far.
#[derive(Default)]
pub(super) struct TokenFacts {
    confirmed: RefCell<Option<Domain>>,
    /// Since when a request of this isolate is asking the token.
    asking_since: Cell<Option<Timestamp>>,
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

impl Isolate {
    /// The token's domain, without asking the chain where the configuration names it.
    pub(super) async fn token_domain(&self) -> Result<TokenDomain, Problem> {
        if let Some(domain) = self.token.confirmed.borrow().clone() {
            return Ok(TokenDomain::Confirmed(domain));
        }
        let token = &self.gateway.token;
        match &token.domain {
            Some((name, version)) => Ok(TokenDomain::Configured(Domain::new(name, version, self.gateway.chain_id, token.address))),
            None => Ok(TokenDomain::Confirmed(self.confirm_token().await?)),
        }
    }

    /// The token's domain as the token confirms it. On a cold isolate one request asks and the others wait
    /// for it: a request cannot await another's promise on Workers, so they look again and again.
    pub(super) async fn confirm_token(&self) -> Result<Domain, Problem> {
        let facts = &self.token;
        let is_asking = || facts.asking_since.get().is_some_and(|since| now().since(since) < self.gateway.limits.rpc_timeout);
        while facts.confirmed.borrow().is_none() && is_asking() {
            sleep(LOOK_AGAIN).await;
        }
        if let Some(domain) = facts.confirmed.borrow().clone() {
            return Ok(domain);
        }
        facts.asking_since.set(Some(now()));
        let domain = self.ask_token().await;
        facts.asking_since.set(None);
        domain.inspect(|domain| {
            facts.confirmed.replace(Some(domain.clone()));
        })
    }

    /// Asks the token for its domain and decimals and compares them with the configuration.
    async fn ask_token(&self) -> Result<Domain, Problem> {
        let token = &self.gateway.token;
        let [name, version, separator, decimals] = erc3009::metadata_calls();
        let requests = [name, version, separator, decimals].map(|data| Request::call(None, &Call { to: token.address, data: data.into() }));
        let answers = self.rpc.batch(&requests).await.map_err(|_| unknown())?;
        let [name, version, separator, decimals] = answers.as_slice() else { return Err(unknown()) };
        let separator = bytes(separator).and_then(|bytes| B256::try_from(bytes.as_ref()).ok());
        let Some(separator) = separator else { return Err(not_a_token()) };
        let decimals = bytes(decimals).and_then(|bytes| U256::try_from_be_slice(&bytes));
        if decimals.is_some_and(|decimals| decimals != U256::from(token.decimals)) {
            return Err(wrong("token.decimals", "is not what the token's decimals() says"));
        }
        let (name, version) = match &token.domain {
            Some(domain) => domain.clone(),
            None => read(name).zip(read(version)).ok_or_else(not_a_token)?,
        };
        let domain = Domain::new(&name, &version, self.gateway.chain_id, token.address);
        if domain.separator() != separator {
            return Err(wrong("token.name", "and token.version do not give the token's DOMAIN_SEPARATOR()"));
        }
        Ok(domain)
    }

    /// The token's address, for messages to the objects.
    pub(super) const fn token_address(&self) -> Address {
        self.gateway.token.address
    }
}

fn bytes(answer: &Answer) -> Option<Bytes> {
    decode(answer.as_ref().ok()?).ok()
}

fn read(answer: &Answer) -> Option<String> {
    erc3009::decode_string(&bytes(answer)?)
}

fn unknown() -> Problem {
    Problem::unavailable("the chain cannot be asked about the token")
}

fn not_a_token() -> Problem {
    wrong("token.address", "is no token with an EIP-712 domain that can be read; set token.name and token.version")
}

fn wrong(field: &str, detail: &str) -> Problem {
    let remedy = "compare token and network with the chain";
    misconfigured(&[FieldError { rule: 3, field: field.to_string(), detail: detail.to_string(), remedy: remedy.to_string() }])
}
