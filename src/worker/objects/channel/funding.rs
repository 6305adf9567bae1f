//! Money that is brought into a channel for a client, with the payer's authorization and at our cost.

use super::{Channel, Step};
use crate::channel::{Channel as Ledger, Refusal};
use crate::evm::B256;
use crate::evm::reading::Reading;
use crate::money::Amount;
use crate::rail::evm::session::{Funding, Proof};
use crate::settlement::Purpose;
use crate::worker::clock::now;
use crate::worker::config::Isolate;
use crate::worker::escrow;
use crate::worker::objects::{Claim, Errand, SettleMessage, SettleReply};
use worker::Result;

impl Channel {
    /// Brings in what a claim comes with, and returns the transaction, if it was ours: unless that was done before, and not for
    /// who would be refused all the same.
    pub(super) async fn fund(&self, isolate: &Isolate, claim: &Claim, funding: &Funding) -> Result<Step<Option<B256>>> {
        let purpose = match funding {
            Funding::Open(_) if self.is_known()? => return Ok(Ok(None)),
            Funding::Open(opening) => Purpose::Open(*opening),
            Funding::TopUp(topping_up) => Purpose::TopUp(*topping_up),
        };
        let authorization = &funding.signed().authorization;
        if let Err(problem) = escrow::check_sponsored(isolate, authorization).await {
            return Ok(Err(problem));
        }
        if let Err(problem) = self.foresee(isolate, claim, funding).await? {
            // What was begun for the client is finished, and told to the ledger.
            let inquiry = SettleMessage { purpose, errand: Errand::Inquire };
            match isolate.ask_account(&self.env, &inquiry).await {
                Ok(SettleReply::NotTaken) => return Ok(Err(problem)),
                Ok(SettleReply::Pending | SettleReply::Ended(_)) => {}
                Err(unknown) => return Ok(Err(unknown)),
            }
        }
        Ok(escrow::bring_in(isolate, &self.env, purpose, authorization).await)
    }

    /// Whether the claim would be served once the money is there. What can be told without the chain is told without it.
    async fn foresee(&self, isolate: &Isolate, claim: &Claim, funding: &Funding) -> Result<Step<()>> {
        let policy = &isolate.gateway.session.policy;
        let Proof { presented, source, .. } = claim.proof;
        let judge = |ledger: &Ledger, addition: Amount| {
            let judged = ledger.check_source(source).and_then(|()| ledger.foresee(addition, presented, claim.order, policy, now()));
            judged.map_err(Refusal::problem)
        };
        if let Some(judged) = self.look(|ledger| judge(ledger, funding.signed().authorization.value))? {
            return Ok(judged);
        }
        let expected = claim.expected(isolate);
        if let Funding::Open(opening) = funding {
            let reading = Reading { block: 0, on_chain: opening.on_chain(), signer_has_code: false };
            let opened = Ledger::take_on(claim.channel_id, &reading, &expected, now());
            match opened {
                Ok(ledger) => {
                    if let Err(problem) = judge(&ledger, Amount::ZERO) {
                        return Ok(Err(problem));
                    }
                }
                Err(unfit) => {
                    if let Some(problem) = unfit.problem() {
                        return Ok(Err(problem));
                    }
                }
            }
        }
        let found = match escrow::find(isolate, claim, None).await {
            Ok(found) => found,
            Err(problem) => return Ok(Err(problem)),
        };
        let reading = Reading { on_chain: funding.foreseen(found.reading.on_chain), ..found.reading };
        Ok(match Ledger::adopt(claim.channel_id, &reading, &found.facts, &expected, now()) {
            Ok(ledger) => judge(&ledger, Amount::ZERO),
            Err(unfit) => Err(escrow::unfit(unfit, &found, claim)),
        })
    }
}
