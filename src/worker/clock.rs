//! Time and its limits.

use crate::time::Timestamp;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use worker::{Date, Delay};

/// The time now. On Workers it stands still between I/O.
pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(Date::now().as_millis())
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
