//! Reading a channel from the chain, with as much trust as its depth deserves.

use super::escrow::{OnChain, channel_call};
use super::jsonrpc::{Answer, Block, Request, decode};
use super::transaction::Call;
use super::{Address, B256};
use crate::time::UnixSeconds;
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use serde::{Deserialize, Serialize};

/// What can be relied on of a channel: bad news counts at once, good news when it is as deep as a settlement must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The number of the block that was the latest.
    pub block: u64,
    /// The cautious view of the channel.
    pub on_chain: OnChain,
}

/// Two blocks to look at a channel in, where the latest is not deep enough to be relied on. Both are named by their number, so
/// that a node that lags behind the one that told them has no answer, rather than an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heights {
    /// The latest block.
    pub head: u64,
    /// The block in which news is as deep as a settlement must be.
    pub deep: u64,
}

impl Heights {
    /// When `head` is the latest block, and news counts with so many confirmations, that of its own block included.
    pub const fn new(head: u64, confirmations: u64) -> Self {
        Self { head, deep: head.saturating_sub(confirmations.saturating_sub(1)) }
    }
}

/// Asks for a channel at two heights, or else in the latest block.
pub fn channel_questions(escrow: Address, channel_id: B256, heights: Option<Heights>) -> Vec<Request> {
    let call = Call { to: escrow, data: channel_call(channel_id).into() };
    match heights {
        Some(Heights { head, deep }) => [head, deep].map(|block| Request::call_at(&call, block)).into(),
        None => [Request::call(None, &call)].into(),
    }
}

/// The number of the latest block.
pub fn read_head(answer: Answer) -> Option<u64> {
    decode::<Block>(&answer.ok()?).ok().map(|block| block.number())
}

/// Reads an answer to [`channel_questions`]. A node that does not answer, or not with a channel, gives none.
pub fn read_channel(answer: Answer) -> Option<OnChain> {
    OnChain::decode(&decode::<Bytes>(&answer.ok()?).ok()?)
}

impl Reading {
    /// From the channel in the latest block, and in the block that is as deep as a settlement must be.
    pub fn new(block: u64, latest: OnChain, deep: OnChain) -> Self {
        let on_chain = if deep.finalized {
            deep
        } else if latest.finalized || latest.payer != deep.payer {
            // About to end, or about to be there: it cannot be used, nor is it over.
            OnChain { payer: Address::ZERO, ..deep }
        } else {
            let requests = [latest.close_requested_at, deep.close_requested_at];
            OnChain {
                deposit: latest.deposit.min(deep.deposit),
                close_requested_at: requests.into_iter().max().unwrap_or(UnixSeconds::new(0)),
                ..latest
            }
        };
        Self { block, on_chain }
    }

    /// Takes from `answers` those to [`channel_questions`] at these heights, and reads them.
    pub fn read(block: u64, heights: Option<Heights>, answers: &mut impl Iterator<Item = Answer>) -> Option<Self> {
        let latest = answers.next().and_then(read_channel);
        let deep = if heights.is_some() { answers.next().and_then(read_channel) } else { latest };
        Some(Self::new(block, latest?, deep?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::amount::Amount;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const PAYER: Address = Address::repeat_byte(1);

    const OPEN: OnChain = OnChain {
        finalized: false,
        close_requested_at: UnixSeconds::new(0),
        payer: PAYER,
        payee: Address::repeat_byte(2),
        token: Address::repeat_byte(3),
        authorized_signer: Address::ZERO,
        deposit: Amount::from_base_units(100),
        settled: Amount::from_base_units(10),
    };
    const ABSENT: OnChain =
        OnChain { payer: Address::ZERO, payee: Address::ZERO, token: Address::ZERO, deposit: Amount::ZERO, settled: Amount::ZERO, ..OPEN };
    const ENDED: OnChain = OnChain { finalized: true, ..OPEN };

    fn cautious(latest: OnChain, deep: OnChain) -> OnChain {
        Reading::new(7, latest, deep).on_chain
    }

    #[test]
    fn what_both_blocks_show_is_so() {
        for shown in [OPEN, ABSENT, ENDED, OnChain { close_requested_at: UnixSeconds::new(9), ..OPEN }] {
            assert_eq!(Reading::new(7, shown, shown), Reading { block: 7, on_chain: shown });
        }
    }

    #[test]
    fn a_deposit_counts_when_it_is_deep_and_its_loss_at_once() {
        let more = OnChain { deposit: Amount::from_base_units(200), ..OPEN };
        assert_eq!(cautious(more, OPEN).deposit, OPEN.deposit);
        assert_eq!(cautious(OPEN, more).deposit, OPEN.deposit);
    }

    #[test]
    fn a_request_counts_at_once_and_its_end_when_it_is_deep() {
        let requested = OnChain { close_requested_at: UnixSeconds::new(9), ..OPEN };
        assert_eq!(cautious(requested, OPEN).close_requested_at, UnixSeconds::new(9));
        assert_eq!(cautious(OPEN, requested).close_requested_at, UnixSeconds::new(9));
    }

    #[test]
    fn an_opening_or_an_end_that_is_not_deep_leaves_nothing_to_rely_on() {
        for (latest, deep) in [(OPEN, ABSENT), (ABSENT, OPEN), (ENDED, OPEN), (ENDED, ABSENT)] {
            let cautious = cautious(latest, deep);
            assert!(!cautious.finalized && cautious.payer == Address::ZERO, "{latest:?} {deep:?}");
        }
        assert_eq!(cautious(ENDED, ENDED), ENDED);
    }

    #[test]
    fn a_settlement_counts_as_the_latest_block_shows_it() {
        let settled = OnChain { settled: Amount::from_base_units(50), ..OPEN };
        assert_eq!(cautious(settled, OPEN).settled, settled.settled);
        assert_eq!(cautious(OPEN, settled).settled, OPEN.settled);
    }

    #[test]
    fn the_deep_block_counts_its_own() {
        assert_eq!([(9, 1), (9, 3), (1, 3)].map(|(head, confirmations)| Heights::new(head, confirmations).deep), [9, 7, 0]);
    }

    #[test]
    fn it_is_asked_in_the_latest_block_or_at_two_heights() {
        let ask = |heights| channel_questions(Address::repeat_byte(4), B256::repeat_byte(5), heights).len();
        assert_eq!((ask(None), ask(Some(Heights::new(9, 3)))), (1, 2));
    }
}
