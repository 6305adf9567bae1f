// A channel takes the same room however many vouchers have passed: measured in the object's own database.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { presign } from "../harness/presign.mjs";
import { until } from "../harness/processes.mjs";
import { expectLedger, expectReceipt, openSession, PRICE, payloads, startSessions } from "../harness/session.mjs";
import { ADMIN_TOKEN } from "../harness/stack.mjs";
import { SteadyClient } from "../harness/steady.mjs";

// Seconds, so that much of what passes becomes old while it passes.
const stack = await startSessions({ gateway: { limits: { originTimeoutSeconds: 1 } } });
const { gateway, origin } = stack;
const MANY = 10_000;
/** The room that a channel may take, whatever passed. */
const BOUND = { bytes: 16 * 1024, rows: 64, file: 128 * 1024 };

/** Rows, the bytes in them, and the size of the file in a database of an object that is not running. */
function measure(file) {
  const database = new DatabaseSync(file, { readOnly: true });
  const room = { bytes: 0, rows: 0, file: statSync(file).size };
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  for (const { name } of tables) {
    const columns = database.prepare(`SELECT name FROM pragma_table_info(?)`).all(name);
    const lengths = columns.map((column) => `coalesce(length(CAST("${column.name}" AS BLOB)), 0)`).join(" + ");
    const { rows, bytes } = database
      .prepare(`SELECT count(*) AS rows, coalesce(sum(${lengths}), 0) AS bytes FROM "${name}"`)
      .get();
    room.rows += rows;
    room.bytes += bytes;
  }
  database.close();
  return room;
}

/** The room of the only channel's object. */
async function room() {
  await gateway.stop();
  const files = gateway.objectFiles("Channel");
  assert.equal(files.length, 1, "one object for one channel");
  const measured = measure(files[0]);
  await gateway.start();
  return measured;
}

test(`after ${MANY} vouchers a channel takes no more room than bounds allow`, { timeout: 240_000 }, async (t) => {
  const session = await openSession(stack, "abstract", { deposit: BigInt(MANY) * PRICE });
  const { channel } = session;
  const [signatures] = await presign([channel], MANY, PRICE);
  const client = new SteadyClient(stack);
  const headers = async (i) =>
    session.authorization(await payloads.voucher(channel, BigInt(i + 1) * PRICE, { signature: signatures[i] }));
  const buy = async (from, to) => {
    let next = from;
    // A few at a time, so that they also come out of order and some of them with a key that is remembered.
    const worker = async (n) => {
      while (next < to) {
        const i = next++;
        const { status, text } = await client.get(session.path, await headers(i), `key-${i}`, { via: n % 2 });
        assert.equal(status, 200, text);
        if (i % 500 === 0) origin.requests.length = 0;
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, n) => worker(n)));
  };
  await session.challenge();
  await buy(0, 10);
  const few = await room();
  await buy(10, MANY);
  await expectLedger(stack, channel, { spent: channel.deposit, accepted: channel.deposit });
  const many = await room();
  client.close();
  t.diagnostic(`after 10 vouchers ${JSON.stringify(few)}, after ${MANY} ${JSON.stringify(many)}`);
  for (const name of Object.keys(BOUND)) assert.ok(many[name] <= BOUND[name], `${name}: ${many[name]} > ${BOUND[name]}`);
});

test("who only names channels and payers that nobody knows leaves nothing behind", async () => {
  const kept = () => ["Channel", "Payer"].flatMap((kind) => gateway.objectFiles(kind));
  const before = new Set(kept());
  for (let i = 1; i <= 5; i++) {
    const named = i.toString(16);
    for (const name of [`0x${named.padStart(64, "0")}`, `did:pkh:eip155:11124:0x${named.padStart(40, "0")}`]) {
      const answer = await stack.send("/s/item/1", { headers: { "payment-session": name } });
      assert.equal(answer.status, 402);
    }
  }
  await gateway.stop();
  const left = kept().filter((file) => !before.has(file));
  const rooms = left.map(measure);
  await gateway.start();
  assert.deepEqual(
    rooms.filter(({ rows }) => rows > 0),
    [],
  );
  for (const file of left) {
    const database = new DatabaseSync(file, { readOnly: true });
    assert.deepEqual(database.prepare("SELECT name FROM sqlite_schema WHERE name NOT LIKE '_cf_%'").all(), [], file);
    database.close();
  }
});

test("C13: a channel that has bought nothing is forgotten when it was idle, one with money at risk is not, and a voucher brings it back", async () => {
  await stack.reconfigure({ gateway: { session: { closeIdleSeconds: 2, watchSeconds: 1, settleMinimum: "1" } } });
  const books = async ({ id }) => {
    const headers = { Authorization: `Bearer ${ADMIN_TOKEN}` };
    return (await stack.send(`/__mpp/channels/${id}`, { headers })).status;
  };
  const [idle, sold] = [await openSession(stack, "abstract"), await openSession(stack, "evm")];
  assert.equal((await idle.manage(await payloads.voucher(idle.channel, 0n))).status, 204);
  expectReceipt(await sold.pay(), sold);
  assert.deepEqual([await books(idle.channel), await books(sold.channel)], [200, 200]);
  await until(async () => (await books(idle.channel)) === 404, "the idle channel to be forgotten");
  assert.equal(await books(sold.channel), 200, "what is not settled is kept");
  expectReceipt(await idle.pay(), idle);
  assert.equal(await books(idle.channel), 200);
  await expectLedger(stack, idle.channel, { spent: PRICE, accepted: PRICE });
});
