//! Reading a channel from the chain, with as much trust as its depth deserves.

use super::escrow::{OnChain, channel_call};
use super::jsonrpc::{Block, NodeAnswer, Request, decode, has_code};
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
    /// Whether the latest block has code for the channel's signer. Then the escrow asks that code about a voucher, and no
    /// signature that was checked here says anything.
    pub signer_has_code: bool,
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

    /// The latest block, and the deep one if that is another.
    pub fn blocks(self) -> impl Iterator<Item = u64> {
        [Some(self.head), (self.deep < self.head).then_some(self.deep)].into_iter().flatten()
    }
}

/// Asks for a channel at two heights, or else in the latest block, and for its signer's code.
pub fn channel_questions(escrow: Address, channel_id: B256, signer: Address, heights: Option<Heights>) -> Vec<Request> {
    let call = Call { to: escrow, data: channel_call(channel_id).into() };
    match heights {
        Some(Heights { head, deep }) if head == deep => [Request::call_at(&call, head), Request::code_at(signer, head)].into(),
        Some(Heights { head, deep }) => {
            [Request::call_at(&call, head), Request::call_at(&call, deep), Request::code_at(signer, head)].into()
        }
        None => [Request::call(&call), Request::code(signer)].into(),
    }
}

/// The number of the latest block.
pub fn read_head(answer: NodeAnswer) -> Option<u64> {
    decode::<Block>(&answer.ok()?).ok().map(|block| block.number())
}

fn read_channel(answer: NodeAnswer) -> Option<OnChain> {
    OnChain::decode(&decode::<Bytes>(&answer.ok()?).ok()?)
}

/// What [`channel_questions`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Views {
    /// The channel in the latest block.
    pub latest: OnChain,
    /// The channel in the block that is as deep as a settlement must be.
    pub deep: OnChain,
    /// See [`Reading::signer_has_code`].
    pub signer_has_code: bool,
}

impl Views {
    /// Takes from `answers` those to [`channel_questions`] at these heights. A node that does not answer, or not with a channel,
    /// gives none.
    pub fn read(heights: Option<Heights>, answers: &mut impl Iterator<Item = NodeAnswer>) -> Option<Self> {
        // Whatever one of them is: the next answers are those to other questions.
        let latest = answers.next().and_then(read_channel);
        let deep = if heights.is_some_and(|heights| heights.deep < heights.head) { answers.next().and_then(read_channel) } else { latest };
        let code = answers.next().and_then(|answer| has_code(&answer.ok()?).ok());
        Some(Self { latest: latest?, deep: deep?, signer_has_code: code? })
    }
}

impl Views {
    /// Whether what can be relied on stays as it is until there is another event. Code of a signer comes and goes without one.
    pub fn is_steady(&self) -> bool {
        self.latest == self.deep && !self.signer_has_code
    }
}

impl Reading {
    /// What can be relied on when `block` is the latest.
    pub fn new(block: u64, Views { latest, deep, signer_has_code }: Views) -> Self {
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
        Self { block, on_chain, signer_has_code }
    }

    /// Takes from `answers` those to [`channel_questions`] at these heights, and reads them.
    pub fn read(block: u64, heights: Option<Heights>, answers: &mut impl Iterator<Item = NodeAnswer>) -> Option<Self> {
        Views::read(heights, answers).map(|views| Self::new(block, views))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Amount;
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
        Reading::new(7, Views { latest, deep, signer_has_code: false }).on_chain
    }

    #[test]
    fn what_both_blocks_show_is_so() {
        for shown in [OPEN, ABSENT, ENDED, OnChain { close_requested_at: UnixSeconds::new(9), ..OPEN }] {
            for signer_has_code in [false, true] {
                let views = Views { latest: shown, deep: shown, signer_has_code };
                assert_eq!(Reading::new(7, views), Reading { block: 7, on_chain: shown, signer_has_code });
            }
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
    fn it_is_asked_in_the_latest_block_or_at_one_or_two_heights() {
        let ask = |heights| channel_questions(Address::repeat_byte(4), B256::repeat_byte(5), PAYER, heights).len();
        assert_eq!((ask(None), ask(Some(Heights::new(9, 1))), ask(Some(Heights::new(9, 3)))), (2, 2, 3));
    }

    #[test]
    fn answers_are_taken_in_turn_even_where_one_is_none() {
        let answer = |text: &str| Ok(serde_json::value::RawValue::from_string(alloc::format!("\"{text}\"")).unwrap());
        let word = |value: u64| alloc::format!("{value:064x}");
        let channel = alloc::format!("0x{}{}{}{}{}{}{}{}", word(0), word(0), word(1), word(2), word(3), word(0), word(100), word(10));
        let mut answers = [answer("0x"), answer("0x"), answer(&channel), answer("0xef0100"), answer(&channel), answer("0x")].into_iter();
        assert_eq!(Reading::read(9, None, &mut answers), None, "no channel");
        let reading = Reading::read(9, None, &mut answers).unwrap();
        assert!(reading.signer_has_code);
        let reading = Reading::read(9, None, &mut answers).unwrap();
        assert!(!reading.signer_has_code && reading.on_chain.deposit == Amount::from_base_units(100));
    }
}
