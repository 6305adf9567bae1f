//! A chain in memory, as far as the outbox can tell it from a real one: blocks, a pool with nonce order and fee rules,
//! receipts and logs, reorganisations, and transactions of others.

use super::escrow::{Contracts, matches};
use alloy_primitives::{Address, B256, keccak256};
use mpp_edge::evm::jsonrpc::{Block as Header, Log, NodeError, TransactionReceipt};
use mpp_edge::evm::transaction::GasPrice;
use mpp_edge::settlement::{AccountView, Ending, Purpose, Search};
use mpp_edge::time::UnixSeconds;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Who sent a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The settlement account, through the outbox under test.
    Outbox,
    /// The settlement account, through another gateway.
    OtherOutbox,
    /// Anybody else.
    Stranger,
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// What the purpose with this index calls.
    Do(usize),
    /// What these purposes call, each whatever becomes of the others; of those in a block, these were done.
    All { wanted: Set, done: Set },
    /// `cancelAuthorization` of its authorization.
    Cancel(usize),
    /// `open`, by the payer itself, with this deposit.
    PayerOpens(u128),
    /// `withdraw`, by the payer.
    Withdraw,
    /// Nothing that matters here.
    Nothing,
}

/// Purposes by their indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(u16);

impl Set {
    pub(crate) fn of(indices: impl IntoIterator<Item = usize>) -> Self {
        Self(indices.into_iter().fold(0, |set, index| set | 1 << index))
    }

    pub(crate) fn has(self, index: usize) -> bool {
        self.0 & 1 << index != 0
    }

    pub(crate) fn indices(self) -> impl Iterator<Item = usize> {
        (0..16).filter(move |index| self.has(*index))
    }
}

/// A transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tx {
    pub(crate) hash: B256,
    pub(crate) sender: Sender,
    /// Of the settlement account; strangers' do not matter.
    pub(crate) nonce: u64,
    pub(crate) fee: u128,
    pub(crate) call: Call,
}

impl Tx {
    /// Whether it does what the purpose with this index is for, if it is in a block and went well.
    pub(crate) fn does(&self, index: usize) -> bool {
        match self.call {
            Call::Do(done) => done == index,
            Call::All { done, .. } => done.has(index),
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
struct Block {
    time: u64,
    /// With whether each succeeded.
    txs: Vec<(Tx, bool)>,
}

/// The chain and its pool.
pub(crate) struct Chain {
    pub(crate) account: Address,
    purposes: &'static [Purpose],
    blocks: Vec<Block>,
    pool: Vec<Tx>,
    /// The base fee: no transaction below it is mined.
    pub(crate) floor: u128,
    /// How far what nodes suggest lags behind the base fee.
    pub(crate) behind: u128,
    /// Whether the node refuses what is below the floor, or lets it wait.
    pub(crate) refuses_low_fees: bool,
    /// The payers have no money: every transfer reverts.
    pub(crate) broke: bool,
    /// The contract that makes several calls fails as a whole.
    pub(crate) breaks_batches: bool,
    /// Of these purposes the transactions are refused for good, by every node.
    pub(crate) unacceptable: BTreeSet<usize>,
    /// Of these the transactions are taken into pools and never into a block.
    pub(crate) shunned: BTreeSet<usize>,
    strangers: u64,
}

impl Chain {
    pub(crate) fn new(account: Address, purposes: &'static [Purpose], time: u64) -> Self {
        let blocks = vec![Block { time, txs: Vec::new() }];
        Self {
            account,
            purposes,
            blocks,
            pool: Vec::new(),
            floor: 100,
            behind: 1,
            refuses_low_fees: false,
            broke: false,
            breaks_batches: false,
            unacceptable: BTreeSet::new(),
            shunned: BTreeSet::new(),
            strangers: 0,
        }
    }

    fn mined(&self) -> impl Iterator<Item = (usize, &Tx, bool)> {
        self.blocks.iter().enumerate().flat_map(|(number, block)| block.txs.iter().map(move |(tx, good)| (number, tx, *good)))
    }

    /// The settlement account's transactions in blocks.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.mined().filter(|(_, tx, _)| tx.sender != Sender::Stranger).count()).unwrap()
    }

    fn pending_count(&self) -> u64 {
        let mut count = self.count();
        while self.pool.iter().any(|tx| tx.sender != Sender::Stranger && tx.nonce == count) {
            count += 1;
        }
        count
    }

    pub(crate) fn pool_is_empty(&self) -> bool {
        self.pool.is_empty()
    }

    /// Every transaction in a block not younger than `until`, with its logs and what it made of the contracts.
    fn replay(&self, until: u64) -> Vec<(usize, Tx, bool, Vec<Log>, Contracts)> {
        let mut contracts = Contracts::default();
        let seen = self.mined().filter(|(number, _, _)| self.blocks[*number].time <= until);
        seen.map(|(number, tx, good)| {
            let logs = if good { contracts.apply(self.purposes, tx) } else { Vec::new() };
            (number, *tx, good, logs, contracts.clone())
        })
        .collect()
    }

    /// The contracts as a node shows them that has not seen blocks after `until`.
    pub(crate) fn contracts(&self, until: u64) -> Contracts {
        self.replay(until).pop().map(|(.., contracts)| contracts).unwrap_or_default()
    }

    /// Whether a purpose can no longer be brought about, as a node says.
    pub(crate) fn is_used(&self, index: usize, until: u64) -> bool {
        let purpose = &self.purposes[index];
        let plan = purpose.search();
        let answer = self.contracts(until).answer(self.purposes, plan.state.to, &plan.state.data);
        purpose.is_used(&answer).unwrap()
    }

    /// Whether the purpose's transaction would succeed now.
    pub(crate) fn would_succeed(&self, index: usize, time: u64) -> bool {
        self.contracts(u64::MAX).allow(self.purposes, Sender::Outbox, Call::Do(index), time, self.broke)
    }

    /// The successful transaction of the purpose, whoever sent it.
    pub(crate) fn done_by(&self, index: usize) -> Option<Tx> {
        self.mined().find(|(_, tx, good)| *good && tx.does(index)).map(|(_, tx, _)| *tx)
    }

    /// A successful transaction, and what it made of the contracts.
    pub(crate) fn successful(&self, hash: B256) -> Option<(Tx, Contracts)> {
        let found = self.replay(u64::MAX).into_iter().find(|(_, tx, good, ..)| *good && tx.hash == hash);
        found.map(|(_, tx, _, _, contracts)| (tx, contracts))
    }

    fn suggestion(&self) -> GasPrice {
        GasPrice::Dynamic { max_fee: self.floor / self.behind * 2 + 1, priority_fee: 1 }
    }

    pub(crate) fn view(&self) -> AccountView {
        let top = self.blocks.last().unwrap();
        AccountView {
            block: header(self.blocks.len() - 1, top.time),
            latest_count: self.count(),
            pending_count: self.pending_count(),
            price: self.suggestion(),
        }
    }

    pub(crate) fn receipts(&self, hashes: &[B256]) -> Vec<TransactionReceipt> {
        let mined = self.replay(u64::MAX).into_iter().filter(|(_, tx, ..)| hashes.contains(&tx.hash));
        mined.map(|(number, tx, good, logs, _)| self.receipt(number, &tx, good, &logs)).collect()
    }

    fn receipt(&self, number: usize, tx: &Tx, good: bool, logs: &[Log]) -> TransactionReceipt {
        let from = if tx.sender == Sender::Stranger { Address::repeat_byte(0x5a) } else { self.account };
        let receipt = json!({
            "transactionHash": tx.hash, "from": from, "status": if good { "0x1" } else { "0x0" },
            "blockNumber": format!("{number:#x}"), "logs": logs,
        });
        serde_json::from_value(receipt).unwrap()
    }

    /// What a search finds on a node whose state has not seen blocks after `until`, and its logs none after `logs_until`.
    pub(crate) fn search(&self, index: usize, until: u64, logs_until: u64) -> Search {
        let plan = self.purposes[index].search();
        if !self.is_used(index, until) {
            return Search { used: false, ending: None };
        }
        let found = |logs: &[Log]| logs.iter().any(|log| log.address == plan.contract && matches(&plan.filter, log));
        let last = self.replay(logs_until).into_iter().rfind(|(_, _, _, logs, _)| found(logs));
        let ending = last.map(|(number, tx, good, logs, _)| Ending {
            receipt: self.receipt(number, &tx, good, &logs),
            mined_at: UnixSeconds::new(self.blocks[number].time),
        });
        Search { used: true, ending }
    }

    /// A node takes a transaction into its pool, or says why not.
    pub(crate) fn send(&mut self, tx: Tx) -> Result<(), NodeError> {
        if self.pool.iter().any(|held| held.hash == tx.hash) || self.mined().any(|(_, held, _)| held.hash == tx.hash) {
            return Err(NodeError::AlreadyKnown);
        }
        if tx.sender == Sender::Outbox && is_of(&tx, &self.unacceptable) {
            return Err(NodeError::Unacceptable);
        }
        if tx.sender != Sender::Stranger {
            if tx.nonce < self.count() {
                return Err(NodeError::NonceTooLow);
            }
            if self.refuses_low_fees && tx.fee < self.floor {
                return Err(NodeError::Underpriced);
            }
            if let Some(held) = self.pool.iter_mut().find(|held| held.sender != Sender::Stranger && held.nonce == tx.nonce) {
                if tx.fee < held.fee + held.fee / 10 {
                    return Err(NodeError::Underpriced);
                }
                *held = tx;
                return Ok(());
            }
        }
        self.pool.push(tx);
        Ok(())
    }

    /// Somebody else, or another gateway of the same account, sends a transaction.
    pub(crate) fn send_other(&mut self, sender: Sender, call: Call) {
        self.strangers += 1;
        let hash = keccak256(self.strangers.to_be_bytes());
        let tx = Tx { hash, sender, nonce: self.pending_count(), fee: self.floor * 2 + 1, call };
        let _ = self.send(tx);
    }

    pub(crate) fn has_strangers(&self) -> bool {
        self.mined().any(|(_, tx, _)| tx.sender == Sender::Stranger && !matches!(tx.call, Call::PayerOpens(_)))
    }

    /// The other gateway sees to it that its transactions are not stuck.
    pub(crate) fn raise_others(&mut self) {
        let fee = self.floor * 2 + 1;
        for tx in self.pool.iter_mut().filter(|tx| tx.sender != Sender::Outbox) {
            tx.fee = fee.max(tx.fee);
        }
    }

    /// Whoever makes blocks takes strangers' transactions first.
    pub(crate) fn reorder_strangers_first(&mut self) {
        self.pool.sort_by_key(|tx| tx.sender != Sender::Stranger);
    }

    /// The node forgets one of the account's transactions.
    pub(crate) fn drop_one(&mut self, which: usize) {
        let held: Vec<usize> = (0..self.pool.len()).filter(|at| self.pool[*at].sender != Sender::Stranger).collect();
        if !held.is_empty() {
            self.pool.remove(held[which % held.len()]);
        }
    }

    /// A block with up to `most` transactions of the pool.
    pub(crate) fn mine(&mut self, time: u64, most: usize) {
        let time = time.max(self.blocks.last().unwrap().time);
        self.blocks.push(Block { time, txs: Vec::new() });
        for _ in 0..most {
            let count = self.count();
            let taken = |tx: &Tx| tx.fee >= self.floor && !(tx.sender == Sender::Outbox && is_of(tx, &self.shunned));
            let next = self.pool.iter().position(|tx| taken(tx) && (tx.sender == Sender::Stranger || tx.nonce == count));
            let Some(at) = next else { break };
            let mut tx = self.pool.remove(at);
            let mut good = self.succeeds(&tx, time);
            if let Call::All { wanted, done } = &mut tx.call {
                let contracts = self.contracts(u64::MAX);
                let does = |index: &usize| contracts.allow(self.purposes, tx.sender, Call::Do(*index), time, self.broke);
                *done = Set::of(wanted.indices().filter(does));
                good = !self.breaks_batches;
            }
            self.blocks.last_mut().unwrap().txs.push((tx, good));
        }
        let count = self.count();
        self.pool.retain(|tx| tx.sender == Sender::Stranger || tx.nonce >= count);
    }

    fn succeeds(&self, tx: &Tx, time: u64) -> bool {
        self.contracts(u64::MAX).allow(self.purposes, tx.sender, tx.call, time, self.broke)
    }

    /// The last `depth` blocks are replaced by as many at the same times. What stood in them is back in the pool, or gone
    /// from this node when `lossy`; the first new block takes up to `most` of the pool.
    pub(crate) fn reorganise(&mut self, depth: usize, lossy: bool, most: usize) {
        let keep = self.blocks.len().saturating_sub(depth).max(1);
        let gone = self.blocks.split_off(keep);
        if !lossy {
            let back = gone.iter().flat_map(|block| block.txs.iter().map(|(tx, _)| *tx));
            let (mut back, held): (Vec<Tx>, _) = (back.collect(), core::mem::take(&mut self.pool));
            back.extend(held);
            // One transaction per nonce, the first.
            let mut nonces = BTreeMap::new();
            back.retain(|tx| tx.sender == Sender::Stranger || nonces.insert(tx.nonce, ()).is_none());
            self.pool = back;
        }
        for block in gone {
            self.mine(block.time, most);
        }
    }
}

fn is_of(tx: &Tx, purposes: &BTreeSet<usize>) -> bool {
    match tx.call {
        Call::Do(index) => purposes.contains(&index),
        Call::All { wanted, .. } => wanted.indices().any(|index| purposes.contains(&index)),
        _ => false,
    }
}

fn header(number: usize, time: u64) -> Header {
    serde_json::from_value(json!({ "number": format!("{number:#x}"), "timestamp": format!("{time:#x}") })).unwrap()
}
