//! Finding something out once for all requests of the isolate that ask for it.

use super::clock::{now, sleep};
use super::promised::go_on;
use crate::gateway::shared::{Next, Shared};
use futures_channel::oneshot;
use std::cell::RefCell;
use std::future::Future;
use std::thread::LocalKey;
use std::time::Duration;
use worker::Context;

/// How often a request looks whether another has found out what it waits for: it cannot await the other's promise on Workers.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What `find_out` gives, and how long that is to be taken; of one request for all others too, by what is `known` to the isolate. It
/// goes on when the client of that one leaves. `None` when more is being found out than is allowed.
pub(super) async fn shared<K, V, F>(
    context: &Context,
    known: &'static LocalKey<RefCell<Shared<K, V>>>,
    key: K,
    find_out: impl FnOnce() -> F + 'static,
) -> Option<V>
where
    K: Ord + Clone + 'static,
    V: Clone + 'static,
    F: Future<Output = (V, Duration)>,
{
    loop {
        match known.with_borrow_mut(|known| known.ask(&key, now())) {
            Next::Take(value) => return Some(value),
            Next::DoWithout => return None,
            Next::Wait => sleep(LOOK_AGAIN).await,
            Next::FindOut => {
                let (told, is_told) = oneshot::channel();
                go_on(context, async move {
                    let (value, lifetime) = find_out().await;
                    known.with_borrow_mut(|known| known.found(key, value.clone(), now().saturating_add(lifetime)));
                    // Nobody waits for it when the client has left.
                    let _ = told.send(value);
                });
                return is_told.await.ok();
            }
        }
    }
}
