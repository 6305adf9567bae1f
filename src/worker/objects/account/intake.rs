//! What is taken on. Whatever is asked for at the same time is signed, written in one go and sent together; where the rail settles in
//! batches, transfers wait for each other a little while.

use crate::evm::jsonrpc::{Request, decode};
use crate::evm::{Address, B256};
use crate::settlement::{Batching, Outbox, Purpose, Transfer, batches};
use crate::worker::clock::{now, turn, within};
use crate::worker::gathering::Gathered;
use crate::worker::rpc::Network;
use alloy_primitives::Bytes;
use futures_channel::oneshot;
use std::cell::{Cell, RefCell};
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
    waiting: RefCell<Vec<Waiting>>,
    /// Tells whoever takes them on that there are enough.
    full: Cell<Option<oneshot::Sender<()>>>,
    /// Whether the contract for batches is there. It is not asked for again as long as the object lives.
    has_multicall: Cell<Option<bool>>,
}

impl Intake {
    /// Returns whether the caller is the first, who takes all of them on.
    fn join(&self, order: Order, caller: oneshot::Sender<bool>, most: usize) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push((order, caller));
        if waiting.len() >= most
            && let Some(full) = self.full.take()
        {
            // Who has just woken up by itself does not mind.
            let _ = full.send(());
        }
        waiting.len() == 1
    }

    /// Has an order taken on. Whoever is the first waits for others and gets all of them, to take them on; every one of them is told
    /// then whether it was, and learns nothing if that did not come to its end.
    pub(super) async fn enter(&self, order: Order, batching: Option<&Batching>) -> (oneshot::Receiver<bool>, Vec<Waiting>) {
        let (sender, taken) = oneshot::channel();
        if !self.join(order, sender, batching.map_or(usize::MAX, |batching| batching.most)) {
            return (taken, Vec::new());
        }
        let taking = Taking(self);
        self.gather(batching).await;
        let waiting = self.waiting.take();
        drop(taking);
        (taken, waiting)
    }

    /// Waits for others, as long as is good.
    async fn gather(&self, batching: Option<&Batching>) {
        // Those that are woken by the same answer.
        turn().await;
        let Some(Batching { most, wait, .. }) = batching else { return };
        if self.waiting.borrow().len() < *most {
            let (sender, full) = oneshot::channel();
            self.full.set(Some(sender));
            let _ = within(*wait, full).await;
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

/// Whoever takes all on. Should it not come to that, they learn that nobody does.
struct Taking<'a>(&'a Intake);

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().clear();
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
