//! Metered answers on their way out: units are drawn from the channel in growing batches, and when the balance ends
//! the origin is held back until a voucher has come.

use super::clock::{now, sleep, within};
use super::objects::{ChannelMessage, ChannelReply, Done};
use super::paid::PaidRequest;
use super::remote::{AGAIN, RemoteChannel};
use super::session::{FIRST_BYTES, FIRST_EVENTS, ReceiptTerms, Visit};
use super::watch::{Ending, Upload, WatchedPipe, broken, hung_up, length};
use crate::channel::{Bought, Drawn, Meter as Count};
use crate::gateway::config::Meter;
use crate::money::{Amount, decimal_u64};
use crate::rail::evm::session::NeedVoucher;
use crate::wire::sse::{Block, Splitter, event};
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

/// Units reserved at once at the most.
const MOST_EVENTS: u64 = 1024;
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A body that is no event stream is metered in pieces of at most this many bytes.
const PIECE: u32 = 16 * 1024;

/// The longest event that is passed on, in bytes.
const LONGEST_EVENT: usize = 4 * 1024 * 1024;

/// The channel's object holds a call for units this long, and is asked again after it.
const LONG_POLL: Duration = Duration::from_secs(20);

/// A sale under way is heard of at least this often, well within [`crate::channel::SILENCE`].
const REPORT: Duration = Duration::from_secs(120);

/// How an answer is metered.
pub(super) enum Metering {
    /// The units are known before the body goes out.
    Fixed(u64),
    /// They are counted on the way.
    Counted { source: ReadableStream, unit: Unit, is_event_stream: bool, count: Count },
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Event,
    Byte,
    /// Nothing: the last event says how many it were, of at most this many.
    Reported {
        most: u64,
    },
}

impl Metering {
    /// Looks at the origin's answer.
    pub(super) fn of(visit: &Visit<'_>, bought: Bought, response: &Response) -> Result<Self> {
        let headers = response.headers();
        let content_type = headers.get("content-type")?.unwrap_or_default().to_ascii_lowercase();
        let is_event_stream = content_type.split(';').next().is_some_and(|essence| essence.trim() == "text/event-stream");
        let reported = headers.get("payment-units")?.and_then(|units| decimal_u64(units.trim()));
        let route = visit.request.route;
        let (unit, mut count) = match (route.meter, reported) {
            (Meter::Reported, Some(units)) => return Ok(Self::Fixed(units.min(bought.units))),
            (Meter::Reported, None) if is_event_stream => (Unit::Reported { most: bought.units }, Count::new(0, 0)),
            (Meter::Reported, None) => return Ok(Self::Fixed(bought.units)),
            (Meter::Event, _) if is_event_stream => (Unit::Event, Count::new(FIRST_EVENTS, MOST_EVENTS)),
            (Meter::Event | Meter::Request, _) => return Ok(Self::Fixed(1)),
            (Meter::Byte, _) => (Unit::Byte, Count::new(FIRST_BYTES, MOST_BYTES)),
        };
        count.reserve(bought.units);
        Ok(response.body().map_or(Self::Fixed(0), |source| Self::Counted { source, unit, is_event_stream, count }))
    }

    /// The response as the client gets it; its body flows from here on.
    pub(super) fn deliver(self, visit: &Visit<'_>, done: &mut Done, bought: Bought, response: &Response) -> Result<Response> {
        match self {
            Self::Fixed(units) => deliver_fixed(visit, done, bought, units, response),
            Self::Counted { source, unit, is_event_stream, count } => {
                let (readable, sink) = WatchedPipe::identity()?;
                let prepared = visit.prepare(done, bought, response, Some(&readable))?;
                if is_event_stream {
                    // Events of ours come in between.
                    prepared.headers().delete("content-length")?;
                }
                let PaidRequest { context, incoming, isolate, .. } = *visit.request;
                let flow = Flow {
                    channel: visit.remote(),
                    sale: bought.booking,
                    price: visit.session.terms.price,
                    unit,
                    is_event_stream,
                    count,
                    reported: None,
                    sent: 0,
                    unread: Duration::ZERO,
                    announced: length(response)?,
                    upload: incoming.upload(),
                    reader: source.get_reader().unchecked_into(),
                    writer: sink.get_writer()?,
                    client: incoming.request.signal(),
                    patience: isolate.gateway.session.voucher_wait,
                    receipt: visit.receipt_terms(),
                };
                context.wait_until(flow.run());
                Ok(prepared)
            }
        }
    }
}

fn deliver_fixed(visit: &Visit<'_>, done: &mut Done, bought: Bought, units: u64, response: &Response) -> Result<Response> {
    let price = visit.session.terms.price;
    done.balance.spent = done.balance.spent.saturating_sub(price.times(bought.units.saturating_sub(units)));
    let pipe = WatchedPipe::new(response)?;
    let charged = Bought { units, ..bought };
    let prepared = visit.prepare(done, charged, response, pipe.as_ref().map(WatchedPipe::readable).as_deref())?;
    let PaidRequest { context, incoming, .. } = *visit.request;
    let channel = visit.remote();
    let end = move |delivered, begun| ChannelMessage::End { sale: bought.booking, delivered, begun, price };
    let Some(pipe) = pipe else {
        context.wait_until(async move { channel.tell(&end(units, false)).await });
        return Ok(prepared);
    };
    let (flowing, over) = oneshot::channel::<()>();
    let still = ChannelMessage::Draw { sale: bought.booking, delivered: 0, reserved: bought.units, wanted: 0, price, wait: 0 };
    context.wait_until(report(channel.clone(), still, over));
    pipe.start(context, incoming, move |ending| async move {
        drop(flowing);
        let broke_off = ending == Ending::Undelivered;
        channel.tell(&end(if broke_off { 0 } else { units }, broke_off)).await;
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
struct Flow {
    channel: RemoteChannel,
    sale: u64,
    price: Amount,
    unit: Unit,
    is_event_stream: bool,
    count: Count,
    /// What the origin's last event says.
    reported: Option<u64>,
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
    receipt: ReceiptTerms,
}

/// Why a body does not flow any more.
enum Stop {
    /// It is over for the client: another stream has begun, the channel is being closed, or no voucher came.
    Unpaid,
    OriginBroke,
    ClientLeft,
}

type Flowing<T> = std::result::Result<T, Stop>;

impl Flow {
    async fn run(mut self) {
        let ended = if self.is_event_stream { self.events().await } else { self.bytes().await };
        // Whoever breaks off does not say how much it was.
        let broke_off = matches!((self.unit, &ended), (Unit::Reported { .. }, Err(Stop::OriginBroke))) && self.is_undelivered();
        let delivered = match (self.unit, &ended) {
            _ if broke_off => 0,
            (Unit::Reported { most }, _) => self.reported.map_or(most, |units| units.min(most)),
            (Unit::Event | Unit::Byte, _) => self.count.delivered(),
        };
        let end = ChannelMessage::End { sale: self.sale, delivered, begun: broke_off, price: self.price };
        let done = match ask(&self.channel, &end).await {
            None => ask(&self.channel, &end).await,
            done => done,
        };
        if !matches!(ended, Err(Stop::ClientLeft)) {
            self.take_leave(&ended, done, delivered).await;
        }
        // The origin learns that nobody reads on; if it has ended, that changes nothing.
        let _ = JsFuture::from(self.reader.cancel()).await;
    }

    /// Of a body that broke off.
    fn is_undelivered(&self) -> bool {
        broken(self.upload.as_ref(), self.sent, self.announced, self.unread).is_undelivered()
    }

    async fn take_leave(&self, ended: &Flowing<()>, done: Option<Done>, delivered: u64) {
        if self.is_event_stream
            && let Some(done) = done
        {
            let receipt = self.receipt.receipt(&done, Some(delivered), |receipt| receipt.to_json());
            let event = event("payment-receipt", &receipt);
            let _ = JsFuture::from(self.writer.write_with_chunk(&Uint8Array::from(event.as_bytes()))).await;
        }
        // An event stream that ends for want of money ends as it should; anything else that is cut short must show it.
        let is_whole = matches!(ended, Ok(())) || (self.is_event_stream && matches!(ended, Err(Stop::Unpaid)));
        let _ = if is_whole {
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
            let (mut out, mut units) = (Vec::with_capacity(chunk.len()), 0);
            for block in splitter.push(&chunk) {
                let block = block.map_err(|_| Stop::OriginBroke)?;
                let Some(costs) = self.cost(&block) else { continue };
                if costs > 0 && self.count.left() < costs.saturating_add(units) {
                    self.write(&mut out, &mut units).await?;
                    self.reserve(costs).await?;
                }
                units = units.saturating_add(costs);
                out.extend_from_slice(&block.bytes);
            }
            self.write(&mut out, &mut units).await?;
        }
        // What is left is no whole event: clients drop it, and so do we.
        Ok(())
    }

    /// The units of a block; `None` when it is not passed on.
    fn cost(&mut self, block: &Block<'_>) -> Option<u64> {
        match self.unit {
            Unit::Event => Some(block.billable.into()),
            Unit::Byte => Some(u64::try_from(block.bytes.len()).unwrap_or(u64::MAX)),
            Unit::Reported { .. } => match block.report() {
                Some(units) => {
                    self.reported = units.or(self.reported);
                    None
                }
                None => Some(0),
            },
        }
    }

    /// Passes any other body on, in pieces as large as the balance allows.
    async fn bytes(&mut self) -> Flowing<()> {
        while let Some(chunk) = self.read().await? {
            let mut begin = 0;
            while begin < chunk.length() {
                self.reserve(1).await?;
                let affordable = u32::try_from(self.count.left()).unwrap_or(u32::MAX);
                let end = begin.saturating_add(PIECE.min(affordable)).min(chunk.length());
                self.send(&chunk.subarray(begin, end)).await?;
                self.count.deliver(end.saturating_sub(begin).into());
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
    async fn write(&mut self, out: &mut Vec<u8>, units: &mut u64) -> Flowing<()> {
        if !out.is_empty() {
            self.send(&Uint8Array::from(out.as_slice())).await?;
            out.clear();
        }
        self.count.deliver(std::mem::take(units));
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
                    let _ = self.draw(0, Duration::ZERO).await;
                }
            }
        }
    }

    async fn draw(&self, needed: u64, wait: Duration) -> Option<Done> {
        let missing = needed.saturating_sub(self.count.left());
        let message = ChannelMessage::Draw {
            sale: self.sale,
            delivered: self.count.delivered(),
            reserved: self.count.reserved(),
            wanted: if needed == 0 { 0 } else { self.count.wanted(needed) },
            price: self.price.times(missing),
            wait: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        };
        ask(&self.channel, &message).await
    }

    /// Reserves what is missing of `needed` units. When the balance does not pay for them the client is told, and
    /// waited for.
    async fn reserve(&mut self, needed: u64) -> Flowing<()> {
        let (mut waits_until, mut asked) = (None, false);
        while self.count.left() < needed {
            let wait = waits_until.map_or(Duration::ZERO, |until: crate::time::Timestamp| until.since(now()).min(LONG_POLL));
            let drawn = self.patiently(self.draw(needed, wait)).await?;
            match drawn.as_ref().map(|done| (done, done.drawn)) {
                Some((_, Some(Drawn::Units(units)))) => {
                    self.count.reserve(units);
                    (waits_until, asked) = (None, false);
                    continue;
                }
                Some((done, Some(Drawn::Exhausted))) if !asked => {
                    self.ask_for_voucher(done).await?;
                    asked = true;
                }
                Some((_, Some(Drawn::Exhausted))) => {}
                Some(_) => return Err(Stop::Unpaid),
                None => sleep(AGAIN).await,
            }
            let until = *waits_until.get_or_insert_with(|| now().saturating_add(self.patience));
            if now() >= until {
                return Err(Stop::Unpaid);
            }
        }
        Ok(())
    }

    async fn ask_for_voucher(&mut self, done: &Done) -> Flowing<()> {
        if !self.is_event_stream {
            return Ok(());
        }
        let need = NeedVoucher::of(self.channel.id, &done.balance);
        let event = event("payment-need-voucher", &need.to_json());
        self.send(&Uint8Array::from(event.as_bytes())).await
    }
}
