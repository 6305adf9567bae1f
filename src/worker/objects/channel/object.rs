//! The channel's object, one per channel: its ledger, and whoever waits for its balance.

use super::desk::Desk;
use super::{ChannelReply, Done, Shown};
use crate::channel::{Answer, Channel, Delivery, Drawn, Effect, Event, Outcome, Refusal, Reuse};
use crate::evm::B256;
use crate::evm::reading::Reading;
use crate::money::Amount;
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use crate::worker::clock::now;
use crate::worker::config::load;
use crate::worker::connection::Connection;
use crate::worker::objects::account::use_channel;
use crate::worker::objects::alarm::set_alarm;
use crate::worker::objects::table::{Slots, once};
use crate::worker::waiting::Waiters;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use worker::{Env, Result, State, console_error, console_warn};

/// The slot of the ledger.
const LEDGER: u32 = 1;

/// See the module.
pub(in crate::worker::objects) struct ChannelObject {
    pub(super) state: State,
    pub(super) env: Env,
    slots: OnceCell<Slots>,
    /// As it is stored, once it was read or written.
    ledger: RefCell<Option<Channel>>,
    /// Those who wait for the balance to change.
    waiting: Waiters,
    /// Whether a call has a collection brought onto the chain.
    pub(super) submitting: Cell<bool>,
    /// Those who have named additions to the deposit.
    pub(super) desk: Rc<Desk>,
    /// When its signer was looked at last, as far as is known here.
    used_at: Rc<Cell<Option<Timestamp>>>,
}

/// Why something is not done.
pub(super) enum Unserved {
    /// The answer to whoever wants it.
    Problem(Problem),
    /// The object cannot work.
    Error(worker::Error),
}

impl From<Problem> for Unserved {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refusal> for Unserved {
    fn from(refusal: Refusal) -> Self {
        Self::Problem(refusal.problem())
    }
}

impl From<worker::Error> for Unserved {
    fn from(error: worker::Error) -> Self {
        Self::Error(error)
    }
}

impl Unserved {
    /// When a problem concerns nobody but who reads the log.
    pub(super) fn logged(self) -> Result<()> {
        match self {
            Self::Problem(problem) => console_warn!("channel: {}", problem.detail),
            Self::Error(error) => return Err(error),
        }
        Ok(())
    }
}

impl ChannelObject {
    pub(super) fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            slots: OnceCell::new(),
            ledger: RefCell::default(),
            waiting: Waiters::default(),
            submitting: Cell::default(),
            desk: Rc::default(),
            used_at: Rc::default(),
        }
    }

    /// The chain was asked whether the signer has code, and the account's object watches it from here on.
    pub(super) fn signer_was_seen(&self) {
        self.used_at.set(Some(now()));
    }

    /// Has the account's object look whether the signer has code by now, unless that was done lately. Nobody waits for it.
    pub(super) fn say_used(&self, connection: &Connection) -> Result<()> {
        // What it gathers, and the time it takes, are within the rest of the time between two rounds.
        let lately = connection.rail.session.watch * 3 / 4;
        let Some(id) = self.look(Channel::id)?.filter(|_| self.used_at.get().is_none_or(|at| now().since(at) >= lately)) else {
            return Ok(());
        };
        self.used_at.set(Some(now()));
        let (env, used_at, asset) = (self.env.clone(), self.used_at.clone(), connection.rail.asset());
        self.state.wait_until(async move {
            let loaded = load(&env);
            let connection = loaded.as_ref().as_ref().ok().and_then(|isolate| isolate.connection_of(asset));
            let told = match connection {
                Some(connection) => use_channel(connection, &env, id).await.is_ok(),
                None => false,
            };
            if !told {
                // The next use says so again.
                used_at.set(None);
            }
        });
        Ok(())
    }

    fn slots(&self) -> Result<&Slots> {
        once(&self.slots, || Slots::open(&self.state, "channel"))
    }

    /// Looks at the ledger, if the channel was taken on.
    pub(super) fn look_for<T>(&self, of: impl FnOnce(Option<&Channel>) -> T) -> Result<T> {
        if self.ledger.borrow().is_none() {
            let stored = self.slots()?.get(LEDGER)?;
            self.ledger.replace(stored);
        }
        Ok(of(self.ledger.borrow().as_ref()))
    }

    /// Looks at the ledger; `None` while the channel was not taken on.
    pub(super) fn look<T>(&self, of: impl FnOnce(&Channel) -> T) -> Result<Option<T>> {
        self.look_for(|ledger| ledger.map(of))
    }

    pub(super) fn is_known(&self) -> Result<bool> {
        Ok(self.look(|_| ())?.is_some())
    }

    /// One step of the ledger: decided and stored without an await in between.
    pub(super) async fn step(&self, connection: &Connection, event: Event) -> Result<Outcome> {
        let before = self.look(Channel::clone)?.ok_or_else(not_taken_on)?;
        let (failures, now) = (before.failures(), now());
        let (ledger, outcome) = before.step(event, &connection.rail.session.policy, now);
        // Nothing is written for who is refused. What time alone has changed, it changes again.
        if outcome.answer.is_err() && self.look(|before| before.clone().matured(now) == ledger)? == Some(true) {
            return Ok(outcome);
        }
        match (failures, ledger.failures()) {
            (0, 1..) => console_error!("channel {}: a settlement failed; nothing is sold on it until one succeeds", ledger.id()),
            (1.., 0) => console_warn!("channel {}: it can be settled again, or is closed", ledger.id()),
            _ => {}
        }
        self.store(ledger)?;
        for effect in &outcome.effects {
            if let Effect::WakeAt(at) = effect {
                set_alarm(&self.state, *at).await?;
            }
        }
        Ok(outcome)
    }

    pub(super) fn store(&self, ledger: Channel) -> Result<()> {
        if self.ledger.borrow().as_ref() == Some(&ledger) {
            return Ok(());
        }
        self.slots()?.put(LEDGER, &ledger)?;
        // Reports of sales under way are no news: those who wait would wake each other with theirs.
        let is_news = self.ledger.borrow().as_ref().is_none_or(|before| before.is_other_for_waiters(&ledger));
        self.ledger.replace(Some(ledger));
        if is_news {
            self.waiting.wake();
        }
        Ok(())
    }

    /// The account's round tells what the chain shows. A channel that is not worth keeping is forgotten then, and so not watched any
    /// more: a voucher brings it back. While it is being taken on, the round must tell again.
    pub(super) async fn observe(&self, connection: &Connection, reading: Reading) -> Result<ChannelReply> {
        if !self.is_known()? {
            return Ok(ChannelReply::Unknown);
        }
        let outcome = self.step(connection, Event::Observed(reading)).await?;
        let reply = if outcome.answer == Ok(Answer::Behind) { ChannelReply::Behind } else { ChannelReply::Noted };
        let policy = &connection.rail.session.policy;
        if self.look(|ledger| ledger.is_forgettable(policy, now()))? != Some(true) {
            return Ok(reply);
        }
        // From here on there is no await until the storage is gone: who takes the channel on anew comes after that.
        self.slots()?.vanish();
        self.ledger.replace(None);
        self.state.storage().delete_all().await?;
        Ok(ChannelReply::Unknown)
    }

    /// Waits until the ledger has changed, or for `limit`.
    pub(super) async fn news(&self, limit: Duration) {
        self.waiting.wait(limit).await;
    }

    /// Takes note of how a delivery goes, and waits up to `wait` milliseconds for the balance to allow what it draws. Of a
    /// channel that is not known nothing was bought.
    pub(super) async fn deliver(&self, connection: &Connection, delivery: Delivery, price: Amount, wait: u64) -> Result<ChannelReply> {
        if !self.is_known()? {
            return Ok(ChannelReply::Unknown);
        }
        let deadline = now().saturating_add(Duration::from_millis(wait));
        loop {
            let outcome = self.step(connection, Event::Delivery(delivery)).await?;
            let left = deadline.since(now());
            if outcome.answer != Ok(Answer::Drawn(Drawn::Exhausted)) || left.is_zero() {
                return self.done(connection, &outcome, price, Reuse::DrawDown, None);
            }
            self.news(left).await;
        }
    }

    pub(super) fn done(
        &self,
        connection: &Connection,
        outcome: &Outcome,
        price: Amount,
        reuse: Reuse,
        transaction: Option<B256>,
    ) -> Result<ChannelReply> {
        let policy = &connection.rail.session.policy;
        let seen = self.look(|ledger| (ledger.payer(), ledger.balance(price, reuse, policy)))?;
        let (payer, balance) = seen.ok_or_else(not_taken_on)?;
        let (bought, drawn) = match outcome.answer {
            Ok(Answer::Bought(bought)) => (Some(bought), None),
            Ok(Answer::Drawn(drawn)) => (None, Some(drawn)),
            // The sale is not known any more: it counts as delivered, and is over.
            Err(Refusal::NoSale) => (None, Some(Drawn::Over)),
            _ => (None, None),
        };
        Ok(ChannelReply::Done(Done { payer, bought, drawn, balance, transaction }))
    }

    pub(super) fn show(&self, connection: &Connection, price: Amount, reuse: Reuse) -> Result<ChannelReply> {
        let shown = self.look(|ledger| Shown {
            payer: ledger.payer(),
            signer: ledger.signer(),
            status: ledger.status(),
            delivered: ledger.delivered(),
            settled: ledger.settled(),
            failures: (ledger.failures(), ledger.reverts()),
            balance: ledger.balance(price, reuse, &connection.rail.session.policy),
        })?;
        Ok(shown.map_or(ChannelReply::Unknown, ChannelReply::Shown))
    }
}

fn not_taken_on() -> worker::Error {
    worker::Error::RustError("the channel was not taken on".into())
}
