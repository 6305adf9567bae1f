//! What the calls of one object want from a rail's endpoints, gathered into few posts. An object that is asked by many at once would
//! else make a post for each, and providers and processors both charge by the post.
//!
//! While nothing is under way, whoever asks is asked for at once. What is wanted meanwhile waits for the end of that, but never for
//! long, and goes together.

use super::clock::{turn, within};
use super::rpc::{BATCH, Network, Outcome, Rpc, Unreachable, Want};
use futures_channel::oneshot;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// The longest that one waits for others.
const PATIENCE: Duration = Duration::from_millis(20);

/// Those of one object, for one rail. The runtime lets no call wait for what belongs to another object's.
#[derive(Default)]
pub(super) struct Gathering {
    waiting: RefCell<Vec<(Want, oneshot::Sender<Outcome>)>>,
    /// How many are being asked for.
    under_way: Cell<usize>,
    /// Wakes whoever waits to ask for those who wait.
    hurry: Cell<Option<oneshot::Sender<()>>>,
}

/// A rail's endpoints, asked for many at once.
#[derive(Clone, Copy)]
pub(super) struct Gathered<'a> {
    pub(super) rpc: &'a Rpc,
    pub(super) gathering: &'a Gathering,
}

impl Network for Gathered<'_> {
    fn rpc(&self) -> &Rpc {
        self.rpc
    }

    async fn want(&self, want: Want) -> Outcome {
        let (sender, outcome) = oneshot::channel();
        if self.gathering.join(want, sender) {
            self.lead().await;
        }
        outcome.await.unwrap_or(Err(Unreachable))
    }
}

impl Gathered<'_> {
    /// Asks for all who wait.
    async fn lead(&self) {
        let leader = Leader(self.gathering);
        leader.wait().await;
        let (wants, callers): (Vec<_>, Vec<_>) = leader.take().into_iter().unzip();
        let under_way = UnderWay::begin(self.gathering);
        let mut callers: Vec<_> = callers.into_iter().map(Some).collect();
        let tell = |place: usize, outcome| {
            if let Some(caller) = callers.get_mut(place).and_then(Option::take) {
                // One that is gone does not mind.
                let _ = caller.send(outcome);
            }
        };
        self.rpc.ask_for(&wants, tell).await;
        drop(under_way);
    }
}

impl Gathering {
    /// Returns whether the caller is the first, who must ask for all.
    fn join(&self, want: Want, caller: oneshot::Sender<Outcome>) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push((want, caller));
        let is_first = waiting.len() == 1;
        if waiting.iter().map(|(want, _)| want.requests.len()).sum::<usize>() >= BATCH {
            self.hurry();
        }
        is_first
    }

    fn hurry(&self) {
        if let Some(hurry) = self.hurry.take() {
            // Who has just woken up by itself does not mind.
            let _ = hurry.send(());
        }
    }
}

/// Whoever asks for all. If it is dropped before it has, the others learn that nobody does.
struct Leader<'a>(&'a Gathering);

impl Leader<'_> {
    async fn wait(&self) {
        // Who is woken by the same answer, such as all whose transactions may now be sent, is heard first.
        turn().await;
        if self.0.under_way.get() == 0 || self.0.waiting.borrow().iter().map(|(want, _)| want.requests.len()).sum::<usize>() >= BATCH {
            return;
        }
        let (hurry, hurried) = oneshot::channel();
        self.0.hurry.set(Some(hurry));
        let _ = within(PATIENCE, hurried).await;
    }

    fn take(self) -> Vec<(Want, oneshot::Sender<Outcome>)> {
        self.0.waiting.take()
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().clear();
    }
}

/// Counts until it is dropped.
struct UnderWay<'a>(&'a Gathering);

impl<'a> UnderWay<'a> {
    fn begin(gathering: &'a Gathering) -> Self {
        gathering.under_way.set(gathering.under_way.get().saturating_add(1));
        Self(gathering)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
        self.0.hurry();
    }
}
