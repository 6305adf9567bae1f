//! What a client wants of a channel, as far as it can be checked without state.

use super::{Action, Order, PresentedVoucher, Reuse};
use crate::evm::erc3009::SignedAuthorization;
use crate::evm::escrow::{OnChain, Opening, ToppingUp};
use crate::evm::{Address, B256};
use crate::money::Amount;
use crate::settlement::Purpose;
use crate::time::UnixSeconds;
use crate::wire::problem::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};

/// What a client wants of a channel. Its signatures were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The channel's escrow.
    pub escrow: Address,
    /// The channel.
    pub channel_id: B256,
    /// What is to be done to it.
    pub action: Action,
    /// What its signatures prove.
    pub proof: Proof,
    /// What is to be bought; nothing by a management request.
    pub order: Option<Order>,
    /// What the least purchase on the route costs, to tell what a next voucher must allow.
    pub price: Amount,
    /// How vouchers buy on the route.
    pub reuse: Reuse,
}

/// What the signatures of a session credential prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The voucher and its signer.
    pub presented: Option<PresentedVoucher>,
    /// Whom `source` names.
    pub source: Option<Address>,
    /// Money to be brought in first; signed by who pays it.
    pub sponsored: Option<SponsoredDeposit>,
}

/// Money that the gateway is to bring into a channel with the payer's authorization, and at the gateway's cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SponsoredDeposit {
    /// By opening it.
    Open(Opening),
    /// By adding to it.
    TopUp(ToppingUp),
}

impl SponsoredDeposit {
    /// The payer's authorization.
    pub const fn signed(&self) -> &SignedAuthorization {
        match self {
            Self::Open(opening) => &opening.signed,
            Self::TopUp(topping_up) => &topping_up.signed,
        }
    }

    /// For the account's outbox.
    pub const fn purpose(&self) -> Purpose {
        match self {
            Self::Open(opening) => Purpose::Open(*opening),
            Self::TopUp(topping_up) => Purpose::TopUp(*topping_up),
        }
    }

    /// Whether it is sponsored, where deposits of at least `least` are, if any.
    ///
    /// # Errors
    /// `method-unsupported`, `payment-insufficient`.
    pub fn check(&self, least: Option<Amount>) -> Result<(), Problem> {
        match least {
            None => Err(Problem::new(
                ProblemKind::MethodUnsupported,
                "payload.type: this gateway does not submit openings and additions; send the transaction yourself, with type \"hash\"",
            )),
            Some(least) if self.signed().authorization.value < least => Err(Problem::new(
                ProblemKind::PaymentInsufficient,
                "payload.authorization.value: is less than the least deposit that this gateway submits; authorize more, or send the transaction yourself",
            )),
            Some(_) => Ok(()),
        }
    }

    /// What the escrow will show of a channel of which it shows this now. (It also drops a request to close when money is added;
    /// but nobody is helped to add to a channel that its payer wants closed.)
    pub fn foreseen(&self, shown: OnChain) -> OnChain {
        match self {
            Self::Open(opening) if !shown.exists() => opening.on_chain(),
            Self::TopUp(topping_up) if shown.exists() => {
                OnChain { deposit: shown.deposit.saturating_add(topping_up.signed.authorization.value), ..shown }
            }
            // It is open already; or there is nothing to add to.
            Self::Open(_) | Self::TopUp(_) => shown,
        }
    }
}

impl Opening {
    /// What the escrow will show of the channel.
    pub fn on_chain(&self) -> OnChain {
        OnChain {
            finalized: false,
            close_requested_at: UnixSeconds::new(0),
            payer: self.signed.authorization.from,
            payee: self.payee,
            token: self.token,
            authorized_signer: self.authorized_signer,
            deposit: self.signed.authorization.value,
            settled: Amount::ZERO,
        }
    }
}
