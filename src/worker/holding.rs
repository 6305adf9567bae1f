//! Holding what was claimed while its request is served. A client that hangs up before it got anything gets it back at
//! once: it is not left to run out.

use super::config::load;
use super::objects::{PayerMessage, PayerReply};
use super::paid::Sale;
use super::respond::internal;
use super::watch::hung_up;
use crate::evm::{Address, B256};
use crate::purchase::{LeaseId, Undelivered};
use crate::rail::evm::Asset;
use crate::wire::problem::Problem;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use std::future::Future;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;
use worker::{Context, Env, console_warn};

/// Alive as long as the request is served; dropping it ends the watch over the client.
pub(super) struct Holding {
    _served: oneshot::Sender<()>,
}

/// Makes a claim that outlives the client. When the client hangs up, `release` says how to release what was claimed, if there is
/// anything to release: before the origin is called, which then it is not, or later and before the [`Holding`] is dropped. The origin
/// must be called as soon as this is ready: a client that left before is not served.
pub(super) async fn hold<C: 'static, G: Future<Output = ()>>(
    context: &Context,
    client: AbortSignal,
    claim: impl Future<Output = Result<C, Problem>> + 'static,
    release: impl Fn(&C, Undelivered) -> Option<G> + 'static,
) -> Result<(C, Holding), Problem> {
    let (claimed, answer) = oneshot::channel();
    let (served, done) = oneshot::channel();
    context.wait_until(async move {
        let reply = claim.await;
        let release = |reply: &Result<C, Problem>, how| reply.as_ref().ok().and_then(|reply| release(reply, how));
        let late = release(&reply, Undelivered::Unfinished);
        let unserved = if client.aborted() { Some(reply) } else { claimed.send(reply).err() };
        if let Some(reply) = unserved {
            if let Some(early) = release(&reply, Undelivered::Uncalled) {
                early.await;
            }
            return;
        }
        let Some(late) = late else { return };
        if let Either::Left(_) = select(JsFuture::from(hung_up(&client)), done).await {
            late.await;
        }
    });
    match answer.await {
        Ok(reply) => Ok((reply?, Holding { _served: served })),
        // Nobody reads this.
        Err(oneshot::Canceled) => Err(Problem::unavailable("the client has left")),
    }
}

impl Sale<'_> {
    /// Presents the charge to the payer's object. The answer may be a lease that has to be given back.
    pub(super) async fn claim(&self, reserve: bool) -> Result<(PayerReply, Holding), Problem> {
        let env = self.request.env.clone();
        let nonce = self.nonce();
        let payer = Payer { asset: self.charge.asset, address: self.charge.signed.authorization.from };
        let charge = Box::new(self.charge.clone());
        let message = PayerMessage::Claim { charge, key: self.key, identifier: self.identifier, reserve };
        let release = {
            let env = env.clone();
            move |reply: &PayerReply, how| lease_in(reply).map(|lease| release(env.clone(), payer, nonce, lease, how))
        };
        let claim = async move { ask(&env, payer, &message).await };
        hold(self.request.context, self.request.incoming.request.signal(), claim, release).await
    }
}

/// Whose object is asked.
#[derive(Clone, Copy)]
struct Payer {
    asset: Asset,
    address: Address,
}

async fn ask(env: &Env, payer: Payer, message: &PayerMessage) -> Result<PayerReply, Problem> {
    let loaded = load(env);
    let isolate = loaded.as_ref().as_ref().map_err(|_| internal("claim", "the configuration is wrong"))?;
    let connection = isolate.connection_of(payer.asset).ok_or_else(|| internal("claim", payer.asset))?;
    connection.ask_payer(env, payer.address, message).await
}

async fn release(env: Env, payer: Payer, nonce: B256, lease: LeaseId, how: Undelivered) {
    match ask(&env, payer, &PayerMessage::Release { nonce, lease, how }).await {
        Ok(PayerReply::Noted) => {}
        outcome => console_warn!("a payment whose client hung up could not be given back: {outcome:?}"),
    }
}

const fn lease_in(reply: &PayerReply) -> Option<LeaseId> {
    match reply {
        PayerReply::Reserved { lease } | PayerReply::Paid { lease, .. } => Some(*lease),
        _ => None,
    }
}
