//! Time and its limits.

use crate::time::Timestamp;
use futures_util::future::{Either, select};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use worker::Delay;

/// The time now. On Workers it stands still between I/O.
pub(super) fn now() -> Timestamp {
    // JavaScript counts milliseconds in a float, and a duration is the way from one to an integer.
    let millis = Duration::try_from_secs_f64(js_sys::Date::now()).map_or(0, |millis| millis.as_secs());
    Timestamp::from_millis(millis)
}

/// Waits.
pub(super) async fn sleep(duration: Duration) {
    Delay::from(duration).await;
}

/// What `future` gives, unless it takes longer than `limit`.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(Delay::from(limit))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Lets all others go on that can.
pub(super) async fn turn() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
