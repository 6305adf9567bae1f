//! Where those wait who name additions to the deposit. One of them asks the chain for all.

use crate::channel::{Addition, Additions, Told};
use crate::money::Amount;
use crate::wire::problem::Problem;
use crate::worker::clock::{now, sleep};
use futures_channel::oneshot;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Those who wait, and who asks for them.
#[derive(Default)]
pub(super) struct Desk {
    /// What was told of each.
    pub(super) additions: RefCell<Additions>,
    waiting: RefCell<Vec<(Addition, oneshot::Sender<Turn>)>>,
    is_asking: Cell<bool>,
}

/// What one who waits is told.
pub(super) enum Turn {
    /// This came of it.
    Told(Told),
    /// Ask for all who wait.
    Ask(Asking),
}

/// The right to ask. Whoever lets go of it, also by leaving, gives it to the next who waits.
pub(super) struct Asking(Rc<Desk>);

impl Asking {
    fn begin(desk: &Rc<Desk>) -> Self {
        desk.is_asking.set(true);
        Self(Rc::clone(desk))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let desk = &self.0;
        desk.is_asking.set(false);
        let mut waiting = desk.waiting.borrow_mut();
        let next = (!waiting.is_empty()).then(|| waiting.remove(0));
        drop(waiting);
        if let Some((_, next)) = next {
            // One who has left lets go of it in turn.
            let _ = next.send(Turn::Ask(Self::begin(desk)));
        }
    }
}

impl Desk {
    /// Whether the ledger, with this deposit, holds the addition for all that is known.
    pub(super) fn is_known(&self, addition: &Addition, deposit: Amount) -> bool {
        self.additions.borrow().is_known(addition, deposit)
    }

    /// Waits for what comes of an addition, or for the right to ask.
    pub(super) async fn turn(self: &Rc<Self>, addition: Addition) -> Result<Turn, Problem> {
        if !self.is_asking.get() {
            return Ok(Turn::Ask(Asking::begin(self)));
        }
        let wanted = self.waiting.borrow().iter().map(|(wanted, _)| *wanted).chain([addition]).collect::<Vec<_>>();
        if !Additions::batch(wanted.into_iter()).contains(&addition) {
            return Err(Problem::unavailable("as many additions to the channel are being looked up as may be at once"));
        }
        let (sender, turn) = oneshot::channel();
        self.waiting.borrow_mut().push((addition, sender));
        turn.await.map_err(|oneshot::Canceled| unanswered())
    }

    /// Waits until the chain may be asked again. Returns what it is to be asked about: `first`, and what others wait for by then.
    pub(super) async fn batch(&self, first: Addition) -> Vec<Addition> {
        let wait = self.additions.borrow().wait(now());
        sleep(wait).await;
        self.additions.borrow_mut().asked(now());
        Additions::batch([first].into_iter().chain(self.waiting.borrow().iter().map(|(wanted, _)| *wanted)))
    }

    /// Tells those who wait what came of a batch.
    pub(super) fn tell(&self, batch: &[Addition], told: &[Told]) {
        let answered: Vec<_> = self.waiting.borrow_mut().extract_if(.., |(wanted, _)| batch.contains(wanted)).collect();
        for (wanted, sender) in answered {
            let told_of = batch.iter().position(|one| *one == wanted).and_then(|at| told.get(at)).cloned();
            // One who has left does not mind.
            let _ = sender.send(Turn::Told(told_of.unwrap_or_else(|| Err(unanswered()))));
        }
    }
}

/// Nobody has heard from the chain.
pub(super) fn unanswered() -> Problem {
    Problem::unavailable("the chain could not be asked about the addition")
}
