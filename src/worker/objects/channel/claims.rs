//! What clients want of a channel: the rules say what comes next, and it is done here.

use super::object::{ChannelObject, Unserved};
use super::{ChannelReply, additions, on_chain};
use crate::channel::{Answer, Channel, Claim, Claiming, Denied, Outcome, Reuse, Rules, Status, Task};
use crate::money::Amount;
use crate::rail::evm::Method;
use crate::rail::evm::session::Snapshot;
use crate::worker::clock::now;
use crate::worker::connection::Connection;
use crate::worker::escrow;
use crate::worker::objects::account::{Errand, SettleMessage, SettleReply, ask_account, watch_channel};
use crate::worker::objects::payer::{PayerMessage, ask_payer};
use worker::{Result, console_error};

pub(super) async fn claim(object: &ChannelObject, connection: &Connection, method: Method, claim: &Claim) -> Result<ChannelReply> {
    match serve(object, connection, method, claim).await {
        Ok(reply) => Ok(reply),
        Err(Unserved::Problem(problem)) => {
            let snapshot = snapshot(object, connection, claim.price, claim.reuse)?;
            Ok(ChannelReply::Refused { refused: problem.into(), snapshot })
        }
        Err(Unserved::Error(error)) => Err(error),
    }
}

async fn serve(object: &ChannelObject, connection: &Connection, method: Method, claim: &Claim) -> Result<ChannelReply, Unserved> {
    let session = &connection.rail.session;
    let expected = escrow::expected(connection, method, claim);
    let mut claiming = Claiming::new(claim, Rules { expected, policy: &session.policy, least_sponsored: session.min_deposit });
    loop {
        let task = object.look_for(|ledger| claiming.next(ledger, now()))?;
        let task = task.map_err(|denied| match denied {
            Denied::Problem(problem) => problem,
            Denied::Misfit(unfit) => escrow::misfit(connection, method, Some(unfit)),
        })?;
        match task {
            Task::AskWhetherSponsored => claiming.sponsors(connection.sponsors().await),
            Task::Find { opening } => claiming.found(escrow::find(connection, method, claim, opening).await),
            Task::AskWhetherBegun(purpose) => {
                let inquiry = SettleMessage { purpose, errand: Errand::Inquire };
                claiming.begun(!matches!(ask_account(connection, &object.env, &inquiry).await?, SettleReply::NotTaken));
            }
            Task::BringAbout(purpose) => claiming.brought_about(escrow::bring_about(connection, &object.env, purpose).await?),
            Task::Diagnose { purpose, payer } => claiming.diagnosed(escrow::diagnose(connection, &purpose, payer).await?),
            Task::TakeOn(ledger) => take_on(object, connection, method, *ledger).await?,
            Task::Inspect => drop(on_chain::inspect(object, connection).await?),
            Task::Verify(addition) => {
                additions::ask_about(object, connection, claim, &[addition]).await?.into_iter().collect::<Result<(), _>>()?
            }
            Task::Hear(addition) => additions::hear(object, connection, claim, addition).await?,
            Task::Close(presented) => return on_chain::close(object, connection, claim, presented).await,
            Task::Step(event) => {
                let outcome = object.step(connection, event).await?;
                outcome.answer?;
                return Ok(object.done(connection, &outcome, claim.price, claim.reuse, claiming.transaction())?);
            }
            Task::Done => {
                let outcome = Outcome { answer: Ok(Answer::Noted), effects: Vec::new() };
                return Ok(object.done(connection, &outcome, claim.price, claim.reuse, claiming.transaction())?);
            }
        }
    }
}

async fn take_on(object: &ChannelObject, connection: &Connection, method: Method, ledger: Channel) -> Result<(), Unserved> {
    // Nothing is sold on a channel that nobody watches.
    watch_channel(connection, &object.env, ledger.escrow(), ledger.id(), ledger.signer()).await?;
    object.signer_was_seen();
    let opened = PayerMessage::Opened { method, channel_id: ledger.id() };
    if ask_payer(connection, &object.env, ledger.payer(), &opened).await.is_err() {
        console_error!("channel {}: its payer's object was not told of it, so Payment-Session finds it by its id only", ledger.id());
    }
    // Another request may have taken it on meanwhile, and sold on it.
    if !object.is_known()? {
        object.store(ledger)?;
    }
    Ok(())
}

/// What a client needs to go on with the channel, if it can.
fn snapshot(object: &ChannelObject, connection: &Connection, price: Amount, reuse: Reuse) -> Result<Option<Snapshot>> {
    let policy = &connection.rail.session.policy;
    let snapshot = |ledger: &Channel| Snapshot { channel_id: ledger.id(), balance: ledger.balance(price, reuse, policy) };
    Ok(object.look(|ledger| (ledger.status() == Status::Open).then(|| snapshot(ledger)))?.flatten())
}
