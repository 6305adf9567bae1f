//! Who may do what to a channel, and in which order it is done: a claim is checked against what is stored, a sponsored deposit is
//! brought in if the claim would be served with it, a channel that is not known is taken on as the chain shows it, additions are
//! looked up, and then the ledger decides.
//!
//! [`Claiming::next`] says what comes next; whoever does that tells what came of it by the method that the [`Task`] names, if it names
//! one, and asks again. What cannot be found out ends the claim. Nothing is remembered between two claims.

use super::{Action, Addition, Channel, Claim, Event, Expected, Policy, PresentedVoucher, Refusal, SponsoredDeposit, Status, Unfit};
use crate::evm::escrow::EscrowFacts;
use crate::evm::reading::Reading;
use crate::evm::{Address, B256, U256};
use crate::money::Amount;
use crate::settlement::{Failure, Purpose, Verdict};
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use alloc::boxed::Box;
use core::fmt;

/// By what claims are judged.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What a channel must be.
    pub expected: Expected,
    /// What a voucher must be like.
    pub policy: &'a Policy,
    /// The least deposit that is sponsored, where any is.
    pub least_sponsored: Amount,
}

/// A channel that is not known, and its escrow, as the chain shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The channel.
    pub reading: Reading,
    /// The escrow.
    pub facts: EscrowFacts,
    /// The channel is there, but not deep enough to be relied on.
    pub is_young: bool,
}

/// What is to be done next for a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Find out whether the gateway sponsors deposits at all, and tell [`Claiming::sponsors`].
    AskWhetherSponsored,
    /// Read the channel and its escrow, once this transaction has opened it, and tell [`Claiming::found`].
    Find {
        /// A transaction that is said to have opened it, which is to be checked.
        opening: Option<B256>,
    },
    /// Find out whether this was begun before, and tell [`Claiming::begun`].
    AskWhetherBegun(Purpose),
    /// Have this brought about and wait for the verdict, and tell [`Claiming::brought_about`].
    BringAbout(Purpose),
    /// Find out why this would revert, and tell [`Claiming::diagnosed`].
    Diagnose {
        /// What would revert.
        purpose: Purpose,
        /// Whose balance is to be asked for.
        payer: Address,
    },
    /// Have the channel watched, and store its ledger, unless there is one by then.
    TakeOn(Box<Channel>),
    /// Read the channel, and have the ledger observe it.
    Inspect,
    /// Check this addition, which was sponsored, and have the ledger observe it.
    Verify(Addition),
    /// The same for one that the client names and has shown nothing for: it waits its turn.
    Hear(Addition),
    /// Close the channel with this voucher, and answer.
    Close(PresentedVoucher),
    /// Step the ledger with this, and answer.
    Step(Event),
    /// Answer.
    Done,
}

/// Why a claim is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The answer to the client.
    Problem(Problem),
    /// The escrow is not what the configuration takes it for.
    Misfit(Unfit),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => problem.fmt(f),
            Self::Misfit(unfit) => unfit.fmt(f),
        }
    }
}

impl core::error::Error for Denied {}

impl From<Problem> for Denied {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Problem(refusal.problem())
    }
}

impl From<Unfit> for Denied {
    fn from(unfit: Unfit) -> Self {
        unfit.problem().map_or(Self::Misfit(unfit), Self::Problem)
    }
}

/// A claim that is being served.
#[derive(Clone, Debug)]
pub struct Claiming<'a> {
    claim: &'a Claim,
    rules: Rules<'a>,
    stage: Stage<'a>,
    /// What was told and not used yet.
    sponsors: Option<bool>,
    found: Option<Result<Found, Problem>>,
    begun: Option<bool>,
    brought_about: Option<Option<Verdict>>,
    diagnosed: Option<Option<U256>>,
    /// The transaction that brought money in.
    transaction: Option<B256>,
}

#[derive(Clone, Debug)]
enum Stage<'a> {
    Check,
    /// Of a sponsored deposit: whether it is sponsored…
    Sponsor(&'a SponsoredDeposit),
    /// …whether the claim would be served with it…
    Foresee(&'a SponsoredDeposit),
    /// …which it would not…
    Finish(&'a SponsoredDeposit, Denied),
    /// …and bringing it in.
    BringAbout(&'a SponsoredDeposit),
    Diagnose(&'a SponsoredDeposit),
    TakeOn,
    Verify,
    Hear,
    Decide,
}

impl<'a> Claiming<'a> {
    /// Begins to serve a claim.
    pub const fn new(claim: &'a Claim, rules: Rules<'a>) -> Self {
        let (sponsors, found, begun, brought_about, diagnosed, transaction) = (None, None, None, None, None, None);
        Self { claim, rules, stage: Stage::Check, sponsors, found, begun, brought_about, diagnosed, transaction }
    }

    /// Whether the gateway sponsors deposits.
    pub const fn sponsors(&mut self, sponsors: bool) {
        self.sponsors = Some(sponsors);
    }

    /// What the chain shows of the channel and its escrow, or why it does not.
    pub fn found(&mut self, found: Result<Found, Problem>) {
        self.found = Some(found);
    }

    /// Whether the purpose was begun before.
    pub const fn begun(&mut self, begun: bool) {
        self.begun = Some(begun);
    }

    /// The verdict; `None` when it would revert, and was not sent.
    pub const fn brought_about(&mut self, verdict: Option<Verdict>) {
        self.brought_about = Some(verdict);
    }

    /// The payer's balance; `None` when the authorization is used, by whomever.
    pub const fn diagnosed(&mut self, balance: Option<U256>) {
        self.diagnosed = Some(balance);
    }

    /// The transaction that brought money in, by what is known so far.
    pub const fn transaction(&self) -> Option<B256> {
        self.transaction
    }

    /// What comes next, where this `ledger` is stored, if any is.
    ///
    /// # Errors
    /// The claim is not served.
    pub fn next(&mut self, ledger: Option<&Channel>, now: Timestamp) -> Result<Task, Denied> {
        loop {
            self.stage = match core::mem::replace(&mut self.stage, Stage::Check) {
                Stage::Check => {
                    self.check(ledger)?;
                    match &self.claim.proof.sponsored {
                        // It was brought in before.
                        Some(SponsoredDeposit::Open(_)) if ledger.is_some() => Stage::TakeOn,
                        Some(deposit) => Stage::Sponsor(deposit),
                        None => Stage::TakeOn,
                    }
                }
                Stage::Sponsor(deposit) => {
                    let Some(sponsors) = self.sponsors.take() else {
                        self.stage = Stage::Sponsor(deposit);
                        return Ok(Task::AskWhetherSponsored);
                    };
                    deposit.check(sponsors.then_some(self.rules.least_sponsored))?;
                    Stage::Foresee(deposit)
                }
                Stage::Foresee(deposit) => match self.foresee(deposit, ledger, now) {
                    Some(Ok(())) => Stage::BringAbout(deposit),
                    Some(Err(denied)) => Stage::Finish(deposit, denied),
                    None => {
                        self.stage = Stage::Foresee(deposit);
                        return Ok(Task::Find { opening: None });
                    }
                },
                // What was begun for the client is finished, and told to the ledger.
                Stage::Finish(deposit, denied) => match self.begun.take() {
                    Some(true) => Stage::BringAbout(deposit),
                    Some(false) => return Err(denied),
                    None => {
                        self.stage = Stage::Finish(deposit, denied);
                        return Ok(Task::AskWhetherBegun(deposit.purpose()));
                    }
                },
                Stage::BringAbout(deposit) => {
                    let Some(verdict) = self.brought_about.take() else {
                        self.stage = Stage::BringAbout(deposit);
                        return Ok(Task::BringAbout(deposit.purpose()));
                    };
                    match verdict {
                        Some(Verdict::Settled { transaction }) => {
                            self.transaction = Some(transaction);
                            Stage::TakeOn
                        }
                        // Somebody else has brought it in, or spoilt it; the chain shows which.
                        Some(Verdict::Failed(Failure::UsedElsewhere)) => Stage::TakeOn,
                        Some(Verdict::Failed(failure)) => return Err(failure.session_problem().into()),
                        None => Stage::Diagnose(deposit),
                    }
                }
                Stage::Diagnose(deposit) => match self.diagnosed.take() {
                    // Likewise.
                    Some(None) => Stage::TakeOn,
                    Some(Some(balance)) => return Err(deposit.signed().authorization.refusal(balance, now).into()),
                    None => {
                        self.stage = Stage::Diagnose(deposit);
                        return Ok(Task::Diagnose { purpose: deposit.purpose(), payer: deposit.signed().authorization.from });
                    }
                },
                Stage::TakeOn if ledger.is_some() => Stage::Verify,
                Stage::TakeOn => {
                    let Some(found) = self.found.take() else {
                        self.stage = Stage::TakeOn;
                        return Ok(Task::Find { opening: self.opening() });
                    };
                    self.stage = Stage::Verify;
                    return Ok(Task::TakeOn(Box::new(self.take_on(&found?, now)?)));
                }
                Stage::Verify => {
                    self.stage = Stage::Hear;
                    match (&self.claim.proof.sponsored, self.transaction) {
                        (Some(SponsoredDeposit::TopUp(topping_up)), Some(transaction)) => {
                            return Ok(Task::Verify(Addition { transaction, amount: topping_up.signed.authorization.value }));
                        }
                        (Some(SponsoredDeposit::TopUp(_)), None) => return Ok(Task::Inspect),
                        (Some(SponsoredDeposit::Open(_)) | None, _) => Stage::Hear,
                    }
                }
                Stage::Hear => {
                    self.stage = Stage::Decide;
                    if let Action::TopUp { transaction: Some((transaction, amount)) } = self.claim.action {
                        self.transaction = Some(transaction);
                        return Ok(Task::Hear(Addition { transaction, amount }));
                    }
                    Stage::Decide
                }
                Stage::Decide => {
                    self.stage = Stage::Decide;
                    return match (self.claim.action, self.claim.proof.presented) {
                        (Action::Close, Some(presented)) => Ok(Task::Close(presented)),
                        (_, Some(presented)) => Ok(Task::Step(Event::Voucher(presented, self.claim.order))),
                        (_, None) => {
                            ledger.map_or(Ok(()), Channel::check_usable)?;
                            Ok(Task::Done)
                        }
                    };
                }
            };
        }
    }

    /// What is refused without asking anybody.
    fn check(&self, ledger: Option<&Channel>) -> Result<(), Refusal> {
        let Some(ledger) = ledger else {
            return match self.claim.action {
                // Anybody can name a transaction. Whoever has the channel's key shows that by a voucher, and the addition counts with it.
                Action::TopUp { transaction: Some(_) } => Err(Refusal::Unknown),
                _ => Ok(()),
            };
        };
        // Who cannot have signed for the channel gets nothing done for it.
        self.check_signer(ledger)?;
        ledger.check_source(self.claim.proof.source)?;
        match (ledger.status(), self.claim.action) {
            (Status::Closed { .. }, Action::Close) => Ok(()),
            (Status::Closed { .. }, _) => Err(Refusal::Closed),
            _ => ledger.check_payee(self.rules.expected.payee, self.rules.expected.asset),
        }
    }

    fn check_signer(&self, ledger: &Channel) -> Result<(), Refusal> {
        match self.claim.proof.presented {
            Some(presented) if presented.signer != ledger.signer() => Err(Refusal::SignerMismatch),
            _ => Ok(()),
        }
    }

    /// Whether the claim would be served once the money is there; `None` when the chain must be read to tell.
    fn foresee(&mut self, deposit: &SponsoredDeposit, ledger: Option<&Channel>, now: Timestamp) -> Option<Result<(), Denied>> {
        let found = self.found.take();
        if let Some(ledger) = ledger {
            let addition = match deposit {
                SponsoredDeposit::Open(_) => Amount::ZERO,
                SponsoredDeposit::TopUp(topping_up) => topping_up.signed.authorization.value,
            };
            return Some(self.judge(ledger, addition, now));
        }
        let expected = &self.rules.expected;
        let Some(found) = found else {
            // What can be told without the chain is told without it.
            let SponsoredDeposit::Open(opening) = deposit else { return None };
            let reading = Reading { block: 0, on_chain: opening.on_chain(), signer_has_code: false };
            let judged = match Channel::take_on(self.claim.channel_id, &reading, expected, now) {
                Ok(ledger) => self.judge(&ledger, Amount::ZERO, now),
                Err(unfit) => Err(unfit.into()),
            };
            return judged.err().map(Err);
        };
        let judge = |found: Found| {
            let reading = Reading { on_chain: deposit.foreseen(found.reading.on_chain), ..found.reading };
            let adopted = Channel::adopt(self.claim.channel_id, &reading, &found.facts, expected, now);
            self.judge(&adopted.map_err(|unfit| unfit_as(unfit, &found))?, Amount::ZERO, now)
        };
        Some(found.map_err(Denied::from).and_then(judge))
    }

    fn judge(&self, ledger: &Channel, addition: Amount, now: Timestamp) -> Result<(), Denied> {
        let Claim { proof, order, .. } = self.claim;
        ledger.check_source(proof.source)?;
        Ok(ledger.foresee(addition, proof.presented, *order, self.rules.policy, now)?)
    }

    /// The transaction that has opened the channel, by the client's word or by our own doing.
    const fn opening(&self) -> Option<B256> {
        match (self.claim.action, &self.claim.proof.sponsored) {
            (Action::Open { transaction: Some(transaction) }, _) => Some(transaction),
            (_, Some(SponsoredDeposit::Open(_))) => self.transaction,
            _ => None,
        }
    }

    fn take_on(&self, found: &Found, now: Timestamp) -> Result<Channel, Denied> {
        let ledger = match Channel::adopt(self.claim.channel_id, &found.reading, &found.facts, &self.rules.expected, now) {
            Ok(ledger) => ledger,
            // The node that was asked lags behind the one that has shown the transaction.
            Err(Unfit::TooSmall) if self.transaction.is_some() => return Err(behind().into()),
            Err(unfit) => return Err(unfit_as(unfit, found)),
        };
        // Who cannot have signed for it does not bring it here either.
        self.check_signer(&ledger)?;
        Ok(ledger)
    }
}

/// The chain does not show yet what it has shown.
pub(super) fn behind() -> Problem {
    Problem::unavailable("the node that was asked does not show the addition yet")
}

fn unfit_as(unfit: Unfit, found: &Found) -> Denied {
    if unfit == Unfit::Absent && found.is_young {
        return Problem::unavailable("the channel is not deep enough in the chain yet").into();
    }
    unfit.into()
}
