//! Calls of one object that wait for each other. The runtime lets no call wait for what belongs to another object's.

use super::clock::within;
use futures_channel::oneshot;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Those who wait for the same thing to happen, each as long as it likes.
#[derive(Default)]
pub(super) struct Waiters(RefCell<Vec<oneshot::Sender<()>>>);

impl Waiters {
    /// Waits until all are woken, but not longer than `limit`.
    pub(super) async fn wait(&self, limit: Duration) {
        let (sender, woken) = oneshot::channel();
        self.0.borrow_mut().push(sender);
        let _ = within(limit, woken).await;
    }

    /// Wakes all who wait.
    pub(super) fn wake(&self) {
        for sender in self.0.borrow_mut().drain(..) {
            // One that is gone does not mind.
            let _ = sender.send(());
        }
    }
}

/// Wakes the one who waits for it. Who waits last is heard.
#[derive(Default)]
pub(super) struct Bell(Cell<Option<oneshot::Sender<()>>>);

impl Bell {
    /// Waits until it is rung, but not longer than `limit`. Returns whether it was.
    pub(super) async fn wait(&self, limit: Duration) -> bool {
        let (sender, rung) = oneshot::channel();
        self.0.set(Some(sender));
        within(limit, rung).await.is_some()
    }

    /// Rings it. If nobody waits, nobody hears it.
    pub(super) fn ring(&self) {
        if let Some(sender) = self.0.take() {
            // Who has just woken up by itself does not mind.
            let _ = sender.send(());
        }
    }
}

/// Those who are served together: the first one to join leads, and takes all who have joined by then.
pub(super) struct Party<T>(RefCell<Vec<T>>);

impl<T> Default for Party<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Party<T> {
    /// Joins. Returns the lead if the caller is the first.
    pub(super) fn join(&self, one: T) -> Option<Lead<'_, T>> {
        let mut all = self.0.borrow_mut();
        all.push(one);
        (all.len() == 1).then(|| Lead(self))
    }

    /// How much those who have joined weigh.
    pub(super) fn weigh(&self, weight: impl Fn(&T) -> usize) -> usize {
        self.0.borrow().iter().map(weight).sum()
    }
}

/// Whoever leads. If it is dropped before it has taken the others, they are let go: they learn that nobody serves them.
pub(super) struct Lead<'a, T>(&'a Party<T>);

impl<T> Lead<'_, T> {
    /// Takes all who have joined. Whoever joins after that leads anew.
    pub(super) fn take(self) -> Vec<T> {
        self.0.0.take()
    }
}

impl<T> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        self.0.0.borrow_mut().clear();
    }
}
