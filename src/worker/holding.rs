//! Holding what was claimed while its request is served. A client that hangs up before it got anything gets it back at
//! once: it is not left to run out.

use super::config::load;
use super::failure::internal;
use super::objects::{PayerMessage, PayerReply};
use super::paid::Sale;
use super::watch::hung_up;
use crate::purchase::{LeaseId, Undelivered};
use crate::rail::Payment;
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
        let payment = self.payment.clone();
        let message = PayerMessage::Claim { payment: Box::new(payment.clone()), key: self.key, identifier: self.identifier, reserve };
        let release = {
            let (env, payment) = (env.clone(), payment.clone());
            move |reply: &PayerReply, how| lease_in(reply).map(|lease| release(env.clone(), payment.clone(), lease, how))
        };
        let claim = async move { ask(&env, &payment, &message).await };
        hold(self.request.context, self.request.incoming.request.signal(), claim, release).await
    }
}

/// Asks the object that remembers a payment.
async fn ask(env: &Env, payment: &Payment, message: &PayerMessage) -> Result<PayerReply, Problem> {
    let loaded = load(env);
    let isolate = loaded.as_ref().as_ref().map_err(|_| internal("claim", "the configuration is wrong"))?;
    let connection = isolate.connection_for(payment).ok_or_else(|| internal("claim", "no rail is configured for it"))?;
    connection.ask_holder(env, &payment.holder(), message).await
}

async fn release(env: Env, payment: Payment, lease: LeaseId, how: Undelivered) {
    match ask(&env, &payment, &PayerMessage::Release { id: payment.id(), lease, how }).await {
        Ok(PayerReply::Noted) => {}
        outcome => console_warn!("a payment whose client hung up could not be released: {outcome:?}"),
    }
}

const fn lease_in(reply: &PayerReply) -> Option<LeaseId> {
    match reply {
        PayerReply::Reserved { lease } | PayerReply::Paid { lease, .. } => Some(*lease),
        _ => None,
    }
}
