//! A request with a session credential: verify in the isolate, book in the channel's object, fetch, deliver.

use super::challenge::Rejection;
use super::clock::now;
use super::connection::Connection;
use super::failure::{failed, internal};
use super::glue::Changes;
use super::holding::{Holding, hold};
use super::objects::channel::{ChannelReply, Done};
use super::origin::{self, PaidBy};
use super::paid::PaidRequest;
use super::promised::go_on;
use super::stream;
use super::visit::Visit;
use super::watch::{Body, Ending, discard};
use crate::channel::{Bought, Claim, Delivery, Meter};
use crate::evm::signers::Signers;
use crate::gateway::config::Settle;
use crate::gateway::offer::{Accepted, SessionOffer};
use crate::purchase::Disposition;
use crate::rail::evm::session::Unverified;
use crate::wire::mpp::credential::Credential;
use crate::wire::problem::Problem;
use futures_channel::oneshot;
use std::cell::RefCell;
use web_sys::Response;

std::thread_local! {
    /// Of the channels whose vouchers were accepted: nobody who has not paid can fill it.
    static SIGNERS: RefCell<Signers> = const { RefCell::new(Signers::new()) };
}

/// Everything that can be checked without state or network comes first, then the channel's object decides.
pub(super) async fn visit(
    request: &PaidRequest<'_>,
    connection: &Connection,
    credential: &Credential,
    accepted: &Accepted<'_>,
    session: &SessionOffer,
) -> Result<Response, Rejection> {
    let unverified = Unverified::read(credential, session.method, &session.terms)?;
    unverified.check_expiry(accepted.expires, now())?;
    let token = if unverified.is_sponsored() { Some(connection.confirm_token().await?) } else { None };
    let proof = SIGNERS.with_borrow_mut(|signers| unverified.verify(&session.domain, token.as_ref(), signers))?;
    let order = if unverified.action.only_manages(&request.incoming.method, || request.incoming.has_body()) {
        None
    } else {
        let key = request.key(&credential.challenge.id, None).await?;
        Some(request.route.meter.order(session.terms.price, request.route.max_units, session.reuse, key))
    };
    let claim = Claim {
        escrow: session.terms.escrow,
        channel_id: unverified.channel_id,
        action: unverified.action,
        proof,
        order,
        price: request.route.least_cost(session),
        reuse: session.reuse,
    };
    let visit = Visit {
        request,
        offer: accepted.offer,
        session,
        challenge_id: &credential.challenge.id,
        claim,
        asset: connection.rail.asset(),
        voucher_wait: connection.rail.session.voucher_wait,
    };
    complete(visit).await
}

async fn complete(visit: Visit<'_>) -> Result<Response, Rejection> {
    let (reply, _holding) = present(&visit).await?;
    let done = match reply {
        ChannelReply::Done(done) => {
            if let Some(voucher) = &visit.claim.proof.presented {
                SIGNERS.with_borrow_mut(|signers| signers.accepted(visit.claim.channel_id, voucher.signer));
            }
            done
        }
        ChannelReply::Refused { refused, snapshot } => {
            let snapshot = snapshot.map(|snapshot| (visit.offer.rail, visit.session.method, snapshot));
            let mut problem = Problem::from(refused);
            problem.members.push(("channelId", visit.claim.channel_id.to_string()));
            return Err(Rejection { problem, snapshot, outcome: None });
        }
        reply => return Err(internal("channel", reply).into()),
    };
    let Some(bought) = done.bought else { return managed(&visit, &done).map_err(|error| internal("receipt", error).into()) };
    Ok(deliver(&visit, done, bought).await?)
}

/// Presents the claim to the channel's object.
async fn present(visit: &Visit<'_>) -> Result<(ChannelReply, Option<Holding>), Problem> {
    let PaidRequest { context, incoming, .. } = *visit.request;
    let claim = visit.remote().claim(visit.session.method, visit.claim.clone());
    if visit.claim.order.is_none() {
        return Ok((claim.await?, None));
    }
    let (remote, releasable) = (visit.remote(), visit.releasable());
    let release = move |reply: &ChannelReply, how| {
        let ChannelReply::Done(Done { bought: Some(bought), .. }) = reply else { return None };
        let (remote, delivery) = (remote.clone(), releasable.undelivered(*bought, how)?);
        Some(async move { remote.tell(delivery, releasable.price).await })
    };
    let (reply, holding) = hold(context, &incoming.request, claim, release).await?;
    Ok((reply, Some(holding)))
}

/// The answer to a management request: a receipt and nothing else.
fn managed(visit: &Visit<'_>, done: &Done) -> worker::Result<Response> {
    let mut headers = Changes::default();
    headers.set("payment-receipt", &visit.receipt_head().receipt(done, None, |receipt| receipt.to_header()));
    headers.set("cache-control", "no-store");
    headers.set("access-control-allow-origin", "*");
    headers.set("access-control-expose-headers", "Payment-Receipt");
    Ok(headers.answer(if visit.request.incoming.method == "HEAD" { 200 } else { 204 }, None)?)
}

async fn deliver(visit: &Visit<'_>, mut done: Done, bought: Bought) -> Result<Response, Problem> {
    let response = match call_origin(visit, &done).await {
        Ok(response) => response,
        Err(problem) => {
            release(visit, visit.releasable().undelivered(bought, visit.request.failure())).await;
            return Err(problem);
        }
    };
    // Under `after-origin` no error is paid for.
    if visit.request.disposition(visit.request.route.settle == Settle::First, &response) != Disposition::Deliver {
        release(visit, visit.releasable().uncharged(bought)).await;
        return visit.request.undelivered(&response);
    }
    let delivered = match visit.request.route.meter {
        Meter::Request => deliver_whole(visit, &done, bought, &response),
        _ => stream::deliver(visit, &mut done, bought, &response).map_err(failed("paid response")),
    };
    match delivered {
        Ok(delivered) => Ok(delivered),
        Err(problem) => {
            discard(&response);
            release(visit, visit.releasable().undelivered(bought, visit.request.failure())).await;
            Err(problem)
        }
    }
}

fn deliver_whole(visit: &Visit<'_>, done: &Done, bought: Bought, response: &Response) -> Result<Response, Problem> {
    let body = Body::of(response)?;
    let readable = body.as_ref().map(Body::readable);
    let prepared = visit.prepare(done, bought, response, readable.as_ref()).map_err(failed("paid response"))?;
    if let Some(pipe) = body.and_then(Body::pipe) {
        let releasable = visit.releasable();
        let PaidRequest { context, incoming, .. } = *visit.request;
        let remote = visit.remote();
        pipe.start(context, &incoming.request, incoming.upload(), move |ending| async move {
            if let (Ending::Undelivered, Some(broken)) = (ending, releasable.broken(bought)) {
                remote.tell(broken, releasable.price).await;
            }
        });
    }
    Ok(prepared)
}

async fn call_origin(visit: &Visit<'_>, done: &Done) -> Result<Response, Problem> {
    let request = visit.request;
    let gateway = &request.isolate.gateway;
    let paid_by = PaidBy {
        payer: Some(&done.payer.to_checksum(None)),
        method: visit.session.method.name(),
        intent: visit.offer.intent().name(),
        amount: &visit.session.terms.price.to_string(),
        reference: Some(&visit.claim.channel_id.to_string()),
        metered: request.route.meter.is_metered(),
    };
    origin::send(request.env, &gateway.origin, request.incoming, request.others, Some(&paid_by), gateway.limits.origin_timeout).await
}

/// Releases something, even if the client leaves meanwhile.
async fn release(visit: &Visit<'_>, delivery: Option<Delivery>) {
    let Some(delivery) = delivery else { return };
    let (remote, price) = (visit.remote(), visit.session.terms.price);
    let (told, is_told) = oneshot::channel();
    go_on(visit.request.context, async move {
        remote.tell(delivery, price).await;
        // Nobody waits for it when the client has left.
        let _ = told.send(());
    });
    let _ = is_told.await;
}
