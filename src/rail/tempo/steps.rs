//! The steps of a payment. A signed transaction is tried out, sent, and looked for until the chain says what became of it; of one that was
//! sent already only the last. Whatever a node says to a transaction that it is sent, other nodes may have it: only the chain decides. It
//! decides against it by a receipt that says it was reverted, or by its end (`validBefore`) being past, both as deep as is configured.

use super::charge::{Charge, Evidence};
use super::settings::Rail;
use super::simulation;
use super::sponsor::{Promise, Sponsored};
use super::transaction::{Sealed, Transaction};
use super::transfers::Dues;
use crate::evm::jsonrpc::{Block, LoggedAt, NodeAnswer, Request, TransactionReceipt, decode};
use crate::evm::{B256, ChainId};
use crate::rail::configured::not_ours;
use crate::rail::{Answer, AnyRail, Ask, Payment, Prepared, Progress, Reference, Send, Step};
use crate::time::{Timestamp, UnixSeconds};
use crate::wire::problem::{Problem, ProblemKind};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Between two looks at the chain.
const PAUSE: Duration = Duration::from_secs(1);

/// So often a node is asked in one go for what was sent. Who wants to know more asks again.
const MOST_LOOKS: usize = 10;

/// So often it is asked for what a client says it has sent.
const FIRST_LOOKS: usize = 2;

/// No chain makes more blocks in a second.
const BLOCKS_PER_SECOND: u64 = 5;

/// Blocks may be dated so many seconds before our clock.
const CLOCK_SKEW: u64 = 60;

/// What was found out by one question.
enum Heard {
    /// A node was given the transaction. It may have answered with its receipt.
    Sent(Option<TransactionReceipt>),
    /// The receipt, if there is one, and the latest block.
    Looked(Option<TransactionReceipt>, Block),
    /// After the transaction's end: the block that the end is held against, the receipt once more, and whether the payment was made by
    /// another transaction, since somebody else has sent what the payer signed in another form.
    LookedLast(Option<Block>, bool, Option<B256>),
}

impl AnyRail for Rail {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&self, payment: &Payment, progress: &Progress) -> Step {
        let Payment::Tempo(charge) = payment else { return not_ours() };
        match &charge.evidence {
            Evidence::Identity { .. } => Step::Prepared(Prepared::Settled(Reference::new(charge.challenge.as_str()))),
            Evidence::Hash { dues, hash } => self.look_for(charge, dues, *hash, progress),
            Evidence::Transaction { dues, memo, sealed, valid_before, .. } if progress.is_sent => {
                self.follow(&Followed { charge, dues, memo: *memo, sealed, valid_before: *valid_before }, progress)
            }
            Evidence::Transaction { dues, sealed, valid_before, sponsored, .. } => {
                self.prepare(charge, dues, sealed, *valid_before, sponsored.as_ref(), progress)
            }
        }
    }

    fn owns(&self, payment: &Payment) -> bool {
        matches!(payment, Payment::Tempo(charge) if (charge.chain_id, charge.token()) == (self.asking.chain_id, self.asking.token))
    }

    // Any node of its chain knows what became of it.
    fn can_finish(&self, payment: &Payment) -> bool {
        matches!(payment, Payment::Tempo(charge) if charge.chain_id == self.asking.chain_id)
    }

    fn node(&self) -> Option<(ChainId, &[String])> {
        Some((self.asking.chain_id, &self.rpc_urls))
    }
}

/// A transaction that was sent, or may have been.
struct Followed<'a> {
    charge: &'a Charge,
    dues: &'a Dues,
    memo: B256,
    sealed: &'a Sealed,
    valid_before: UnixSeconds,
}

impl Rail {
    /// Before it is sent.
    fn prepare(
        &self,
        charge: &Charge,
        dues: &Dues,
        sealed: &Sealed,
        valid_before: UnixSeconds,
        sponsored: Option<&Sponsored>,
        progress: &Progress,
    ) -> Step {
        // It was read before it was stored.
        let Ok(transaction) = Transaction::decode(&sealed.raw) else {
            return unknown("the transaction that is stored cannot be read");
        };
        match (progress.answers.as_slice(), sponsored) {
            ([], _) => {
                let sponsor = sponsored.zip(transaction.fee_token).map(|(sponsored, token)| (sponsored.sponsor, token));
                ask(Duration::ZERO, simulation::questions(&transaction, charge.payer, dues.token, sponsor))
            }
            ([Answer::Rpc(answers)], sponsored) => {
                let swaps = transaction.calls.len() > dues.splits.len().saturating_add(1);
                match (simulation::judge(answers, dues.total(), progress.reserved, swaps), sponsored) {
                    (Some(prepared), _) => Step::Prepared(prepared),
                    (None, None) => send(sealed),
                    (None, Some(sponsored)) => Step::Ask(Ask::Promise(Promise {
                        chain_id: charge.chain_id,
                        sponsor: sponsored.sponsor,
                        transaction: sealed.hash,
                        until: valid_before,
                        at_once: self.asking.sponsor.as_ref().map_or(0, |sponsor| sponsor.policy.at_once),
                    })),
                }
            }
            ([_, Answer::Promised(true)], Some(_)) => send(sealed),
            ([_, Answer::Promised(false)], Some(_)) => unknown("the fees of as many transactions are being paid as may be at once"),
            _ => unknown("the chain cannot be asked"),
        }
    }

    /// What became of what was sent.
    fn follow(&self, sent: &Followed<'_>, progress: &Progress) -> Step {
        let heard: Vec<Option<Heard>> = progress.answers.iter().map(hear).collect();
        let elsewhere = heard.iter().rev().find_map(|heard| match heard {
            Some(Heard::LookedLast(_, _, elsewhere)) => *elsewhere,
            _ => None,
        });
        let hash = elsewhere.unwrap_or(sent.sealed.hash);
        let look = |after| ask(after, look_for(hash));
        let was_answered = heard.iter().any(|heard| matches!(heard, Some(Heard::Sent(_))));
        let Some(last) = heard.last() else { return look(Duration::ZERO) };
        // A node that has twice not answered will not do so now.
        let is_last_look = heard.len() >= MOST_LOOKS || heard.iter().filter(|heard| heard.is_none()).count() > 1;
        match last {
            Some(Heard::Sent(Some(receipt))) if self.confirmations == 1 && receipt.transaction_hash == hash => self.judge(sent, receipt),
            Some(Heard::Looked(Some(receipt), head)) if self.is_deep(receipt, head) && receipt.transaction_hash == hash => {
                self.judge(sent, receipt)
            }
            Some(Heard::LookedLast(Some(block), false, None)) if block.timestamp() > sent.valid_before => refused_late(),
            _ if is_last_look => unknown("the transaction is not settled yet"),
            Some(Heard::Looked(None, head)) if head.timestamp() > sent.valid_before => {
                let from = since(head, progress.presented);
                let deep = head.number().saturating_sub(self.confirmations.saturating_sub(1));
                let filter = sent.dues.log_filter(sent.charge.payer, sent.memo);
                let questions = [Request::block(deep), Request::receipt(sent.sealed.hash), Request::logs(sent.dues.token, &filter, from)];
                ask(Duration::ZERO, questions.into())
            }
            // It may not have been sent at all.
            Some(Heard::Looked(None, _)) if !was_answered => send(sent.sealed),
            Some(Heard::LookedLast(_, _, Some(_))) => look(Duration::ZERO),
            _ => look(PAUSE),
        }
    }

    /// What a receipt says that is deep enough.
    fn judge(&self, sent: &Followed<'_>, receipt: &TransactionReceipt) -> Step {
        if !receipt.succeeded() {
            return Step::Prepared(Prepared::Refused(reverted()));
        }
        match sent.dues.match_logs(sent.charge.payer, &receipt.logs, &sent.charge.bound) {
            Ok(_) => Step::Prepared(Prepared::Settled(receipt.transaction_hash.into())),
            // It did what was signed, and the node does not say so: money may have moved.
            Err(_) => unknown("the chain's receipt does not show the transfer"),
        }
    }

    /// What a client says it has sent.
    fn look_for(&self, charge: &Charge, dues: &Dues, hash: B256, progress: &Progress) -> Step {
        let Some(last) = progress.answers.last() else { return ask(Duration::ZERO, look_for(hash)) };
        let looks = if progress.is_sent { MOST_LOOKS } else { FIRST_LOOKS };
        let again =
            || if progress.answers.len() < looks { ask(PAUSE, look_for(hash)) } else { unknown("the transaction is not in a block yet") };
        let (receipt, head) = match hear(last) {
            Some(Heard::Looked(Some(receipt), head)) if receipt.transaction_hash == hash => (receipt, head),
            Some(Heard::Looked(None, _)) => return again(),
            _ => return unknown("the chain cannot be asked"),
        };
        let matched = if receipt.succeeded() {
            dues.match_logs(charge.payer, &receipt.logs, &charge.bound)
                .map_err(|mismatch| super::failed(alloc::format!("payload.hash: the transaction {mismatch}")))
        } else {
            Err(reverted())
        };
        match matched {
            Ok(_) if self.is_deep(&receipt, &head) => Step::Prepared(Prepared::Settled(hash.into())),
            // From here on it is paid, as far as is known: it is remembered, and looked at until it is deep enough.
            Ok(_) if !progress.is_sent => {
                Step::Prepared(Prepared::Send(Box::new(Send::Watch(Ask::Rpc { after: PAUSE, requests: look_for(hash) }))))
            }
            Err(problem) if self.is_deep(&receipt, &head) => Step::Prepared(Prepared::Refused(problem)),
            _ => again(),
        }
    }

    fn is_deep(&self, receipt: &TransactionReceipt, head: &Block) -> bool {
        head.number().checked_sub(receipt.block_number()).is_some_and(|above| above.saturating_add(1) >= self.confirmations)
    }
}

fn ask(after: Duration, requests: Vec<Request>) -> Step {
    Step::Ask(Ask::Rpc { after, requests })
}

fn send(sealed: &Sealed) -> Step {
    let request = Ask::Rpc { after: Duration::ZERO, requests: Vec::from([Request::send_sync(&sealed.raw)]) };
    Step::Prepared(Prepared::Send(Box::new(Send::Request(request))))
}

fn look_for(transaction: B256) -> Vec<Request> {
    Vec::from([Request::receipt(transaction), Request::latest_block()])
}

/// A block before which a payment cannot have been made that was presented then.
fn since(head: &Block, presented: Timestamp) -> u64 {
    let seconds = head.timestamp().get().saturating_add(CLOCK_SKEW).saturating_sub(presented.seconds().get());
    head.number().saturating_sub(seconds.saturating_mul(BLOCKS_PER_SECOND))
}

/// Reads an answer by how much was asked. `None` when nothing can be made of it.
fn hear(answer: &Answer) -> Option<Heard> {
    let Answer::Rpc(answers) = answer else { return None };
    let receipt = |answer: &NodeAnswer| decode::<Option<TransactionReceipt>>(answer.as_ref().ok()?).ok();
    match answers.as_slice() {
        [sent] => Some(Heard::Sent(receipt(sent).flatten())),
        [found, head] => Some(Heard::Looked(receipt(found)?, decode(head.as_ref().ok()?).ok()?)),
        [deep, found, logs] => {
            let logs: Vec<LoggedAt> = decode(logs.as_ref().ok()?).ok()?;
            let elsewhere = logs.last().map(|logged| logged.transaction_hash);
            Some(Heard::LookedLast(decode(deep.as_ref().ok()?).ok(), receipt(found)?.is_some(), elsewhere))
        }
        _ => None,
    }
}

fn unknown(why: &str) -> Step {
    Step::Prepared(Prepared::Unknown(Problem::unavailable(why)))
}

fn reverted() -> Problem {
    super::failed("the transaction was reverted, and nothing was paid; check the payer's balance, then sign a new one")
}

fn refused_late() -> Step {
    Step::Prepared(Prepared::Refused(Problem::new(
        ProblemKind::PaymentExpired,
        "payload.signature: the transaction's validBefore was past before it was in a block, and nothing was paid; sign a new one",
    )))
}
