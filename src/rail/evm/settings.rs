//! A rail on an EVM network, as it is configured.

use super::Method;
use crate::channel::Policy;
use crate::evm::key::PrivateKey;
use crate::evm::{Address, ChainId, keccak256};
use crate::money::Amount;
use crate::rail::configured::not_ours;
use crate::rail::{AnyRail, Payment, Progress, Step};
use crate::settlement::{Batching, Purpose};
use crate::wire::problem::FieldError;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// One network and one token on it: what is paid in, to whom, and how it gets there.
#[derive(Clone)]
pub struct Rail {
    /// What routes and secrets call it.
    pub name: String,
    /// Where its fields stand in the configuration, such as `rails[1].`; empty for the one of the short form.
    pub at: String,
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// What is paid in.
    pub token: Token,
    /// The channel escrow of the method `abstract`, where the network has one.
    pub escrow: Option<Address>,
    /// That of the method `evm`.
    pub evm_escrow: Option<Address>,
    /// How sessions are run.
    pub session: Session,
    /// Who is paid.
    pub recipient: Address,
    /// JSON-RPC endpoints in order of preference. May hold API keys: never shown.
    pub rpc_urls: Vec<String>,
    /// Blocks that a transaction needs to count as settled, its own included.
    pub confirmations: u64,
    /// The key that pays gas and sends settlements. Where there are several, it is the one of sessions.
    pub settlement_key: PrivateKey,
    /// Those among which charges are spread as well: one account's transactions stand in one queue.
    pub more_keys: Vec<PrivateKey>,
    /// Whether charges are settled several in a transaction, and how.
    pub batching: Option<Batching>,
}

/// What is paid in, wherever it stands in the configuration. It names a rail for good, so it is what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asset {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The token's contract.
    pub token: Address,
}

/// A token that supports ERC-3009.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its contract.
    pub address: Address,
    /// Decimal places of a human unit.
    pub decimals: u8,
    /// Name and version of its EIP-712 domain, when configured; otherwise the token is asked.
    pub domain: Option<(String, String)>,
}

/// How sessions are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// When money is brought onto the chain, and what a voucher must be like.
    pub policy: Policy,
    /// How often channels are looked at on chain.
    pub watch: Duration,
    /// How long a stream waits for a voucher.
    pub voucher_wait: Duration,
    /// What clients are advised to deposit.
    pub suggested_deposit: Option<Amount>,
    /// Whether openings and additions are submitted for clients.
    pub sponsors: bool,
    /// The least deposit that is submitted for a client.
    pub min_deposit: Amount,
}

impl Asset {
    /// The name of the object that remembers what `payer` pays with it, whatever the wire.
    pub fn holder(&self, payer: Address) -> String {
        format!("{}:{}:{payer}", self.chain_id, self.token)
    }
}

impl Rail {
    /// What is paid in.
    pub const fn asset(&self) -> Asset {
        Asset { chain_id: self.chain_id, token: self.token.address }
    }

    /// The keys of its settlement accounts.
    pub fn keys(&self) -> impl Iterator<Item = &PrivateKey> {
        core::iter::once(&self.settlement_key).chain(&self.more_keys)
    }

    /// The key that settles the charges of a payer: always the same one, so that they see each other. Where a key is added or taken away,
    /// as few payers as can be get another.
    pub fn key_of_payer(&self, payer: Address) -> &PrivateKey {
        if self.more_keys.is_empty() {
            return &self.settlement_key;
        }
        let rank = |key: &&PrivateKey| keccak256([payer.as_slice(), key.address().as_slice()].concat());
        self.keys().max_by_key(rank).unwrap_or(&self.settlement_key)
    }

    /// The key that brings a purpose about.
    pub fn key_for(&self, purpose: &Purpose) -> &PrivateKey {
        match purpose {
            Purpose::Transfer(transfer) => self.key_of_payer(transfer.signed.authorization.from),
            Purpose::Open(_) | Purpose::TopUp(_) | Purpose::Settle(_) | Purpose::Close(_) => &self.settlement_key,
        }
    }

    /// A finding about one of its fields, as a finding about the configuration.
    pub fn locate(&self, error: FieldError) -> FieldError {
        FieldError { field: format!("{}{}", self.at, error.field), ..error }
    }

    /// The channel escrow of a method. An escrow has one signing domain, so each method has its own.
    pub const fn escrow_of(&self, method: Method) -> Option<Address> {
        match method {
            Method::Abstract => self.escrow,
            Method::Evm => self.evm_escrow,
        }
    }
}

impl AnyRail for Arc<Rail> {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&self, payment: &Payment, progress: &Progress) -> Step {
        match payment {
            Payment::Evm(charge) => charge.next(progress),
            _ => not_ours(),
        }
    }

    fn owns(&self, payment: &Payment) -> bool {
        matches!(payment, Payment::Evm(charge) if charge.asset == self.asset())
    }

    // An account moves every token of its chain.
    fn can_finish(&self, payment: &Payment) -> bool {
        payment.chain_id() == Some(self.chain_id)
    }

    fn evm(&self) -> Option<&Arc<Rail>> {
        Some(self)
    }
}

// It holds secrets.
impl fmt::Debug for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rail").field("name", &self.name).field("asset", &self.asset()).finish_non_exhaustive()
    }
}
