//! What the payer's object stores: its purchases, and what is remembered of the payer.

use crate::evm::B256;
use crate::ordered;
use crate::purchase::{Purchase, Record, Reopened};
use crate::rail::Payment;
use crate::rail::evm::Method;
use crate::rail::tempo::sponsor::Budget;
use crate::time::{Timestamp, UnixSeconds};
use crate::worker::clock::now;
use crate::worker::objects::table::{Slots, Table, once};
use litemap::LiteMap;
use std::cell::{OnceCell, RefCell};
use worker::{Result, State};

/// The slot of the channel that the payer opened last.
const LAST_CHANNEL: u32 = 1;

/// The slot of when deliveries were reopened.
const REOPENED: u32 = 2;

/// The slot of the payer's charges that cost gas for nothing.
const RECORD: u32 = 3;

/// The slot of what a sponsor has promised.
const BUDGET: u32 = 4;

/// See the module.
pub(super) struct Store {
    pub(super) state: State,
    purchases: OnceCell<Table>,
    names: OnceCell<Table>,
    slots: OnceCell<Slots>,
    /// The purchases that are not over, as they are stored; `None` when that is not known.
    open: RefCell<Option<LiteMap<B256, Purchase>>>,
    /// One that is over and was read or written last, as it is stored: a charge is looked at time and again.
    latest: RefCell<Option<Purchase>>,
}

impl Store {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            purchases: OnceCell::new(),
            names: OnceCell::new(),
            slots: OnceCell::new(),
            open: RefCell::default(),
            latest: RefCell::default(),
        }
    }

    fn purchases(&self) -> Result<&Table> {
        once(&self.purchases, || Table::open(&self.state, "payments"))
    }

    /// The ids of charges that clients have named, by the hash of the name.
    fn names(&self) -> Result<&Table> {
        once(&self.names, || Table::open(&self.state, "names"))
    }

    fn slots(&self) -> Result<&Slots> {
        once(&self.slots, || Slots::open(&self.state, "payer"))
    }

    pub(super) fn read(&self, id: &B256) -> Result<Option<Purchase>> {
        if let Some(purchase) = self.look_at_open(|open| open.get(id).cloned())? {
            return Ok(Some(purchase));
        }
        let is_it = |purchase: &&Purchase| purchase.payment().id() == *id;
        if let Some(purchase) = self.latest.borrow().as_ref().filter(is_it) {
            return Ok(Some(purchase.clone()));
        }
        let purchase = self.purchases()?.get::<Purchase>(id)?;
        self.latest.replace(purchase.clone());
        Ok(purchase)
    }

    pub(super) fn save(&self, purchase: Purchase) -> Result<()> {
        let id = purchase.payment().id();
        let is_open = purchase.is_open();
        if self.is_stored(&purchase) {
            return Ok(());
        }
        let known = self.unsure();
        self.purchases()?.put(&id, &purchase, (!is_open).then(|| purchase.forget_at()))?;
        let Some(mut open) = known else {
            self.latest.replace((!is_open).then_some(purchase));
            return Ok(());
        };
        if is_open {
            open.insert(id, purchase);
        } else {
            open.remove(&id);
            self.latest.replace(Some(purchase));
        }
        self.open.replace(Some(open));
        Ok(())
    }

    /// Whether it is known to be stored as it is.
    fn is_stored(&self, purchase: &Purchase) -> bool {
        let (open, latest) = (self.open.borrow(), self.latest.borrow());
        let known = open.as_ref().and_then(|open| open.get(&purchase.payment().id())).or(latest.as_ref());
        known == Some(purchase)
    }

    pub(super) fn remove(&self, id: &B256) -> Result<()> {
        self.unsure();
        self.purchases()?.remove(id)
    }

    /// Should what comes next fail, nothing is known of what is stored. Returns the purchases that were known to be open.
    fn unsure(&self) -> Option<LiteMap<B256, Purchase>> {
        self.latest.replace(None);
        self.open.take()
    }

    /// Purchases that are not over.
    pub(super) fn open(&self) -> Result<Vec<Purchase>> {
        self.look_at_open(|open| open.values().cloned().collect())
    }

    /// Looks at the purchases that are not over.
    pub(super) fn look_at_open<T>(&self, of: impl FnOnce(&LiteMap<B256, Purchase>) -> T) -> Result<T> {
        if let Some(open) = self.open.borrow().as_ref() {
            return Ok(of(open));
        }
        let stored = self.purchases()?.open_values::<Purchase>()?;
        let mut known = self.open.borrow_mut();
        Ok(of(known.insert(ordered::map(stored.into_iter().map(|purchase| (purchase.payment().id(), purchase))))))
    }

    /// Whether a charge is the first that the client calls so, or the same again; remembered as long as the charge is.
    pub(super) fn identify(&self, identifier: &B256, payment: &Payment) -> Result<bool> {
        let (names, id) = (self.names()?, payment.id());
        if let Some(named) = names.get::<B256>(identifier)? {
            return Ok(named == id);
        }
        names.put(identifier, &id, Some(payment.resumable_until()))?;
        Ok(true)
    }

    /// The channel that the payer opened last.
    pub(super) fn last_channel(&self) -> Result<Option<(Method, B256)>> {
        self.slots()?.get(LAST_CHANNEL)
    }

    pub(super) fn save_last_channel(&self, channel: (Method, B256)) -> Result<()> {
        self.slots()?.put(LAST_CHANNEL, &channel)
    }

    /// When deliveries were reopened.
    pub(super) fn reopened(&self) -> Result<Reopened> {
        Ok(self.slots()?.get(REOPENED)?.unwrap_or_default())
    }

    pub(super) fn save_reopened(&self, reopened: &Reopened) -> Result<()> {
        self.slots()?.put(REOPENED, reopened)
    }

    /// The payer's charges that cost gas for nothing.
    pub(super) fn record(&self) -> Result<Record> {
        Ok(self.slots()?.get(RECORD)?.unwrap_or_default())
    }

    pub(super) fn save_record(&self, record: &Record) -> Result<()> {
        self.slots()?.put(RECORD, record)
    }

    /// What a sponsor has promised.
    pub(super) fn budget(&self) -> Result<Budget> {
        Ok(self.slots()?.get(BUDGET)?.unwrap_or_default())
    }

    pub(super) fn save_budget(&self, budget: &Budget) -> Result<()> {
        self.slots()?.put(BUDGET, budget)
    }

    /// Forgets what may be forgotten now. Returns when something else may be.
    pub(super) fn prune(&self) -> Result<Option<Timestamp>> {
        let now = now();
        let (over, open): (Vec<_>, Vec<_>) = self.open()?.into_iter().partition(|purchase| purchase.forget_at() <= now);
        for purchase in over {
            self.remove(&purchase.payment().id())?;
        }
        let next = [
            open.iter().map(Purchase::forget_at).min(),
            self.purchases()?.prune(now)?,
            self.names()?.prune(now)?,
            self.forget(REOPENED, self.reopened()?.forget_at(), now)?,
            self.forget(RECORD, self.record()?.forget_at(), now)?,
            self.forget(BUDGET, self.budget()?.until().map(UnixSeconds::timestamp), now)?,
        ];
        self.latest.replace(None);
        Ok(next.into_iter().flatten().min())
    }

    /// Forgets what is in a slot, if it may be forgotten at `now`. Returns when it may be else.
    fn forget(&self, slot: u32, at: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>> {
        if at.is_some_and(|at| at <= now) {
            self.slots()?.remove(slot)?;
            return Ok(None);
        }
        Ok(at)
    }

    /// Nothing is left: the storage goes before anything else happens.
    pub(super) async fn vanish(&self) -> Result<()> {
        self.unsure();
        self.purchases()?.vanish();
        self.names()?.vanish();
        self.slots()?.vanish();
        self.state.storage().delete_all().await
    }
}
