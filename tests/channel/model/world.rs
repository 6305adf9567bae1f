//! The ledger among everybody else: client, origin, chain, payer, outbox, watch, and a process that dies.

use super::chain::{Call, Chain, Entry, GRACE, Source};
use crate::fixture::*;
use crate::invariants::{self, Counters};
use mpp_edge::channel::{
    Answer, Channel, CollectBy, Collection, Drawn, Effect, Event, Kind, Order, Policy, PresentedVoucher, Refusal, Reuse, SILENCE, Status,
};
use mpp_edge::evm::escrow::OnChain;
use mpp_edge::money::Amount;
use mpp_edge::time::{Timestamp, UnixSeconds};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// Long enough for a booking to count as delivered.
pub(super) const WAIT: Duration = Duration::from_secs(9);

/// Blocks that are older than this are not taken back.
pub(super) const DEEP: Duration = Duration::from_secs(30);

/// What happens at the most so often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Vouchers that raise the total or buy.
    pub(super) vouchers: u8,
    pub(super) closes: u8,
    pub(super) top_ups: u8,
    pub(super) requests: u8,
    /// What another gateway of the payee brings onto the chain.
    pub(super) others: u8,
    pub(super) reorganisations: u8,
    /// The process dies after it has persisted, and before it does what it was to do.
    pub(super) crashes: u8,
    /// Operations that fail for no reason.
    pub(super) failures: u8,
    /// News that come once more, later.
    pub(super) repetitions: u8,
    /// Releases and answers that are lost.
    pub(super) losses: u8,
    /// Times that the delivery window passes and nothing else happens.
    pub(super) waits: u8,
    /// Alarms that are waited for.
    pub(super) alarms: u8,
}

/// One world to be explored.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) deposit: u8,
    /// What a topUp adds.
    pub(super) addition: u8,
    pub(super) price: u8,
    pub(super) kind: Kind,
    pub(super) reuse: Reuse,
    /// Good news count when they are deep.
    pub(super) prudent: bool,
    pub(super) policy: Policy,
    pub(super) budget: Budget,
    /// There are at least so many states.
    pub(super) least: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// The origin was asked, and may still fail.
    Open,
    Delivered,
    /// It failed, and was released.
    Released,
    /// It failed, and nobody could tell.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Booking {
    pub(super) id: u64,
    pub(super) cost: u8,
    pub(super) voucher: u8,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sale {
    pub(super) id: u64,
    /// Units the ledger holds for it, and those of them that it knows of.
    pub(super) reserved: u8,
    pub(super) told: u8,
    pub(super) delivered: u8,
    pub(super) heard_at: Timestamp,
    pub(super) state: Serving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Serving {
    Live,
    /// Whoever served it died and says nothing any more.
    Dead,
    Ended,
}

/// See the module.
#[derive(Clone)]
pub(super) struct World {
    pub(super) setup: Rc<Setup>,
    pub(super) now: Timestamp,
    pub(super) ledger: Channel,
    pub(super) alarm: Option<Timestamp>,
    pub(super) chain: Chain,
    /// What the watch has told last, unless the ledger has learned something by itself since.
    pub(super) seen: Option<OnChain>,
    pub(super) bookings: Vec<Booking>,
    pub(super) sales: Vec<Sale>,
    /// The highest voucher that the ledger took.
    pub(super) signed: u8,
    pub(super) budget: Budget,
    /// The highest voucher that was handed to the outbox or settled on chain: anybody can read it.
    pub(super) shown: u8,
    /// A settlement in place of a close has taken what covers all that was spent, as the close would have.
    pub(super) taken: bool,
    /// The ledger knows of a request to close.
    pub(super) knows_of_request: bool,
    /// Somebody else has settled: what was sold elsewhere counts as spent here.
    pub(super) foreign: bool,
    /// An addition, which may have been relied on, was taken back, and left this deposit.
    pub(super) misled: Option<u8>,
    /// What was seen to happen in any of the states.
    pub(super) reached: Rc<RefCell<BTreeSet<&'static str>>>,
}

/// A rule that was broken.
pub(super) type Checked<T = ()> = Result<T, String>;

pub(super) fn small(amount: Amount) -> u8 {
    u8::try_from(amount.base_units()).unwrap()
}

/// What is sold by then is all that will be: it is taken at once, by a settlement where the close fails.
const fn operation_ends(ledger: &Channel) -> bool {
    matches!(ledger.status(), Status::Closing(_) | Status::Closed { .. })
}

impl World {
    pub(super) fn new(setup: &Rc<Setup>, reached: &Rc<RefCell<BTreeSet<&'static str>>>) -> Self {
        let now = Timestamp::from_millis(START * 1000);
        let chain = Chain::new(setup.deposit, setup.prudent);
        let expected = mpp_edge::channel::Expected { price: amount(1), ..EXPECTED };
        let ledger = Channel::adopt(ID, &seen(chain.escrow.view()), &FACTS, &expected, now).unwrap();
        Self {
            setup: setup.clone(),
            now,
            ledger,
            alarm: None,
            seen: Some(chain.escrow.view()),
            chain,
            bookings: Vec::new(),
            sales: Vec::new(),
            signed: 0,
            shown: 0,
            taken: false,
            budget: setup.budget,
            knows_of_request: false,
            foreign: false,
            misled: None,
            reached: reached.clone(),
        }
    }

    pub(super) fn reach(&self, what: &'static str) {
        self.reached.borrow_mut().insert(what);
    }

    pub(super) fn seconds(&self) -> u64 {
        self.now.seconds().get()
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.ledger.status(), Status::Closed { .. })
    }

    pub(super) fn counters(&self) -> Counters {
        Counters::of(&self.ledger, &self.setup.policy)
    }

    /// One step of the ledger, persisted; what it asks for is not done yet.
    pub(super) fn step(&mut self, event: &Event) -> Checked<(Result<Answer, Refusal>, Vec<Effect>)> {
        let policy = &self.setup.policy;
        let (after, outcome) = self.ledger.clone().step(event.clone(), policy, self.now);
        invariants::of_step(&self.ledger, event, &after, &outcome, policy, self.now)?;
        if *event != Event::Woken {
            let (again, _) = after.clone().step(event.clone(), policy, self.now);
            if again != after {
                return Err(format!("{event:?} once more changed\n{after:?} to\n{again:?}"));
            }
        }
        if let Event::Observed(reading) = event {
            self.shown = self.shown.max(small(reading.on_chain.settled));
            self.knows_of_request = reading.on_chain.close_requested_at != UnixSeconds::new(0);
        }
        if matches!(outcome.answer, Ok(Answer::Bought(_))) && self.ledger.failures() > 0 {
            return Err("sold after a settlement failed".into());
        }
        let sold = match outcome.answer {
            Ok(Answer::Bought(bought)) => bought.units,
            Ok(Answer::Drawn(Drawn::Units(units))) => units,
            _ => 0,
        };
        if sold > 0 && self.knows_of_request {
            return Err("sold after a request to close was known".into());
        }
        let mut effects = outcome.effects;
        effects.retain(|effect| match effect {
            Effect::WakeAt(at) => {
                self.alarm = Some(*at);
                false
            }
            _ => true,
        });
        self.ledger = after;
        Ok((outcome.answer, effects))
    }

    pub(super) fn note(&mut self, event: &Event) -> Checked {
        let (answer, effects) = self.step(event)?;
        match (answer, effects.as_slice()) {
            (Ok(_), []) => Ok(()),
            (answer, effects) => Err(format!("{event:?} was answered {answer:?}, asking for {effects:?}")),
        }
    }

    /// Does what the ledger asks for, in the shell's way.
    pub(super) fn perform(&mut self, effects: &[Effect]) -> Checked {
        for effect in effects {
            match effect {
                Effect::Inspect => {
                    self.note(&Event::Observed(seen(self.shown())))?;
                    self.seen = None;
                }
                Effect::Submit(collection) => self.submit(*collection)?,
                Effect::WakeAt(_) => {}
            }
        }
        Ok(())
    }

    fn submit(&mut self, collection: Collection) -> Checked {
        let total = small(collection.payout.voucher.cumulative);
        if total > self.signed && total > self.chain.escrow.settled {
            return Err(format!("{collection:?} takes more than was signed, {}", self.signed));
        }
        self.shown = self.shown.max(total);
        self.taken |= collection.by == CollectBy::Settle && operation_ends(&self.ledger);
        let known = self.chain.outbox.iter().find(|entry| entry.collection == collection);
        let told = match known {
            None if self.chain.escrow.apply(Call::of(&collection), self.seconds()).is_none() => {
                // It would revert, and is not sent.
                self.reach("a collection that would revert is not sent");
                return self.conclude(collection, false);
            }
            None => {
                self.chain.outbox.push(Entry::new(collection));
                None
            }
            Some(entry) => entry.told,
        };
        told.map_or(Ok(()), |good| self.conclude(collection, good))
    }

    /// Tells the ledger how a collection ended.
    pub(super) fn conclude(&mut self, collection: Collection, good: bool) -> Checked {
        self.seen = None;
        self.note(&Event::Concluded(collection, Entry::verdict(good)))
    }

    fn shown(&self) -> OnChain {
        self.chain.shown(self.setup.prudent)
    }

    /// What the payer presents: with a fresh signature where its voucher alone proves nothing.
    pub(super) fn presents(&self, total: u8) -> PresentedVoucher {
        PresentedVoucher { fresh: total <= self.shown, ..presented(total.into()) }
    }

    /// A stranger presents what the chain shows: nothing is sold, nothing ends, no counter moves.
    pub(super) fn resist(&self) -> Checked {
        let policy = &self.setup.policy;
        let (idle, _) = self.ledger.clone().step(NOTHING, policy, self.now);
        let stolen = presented(self.shown.into());
        let order = Order { attempt: u64::MAX, ..self.order() };
        let events = [Event::Voucher(stolen, Some(order)), Event::Close(stolen)];
        for event in events.into_iter().filter(|_| self.shown > 0) {
            let (after, outcome) = self.ledger.clone().step(event.clone(), policy, self.now);
            invariants::proves(&idle, &event, &after, &outcome, amount(self.shown.into()))?;
            if after != idle {
                return Err(format!("a stranger's {event:?} changed\n{idle:?} to\n{after:?}"));
            }
        }
        Ok(())
    }

    /// Whether the watch has something to tell.
    pub(super) fn has_news(&self) -> bool {
        self.seen != Some(self.shown()) && !(self.chain.escrow.finalized && self.chain.recent.is_empty() && self.is_closed())
    }

    pub(super) fn watch(&mut self) -> Checked {
        let shown = self.shown();
        self.note(&Event::Observed(seen(shown)))?;
        self.seen = Some(shown);
        Ok(())
    }

    /// The alarm goes off; what it asks for is done, unless the process dies before.
    pub(super) fn wake(&mut self, dies: bool) -> Checked {
        let Some(at) = self.alarm.take() else { return Ok(()) };
        self.pass_to(self.now.max(at));
        let (_, effects) = self.step(&Event::Woken)?;
        if dies { Ok(()) } else { self.perform(&effects) }
    }

    /// What was not released by now is delivered.
    pub(super) fn deliver(&mut self) {
        let open = self.bookings.iter_mut().filter(|booking| booking.fate == Fate::Open);
        open.for_each(|booking| booking.fate = Fate::Delivered);
    }

    pub(super) fn pass_to(&mut self, time: Timestamp) {
        if time > self.now {
            self.deliver();
        }
        if time.since(self.now) >= DEEP {
            self.chain.recent.clear();
        }
        self.now = time;
    }

    /// When the payer may withdraw.
    pub(super) fn grace_ends(&self) -> Option<Timestamp> {
        self.chain.escrow.requested_at.map(|at| UnixSeconds::new(at + GRACE).timestamp())
    }

    /// Whether nobody on the payee's side has anything to do before `time`.
    fn is_quiet_until(&self, time: Timestamp) -> bool {
        !self.has_news() && self.alarm.is_none_or(|at| at >= time) && self.chain.outbox.iter().all(|entry| entry.told.is_some())
    }

    /// Whether time may pass: everybody on the payee's side is in time, or the world is not as it is promised.
    pub(super) fn may_pass_to(&self, time: Timestamp) -> bool {
        if time <= self.now {
            return true;
        }
        let heard = self.sales.iter().all(|sale| sale.state != Serving::Live || time.since(sale.heard_at) < SILENCE);
        let in_time = self.grace_ends().is_none_or(|end| end <= self.now || end > time || self.is_quiet_until(end));
        let told = |at: u64| !self.has_news() || time <= UnixSeconds::new(at + GRACE / 3).timestamp();
        heard && in_time && self.chain.escrow.requested_at.is_none_or(told) && self.alarm.is_none_or(|at| at >= time)
    }

    pub(super) fn order(&self) -> Order {
        // Purchases that were refused are not remembered.
        let attempt = self.bookings.iter().map(|booking| booking.id).chain(self.sales.iter().map(|sale| sale.id)).max();
        let most = if self.setup.kind == Kind::Request { 1 } else { 2 };
        let Setup { kind, reuse, price, .. } = *self.setup;
        Order { price: amount(price.into()), least: 1, most, kind, reuse, key: None, attempt: attempt.map_or(1, |id| id + 2), since: 0 }
    }

    /// What the client got, at its price.
    pub(super) fn delivered(&self) -> u8 {
        let whole = self.bookings.iter().filter(|booking| booking.fate == Fate::Delivered).map(|booking| booking.cost).sum::<u8>();
        let metered = self.sales.iter().map(|sale| sale.delivered).sum::<u8>();
        whole + metered * self.setup.price
    }

    /// What counts as delivered since nobody could tell that it was not.
    fn deemed(&self) -> u8 {
        let lost = self.bookings.iter().filter(|booking| booking.fate == Fate::Lost).map(|booking| booking.cost).sum::<u8>();
        let silent = self.sales.iter().filter(|sale| sale.state == Serving::Dead).map(|sale| sale.reserved - sale.delivered);
        lost + silent.sum::<u8>() * self.setup.price
    }

    /// A transaction of the outbox's is mined.
    pub(super) fn mine(&mut self, index: usize) -> Checked {
        let collection = self.chain.outbox[index].collection;
        let total = small(collection.payout.voucher.cumulative);
        if collection.by == CollectBy::Settle && total > self.delivered() + self.deemed() && !self.foreign && !self.taken {
            return Err(format!("settled {total}, and only {} is delivered", self.delivered()));
        }
        self.chain.mine(index, self.seconds());
        Ok(())
    }

    /// The books agree with what really happened.
    pub(super) fn audit(&self) -> Checked {
        let escrow = &self.chain.escrow;
        if escrow.paid > self.signed.max(escrow.settled) && !self.foreign {
            return Err(format!("the payee got {} for vouchers of {}", escrow.paid, self.signed));
        }
        if escrow.finalized && escrow.paid + escrow.returned != escrow.deposit {
            return Err(format!("money was lost: {escrow:?}"));
        }
        if self.is_closed() || self.foreign || self.taken {
            return Ok(());
        }
        let open = self.bookings.iter().filter(|booking| booking.fate == Fate::Open).map(|booking| booking.cost).sum::<u8>();
        let bound = self.sales.iter().filter(|sale| sale.state == Serving::Live).map(|sale| sale.reserved - sale.delivered).sum::<u8>();
        let expected = self.delivered() + self.deemed() + open + bound * self.setup.price;
        let spent = small(self.counters().spent);
        if spent != expected {
            return Err(format!("spent is {spent}, where {expected} was sold"));
        }
        Ok(())
    }

    pub(super) fn hash(&self, hasher: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        let now = self.now.millis();
        let ago = |at: UnixSeconds| (at != UnixSeconds::new(0)).then(|| self.seconds().saturating_sub(at.get()).min(GRACE));
        let seen = |shown: &OnChain| (shown.finalized, ago(shown.close_requested_at), shown.deposit, shown.settled, shown.payer);
        let escrow = |escrow: &super::chain::Escrow| {
            let requested = escrow.requested_at.and_then(|at| ago(UnixSeconds::new(at)));
            super::chain::Escrow { requested_at: requested, ..*escrow }
        };
        super::fingerprint::of(&self.ledger, self.now, hasher);
        self.alarm.map(|at| at.millis().wrapping_sub(now)).hash(hasher);
        escrow(&self.chain.escrow).hash(hasher);
        let recent: Vec<(Source, super::chain::Escrow)> =
            self.chain.recent.iter().map(|(source, before)| (*source, escrow(before))).collect();
        recent.hash(hasher);
        self.chain.returned.hash(hasher);
        for entry in &self.chain.outbox {
            (Call::of(&entry.collection), entry.collection.payout.epoch).hash(hasher);
            (entry.in_pool, entry.mined, entry.reverted, entry.failed, entry.told).hash(hasher);
        }
        self.seen.as_ref().map(seen).hash(hasher);
        self.bookings.hash(hasher);
        for sale in &self.sales {
            let live = (sale.state == Serving::Live).then(|| now - sale.heard_at.millis());
            (sale.id, sale.reserved, sale.told, sale.delivered, live, sale.state).hash(hasher);
        }
        (self.signed, self.shown, self.taken, self.budget, self.knows_of_request, self.foreign, self.misled).hash(hasher);
    }
}
