//! What a channel has to do with the chain: it looks at itself there, and has its money brought.

use super::ChannelReply;
use super::object::{ChannelObject, Unserved};
use crate::channel::{Answer, Channel, Claim, Collection, Event, Outcome, PresentedVoucher, Refusal};
use crate::settlement::{Failure, Verdict};
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use crate::worker::clock::now;
use crate::worker::connection::Connection;
use crate::worker::escrow;
use crate::worker::objects::account::watch_channel;
use std::cell::Cell;
use worker::Result;

/// Marks that a collection is being brought onto the chain, until dropped.
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

/// Asks the escrow about the channel, and takes note. Returns the latest block then.
pub(super) async fn inspect(object: &ChannelObject, connection: &Connection) -> Result<u64, Unserved> {
    let known = object.look(|ledger| (ledger.escrow(), ledger.id(), ledger.signer()))?;
    let (escrow, id, signer) = known.ok_or(Refusal::Closed)?;
    let reading = escrow::look(connection, escrow, id, signer).await?;
    // What a round has told meanwhile says nothing any more about what is believed here: it must tell again.
    watch_channel(connection, &object.env, escrow, id, signer).await?;
    object.step(connection, Event::Observed(reading)).await?;
    Ok(reading.block)
}

/// Closes the channel and waits for it.
pub(super) async fn close(
    object: &ChannelObject,
    connection: &Connection,
    claim: &Claim,
    presented: PresentedVoucher,
) -> Result<ChannelReply, Unserved> {
    let deadline = now().saturating_add(connection.limits.settlement_timeout);
    let mut outcome = object.step(connection, Event::Close(presented)).await?;
    loop {
        if let Answer::Closed(transaction) = outcome.answer? {
            return Ok(object.done(connection, &outcome, claim.price, claim.reuse, Some(transaction))?);
        }
        let collection = object.look(Channel::collection)?.flatten().filter(|_| now() < deadline);
        let collection = collection.ok_or_else(|| Problem::unavailable("the channel is not closed yet"))?;
        submit(object, connection, collection, deadline).await?;
        // It may be closed now, by this call or another; a settlement may have been on its way; or it is to be tried
        // again later.
        outcome = match object.look(Channel::closed)?.flatten() {
            Some(closed) => Outcome { answer: closed.map(Answer::Closed), ..outcome },
            None => object.step(connection, Event::Woken).await?,
        };
    }
}

/// Has a collection brought onto the chain, and takes note of its end. When another call of this object is at
/// it, waits for that one.
pub(super) async fn submit(
    object: &ChannelObject,
    connection: &Connection,
    collection: Collection,
    deadline: Timestamp,
) -> Result<(), Unserved> {
    if object.submitting.get() {
        while object.submitting.get() && now() < deadline {
            object.news(deadline.since(now())).await;
        }
        return Ok(());
    }
    let _submitting = Submitting::begin(&object.submitting);
    let verdict = escrow::bring_about(connection, &object.env, collection.purpose()).await?;
    object.step(connection, Event::Concluded(collection, verdict.unwrap_or(Verdict::Failed(Failure::Refused)))).await?;
    Ok(())
}
