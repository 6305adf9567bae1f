//! Finding something out once for all requests of the isolate that ask for it.

use super::clock::{now, sleep};
use super::config::{Isolate, Loaded, load};
use crate::gateway::shared::{Next, Shared};
use futures_channel::oneshot;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use worker::{Context, Env};

/// How often a request looks whether another has found out what it waits for: it cannot await the other's promise on Workers.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What `find_out` gives, and how long that is to be taken; of one request for all others too. It goes on when the client of that one
/// leaves. `None` when more is being found out than is allowed.
pub(super) async fn shared<K, V, F>(
    context: &Context,
    env: &Env,
    of: impl Fn(&Isolate) -> &RefCell<Shared<K, V>> + Copy + 'static,
    key: K,
    find_out: impl FnOnce(Rc<Loaded>) -> F + 'static,
) -> Option<V>
where
    K: Ord + Clone + 'static,
    V: Clone + 'static,
    F: Future<Output = (V, Duration)>,
{
    let loaded = load(env);
    let isolate = loaded.as_ref().as_ref().ok()?;
    loop {
        let next = of(isolate).borrow_mut().ask(&key, now());
        match next {
            Next::Take(value) => return Some(value),
            Next::DoWithout => return None,
            Next::Wait => sleep(LOOK_AGAIN).await,
            Next::FindOut => {
                let (told, is_told) = oneshot::channel();
                let loaded = loaded.clone();
                context.wait_until(async move {
                    let (value, lifetime) = find_out(loaded.clone()).await;
                    if let Ok(isolate) = loaded.as_ref() {
                        of(isolate).borrow_mut().found(key, value.clone(), now().saturating_add(lifetime));
                    }
                    // Nobody waits for it when the client has left.
                    let _ = told.send(value);
                });
                return is_told.await.ok();
            }
        }
    }
}
