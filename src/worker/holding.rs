//! Holding a payment while its request is served. A client that hangs up before it got anything can
//! present its credential again at once: the payment is given back, not left to run out.

use super::config::load;
use super::objects::{PayerMessage, PayerReply};
use super::paid::Sale;
use super::respond::internal;
use super::watch::hung_up;
use crate::evm::{Address, B256};
use crate::payment::LeaseId;
use crate::protocol::problem::Problem;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;
use worker::{Env, console_warn};

/// Alive as long as the request is served; dropping it ends the watch over the client.
pub(super) struct Holding {
    _served: oneshot::Sender<()>,
}

type Claimed = Result<PayerReply, Problem>;

impl Sale<'_> {
    /// Presents the charge to the payer's object. The call outlives the client: its answer may be a lease
    /// that has to be given back.
    pub(super) async fn claim(&self, reserve: bool) -> Result<(PayerReply, Holding), Problem> {
        let (claimed, answer) = oneshot::channel();
        let (served, done) = oneshot::channel();
        let claim = PayerMessage::Claim { charge: Box::new(self.charge.clone()), reserve };
        let payer = self.charge.signed.authorization.from;
        let client = self.request.incoming.request.signal();
        self.request.context.wait_until(hold(self.request.env.clone(), payer, self.nonce(), claim, client, claimed, done));
        match answer.await {
            Ok(reply) => Ok((reply?, Holding { _served: served })),
            Err(oneshot::Canceled) => Err(internal("claim", "the call was dropped")),
        }
    }
}

async fn hold(
    env: Env,
    payer: Address,
    nonce: B256,
    claim: PayerMessage,
    client: AbortSignal,
    claimed: oneshot::Sender<Claimed>,
    done: oneshot::Receiver<()>,
) {
    let loaded = load(&env);
    let Ok(isolate) = loaded.as_ref() else { return };
    let reply = isolate.ask_payer(&env, payer, &claim).await;
    let lease = reply.as_ref().ok().and_then(lease_in);
    // A request that is gone does not take its answer; then the client is gone too.
    let _ = claimed.send(reply);
    let Some(lease) = lease else { return };
    if let Either::Left(_) = select(JsFuture::from(hung_up(&client)), done).await {
        match isolate.ask_payer(&env, payer, &PayerMessage::Release { nonce, lease }).await {
            Ok(PayerReply::Noted) => {}
            outcome => console_warn!("a payment whose client hung up could not be given back: {outcome:?}"),
        }
    }
}

const fn lease_in(reply: &PayerReply) -> Option<LeaseId> {
    match reply {
        PayerReply::Reserved { lease } | PayerReply::Paid { lease, .. } => Some(*lease),
        _ => None,
    }
}
