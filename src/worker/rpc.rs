//! JSON-RPC over fetch: timeouts, ordered failover, and a check that an endpoint serves the right chain.

use super::clock::now;
use super::http;
use crate::evm::Address;
use crate::evm::ChainId;
use crate::evm::jsonrpc::{self, Block, NodeAnswer, NodeError, Request, Trial, decode, decode_u64, decode_u128};
use crate::evm::transaction::{Call, GasPrice};
use crate::settlement::Tried;
use crate::time::Timestamp;
use alloy_primitives::Bytes;
use std::cell::Cell;
use std::fmt;
use std::time::Duration;
use worker::console_warn;

/// An endpoint that failed is asked last for this long.
const COOL_DOWN: Duration = Duration::from_secs(10);

/// Providers limit how many requests one batch may hold.
const BATCH: usize = 50;

/// What nodes suggested to pay is what a transaction is tried out at for this long: they double the base fee for it, which takes six
/// full blocks.
const PRICE_LIFETIME: Duration = Duration::from_secs(60);

/// No endpoint gave an answer. What reached the chain is unknown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreachable;

/// The endpoints of one chain, in order of preference.
pub(super) struct Rpc {
    endpoints: Vec<Endpoint>,
    chain_id: ChainId,
    timeout: Duration,
    /// What nodes suggested last.
    price: Cell<Option<(GasPrice, Timestamp)>>,
}

struct Endpoint {
    url: String,
    /// Its chain id was seen to be right.
    verified: Cell<bool>,
    /// It was seen to be wrong, when last asked.
    is_elsewhere: Cell<bool>,
    /// Not preferred before this time.
    cool_until: Cell<Option<Timestamp>>,
}

/// Why an endpoint's answer is not used.
#[derive(Clone, Copy)]
enum Fault {
    Transport,
    Status(u16),
    NotJsonRpc,
    WrongChain,
    Busy,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "HTTP status {status}"),
            Self::NotJsonRpc => f.write_str("its answer is not JSON-RPC"),
            Self::WrongChain => f.write_str("it serves another chain"),
            Self::Busy => f.write_str("it is busy"),
        }
    }
}

impl Rpc {
    pub(super) fn new(urls: Vec<String>, chain_id: ChainId, timeout: Duration) -> Self {
        let endpoint = |url| Endpoint { url, verified: Cell::new(false), is_elsewhere: Cell::new(false), cool_until: Cell::new(None) };
        Self { endpoints: urls.into_iter().map(endpoint).collect(), chain_id, timeout, price: Cell::new(None) }
    }

    /// The longest that one endpoint may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The longest that one batch may take, when every endpoint hangs.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.saturating_mul(u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX))
    }

    /// Whether an endpoint was seen to serve another chain, when it was last asked.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.is_elsewhere.get())
    }

    /// Sends all requests in as few HTTP requests as providers allow, to the first endpoint that answers
    /// them all.
    pub(super) async fn batch(&self, requests: &[Request]) -> Result<Vec<NodeAnswer>, Unreachable> {
        let mut in_part = None;
        for (index, endpoint) in self.in_order() {
            let fault = match self.ask_endpoint(endpoint, requests).await {
                Ok(answers) if !answers.iter().any(|answer| matches!(answer, Err(NodeError::Busy))) => {
                    endpoint.cool_until.set(None);
                    return Ok(answers);
                }
                // Another endpoint may have time for what this one has not; if none has, a part is better than nothing.
                Ok(answers) => {
                    in_part = in_part.or(Some(answers));
                    Fault::Busy
                }
                Err(fault) => fault,
            };
            // The URL may hold an API key: endpoints are named by their position.
            console_warn!("rpc: chain {}: endpoint {index}: {fault}", self.chain_id);
            endpoint.cool_until.set(Some(now().saturating_add(COOL_DOWN)));
        }
        in_part.ok_or(Unreachable)
    }

    /// [`Rpc::batch`] for a known number of requests.
    pub(super) async fn ask<const N: usize>(&self, requests: [Request; N]) -> Result<[NodeAnswer; N], Unreachable> {
        self.batch(&requests).await?.try_into().map_err(|_| Unreachable)
    }

    /// Sends a signed transaction. An endpoint that refuses it for good may have rules of its own: that counts when all of them do.
    pub(super) async fn send(&self, raw: &Bytes) -> Result<Result<(), NodeError>, Unreachable> {
        let mut verdict = Ok(Err(NodeError::Unacceptable));
        for (index, endpoint) in self.in_order() {
            let fault = match self.ask_endpoint(endpoint, &[Request::send(raw)]).await.map(|mut answers| answers.pop()) {
                Ok(Some(Err(NodeError::Unacceptable))) => continue,
                Ok(None | Some(Err(NodeError::Busy))) => Fault::Busy,
                Ok(Some(answer)) => return Ok(answer.map(drop)),
                Err(fault) => fault,
            };
            console_warn!("rpc: chain {}: endpoint {index}: {fault}", self.chain_id);
            endpoint.cool_until.set(Some(now().saturating_add(COOL_DOWN)));
            verdict = Err(Unreachable);
        }
        verdict
    }

    /// Takes note of what nodes suggest to pay.
    pub(super) fn note_price(&self, price: GasPrice) {
        self.price.set(Some((price, now())));
    }

    async fn price(&self) -> Result<GasPrice, Unreachable> {
        if let Some((price, _)) = self.price.get().filter(|(_, at)| now().since(*at) < PRICE_LIFETIME) {
            return Ok(price);
        }
        let [block, gas_price] = self.ask([Request::latest_block(), Request::gas_price()]).await?;
        let block: Block = block.ok().and_then(|block| decode(&block).ok()).ok_or(Unreachable)?;
        let gas_price = gas_price.ok().and_then(|price| decode_u128(&price).ok()).ok_or(Unreachable)?;
        let price = block.suggest_price(gas_price);
        self.note_price(price);
        Ok(price)
    }

    /// Tries a transaction out as it would be sent, and asks `more` along with it.
    pub(super) async fn try_out(
        &self,
        from: Address,
        call: &Call,
        gas: u64,
        more: Vec<Request>,
    ) -> Result<(Tried, Vec<NodeAnswer>), Unreachable> {
        let trial = Trial { from, call, gas, price: self.price().await? };
        let mut requests = Vec::from([Request::try_out(&trial), Request::estimate_gas(&trial)]);
        requests.extend(more);
        let mut answers = self.batch(&requests).await?.into_iter();
        let (outcome, gas) = (answers.next().ok_or(Unreachable)?, answers.next().ok_or(Unreachable)?);
        if let Err(NodeError::Underpriced) = outcome {
            self.price.set(None);
        }
        let gas = gas.and_then(|gas| decode_u64(&gas).map_err(|_| NodeError::Other(0)));
        Ok((Tried { outcome: outcome.map(drop), gas }, answers.collect()))
    }

    /// Preferred endpoints first, those that failed lately after them.
    fn in_order(&self) -> Vec<(usize, &Endpoint)> {
        let now = now();
        let cools = |endpoint: &Endpoint| endpoint.cool_until.get().is_some_and(|until| now < until);
        let mut order: Vec<_> = self.endpoints.iter().enumerate().collect();
        order.sort_by_key(|(_, endpoint)| cools(endpoint));
        order
    }

    async fn ask_endpoint(&self, endpoint: &Endpoint, requests: &[Request]) -> Result<Vec<NodeAnswer>, Fault> {
        let mut answers = Vec::with_capacity(requests.len());
        for requests in requests.chunks(BATCH) {
            let more =
                if endpoint.verified.get() { self.post(&endpoint.url, requests).await? } else { self.verify(endpoint, requests).await? };
            answers.extend(more);
        }
        Ok(answers)
    }

    /// Asks for the chain id along with the first requests that an endpoint gets.
    async fn verify(&self, endpoint: &Endpoint, requests: &[Request]) -> Result<Vec<NodeAnswer>, Fault> {
        let mut with_check = Vec::with_capacity(requests.len() + 1);
        with_check.push(Request::chain_id());
        with_check.extend_from_slice(requests);
        endpoint.is_elsewhere.set(false);
        let mut answers = self.post(&endpoint.url, &with_check).await?.into_iter();
        match answers.next() {
            Some(Ok(chain_id)) if jsonrpc::is_chain(&chain_id, self.chain_id) => endpoint.verified.set(true),
            Some(Ok(_)) => {
                endpoint.is_elsewhere.set(true);
                return Err(Fault::WrongChain);
            }
            _ => return Err(Fault::Busy),
        }
        Ok(answers.collect())
    }

    async fn post(&self, url: &str, requests: &[Request]) -> Result<Vec<NodeAnswer>, Fault> {
        let body = jsonrpc::body(requests);
        let (status, text) = http::request("POST", url, Some(&body), self.timeout).await.map_err(|_| Fault::Transport)?;
        // Some nodes send JSON-RPC errors with a 4xx status; these are about the endpoint.
        if matches!(status, 401 | 403 | 429 | 500..) {
            return Err(Fault::Status(status));
        }
        jsonrpc::parse(&text, requests.len()).map_err(|_| if status == 200 { Fault::NotJsonRpc } else { Fault::Status(status) })
    }
}
