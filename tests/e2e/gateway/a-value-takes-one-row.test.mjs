// What objects store (src/worker/objects/table.js), in workerd: each row that is written is billed, so a value takes one wherever it lies.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startWorker } from "../../../benches/lib/workerd.mjs";
import { at } from "../../../scripts/lib/project.mjs";
import { compatibility } from "../harness/paths.mjs";

const WORKER = `
import { DurableObject, env } from "cloudflare:workers";
import { Slots, Table } from "./table.js";

const KINDS = { Slots, Table };

export class Store extends DurableObject {
  #state = { id: this.ctx.id, storage: { sql: { exec: (...given) => this.#exec(...given) } } };
  #stores = {};
  #cursors = [];

  #exec(...given) {
    const cursor = this.ctx.storage.sql.exec(...given);
    if (!given[0].startsWith("CREATE")) this.#cursors.push(cursor);
    return cursor;
  }

  /** What each call gives, and how many rows it has written. */
  run(kind, calls) {
    return calls.map(([method, ...given]) => {
      if (method === "again") delete this.#stores[kind];
      const store = (this.#stores[kind] ??= new KINDS[kind](this.#state, "my" + kind));
      if (method === "again") return {};
      if (method === "minutes") return { gave: this.ctx.storage.sql.exec("SELECT DISTINCT until FROM myTable").toArray().length };
      this.#cursors = [];
      // As wasm gives them: a part of a larger memory.
      const memory = new Uint8Array(64);
      let end = 0;
      const part = (bytes) => {
        memory.set(bytes, end);
        return memory.subarray(end, (end += bytes.length));
      };
      const gave = store[method](...given.map((one) => (Array.isArray(one) ? part(one) : (one ?? undefined))));
      const written = this.#cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0);
      memory.fill(0);
      const plain = (value) => (value instanceof Uint8Array ? [...value] : Array.isArray(value) ? value.map(plain) : value);
      return { gave: plain(gave), written };
    });
  }
}

export default {
  async fetch(request) {
    const { name, kind, calls } = await request.json();
    return Response.json(await env.STORE.getByName(name).run(kind, calls));
  },
};
`;

const dir = mkdtempSync(join(tmpdir(), "mpp-edge-rows-"));
writeFileSync(join(dir, "store.js"), WORKER);
const worker = await startWorker(
  {
    name: "rows",
    modules: { "index.js": join(dir, "store.js"), "table.js": at("src/worker/objects/table.js") },
    objects: [{ binding: "STORE", className: "Store" }],
    ...compatibility(),
    vars: {},
    secrets: {},
  },
  dir,
);
after(async () => {
  await worker.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function run(name, kind, calls) {
  const answer = await fetch(worker.url, { method: "POST", body: JSON.stringify({ name, kind, calls }) });
  assert.equal(answer.status, 200, worker.printed());
  return answer.json();
}

const HOUR = 60;
const NOW = 29_000_000;
const key = (n) => Array.from({ length: 32 }, (_, i) => (i === 0 ? n : 7));

test("a value takes one row whether it is new, changed, over or open again, and a read takes none", async () => {
  const calls = [
    ["put", key(1), null, [1]],
    ["put", key(1), null, [2]],
    ["put", key(1), NOW + HOUR, [3]],
    ["put", key(1), NOW + 50 * HOUR, [4]],
    ["get", key(1)],
    ["open"],
    ["put", key(1), null, [5]],
    ["open"],
    ["get", key(2)],
    ["remove", key(1)],
    ["get", key(1)],
  ];
  const done = await run("one", "Table", calls);
  assert.deepEqual(
    done.map(({ written }) => written),
    [1, 1, 1, 1, 0, 0, 1, 0, 0, 1, 0],
  );
  const [, , , , fourth, none, , open, other, , removed] = done.map(({ gave }) => gave);
  assert.deepEqual([fourth, none, open, other, removed], [[4], [], [[5]], undefined, undefined]);
});

test("slots take one row each, and hold what was put there last", async () => {
  const calls = [["get", 1], ["put", 1, [1]], ["put", 2, [2]], ["put", 1, [3]], ["get", 1], ["again"], ["get", 1]];
  calls.push(["remove", 1], ["get", 1], ["get", 2], ["vanish"]);
  const done = await run("slots", "Slots", calls);
  assert.deepEqual(
    done.map(({ gave }) => gave),
    [undefined, undefined, undefined, undefined, [3], undefined, [3], undefined, undefined, [2], undefined],
  );
  assert.deepEqual(
    done.map(({ written }) => written),
    [0, 1, 1, 1, 0, undefined, 0, 1, 0, 0, 0],
  );
});

test("a table is what a map would be, and forgets in time: not too early, and within half a day", async () => {
  let seed = 11;
  const random = (below) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return (seed >> 8) % below;
  };
  const model = new Map([[0, { until: null, value: [0] }]]);
  const calls = [["put", key(0), null, [0]]];
  const expected = [() => {}];
  let now = NOW;
  const expect = (call, check) => {
    calls.push(call);
    expected.push(check);
  };
  const order = (a, b) => a[0] - b[0];
  const open = () =>
    [...model]
      .filter(([, { until }]) => until === null)
      .sort(order)
      .map(([, { value }]) => value);
  for (let i = 0; i < 3_000; i += 1) {
    const n = random(60);
    const what = random(10);
    if (what < 5) {
      const until = random(3) === 0 ? null : now + random(48 * HOUR);
      const value = [random(256), random(256)];
      expect(["put", key(n), until, value], ({ written }) => assert.equal(written, 1));
      model.set(n, { until, value });
    } else if (what < 8) {
      const known = model.get(n);
      const at = now;
      expect(["get", key(n)], ({ gave }) => {
        // What is over may still be there, and may be gone.
        if (known && (known.until === null || known.until > at)) assert.deepEqual(gave, known.value);
        else if (gave) assert.deepEqual(gave, known?.value);
      });
    } else if (what === 8 && random(4) === 0) {
      expect(["remove", key(n)], () => {});
      model.delete(n);
    } else if (what === 8) {
      const all = open();
      expect(["open"], ({ gave }) => assert.deepEqual(gave, all));
      const most = 1 + random(4);
      const page = [...model].filter(([k, { until }]) => until === null && k > n).sort(order);
      expect(["page", key(n), most], ({ gave }) =>
        assert.deepEqual(
          gave,
          page.slice(0, most).map(([, { value }]) => value),
        ),
      );
      expect(["page", null, most], ({ gave }) => assert.deepEqual(gave, all.slice(0, most)));
    } else {
      now += random(3 * HOUR);
      const kept = [...model.values()].filter(({ until }) => until !== null && until > now);
      const first = Math.min(...kept.map(({ until }) => until));
      const at = now;
      expect(["prune", now], ({ gave }) => {
        if (kept.length > 0) assert.ok(gave > at && gave <= first + 12 * HOUR, `${gave} for ${first} at ${at}`);
      });
      // Whatever is gone by half a day is gone.
      for (const [k, { until }] of model) {
        if (until !== null && until + 12 * HOUR <= now) {
          expect(["get", key(k)], ({ gave }) => assert.equal(gave, undefined));
          model.delete(k);
        }
      }
      if (random(4) === 0) expect(["again"], () => {});
      expect(["minutes"], ({ gave }) => assert.ok(gave <= 6, `${gave} minutes`));
    }
  }
  const done = await run("model", "Table", calls);
  for (const [i, check] of expected.entries()) check(done[i]);
  assert.ok(calls.filter(([method]) => method === "prune").length > 100);
});

test("what is to be forgotten in large numbers is forgotten in parts", async () => {
  const many = 25_000;
  const wide = (n) => Array.from({ length: 32 }, (_, i) => (n >> (8 * (i % 4))) & 255);
  for (let from = 0; from < many; from += 5_000) {
    const calls = Array.from({ length: 5_000 }, (_, i) => ["put", wide(from + i), NOW + 1, [1]]);
    await run("many", "Table", calls);
  }
  const later = NOW + 24 * HOUR;
  const done = await run("many", "Table", [
    ["prune", later],
    ["prune", later],
    ["prune", later],
    ["prune", later],
  ]);
  assert.deepEqual(
    done.map(({ written }) => written),
    [10_000, 10_000, 5_000, 0],
  );
  assert.ok(done[0].gave <= later && done[1].gave <= later, "the rest is due");
  assert.deepEqual([done[2].gave, done[3].gave], [undefined, undefined]);
});
