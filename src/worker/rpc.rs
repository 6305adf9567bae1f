//! JSON-RPC over fetch: timeouts, ordered failover, and a check that an endpoint serves the right chain.

use super::clock::now;
use super::http;
use super::together::join_all;
use crate::evm::Address;
use crate::evm::ChainId;
use crate::evm::gather::posts;
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
pub(super) const BATCH: usize = 50;

/// What nodes suggested to pay is what a transaction is tried out at for this long: they double the base fee for it, which takes six
/// full blocks.
const PRICE_LIFETIME: Duration = Duration::from_secs(60);

/// What one caller wants is asked in pieces no smaller than this.
const LEAST_ROOM: usize = 10;

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

/// What came of what somebody wanted to be asked.
pub(super) type Outcome = Result<Vec<NodeAnswer>, Unreachable>;

/// What somebody wants to be asked.
pub(super) struct Want {
    pub(super) requests: Vec<Request>,
    /// It is one transaction that is to be sent. An endpoint that refuses it for good may have rules of its own: that counts when all
    /// of them do.
    pub(super) is_sending: bool,
}

/// Somebody on the way from endpoint to endpoint.
struct Seeker<'a> {
    want: &'a Want,
    /// It has its answer.
    is_told: bool,
    /// What is answered if no endpoint does better.
    otherwise: Outcome,
}

impl<'a> Seeker<'a> {
    fn new(want: &'a Want) -> Self {
        let otherwise = if want.is_sending { Ok(Vec::from([Err(NodeError::Unacceptable)])) } else { Err(Unreachable) };
        Self { want, is_told: false, otherwise }
    }

    /// Takes note of what an endpoint answered. Returns the answers if they are what is told; the error is what is wrong with that
    /// endpoint.
    fn hear(&mut self, answers: Result<Vec<NodeAnswer>, Fault>) -> Result<Option<Vec<NodeAnswer>>, Fault> {
        let is_busy = |answers: &[NodeAnswer]| answers.iter().any(|answer| matches!(answer, Err(NodeError::Busy)));
        let fault = match answers {
            Ok(answers) if is_busy(&answers) => {
                // Another endpoint may have time for what this one has not; if none has, a part is better than nothing.
                if !self.want.is_sending && self.otherwise.is_err() {
                    self.otherwise = Ok(answers);
                }
                Fault::Busy
            }
            Ok(answers) if self.want.is_sending && matches!(answers.as_slice(), [Err(NodeError::Unacceptable)]) => return Ok(None),
            Ok(answers) => {
                self.is_told = true;
                return Ok(Some(answers));
            }
            Err(fault) => fault,
        };
        if self.want.is_sending {
            self.otherwise = Err(Unreachable);
        }
        Err(fault)
    }
}

/// Who can be asked: the endpoints, by each caller for itself, or by several at once ([`Gathered`](super::gathering::Gathered)).
pub(super) trait Network {
    /// The endpoints.
    fn rpc(&self) -> &Rpc;

    /// Has it asked.
    async fn want(&self, want: Want) -> Outcome;

    /// Sends all requests in as few HTTP requests as providers allow, to the first endpoint that answers them all.
    async fn batch(&self, requests: Vec<Request>) -> Outcome {
        self.want(Want { requests, is_sending: false }).await
    }

    /// [`Network::batch`] for a known number of requests.
    async fn ask<const N: usize>(&self, requests: [Request; N]) -> Result<[NodeAnswer; N], Unreachable> {
        self.batch(requests.into()).await?.try_into().map_err(|_| Unreachable)
    }

    /// Sends a signed transaction.
    async fn send(&self, raw: &Bytes) -> Result<Result<(), NodeError>, Unreachable> {
        let mut answers = self.want(Want { requests: Vec::from([Request::send(raw)]), is_sending: true }).await?;
        answers.pop().map(|answer| answer.map(drop)).ok_or(Unreachable)
    }

    /// What is to be paid for a unit of gas.
    async fn price(&self) -> Result<GasPrice, Unreachable> {
        let known = &self.rpc().price;
        if let Some((price, _)) = known.get().filter(|(_, at)| now().since(*at) < PRICE_LIFETIME) {
            return Ok(price);
        }
        let [block, gas_price] = self.ask([Request::latest_block(), Request::gas_price()]).await?;
        let block: Block = block.ok().and_then(|block| decode(&block).ok()).ok_or(Unreachable)?;
        let gas_price = gas_price.ok().and_then(|price| decode_u128(&price).ok()).ok_or(Unreachable)?;
        let price = block.suggest_price(gas_price);
        self.rpc().note_price(price);
        Ok(price)
    }

    /// Tries a transaction out as it would be sent, and asks `more` along with it.
    async fn try_out(&self, from: Address, call: &Call, gas: u64, more: Vec<Request>) -> Result<(Tried, Vec<NodeAnswer>), Unreachable> {
        let trial = Trial { from, call, gas, price: self.price().await? };
        let mut requests = Vec::from([Request::try_out(&trial), Request::estimate_gas(&trial)]);
        requests.extend(more);
        let mut answers = self.batch(requests).await?.into_iter();
        let (outcome, gas) = (answers.next().ok_or(Unreachable)?, answers.next().ok_or(Unreachable)?);
        if let Err(NodeError::Underpriced) = outcome {
            self.rpc().price.set(None);
        }
        let gas = gas.and_then(|gas| decode_u64(&gas).map_err(|_| NodeError::Other(0)));
        Ok((Tried { outcome: outcome.map(drop), gas }, answers.collect()))
    }
}

impl Network for Rpc {
    fn rpc(&self) -> &Rpc {
        self
    }

    async fn want(&self, want: Want) -> Outcome {
        let mut told = Err(Unreachable);
        self.ask_for(&[want], |_, outcome| told = outcome).await;
        told
    }
}

struct Endpoint {
    url: String,
    /// The most requests of several callers that it is sent in one post.
    room: Cell<usize>,
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
    Refused,
}

impl Fault {
    /// Whether what one caller wants may be to blame for what all get.
    const fn may_be_of_one(self) -> bool {
        match self {
            Self::NotJsonRpc | Self::Refused => true,
            Self::Status(status) => !matches!(status, 401 | 403 | 429),
            Self::Transport | Self::WrongChain | Self::Busy => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "HTTP status {status}"),
            Self::NotJsonRpc => f.write_str("its answer is not JSON-RPC"),
            Self::WrongChain => f.write_str("it serves another chain"),
            Self::Busy => f.write_str("it is busy"),
            Self::Refused => f.write_str("it refuses what it is asked as a whole"),
        }
    }
}

impl Rpc {
    pub(super) fn new(urls: Vec<String>, chain_id: ChainId, timeout: Duration) -> Self {
        let endpoint = |url| Endpoint {
            url,
            room: Cell::new(BATCH),
            verified: Cell::new(false),
            is_elsewhere: Cell::new(false),
            cool_until: Cell::new(None),
        };
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

    /// Asks for several callers at once. Each is told, by its place, as soon as an endpoint has an answer for it, whatever becomes of
    /// the others.
    pub(super) async fn ask_for(&self, wants: &[Want], mut tell: impl FnMut(usize, Outcome)) {
        let mut seekers: Vec<Seeker<'_>> = wants.iter().map(Seeker::new).collect();
        for (index, endpoint) in self.in_order() {
            let open: Vec<(usize, &mut Seeker<'_>)> = seekers.iter_mut().enumerate().filter(|(_, seeker)| !seeker.is_told).collect();
            if open.is_empty() {
                break;
            }
            let parts: Vec<&[Request]> = open.iter().map(|(_, seeker)| seeker.want.requests.as_slice()).collect();
            let answers = self.ask_endpoint(endpoint, &parts).await;
            let mut fault = None;
            for ((place, seeker), answers) in open.into_iter().zip(answers) {
                match seeker.hear(answers) {
                    Ok(Some(found)) => tell(place, Ok(found)),
                    Ok(None) => {}
                    Err(of_one) => fault = fault.or(Some(of_one)),
                }
            }
            match fault {
                None => endpoint.cool_until.set(None),
                Some(fault) => {
                    // The URL may hold an API key: endpoints are named by their position.
                    console_warn!("rpc: chain {}: endpoint {index}: {fault}", self.chain_id);
                    endpoint.cool_until.set(Some(now().saturating_add(COOL_DOWN)));
                }
            }
        }
        for (place, seeker) in seekers.into_iter().enumerate().filter(|(_, seeker)| !seeker.is_told) {
            tell(place, seeker.otherwise);
        }
    }

    /// Takes note of what nodes suggest to pay.
    pub(super) fn note_price(&self, price: GasPrice) {
        self.price.set(Some((price, now())));
    }

    /// Preferred endpoints first, those that failed lately after them.
    fn in_order(&self) -> Vec<(usize, &Endpoint)> {
        let now = now();
        let cools = |endpoint: &Endpoint| endpoint.cool_until.get().is_some_and(|until| now < until);
        let (mut order, late): (Vec<_>, Vec<_>) = self.endpoints.iter().enumerate().partition(|(_, endpoint)| !cools(endpoint));
        order.extend(late);
        order
    }

    /// Asks one endpoint for several callers, in as few posts as it allows.
    async fn ask_endpoint(&self, endpoint: &Endpoint, parts: &[&[Request]]) -> Vec<Result<Vec<NodeAnswer>, Fault>> {
        let mut rest = parts;
        let mut asked = Vec::new();
        for callers in posts(parts.iter().map(|part| part.len()), endpoint.room.get()) {
            let (together, others) = rest.split_at_checked(callers).unwrap_or((rest, &[]));
            asked.push(self.ask_together(endpoint, together));
            rest = others;
        }
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Asks for several callers in one post. When it is refused as a whole, one of them may be to blame: each is asked for by itself.
    async fn ask_together(&self, endpoint: &Endpoint, parts: &[&[Request]]) -> Vec<Result<Vec<NodeAnswer>, Fault>> {
        let requests = parts.concat();
        let answers = self.ask_in_pieces(endpoint, &requests).await;
        let [_, _, ..] = parts else { return Vec::from([answers]) };
        match answers {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                parts.iter().map(|part| Ok(answers.by_ref().take(part.len()).collect())).collect()
            }
            Err(fault) if fault.may_be_of_one() => join_all(parts.iter().map(|part| self.ask_in_pieces(endpoint, part))).await,
            Err(fault) => parts.iter().map(|_| Err(fault)).collect(),
        }
    }

    /// Asks for what is wanted, in more than one post where it is more than any may hold. An endpoint that has nothing for all of a post
    /// gets half as much from then on, since it may have been too much; what goes well gives it room again.
    async fn ask_in_pieces(&self, endpoint: &Endpoint, requests: &[Request]) -> Result<Vec<NodeAnswer>, Fault> {
        let mut answers = Vec::with_capacity(requests.len());
        for requests in requests.chunks(endpoint.room.get().max(LEAST_ROOM)) {
            let more =
                if endpoint.verified.get() { self.post(&endpoint.url, requests).await } else { self.verify(endpoint, requests).await };
            let room = endpoint.room.get();
            endpoint.room.set(match &more {
                Ok(_) => room.saturating_add(1).min(BATCH),
                Err(_) if requests.len() > 1 => room.min(requests.len() / 2),
                Err(_) => room,
            });
            answers.extend(more?);
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
        let (status, text) = http::post(url, &body, self.timeout).await.map_err(|_| Fault::Transport)?;
        // Some nodes send JSON-RPC errors with a 4xx status; these are about the endpoint.
        if matches!(status, 401 | 403 | 429 | 500..) {
            return Err(Fault::Status(status));
        }
        let answers = jsonrpc::parse(&text, requests.len());
        let answers = answers.map_err(|_| if status == 200 { Fault::NotJsonRpc } else { Fault::Status(status) })?;
        match answers.first() {
            // One that is alone is answered by that.
            Some(Err(error)) if requests.len() > 1 && jsonrpc::is_one_answer(&text) => {
                Err(if *error == NodeError::Busy { Fault::Busy } else { Fault::Refused })
            }
            _ => Ok(answers),
        }
    }
}
