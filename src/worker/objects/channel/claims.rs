//! What clients want of a channel: the rules say what comes next, and it is done here.

use super::{ChannelObject, Unserved};
use crate::channel::{Answer, Channel, Claim, Claiming, Denied, Outcome, Reuse, Rules, Status, Task};
use crate::money::Amount;
use crate::rail::evm::Method;
use crate::rail::evm::session::Snapshot;
use crate::worker::clock::now;
use crate::worker::connection::Connection;
use crate::worker::escrow;
use crate::worker::objects::{ChannelReply, Errand, PayerMessage, SettleMessage, SettleReply};
use worker::{Result, console_error};

impl ChannelObject {
    pub(super) async fn claim(&self, connection: &Connection, method: Method, claim: &Claim) -> Result<ChannelReply> {
        match self.serve(connection, method, claim).await {
            Ok(reply) => Ok(reply),
            Err(Unserved::Problem(problem)) => {
                let snapshot = self.snapshot(connection, claim.price, claim.reuse)?;
                Ok(ChannelReply::Refused { refused: problem.into(), snapshot })
            }
            Err(Unserved::Error(error)) => Err(error),
        }
    }

    async fn serve(&self, connection: &Connection, method: Method, claim: &Claim) -> Result<ChannelReply, Unserved> {
        let session = &connection.rail.session;
        let expected = escrow::expected(connection, method, claim);
        let mut claiming = Claiming::new(claim, Rules { expected, policy: &session.policy, least_sponsored: session.min_deposit });
        loop {
            let task = self.look_for(|ledger| claiming.next(ledger, now()))?;
            let task = task.map_err(|denied| match denied {
                Denied::Problem(problem) => problem,
                Denied::Misfit(unfit) => escrow::misfit(connection, method, Some(unfit)),
            })?;
            match task {
                Task::AskWhetherSponsored => claiming.sponsors(connection.sponsors().await),
                Task::Find { opening } => claiming.found(escrow::find(connection, method, claim, opening).await),
                Task::AskWhetherBegun(purpose) => {
                    let inquiry = SettleMessage { purpose, errand: Errand::Inquire };
                    claiming.begun(!matches!(connection.ask_account(&self.env, &inquiry).await?, SettleReply::NotTaken));
                }
                Task::BringAbout(purpose) => claiming.brought_about(escrow::bring_about(connection, &self.env, purpose).await?),
                Task::Diagnose { purpose, payer } => claiming.diagnosed(escrow::diagnose(connection, &purpose, payer).await?),
                Task::TakeOn(ledger) => self.take_on(connection, method, *ledger).await?,
                Task::Inspect => drop(self.inspect(connection).await?),
                Task::Verify(addition) => self.ask_about(connection, claim, &[addition]).await?.into_iter().collect::<Result<(), _>>()?,
                Task::Hear(addition) => self.hear_of_addition(connection, claim, addition).await?,
                Task::Close(presented) => return self.close(connection, claim, presented).await,
                Task::Step(event) => {
                    let outcome = self.step(connection, event).await?;
                    outcome.answer?;
                    return Ok(self.done(connection, &outcome, claim.price, claim.reuse, claiming.transaction())?);
                }
                Task::Done => {
                    let outcome = Outcome { answer: Ok(Answer::Noted), effects: Vec::new() };
                    return Ok(self.done(connection, &outcome, claim.price, claim.reuse, claiming.transaction())?);
                }
            }
        }
    }

    async fn take_on(&self, connection: &Connection, method: Method, ledger: Channel) -> Result<(), Unserved> {
        // Nothing is sold on a channel that nobody watches.
        connection.watch_channel(&self.env, ledger.escrow(), ledger.id(), ledger.signer()).await?;
        let opened = PayerMessage::Opened { method, channel_id: ledger.id() };
        if connection.ask_payer(&self.env, ledger.payer(), &opened).await.is_err() {
            console_error!("channel {}: its payer's object was not told of it, so Payment-Session finds it by its id only", ledger.id());
        }
        // Another request may have taken it on meanwhile, and sold on it.
        if !self.is_known()? {
            self.store(ledger)?;
        }
        Ok(())
    }

    /// What a client needs to go on with the channel, if it can.
    fn snapshot(&self, connection: &Connection, price: Amount, reuse: Reuse) -> Result<Option<Snapshot>> {
        let policy = &connection.rail.session.policy;
        let snapshot = |ledger: &Channel| Snapshot { channel_id: ledger.id(), balance: ledger.balance(price, reuse, policy) };
        Ok(self.look(|ledger| (ledger.status() == Status::Open).then(|| snapshot(ledger)))?.flatten())
    }
}
