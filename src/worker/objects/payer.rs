//! The payer's object, one per payer and token: which of its charges are claimed, settled, delivered.

use super::table::{Table, set_alarm};
use super::{PayerMessage, PayerReply, SettleMessage, SettleReply, receive, reply, unconfigured};
use crate::evm::amount::Amount;
use crate::evm::jsonrpc::{Answer, NodeError, Request as RpcRequest, decode, decode_u64};
use crate::evm::transaction::Call;
use crate::evm::{B256, U256, erc3009};
use crate::method::charge::Charge;
use crate::payment::{LeaseId, Lost, Next, Payment, Simulated, Simulation, Stage};
use crate::protocol::problem::Problem;
use crate::settlement::{Purpose, Transfer, Verdict};
use crate::worker::clock::now;
use crate::worker::config::{Isolate, load};
use alloy_primitives::Bytes;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;
use worker::{DurableObject, Env, Request, Response, Result, State, console_error, durable_object};

/// A lease outlives the origin's time-out by this, so that an answer in the last moment is delivered.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// An open verdict is asked for again after this.
const SOON: Duration = Duration::from_secs(5);

/// How often an alarm goes round at the most when there is no hurry.
const ROUND: Duration = Duration::from_secs(60);

/// See the module.
#[durable_object]
pub struct Payer {
    state: State,
    env: Env,
    payments: OnceCell<Table>,
    /// Nonces that a call of this object is simulating or settling right now.
    at_work: RefCell<BTreeSet<B256>>,
}

/// Marks a nonce as being worked on until dropped.
struct AtWork<'a> {
    nonces: &'a RefCell<BTreeSet<B256>>,
    nonce: B256,
}

impl<'a> AtWork<'a> {
    fn on(nonces: &'a RefCell<BTreeSet<B256>>, nonce: B256) -> Self {
        nonces.borrow_mut().insert(nonce);
        Self { nonces, nonce }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.nonces.borrow_mut().remove(&self.nonce);
    }
}

impl DurableObject for Payer {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, payments: OnceCell::new(), at_work: RefCell::default() }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let message = receive(request).await?;
        reply(&self.handle(message).await?)
    }

    async fn alarm(&self) -> Result<Response> {
        if let Err(error) = self.conclude_abandoned().await {
            console_error!("payer: {error}");
        }
        let next = self.payments()?.prune(now())?;
        let next = if self.payments()?.open_values::<Payment>()?.is_empty() { next } else { Some(now()) };
        if let Some(next) = next {
            set_alarm(&self.state, next.max(now().saturating_add(ROUND))).await?;
        }
        Response::empty()
    }
}

/// What a step of the work gave, or the problem to answer with.
type Step<T> = std::result::Result<T, Problem>;

impl Payer {
    fn payments(&self) -> Result<&Table> {
        if let Some(table) = self.payments.get() {
            return Ok(table);
        }
        let table = Table::open(&self.state, "payments")?;
        Ok(self.payments.get_or_init(|| table))
    }

    async fn handle(&self, message: PayerMessage) -> Result<PayerReply> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        match message {
            PayerMessage::Claim { charge, reserve } => self.claim(isolate, *charge, reserve).await,
            PayerMessage::Settle { nonce, lease } => self.settle_reserved(isolate, nonce, lease).await,
            PayerMessage::Deliver { nonce, lease } => {
                self.change(&nonce, |payment| payment.deliver(lease).map_or_else(lost, |_| PayerReply::Noted))
            }
            PayerMessage::Reopen { nonce, lease } => {
                self.change(&nonce, |payment| payment.reopen(lease).map_or_else(lost, |()| PayerReply::Noted))
            }
            PayerMessage::Release { nonce, lease } => {
                let table = self.payments()?;
                if let Some(payment) = table.get::<Payment>(&nonce)? {
                    match payment.release(lease) {
                        Some(payment) => save(table, &payment)?,
                        None => table.remove(&nonce)?,
                    }
                }
                Ok(PayerReply::Noted)
            }
        }
    }

    /// Reads, changes and writes one payment, without an await between.
    fn change<T>(&self, nonce: &B256, change: impl FnOnce(&mut Payment) -> T) -> Result<T> {
        let table = self.payments()?;
        let mut payment = table.get::<Payment>(nonce)?.ok_or("a payment in progress is gone")?;
        let result = change(&mut payment);
        save(table, &payment)?;
        Ok(result)
    }

    async fn claim(&self, isolate: &Isolate, charge: Charge, reserve: bool) -> Result<PayerReply> {
        let nonce = charge.signed.authorization.nonce;
        let table = self.payments()?;
        let at_work = self.at_work.borrow().contains(&nonce);
        let (payment, next) = match Payment::present(table.get(&nonce)?, charge, now(), at_work) {
            Ok(presented) => presented,
            Err(refusal) => return Ok(PayerReply::Refused(refusal.into_problem().into())),
        };
        save(table, &payment)?;
        let _at_work = AtWork::on(&self.at_work, nonce);
        self.wake_later().await?;
        match next {
            Next::Deliver => self.hand_over(isolate, &nonce),
            Next::Settle { gas_limit } => self.settle(isolate, payment.charge(), gas_limit).await,
            Next::Simulate => match self.simulate(isolate, payment.charge()).await? {
                Err(problem) => {
                    table.remove(&nonce)?;
                    Ok(PayerReply::Refused(problem.into()))
                }
                Ok(Simulated::Viable { .. }) if reserve => {
                    let duration = lease_duration(isolate);
                    self.change(&nonce, |payment| {
                        payment.reserve(now(), duration).map_or_else(lost, |lease| PayerReply::Reserved { lease })
                    })
                }
                Ok(Simulated::Viable { gas_limit }) => self.settle(isolate, payment.charge(), Some(gas_limit)).await,
                Ok(Simulated::Used) => self.settle(isolate, payment.charge(), None).await,
            },
        }
    }

    /// Gives the settled payment to the request that presented it.
    fn hand_over(&self, isolate: &Isolate, nonce: &B256) -> Result<PayerReply> {
        let duration = lease_duration(isolate);
        let paid = |(lease, transaction)| PayerReply::Paid { lease, transaction };
        self.change(nonce, |payment| payment.hand_over(now(), duration).map_or_else(lost, paid))
    }

    /// Has the charge settled, and hands it over when it is.
    async fn settle(&self, isolate: &Isolate, charge: &Charge, gas_limit: Option<u64>) -> Result<PayerReply> {
        let nonce = charge.signed.authorization.nonce;
        Ok(match self.await_verdict(isolate, charge, gas_limit).await? {
            Ok(Verdict::Settled { .. }) => self.hand_over(isolate, &nonce)?,
            Ok(Verdict::Failed(failure)) => PayerReply::Refused(failure.problem().into()),
            Err(problem) => PayerReply::Refused(problem.into()),
        })
    }

    /// The origin has answered: settles the reserved payment for the request that holds it.
    async fn settle_reserved(&self, isolate: &Isolate, nonce: B256, lease: LeaseId) -> Result<PayerReply> {
        let resumed = self.change(&nonce, |payment| payment.resume(lease).map(|()| payment.charge().clone()))?;
        let charge = match resumed {
            Ok(charge) => charge,
            Err(gone) => return Ok(lost(gone)),
        };
        let _at_work = AtWork::on(&self.at_work, nonce);
        // The first simulation is as old as the origin was slow.
        let gas_limit = match self.simulate(isolate, &charge).await? {
            Ok(Simulated::Viable { gas_limit }) => Some(gas_limit),
            Ok(Simulated::Used) => None,
            Err(problem) => {
                self.payments()?.remove(&nonce)?;
                return Ok(PayerReply::Refused(problem.into()));
            }
        };
        Ok(match self.await_verdict(isolate, &charge, gas_limit).await? {
            Ok(Verdict::Settled { .. }) => {
                let paid = |transaction| PayerReply::Paid { lease, transaction };
                self.change(&nonce, |payment| payment.hand_back(lease, now(), LEASE_MARGIN).map_or_else(lost, paid))?
            }
            Ok(Verdict::Failed(failure)) => PayerReply::Refused(failure.problem().into()),
            Err(problem) => PayerReply::Refused(problem.into()),
        })
    }

    /// Hands the charge to the settlement account and waits for the verdict. Without a `gas_limit` nothing
    /// new is sent.
    async fn await_verdict(&self, isolate: &Isolate, charge: &Charge, gas_limit: Option<u64>) -> Result<Step<Verdict>> {
        // From here on it may be on chain: remembered until the verdict is known.
        self.change(&charge.signed.authorization.nonce, |payment| payment.submit(gas_limit))?;
        let purpose = Purpose::Transfer(Transfer { token: charge.token, signed: charge.signed, since: charge.issued });
        let verdict = match isolate.ask_account(&self.env, &SettleMessage { purpose, gas_limit }).await {
            Ok(SettleReply::Ended(verdict)) => verdict,
            Ok(SettleReply::Pending) => {
                self.look_again().await?;
                return Ok(Err(Problem::unavailable("the transfer is not settled yet")));
            }
            Ok(SettleReply::NotTaken) => {
                self.payments()?.remove(&charge.signed.authorization.nonce)?;
                return Ok(Err(Problem::unavailable("the chain cannot be asked")));
            }
            Err(problem) => {
                self.look_again().await?;
                return Ok(Err(problem));
            }
        };
        self.change(&charge.signed.authorization.nonce, |payment| payment.conclude(verdict))?;
        Ok(Ok(verdict))
    }

    /// Asks the chain whether the transfer would succeed.
    async fn simulate(&self, isolate: &Isolate, charge: &Charge) -> Result<Step<Simulated>> {
        let authorization = &charge.signed.authorization;
        let sender = isolate.gateway.settlement_key.address();
        let to_token = |data: Vec<u8>| Call { to: charge.token, data: data.into() };
        let transfer = to_token(charge.signed.transfer_call());
        let requests = [
            RpcRequest::call(Some(sender), &transfer),
            RpcRequest::estimate_gas(sender, &transfer),
            RpcRequest::call(None, &to_token(authorization.state_call())),
            RpcRequest::call(None, &to_token(erc3009::balance_call(authorization.from))),
        ];
        let answers = isolate.rpc.batch(&requests).await;
        let simulation = answers.ok().and_then(read);
        let Some(simulation) = simulation else {
            return Ok(Err(Problem::unavailable("the chain cannot be asked")));
        };
        let reserved = self.reserved_beside(&authorization.nonce)?;
        Ok(simulation.judge(authorization.value, reserved))
    }

    /// What the payer's other charges on their way will take.
    fn reserved_beside(&self, nonce: &B256) -> Result<Amount> {
        let now = now();
        let at_work = self.at_work.borrow();
        let open = self.payments()?.open_values::<Payment>()?;
        let others = open.iter().map(|payment| (payment, payment.charge().signed.authorization.nonce)).filter(|(_, other)| other != nonce);
        let sum =
            others.map(|(payment, other)| payment.reserves(now, at_work.contains(&other))).try_fold(Amount::ZERO, Amount::checked_add);
        Ok(sum.unwrap_or(Amount::from_base_units(u128::MAX)))
    }

    /// Sees to it that what may be forgotten will be, and that what is on its way is concluded.
    async fn wake_later(&self) -> Result<()> {
        if self.state.storage().get_alarm().await?.is_none() {
            set_alarm(&self.state, now().saturating_add(ROUND)).await?;
        }
        Ok(())
    }

    /// Sees to it that a verdict is asked for soon, whether the client comes back or not.
    async fn look_again(&self) -> Result<()> {
        set_alarm(&self.state, now().saturating_add(SOON)).await
    }

    /// Asks for the verdict on payments whose client did not wait for it: until then they would count against
    /// what the payer can still pay.
    async fn conclude_abandoned(&self) -> Result<()> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        for payment in self.payments()?.open_values::<Payment>()? {
            let nonce = payment.charge().signed.authorization.nonce;
            if let Stage::Submitted { .. } = payment.stage()
                && !self.at_work.borrow().contains(&nonce)
            {
                let _at_work = AtWork::on(&self.at_work, nonce);
                // Nothing is sent for a client that is gone. A problem is for one that waits; the next round asks again.
                let _ = self.await_verdict(isolate, payment.charge(), None).await?;
            }
        }
        Ok(())
    }
}

fn lost(lost: Lost) -> PayerReply {
    PayerReply::Refused(lost.into_problem().into())
}

fn lease_duration(isolate: &Isolate) -> Duration {
    isolate.gateway.limits.origin_timeout + LEASE_MARGIN
}

fn save(table: &Table, payment: &Payment) -> Result<()> {
    table.put(&payment.charge().signed.authorization.nonce, payment, payment.is_open(), Some(payment.forget_at()))
}

/// The answers to the simulation's requests. The authorization's state and the balance must be readable.
fn read(answers: Vec<Answer>) -> Option<Simulation> {
    let [transfer, gas, used, balance] = <[Answer; 4]>::try_from(answers).ok()?;
    let word = |answer: Answer| decode::<Bytes>(&answer.ok()?).ok().and_then(|bytes| U256::try_from_be_slice(&bytes));
    Some(Simulation {
        transfer: transfer.map(|_| ()),
        gas: gas.and_then(|gas| decode_u64(&gas).map_err(|_| NodeError::Other(0))),
        used: !word(used)?.is_zero(),
        balance: Amount::from_base_units(word(balance)?.saturating_to()),
    })
}
