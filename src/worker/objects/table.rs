//! A table of JSON values by key, each with a time that an index is kept for. Amounts inside the JSON are
//! strings: SQLite's integers reach Rust as f64.

use crate::evm::B256;
use crate::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use worker::{Result, SqlStorage, SqlStorageValue, State};

/// Stands for "no time": later than any other.
const NEVER: i64 = 9_007_199_254_740_991;

/// One table of an object's storage. Every method is synchronous: calls without an `await` between
/// them are one transaction.
pub(super) struct Table {
    sql: SqlStorage,
    name: &'static str,
}

#[derive(Deserialize)]
struct Row {
    value: String,
}

#[derive(Deserialize)]
struct Due {
    due: Option<f64>,
}

impl Table {
    /// Opens the table, creating it at first.
    pub(super) fn open(state: &State, name: &'static str) -> Result<Self> {
        let sql = state.storage().sql();
        sql.exec(
            &format!("CREATE TABLE IF NOT EXISTS {name} (key TEXT PRIMARY KEY, value TEXT NOT NULL, due INTEGER NOT NULL) WITHOUT ROWID"),
            None,
        )?;
        sql.exec(&format!("CREATE INDEX IF NOT EXISTS {name}_due ON {name} (due)"), None)?;
        Ok(Self { sql, name })
    }

    /// Reads one value.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &B256) -> Result<Option<T>> {
        let cursor = self.sql.exec(&format!("SELECT value FROM {} WHERE key = ?", self.name), [text(key)].to_vec())?;
        let row = cursor.to_array::<Row>()?.pop();
        row.map(|row| serde_json::from_str(&row.value).map_err(Into::into)).transpose()
    }

    /// Writes one value.
    pub(super) fn put(&self, key: &B256, value: &impl Serialize, due: Option<Timestamp>) -> Result<()> {
        let due = due.map_or(NEVER, |due| i64::try_from(due.millis()).unwrap_or(NEVER).min(NEVER));
        let values = [text(key), SqlStorageValue::String(serde_json::to_string(value)?), SqlStorageValue::Integer(due)];
        self.sql.exec(&format!("INSERT OR REPLACE INTO {} (key, value, due) VALUES (?, ?, ?)", self.name), values.to_vec())?;
        Ok(())
    }

    /// Removes one value.
    pub(super) fn remove(&self, key: &B256) -> Result<()> {
        self.sql.exec(&format!("DELETE FROM {} WHERE key = ?", self.name), [text(key)].to_vec())?;
        Ok(())
    }

    /// The values that have no time.
    pub(super) fn timeless<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        self.select("due = ?", NEVER)
    }

    /// The values whose time is after `time`, and those that have none.
    pub(super) fn after<T: DeserializeOwned>(&self, time: Timestamp) -> Result<Vec<T>> {
        self.select("due > ?", i64::try_from(time.millis()).unwrap_or(NEVER))
    }

    fn select<T: DeserializeOwned>(&self, condition: &str, due: i64) -> Result<Vec<T>> {
        let cursor =
            self.sql.exec(&format!("SELECT value FROM {} WHERE {condition}", self.name), [SqlStorageValue::Integer(due)].to_vec())?;
        let rows = cursor.to_array::<Row>()?;
        rows.iter().map(|row| serde_json::from_str(&row.value).map_err(Into::into)).collect()
    }

    /// Removes what is due at `now`, and returns when the next is, in milliseconds since the epoch.
    pub(super) fn prune(&self, now: Timestamp) -> Result<Option<f64>> {
        let now = i64::try_from(now.millis()).unwrap_or(NEVER);
        self.sql.exec(&format!("DELETE FROM {} WHERE due <= ?", self.name), [SqlStorageValue::Integer(now)].to_vec())?;
        let cursor = self
            .sql
            .exec(&format!("SELECT MIN(due) AS due FROM {} WHERE due < ?", self.name), [SqlStorageValue::Integer(NEVER)].to_vec())?;
        Ok(cursor.to_array::<Due>()?.pop().and_then(|row| row.due))
    }
}

fn text(key: &B256) -> SqlStorageValue {
    SqlStorageValue::String(key.to_string())
}
