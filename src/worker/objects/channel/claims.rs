//! What clients want of a channel: the rules say what comes next, and it is done here.

use super::{ChannelObject, Unserved};
use crate::channel::{Answer, Channel, Claim, Claiming, Denied, Outcome, Reuse, Rules, Status, Task};
use crate::gateway::escrow_misfit;
use crate::money::Amount;
use crate::rail::evm::Method;
use crate::rail::evm::session::Snapshot;
use crate::worker::clock::now;
use crate::worker::config::Isolate;
use crate::worker::escrow;
use crate::worker::objects::{ChannelReply, Errand, PayerMessage, SettleMessage, SettleReply};
use crate::worker::respond::misconfigured;
use worker::{Result, console_error};

impl ChannelObject {
    pub(super) async fn claim(&self, isolate: &Isolate, method: Method, claim: &Claim) -> Result<ChannelReply> {
        match self.serve(isolate, method, claim).await {
            Ok(reply) => Ok(reply),
            Err(Unserved::Problem(problem)) => {
                let snapshot = self.snapshot(isolate, claim.price, claim.reuse)?;
                Ok(ChannelReply::Refused { refused: problem.into(), snapshot })
            }
            Err(Unserved::Error(error)) => Err(error),
        }
    }

    async fn serve(&self, isolate: &Isolate, method: Method, claim: &Claim) -> Result<ChannelReply, Unserved> {
        let session = &isolate.gateway.session;
        let expected = escrow::expected(isolate, method, claim);
        let mut claiming = Claiming::new(claim, Rules { expected, policy: &session.policy, least_sponsored: session.min_deposit });
        loop {
            let task = self.look_for(|ledger| claiming.next(ledger, now()))?;
            let task = task.map_err(|denied| match denied {
                Denied::Problem(problem) => problem,
                Denied::Misfit(unfit) => misconfigured(&[escrow_misfit(method, Some(unfit))]),
            })?;
            match task {
                Task::AskWhetherSponsored => claiming.sponsors(isolate.sponsors().await),
                Task::Find { opening } => claiming.found(escrow::find(isolate, method, claim, opening).await),
                Task::AskWhetherBegun(purpose) => {
                    let inquiry = SettleMessage { purpose, errand: Errand::Inquire };
                    claiming.begun(!matches!(isolate.ask_account(&self.env, &inquiry).await?, SettleReply::NotTaken));
                }
                Task::BringAbout(purpose) => claiming.brought_about(escrow::bring_about(isolate, &self.env, purpose).await?),
                Task::Diagnose { purpose, payer } => claiming.diagnosed(escrow::diagnose(isolate, &purpose, payer).await?),
                Task::TakeOn(ledger) => self.take_on(isolate, method, *ledger).await?,
                Task::Inspect => drop(self.inspect(isolate).await?),
                Task::Verify(addition) => self.ask_about(isolate, claim, &[addition]).await?.into_iter().collect::<Result<(), _>>()?,
                Task::Hear(addition) => self.hear_of_addition(isolate, claim, addition).await?,
                Task::Close(presented) => return self.close(isolate, claim, presented).await,
                Task::Step(event) => {
                    let outcome = self.step(isolate, event).await?;
                    outcome.answer?;
                    return Ok(self.done(isolate, &outcome, claim.price, claim.reuse, claiming.transaction())?);
                }
                Task::Done => {
                    let outcome = Outcome { answer: Ok(Answer::Noted), effects: Vec::new() };
                    return Ok(self.done(isolate, &outcome, claim.price, claim.reuse, claiming.transaction())?);
                }
            }
        }
    }

    async fn take_on(&self, isolate: &Isolate, method: Method, ledger: Channel) -> Result<(), Unserved> {
        // Nothing is sold on a channel that nobody watches.
        isolate.watch_channel(&self.env, ledger.escrow(), ledger.id(), ledger.signer()).await?;
        let opened = PayerMessage::Opened { method, channel_id: ledger.id() };
        if isolate.ask_payer(&self.env, ledger.payer(), &opened).await.is_err() {
            console_error!("channel: the payer's object could not be told of a channel; it is found by its id only");
        }
        // Another request may have taken it on meanwhile, and sold on it.
        if !self.is_known()? {
            self.store(ledger)?;
        }
        Ok(())
    }

    /// What a client needs to go on with the channel, if it can.
    fn snapshot(&self, isolate: &Isolate, price: Amount, reuse: Reuse) -> Result<Option<Snapshot>> {
        let policy = &isolate.gateway.session.policy;
        let snapshot = |ledger: &Channel| Snapshot { channel_id: ledger.id(), balance: ledger.balance(price, reuse, policy) };
        Ok(self.look(|ledger| (ledger.status() == Status::Open).then(|| snapshot(ledger)))?.flatten())
    }
}
