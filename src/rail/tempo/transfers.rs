//! What a request asks to be transferred, and what transfers there are: in the calls of a transaction, and in the logs of a mined one.
//!
//! Each payment that is asked for is matched by one transfer of its own. The primary one must carry the memo of the challenge that it
//! answers. A transaction pays for one challenge: with the memo of another one in it, a split could count for both.

use super::memo::{Bound, is_attribution};
use super::transaction::Call;
use crate::evm::jsonrpc::{Log, LogFilter};
use crate::evm::{Address, B256, U256};
use crate::money::Amount;
use alloc::vec::Vec;
use alloy_primitives::{address, b256};
use core::fmt;
use serde::{Deserialize, Serialize};

/// `transfer(address,uint256)`
const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
/// `transferWithMemo(address,uint256,bytes32)`
const TRANSFER_WITH_MEMO: [u8; 4] = [0x95, 0x77, 0x7d, 0x59];
/// `approve(address,uint256)`
const APPROVE: [u8; 4] = [0x09, 0x5e, 0xa7, 0xb3];
/// `swapExactAmountOut(address,address,uint128,uint128)`
const SWAP: [u8; 4] = [0xf0, 0x12, 0x2b, 0x75];

/// Where tokens are swapped.
const EXCHANGE: Address = address!("0xdec0000000000000000000000000000000000000");

/// `Transfer(address indexed,address indexed,uint256)`
const TRANSFERRED: B256 = b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// `TransferWithMemo(address indexed,address indexed,uint256,bytes32 indexed)`
const TRANSFERRED_WITH_MEMO: B256 = b256!("0x57bc7354aa85aed339e000bccffabbc529466af35f0772c8f8ee1145927de7f0");

/// A payment that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// Who is paid.
    pub recipient: Address,
    /// How much, in base units.
    pub amount: Amount,
}

/// All payments that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dues {
    /// What is paid in.
    pub token: Address,
    /// What the primary recipient gets: the rest.
    pub primary: Due,
    /// Who else gets what.
    pub splits: Vec<Due>,
}

/// A transfer of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transfer {
    to: Address,
    amount: U256,
    memo: Option<B256>,
}

/// Why transfers are not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A call is none of those that pay, or not in its one form.
    OtherCall,
    /// A swap before the transfers is not one into what is asked for.
    Swap,
    /// There is no such transfer.
    Missing(Due),
    /// The primary transfer has no memo of this challenge.
    Unbound,
    /// There is a memo of another challenge.
    OtherChallenge,
    /// There are more transfers than were asked for.
    More,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCall => f.write_str("may call nothing but transfer and transferWithMemo of the challenge's currency"),
            Self::Swap => f.write_str("its swap must approve and spend the same, on the exchange, for all of what the challenge asks for"),
            Self::Missing(due) => write!(f, "has no transfer of {} to {}", due.amount, due.recipient.to_checksum(None)),
            Self::Unbound => f.write_str("its transfer to the recipient has not the attribution memo of this challenge"),
            Self::OtherChallenge => f.write_str("has the attribution memo of another challenge; one transaction answers one challenge"),
            Self::More => f.write_str("makes more transfers than the challenge asks for"),
        }
    }
}

impl core::error::Error for Mismatch {}

impl Due {
    fn is_met_by(&self, transfer: &Transfer) -> bool {
        transfer.to == self.recipient && transfer.amount == self.amount.to_u256()
    }
}

impl Dues {
    /// All of it together.
    pub fn total(&self) -> Amount {
        self.splits.iter().fold(self.primary.amount, |sum, due| sum.saturating_add(due.amount))
    }

    /// Compares the calls of a transaction: they make these transfers and no other; a swap may come before them. Gives the primary's memo.
    ///
    /// # Errors
    /// [`Mismatch`]
    pub fn match_calls(&self, calls: &[Call<'_>], bound: &Bound) -> Result<B256, Mismatch> {
        let transfers = match calls {
            [approve, swap, transfers @ ..] if approve.data.starts_with(&APPROVE) => {
                if !self.is_swap(approve, swap) {
                    return Err(Mismatch::Swap);
                }
                transfers
            }
            calls => calls,
        };
        let transfers = transfers.iter().map(|call| self.transfer_of(call)).collect::<Option<_>>().ok_or(Mismatch::OtherCall)?;
        let (memo, rest) = self.take_from(transfers, bound)?;
        if rest.is_empty() { Ok(memo) } else { Err(Mismatch::More) }
    }

    /// Finds the payments by `payer` in the logs of a mined transaction. Others may be there too.
    ///
    /// # Errors
    /// [`Mismatch`]
    pub fn match_logs(&self, payer: Address, logs: &[Log], bound: &Bound) -> Result<B256, Mismatch> {
        let memos = logs.iter().filter(|log| log.address == self.token).filter_map(|log| match log.topics.as_slice() {
            [event, _, _, memo] if *event == TRANSFERRED_WITH_MEMO => Some(memo),
            _ => None,
        });
        if memos.into_iter().any(|memo| is_attribution(memo) && !bound.binds(memo)) {
            return Err(Mismatch::OtherChallenge);
        }
        self.take_from(self.transfers_by(payer, logs), bound).map(|(memo, _)| memo)
    }

    /// The logs of a transfer to the primary recipient with this memo.
    pub fn log_filter(&self, payer: Address, memo: B256) -> LogFilter {
        let words = [TRANSFERRED_WITH_MEMO, payer.into_word(), self.primary.recipient.into_word(), memo];
        LogFilter(words.map(|word| Vec::from([word])).into())
    }

    /// Takes what is asked for from what there is. Gives the primary's memo, and what is left.
    fn take_from(&self, mut transfers: Vec<Transfer>, bound: &Bound) -> Result<(B256, Vec<Transfer>), Mismatch> {
        if transfers.iter().filter_map(|transfer| transfer.memo).any(|memo| is_attribution(&memo) && !bound.binds(&memo)) {
            return Err(Mismatch::OtherChallenge);
        }
        let bound_memo = |transfer: &Transfer| transfer.memo.filter(|memo| bound.binds(memo));
        let primary = |transfer: &Transfer| self.primary.is_met_by(transfer);
        let Some((place, memo)) = transfers
            .iter()
            .enumerate()
            .filter(|(_, transfer)| primary(transfer))
            .find_map(|(place, transfer)| Some((place, bound_memo(transfer)?)))
        else {
            return Err(if transfers.iter().any(primary) { Mismatch::Unbound } else { Mismatch::Missing(self.primary) });
        };
        transfers.swap_remove(place);
        for due in &self.splits {
            let place = transfers.iter().position(|transfer| due.is_met_by(transfer)).ok_or(Mismatch::Missing(*due))?;
            transfers.swap_remove(place);
        }
        Ok((memo, transfers))
    }

    fn transfer_of(&self, call: &Call<'_>) -> Option<Transfer> {
        let (to, amount, memo) = match words(call.data, TRANSFER) {
            Some([to, amount]) => (to, amount, None),
            None => {
                let [to, amount, memo] = words(call.data, TRANSFER_WITH_MEMO)?;
                (to, amount, Some(memo))
            }
        };
        (call.to == self.token).then_some(())?;
        Some(Transfer { to: address_in(to)?, amount: amount.into(), memo })
    }

    /// Whether two calls get the payer exactly what it is to pay with, for another token.
    fn is_swap(&self, approve: &Call<'_>, swap: &Call<'_>) -> bool {
        let (Some([spender, approved]), Some([token_in, token_out, amount_out, most_in])) =
            (words(approve.data, APPROVE), words(swap.data, SWAP))
        else {
            return false;
        };
        swap.to == EXCHANGE
            && spender == EXCHANGE.into_word()
            && token_in == approve.to.into_word()
            && token_out == self.token.into_word()
            && U256::from_be_bytes(amount_out.0) == self.total().to_u256()
            && approved == most_in
            && U256::from_be_bytes(most_in.0) <= U256::from(u128::MAX)
    }

    /// The transfers of the token by `payer`. One with a memo logs twice, one log next to the other, and is one transfer.
    fn transfers_by(&self, payer: Address, logs: &[Log]) -> Vec<Transfer> {
        let mut transfers = Vec::new();
        let mut logs = logs.iter().map(|log| self.logged(payer, log)).peekable();
        while let Some(log) = logs.next() {
            let Some((transfer, is_memo)) = log else { continue };
            let other = logs.next_if(|next| {
                next.is_some_and(|(next, next_is_memo)| is_memo != next_is_memo && next.to == transfer.to && next.amount == transfer.amount)
            });
            match other.flatten() {
                Some((other, _)) => transfers.push(Transfer { memo: transfer.memo.or(other.memo), ..transfer }),
                None if !is_memo => transfers.push(transfer),
                // Of a memo without its transfer nothing was transferred.
                None => {}
            }
        }
        transfers
    }

    /// What a log says was transferred by `payer`, and whether it is that of the memo.
    fn logged(&self, payer: Address, log: &Log) -> Option<(Transfer, bool)> {
        let (from, to, memo) = match log.topics.as_slice() {
            [event, from, to] if *event == TRANSFERRED => (from, to, None),
            [event, from, to, memo] if *event == TRANSFERRED_WITH_MEMO => (from, to, Some(*memo)),
            _ => return None,
        };
        let amount = <[u8; 32]>::try_from(log.data.as_ref()).ok().map(U256::from_be_bytes)?;
        let is_ours = log.address == self.token && *from == payer.into_word();
        is_ours.then_some((Transfer { to: address_in(*to)?, amount, memo }, memo.is_some()))
    }
}

/// The arguments of a call of this function, if it is one in its one form.
fn words<const N: usize>(data: &[u8], function: [u8; 4]) -> Option<[B256; N]> {
    let (words, rest) = data.strip_prefix(&function)?.as_chunks::<32>();
    if !rest.is_empty() {
        return None;
    }
    <[[u8; 32]; N]>::try_from(words).ok().map(|words| words.map(B256::new))
}

/// The address in a word, with zeros before it.
fn address_in(word: B256) -> Option<Address> {
    let address = Address::from_word(word);
    (address.into_word() == word).then_some(address)
}

#[cfg(test)]
mod tests;
