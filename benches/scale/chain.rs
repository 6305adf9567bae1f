//! The chain: blocks, the account's transactions in the order of their nonces, and the escrow.

use super::market::{BLOCK, Market, TIP};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use mpp_edge::evm::escrow::OnChain;
use mpp_edge::evm::jsonrpc::{Block, TransactionReceipt};
use mpp_edge::evm::transaction::GasPrice;
use mpp_edge::money::Amount;
use mpp_edge::settlement::{AccountView, Purpose};
use mpp_edge::time::UnixSeconds;
use serde_json::json;
use std::collections::BTreeMap;

/// The block in which the simulation begins, and its time.
pub(crate) const FIRST_BLOCK: u64 = 1_000_000;
pub(crate) const BEGINS: u64 = 1_800_000_000;
pub(crate) const CHAIN_ID: u64 = 31_337;

/// Of one account's transactions a block takes at most so many: as many as a node's pool vouches to keep for it (geth, `accountslots`).
const PER_BLOCK: usize = 16;

/// Gas of a transaction that does nothing, and of one that reverts at once.
const EMPTY_GAS: u64 = 21_000;
const REVERTED_GAS: u64 = 32_000;
/// [`Purpose::gas_cap`] is so many times what was measured of a plain transaction.
const CAP_MARGIN: u64 = 5;

struct Pending {
    hash: B256,
    price: GasPrice,
    purpose: Purpose,
    is_empty: bool,
}

/// What a mined transaction has cost, and what it brought.
pub(crate) struct Mined {
    pub(crate) gas: u64,
    pub(crate) wei: u128,
    pub(crate) collected: Amount,
}

pub(crate) struct Chain<'a> {
    pub(crate) market: &'a Market,
    account: Address,
    pub(crate) escrow: Address,
    block: u64,
    count: u64,
    pool: BTreeMap<u64, Vec<Pending>>,
    receipts: BTreeMap<B256, TransactionReceipt>,
    channels: BTreeMap<B256, OnChain>,
}

impl<'a> Chain<'a> {
    pub(crate) fn new(market: &'a Market, account: Address, escrow: Address) -> Self {
        let (pool, receipts, channels) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { market, account, escrow, block: 0, count: 0, pool, receipts, channels }
    }

    pub(crate) fn block(&self) -> u64 {
        FIRST_BLOCK + self.block
    }

    pub(crate) fn open(&mut self, id: B256, channel: OnChain) {
        self.channels.insert(id, channel);
    }

    pub(crate) fn channel(&self, id: &B256) -> OnChain {
        self.channels[id]
    }

    pub(crate) fn channel_mut(&mut self, id: &B256) -> &mut OnChain {
        self.channels.get_mut(id).unwrap()
    }

    pub(crate) fn view(&self) -> AccountView {
        let base_fee = self.market.base_fee(self.block);
        let header = json!({
            "number": format!("{:#x}", self.block()),
            "timestamp": format!("{:#x}", BEGINS + self.block * BLOCK),
            "baseFeePerGas": format!("{base_fee:#x}"),
        });
        let block: Block = serde_json::from_value(header).unwrap();
        let mut pending_count = self.count;
        while self.pool.contains_key(&pending_count) {
            pending_count += 1;
        }
        AccountView { block, latest_count: self.count, pending_count, price: block.suggest_price(base_fee + TIP) }
    }

    pub(crate) fn receive(&mut self, nonce: u64, hash: B256, raw: &Bytes, price: GasPrice, purpose: Purpose) {
        let known = self.pool.entry(nonce).or_default();
        if nonce >= self.count && known.iter().all(|pending| pending.hash != hash) {
            // A call of the escrow carries a voucher; one that does nothing carries nothing.
            known.push(Pending { hash, price, purpose, is_empty: raw.len() < 200 });
        }
    }

    pub(crate) fn receipt(&self, hash: &B256) -> Option<TransactionReceipt> {
        self.receipts.get(hash).cloned()
    }

    /// The plain gas of what a purpose sends.
    pub(crate) fn gas(purpose: &Purpose) -> u64 {
        purpose.gas_cap(CHAIN_ID) / CAP_MARGIN
    }

    /// Makes the next block.
    pub(crate) fn mine(&mut self, block: u64) -> Vec<Mined> {
        self.block = block;
        let base_fee = self.market.base_fee(block);
        let mut mined = Vec::new();
        while mined.len() < PER_BLOCK {
            let Some(known) = self.pool.get(&self.count) else { break };
            let dearest = known.iter().max_by_key(|pending| pending.price.most()).filter(|pending| pending.price.most() >= base_fee);
            let Some(&Pending { hash, price, purpose, is_empty }) = dearest else { break };
            self.pool.remove(&self.count);
            self.count += 1;
            mined.push(self.execute(hash, price, &purpose, is_empty, base_fee));
        }
        mined
    }

    fn execute(&mut self, hash: B256, price: GasPrice, purpose: &Purpose, is_empty: bool, base_fee: u128) -> Mined {
        let (is_close, payout) = match purpose {
            Purpose::Settle(payout) => (false, payout),
            Purpose::Close(payout) => (true, payout),
            _ => panic!("only collections are sent"),
        };
        let channel = self.channels.get_mut(&payout.channel_id).unwrap();
        let cumulative = payout.voucher.cumulative;
        let takes = !is_empty && !channel.finalized && cumulative <= channel.deposit && (is_close || cumulative > channel.settled);
        let collected = if takes { cumulative.saturating_sub(channel.settled) } else { Amount::ZERO };
        let mut logs = Vec::new();
        if takes {
            channel.settled = channel.settled.max(cumulative);
            channel.finalized = is_close;
            let signature: &[u8] = if is_close {
                b"ChannelClosed(bytes32,address,address,uint256,uint256)"
            } else {
                b"Settled(bytes32,address,address,uint256,uint256,uint256)"
            };
            let settled = B256::from(channel.settled.to_u256()).to_string().split_off(2);
            let none = B256::ZERO.to_string().split_off(2);
            let data = if is_close { format!("0x{settled}{none}") } else { format!("0x{settled}{none}{settled}") };
            let topics = [keccak256(signature), payout.channel_id, channel.payer.into_word(), channel.payee.into_word()];
            logs.push(json!({ "address": self.escrow, "topics": topics, "data": data }));
        }
        let succeeds = takes || is_empty;
        let gas = match (is_empty, succeeds) {
            (true, _) => EMPTY_GAS,
            (false, false) => REVERTED_GAS,
            (false, true) => Self::gas(purpose),
        };
        let paid = match price {
            GasPrice::Dynamic { max_fee, priority_fee } => (base_fee + priority_fee).min(max_fee),
            GasPrice::Legacy(price) => price,
        };
        let receipt = json!({
            "transactionHash": hash,
            "from": self.account,
            "status": if succeeds { "0x1" } else { "0x0" },
            "blockNumber": format!("{:#x}", self.block()),
            "logs": logs,
        });
        self.receipts.insert(hash, serde_json::from_value(receipt).unwrap());
        Mined { gas, wei: u128::from(gas) * paid, collected }
    }

    /// The payer asks for the end.
    pub(crate) fn request_close(&mut self, id: &B256, second: u64) {
        self.channel_mut(id).close_requested_at = UnixSeconds::new(BEGINS + second);
    }
}
