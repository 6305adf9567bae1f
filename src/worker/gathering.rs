//! What the calls of one object want from a rail's endpoints, gathered into few posts. An object that is asked by many at once would
//! else make a post for each, and providers and processors both charge by the post.
//!
//! While nothing is under way, whoever asks is asked for at once. What is wanted meanwhile waits for the end of that, but never for
//! long, and goes together.

use super::clock::turn;
use super::rpc::{BATCH, Network, Outcome, Rpc, Unreachable, Want};
use super::waiting::{Bell, Lead, Party};
use futures_channel::oneshot;
use std::cell::Cell;
use std::time::Duration;

/// The longest that one waits for others.
const PATIENCE: Duration = Duration::from_millis(20);

/// What the calls of one object want, and who wants it.
type Wanted = (Want, oneshot::Sender<Outcome>);

/// Those of one object, for one rail.
#[derive(Default)]
pub(super) struct Gathering {
    waiting: Party<Wanted>,
    /// How many are being asked for.
    under_way: Cell<usize>,
    /// Wakes whoever waits to ask for those who wait.
    hurry: Bell,
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
        let lead = self.gathering.waiting.join((want, sender));
        if self.gathering.is_full() {
            self.gathering.hurry.ring();
        }
        if let Some(lead) = lead {
            self.ask_for_all(lead).await;
        }
        outcome.await.unwrap_or(Err(Unreachable))
    }
}

impl Gathered<'_> {
    /// Asks for all who wait.
    async fn ask_for_all(&self, lead: Lead<'_, Wanted>) {
        self.gathering.wait().await;
        let (wants, callers): (Vec<_>, Vec<_>) = lead.take().into_iter().unzip();
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
    /// Whether one post holds no more than what is wanted.
    fn is_full(&self) -> bool {
        self.waiting.weigh(|(want, _)| want.requests.len()) >= BATCH
    }

    /// Waits for others, as long as is good.
    async fn wait(&self) {
        // Who is woken by the same answer, such as all whose transactions may now be sent, is heard first.
        turn().await;
        if self.under_way.get() > 0 && !self.is_full() {
            self.hurry.wait(PATIENCE).await;
        }
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
        self.0.hurry.ring();
    }
}
