//! Waiting for the runtime's promises. wasm-bindgen's own way makes two functions for each, which the collector has to be told of and
//! to find; here one serves all.

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use js_sys::Promise;
use litemap::LiteMap;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::future_to_promise;

/// What the runtime is given to tell how it went: a number, what came of it, and whether that is an error.
pub(super) type Settle = Closure<dyn Fn(u32, JsValue, bool)>;

/// What comes of something that the runtime is told of.
type Outcome = Result<JsValue, JsValue>;

#[derive(Default)]
struct Waiting {
    last: u32,
    /// Of each that somebody waits for: its outcome once it is there, until then who is to be woken.
    of: LiteMap<u32, State>,
}

enum State {
    Open(Option<Waker>),
    Settled(Outcome),
}

std::thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
    static SETTLE: Settle = Closure::new(settle);
}

/// Something that the runtime does. Dropped, its outcome is not waited for any more.
pub(super) struct Promised(u32);

impl Promised {
    /// Begins it: `begin` is handed what the runtime tells its end with.
    pub(super) fn begin(begin: impl FnOnce(u32, &Settle) -> Result<(), JsValue>) -> Self {
        let id = WAITING.with_borrow_mut(|waiting| {
            waiting.last = waiting.last.wrapping_add(1);
            waiting.of.insert(waiting.last, State::Open(None));
            waiting.last
        });
        let begun = Self(id);
        if let Err(error) = SETTLE.with(|settle| begin(id, settle)) {
            settle(id, error, true);
        }
        begun
    }
}

impl Future for Promised {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        WAITING.with_borrow_mut(|waiting| match waiting.of.remove(&self.0) {
            Some(State::Settled(outcome)) => Poll::Ready(outcome),
            _ => {
                waiting.of.insert(self.0, State::Open(Some(context.waker().clone())));
                Poll::Pending
            }
        })
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        // What it held is dropped when nothing is borrowed any more.
        let state = WAITING.with_borrow_mut(|waiting| waiting.of.remove(&self.0));
        drop(state);
    }
}

fn settle(id: u32, outcome: JsValue, failed: bool) {
    let outcome = if failed { Err(outcome) } else { Ok(outcome) };
    let waker = WAITING.with_borrow_mut(|waiting| match waiting.of.get_mut(&id) {
        Some(state @ State::Open(_)) => match std::mem::replace(state, State::Settled(outcome)) {
            State::Open(waker) => waker,
            State::Settled(_) => None,
        },
        // Nobody waits for it, or it came in time after it was late.
        _ => None,
    });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What a future gives, or a promise of it when something has to be waited for.
///
/// # Errors
/// Those of the future.
pub(super) fn at_once(future: impl Future<Output = Outcome> + 'static) -> Outcome {
    boxed_at_once(Box::pin(future))
}

/// Boxed, since the code of a set is some 15 KB for each type of future.
fn boxed_at_once(future: LocalBoxFuture<'static, Outcome>) -> Outcome {
    // Futures keep the waker of their first poll, so both polls are those of one set.
    let mut outcomes = FuturesUnordered::from_iter([future]);
    match outcomes.next().now_or_never() {
        Some(outcome) => outcome.unwrap_or_else(none),
        None => Ok(promise(async move { outcomes.next().await.unwrap_or_else(none) }).into()),
    }
}

/// A promise of what a future gives. Boxed, since the code of a task is 2 KB for each type of future.
pub(super) fn promise(future: impl Future<Output = Outcome> + 'static) -> Promise {
    let future: LocalBoxFuture<'static, Outcome> = Box::pin(future);
    future_to_promise(future)
}

/// Does something that may go on when the request has its answer. Boxed likewise.
pub(super) fn go_on(context: &worker::Context, future: impl Future<Output = ()> + 'static) {
    let future: LocalBoxFuture<'static, ()> = Box::pin(future);
    context.wait_until(future);
}

/// Of a set that is never empty.
const fn none() -> Outcome {
    Ok(JsValue::UNDEFINED)
}
