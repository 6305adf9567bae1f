//! A table of values by key, in binary form: SQLite's integers would reach Rust as f64.

use super::message::{binary, read};
use crate::evm::B256;
use crate::time::Timestamp;
use crate::worker::clock::now;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::time::Duration;
use worker::{Date, DateInit, Result, ScheduledTime, SqlStorage, SqlStorageValue, State, console_error};

/// Work that is hindered, by a wrong configuration for one, is taken up again after this.
const HINDERED: Duration = Duration::from_secs(30);

/// The largest integer that a JavaScript number holds exactly.
const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// One table of an object's storage. Every method is synchronous: calls without an `await` between
/// them are one transaction.
pub(super) struct Table {
    sql: SqlStorage,
    name: &'static str,
    /// Whether it is there, as far as is known. An object that was only asked something stores nothing.
    exists: Cell<bool>,
}

impl Table {
    /// The table of this name. It is created when something is first written to it.
    pub(super) fn open(state: &State, name: &'static str) -> Result<Self> {
        let table = Self { sql: state.storage().sql(), name, exists: Cell::new(false) };
        let named = SqlStorageValue::String(name.to_string());
        let found = table.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [named])?.raw().next().is_some();
        table.exists.set(found);
        Ok(table)
    }

    fn create(&self) -> Result<()> {
        self.exec("CREATE TABLE {} (key TEXT PRIMARY KEY, value BLOB NOT NULL, open INTEGER NOT NULL, due INTEGER NOT NULL)", [])?;
        self.exec("CREATE INDEX {}_open ON {} (open) WHERE open", [])?;
        self.exec("CREATE INDEX {}_due ON {} (due)", [])?;
        self.exists.set(true);
        Ok(())
    }

    /// Runs a statement in which `{}` stands for the table's name.
    fn exec<const N: usize>(&self, statement: &str, values: [SqlStorageValue; N]) -> Result<worker::SqlCursor> {
        self.sql.exec(&statement.replace("{}", self.name), values.to_vec())
    }

    /// The first column of what a statement gives.
    fn column<const N: usize>(&self, statement: &str, values: [SqlStorageValue; N]) -> Result<Vec<SqlStorageValue>> {
        if !self.exists.get() {
            return Ok(Vec::new());
        }
        let rows = self.exec(statement, values)?.raw();
        rows.filter_map(|row| row.map(|row| row.into_iter().next()).transpose()).collect()
    }

    /// Reads one value.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &B256) -> Result<Option<T>> {
        self.column("SELECT value FROM {} WHERE key = ?", [text(key)])?.pop().map(stored).transpose()
    }

    /// Writes one value. One that is `open` is found by [`Table::open_values`]; one that is `due` is pruned.
    pub(super) fn put(&self, key: &B256, value: &impl Serialize, open: bool, due: Option<Timestamp>) -> Result<()> {
        let value = SqlStorageValue::Blob(binary(value)?);
        if !self.exists.get() {
            self.create()?;
        }
        let due = due.map_or(SqlStorageValue::Integer(MAX_SAFE_INTEGER), millis);
        let values = [text(key), value, SqlStorageValue::Integer(open.into()), due];
        self.exec("INSERT OR REPLACE INTO {} (key, value, open, due) VALUES (?, ?, ?, ?)", values)?;
        Ok(())
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> Result<bool> {
        Ok(self.column("SELECT 1 FROM {} LIMIT 1", [])?.is_empty())
    }

    /// The object's storage is about to be deleted: the table is created anew when something is written.
    pub(super) fn vanish(&self) {
        self.exists.set(false);
    }

    /// Removes one value.
    pub(super) fn remove(&self, key: &B256) -> Result<()> {
        if self.exists.get() {
            self.exec("DELETE FROM {} WHERE key = ?", [text(key)])?;
        }
        Ok(())
    }

    /// The values that are open.
    pub(super) fn open_values<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        self.column("SELECT value FROM {} WHERE open", [])?.into_iter().map(stored).collect()
    }

    /// Up to `most` values in the order of their keys, after the key `after`.
    pub(super) fn page<T: DeserializeOwned>(&self, after: Option<&B256>, most: u32) -> Result<Vec<T>> {
        // No key comes before the empty text.
        let after = after.map_or_else(|| SqlStorageValue::String(String::new()), text);
        let values = [after, SqlStorageValue::Integer(most.into())];
        self.column("SELECT value FROM {} WHERE key > ? ORDER BY key LIMIT ?", values)?.into_iter().map(stored).collect()
    }

    /// Removes what is due at `now`, and returns when the next is.
    pub(super) fn prune(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        if !self.exists.get() {
            return Ok(None);
        }
        self.exec("DELETE FROM {} WHERE due <= ?", [millis(now)])?;
        let never = SqlStorageValue::Integer(MAX_SAFE_INTEGER);
        let next = self.column("SELECT MIN(due) FROM {} WHERE due < ?", [never])?.pop();
        // A time reaches Rust as an integer as long as a JavaScript number holds it exactly.
        Ok(next
            .and_then(|due| if let SqlStorageValue::Integer(due) = due { u64::try_from(due).ok() } else { None })
            .map(Timestamp::from_millis))
    }
}

/// Wakes the object at `at`. There is one alarm per object: the last one set counts.
pub(super) async fn set_alarm(state: &State, at: Timestamp) -> Result<()> {
    let date = js_sys::Date::from(Date::new(DateInit::Millis(at.millis())));
    state.storage().set_alarm(ScheduledTime::new(date)).await
}

/// Has work that failed taken up again. The platform drops an alarm that fails too often, and with it what was to be done.
pub(super) async fn or_later(state: &State, who: &str, work: Result<()>) -> Result<()> {
    let Err(error) = work else { return Ok(()) };
    console_error!("{who}: {error}");
    set_alarm(state, now().saturating_add(HINDERED)).await
}

fn stored<T: DeserializeOwned>(value: SqlStorageValue) -> Result<T> {
    match value {
        SqlStorageValue::Blob(bytes) => read(&bytes),
        _ => Err("a stored value is not in binary form".into()),
    }
}

fn text(key: &B256) -> SqlStorageValue {
    SqlStorageValue::String(key.to_string())
}

fn millis(time: Timestamp) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(time.millis()).unwrap_or(MAX_SAFE_INTEGER).min(MAX_SAFE_INTEGER))
}
