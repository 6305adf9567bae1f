//! Holding what was claimed while its request is served. A client that hangs up before it got anything gets it back at
//! once: it is not left to run out.

use super::watch::hung_up;
use crate::purchase::Undelivered;
use crate::wire::problem::Problem;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use std::future::Future;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;
use worker::Context;

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
