//! Reading a channel from the chain, with as much trust as its depth deserves.

use super::escrow::{OnChain, channel_call};
use super::jsonrpc::{Answer, Block, Request, decode};
use super::transaction::Call;
use super::{Address, B256};
use crate::time::UnixSeconds;
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use serde::{Deserialize, Serialize};

/// What can be relied on of a channel when `block` is the latest: bad news counts at once, good news when it is as deep as a
/// settlement must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The number of the latest block.
    pub block: u64,
    /// The cautious view of the channel.
    pub on_chain: OnChain,
}

/// The block in which news are as deep as a settlement must be, its own block included, when `head` is the latest.
pub const fn deep_block(head: u64, confirmations: u64) -> u64 {
    head.saturating_sub(confirmations.saturating_sub(1))
}

/// Asks for a channel in the latest block, and in the `deep` one where that is another.
pub fn channel_questions(escrow: Address, channel_id: B256, deep: Option<u64>) -> Vec<Request> {
    let call = Call { to: escrow, data: channel_call(channel_id).into() };
    let latest = Request::call(None, &call);
    core::iter::once(latest).chain(deep.map(|deep| Request::call_at(&call, deep))).collect()
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

    /// Reads the answers to [`channel_questions`].
    pub fn read(block: u64, answers: impl IntoIterator<Item = Answer>) -> Option<Self> {
        let mut answers = answers.into_iter().map(read_channel);
        let latest = answers.next()??;
        let deep = answers.next().unwrap_or(Some(latest))?;
        Some(Self::new(block, latest, deep))
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
        assert_eq!((deep_block(9, 1), deep_block(9, 3), deep_block(1, 3)), (9, 7, 0));
    }

    #[test]
    fn it_is_asked_in_one_block_or_in_two() {
        let ask = |deep| channel_questions(Address::repeat_byte(4), B256::repeat_byte(5), deep).len();
        assert_eq!((ask(None), ask(Some(3))), (1, 2));
    }
}
