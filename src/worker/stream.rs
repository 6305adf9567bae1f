//! Metered answers on their way out: units are drawn from the channel in growing batches, and when the balance ends
//! the origin is held back until a voucher has come.

use super::clock::{now, sleep, within};
use super::objects::channel::{ChannelMessage, ChannelReply, Done};
use super::paid::PaidRequest;
use super::promised::go_on;
use super::remote::{AGAIN, RemoteChannel};
use super::visit::{ReceiptHead, Visit};
use super::watch::{Ending, Upload, WatchedPipe, broken, length};
use crate::channel::{
    Bought, Counted, Delivery, Drawn, EventGate, Fixed, Head, Metering, Missing, Next, PIECE, Passage, REPORT, Stop, Waiting,
};
use crate::money::Amount;
use crate::rail::evm::session::NeedVoucher;
use crate::wire::sse::{TooLong, event};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use js::MeteredFlow;
use js_sys::{Promise, Uint8Array};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, ReadableStream, Response};
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
    let body = MeteredBody {
        channel: visit.remote(),
        price: visit.session.terms.price,
        gate: Rc::new(RefCell::new(Gate { events: EventGate::new(count, LONGEST_EVENT), is_broken: false, held: None })),
        is_event_stream: count.is_event_stream(),
        announced: length(response)?,
        upload: incoming.upload(),
        flow: MeteredFlow::new(source, &sink, &incoming.request.signal(), PIECE)?,
        patience: visit.voucher_wait,
        receipt: visit.receipt_head(),
    };
    go_on(context, body.run());
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
        go_on(context, async move { channel.tell(fixed.end(false), price).await });
        return Ok(prepared);
    };
    let (flowing, over) = oneshot::channel::<()>();
    go_on(context, report(channel.clone(), ChannelMessage::told(fixed.report(), price), over));
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

mod js {
    use super::{AbortSignal, Closure, JsValue, Promise, ReadableStream, Uint8Array};
    use wasm_bindgen::prelude::wasm_bindgen;
    use web_sys::WritableStream;

    #[wasm_bindgen(module = "/src/worker/stream.js")]
    extern "C" {
        /// A metered body on its way.
        pub(super) type MeteredFlow;
        #[wasm_bindgen(constructor, catch)]
        pub(super) fn new(source: &ReadableStream, sink: &WritableStream, client: &AbortSignal, size: u32) -> Result<MeteredFlow, JsValue>;
        /// Resolves when the client hangs up, or the flow was let go.
        #[wasm_bindgen(method, getter)]
        pub(super) fn left(this: &MeteredFlow) -> Promise;
        /// Lets chunks through until one is held back, or there are no more, and says why it stopped.
        #[wasm_bindgen(method)]
        pub(super) fn run(this: &MeteredFlow, gate: &Closure<dyn FnMut(Uint8Array) -> JsValue>) -> Promise;
        /// Writes something, and says whether it was taken.
        #[wasm_bindgen(method)]
        pub(super) fn write(this: &MeteredFlow, bytes: &Uint8Array) -> Promise;
        /// The client's end. One that is not whole shows it.
        #[wasm_bindgen(method)]
        pub(super) async fn finish(this: &MeteredFlow, whole: bool);
        /// The origin learns that nobody reads on.
        #[wasm_bindgen(method, js_name = letGo)]
        pub(super) async fn let_go(this: &MeteredFlow);
        /// Whether what the gate let out last was not taken yet.
        #[wasm_bindgen(method, getter = isWriting)]
        pub(super) fn is_writing(this: &MeteredFlow) -> bool;
        /// Bytes that went out.
        #[wasm_bindgen(method, getter)]
        pub(super) fn sent(this: &MeteredFlow) -> u64;
        /// How long the client did not read them, in milliseconds.
        #[wasm_bindgen(method, getter)]
        pub(super) fn unread(this: &MeteredFlow) -> u32;
    }
}

/// What decides how much of a body goes out.
struct Gate {
    events: EventGate,
    /// An event was too long: nothing more goes out.
    is_broken: bool,
    /// What was held back of a body that is no event stream.
    held: Option<Uint8Array>,
}

impl Gate {
    /// What of a chunk goes out, as [`MeteredFlow::run`] is told it.
    fn judge(&mut self, chunk: Uint8Array) -> JsValue {
        if !self.events.count.is_event_stream() {
            self.events.count.went_out();
            let whole = self.events.count.whole(chunk.length());
            self.held = (!whole).then_some(chunk);
            return whole.into();
        }
        match self.events.take(&chunk.to_vec()) {
            Ok(Passage::Whole) => true.into(),
            Ok(Passage::Part(bytes)) if bytes.is_empty() => JsValue::UNDEFINED,
            Ok(Passage::Part(bytes)) => Uint8Array::from(bytes.as_slice()).into(),
            Ok(Passage::Short) => false.into(),
            Err(TooLong) => {
                self.is_broken = true;
                false.into()
            }
        }
    }

    /// As much of what was held back as is paid for.
    fn affordable(&mut self) -> Uint8Array {
        let Some(held) = self.held.take() else { return Uint8Array::from(self.events.affordable().as_slice()) };
        let end = self.events.count.piece(held.length());
        let part = held.subarray(0, end);
        self.held = (end < held.length()).then(|| held.subarray(end, held.length()));
        part
    }

    /// What must be drawn before more can go out.
    fn missing(&self) -> Option<Missing> {
        match &self.held {
            Some(held) => Some(Missing { next: 1, all: held.length().into() }),
            None => self.events.missing(),
        }
    }
}

/// A metered body between origin and client.
struct MeteredBody {
    channel: RemoteChannel,
    price: Amount,
    gate: Rc<RefCell<Gate>>,
    is_event_stream: bool,
    /// Bytes of the body by the origin's word.
    announced: Option<u64>,
    upload: Option<Upload>,
    flow: MeteredFlow,
    /// How long it waits for a voucher.
    patience: Duration,
    receipt: ReceiptHead,
}

type Flowing<T> = std::result::Result<T, Stop>;

impl MeteredBody {
    async fn run(self) {
        let ended = self.flow().await;
        let end = self.count().end(ended, || self.is_undelivered());
        let message = ChannelMessage::told(end, self.price);
        let done = match ask(&self.channel, &message).await {
            None => ask(&self.channel, &message).await,
            done => done,
        };
        if ended != Err(Stop::ClientLeft) {
            self.take_leave(ended, done, end).await;
        }
        self.flow.let_go().await;
    }

    /// As it stands now.
    fn count(&self) -> Counted {
        self.gate.borrow().events.count
    }

    /// Of a body that broke off.
    fn is_undelivered(&self) -> bool {
        let unread = Duration::from_millis(self.flow.unread().into());
        broken(self.upload.as_ref(), self.flow.sent(), self.announced, unread).is_undelivered()
    }

    async fn take_leave(&self, ended: Flowing<()>, done: Option<Done>, end: Delivery) {
        if self.is_event_stream
            && let (Some(done), Delivery::End { delivered, .. }) = (done, end)
        {
            let receipt = self.receipt.receipt(&done, Some(delivered), |receipt| receipt.to_json());
            let event = event("payment-receipt", &receipt);
            let _ = JsFuture::from(self.flow.write(&Uint8Array::from(event.as_bytes()))).await;
        }
        self.flow.finish(self.count().ends_whole(ended)).await;
    }

    /// Passes the body on to its end. What is left of an event stream is no whole event: clients drop it, and so do we.
    async fn flow(&self) -> Flowing<()> {
        let gate = self.gate.clone();
        let judge = Closure::new(move |chunk| gate.borrow_mut().judge(chunk));
        loop {
            let stopped = self.patiently(JsFuture::from(self.flow.run(&judge))).await;
            if !self.flow.is_writing() {
                self.gate.borrow_mut().events.count.went_out();
            }
            match stopped?.ok().and_then(|why| why.as_string()).as_deref() {
                Some("ended") => return Ok(()),
                Some("held") if !self.gate.borrow().is_broken => self.let_out().await?,
                Some("left") => return Err(Stop::ClientLeft),
                _ => return Err(Stop::OriginBroke),
            }
        }
    }

    /// Lets out what was held back, as units for it are had.
    async fn let_out(&self) -> Flowing<()> {
        loop {
            let part = self.gate.borrow_mut().affordable();
            if part.length() > 0 {
                self.send(&part).await?;
            }
            self.gate.borrow_mut().events.count.went_out();
            let Some(missing) = self.gate.borrow().missing() else { return Ok(()) };
            self.reserve(missing).await?;
        }
    }

    async fn send(&self, bytes: &Uint8Array) -> Flowing<()> {
        let taken = self.patiently(JsFuture::from(self.flow.write(bytes))).await?;
        if taken.is_ok_and(|taken| taken.is_truthy()) { Ok(()) } else { Err(Stop::ClientLeft) }
    }

    /// Waits, reports now and then that the sale goes on, and ends when the client has left.
    async fn patiently<F: Future>(&self, future: F) -> Flowing<F::Output> {
        let mut future = pin!(future);
        let mut left = pin!(JsFuture::from(self.flow.left()));
        loop {
            let either = pin!(select(future.as_mut(), left.as_mut()));
            match select(either, pin!(sleep(REPORT))).await {
                Either::Left((Either::Left((output, _)), _)) => return Ok(output),
                Either::Left((Either::Right(_), _)) => return Err(Stop::ClientLeft),
                // Should this fail, the next one comes in time.
                Either::Right(_) => {
                    let _ = ask(&self.channel, &ChannelMessage::told(self.count().report(), self.price)).await;
                }
            }
        }
    }

    async fn draw(&self, missing: Missing, hold: Duration) -> Option<Done> {
        let count = self.count();
        let message = ChannelMessage::Delivery {
            delivery: count.draw(missing.all),
            price: count.cost_of_missing(missing.next),
            wait: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX),
        };
        ask(&self.channel, &message).await
    }

    /// Draws what is missing. When the balance does not pay for what comes next the client is told, and waited for.
    async fn reserve(&self, missing: Missing) -> Flowing<()> {
        let mut waiting = Waiting::new(self.patience);
        while self.count().left() < missing.next {
            let done = self.patiently(self.draw(missing, waiting.hold(now()))).await?;
            // An answer that says nothing of units is no better than none that does: the sale is over.
            let drawn = done.as_ref().map(|done| done.drawn.unwrap_or(Drawn::Over));
            match (waiting.judge(drawn), done) {
                (Next::Drawn(units), _) => {
                    self.gate.borrow_mut().events.count.drawn(units);
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

    async fn ask_for_voucher(&self, done: &Done) -> Flowing<()> {
        if !self.is_event_stream {
            return Ok(());
        }
        let need = NeedVoucher::of(self.channel.id, &done.balance);
        let event = event("payment-need-voucher", &need.to_json());
        self.send(&Uint8Array::from(event.as_bytes())).await
    }
}
