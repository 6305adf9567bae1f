//! The contracts of the chain in memory: a token with ERC-3009 and an escrow with one channel, as far as their state, their
//! events and what they refuse matter to the outbox. All of it follows from the transactions that succeeded before.

use super::chain::{Call, Sender, Tx};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::escrow::{Opening, Payout, ToppingUp};
use mpp_edge::evm::jsonrpc::{Log, LogFilter};
use mpp_edge::settlement::{Purpose, Transfer};

pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
pub(crate) const ESCROW: Address = Address::repeat_byte(0xe5);
const PAYER: Address = Address::repeat_byte(0xf0);
const PAYEE: Address = Address::repeat_byte(0x10);

/// What is not read back from logs.
const ANY: B256 = B256::ZERO;

/// What the transactions so far have made of the contracts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contracts {
    /// The purposes whose authorizations are used or cancelled.
    used: Vec<usize>,
    pub(crate) opened: bool,
    pub(crate) finalized: bool,
    pub(crate) deposit: u128,
    pub(crate) settled: u128,
}

/// What a purpose needs signed.
pub(crate) const fn authorized(purpose: &Purpose) -> Option<&SignedAuthorization> {
    match purpose {
        Purpose::Transfer(Transfer { signed, .. }) | Purpose::Open(Opening { signed, .. }) | Purpose::TopUp(ToppingUp { signed, .. }) => {
            Some(signed)
        }
        Purpose::Settle(_) | Purpose::Close(_) => None,
    }
}

const fn value(authorization: &Authorization) -> u128 {
    authorization.value.base_units()
}

const fn cumulative(payout: &Payout) -> u128 {
    payout.voucher.cumulative.base_units()
}

impl Contracts {
    fn is_open(&self) -> bool {
        self.opened && !self.finalized
    }

    pub(crate) fn is_used(&self, index: usize) -> bool {
        self.used.contains(&index)
    }

    /// Whether a transaction succeeds at `time`.
    pub(crate) fn allow(&self, purposes: &[Purpose], sender: Sender, call: Call, time: u64, broke: bool) -> bool {
        let by_payee = sender != Sender::Stranger;
        match call {
            Call::Do(index) => {
                let purpose = &purposes[index];
                let paid = authorized(purpose).is_none_or(|signed| {
                    let window = &signed.authorization;
                    let in_time = window.valid_after.get() < time && time < window.valid_before.get();
                    in_time && !broke && !self.is_used(index)
                });
                paid && match purpose {
                    Purpose::Transfer(_) => true,
                    Purpose::Open(_) => !self.opened,
                    Purpose::TopUp(_) => self.is_open(),
                    Purpose::Settle(payout) => {
                        let taken = cumulative(payout);
                        by_payee && self.is_open() && self.settled < taken && taken <= self.deposit
                    }
                    Purpose::Close(payout) => by_payee && self.is_open() && cumulative(payout) <= self.deposit.max(self.settled),
                }
            }
            Call::Cancel(index) => authorized(&purposes[index]).is_some() && !self.is_used(index),
            Call::PayerOpens(_) => !self.opened,
            Call::Withdraw => self.is_open(),
            Call::Nothing | Call::All { .. } => true,
        }
    }

    /// Applies a transaction that succeeds. Returns its logs.
    pub(crate) fn apply(&mut self, purposes: &[Purpose], tx: &Tx) -> Vec<Log> {
        match tx.call {
            Call::Do(index) => {
                let mut logs = Vec::new();
                if let Some(signed) = authorized(&purposes[index]) {
                    self.used.push(index);
                    logs.extend(use_of(&signed.authorization));
                }
                logs.extend(match &purposes[index] {
                    Purpose::Transfer(_) => None,
                    Purpose::Open(opening) => Some(self.open(value(&opening.signed.authorization), purposes)),
                    Purpose::TopUp(addition) => {
                        let added = value(&addition.signed.authorization);
                        self.deposit += added;
                        Some(self.log(purposes, "TopUp(bytes32,address,address,uint256,uint256)", &[added, self.deposit]))
                    }
                    Purpose::Settle(payout) => {
                        let (before, taken) = (self.settled, cumulative(payout));
                        self.settled = taken;
                        let words = [taken, taken - before, taken];
                        Some(self.log(purposes, "Settled(bytes32,address,address,uint256,uint256,uint256)", &words))
                    }
                    Purpose::Close(payout) => {
                        self.settled = self.settled.max(cumulative(payout));
                        Some(self.finalize(purposes))
                    }
                });
                logs
            }
            Call::Cancel(index) => {
                self.used.push(index);
                authorized(&purposes[index]).map(|signed| cancellation_of(&signed.authorization)).into_iter().collect()
            }
            Call::PayerOpens(deposit) => vec![self.open(deposit, purposes)],
            Call::Withdraw => vec![self.finalize(purposes)],
            Call::All { done, .. } => done.indices().flat_map(|index| self.apply(purposes, &Tx { call: Call::Do(index), ..*tx })).collect(),
            Call::Nothing => Vec::new(),
        }
    }

    fn open(&mut self, deposit: u128, purposes: &[Purpose]) -> Log {
        self.opened = true;
        self.deposit = deposit;
        let signature = "ChannelOpened(bytes32,address,address,address,address,bytes32,uint256)";
        let mut log = self.log(purposes, signature, &[]);
        log.data = (TOKEN, Address::ZERO, ANY, U256::from(deposit)).abi_encode().into();
        log
    }

    fn finalize(&mut self, purposes: &[Purpose]) -> Log {
        self.finalized = true;
        let words = [self.settled, self.deposit - self.settled];
        self.log(purposes, "ChannelClosed(bytes32,address,address,uint256,uint256)", &words)
    }

    fn log(&self, purposes: &[Purpose], event: &str, words: &[u128]) -> Log {
        let data: Vec<u8> = words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect();
        let topics = vec![keccak256(event), channel(purposes), PAYER.into_word(), PAYEE.into_word()];
        Log { address: ESCROW, topics, data: data.into() }
    }

    /// The answer of a contract.
    pub(crate) fn answer(&self, purposes: &[Purpose], to: Address, data: &Bytes) -> Vec<u8> {
        if to == TOKEN {
            let asked = |purpose: &Purpose| authorized(purpose).is_some_and(|signed| signed.authorization.state_call() == *data);
            let index = purposes.iter().position(asked).expect("no such authorization");
            return U256::from(u8::from(self.is_used(index))).abi_encode();
        }
        assert_eq!((to, &data[4..]), (ESCROW, channel(purposes).as_slice()), "getChannel of the channel");
        // A finalized channel is as good as deleted.
        let shown = if self.is_open() { self.clone() } else { Self::default() };
        let [payer, payee, token] = if self.is_open() { [PAYER, PAYEE, TOKEN] } else { [Address::ZERO; 3] };
        (self.finalized, 0u64, payer, payee, token, Address::ZERO, shown.deposit, shown.settled).abi_encode()
    }
}

fn channel(purposes: &[Purpose]) -> B256 {
    let id = |purpose: &Purpose| match purpose {
        Purpose::Close(payout) => Some(payout.channel_id),
        _ => None,
    };
    purposes.iter().find_map(id).expect("some purpose closes the channel")
}

pub(crate) fn use_of(authorization: &Authorization) -> [Log; 2] {
    let topics = vec![keccak256("Transfer(address,address,uint256)"), authorization.from.into_word(), authorization.to.into_word()];
    let moved = U256::from(value(authorization)).to_be_bytes_vec().into();
    [Log { address: TOKEN, topics: authorization.used_topics().to_vec(), data: Bytes::new() }, Log { address: TOKEN, topics, data: moved }]
}

fn cancellation_of(authorization: &Authorization) -> Log {
    let topics = vec![keccak256("AuthorizationCanceled(address,bytes32)"), authorization.from.into_word(), authorization.nonce];
    Log { address: TOKEN, topics, data: Bytes::new() }
}

/// Whether a node's search for logs finds this one.
pub(crate) fn matches(filter: &LogFilter, log: &Log) -> bool {
    filter.0.iter().enumerate().all(|(at, wanted)| log.topics.get(at).is_some_and(|topic| wanted.contains(topic)))
}
