//! The channel's object, one per channel: its ledger, and whoever waits for its balance.

use super::export::Object;
use super::table::{Table, set_alarm};
use super::{ChannelMessage, ChannelReply, Claim, Done, PayerMessage, Shown, unconfigured};
use crate::channel::{Answer, Channel as Ledger, Drawn, Effect, Event, Operation, Outcome, Refusal, Reuse, Status};
use crate::evm::B256;
use crate::evm::amount::Amount;
use crate::method::session::{Action, Funding, Proof, Snapshot};
use crate::protocol::problem::Problem;
use crate::settlement::{Failure, Purpose, Verdict};
use crate::time::Timestamp;
use crate::worker::clock::{now, within};
use crate::worker::config::{Isolate, load};
use crate::worker::escrow::{self, Brought};
use futures_channel::oneshot;
use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;
use worker::{Env, Result, State, console_error, console_warn};

/// Work that is hindered, by a wrong configuration for one, is taken up again after this.
const HINDERED: Duration = Duration::from_secs(30);

/// A channel of another payee is looked at again after this: the configuration may be as it was again.
const OUTDATED: Duration = Duration::from_secs(60 * 60);

/// See the module.
pub(super) struct Channel {
    state: State,
    env: Env,
    table: OnceCell<Table>,
    /// As it is stored, once it was read or written.
    ledger: RefCell<Option<Ledger>>,
    /// Those who wait for the balance to change.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
    /// Whether a call has an operation brought onto the chain.
    submitting: Cell<bool>,
}

/// Marks that an operation is being brought onto the chain, until dropped.
struct Submitting<'a>(&'a Cell<bool>);

impl<'a> Submitting<'a> {
    fn begin(submitting: &'a Cell<bool>) -> Self {
        submitting.set(true);
        Self(submitting)
    }
}

impl Drop for Submitting<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// What a step of the work gave, or the problem to answer with.
type Step<T> = std::result::Result<T, Problem>;

impl Object for Channel {
    type Message = ChannelMessage;
    type Reply = ChannelReply;

    fn new(state: State, env: Env) -> Self {
        Self { state, env, table: OnceCell::new(), ledger: RefCell::default(), waiting: RefCell::default(), submitting: Cell::default() }
    }

    async fn answer(&self, message: ChannelMessage) -> Result<ChannelReply> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        self.handle(isolate, message).await
    }

    async fn wake(&self) -> Result<()> {
        if let Err(error) = self.work_on().await {
            // The platform drops an alarm that fails too often, and with it the settlement.
            console_error!("channel: {error}");
            set_alarm(&self.state, now().saturating_add(HINDERED)).await?;
        }
        Ok(())
    }
}

impl Channel {
    async fn work_on(&self) -> Result<()> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        let Some(payee) = self.ledger()?.map(|ledger| ledger.payee()) else { return Ok(()) };
        if payee != isolate.gateway.recipient {
            console_error!("channel: it pays {payee}, for whom this gateway cannot settle any more");
            return set_alarm(&self.state, now().saturating_add(OUTDATED)).await;
        }
        let outcome = self.step(isolate, Event::Woken).await?;
        for effect in outcome.effects {
            match effect {
                Effect::Inspect => {
                    if let Err(problem) = self.inspect(isolate).await? {
                        console_warn!("channel: {}", problem.detail);
                    }
                }
                Effect::Submit(operation) => {
                    let deadline = now().saturating_add(isolate.gateway.limits.settlement_timeout);
                    if let Err(problem) = self.submit(isolate, operation, deadline).await? {
                        console_warn!("channel {}: {}", operation.payout.channel_id, problem.detail);
                    }
                }
                Effect::WakeAt(_) => {}
            }
        }
        Ok(())
    }

    async fn handle(&self, isolate: &Isolate, message: ChannelMessage) -> Result<ChannelReply> {
        match message {
            ChannelMessage::Claim(claim) => self.claim(isolate, &claim).await,
            ChannelMessage::Show { price, reuse } => self.show(isolate, price, reuse),
            ChannelMessage::Credit { booking, amount, voucher } => self.note(isolate, Event::Credit { booking, amount, voucher }).await,
            ChannelMessage::Observed(reading) => self.note(isolate, Event::Observed(reading)).await,
            ChannelMessage::Draw { sale, delivered, reserved, wanted, price, wait } => {
                self.draw(isolate, Event::Draw { sale, delivered, reserved, wanted }, price, wait).await
            }
            ChannelMessage::End { sale, delivered, price } => {
                let outcome = self.step(isolate, Event::End { sale, delivered }).await?;
                self.done(isolate, &outcome, price, Reuse::DrawDown, None)
            }
        }
    }

    fn table(&self) -> Result<&Table> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let table = Table::open(&self.state, "channel")?;
        Ok(self.table.get_or_init(|| table))
    }

    /// Reads the ledger from storage at first. There is none while the channel was not taken on.
    fn read(&self) -> Result<()> {
        if self.ledger.borrow().is_none() {
            let stored = self.table()?.open_values::<Ledger>()?.pop();
            self.ledger.replace(stored);
        }
        Ok(())
    }

    /// A copy of the ledger; `None` while the channel was not taken on.
    fn ledger(&self) -> Result<Option<Ledger>> {
        self.read()?;
        Ok(self.ledger.borrow().clone())
    }

    fn is_known(&self) -> Result<bool> {
        self.read()?;
        Ok(self.ledger.borrow().is_some())
    }

    /// One step of the ledger: decided and stored without an await in between.
    async fn step(&self, isolate: &Isolate, event: Event) -> Result<Outcome> {
        let before = self.ledger()?.ok_or_else(|| worker::Error::RustError("the channel was not taken on".into()))?;
        let (ledger, outcome) = before.step(event, &isolate.gateway.session.policy, now());
        self.store(ledger)?;
        for effect in &outcome.effects {
            if let Effect::WakeAt(at) = effect {
                set_alarm(&self.state, *at).await?;
            }
        }
        Ok(outcome)
    }

    fn store(&self, ledger: Ledger) -> Result<()> {
        if self.ledger.borrow().as_ref() == Some(&ledger) {
            return Ok(());
        }
        self.table()?.put(&ledger.id(), &ledger, true, None)?;
        // Reports of sales under way are no news: those who wait would wake each other with theirs.
        let is_news = self.ledger.borrow().as_ref().is_none_or(|before| before.is_other_for_waiters(&ledger));
        self.ledger.replace(Some(ledger));
        if is_news {
            for sender in self.waiting.borrow_mut().drain(..) {
                // A waiter that is gone does not mind.
                let _ = sender.send(());
            }
        }
        Ok(())
    }

    /// A step that only whoever brought the news cares about. While the channel is being taken on, the news must be told again.
    async fn note(&self, isolate: &Isolate, event: Event) -> Result<ChannelReply> {
        if !self.is_known()? {
            return Ok(ChannelReply::Unknown);
        }
        let outcome = self.step(isolate, event).await?;
        Ok(if outcome.answer == Ok(Answer::Behind) { ChannelReply::Behind } else { ChannelReply::Noted })
    }

    async fn claim(&self, isolate: &Isolate, claim: &Claim) -> Result<ChannelReply> {
        match self.serve(isolate, claim).await? {
            Ok(reply) => Ok(reply),
            Err(problem) => {
                let snapshot = self.snapshot(isolate, claim.price, claim.reuse)?;
                Ok(ChannelReply::Refused { refused: problem.into(), snapshot })
            }
        }
    }

    /// What a channel that was taken on refuses without asking anybody.
    fn check(&self, isolate: &Isolate, claim: &Claim) -> Result<Step<()>> {
        self.read()?;
        let ledger = self.ledger.borrow();
        let Some(ledger) = ledger.as_ref() else { return Ok(Ok(())) };
        let Proof { presented, source, .. } = &claim.proof;
        // Who cannot have signed for the channel gets nothing done for it.
        if presented.is_some_and(|presented| presented.signer != ledger.signer()) {
            return Ok(Err(Refusal::SignerMismatch.problem()));
        }
        if let Err(refusal) = ledger.check_source(*source) {
            return Ok(Err(refusal.problem()));
        }
        let terms = || ledger.check_terms(isolate.gateway.recipient, isolate.gateway.token.address);
        Ok(match (ledger.status(), claim.action) {
            (Status::Closed { .. }, Action::Close) => Ok(()),
            (Status::Closed { .. }, _) => Err(Refusal::Closed.problem()),
            _ => terms().map_err(Refusal::problem),
        })
    }

    async fn serve(&self, isolate: &Isolate, claim: &Claim) -> Result<Step<ChannelReply>> {
        if let Err(problem) = self.check(isolate, claim)? {
            return Ok(Err(problem));
        }
        let mut transaction = None;
        if let Some(Funding::Open(opening)) = &claim.proof.funding
            && !self.is_known()?
        {
            if let Err(problem) = claim.check_opening(opening) {
                return Ok(Err(problem));
            }
            match escrow::bring_in(isolate, &self.env, Purpose::Open(*opening), &opening.signed.authorization).await {
                Ok(opened) => transaction = opened,
                Err(problem) => return Ok(Err(problem)),
            }
        }
        if !self.is_known()?
            && let Err(problem) = self.adopt(isolate, claim).await?
        {
            return Ok(Err(problem));
        }
        if let Some(Funding::TopUp(topping_up)) = &claim.proof.funding {
            if let Some(Err(refusal)) = self.ledger()?.map(|ledger| ledger.check_usable()) {
                return Ok(Err(refusal.problem()));
            }
            match escrow::bring_in(isolate, &self.env, Purpose::TopUp(*topping_up), &topping_up.signed.authorization).await {
                Ok(added) => transaction = added,
                Err(problem) => return Ok(Err(problem)),
            }
            let seen = match transaction {
                Some(added) => self.see_top_up(isolate, claim, added, topping_up.signed.authorization.value).await?,
                None => self.inspect(isolate).await?.map(drop),
            };
            if let Err(problem) = seen {
                return Ok(Err(problem));
            }
        }
        if let Action::TopUp { transaction: Some((hash, addition)) } = claim.action {
            if let Err(problem) = self.see_top_up(isolate, claim, hash, addition).await? {
                return Ok(Err(problem));
            }
            transaction = Some(hash);
        }
        let event = match (claim.action, claim.proof.presented) {
            (Action::Close, Some(presented)) => return self.close(isolate, claim, Event::Close(presented)).await,
            (_, Some(presented)) => Event::Voucher(presented, claim.order),
            (_, None) => return self.topped_up(isolate, claim, transaction),
        };
        let outcome = self.step(isolate, event).await?;
        if let Err(refusal) = outcome.answer {
            return Ok(Err(refusal.problem()));
        }
        self.done(isolate, &outcome, claim.price, claim.reuse, transaction).map(Ok)
    }

    /// Takes the channel on, as the escrow shows it.
    async fn adopt(&self, isolate: &Isolate, claim: &Claim) -> Result<Step<()>> {
        let found = match escrow::find(isolate, claim).await {
            Ok(found) => found,
            Err(problem) => return Ok(Err(problem)),
        };
        let ledger = match Ledger::adopt(claim.channel_id, &found.reading, &found.facts, &claim.expected(isolate), now()) {
            Ok(ledger) => ledger,
            Err(unfit) => return Ok(Err(escrow::unfit(unfit, &found, claim))),
        };
        // Who cannot have signed for it does not bring it here either.
        if claim.proof.presented.is_some_and(|presented| presented.signer != ledger.signer()) {
            return Ok(Err(Refusal::SignerMismatch.problem()));
        }
        // Nothing is sold on a channel that nobody watches.
        if let Err(problem) = isolate.watch_channel(&self.env, claim.escrow, claim.channel_id).await {
            return Ok(Err(problem));
        }
        let opened = PayerMessage::Opened { method: claim.method, channel_id: claim.channel_id };
        if isolate.ask_payer(&self.env, ledger.payer(), &opened).await.is_err() {
            console_error!("channel: the payer's object could not be told of a channel; it is found by its id only");
        }
        // Another request may have taken it on meanwhile, and sold on it.
        if !self.is_known()? {
            self.store(ledger)?;
        }
        Ok(Ok(()))
    }

    /// Checks an addition to the deposit, and looks at the channel, which must show it.
    async fn see_top_up(&self, isolate: &Isolate, claim: &Claim, transaction: B256, addition: Amount) -> Result<Step<()>> {
        let head = match escrow::verify_top_up(isolate, claim, transaction, addition).await {
            Ok(head) => head,
            Err(problem) => return Ok(Err(problem)),
        };
        Ok(match self.inspect(isolate).await? {
            Ok(block) if block < head => Err(Problem::unavailable("the node that was asked does not show the addition yet")),
            outcome => outcome.map(drop),
        })
    }

    /// Asks the escrow about the channel, and takes note. Returns the latest block then.
    async fn inspect(&self, isolate: &Isolate) -> Result<Step<u64>> {
        let Some(ledger) = self.ledger()? else { return Ok(Err(Refusal::Closed.problem())) };
        let reading = match escrow::look(isolate, ledger.escrow(), ledger.id()).await {
            Ok(reading) => reading,
            Err(problem) => return Ok(Err(problem)),
        };
        // What a round has told meanwhile says nothing any more about what is believed here: it must tell again.
        if let Err(problem) = isolate.watch_channel(&self.env, ledger.escrow(), ledger.id()).await {
            return Ok(Err(problem));
        }
        self.step(isolate, Event::Observed(reading)).await?;
        Ok(Ok(reading.block))
    }

    /// Closes the channel and waits for it.
    async fn close(&self, isolate: &Isolate, claim: &Claim, event: Event) -> Result<Step<ChannelReply>> {
        let deadline = now().saturating_add(isolate.gateway.limits.settlement_timeout);
        let mut outcome = self.step(isolate, event).await?;
        loop {
            match outcome.answer {
                Ok(Answer::Closed(transaction)) => {
                    return self.done(isolate, &outcome, claim.price, claim.reuse, Some(transaction)).map(Ok);
                }
                Err(refusal) => return Ok(Err(refusal.problem())),
                Ok(_) => {}
            }
            let operation = self.ledger()?.and_then(|ledger| ledger.operation());
            let Some(operation) = operation.filter(|_| now() < deadline) else {
                return Ok(Err(Problem::unavailable("the channel is not closed yet")));
            };
            match self.submit(isolate, operation, deadline).await? {
                Ok(()) => {}
                Err(problem) => return Ok(Err(problem)),
            }
            // It may be closed now, by this call or another; a settlement may have been on its way; or it is to be tried
            // again later.
            outcome = match self.ledger()?.map(|ledger| ledger.status()) {
                Some(Status::Closed { transaction: Some(transaction) }) => Outcome { answer: Ok(Answer::Closed(transaction)), ..outcome },
                Some(Status::Closed { transaction: None }) => Outcome { answer: Err(Refusal::Closed), ..outcome },
                _ => self.step(isolate, Event::Woken).await?,
            };
        }
    }

    /// Has an operation brought onto the chain, and takes note of its end. When another call of this object is at
    /// it, waits for that one.
    async fn submit(&self, isolate: &Isolate, operation: Operation, deadline: Timestamp) -> Result<Step<()>> {
        if self.submitting.get() {
            while self.submitting.get() && now() < deadline {
                self.news(deadline.since(now())).await;
            }
            return Ok(Ok(()));
        }
        let _submitting = Submitting::begin(&self.submitting);
        let verdict = match escrow::bring_about(isolate, &self.env, operation.purpose()).await {
            Ok(Brought::Ended(verdict)) => verdict,
            Ok(Brought::Doomed) => Verdict::Failed(Failure::Reverted),
            Err(problem) => return Ok(Err(problem)),
        };
        self.step(isolate, Event::Concluded(operation, verdict)).await?;
        Ok(Ok(()))
    }

    /// Waits until the ledger has changed, or for `limit`.
    async fn news(&self, limit: Duration) {
        let (sender, news) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        let _ = within(limit, news).await;
    }

    /// Draws units for a metered sale, and waits up to `wait` milliseconds for the balance to allow it.
    async fn draw(&self, isolate: &Isolate, event: Event, price: Amount, wait: u64) -> Result<ChannelReply> {
        let deadline = now().saturating_add(Duration::from_millis(wait));
        loop {
            let outcome = self.step(isolate, event.clone()).await?;
            let left = deadline.since(now());
            if outcome.answer != Ok(Answer::Drawn(Drawn::Exhausted)) || left.is_zero() {
                return self.done(isolate, &outcome, price, Reuse::DrawDown, None);
            }
            self.news(left).await;
        }
    }

    fn topped_up(&self, isolate: &Isolate, claim: &Claim, transaction: Option<B256>) -> Result<Step<ChannelReply>> {
        if let Some(Err(refusal)) = self.ledger()?.map(|ledger| ledger.check_usable()) {
            return Ok(Err(refusal.problem()));
        }
        let outcome = Outcome { answer: Ok(Answer::Noted), effects: Vec::new() };
        self.done(isolate, &outcome, claim.price, claim.reuse, transaction).map(Ok)
    }

    fn done(&self, isolate: &Isolate, outcome: &Outcome, price: Amount, reuse: Reuse, transaction: Option<B256>) -> Result<ChannelReply> {
        let ledger = self.ledger.borrow();
        let ledger = ledger.as_ref().ok_or_else(|| worker::Error::RustError("the channel was not taken on".into()))?;
        let balance = ledger.balance(price, reuse, &isolate.gateway.session.policy);
        let (bought, drawn) = match outcome.answer {
            Ok(Answer::Bought(bought)) => (Some(bought), None),
            Ok(Answer::Drawn(drawn)) => (None, Some(drawn)),
            // The sale is not known any more: it counts as delivered, and is over.
            Err(Refusal::NoSale) => (None, Some(Drawn::Over)),
            _ => (None, None),
        };
        Ok(ChannelReply::Done(Done { payer: ledger.payer(), bought, drawn, balance, transaction }))
    }

    /// What a client needs to go on with the channel, if it can.
    fn snapshot(&self, isolate: &Isolate, price: Amount, reuse: Reuse) -> Result<Option<Snapshot>> {
        let ledger = self.ledger()?;
        let policy = &isolate.gateway.session.policy;
        let usable = ledger.filter(|ledger| ledger.status() == Status::Open);
        Ok(usable.map(|ledger| Snapshot { channel_id: ledger.id(), balance: ledger.balance(price, reuse, policy) }))
    }

    fn show(&self, isolate: &Isolate, price: Amount, reuse: Reuse) -> Result<ChannelReply> {
        let Some(ledger) = self.ledger()? else { return Ok(ChannelReply::Unknown) };
        let balance = ledger.balance(price, reuse, &isolate.gateway.session.policy);
        Ok(ChannelReply::Shown(Shown {
            payer: ledger.payer(),
            signer: ledger.signer(),
            status: ledger.status(),
            delivered: ledger.delivered(),
            settled: ledger.settled(),
            balance,
        }))
    }
}
