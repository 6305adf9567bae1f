//! Metered answers on their way out: units are drawn from the channel in growing batches, and when the balance ends
//! the origin is held back until a voucher has come.

use super::clock::{now, sleep, within};
use super::objects::channel::{ChannelMessage, ChannelReply, Done};
use super::paid::PaidRequest;
use super::remote::{AGAIN, RemoteChannel};
use super::visit::{ReceiptHead, Visit};
use super::watch::{Ending, Upload, WatchedPipe, broken, hung_up, length};
use crate::channel::{Bought, Counted, Delivery, Drawn, Fixed, Head, Metering, Next, REPORT, Stop, Waiting};
use crate::money::Amount;
use crate::rail::evm::session::NeedVoucher;
use crate::wire::sse::{Splitter, event};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use js_sys::{Reflect, Uint8Array};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, ReadableStream, ReadableStreamDefaultReader, Response, WritableStreamDefaultWriter};
use worker::{Result, console_warn};

/// The longest event that is passed on, in bytes.
const LONGEST_EVENT: usize = 4 * 1024 * 1024;

/// The response as the client gets it; a body that is metered flows from here on.
pub(super) fn deliver(visit: &Visit<'_>, done: &mut Done, bought: Bought, response: &Response) -> Result<Response> {
    let headers = response.headers();
    let body = response.body();
    let (content_type, units) = (headers.get("content-type")?.unwrap_or_default(), headers.get("payment-units")?);
    let head = Head::read(&content_type, units.as_deref(), body.is_some());
    let price = visit.session.terms.price;
    match (Metering::of(visit.request.route.meter, price, bought, head), body) {
        (Metering::Counted(count), Some(source)) => deliver_counted(visit, done, bought, count, &source, response),
        (Metering::Fixed(fixed), _) => deliver_fixed(visit, done, bought, fixed, response),
        (Metering::Counted(_), None) => Err(worker::Error::RustError("there is no body to count".into())),
    }
}

fn deliver_counted(
    visit: &Visit<'_>,
    done: &Done,
    bought: Bought,
    count: Counted,
    source: &ReadableStream,
    response: &Response,
) -> Result<Response> {
    let (readable, sink) = WatchedPipe::identity()?;
    let prepared = visit.prepare(done, bought, response, Some(&readable))?;
    if count.is_event_stream() {
        // Events of ours come in between.
        prepared.headers().delete("content-length")?;
    }
    let PaidRequest { context, incoming, .. } = *visit.request;
    let flow = MeteredBody {
        channel: visit.remote(),
        price: visit.session.terms.price,
        count,
        sent: 0,
        unread: Duration::ZERO,
        announced: length(response)?,
        upload: incoming.upload(),
        reader: source.get_reader().unchecked_into(),
        writer: sink.get_writer()?,
        client: incoming.request.signal(),
        patience: visit.voucher_wait,
        receipt: visit.receipt_head(),
    };
    context.wait_until(flow.run());
    Ok(prepared)
}

fn deliver_fixed(visit: &Visit<'_>, done: &mut Done, bought: Bought, fixed: Fixed, response: &Response) -> Result<Response> {
    let price = visit.session.terms.price;
    done.balance = fixed.charged(done.balance);
    let pipe = WatchedPipe::new(response)?;
    let charged = Bought { units: fixed.units(), ..bought };
    let prepared = visit.prepare(done, charged, response, pipe.as_ref().map(WatchedPipe::readable).as_deref())?;
    let PaidRequest { context, incoming, .. } = *visit.request;
    let channel = visit.remote();
    let Some(pipe) = pipe else {
        context.wait_until(async move { channel.tell(fixed.end(false), price).await });
        return Ok(prepared);
    };
    let (flowing, over) = oneshot::channel::<()>();
    context.wait_until(report(channel.clone(), ChannelMessage::told(fixed.report(), price), over));
    pipe.start(context, &incoming.request, incoming.upload(), move |ending| async move {
        drop(flowing);
        channel.tell(fixed.end(ending == Ending::Undelivered), price).await;
    });
    Ok(prepared)
}

/// Reports that a sale goes on, as long as its body takes: in silence it would count as delivered with all that is reserved.
async fn report(channel: RemoteChannel, still: ChannelMessage, mut over: oneshot::Receiver<()>) {
    while within(REPORT, &mut over).await.is_none() {
        // Should this fail, the next one comes in time.
        let _ = ask(&channel, &still).await;
    }
}

async fn ask(channel: &RemoteChannel, message: &ChannelMessage) -> Option<Done> {
    match channel.ask(message).await {
        Ok(ChannelReply::Done(done)) => Some(done),
        outcome => {
            console_warn!("channel {}: a metered sale was not answered: {:?}", channel.id, outcome.err().map(|problem| problem.detail));
            None
        }
    }
}

/// A metered body between origin and client.
struct MeteredBody {
    channel: RemoteChannel,
    price: Amount,
    count: Counted,
    /// Bytes that went out, and how long the client did not read them.
    sent: u64,
    unread: Duration,
    /// Bytes of the body by the origin's word.
    announced: Option<u64>,
    upload: Option<Upload>,
    reader: ReadableStreamDefaultReader,
    writer: WritableStreamDefaultWriter,
    client: AbortSignal,
    /// How long it waits for a voucher.
    patience: Duration,
    receipt: ReceiptHead,
}

type Flowing<T> = std::result::Result<T, Stop>;

impl MeteredBody {
    async fn run(mut self) {
        let ended = if self.count.is_event_stream() { self.events().await } else { self.bytes().await };
        let end = self.count.end(ended, || self.is_undelivered());
        let message = ChannelMessage::told(end, self.price);
        let done = match ask(&self.channel, &message).await {
            None => ask(&self.channel, &message).await,
            done => done,
        };
        if ended != Err(Stop::ClientLeft) {
            self.take_leave(ended, done, end).await;
        }
        // The origin learns that nobody reads on; if it has ended, that changes nothing.
        let _ = JsFuture::from(self.reader.cancel()).await;
    }

    /// Of a body that broke off.
    fn is_undelivered(&self) -> bool {
        broken(self.upload.as_ref(), self.sent, self.announced, self.unread).is_undelivered()
    }

    async fn take_leave(&self, ended: Flowing<()>, done: Option<Done>, end: Delivery) {
        if self.count.is_event_stream()
            && let (Some(done), Delivery::End { delivered, .. }) = (done, end)
        {
            let receipt = self.receipt.receipt(&done, Some(delivered), |receipt| receipt.to_json());
            let event = event("payment-receipt", &receipt);
            let _ = JsFuture::from(self.writer.write_with_chunk(&Uint8Array::from(event.as_bytes()))).await;
        }
        let _ = if self.count.ends_whole(ended) {
            JsFuture::from(self.writer.close()).await
        } else {
            JsFuture::from(self.writer.abort_with_reason(&JsValue::from_str("the body is not whole"))).await
        };
    }

    /// Passes an event stream on, block by block.
    async fn events(&mut self) -> Flowing<()> {
        let mut splitter = Splitter::new(LONGEST_EVENT);
        while let Some(chunk) = self.read().await? {
            let chunk = chunk.to_vec();
            let mut out = Vec::with_capacity(chunk.len());
            for block in splitter.push(&chunk) {
                let block = block.map_err(|_| Stop::OriginBroke)?;
                let Some(costs) = self.count.cost(&block) else { continue };
                if self.count.is_short_of(costs) {
                    self.write(&mut out).await?;
                    self.reserve(costs).await?;
                }
                self.count.gather(costs);
                out.extend_from_slice(&block.bytes);
            }
            self.write(&mut out).await?;
        }
        // What is left is no whole event: clients drop it, and so do we.
        Ok(())
    }

    /// Passes any other body on, in pieces as large as the balance allows.
    async fn bytes(&mut self) -> Flowing<()> {
        while let Some(chunk) = self.read().await? {
            let mut begin = 0;
            while begin < chunk.length() {
                self.reserve(1).await?;
                let end = begin.saturating_add(self.count.piece(chunk.length().saturating_sub(begin)));
                self.send(&chunk.subarray(begin, end)).await?;
                self.count.went_out();
                begin = end;
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Flowing<Option<Uint8Array>> {
        let read = JsFuture::from(self.reader.read());
        let result = self.patiently(read).await?.map_err(|_| Stop::OriginBroke)?;
        let member = |name: &str| Reflect::get(&result, &JsValue::from_str(name)).map_err(|_| Stop::OriginBroke);
        if member("done")?.is_truthy() {
            return Ok(None);
        }
        member("value")?.dyn_into().map(Some).map_err(|_| Stop::OriginBroke)
    }

    /// Writes what was gathered, and counts it once it was taken.
    async fn write(&mut self, out: &mut Vec<u8>) -> Flowing<()> {
        if !out.is_empty() {
            self.send(&Uint8Array::from(out.as_slice())).await?;
            out.clear();
        }
        self.count.went_out();
        Ok(())
    }

    async fn send(&mut self, bytes: &Uint8Array) -> Flowing<()> {
        let written = JsFuture::from(self.writer.write_with_chunk(bytes));
        let since = now();
        self.patiently(written).await?.map_err(|_| Stop::ClientLeft)?;
        self.unread += now().since(since);
        self.sent = self.sent.saturating_add(bytes.length().into());
        Ok(())
    }

    /// Waits, reports now and then that the sale goes on, and ends when the client has left.
    async fn patiently<F: Future>(&self, future: F) -> Flowing<F::Output> {
        let mut future = pin!(future);
        let mut left = pin!(JsFuture::from(hung_up(&self.client)));
        loop {
            let either = pin!(select(future.as_mut(), left.as_mut()));
            match select(either, pin!(sleep(REPORT))).await {
                Either::Left((Either::Left((output, _)), _)) => return Ok(output),
                Either::Left((Either::Right(_), _)) => return Err(Stop::ClientLeft),
                // Should this fail, the next one comes in time.
                Either::Right(_) => {
                    let _ = ask(&self.channel, &ChannelMessage::told(self.count.report(), self.price)).await;
                }
            }
        }
    }

    async fn draw(&self, needed: u64, hold: Duration) -> Option<Done> {
        let message = ChannelMessage::Delivery {
            delivery: self.count.draw(needed),
            price: self.count.cost_of_missing(needed),
            wait: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX),
        };
        ask(&self.channel, &message).await
    }

    /// Draws what is missing of `needed` units. When the balance does not pay for them the client is told, and
    /// waited for.
    async fn reserve(&mut self, needed: u64) -> Flowing<()> {
        let mut waiting = Waiting::new(self.patience);
        while self.count.left() < needed {
            let done = self.patiently(self.draw(needed, waiting.hold(now()))).await?;
            // An answer that says nothing of units is no better than none that does: the sale is over.
            let drawn = done.as_ref().map(|done| done.drawn.unwrap_or(Drawn::Over));
            match (waiting.judge(drawn), done) {
                (Next::Drawn(units), _) => {
                    self.count.drawn(units);
                    continue;
                }
                (Next::AskForVoucher, Some(done)) => self.ask_for_voucher(&done).await?,
                (Next::AskForVoucher | Next::Again, _) => {}
                (Next::Pause, _) => sleep(AGAIN).await,
                (Next::Stop, _) => return Err(Stop::Unpaid),
            }
            if waiting.is_over(now()) {
                return Err(Stop::Unpaid);
            }
        }
        Ok(())
    }

    async fn ask_for_voucher(&mut self, done: &Done) -> Flowing<()> {
        if !self.count.is_event_stream() {
            return Ok(());
        }
        let need = NeedVoucher::of(self.channel.id, &done.balance);
        let event = event("payment-need-voucher", &need.to_json());
        self.send(&Uint8Array::from(event.as_bytes())).await
    }
}
