//! The escrow, the last blocks, and the transactions on their way.

use crate::fixture::{ABSENT, BLOCK, FINALIZED, on_chain};
use mpp_edge::channel::{CollectBy, Collection};
use mpp_edge::evm::escrow::OnChain;
use mpp_edge::evm::reading::{Reading, Views};
use mpp_edge::settlement::{Failure, Verdict};
use mpp_edge::time::UnixSeconds;

/// How long the payee has after a request: the least that is accepted.
pub(super) const GRACE: u64 = 600;

/// A reorganisation takes back so many changes of the channel at the most.
pub(super) const DEPTH: usize = 2;

/// What a transaction does to the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Open(u8),
    TopUp(u8),
    Request,
    Withdraw,
    Settle(u8),
    Close(u8),
}

impl Call {
    pub(super) fn of(collection: &Collection) -> Self {
        let cumulative = u8::try_from(collection.payout.voucher.cumulative.base_units()).unwrap();
        match collection.by {
            CollectBy::Settle => Self::Settle(cumulative),
            CollectBy::Close => Self::Close(cumulative),
        }
    }
}

/// The channel on chain, and what it has paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Escrow {
    pub(super) exists: bool,
    pub(super) deposit: u8,
    pub(super) settled: u8,
    pub(super) requested_at: Option<u64>,
    pub(super) finalized: bool,
    /// To the payee.
    pub(super) paid: u8,
    /// To the payer.
    pub(super) returned: u8,
}

impl Escrow {
    /// What comes of a call; `None` when it reverts. Signatures are the world's business.
    pub(super) fn apply(mut self, call: Call, now: u64) -> Option<Self> {
        match call {
            Call::Open(deposit) => {
                let free = !self.exists && !self.finalized;
                return free.then_some(Self { exists: true, deposit, ..self });
            }
            _ if !self.exists || self.finalized => return None,
            Call::TopUp(addition) => {
                self.deposit += addition;
                self.requested_at = None;
            }
            Call::Request => self.requested_at = self.requested_at.or(Some(now)),
            Call::Withdraw => {
                self.requested_at.filter(|at| at + GRACE <= now)?;
                self.finalize(self.settled);
            }
            Call::Settle(total) if total > self.settled && total <= self.deposit => {
                self.paid += total - self.settled;
                self.settled = total;
            }
            Call::Close(total) if total <= self.deposit => self.finalize(total.max(self.settled)),
            Call::Settle(_) | Call::Close(_) => return None,
        }
        Some(self)
    }

    fn finalize(&mut self, total: u8) {
        self.paid += total - self.settled;
        self.returned += self.deposit - total;
        self.finalized = true;
        self.requested_at = None;
    }

    /// What `getChannel` says.
    pub(super) fn view(&self) -> OnChain {
        if self.finalized {
            return FINALIZED;
        }
        if !self.exists {
            return ABSENT;
        }
        let at = UnixSeconds::new(self.requested_at.unwrap_or(0));
        OnChain { close_requested_at: at, ..on_chain(self.deposit.into(), self.settled.into()) }
    }
}

/// Whose transaction made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Others(Call),
    /// The outbox's, by its place there.
    Outbox(usize),
}

/// A collection in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) collection: Collection,
    /// Some node has its transaction.
    pub(super) in_pool: bool,
    /// Its transaction is in a block, and did it.
    pub(super) mined: bool,
    /// Its transaction is in a block, and reverted.
    pub(super) reverted: bool,
    /// It failed for no reason.
    pub(super) failed: bool,
    /// The ledger was told.
    pub(super) told: Option<bool>,
}

impl Entry {
    pub(super) const fn new(collection: Collection) -> Self {
        Self { collection, in_pool: true, mined: false, reverted: false, failed: false, told: None }
    }

    /// Whatever stands in the way of a close may not stand in that of a settlement.
    pub(super) const fn verdict(good: bool) -> Verdict {
        if good { crate::fixture::DONE } else { Verdict::Failed(Failure::Reverted) }
    }
}

/// The chain and the account's outbox.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) escrow: Escrow,
    /// The last changes, with what was there before: they may be taken back.
    pub(super) recent: Vec<(Source, Escrow)>,
    /// Transactions of others that a reorganisation took back, and that may come again.
    pub(super) returned: Vec<Call>,
    pub(super) outbox: Vec<Entry>,
}

impl Chain {
    /// With a channel that was just opened, or, for who is prudent, is deep.
    pub(super) fn new(deposit: u8, prudent: bool) -> Self {
        let mut chain = Self { escrow: Escrow::default(), recent: Vec::new(), returned: Vec::new(), outbox: Vec::new() };
        let call = Call::Open(deposit);
        chain.execute(Source::Others(call), call, 0);
        chain.recent.truncate(usize::from(!prudent));
        chain
    }

    /// What the gateway takes the chain to say. Who is prudent waits for more confirmations than a reorganisation takes back.
    pub(super) fn shown(&self, prudent: bool) -> OnChain {
        let latest = self.escrow.view();
        let deep = self.recent.first().map_or(latest, |(_, before)| before.view());
        if prudent { Reading::new(BLOCK, Views { latest, deep, signer_has_code: false }).on_chain } else { latest }
    }

    /// Whether a transaction with this call succeeds.
    pub(super) fn execute(&mut self, source: Source, call: Call, now: u64) -> bool {
        let Some(after) = self.escrow.apply(call, now) else { return false };
        self.recent.push((source, self.escrow));
        if self.recent.len() > DEPTH {
            self.recent.remove(0);
        }
        self.escrow = after;
        true
    }

    /// Whether a collection that reverted was brought about by somebody else.
    fn is_brought_about(&self, call: Call) -> bool {
        match call {
            Call::Settle(total) if !self.escrow.finalized => self.escrow.settled >= total,
            Call::Settle(total) | Call::Close(total) => self.escrow.finalized && self.escrow.paid >= total,
            _ => false,
        }
    }

    pub(super) fn mine(&mut self, index: usize, now: u64) {
        let call = Call::of(&self.outbox[index].collection);
        let done = self.execute(Source::Outbox(index), call, now);
        let entry = &mut self.outbox[index];
        entry.in_pool = false;
        entry.mined = done;
        entry.reverted = !done;
    }

    /// The end of a collection, when it may be told: a close when it is deep, a settlement as soon as it is mined.
    pub(super) fn end_of(&self, index: usize) -> Option<bool> {
        let entry = &self.outbox[index];
        let ended = (entry.mined, entry.reverted, entry.failed) != (false, false, false);
        let good = entry.mined || entry.reverted && self.is_brought_about(Call::of(&entry.collection));
        let is_deep = match entry.collection.by {
            CollectBy::Settle => true,
            CollectBy::Close if entry.mined => !self.recent.iter().any(|(source, _)| *source == Source::Outbox(index)),
            CollectBy::Close => self.recent.is_empty(),
        };
        (ended && (!good || is_deep)).then_some(good)
    }

    /// Takes the last change back, and says whose it was.
    pub(super) fn reorganise(&mut self) -> Option<Source> {
        let (source, before) = self.recent.pop()?;
        self.escrow = before;
        match source {
            Source::Others(Call::Withdraw) => {}
            Source::Others(call) => self.returned.push(call),
            Source::Outbox(index) => {
                let entry = &mut self.outbox[index];
                entry.mined = false;
                entry.in_pool = true;
            }
        }
        // What came after it is gone with it.
        for entry in self.outbox.iter_mut().filter(|entry| entry.reverted && entry.told.is_none()) {
            entry.reverted = false;
            entry.in_pool = true;
        }
        Some(source)
    }
}
