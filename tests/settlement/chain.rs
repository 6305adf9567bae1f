//! A chain in memory, as far as the outbox can tell it from a real one: blocks, a pool with nonce order and fee rules,
//! receipts and logs, reorganisations, and transactions of others.

use alloy_primitives::{Address, B256, U256, keccak256};
use mpp_edge::evm::erc3009::Authorization;
use mpp_edge::evm::jsonrpc::{Block as Header, NodeError, Receipt};
use mpp_edge::evm::transaction::GasPrice;
use mpp_edge::settlement::{AccountView, Ending, Search};
use mpp_edge::time::UnixSeconds;
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
    /// `transferWithAuthorization` of the authorization with this index.
    Transfer(usize),
    /// `cancelAuthorization` of it.
    Cancel(usize),
    /// Nothing that matters here.
    Nothing,
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

#[derive(Clone, Debug)]
struct Block {
    time: u64,
    /// With whether each succeeded.
    txs: Vec<(Tx, bool)>,
}

/// The chain and its pool.
pub(crate) struct Chain {
    pub(crate) account: Address,
    pub(crate) token: Address,
    pub(crate) authorizations: Vec<Authorization>,
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
    strangers: u64,
}

impl Chain {
    pub(crate) fn new(account: Address, token: Address, authorizations: Vec<Authorization>, time: u64) -> Self {
        let blocks = vec![Block { time, txs: Vec::new() }];
        Self {
            account,
            token,
            authorizations,
            blocks,
            pool: Vec::new(),
            floor: 100,
            behind: 1,
            refuses_low_fees: false,
            broke: false,
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

    /// The transaction that used or cancelled an authorization.
    pub(crate) fn used_by(&self, index: usize) -> Option<(usize, Tx)> {
        let uses = |tx: &Tx| tx.call == Call::Transfer(index) || tx.call == Call::Cancel(index);
        self.mined().find(|(_, tx, good)| *good && uses(tx)).map(|(number, tx, _)| (number, *tx))
    }

    /// The transaction that transferred it.
    pub(crate) fn transferred_by(&self, index: usize) -> Option<Tx> {
        self.used_by(index).map(|(_, tx)| tx).filter(|tx| tx.call == Call::Transfer(index))
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

    pub(crate) fn receipts(&self, hashes: &[B256]) -> Vec<Receipt> {
        hashes
            .iter()
            .filter_map(|hash| self.mined().find(|(_, tx, _)| tx.hash == *hash))
            .map(|(number, tx, good)| self.receipt(number, tx, good))
            .collect()
    }

    fn receipt(&self, number: usize, tx: &Tx, good: bool) -> Receipt {
        let from = if tx.sender == Sender::Stranger { Address::repeat_byte(0x5a) } else { self.account };
        let logs = match tx.call {
            Call::Transfer(index) if good => self.logs(index),
            _ => Vec::new(),
        };
        let receipt = json!({
            "transactionHash": tx.hash, "from": from, "status": if good { "0x1" } else { "0x0" },
            "blockNumber": format!("{number:#x}"), "logs": logs,
        });
        serde_json::from_value(receipt).unwrap()
    }

    fn logs(&self, index: usize) -> Vec<Value> {
        let authorization = &self.authorizations[index];
        let topics = [keccak256("Transfer(address,address,uint256)"), authorization.from.into_word(), authorization.to.into_word()];
        let value = B256::from(U256::from(authorization.value.base_units()));
        vec![
            json!({ "address": self.token, "topics": authorization.used_topics(), "data": "0x" }),
            json!({ "address": self.token, "topics": topics, "data": value }),
        ]
    }

    /// What a search finds on a node that has not seen blocks after `until`.
    pub(crate) fn search(&self, index: usize, until: u64) -> Search {
        let ends = |tx: &Tx| tx.call == Call::Transfer(index) || tx.call == Call::Cancel(index);
        let seen = self.mined().filter(|(number, _, _)| self.blocks[*number].time <= until);
        let ending = seen.into_iter().find(|(_, tx, good)| *good && ends(tx)).map(|(number, tx, good)| Ending {
            receipt: self.receipt(number, tx, good),
            mined_at: UnixSeconds::new(self.blocks[number].time),
        });
        Search { used: ending.is_some(), ending }
    }

    /// A node takes a transaction into its pool, or says why not.
    pub(crate) fn send(&mut self, tx: Tx) -> Result<(), NodeError> {
        if self.pool.iter().any(|held| held.hash == tx.hash) || self.mined().any(|(_, held, _)| held.hash == tx.hash) {
            return Err(NodeError::AlreadyKnown);
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
        self.mined().any(|(_, tx, _)| tx.sender == Sender::Stranger)
    }

    /// The other gateway sees to it that its transactions are not stuck.
    pub(crate) fn raise_others(&mut self) {
        let fee = self.floor * 2 + 1;
        for tx in self.pool.iter_mut().filter(|tx| tx.sender != Sender::Outbox) {
            tx.fee = fee.max(tx.fee);
        }
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
            let next = self.pool.iter().position(|tx| tx.fee >= self.floor && (tx.sender == Sender::Stranger || tx.nonce == count));
            let Some(at) = next else { break };
            let tx = self.pool.remove(at);
            let good = self.succeeds(&tx, time);
            self.blocks.last_mut().unwrap().txs.push((tx, good));
        }
        let count = self.count();
        self.pool.retain(|tx| tx.sender == Sender::Stranger || tx.nonce >= count);
    }

    fn succeeds(&self, tx: &Tx, time: u64) -> bool {
        match tx.call {
            Call::Transfer(index) => {
                let window = &self.authorizations[index];
                let in_time = window.valid_after.get() < time && time < window.valid_before.get();
                in_time && !self.broke && self.used_by(index).is_none()
            }
            Call::Cancel(index) => self.used_by(index).is_none(),
            Call::Nothing => true,
        }
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

fn header(number: usize, time: u64) -> Header {
    serde_json::from_value(json!({ "number": format!("{number:#x}"), "timestamp": format!("{time:#x}") })).unwrap()
}
