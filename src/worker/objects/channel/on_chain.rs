//! What a channel has to do with the chain: it looks at itself there, and has its money brought.

use super::{Channel, Step};
use crate::channel::{Answer, Channel as Ledger, Event, Operation, Outcome, Refusal, Status};
use crate::settlement::{Failure, Verdict};
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use crate::worker::clock::now;
use crate::worker::config::Isolate;
use crate::worker::escrow::{self, Brought};
use crate::worker::objects::{ChannelReply, Claim};
use std::cell::Cell;
use worker::Result;

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

impl Channel {
    /// Asks the escrow about the channel, and takes note. Returns the latest block then.
    pub(super) async fn inspect(&self, isolate: &Isolate) -> Result<Step<u64>> {
        let known = self.look(|ledger| (ledger.escrow(), ledger.id(), ledger.signer()))?;
        let Some((escrow, id, signer)) = known else { return Ok(Err(Refusal::Closed.problem())) };
        let reading = match escrow::look(isolate, escrow, id, signer).await {
            Ok(reading) => reading,
            Err(problem) => return Ok(Err(problem)),
        };
        // What a round has told meanwhile says nothing any more about what is believed here: it must tell again.
        if let Err(problem) = isolate.watch_channel(&self.env, escrow, id, signer).await {
            return Ok(Err(problem));
        }
        self.step(isolate, Event::Observed(reading)).await?;
        Ok(Ok(reading.block))
    }

    /// Closes the channel and waits for it.
    pub(super) async fn close(&self, isolate: &Isolate, claim: &Claim, event: Event) -> Result<Step<ChannelReply>> {
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
            let operation = self.look(Ledger::operation)?.flatten();
            let Some(operation) = operation.filter(|_| now() < deadline) else {
                return Ok(Err(Problem::unavailable("the channel is not closed yet")));
            };
            match self.submit(isolate, operation, deadline).await? {
                Ok(()) => {}
                Err(problem) => return Ok(Err(problem)),
            }
            // It may be closed now, by this call or another; a settlement may have been on its way; or it is to be tried
            // again later.
            outcome = match self.look(Ledger::status)? {
                Some(Status::Closed { transaction: Some(transaction) }) => Outcome { answer: Ok(Answer::Closed(transaction)), ..outcome },
                Some(Status::Closed { transaction: None }) => Outcome { answer: Err(Refusal::Closed), ..outcome },
                _ => self.step(isolate, Event::Woken).await?,
            };
        }
    }

    /// Has an operation brought onto the chain, and takes note of its end. When another call of this object is at
    /// it, waits for that one.
    pub(super) async fn submit(&self, isolate: &Isolate, operation: Operation, deadline: Timestamp) -> Result<Step<()>> {
        if self.submitting.get() {
            while self.submitting.get() && now() < deadline {
                self.news(deadline.since(now())).await;
            }
            return Ok(Ok(()));
        }
        let _submitting = Submitting::begin(&self.submitting);
        let verdict = match escrow::bring_about(isolate, &self.env, operation.purpose()).await {
            Ok(Brought::Ended(verdict)) => verdict,
            Ok(Brought::Doomed) => Verdict::Failed(Failure::Refused),
            Err(problem) => return Ok(Err(problem)),
        };
        self.step(isolate, Event::Concluded(operation, verdict)).await?;
        Ok(Ok(()))
    }
}
