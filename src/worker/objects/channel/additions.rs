//! Additions to the deposit that clients name. Those who name some at the same time wait for one question to the chain.

use super::{ChannelObject, Unserved};
use crate::channel::{Addition, Additions, Channel, Claim, Told};
use crate::money::Amount;
use crate::wire::problem::Problem;
use crate::worker::clock::{now, sleep};
use crate::worker::connection::Connection;
use crate::worker::escrow;
use futures_channel::oneshot;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use worker::Result;

/// Those who wait, and who asks for them.
#[derive(Default)]
pub(super) struct Desk {
    additions: RefCell<Additions>,
    waiting: RefCell<Vec<(Addition, oneshot::Sender<Turn>)>>,
    is_asking: Cell<bool>,
}

/// What one who waits is told.
enum Turn {
    /// This came of it.
    Told(Told),
    /// Ask for all who wait.
    Ask(Asking),
}

/// The right to ask. Whoever lets go of it, also by leaving, gives it to the next who waits.
struct Asking(Rc<Desk>);

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

impl ChannelObject {
    /// Looks whether the ledger holds an addition that a client names, and has the chain asked if not. Whoever names it has shown
    /// nothing of his own.
    pub(super) async fn hear_of_addition(&self, connection: &Connection, claim: &Claim, addition: Addition) -> Result<(), Unserved> {
        let desk = &self.desk;
        let deposit = self.look(Channel::deposit)?.unwrap_or(Amount::ZERO);
        if desk.additions.borrow().is_known(&addition, deposit) {
            return Ok(());
        }
        let _asking = if desk.is_asking.get() {
            let wanted = desk.waiting.borrow().iter().map(|(wanted, _)| *wanted).chain([addition]).collect::<Vec<_>>();
            if !Additions::batch(wanted.into_iter()).contains(&addition) {
                return Err(Problem::unavailable("as many additions to the channel are being looked up as may be at once").into());
            }
            let (sender, turn) = oneshot::channel();
            desk.waiting.borrow_mut().push((addition, sender));
            match turn.await {
                Ok(Turn::Told(told)) => return Ok(told?),
                Ok(Turn::Ask(asking)) => asking,
                Err(oneshot::Canceled) => return Err(unanswered().into()),
            }
        } else {
            Asking::begin(desk)
        };
        let wait = desk.additions.borrow().wait(now());
        sleep(wait).await;
        desk.additions.borrow_mut().asked(now());
        let batch = Additions::batch([addition].into_iter().chain(desk.waiting.borrow().iter().map(|(wanted, _)| *wanted)));
        let told = self.ask_about(connection, claim, &batch).await?;
        let told_of = |wanted: &Addition| batch.iter().position(|one| one == wanted).and_then(|at| told.get(at)).cloned();
        let answered: Vec<_> = desk.waiting.borrow_mut().extract_if(.., |(wanted, _)| batch.contains(wanted)).collect();
        for (wanted, sender) in answered {
            // One who has left does not mind.
            let _ = sender.send(Turn::Told(told_of(&wanted).unwrap_or_else(|| Err(unanswered()))));
        }
        Ok(told_of(&addition).unwrap_or_else(|| Err(unanswered()))?)
    }

    /// Asks the chain about some additions, and about the channel if one of them is news. Tells of each in turn.
    pub(super) async fn ask_about(&self, connection: &Connection, claim: &Claim, additions: &[Addition]) -> Result<Vec<Told>> {
        let (head, left) = match escrow::verify_additions(connection, claim, additions).await {
            Ok(verified) => verified,
            Err(problem) => return Ok(additions.iter().map(|_| Err(problem.clone())).collect()),
        };
        let deposit = self.look(Channel::deposit)?.unwrap_or(Amount::ZERO);
        let seen = if left.iter().any(|left| Additions::is_news(left, deposit)) {
            match self.inspect(connection).await {
                Ok(block) => Ok(block),
                Err(Unserved::Problem(problem)) => Err(problem),
                Err(Unserved::Error(error)) => return Err(error),
            }
        } else {
            Ok(head)
        };
        let mut known = self.desk.additions.borrow_mut();
        Ok(additions.iter().zip(left).map(|(addition, left)| known.tell(*addition, left, deposit, head, &seen)).collect())
    }
}

fn unanswered() -> Problem {
    Problem::unavailable("the chain could not be asked about the addition")
}
