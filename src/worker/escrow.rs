//! The escrow as the chain shows it, and what is brought about there.

use super::connection::Connection;
use super::failure::misconfigured;
use super::objects::account::{Errand, SettleMessage, SettleReply, ask_account};
use super::rpc::{Network, Unreachable};
use crate::channel::{Addition, Claim, Expected, Found, Refusal, Said, Unfit, check_transaction};
use crate::evm::erc3009::balance_call;
use crate::evm::escrow::{EscrowFacts, facts_calls, opened, topped_up};
use crate::evm::jsonrpc::{NodeAnswer, NodeError, Request, TransactionReceipt, decode, has_code};
use crate::evm::reading::{Heights, Reading, Views, channel_questions, read_head};
use crate::evm::transaction::Call;
use crate::evm::{Address, B256, ChainId, U256};
use crate::gateway::escrow_misfit;
use crate::gateway::offer::SessionOffer;
use crate::gateway::route::Router;
use crate::rail::evm::Method;
use crate::rail::evm::session::domain;
use crate::settlement::{Flaw, Purpose, Verdict};
use crate::wire::problem::Problem;
use alloy_primitives::Bytes;
use litemap::LiteMap;
use std::cell::RefCell;
use worker::{Env, console_warn};

/// Whether the escrows of the methods in which sessions are sold can be relied on; what is wrong, if not.
pub(super) async fn check_escrows(connection: &Connection, router: &Router) -> Result<(), Problem> {
    let offers = router.routes().iter().flat_map(|route| &route.offers);
    let sessions = offers.filter_map(|offer| offer.session().map(|session| (session.method, session)));
    let asset = connection.rail.asset();
    // Two rails may share a chain, each with an escrow of its own.
    let is_here = |(_, session): &(Method, &SessionOffer)| (session.terms.chain_id, session.terms.token) == (asset.chain_id, asset.token);
    let sold: Vec<_> = sessions.filter(is_here).collect();
    for method in Method::ALL {
        let Some((_, session)) = sold.iter().find(|(sold, _)| *sold == method) else { continue };
        let [grace, separator] = connection.rpc.ask(facts_questions(session.terms.escrow)).await.map_err(|_| unknown())?;
        let facts = EscrowFacts::decode(&bytes(grace)?, &bytes(separator)?);
        let unfit = match facts {
            Some(facts) => facts.check(session.domain.separator()).err().map(Some),
            None => Some(None),
        };
        if let Some(unfit) = unfit {
            return Err(misfit(connection, method, unfit));
        }
    }
    Ok(())
}

/// The answer when the escrow of a method is none that can be relied on.
pub(super) fn misfit(connection: &Connection, method: Method, unfit: Option<Unfit>) -> Problem {
    misconfigured(&[connection.rail.locate(escrow_misfit(method, unfit))])
}

fn facts_questions(escrow: Address) -> [Request; 2] {
    facts_calls().map(|data| Request::call(&Call { to: escrow, data: data.into() }))
}

/// What the channel of a claim must be.
pub(super) fn expected(connection: &Connection, method: Method, claim: &Claim) -> Expected {
    let rail = &connection.rail;
    Expected {
        escrow: claim.escrow,
        separator: separator(method, rail.chain_id, claim.escrow),
        payee: rail.recipient,
        asset: rail.asset(),
        price: claim.price,
    }
}

std::thread_local! {
    /// Separators of configured escrows: each is a few hashes, and needed for each voucher.
    static SEPARATORS: RefCell<LiteMap<(Method, ChainId, Address), B256>> = const { RefCell::new(LiteMap::new_vec()) };
}

fn separator(method: Method, chain_id: ChainId, escrow: Address) -> B256 {
    let hash = || domain(method, chain_id, escrow).separator();
    SEPARATORS.with_borrow_mut(|known| *known.entry((method, chain_id, escrow)).or_insert_with(hash))
}

/// Reads the channel of a claim, and checks the transaction that is said to have opened it, if there is one.
pub(super) async fn find(connection: &Connection, method: Method, claim: &Claim, opening: Option<B256>) -> Result<Found, Problem> {
    let confirmations = connection.rail.confirmations;
    let mut heights = None;
    if opening.is_some() || confirmations > 1 {
        let (head, receipt) = head_and_receipt(connection, opening).await?;
        if opening.is_some() {
            let shows = |logs: &[_]| opened(claim.escrow, claim.channel_id, logs);
            check_transaction(Said::Opened, receipt.as_ref(), head, confirmations, shows)?;
        }
        heights = (confirmations > 1).then(|| Heights::new(head, confirmations));
    }
    // Where none is named, the channel tells it.
    let signer = claim.proof.presented.map(|presented| presented.signer);
    let mut questions = Vec::from(facts_questions(claim.escrow));
    questions.extend(channel_questions(claim.escrow, claim.channel_id, signer.unwrap_or(Address::ZERO), heights));
    let (block, answers) = ask(connection, questions, heights).await.map_err(|_| unknown())?;
    let mut answers = answers.into_iter();
    let mut next = || answers.next().ok_or_else(unknown);
    let Some(facts) = EscrowFacts::decode(&bytes(next()?)?, &bytes(next()?)?) else {
        return Err(misfit(connection, method, None));
    };
    let mut views = Views::read(heights, &mut answers).ok_or_else(unknown)?;
    if signer.is_none() {
        let [code] = connection.rpc.ask([Request::code(views.latest.signer())]).await.map_err(|_| unknown())?;
        views.signer_has_code = is_code(code)?;
    }
    // A node that has the opening's receipt and not the channel lags behind itself.
    let is_young = !views.deep.exists() && (views.latest.exists() || opening.is_some());
    Ok(Found { reading: Reading::new(block, views), facts, is_young })
}

/// Where to look at channels; `None` is the latest block alone.
pub(super) async fn heights(connection: &Connection) -> Result<Option<Heights>, Unreachable> {
    let confirmations = connection.rail.confirmations;
    if confirmations <= 1 {
        return Ok(None);
    }
    let [head] = connection.rpc.ask([Request::latest_block()]).await?;
    read_head(head).map(|head| Some(Heights::new(head, confirmations))).ok_or(Unreachable)
}

/// What the escrow says of a channel.
pub(super) async fn look(connection: &Connection, escrow: Address, channel_id: B256, signer: Address) -> Result<Reading, Problem> {
    let heights = heights(connection).await.map_err(|_| unknown())?;
    let (block, answers) = ask(connection, channel_questions(escrow, channel_id, signer, heights), heights).await.map_err(|_| unknown())?;
    Reading::read(block, heights, &mut answers.into_iter()).ok_or_else(unknown)
}

/// Asks at these heights. Returns the number of the latest block with the answers.
pub(super) async fn ask(
    connection: &Connection,
    questions: Vec<Request>,
    heights: Option<Heights>,
) -> Result<(u64, Vec<NodeAnswer>), Unreachable> {
    if let Some(Heights { head, .. }) = heights {
        return Ok((head, connection.rpc.batch(questions).await?));
    }
    let requests: Vec<Request> = std::iter::once(Request::latest_block()).chain(questions).collect();
    let mut answers = connection.rpc.batch(requests).await?.into_iter();
    let block = answers.next().and_then(read_head).ok_or(Unreachable)?;
    Ok((block, answers.collect()))
}

/// Checks additions to the deposit of a claim's channel. Returns the latest block then, since one who looks at the channel must see
/// no less, and for each the deposit that it has left behind.
pub(super) async fn verify_additions(
    connection: &Connection,
    claim: &Claim,
    additions: &[Addition],
) -> Result<(u64, Vec<Result<U256, Problem>>), Problem> {
    let receipts = additions.iter().map(|addition| Request::receipt(addition.transaction));
    let requests: Vec<Request> = std::iter::once(Request::latest_block()).chain(receipts).collect();
    let mut answers = connection.rpc.batch(requests).await.map_err(|_| unknown())?.into_iter();
    let head = answers.next().and_then(read_head).ok_or_else(unknown)?;
    let judge = |addition: &Addition, answer: NodeAnswer| {
        let receipt = read_receipt(answer)?;
        let shows = |logs: &[_]| topped_up(claim.escrow, claim.channel_id, addition.amount, logs);
        check_transaction(Said::Added, receipt.as_ref(), head, connection.rail.confirmations, shows)
    };
    Ok((head, additions.iter().zip(answers).map(|(addition, answer)| judge(addition, answer)).collect()))
}

fn read_receipt(answer: NodeAnswer) -> Result<Option<TransactionReceipt>, Problem> {
    answer.ok().and_then(|answer| decode::<Option<TransactionReceipt>>(&answer).ok()).ok_or_else(unknown)
}

async fn head_and_receipt(connection: &Connection, transaction: Option<B256>) -> Result<(u64, Option<TransactionReceipt>), Problem> {
    let mut requests = Vec::from([Request::latest_block()]);
    requests.extend(transaction.map(Request::receipt));
    let mut answers = connection.rpc.batch(requests).await.map_err(|_| unknown())?.into_iter();
    let head = answers.next().and_then(read_head).ok_or_else(unknown)?;
    let receipt = answers.next().map_or(Ok(None), read_receipt)?;
    Ok((head, receipt))
}

/// Why the deposit of a payer would revert: its balance, or `None` when the authorization is used.
pub(super) async fn diagnose(connection: &Connection, purpose: &Purpose, payer: Address) -> Result<Option<U256>, Problem> {
    let balance = Call { to: connection.rail.token.address, data: balance_call(payer).into() };
    let questions = [Request::call(&purpose.search().state), Request::call(&balance)];
    let [used, balance] = connection.rpc.ask(questions).await.map_err(|_| unknown())?;
    if purpose.is_used(&bytes(used)?).ok_or_else(unknown)? {
        return Ok(None);
    }
    U256::try_from_be_slice(&bytes(balance)?).ok_or_else(unknown).map(Some)
}

/// Has the settlement account bring something about, unless it has, and waits for the verdict. `None`: it would revert, and was
/// not sent.
pub(super) async fn bring_about(connection: &Connection, env: &Env, purpose: Purpose) -> Result<Option<Verdict>, Problem> {
    let inquiry = SettleMessage { purpose, errand: Errand::Inquire };
    // Sent already, it would revert in a simulation.
    let gas_limit = match ask_account(connection, env, &inquiry).await? {
        SettleReply::Ended(verdict) => return Ok(Some(verdict)),
        SettleReply::NotTaken => estimate(connection, &purpose).await?,
        // It has its gas.
        SettleReply::Pending => Some(0),
    };
    let Some(gas_limit) = gas_limit else {
        return Ok(match ask_account(connection, env, &inquiry).await? {
            SettleReply::Ended(verdict) => Some(verdict),
            SettleReply::NotTaken => None,
            SettleReply::Pending => return Err(Problem::unavailable("the transaction is not mined yet")),
        });
    };
    match ask_account(connection, env, &SettleMessage { purpose, errand: Errand::Send { gas_limit } }).await? {
        SettleReply::Ended(verdict) => Ok(Some(verdict)),
        SettleReply::NotTaken => Err(Problem::unavailable("nothing can be sent to the chain at the moment")),
        SettleReply::Pending => Err(Problem::unavailable("the transaction is not mined yet")),
    }
}

/// The gas that it takes, with a quarter to spare; `None` when it would revert, or takes more than is paid for it.
async fn estimate(connection: &Connection, purpose: &Purpose) -> Result<Option<u64>, Problem> {
    let account = connection.rail.settlement_key.address();
    let gas_cap = purpose.gas_cap(connection.rail.chain_id);
    let code = purpose.signers().into_iter().map(Request::code).collect();
    let (tried, codes) = connection.rpc.try_out(account, &purpose.call(), gas_cap, code).await.map_err(|_| unknown())?;
    for code in codes {
        if is_code(code)? {
            return Err(Refusal::SignerHasCode.problem());
        }
    }
    match tried.judge(gas_cap) {
        Ok(gas_limit) => Ok(Some(gas_limit)),
        Err(Flaw::Reverts(_)) => Ok(None),
        Err(Flaw::TooDear) => {
            console_warn!("account: a transaction would take more than {gas_cap} gas, and is not sent");
            Ok(None)
        }
        Err(Flaw::Changing | Flaw::Unknown) => Err(unknown()),
    }
}

fn is_code(answer: NodeAnswer) -> Result<bool, Problem> {
    answer.ok().and_then(|answer| has_code(&answer).ok()).ok_or_else(unknown)
}

/// What a view function answered. One that reverts is not that of an escrow; then it reads as nothing.
fn bytes(answer: NodeAnswer) -> Result<Bytes, Problem> {
    match answer {
        Ok(answer) => decode(&answer).map_err(|_| unknown()),
        Err(NodeError::Reverted(_)) => Ok(Bytes::new()),
        Err(_) => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::unavailable("the chain cannot be asked about the channel at the moment")
}
