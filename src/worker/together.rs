//! Futures that run together. What is published for that keeps a queue of those that were woken, which pays for hundreds: ours are few.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// What each of these gives, in their order: at most so many of them run at a time.
pub(super) async fn join_some<F: Future>(most: usize, futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let (mut futures, mut outputs) = (futures.into_iter(), Vec::new());
    loop {
        let part = join_all(futures.by_ref().take(most)).await;
        if part.is_empty() {
            return outputs;
        }
        outputs.extend(part);
    }
}

/// What each of these gives, in their order, once all have.
pub(super) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(move |context| {
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        if running.iter().any(|(_, output)| output.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(running.iter_mut().filter_map(|(_, output)| output.take()).collect())
    })
    .await
}
