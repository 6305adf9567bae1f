//! One operation of the outbox: an effect on the chain, and the transactions tried for it.

use super::batch::{Batch, Carrier};
use super::{Failure, Purpose, Verdict};
use crate::evm::jsonrpc::{NodeError, TransactionReceipt};
use crate::evm::transaction::{Call, GasPrice};
use crate::evm::{Address, B256, ChainId};
use crate::time::{Timestamp, UnixSeconds};
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A transaction that is not mined after this is replaced at a higher price.
const STUCK: Duration = Duration::from_secs(15);

/// A transaction that is not mined after this is sent again as it is: a node may have dropped it.
const REBROADCAST: Duration = Duration::from_secs(4);

/// Transactions tried per operation at the most, unless nodes suggest to pay more than the last offers: each
/// raises the price by a quarter, so the last costs about six times the first.
const MAX_ATTEMPTS: usize = 9;

/// The account's next transaction is given up when it is not mined after this, as long as blocks are made: all others wait behind it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A nonce may be used up for this long without a receipt of ours before another is taken: a node may
/// serve its count before its receipts.
const ABSENCE: Duration = Duration::from_secs(3);

/// That nothing is found proves nothing at once: a node's logs may lag behind its state. This long it must
/// be found unused…
const UNUSED: Duration = Duration::from_secs(3);

/// …or used without a trace before that counts.
const TRACELESS: Duration = Duration::from_secs(60);

/// A transaction tried for an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its nonce.
    pub nonce: u64,
    /// Its hash.
    pub hash: B256,
    /// Its bytes.
    pub raw: Bytes,
    /// Its price.
    pub price: GasPrice,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// The transaction, ours or not, of the last log that a [`SearchPlan`](super::SearchPlan) finds.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Its receipt.
    pub receipt: TransactionReceipt,
    /// The time of its block.
    pub mined_at: UnixSeconds,
}

/// What a node says about the end of a purpose.
#[derive(Clone, Debug)]
pub struct Search {
    /// What [`Purpose::is_used`] read.
    pub used: bool,
    /// The transaction of the log.
    pub ending: Option<Ending>,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What it is for.
    pub purpose: Purpose,
    /// `None`: nothing is sent.
    gas_limit: Option<u64>,
    verdict: Option<Verdict>,
    /// Others that its transactions bring about as well.
    batch: Option<Batch>,
    /// The operation whose transactions bring this one about. Such a one is not stored by itself.
    #[serde(skip)]
    led_by: Option<B256>,
    /// Transactions of another operation that may have brought it about.
    carriers: Vec<Carrier>,
    /// Those of a batch that go on by themselves, until the outbox takes them.
    #[serde(skip)]
    freed: Vec<Self>,
    /// The account's nonce it holds. Kept after a verdict until it is used up, so that those behind it are not stuck.
    nonce: Option<u64>,
    attempts: Vec<Attempt>,
    /// Since when the nonce is used up without a receipt of ours.
    absent_since: Option<Timestamp>,
    underpriced: bool,
    /// Since when all others wait behind its nonce, by our clock and by the chain's.
    first_since: Option<(Timestamp, UnixSeconds)>,
    /// It is given up for those behind it: its nonce is to be used up by a transaction that does nothing. One that was sent before
    /// may still be mined instead.
    yields: bool,
    /// Its last transaction does nothing.
    is_empty: bool,
    /// The first block that is too late for it.
    late_since: Option<u64>,
    /// Since when searches find nothing, and what the state said then.
    fruitless_since: Option<(Timestamp, bool)>,
    /// Nothing was sent for it, nothing was found, and nothing is to be waited for.
    in_vain: bool,
    broadcast_at: Timestamp,
}

/// What the chain says at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) id: ChainId,
    pub(super) block: u64,
    pub(super) time: UnixSeconds,
    /// Transactions of the account in blocks.
    pub(super) count: u64,
    /// The first nonce that neither the node's pool nor an operation holds, below one that an operation holds.
    pub(super) gap: Option<u64>,
    pub(super) confirmations: u64,
    /// What nodes suggest to pay.
    pub(super) price: GasPrice,
}

/// What an operation needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing for now.
    Wait,
    /// Send the last transaction again.
    Rebroadcast,
    /// Sign with the same nonce at a higher price.
    Reprice,
    /// Take another nonce and sign.
    Renumber,
    /// Take the nonce of the gap and sign, unless another does.
    FillGap,
    /// Use this nonce up as well, unless another does.
    UseUp(u64),
    /// Search for what has become of it.
    Investigate,
}

impl Operation {
    /// A new operation. Without a `gas_limit` nothing is sent: what has already happened is looked for.
    pub(super) const fn new(purpose: Purpose, gas_limit: Option<u64>, now: Timestamp) -> Self {
        Self {
            purpose,
            gas_limit,
            verdict: None,
            batch: None,
            led_by: None,
            carriers: Vec::new(),
            freed: Vec::new(),
            nonce: None,
            attempts: Vec::new(),
            absent_since: None,
            underpriced: false,
            first_since: None,
            yields: false,
            is_empty: false,
            late_since: None,
            fruitless_since: None,
            in_vain: false,
            broadcast_at: now,
        }
    }

    /// How it ended, once it has.
    pub const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Whether nothing is left to do for it. Without a verdict it is as if it had never been asked for.
    pub const fn is_finished(&self) -> bool {
        self.nonce.is_none() && (self.verdict.is_some() || self.in_vain)
    }

    /// The transactions tried so far.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The nonce it holds.
    pub(super) const fn nonce(&self) -> Option<u64> {
        self.nonce
    }

    /// Whether nothing was sent for it, nor is to be.
    pub(super) const fn is_search(&self) -> bool {
        self.gas_limit.is_none() && self.attempts.is_empty() && self.carriers.is_empty() && self.verdict.is_none()
    }

    /// Whether another operation's transactions bring it about.
    pub(super) const fn is_led(&self) -> bool {
        self.led_by.is_some()
    }

    /// Whether something was sent for it that may still take effect.
    pub(super) const fn is_on_its_way(&self) -> bool {
        self.gas_limit.is_some() && self.verdict.is_none()
    }

    /// That of its transactions.
    pub(super) fn gas_limit(&self) -> Option<u64> {
        Some(self.gas_limit?.saturating_add(self.batch.as_ref().map_or(0, Batch::gas)))
    }

    /// What its transactions call.
    pub(super) fn call(&self) -> Call {
        self.batch.as_ref().map_or_else(|| self.purpose.call(), |batch| batch.call(&self.purpose))
    }

    /// When the last attempt was signed or sent again; drives the pace of polling.
    pub const fn broadcast_at(&self) -> Timestamp {
        self.broadcast_at
    }

    pub(super) fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// Whether its transaction must not take effect any more, and its nonce only has to be used up.
    pub(super) const fn is_abandoned(&self) -> bool {
        self.verdict.is_some() || self.yields
    }

    pub(super) fn record(&mut self, attempt: Attempt) {
        self.is_empty = self.is_abandoned();
        self.nonce = Some(attempt.nonce);
        self.broadcast_at = attempt.signed_at;
        self.absent_since = None;
        self.underpriced = false;
        self.attempts.push(attempt);
    }

    pub(super) const fn sent_again(&mut self, now: Timestamp) {
        self.broadcast_at = now;
    }

    /// A node, or where it refuses for good every node, refused the last transaction. It may have reached the chain by another way,
    /// so this proves nothing, unless nothing was ever sent before; but a price that is too low for one is raised, and one that none
    /// takes must not hold up those behind it.
    pub(super) fn refused(&mut self, error: &NodeError, chain_id: ChainId, now: Timestamp) {
        match error {
            NodeError::Underpriced => self.underpriced = true,
            // One of them may be to blame, or there are too many.
            NodeError::Unacceptable if self.batch.is_some() => self.part(chain_id, &[], now),
            NodeError::Unacceptable if self.verdict.is_none() => {
                let first_sending = matches!(self.attempts.as_slice(), [only] if only.signed_at == self.broadcast_at);
                if first_sending {
                    self.end(Verdict::Failed(Failure::NotMined));
                }
                self.yields = true;
            }
            _ => {}
        }
    }

    /// Its nonce is free for another: nobody ever heard of a transaction with it.
    pub(super) const fn release(&mut self) {
        self.nonce = None;
    }

    /// Looks at the chain and decides. `receipts` are those of its attempts.
    pub(super) fn review(&mut self, chain: &Chain, receipts: &[&TransactionReceipt], now: Timestamp) -> Step {
        if self.verdict.is_some() {
            return self.reclaim(chain, now);
        }
        self.late_since = self.is_late(chain).then(|| self.late_since.unwrap_or(chain.block).min(chain.block));
        if !receipts.is_empty() {
            return self.review_mined(chain, receipts, now);
        }
        if self.holds_up(chain, now) {
            if self.batch.is_some() {
                // One of them may be to blame: it has as long once more by itself.
                self.first_since = None;
                self.part(chain.id, &[], now);
            } else {
                self.yields = true;
            }
            return Step::Reprice;
        }
        if self.is_over(chain) {
            // It is the one of its batch that expires last.
            self.part(chain.id, &[], now);
            return Step::Investigate;
        }
        if self.late_since.is_some() {
            // Too late for another transaction, but others wait behind the nonce of the last.
            return if self.nonce.is_some_and(|nonce| nonce >= chain.count) { self.push(chain, now) } else { Step::Wait };
        }
        if self.attempts.is_empty() {
            return if self.gas_limit.is_none() { Step::Investigate } else { Step::Renumber };
        }
        match self.nonce {
            Some(nonce) if nonce < chain.count => {
                let since = *self.absent_since.get_or_insert(now);
                if now.since(since) < ABSENCE {
                    return Step::Wait;
                }
                // Somebody else has used the nonce up: nobody waits behind it any more.
                self.yields = false;
                Step::Renumber
            }
            Some(nonce) if self.waits_behind_gap(nonce, chain, now) => Step::FillGap,
            _ => {
                self.absent_since = None;
                self.push(chain, now)
            }
        }
    }

    /// Decides when attempts are mined.
    fn review_mined(&mut self, chain: &Chain, receipts: &[&TransactionReceipt], now: Timestamp) -> Step {
        if !receipts.iter().all(|receipt| is_deep(receipt, chain)) {
            return Step::Wait;
        }
        if self.batch.is_some() {
            self.part(chain.id, receipts, now);
            if !receipts.iter().any(|receipt| receipt.succeeded()) {
                return self.go_alone(receipts);
            }
        }
        if let Some(receipt) = receipts.iter().find(|receipt| self.purpose.is_fulfilled_by(chain.id, receipt)) {
            self.end(Verdict::Settled { transaction: receipt.transaction_hash });
            self.release_used(chain);
            return Step::Wait;
        }
        // What does nothing does not fail: that one was sent before.
        self.yields &= receipts.iter().all(|receipt| receipt.succeeded());
        let highest = self.attempts.iter().map(|attempt| attempt.nonce).max().filter(|nonce| *nonce >= chain.count);
        let Some(highest) = highest.filter(|_| !self.is_over(chain)) else { return Step::Investigate };
        // It had left this nonce for a lower one, and may still be mined with it. Nobody else may ever come to use up this nonce
        // or those before it, so that it gives way at each of them; meanwhile a search may find it ended by another's hand.
        self.yields = true;
        let step = match self.nonce {
            Some(nonce) if nonce >= chain.count && self.waits_behind_gap(nonce, chain, now) => Step::FillGap,
            Some(nonce) if nonce >= chain.count => self.push(chain, now),
            _ if self.is_stuck(now) => Step::UseUp(highest),
            _ => Step::Wait,
        };
        if step == Step::Wait { Step::Investigate } else { step }
    }

    /// The contract that was to bring all of a batch about has failed, which says nothing about this one.
    fn go_alone(&mut self, receipts: &[&TransactionReceipt]) -> Step {
        let (mined, open): (Vec<Attempt>, Vec<Attempt>) =
            self.attempts.drain(..).partition(|attempt| receipts.iter().any(|receipt| receipt.transaction_hash == attempt.hash));
        self.carriers.extend(mined.iter().map(Carrier::of));
        self.attempts = open;
        if self.attempts.is_empty() {
            self.nonce = None;
        }
        match self.nonce {
            _ if self.late_since.is_some() => Step::Wait,
            Some(_) => Step::Reprice,
            None => Step::Renumber,
        }
    }

    /// Those of its batch go on by themselves. They are settled where these receipts, deep enough, show it; what failed in a transaction
    /// that went well is as if its own had failed; what was in none goes into one of its own.
    fn part(&mut self, chain_id: ChainId, receipts: &[&TransactionReceipt], now: Timestamp) {
        let Some(batch) = self.batch.take() else { return };
        let own = self.attempts.iter().map(Carrier::of);
        let carriers: Vec<Carrier> = self.carriers.iter().copied().chain(own).collect();
        let one = |(purpose, gas_limit): (Purpose, u64)| {
            let mut operation = Self::new(purpose, Some(gas_limit), now);
            operation.carriers.clone_from(&carriers);
            match receipts.iter().find(|receipt| purpose.is_fulfilled_by(chain_id, receipt)) {
                Some(receipt) => operation.end(Verdict::Settled { transaction: receipt.transaction_hash }),
                None if receipts.iter().any(|receipt| receipt.succeeded()) => operation.gas_limit = None,
                None => {}
            }
            operation
        };
        self.freed = batch.others().map(one).collect();
    }

    /// Takes others along, which are not sent themselves.
    pub(super) fn lead(&mut self, batch: Batch) {
        self.batch = Some(batch);
    }

    /// Those that are brought about with it.
    pub(super) fn led(&self) -> Vec<Self> {
        let id = self.purpose.id();
        let one = |(purpose, gas_limit)| Self { led_by: Some(id), ..Self::new(purpose, Some(gas_limit), self.broadcast_at) };
        self.batch.iter().flat_map(Batch::others).map(one).collect()
    }

    /// Whether those of its batch go on by themselves.
    pub(super) const fn has_freed(&self) -> bool {
        !self.freed.is_empty()
    }

    /// Those of its batch that go on by themselves from now on.
    pub(super) fn take_freed(&mut self) -> Vec<Self> {
        core::mem::take(&mut self.freed)
    }

    /// The pending transaction is sent again, and replaced when that does not help.
    fn push(&self, chain: &Chain, now: Timestamp) -> Step {
        // Raising has its end, going along with the market has none: others wait behind this nonce.
        let outbid = || self.last_attempt().is_some_and(|attempt| attempt.price.most() < chain.price.most());
        let is_new = self.is_abandoned() && !self.is_empty;
        let may_raise = is_new || self.attempts.len() < MAX_ATTEMPTS || (self.is_stuck(now) && outbid());
        if (self.underpriced || self.is_stuck(now)) && may_raise {
            Step::Reprice
        } else if now.since(self.broadcast_at) >= REBROADCAST {
            Step::Rebroadcast
        } else {
            Step::Wait
        }
    }

    /// Whether all others have waited behind its nonce for too long. A chain that makes no blocks is not its fault.
    fn holds_up(&mut self, chain: &Chain, now: Timestamp) -> bool {
        if self.nonce != Some(chain.count) {
            self.first_since = None;
            return false;
        }
        let (since, block_time) = *self.first_since.get_or_insert((now, chain.time));
        !self.yields && now.since(since) >= PATIENCE && chain.time.timestamp().since(block_time.timestamp()) >= PATIENCE
    }

    fn is_late(&self, chain: &Chain) -> bool {
        self.purpose.valid_before().is_some_and(|end| chain.time >= end)
    }

    /// Whether its time is over, in a block as deep as a settlement must be: a reorganisation may take a
    /// shallower one back and bring it in time.
    fn is_over(&self, chain: &Chain) -> bool {
        self.late_since.is_some_and(|block| depth(block, chain) >= chain.confirmations)
    }

    fn is_stuck(&self, now: Timestamp) -> bool {
        self.last_attempt().is_none_or(|attempt| now.since(attempt.signed_at) >= STUCK)
    }

    /// Whether its nonce waits for one below that nobody holds, and for long enough.
    fn waits_behind_gap(&self, nonce: u64, chain: &Chain, now: Timestamp) -> bool {
        chain.gap.is_some_and(|gap| gap < nonce) && self.is_stuck(now)
    }

    /// After the verdict: the nonce must be used up, by whatever transaction.
    fn reclaim(&mut self, chain: &Chain, now: Timestamp) -> Step {
        self.release_used(chain);
        let Some(nonce) = self.nonce else { return Step::Wait };
        if self.waits_behind_gap(nonce, chain, now) {
            // Nobody waits behind it: who does takes a nonce below, as it would have to anyway.
            self.nonce = None;
            return Step::Wait;
        }
        self.push(chain, now)
    }

    fn release_used(&mut self, chain: &Chain) {
        if self.nonce.is_some_and(|nonce| nonce < chain.count) {
            self.nonce = None;
        }
    }

    fn end(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
        self.absent_since = None;
    }

    /// The chain was searched. `account` is the settlement account.
    pub(super) fn conclude(&mut self, search: &Search, account: Address, chain: &Chain, now: Timestamp) {
        if self.verdict.is_some() {
            return;
        }
        let ending = search.ending.as_ref().filter(|ending| self.purpose.is_decided_by(chain.id, &ending.receipt));
        let verdict = match ending {
            Some(ending) => self.judge(ending, account, chain),
            None => self.judge_absence(search.used, chain, now).map(Verdict::Failed),
        };
        if let Some(verdict) = verdict {
            self.part(chain.id, &[], now);
            self.end(verdict);
            self.release_used(chain);
        }
    }

    fn judge(&mut self, ending: &Ending, account: Address, chain: &Chain) -> Option<Verdict> {
        self.fruitless_since = None;
        if !is_deep(&ending.receipt, chain) {
            return None;
        }
        let transaction = ending.receipt.transaction_hash;
        let ours = |carrier: Carrier| carrier.hash == transaction;
        let sent_by_us = self.transactions().any(ours);
        let counts = self.purpose.is_fulfilled_by(chain.id, &ending.receipt) && self.purpose.is_ours(ending, sent_by_us, account);
        Some(if counts { Verdict::Settled { transaction } } else { Verdict::Failed(Failure::UsedElsewhere) })
    }

    /// All that may have brought it about.
    fn transactions(&self) -> impl Iterator<Item = Carrier> {
        self.carriers.iter().copied().chain(self.attempts.iter().map(Carrier::of))
    }

    fn judge_absence(&mut self, used: bool, chain: &Chain, now: Timestamp) -> Option<Failure> {
        if !self.is_over(chain) && self.transactions().any(|one| one.nonce >= chain.count) {
            // One has reverted, but another may still bring it about.
            return None;
        }
        let since = match self.fruitless_since {
            Some((since, before)) if before == used => since,
            _ => now,
        };
        self.fruitless_since = Some((since, used));
        if now.since(since) < if used { TRACELESS } else { UNUSED } {
            return None;
        }
        let nothing_was_sent = self.transactions().next().is_none();
        match (used, self.is_late(chain), nothing_was_sent) {
            (true, _, _) => Some(Failure::UsedElsewhere),
            (false, true, _) => Some(Failure::Expired),
            (false, false, false) if self.yields => Some(Failure::NotMined),
            (false, false, false) => Some(Failure::Reverted),
            // Who said it was used was wrong, or the block is being replaced.
            (false, false, true) => {
                self.in_vain = !self.purpose.awaits_others();
                None
            }
        }
    }
}

fn is_deep(receipt: &TransactionReceipt, chain: &Chain) -> bool {
    depth(receipt.block_number(), chain) >= chain.confirmations
}

/// Blocks from `block` to the latest, counting both.
fn depth(block: u64, chain: &Chain) -> u64 {
    chain.block.checked_sub(block).map_or(0, |above| above.saturating_add(1))
}
