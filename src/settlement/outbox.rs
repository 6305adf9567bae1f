//! The outbox: all operations of one account on one chain, its nonces and its prices.
//!
//! In which order its methods are called:
//!
//! 1. [`Outbox::new`] with the operations that were stored and are not finished.
//! 2. To take one on: [`Outbox::look`] if [`Outbox::is_stale`], then [`Outbox::submit`]. Store [`Outbox::take_changed`], and only then
//!    broadcast what `submit` returned. What a node says against it goes into [`Outbox::refused`].
//! 3. To see what becomes of them, time and again: `look`, then [`Outbox::review`] with the receipts of
//!    [`Outbox::pending_hashes`]. Store what changed, do what the [`Effect`]s say, and tell what a search found by
//!    [`Outbox::conclude`]. An operation whose [`verdict`](Operation::verdict) is there has ended.
//! 4. [`Outbox::drop_finished`], once what changed is stored.
//!
//! ```
//! use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
//! use mpp_edge::evm::jsonrpc::Block;
//! use mpp_edge::evm::transaction::GasPrice;
//! use mpp_edge::evm::{Address, B256, key::PrivateKey};
//! use mpp_edge::money::Amount;
//! use mpp_edge::settlement::{AccountView, Effect, Outbox, Purpose, Receipts, Transfer};
//! use mpp_edge::time::{Timestamp, UnixSeconds};
//!
//! # let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
//! # let authorization = Authorization {
//! #     from: Address::repeat_byte(1),
//! #     to: Address::repeat_byte(2),
//! #     value: Amount::from_base_units(10_000),
//! #     valid_after: UnixSeconds::new(0),
//! #     valid_before: UnixSeconds::new(2_000_000_000),
//! #     nonce: B256::ZERO,
//! # };
//! # let signed = SignedAuthorization { authorization, signature: key.sign(B256::ZERO) };
//! let purpose = Purpose::Transfer(Transfer { token: Address::repeat_byte(3), signed, since: None });
//! let block: Block = serde_json::from_str(r#"{"number":"0x9","timestamp":"0x6b49d200"}"#)?;
//! let view = AccountView { block, latest_count: 7, pending_count: 7, price: GasPrice::Legacy(100) };
//! let now = Timestamp::from_millis(1_800_000_000_000);
//!
//! let mut outbox = Outbox::new(31337, key, 1, []);
//! outbox.look(view, now);
//! let raw = outbox.submit(purpose, Some(91_000), now).expect("a transaction, signed with nonce 7");
//! assert_eq!(outbox.take_changed().len(), 1, "stored before it is sent");
//! // Here the shell broadcasts `raw`. Asking for the same again is asking once.
//! assert_eq!(outbox.submit(purpose, Some(91_000), now), None);
//!
//! // Five seconds later no receipt is there: it is sent again, as it is.
//! let later = Timestamp::from_millis(1_800_000_005_000);
//! outbox.look(view, later);
//! let effects = outbox.review(&Receipts::default(), later);
//! assert_eq!(effects, [(purpose.id(), Effect::Broadcast(raw))]);
//! # Ok::<(), serde_json::Error>(())
//! ```

use super::batch::Batch;
use super::operation::{Attempt, Chain, Operation, Search, Step};
use super::{Purpose, Transfer};
use crate::evm::jsonrpc::{Block, NodeError, TransactionReceipt};
use crate::evm::key::PrivateKey;
use crate::evm::transaction::{Call, GasPrice, Unsigned};
use crate::evm::{Address, B256, ChainId};
use crate::ordered;
use crate::time::Timestamp;
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use core::time::Duration;
use litemap::LiteMap;

/// A suggested price is used for this long.
const PRICE_LIFETIME: Duration = Duration::from_secs(10);

/// Gas of a transaction that does nothing, with room for chains that charge for data as ZKsync does.
const EMPTY_GAS_LIMIT: u64 = 300_000;

/// The longest time between two looks at the chain.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// The chain is asked no sooner than this for a young transaction, while it is not known how long one takes here…
const LEAST_DELAY: Duration = Duration::from_millis(100);

/// …and not sooner than this however fast the chain is.
const QUICKEST_DELAY: Duration = Duration::from_millis(25);

/// How far back the logs are searched. Providers limit the range; no payment is older than a challenge, and
/// at a block per second this is more than an hour.
const SEARCH_BLOCKS: u64 = 5_000;

/// What the chain says of the account at one moment.
#[derive(Clone, Copy, Debug)]
pub struct AccountView {
    /// The latest block.
    pub block: Block,
    /// Its transactions in blocks.
    pub latest_count: u64,
    /// Those and the ones in the node's pool.
    pub pending_count: u64,
    /// What nodes suggest to pay now.
    pub price: GasPrice,
}

/// What nodes say about the transactions on their way.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    /// Those that are mined.
    pub mined: Vec<TransactionReceipt>,
    /// Those about which no node would say anything; that does not make them unmined.
    pub unknown: Vec<B256>,
}

/// [`Receipts`], by what each operation asks for.
struct News<'a> {
    mined: LiteMap<B256, &'a TransactionReceipt>,
    unknown: &'a [B256],
}

/// What the shell must do for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a transaction, after the operation is persisted.
    Broadcast(Bytes),
    /// Search as [`Purpose::search`] says, then [`Outbox::conclude`].
    Investigate,
}

/// The operations of one account that are not finished.
pub struct Outbox {
    chain_id: ChainId,
    key: PrivateKey,
    confirmations: u64,
    operations: LiteMap<B256, Operation>,
    next_nonce: Option<u64>,
    price: Option<(GasPrice, Timestamp)>,
    view: Option<AccountView>,
    changed: LiteMap<B256, ()>,
    /// How long it took lately from signing to the verdict.
    took: Option<Duration>,
}

impl Outbox {
    /// An outbox that goes on with `operations`.
    pub fn new(chain_id: ChainId, key: PrivateKey, confirmations: u64, operations: impl IntoIterator<Item = Operation>) -> Self {
        let mut operations = ordered::map(operations.into_iter().map(|operation| (operation.purpose.id(), operation)));
        let led: Vec<Operation> = operations.values().flat_map(Operation::led).collect();
        for operation in led {
            operations.insert(operation.purpose.id(), operation);
        }
        Self { chain_id, key, confirmations, operations, next_nonce: None, price: None, view: None, changed: LiteMap::new(), took: None }
    }

    /// The account.
    pub const fn account(&self) -> Address {
        self.key.address()
    }

    /// The chain.
    pub const fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// An operation that is not finished, or finished and not yet dropped.
    pub fn get(&self, id: &B256) -> Option<&Operation> {
        self.operations.get(id)
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.operations.values().all(Operation::is_finished)
    }

    /// The operations that changed since they were last taken, to be persisted.
    pub fn take_changed(&mut self) -> Vec<(B256, Operation)> {
        let changed = core::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|(id, ())| self.operations.get(&id).map(|operation| (id, operation.clone()))).collect()
    }

    /// Drops what is finished.
    pub fn drop_finished(&mut self) {
        self.operations.retain(|_, operation| !operation.is_finished());
    }

    /// How long to wait before the chain is asked again. That grows with the age of the youngest transaction, and begins with a part of
    /// what transactions took lately.
    pub fn poll_delay(&self, now: Timestamp) -> Duration {
        let youngest = self.operations.values().map(Operation::broadcast_at).max();
        let age = youngest.map_or(Duration::ZERO, |youngest| now.since(youngest));
        let least = self.took.map_or(LEAST_DELAY, |took| (took / 4).clamp(QUICKEST_DELAY, LEAST_DELAY));
        (age / 4).clamp(least, LONGEST_DELAY)
    }

    /// Whether the account must be looked at before something can be signed.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.next_nonce.is_none() || self.price.is_none_or(|(_, at)| now.since(at) >= PRICE_LIFETIME)
    }

    /// Takes note of the chain's state.
    pub fn look(&mut self, view: AccountView, now: Timestamp) {
        let after_held = self.held().iter().max().map_or(0, |nonce| nonce.saturating_add(1));
        self.next_nonce = Some(view.pending_count.max(view.latest_count).max(after_held));
        self.price = Some((view.price, now));
        self.view = Some(view);
    }

    fn held(&self) -> Vec<u64> {
        self.operations.values().filter_map(Operation::nonce).collect()
    }

    /// Whether there is no such operation, or one that was only to be searched for and is to be sent now.
    pub fn lacks(&self, id: &B256, gas_limit: Option<u64>) -> bool {
        self.operations.get(id).is_none_or(|operation| gas_limit.is_some() && operation.is_search())
    }

    /// Whether another operation on its way uses the same authorization: only one of them can succeed.
    pub fn has_rival(&self, purpose: &Purpose) -> bool {
        let id = purpose.id();
        self.operations.iter().any(|(other, operation)| *other != id && operation.is_on_its_way() && operation.purpose.rivals(purpose))
    }

    /// Takes an operation on, unless it is here. Returns the transaction to broadcast once it is persisted.
    /// Without a `gas_limit` nothing is sent, and the next review investigates.
    pub fn submit(&mut self, purpose: Purpose, gas_limit: Option<u64>, now: Timestamp) -> Option<Bytes> {
        let id = purpose.id();
        if !self.lacks(&id, gas_limit) {
            return None;
        }
        self.operations.insert(id, Operation::new(purpose, gas_limit, now));
        self.changed.insert(id, ());
        gas_limit.and_then(|_| self.sign(id, None, now))
    }

    /// Takes several transfers on, each with its gas limit, to be brought about by one transaction that calls `multicall`; those that
    /// are here are left out. Returns the operation that leads them, which is stored for all, and its transaction to broadcast once it is.
    pub fn submit_batch(&mut self, multicall: Address, transfers: Vec<(Transfer, u64)>, now: Timestamp) -> Option<(B256, Bytes)> {
        let mut fresh: LiteMap<B256, (Transfer, u64)> = LiteMap::new();
        for (transfer, gas) in transfers {
            let id = Purpose::Transfer(transfer).id();
            if self.lacks(&id, Some(gas)) {
                fresh.insert(id, (transfer, gas));
            }
        }
        // While one of them may still be brought about, its batch may.
        let (id, _) = fresh.iter().max_by_key(|(_, (transfer, _))| transfer.signed.authorization.valid_before)?;
        let id = *id;
        let (transfer, gas) = fresh.remove(&id)?;
        let mut leader = Operation::new(Purpose::Transfer(transfer), Some(gas), now);
        if !fresh.is_empty() {
            leader.lead(Batch::new(multicall, fresh.into_iter().map(|(_, transfer)| transfer).collect()));
        }
        for operation in leader.led() {
            self.operations.insert(operation.purpose.id(), operation);
        }
        self.operations.insert(id, leader);
        self.changed.insert(id, ());
        self.sign(id, None, now).map(|raw| (id, raw))
    }

    /// The transactions whose receipts are wanted.
    pub fn pending_hashes(&self) -> Vec<B256> {
        let unfinished = self.operations.values().filter(|operation| operation.verdict().is_none());
        unfinished.flat_map(|operation| operation.attempts().iter().map(|attempt| attempt.hash)).collect()
    }

    /// Looks at every operation in the light of the last [`Outbox::look`] and these receipts.
    pub fn review(&mut self, receipts: &Receipts, now: Timestamp) -> Vec<(B256, Effect)> {
        let Some(chain) = self.chain() else { return Vec::new() };
        let mined = ordered::map(receipts.mined.iter().map(|receipt| (receipt.transaction_hash, receipt)));
        let news = News { mined, unknown: &receipts.unknown };
        let ids: Vec<B256> = self.operations.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.review_one(id, &news, &chain, now).map(|effect| (id, effect))).collect()
    }

    fn chain(&self) -> Option<Chain> {
        let view = self.view.as_ref()?;
        let held = self.held();
        let count = view.pending_count.max(view.latest_count);
        let gap = held.iter().max().is_some_and(|last| *last > count) && !held.contains(&count);
        Some(Chain {
            id: self.chain_id,
            block: view.block.number(),
            time: view.block.timestamp(),
            count: view.latest_count,
            gap: gap.then_some(count),
            confirmations: self.confirmations,
            price: view.price,
        })
    }

    /// Those that the operation has taken along so far are on their own.
    fn take_freed(&mut self, id: &B256) {
        let Some(operation) = self.operations.get_mut(id) else { return };
        for operation in operation.take_freed() {
            let id = operation.purpose.id();
            self.changed.insert(id, ());
            self.operations.insert(id, operation);
        }
    }

    fn review_one(&mut self, id: B256, news: &News<'_>, chain: &Chain, now: Timestamp) -> Option<Effect> {
        let operation = self.operations.get_mut(&id).filter(|operation| !operation.is_led())?;
        let before = operation.clone();
        let mined: Vec<_> = operation.attempts().iter().filter_map(|attempt| news.mined.get(&attempt.hash).copied()).collect();
        if mined.is_empty() && operation.attempts().iter().any(|attempt| news.unknown.contains(&attempt.hash)) {
            return None;
        }
        let step = operation.review(chain, &mined, now);
        if *operation != before {
            self.changed.insert(id, ());
        }
        if let (None, Some(_), Some(attempt)) = (before.verdict(), operation.verdict(), operation.last_attempt()) {
            let took = now.since(attempt.signed_at);
            self.took = Some(self.took.map_or(took, |before| (before.saturating_mul(3) + took) / 4));
        }
        self.take_freed(&id);
        let operation = self.operations.get_mut(&id)?;
        match step {
            Step::Wait => None,
            Step::Investigate => Some(Effect::Investigate),
            Step::Rebroadcast => {
                operation.sent_again(now);
                operation.last_attempt().map(|attempt| Effect::Broadcast(attempt.raw.clone()))
            }
            Step::Reprice => {
                let nonce = operation.nonce();
                self.sign(id, nonce, now).map(Effect::Broadcast)
            }
            Step::Renumber => {
                let gap = chain.gap.filter(|gap| !self.held().contains(gap));
                self.sign(id, gap, now).map(Effect::Broadcast)
            }
            Step::UseUp(nonce) => {
                if self.held().contains(&nonce) {
                    return None;
                }
                self.sign(id, Some(nonce), now).map(Effect::Broadcast)
            }
            Step::FillGap => {
                // One operation at a time; the others keep what they hold.
                let gap = chain.gap.filter(|gap| !self.held().contains(gap))?;
                self.sign(id, Some(gap), now).map(Effect::Broadcast)
            }
        }
    }

    /// Signs a transaction for the operation with `nonce`, or the next free one, and records it.
    fn sign(&mut self, id: B256, nonce: Option<u64>, now: Timestamp) -> Option<Bytes> {
        let (suggested, _) = self.price?;
        let next = self.next_nonce?;
        let operation = self.operations.get_mut(&id)?;
        let nonce = nonce.unwrap_or(next);
        let replaced = operation.attempts().iter().rev().find(|attempt| attempt.nonce == nonce);
        let price = replaced.map_or(suggested, |attempt| raised(attempt.price, suggested));
        let (call, gas_limit) = if operation.is_abandoned() {
            (Call { to: self.key.address(), data: Bytes::new() }, EMPTY_GAS_LIMIT)
        } else {
            (operation.call(), operation.gas_limit()?)
        };
        let unsigned = Unsigned { chain_id: self.chain_id, nonce, call: &call, gas_limit, gas_price: price };
        let signed = unsigned.sign(&self.key);
        self.changed.insert(id, ());
        operation.record(Attempt { nonce, hash: signed.hash, raw: signed.raw.clone(), price, signed_at: now });
        self.next_nonce = Some(next.max(nonce.saturating_add(1)));
        Some(signed.raw)
    }

    /// A node refused the operation's last transaction; [`NodeError::Unacceptable`] says that every node does. Returns what is to be
    /// sent in its place, once the operation is persisted, for those behind it.
    pub fn refused(&mut self, id: &B256, error: &NodeError, now: Timestamp) -> Option<Bytes> {
        let operation = self.operations.get_mut(id)?;
        let was_abandoned = operation.is_abandoned();
        operation.refused(error, self.chain_id, now);
        self.changed.insert(*id, ());
        if operation.has_freed() {
            let nonce = operation.nonce();
            self.take_freed(id);
            return self.sign(*id, nonce, now);
        }
        if was_abandoned || !operation.is_abandoned() {
            return None;
        }
        let nonce = operation.nonce()?;
        let is_last = self.next_nonce == nonce.checked_add(1);
        if is_last && operation.verdict().is_some() {
            operation.release();
            self.next_nonce = Some(nonce);
            return None;
        }
        self.sign(*id, Some(nonce), now)
    }

    /// The first block to search for an [`Effect::Investigate`].
    pub fn search_from(&self) -> u64 {
        self.view.as_ref().map_or(0, |view| view.block.number().saturating_sub(SEARCH_BLOCKS))
    }

    /// The chain was searched for an [`Effect::Investigate`].
    pub fn conclude(&mut self, id: &B256, search: &Search, now: Timestamp) {
        let account = self.account();
        let Some(chain) = self.chain() else { return };
        if let Some(operation) = self.operations.get_mut(id) {
            operation.conclude(search, account, &chain, now);
            self.changed.insert(*id, ());
        }
        self.take_freed(id);
    }
}

/// A price that nodes accept as a replacement of `old`: a quarter above it, or what is suggested now.
fn raised(old: GasPrice, suggested: GasPrice) -> GasPrice {
    let raise = |price: u128| price.saturating_add(price / 4).saturating_add(1);
    match (old, suggested) {
        (GasPrice::Dynamic { max_fee, priority_fee }, GasPrice::Dynamic { max_fee: suggested_fee, priority_fee: suggested_priority }) => {
            GasPrice::Dynamic { max_fee: raise(max_fee).max(suggested_fee), priority_fee: raise(priority_fee).max(suggested_priority) }
        }
        (GasPrice::Legacy(old), GasPrice::Legacy(suggested)) => GasPrice::Legacy(raise(old).max(suggested)),
        // The chain changed its kind in between: what is suggested now is what it takes.
        (_, suggested) => suggested,
    }
}
