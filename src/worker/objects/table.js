// What objects store, by one call out of wasm for each value that is read or written. Every statement is a constant text, which the
// runtime keeps prepared, and runs to its end before the call returns: bytes may be those of wasm itself.

/** Values that are over are forgotten together every so many minutes. */
const SPAN = 12 * 60;

/** So many values are forgotten at once: others wait meanwhile. */
const MOST_AT_ONCE = 10_000;

/** Whether there is a table of this name. An object that was only asked something has stored nothing. */
const isThere = (sql, name) =>
  sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", name).toArray().length > 0;

/** The column `value` of what a statement gives. */
const values = (cursor) => cursor.toArray().map(({ value }) => new Uint8Array(value));

/** A few values, each under a number. A value takes one row. */
export class Slots {
  #sql;
  #isThere;
  #create;
  /** The slots that hold a value, as far as is known. */
  #held = new Set();
  #get;
  #put;
  #change;
  #remove;

  constructor({ storage: { sql } }, name) {
    this.#sql = sql;
    this.#isThere = isThere(sql, name);
    this.#create = `CREATE TABLE ${name} (slot INTEGER PRIMARY KEY, value BLOB NOT NULL)`;
    this.#get = `SELECT value FROM ${name} WHERE slot = ?`;
    this.#put = `INSERT OR REPLACE INTO ${name} (slot, value) VALUES (?, ?)`;
    this.#change = `UPDATE ${name} SET value = ? WHERE slot = ?`;
    this.#remove = `DELETE FROM ${name} WHERE slot = ?`;
  }

  get(slot) {
    const value = this.#isThere ? values(this.#sql.exec(this.#get, slot))[0] : undefined;
    if (value) this.#held.add(slot);
    return value;
  }

  put(slot, value) {
    if (!this.#isThere) {
      this.#sql.exec(this.#create);
      this.#isThere = true;
    }
    // To change a value costs less than to replace it.
    if (this.#held.has(slot) && this.#sql.exec(this.#change, value, slot).rowsWritten > 0) return;
    this.#sql.exec(this.#put, slot, value);
    this.#held.add(slot);
  }

  remove(slot) {
    if (this.#isThere) this.#sql.exec(this.#remove, slot);
    this.#held.delete(slot);
  }

  vanish() {
    this.#isThere = false;
    this.#held.clear();
  }
}

/**
 * Values by key. One that is over is forgotten at a minute, counted since 1970; the others have 0 there. The rows lie in the order of
 * that minute and then of their keys, and there is no other index: a value takes one row, and what is open lies together, as does what
 * is to be forgotten. Since a key may lie at any of those minutes, they are few: one for each `SPAN`.
 */
export class Table {
  #sql;
  #isThere;
  #statements;
  /** Objects do not all forget at the same minute. */
  #offset;

  constructor({ id, storage: { sql } }, name) {
    const minutes = `WITH RECURSIVE minutes (minute) AS (SELECT MIN(until) FROM ${name} UNION ALL
      SELECT (SELECT MIN(until) FROM ${name} WHERE until > minute) FROM minutes WHERE minute NOT NULL)
      SELECT minute FROM minutes`;
    this.#sql = sql;
    this.#isThere = isThere(sql, name);
    this.#offset = Number.parseInt(`${id}`.slice(-8), 16) % SPAN;
    this.#statements = {
      create: `CREATE TABLE ${name} (until INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (until, key)) WITHOUT ROWID`,
      get: `SELECT value FROM ${name} WHERE key = ? AND until IN (${minutes})`,
      changeOpen: `UPDATE ${name} SET until = ?, value = ? WHERE key = ? AND until = 0`,
      change: `UPDATE ${name} SET until = ?, value = ? WHERE key = ? AND until IN (${minutes})`,
      add: `INSERT INTO ${name} (until, key, value) VALUES (?, ?, ?)`,
      remove: `DELETE FROM ${name} WHERE key = ? AND until IN (${minutes})`,
      open: `SELECT value FROM ${name} WHERE until = 0`,
      first: `SELECT value FROM ${name} WHERE until = 0 ORDER BY key LIMIT ?`,
      next: `SELECT value FROM ${name} WHERE until = 0 AND key > ? ORDER BY key LIMIT ?`,
      forget: `DELETE FROM ${name} WHERE (until, key) IN
        (SELECT until, key FROM ${name} WHERE until BETWEEN 1 AND ? LIMIT ${MOST_AT_ONCE})`,
      due: `SELECT MIN(until) AS until FROM ${name} WHERE until > 0`,
    };
  }

  get(key) {
    return this.#values("get", key)[0];
  }

  put(key, until, value) {
    if (!this.#isThere) {
      this.#sql.exec(this.#statements.create);
      this.#isThere = true;
    }
    const at = until === undefined ? 0 : this.#shared(until);
    const change = (statement) => this.#sql.exec(statement, at, value, key).rowsWritten > 0;
    // Most that is written again was open.
    if (change(this.#statements.changeOpen) || change(this.#statements.change)) return;
    this.#sql.exec(this.#statements.add, at, key, value);
  }

  remove(key) {
    if (this.#isThere) this.#sql.exec(this.#statements.remove, key);
  }

  open() {
    return this.#values("open");
  }

  page(after, most) {
    return after === undefined ? this.#values("first", most) : this.#values("next", after, most);
  }

  /** Forgets what is to be forgotten at minute `now`. Returns when something else is. */
  prune(now) {
    if (!this.#isThere) return undefined;
    this.#sql.exec(this.#statements.forget, now);
    return this.#sql.exec(this.#statements.due).one().until ?? undefined;
  }

  vanish() {
    this.#isThere = false;
  }

  /** The first minute at which something is forgotten that must be kept until `until`. */
  #shared(until) {
    return Math.ceil((until - this.#offset) / SPAN) * SPAN + this.#offset;
  }

  #values(statement, ...given) {
    return this.#isThere ? values(this.#sql.exec(this.#statements[statement], ...given)) : [];
  }
}
