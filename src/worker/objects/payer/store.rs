//! What the payer's object stores: its purchases, and what is remembered of the payer.

use crate::evm::B256;
use crate::purchase::{Purchase, Record};
use crate::rail::Payment;
use crate::time::Timestamp;
use crate::worker::clock::now;
use crate::worker::objects::table::Table;
use std::cell::{OnceCell, RefCell};
use worker::{Result, State};

/// See the module.
pub(super) struct Store {
    pub(super) state: State,
    purchases: OnceCell<Table>,
    /// The purchase that was read or written last, as it is stored: a charge is looked at time and again.
    latest: RefCell<Option<Purchase>>,
}

impl Store {
    pub(super) fn new(state: State) -> Self {
        Self { state, purchases: OnceCell::new(), latest: RefCell::default() }
    }

    fn purchases(&self) -> Result<&Table> {
        if let Some(table) = self.purchases.get() {
            return Ok(table);
        }
        let table = Table::open(&self.state, "payments")?;
        Ok(self.purchases.get_or_init(|| table))
    }

    pub(super) fn read(&self, id: &B256) -> Result<Option<Purchase>> {
        let is_it = |purchase: &&Purchase| purchase.payment().id() == *id;
        if let Some(purchase) = self.latest.borrow().as_ref().filter(is_it) {
            return Ok(Some(purchase.clone()));
        }
        let purchase = self.purchases()?.get::<Purchase>(id)?;
        self.latest.replace(purchase.clone());
        Ok(purchase)
    }

    pub(super) fn save(&self, purchase: Purchase) -> Result<()> {
        // Should writing fail, nothing is known.
        self.latest.replace(None);
        let id = purchase.payment().id();
        self.purchases()?.put(&id, &purchase, purchase.is_open(), Some(purchase.forget_at()))?;
        self.latest.replace(Some(purchase));
        Ok(())
    }

    pub(super) fn remove(&self, id: &B256) -> Result<()> {
        self.latest.replace(None);
        self.purchases()?.remove(id)
    }

    /// Purchases that are not over.
    pub(super) fn open(&self) -> Result<Vec<Purchase>> {
        self.purchases()?.open_values()
    }

    /// Whether a charge is the first that the client calls so, or the same again; remembered as long as the charge is.
    pub(super) fn identify(&self, identifier: &B256, payment: &Payment) -> Result<bool> {
        let (names, id) = (self.names()?, payment.id());
        if let Some(named) = names.get::<B256>(identifier)? {
            return Ok(named == id);
        }
        names.put(identifier, &id, false, Some(payment.resumable_until()))?;
        Ok(true)
    }

    /// The nonces of charges that clients have named, by the hash of the name.
    fn names(&self) -> Result<Table> {
        Table::open(&self.state, "names")
    }

    /// One row: the channel that the payer opened last.
    pub(super) fn last_channel(&self) -> Result<Table> {
        Table::open(&self.state, "last_channel")
    }

    /// One row: when deliveries were reopened.
    pub(super) fn reopened(&self) -> Result<Table> {
        Table::open(&self.state, "reopened")
    }

    /// One row: the payer's charges that cost gas for nothing.
    pub(super) fn records(&self) -> Result<Table> {
        Table::open(&self.state, "records")
    }

    pub(super) fn record(&self) -> Result<Record> {
        Ok(self.records()?.get(&B256::ZERO)?.unwrap_or_default())
    }

    /// Forgets what may be forgotten now. Returns when something else may be.
    pub(super) fn prune(&self) -> Result<Option<Timestamp>> {
        self.latest.replace(None);
        let (records, reopened, names) = (self.records()?, self.reopened()?, self.names()?);
        let pruned = [self.purchases()?.prune(now())?, records.prune(now())?, reopened.prune(now())?, names.prune(now())?];
        Ok(pruned.into_iter().flatten().min())
    }

    /// Nothing is left: the storage goes before anything else happens.
    pub(super) async fn vanish(&self) -> Result<()> {
        self.purchases()?.vanish();
        self.state.storage().delete_all().await
    }
}
