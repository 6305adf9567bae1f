//! What the account brings about on chain, and how the chain tells what has become of it.

use super::operation::Ending;
use crate::evm::erc3009::SignedAuthorization;
use crate::evm::escrow::{OnChain, Opening, Payout, ToppingUp, channel_call, channel_id};
use crate::evm::jsonrpc::{LogFilter, TransactionReceipt};
use crate::evm::transaction::Call;
use crate::evm::{Address, B256, ChainId, U256, keccak256};
use crate::time::{Timestamp, UnixSeconds};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A block's time may be before that of what is in it by this much: it is that of its slot's beginning, in whole seconds.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// Moving tokens by a payer's authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    /// The token's contract.
    pub token: Address,
    /// What the payer signed.
    pub signed: SignedAuthorization,
    /// Somebody else's use of the authorization counts only after this, when it was unused and presented to us: one before it may
    /// have been anybody's. `None`: its nonce says whose it is.
    pub since: Option<Timestamp>,
}

/// What an operation is to bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// A charge.
    Transfer(Transfer),
    /// A channel's opening, with the payer's authorization.
    Open(Opening),
    /// An addition to a channel's deposit, with somebody's authorization.
    TopUp(ToppingUp),
    /// Taking what a voucher allows; the channel goes on.
    Settle(Payout),
    /// Taking what a voucher allows and ending the channel.
    Close(Payout),
}

/// How the chain is asked whether, and in which transaction, something has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPlan {
    /// Asked first. [`Purpose::is_used`] reads the answer; when it says no, there is nothing to find.
    pub state: Call,
    /// Whose logs are searched,
    pub contract: Address,
    /// for these. The last one counts.
    pub filter: LogFilter,
}

impl Purpose {
    /// Derived from what is to be brought about, so that asking twice is asking once.
    pub fn id(&self) -> B256 {
        let mut identity = Vec::with_capacity(192);
        match self {
            // The payer's object sees to it that a nonce belongs to one charge.
            Self::Transfer(transfer) => return nonce_id(transfer.token, &transfer.signed),
            Self::Open(Opening { escrow, token, signed, .. }) => {
                identity.extend_from_slice(b"open");
                extend(&mut identity, *escrow, *token, signed);
            }
            Self::TopUp(ToppingUp { escrow, token, signed, .. }) => {
                identity.extend_from_slice(b"topUp");
                extend(&mut identity, *escrow, *token, signed);
            }
            Self::Settle(payout) => {
                identity.extend_from_slice(b"settle");
                extend_payout(&mut identity, payout);
            }
            Self::Close(payout) => {
                identity.extend_from_slice(b"close");
                extend_payout(&mut identity, payout);
            }
        }
        keccak256(identity)
    }

    /// The call that brings it about.
    pub fn call(&self) -> Call {
        match self {
            Self::Transfer(transfer) => Call { to: transfer.token, data: transfer.signed.transfer_call().into() },
            Self::Open(opening) => opening.call(),
            Self::TopUp(topping_up) => topping_up.call(),
            Self::Settle(payout) => payout.settle_call(),
            Self::Close(payout) => payout.close_call(),
        }
    }

    /// How to find out what has become of it.
    pub fn search(&self) -> SearchPlan {
        match self {
            Self::Transfer(Transfer { token, signed, .. })
            | Self::Open(Opening { token, signed, .. })
            | Self::TopUp(ToppingUp { token, signed, .. }) => SearchPlan {
                state: Call { to: *token, data: signed.authorization.state_call().into() },
                contract: *token,
                filter: signed.authorization.ending_filter(),
            },
            Self::Settle(payout) | Self::Close(payout) => SearchPlan {
                state: Call { to: payout.escrow, data: channel_call(payout.channel_id).into() },
                contract: payout.escrow,
                filter: payout.ending_filter(),
            },
        }
    }

    /// Reads the answer to [`SearchPlan::state`]: whether it can no longer be brought about, because it has
    /// been or because something else has come in its way. `None` when the answer is none.
    pub fn is_used(&self, answer: &[u8]) -> Option<bool> {
        match self {
            Self::Transfer(_) | Self::Open(_) | Self::TopUp(_) => U256::try_from_be_slice(answer).map(|used| !used.is_zero()),
            Self::Settle(payout) => {
                OnChain::decode(answer).map(|channel| channel.finalized || channel.settled >= payout.voucher.cumulative)
            }
            Self::Close(_) => OnChain::decode(answer).map(|channel| channel.finalized),
        }
    }

    /// The channel that it is about.
    pub fn channel_id(&self, chain_id: ChainId) -> Option<B256> {
        match self {
            Self::Transfer(_) => None,
            Self::Open(opening) => Some(channel_id(opening, chain_id)),
            Self::TopUp(topping_up) => Some(topping_up.channel_id),
            Self::Settle(payout) | Self::Close(payout) => Some(payout.channel_id),
        }
    }

    /// Until when whoever asks must get the same answer. `None`: what is on chain answers as well.
    pub fn matters_until(&self) -> Option<Timestamp> {
        match self {
            Self::Transfer(transfer) => Some(transfer.signed.authorization.valid_before.timestamp()),
            Self::Open(_) | Self::TopUp(_) | Self::Settle(_) | Self::Close(_) => None,
        }
    }

    /// Whose signatures were checked by their keys. The chain asks the code of an account that has some instead.
    pub fn signers(&self) -> Vec<Address> {
        match self {
            Self::Transfer(Transfer { signed, .. }) | Self::TopUp(ToppingUp { signed, .. }) => [signed.authorization.from].into(),
            Self::Open(opening) => {
                let (payer, signer) = (opening.signed.authorization.from, opening.signer());
                if signer == payer { [payer].into() } else { [payer, signer].into() }
            }
            // A channel's signer is watched.
            Self::Settle(_) | Self::Close(_) => Vec::new(),
        }
    }

    fn authorization(&self) -> Option<(Address, &SignedAuthorization)> {
        match self {
            Self::Transfer(Transfer { token, signed, .. })
            | Self::Open(Opening { token, signed, .. })
            | Self::TopUp(ToppingUp { token, signed, .. }) => Some((*token, signed)),
            Self::Settle(_) | Self::Close(_) => None,
        }
    }

    /// Whether both need the same authorization, which can be used once.
    pub(super) fn rivals(&self, other: &Self) -> bool {
        let key =
            |purpose: &Self| purpose.authorization().map(|(token, signed)| (token, signed.authorization.from, signed.authorization.nonce));
        key(self).is_some_and(|mine| key(other) == Some(mine))
    }

    /// After this a mined transaction reverts. `None`: it never does for its age.
    pub(super) fn valid_before(&self) -> Option<UnixSeconds> {
        self.authorization().map(|(_, signed)| signed.authorization.valid_before)
    }

    /// Whether it is worth waiting for what has not happened and nothing was sent for.
    pub(super) const fn awaits_others(&self) -> bool {
        matches!(self, Self::Transfer(_))
    }

    pub(super) fn is_fulfilled_by(&self, chain_id: ChainId, receipt: &TransactionReceipt) -> bool {
        let logs = receipt.logs.as_slice();
        // The same transaction may hold another deposit of this amount: the authorization itself must have gone
        // to the escrow.
        let paid = self.authorization().is_none_or(|(token, signed)| signed.authorization.is_settled_by(token, logs));
        let done = match self {
            Self::Transfer(_) => true,
            Self::Open(opening) => opening.is_done_by(chain_id, logs),
            Self::TopUp(topping_up) => topping_up.is_done_by(logs),
            Self::Settle(payout) => payout.is_settled_by(logs),
            Self::Close(payout) => payout.is_closed_by(logs),
        };
        receipt.succeeded() && paid && done
    }

    /// Whether a transaction that was found brings the search to its end: after a log of a smaller settlement
    /// there is more to come.
    pub(super) fn is_decided_by(&self, chain_id: ChainId, receipt: &TransactionReceipt) -> bool {
        match self {
            Self::Transfer(_) | Self::Open(_) | Self::TopUp(_) => true,
            Self::Settle(payout) | Self::Close(payout) => self.is_fulfilled_by(chain_id, receipt) || payout.is_ended_by(&receipt.logs),
        }
    }

    /// Whether a transaction that fulfils it counts for us. Of a charge only one that is young enough, and that no other gateway of
    /// the account has sent: that one has sold it already.
    pub(super) fn is_ours(&self, ending: &Ending, sent_by_us: bool, account: Address) -> bool {
        let Self::Transfer(transfer) = self else { return true };
        let is_young = |since| ending.mined_at.timestamp().saturating_add(CLOCK_SKEW) >= since;
        sent_by_us || (ending.receipt.from != account && transfer.since.is_none_or(is_young))
    }
}

fn nonce_id(token: Address, signed: &SignedAuthorization) -> B256 {
    let mut identity = Vec::with_capacity(72);
    identity.extend_from_slice(token.as_slice());
    identity.extend_from_slice(signed.authorization.from.as_slice());
    identity.extend_from_slice(signed.authorization.nonce.as_slice());
    keccak256(identity)
}

/// The nonce binds neither amount nor time: two authorizations with the same one are two purposes.
fn extend(identity: &mut Vec<u8>, escrow: Address, token: Address, signed: &SignedAuthorization) {
    let authorization = &signed.authorization;
    identity.extend_from_slice(escrow.as_slice());
    identity.extend_from_slice(nonce_id(token, signed).as_slice());
    identity.extend_from_slice(&authorization.value.base_units().to_be_bytes());
    identity.extend_from_slice(&authorization.valid_after.get().to_be_bytes());
    identity.extend_from_slice(&authorization.valid_before.get().to_be_bytes());
}

fn extend_payout(identity: &mut Vec<u8>, payout: &Payout) {
    identity.extend_from_slice(payout.escrow.as_slice());
    identity.extend_from_slice(payout.channel_id.as_slice());
    identity.extend_from_slice(&payout.voucher.cumulative.base_units().to_be_bytes());
    identity.extend_from_slice(&payout.epoch.to_be_bytes());
}
