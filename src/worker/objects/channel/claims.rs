//! What clients want of a channel: it is taken on when it is not known yet, money is brought in, and then the ledger decides.

use super::additions::behind;
use super::{Channel, Step};
use crate::channel::{Action, Addition, Answer, Channel as Ledger, Event, Outcome, Refusal, Reuse, Status, Unfit};
use crate::evm::B256;
use crate::money::Amount;
use crate::rail::evm::session::{Funding, Proof, Snapshot};
use crate::worker::clock::now;
use crate::worker::config::Isolate;
use crate::worker::escrow;
use crate::worker::objects::{ChannelReply, Claim, PayerMessage};
use worker::{Result, console_error};

impl Channel {
    pub(super) async fn claim(&self, isolate: &Isolate, claim: &Claim) -> Result<ChannelReply> {
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
        let Proof { presented, source, .. } = &claim.proof;
        let checked = self.look(|ledger| {
            // Who cannot have signed for the channel gets nothing done for it.
            if presented.is_some_and(|presented| presented.signer != ledger.signer()) {
                return Err(Refusal::SignerMismatch);
            }
            ledger.check_source(*source)?;
            match (ledger.status(), claim.action) {
                (Status::Closed { .. }, Action::Close) => Ok(()),
                (Status::Closed { .. }, _) => Err(Refusal::Closed),
                _ => ledger.check_terms(isolate.gateway.recipient, isolate.gateway.token.address),
            }
        })?;
        Ok(checked.unwrap_or(Ok(())).map_err(Refusal::problem))
    }

    async fn serve(&self, isolate: &Isolate, claim: &Claim) -> Result<Step<ChannelReply>> {
        if let Err(problem) = self.check(isolate, claim)? {
            return Ok(Err(problem));
        }
        if let Action::TopUp { transaction: Some(_) } = claim.action
            && !self.is_known()?
        {
            // Anybody can name a transaction. Whoever has the channel's key shows that by a voucher, and the addition counts with it.
            return Ok(Err(Refusal::Unknown.problem()));
        }
        let mut transaction = match &claim.proof.funding {
            Some(funding) => match self.fund(isolate, claim, funding).await? {
                Ok(transaction) => transaction,
                Err(problem) => return Ok(Err(problem)),
            },
            None => None,
        };
        if !self.is_known()?
            && let Err(problem) = self.adopt(isolate, claim, transaction).await?
        {
            return Ok(Err(problem));
        }
        if let Some(Funding::TopUp(topping_up)) = &claim.proof.funding {
            let seen = match transaction {
                Some(transaction) => {
                    let addition = Addition { transaction, amount: topping_up.signed.authorization.value };
                    self.ask_about(isolate, claim, &[addition]).await?.into_iter().collect::<Step<()>>()
                }
                None => self.inspect(isolate).await?.map(drop),
            };
            if let Err(problem) = seen {
                return Ok(Err(problem));
            }
        }
        if let Action::TopUp { transaction: Some((hash, addition)) } = claim.action {
            let addition = Addition { transaction: hash, amount: addition };
            if let Err(problem) = self.hear_of_addition(isolate, claim, addition).await? {
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

    /// Takes the channel on, as the escrow shows it; after this transaction, if money was brought in.
    async fn adopt(&self, isolate: &Isolate, claim: &Claim, brought: Option<B256>) -> Result<Step<()>> {
        let opening = match (claim.action, &claim.proof.funding) {
            (Action::Open { transaction: Some(transaction) }, _) => Some(transaction),
            (_, Some(Funding::Open(_))) => brought,
            _ => None,
        };
        let found = match escrow::find(isolate, claim, opening).await {
            Ok(found) => found,
            Err(problem) => return Ok(Err(problem)),
        };
        let ledger = match Ledger::adopt(claim.channel_id, &found.reading, &found.facts, &claim.expected(isolate), now()) {
            Ok(ledger) => ledger,
            Err(Unfit::TooSmall) if brought.is_some() => return Ok(Err(behind())),
            Err(unfit) => return Ok(Err(escrow::unfit(unfit, &found, claim))),
        };
        // Who cannot have signed for it does not bring it here either.
        if claim.proof.presented.is_some_and(|presented| presented.signer != ledger.signer()) {
            return Ok(Err(Refusal::SignerMismatch.problem()));
        }
        // Nothing is sold on a channel that nobody watches.
        if let Err(problem) = isolate.watch_channel(&self.env, claim.escrow, claim.channel_id, ledger.signer()).await {
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

    fn topped_up(&self, isolate: &Isolate, claim: &Claim, transaction: Option<B256>) -> Result<Step<ChannelReply>> {
        if let Some(Err(refusal)) = self.look(Ledger::check_usable)? {
            return Ok(Err(refusal.problem()));
        }
        let outcome = Outcome { answer: Ok(Answer::Noted), effects: Vec::new() };
        self.done(isolate, &outcome, claim.price, claim.reuse, transaction).map(Ok)
    }

    /// What a client needs to go on with the channel, if it can.
    fn snapshot(&self, isolate: &Isolate, price: Amount, reuse: Reuse) -> Result<Option<Snapshot>> {
        let policy = &isolate.gateway.session.policy;
        let snapshot = |ledger: &Ledger| Snapshot { channel_id: ledger.id(), balance: ledger.balance(price, reuse, policy) };
        Ok(self.look(|ledger| (ledger.status() == Status::Open).then(|| snapshot(ledger)))?.flatten())
    }
}
