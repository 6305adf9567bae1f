//! What an object stores: values in binary form, a row for each. The statements are in `table.js`.
//!
//! Every method is synchronous: calls without an `await` between them are one transaction, and nothing that the object says gets out
//! before it is stored.
//!
//! Other tables than these, written by gateways before the first release, are not read: they have other columns, and asking for
//! these is an error.

use super::message::{binary, read};
use crate::evm::B256;
use crate::time::Timestamp;
use js_sys::Uint8Array;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::OnceCell;
use wasm_bindgen::JsCast;
use worker::{Result, State};

const MILLIS_PER_MINUTE: u64 = 60_000;

mod js {
    use js_sys::Array;
    use wasm_bindgen::JsValue;
    use wasm_bindgen::prelude::wasm_bindgen;
    use worker::worker_sys::DurableObjectState;

    #[wasm_bindgen(module = "/src/worker/objects/table.js")]
    extern "C" {
        pub(super) type Slots;
        #[wasm_bindgen(constructor, catch)]
        pub(super) fn new(state: &DurableObjectState, name: &str) -> Result<Slots, JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn get(this: &Slots, slot: u32) -> Result<Option<Vec<u8>>, JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn put(this: &Slots, slot: u32, value: &[u8]) -> Result<(), JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn remove(this: &Slots, slot: u32) -> Result<(), JsValue>;
        #[wasm_bindgen(method)]
        pub(super) fn vanish(this: &Slots);

        pub(super) type Table;
        #[wasm_bindgen(constructor, catch)]
        pub(super) fn new(state: &DurableObjectState, name: &str) -> Result<Table, JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn get(this: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn put(this: &Table, key: &[u8], until: Option<u32>, value: &[u8]) -> Result<(), JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn remove(this: &Table, key: &[u8]) -> Result<(), JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn open(this: &Table) -> Result<Array, JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn page(this: &Table, after: Option<&[u8]>, most: u32) -> Result<Array, JsValue>;
        #[wasm_bindgen(method, catch)]
        pub(super) fn prune(this: &Table, now: u32) -> Result<Option<u32>, JsValue>;
        #[wasm_bindgen(method)]
        pub(super) fn vanish(this: &Table);
    }
}

/// A few values of different types, each under a number.
pub(super) struct Slots(js::Slots);

impl Slots {
    /// The slots of this name. They are created when something is first written to one.
    pub(super) fn open(state: &State, name: &'static str) -> Result<Self> {
        Ok(Self(js::Slots::new(state.as_raw(), name)?))
    }

    pub(super) fn get<T: DeserializeOwned>(&self, slot: u32) -> Result<Option<T>> {
        self.0.get(slot)?.as_deref().map(read).transpose()
    }

    pub(super) fn put(&self, slot: u32, value: &impl Serialize) -> Result<()> {
        Ok(self.0.put(slot, &binary(value)?)?)
    }

    pub(super) fn remove(&self, slot: u32) -> Result<()> {
        Ok(self.0.remove(slot)?)
    }

    /// The object's storage is about to be deleted: they are created anew when something is written.
    pub(super) fn vanish(&self) {
        self.0.vanish();
    }
}

/// Values of one type by key, any number of them. A value is open, or over and to be forgotten some time.
pub(super) struct Table(js::Table);

impl Table {
    /// The table of this name. It is created when something is first written to it.
    pub(super) fn open(state: &State, name: &'static str) -> Result<Self> {
        Ok(Self(js::Table::new(state.as_raw(), name)?))
    }

    /// Reads one value.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &B256) -> Result<Option<T>> {
        self.0.get(key.as_slice())?.as_deref().map(read).transpose()
    }

    /// Writes one value. It is open, unless it is over: then it is kept `until` that time, and forgotten within half a day after it.
    pub(super) fn put(&self, key: &B256, value: &impl Serialize, until: Option<Timestamp>) -> Result<()> {
        // The minute that begins no sooner.
        let until = until.map(|until| minutes(until).saturating_add(1));
        Ok(self.0.put(key.as_slice(), until, &binary(value)?)?)
    }

    /// The object's storage is about to be deleted: the table is created anew when something is written.
    pub(super) fn vanish(&self) {
        self.0.vanish();
    }

    /// Removes one value.
    pub(super) fn remove(&self, key: &B256) -> Result<()> {
        Ok(self.0.remove(key.as_slice())?)
    }

    /// The values that are open.
    pub(super) fn open_values<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        stored(&self.0.open()?)
    }

    /// Up to `most` of the values that are open, in the order of their keys, after the key `after`.
    pub(super) fn page<T: DeserializeOwned>(&self, after: Option<&B256>, most: u32) -> Result<Vec<T>> {
        stored(&self.0.page(after.map(B256::as_slice), most)?)
    }

    /// Forgets what may be forgotten at `now`, as much as is good at once. Returns when it is to be called again.
    pub(super) fn prune(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let next = self.0.prune(minutes(now))?;
        Ok(next.map(|minute| Timestamp::from_millis(u64::from(minute).saturating_mul(MILLIS_PER_MINUTE))))
    }
}

/// What is in the cell, such as a table; it is opened when it is asked for first.
pub(super) fn once<T>(cell: &OnceCell<T>, open: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(opened) = cell.get() {
        return Ok(opened);
    }
    let opened = open()?;
    Ok(cell.get_or_init(|| opened))
}

fn stored<T: DeserializeOwned>(values: &js_sys::Array) -> Result<Vec<T>> {
    values.iter().map(|bytes| read(&bytes.unchecked_into::<Uint8Array>().to_vec())).collect()
}

/// The minute since 1970 that a time is in.
fn minutes(time: Timestamp) -> u32 {
    u32::try_from(time.millis() / MILLIS_PER_MINUTE).unwrap_or(u32::MAX)
}
