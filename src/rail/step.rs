//! What a rail wants from its network, as data: the shell does it, for every rail in the same loop (`worker/objects/payer`).

use super::Reference;
use super::http::HttpRequest;
use super::tempo::sponsor::Promise;
use crate::evm::Address;
use crate::evm::jsonrpc;
use crate::evm::transaction::Call;
use crate::money::Amount;
use crate::settlement::{Purpose, Tried};
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// What must be done next to have a payment settled.
#[derive(Clone, Debug)]
pub enum Step {
    /// Ask the network. No money moves by that. The answer comes to [`Progress::answers`].
    Ask(Ask),
    /// Enough is known.
    Prepared(Prepared),
}

/// What becomes of a payment, as far as the network was asked.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// It can be settled: remember that, and then send this. Money may move from here on.
    Send(Box<Send>),
    /// The money is there already.
    Settled(Reference),
    /// It will not do, and is to be forgotten; or it failed, after something was sent for it. The answer.
    Refused(Problem),
    /// It would do, but not at the moment: to be remembered, and asked for again. The answer.
    Later(Problem),
    /// Nothing is known: whether it would do, or that it would not. The answer.
    Unknown(Problem),
}

/// A question to the network of a rail.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Try a transaction of the settlement account out, and ask a node more with it, in one batch.
    TryOut {
        /// The call.
        call: Call,
        /// Who pays: where there are several settlement accounts, it is tried out with the one that would send it.
        payer: Address,
        /// The most gas that it may take.
        gas_cap: u64,
        /// What else is asked.
        more: Vec<jsonrpc::Request>,
    },
    /// JSON-RPC requests to a node of the rail's network ([`AnyRail::node`](super::AnyRail::node)), in one batch.
    Rpc {
        /// They are sent so much later.
        after: Duration,
        /// At least one.
        requests: Vec<jsonrpc::Request>,
    },
    /// A part of a sponsor's budget, which one object keeps for everybody ([`budget_of`](super::tempo::sponsor::budget_of)).
    Promise(Promise),
    /// An HTTP request to a provider.
    Http(HttpRequest),
}

/// What came of an [`Ask`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// Of [`Ask::TryOut`].
    Tried(Tried, Vec<jsonrpc::NodeAnswer>),
    /// Of [`Ask::Rpc`], in the order of the requests.
    Rpc(Vec<jsonrpc::NodeAnswer>),
    /// Of [`Ask::Promise`]: whether it is promised.
    Promised(bool),
    /// Of [`Ask::Http`]: status and body. One that is too long is none.
    Http(u16, String),
    /// There was none.
    Nothing,
}

/// What moves money.
#[allow(clippy::large_enum_variant, reason = "it is boxed where it is kept")]
#[derive(Clone, Debug)]
pub enum Send {
    /// A transaction of the settlement account, through its outbox.
    Transaction {
        /// What is to be brought about.
        purpose: Purpose,
        /// For the transaction; `None` when somebody else seems to have sent one, which is to be looked for.
        gas_limit: Option<u64>,
    },
    /// A request to the rail's provider. It may be sent again after a restart, or when its answer was lost, so the rail must see to it that
    /// sending it twice is sending it once, by a key of its own that follows from the payment. What it is answered comes to
    /// [`Progress::answers`], with [`Progress::is_sent`].
    Request(Ask),
    /// The money seems to be on its way already, by somebody else: from here on that is remembered, until this question and those after it say
    /// what became of it.
    Watch(Ask),
}

/// What is known of a payment that is to be settled.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What was asked so far, in order.
    pub answers: Vec<Answer>,
    /// When it was presented first.
    pub presented: Timestamp,
    /// It was found to be good before: who has used its proof since then had it from the payer.
    pub was_good: bool,
    /// Its [`Send::Request`] was sent, or may have been: now, or before a restart. What came of it is to be found out, by sending it again if need be.
    pub is_sent: bool,
    /// What the payer's other payments on their way will take.
    pub reserved: Amount,
}

impl Send {
    /// Whether money moves only by this; else somebody else seems to have moved it.
    pub const fn is_ours(&self) -> bool {
        !matches!(self, Self::Transaction { gas_limit: None, .. } | Self::Watch(_))
    }
}
