//! What is taken on. Whatever is asked for at the same time is signed, written in one go and sent together; where the rail settles in
//! batches, transfers wait for each other a little while.

use crate::evm::jsonrpc::{Request, decode};
use crate::evm::{Address, B256};
use crate::settlement::{Batching, Outbox, Purpose, Transfer, batches};
use crate::worker::clock::{now, turn};
use crate::worker::gathering::Gathered;
use crate::worker::rpc::Network;
use crate::worker::waiting::{Bell, Party};
use alloy_primitives::Bytes;
use futures_channel::oneshot;
use std::cell::Cell;
use worker::{Result, console_error};

/// Something that is to be brought about, or, without a gas limit, looked for.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) purpose: Purpose,
    pub(super) gas_limit: Option<u64>,
}

impl Order {
    /// What may go in a batch.
    pub(super) const fn transfer(self) -> Option<(Transfer, u64)> {
        match (self.purpose, self.gas_limit) {
            (Purpose::Transfer(transfer), Some(gas)) => Some((transfer, gas)),
            _ => None,
        }
    }
}

/// It, and whoever asks for it.
pub(super) type Waiting = (Order, oneshot::Sender<bool>);

/// Those who wait to be taken on.
#[derive(Default)]
pub(super) struct Intake {
    waiting: Party<Waiting>,
    /// Tells whoever takes them on that there are enough.
    full: Bell,
    /// Whether the contract for batches is there. It is not asked for again as long as the object lives.
    has_multicall: Cell<Option<bool>>,
}

impl Intake {
    /// Has an order taken on. Whoever is the first waits for others and gets all of them, to take them on; every one of them is told
    /// then whether it was, and learns nothing if that did not come to its end.
    pub(super) async fn enter(&self, order: Order, batching: Option<&Batching>) -> (oneshot::Receiver<bool>, Vec<Waiting>) {
        let (sender, taken) = oneshot::channel();
        let lead = self.waiting.join((order, sender));
        if self.is_full(batching) {
            self.full.ring();
        }
        let Some(lead) = lead else { return (taken, Vec::new()) };
        self.gather(batching).await;
        (taken, lead.take())
    }

    /// Whether there are as many as go together.
    fn is_full(&self, batching: Option<&Batching>) -> bool {
        batching.is_some_and(|batching| self.waiting.weigh(|_| 1) >= batching.most)
    }

    /// Waits for others, as long as is good.
    async fn gather(&self, batching: Option<&Batching>) {
        // Those that are woken by the same answer.
        turn().await;
        let Some(Batching { wait, .. }) = batching else { return };
        if !self.is_full(batching) {
            self.full.wait(*wait).await;
        }
    }

    /// Whether batches are possible here.
    pub(super) async fn has_multicall(&self, chain: Gathered<'_>, multicall: Address) -> bool {
        if let Some(known) = self.has_multicall.get() {
            return known;
        }
        // Unless that is known, each goes by itself.
        let Ok([Ok(code)]) = chain.ask([Request::code(multicall)]).await else { return false };
        let Ok(code) = decode::<Bytes>(&code) else { return false };
        if code.is_empty() {
            console_error!("account: settle.batch.multicall: no contract is at {multicall}, so every transfer is a transaction of its own");
        }
        self.has_multicall.set(Some(!code.is_empty()));
        !code.is_empty()
    }
}

/// Puts transfers together. Returns what is to be sent, once it is persisted.
pub(super) fn submit_in_batches(outbox: &mut Outbox, batching: &Batching, transfers: Vec<(Transfer, u64)>) -> Vec<(B256, Bytes)> {
    let batches = batches(transfers, batching.most);
    batches.into_iter().filter_map(|batch| outbox.submit_batch(batching.multicall, batch, now())).collect()
}

/// A little gas more or less, at random. Another gateway that shares the account and is shown the same
/// credential at the same moment would else sign the very same transaction, and both would take it for theirs.
pub(super) fn salt() -> Result<u64> {
    let mut salt = [0; 2];
    getrandom::fill(&mut salt).map_err(|error| worker::Error::RustError(format!("entropy: {error}")))?;
    Ok(u16::from_be_bytes(salt).into())
}
