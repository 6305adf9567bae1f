// How often the gateway calls objects and the chain, and what is billed of objects. Nothing is timed: one request after the other, by
// a case's own requests, to a worker that has just been started, with the probe in it.

import { CASES } from "./cases.mjs";
import { ChainStub } from "./chain.mjs";
import { gateway, probed } from "./contestants.mjs";
import { startOrigin } from "./origin.mjs";
import { media, scratch } from "./places.mjs";
import { CHAIN, payers } from "./setting.mjs";
import { send as sendAsIs, UNPAID } from "./unpaid.mjs";
import { startWorker } from "./workerd.mjs";

/**
 * What is counted: case → how many requests; whether the start counts as well, with the first request in it; whether the channel is
 * closed by the last voucher; whether all are of one payer; whether it is counted what it takes to forget all of them in the end. A
 * name that is no case's says `of` which it is. With `refused` the first request is sent again and again, and answered by this status.
 */
const COUNTED = {
  pass: { requests: 4 },
  "402-one": { requests: 4 },
  "402-four": { requests: 4 },
  verify: { requests: 4 },
  charge: { requests: 8, start: true, payer: true, forget: true },
  "charge-new-payer": { of: "charge", requests: 4 },
  "charge-again": { of: "charge", requests: 4, refused: 403 },
  "voucher-1": { requests: 8, start: true, close: true },
  "voucher-again": { of: "voucher-1", requests: 4, refused: 402 },
  "voucher-only-64": { requests: 8 },
  "events-burst": { requests: 4 },
  "events-paced": { requests: 1 },
  body: { requests: 2 },
};

/** After this all is forgotten that may be. */
const FORGOTTEN_MS = 5 * 24 * 60 * 60 * 1000;

/**
 * Counts of every case: `start` is what a fresh worker or channel takes up to its first request (vouchers that are refused among it),
 * `each` is each request after it, `close` is the end of a channel, `forget` is what forgetting all requests takes.
 */
export async function countCalls({ buildDir, detail = () => {} }) {
  const chain = await new ChainStub(CHAIN).start();
  const origin = await startOrigin();
  try {
    const ours = probed(gateway({ buildDir, origin: origin.url, rpcUrl: chain.url }));
    const counts = {};
    for (const [name, options] of Object.entries(COUNTED)) {
      detail(name);
      counts[name] = await countCase(ours, CASES[options.of ?? name], { ...options, chain });
    }
    detail("unpaid");
    counts.unpaid = await countUnpaid(ours, { chain, origin });
    return counts;
  } finally {
    await origin.stop();
    await chain.stop();
  }
}

async function countCase(ours, item, { requests: count, start, close, payer, forget, refused, chain }) {
  const { dir, remove } = scratch(media()[0].folder);
  chain.reset();
  const worker = await startWorker(ours, dir);
  try {
    const counter = new Counter(worker, chain);
    // One more than counted: the first one is the start's.
    const apart = payer ? payers.length : 1;
    const made = await item.requests(worker, count * apart + 1);
    const [first, ...rest] = Array.from({ length: count + 1 }, (_, i) => read(made[(i * apart) % made.length]));
    await send(worker, first, item);
    // What was handed in before anything was bought may buy once more.
    if (refused) await send(worker, first, {});
    const before = await counter.take();
    const each = [];
    for (const request of rest) {
      await send(worker, refused ? first : request, refused ? { expect: refused } : item);
      each.push(await counter.take());
    }
    const counts = { ...(start && { start: before }), each: alike(each) };
    if (close) {
      await send(worker, closing(rest.at(-1)), { expect: 204 });
      counts.close = await counter.take();
    }
    if (forget) {
      await (await fetch(`${worker.url}/__bench/later?millis=${FORGOTTEN_MS}`)).arrayBuffer();
      counts.forget = await counter.take();
    }
    return counts;
  } catch (error) {
    error.message += `\nworkerd said:\n${worker.printed()}`;
    throw error;
  } finally {
    await worker.stop();
    remove();
  }
}

/** What each kind of request that nobody has paid for makes the gateway ask of others, once the isolate is warm. */
async function countUnpaid(contestant, { chain, origin }) {
  const { dir, remove } = scratch(media()[0].folder);
  chain.reset();
  const worker = await startWorker(contestant, dir);
  try {
    const counter = new Counter(worker, chain);
    const counts = {};
    for (const [name, { expect, requests, body }] of Object.entries(UNPAID)) {
      const made = await requests(worker);
      const each = [];
      for (let i = 0; i < 4; i += 1) {
        const before = origin.requests();
        const status = await sendAsIs(worker, made[i % made.length], body);
        if (status !== expect) throw new Error(`unpaid ${name} was answered by ${status}, not ${expect}`);
        const { objects, rowsWritten, rpcPosts } = await counter.take();
        const counted = Object.entries({ objects, rowsWritten, rpcPosts, origin: origin.requests() - before });
        each.push(Object.fromEntries(counted.filter(([, times]) => times > 0)));
      }
      // The first one may find out for all.
      counts[name] = alike(each.slice(1));
    }
    return counts;
  } catch (error) {
    error.message += `\nworkerd said:\n${worker.printed()}`;
    throw error;
  } finally {
    await worker.stop();
    remove();
  }
}

/** What has been called, and is billed, since it was last asked. */
class Counter {
  #worker;
  #chain;
  #billed = { calls: 0, rings: 0, rowsRead: 0, rowsWritten: 0, alarms: 0 };
  #posts = 0;
  #calls = {};

  constructor(worker, chain) {
    this.#worker = worker;
    this.#chain = chain;
  }

  async take() {
    const billed = await (await fetch(`${this.#worker.url}/__bench`)).json();
    const since = (name) => billed[name] - this.#billed[name];
    const { posts, calls, unknown } = this.#chain;
    if (unknown.size > 0) throw new Error(`the chain stub was asked for what it does not know: ${[...unknown]}`);
    const rpc = Object.entries(calls)
      .map(([name, times]) => [name, times - (this.#calls[name] ?? 0)])
      .filter(([, times]) => times > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const taken = {
      objects: since("calls") + since("rings"),
      rowsRead: since("rowsRead"),
      rowsWritten: since("rowsWritten"),
      alarms: since("alarms"),
      rpcPosts: posts - this.#posts,
      rpc: Object.fromEntries(rpc),
    };
    this.#billed = billed;
    this.#posts = posts;
    this.#calls = { ...calls };
    return taken;
  }
}

/** The one count of all; counts that differ from request to request are no counts to compare with. */
function alike(counts) {
  const [first, ...others] = counts.map((one) => JSON.stringify(one));
  const other = others.find((one) => one !== first);
  if (other) throw new Error(`requests that are alike were counted differently: ${first} and ${other}`);
  return counts[0];
}

/** A case's request, made for a socket, as `fetch` wants it. */
function read(bytes) {
  const [line, ...lines] = bytes.toString("latin1").split("\r\n").filter(Boolean);
  const [method, path] = line.split(" ");
  const pairs = lines.map((one) => [one.slice(0, one.indexOf(":")).toLowerCase(), one.slice(one.indexOf(":") + 2)]);
  return { method, path, headers: Object.fromEntries(pairs.filter(([name]) => name === "authorization")) };
}

/** The close of a channel by the voucher of a request: its signature says nothing of what it is used for. */
function closing({ path, headers }) {
  const token = headers.authorization.replace(/^Payment /, "");
  const credential = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
  credential.payload.action = "close";
  const authorization = `Payment ${Buffer.from(JSON.stringify(credential)).toString("base64url")}`;
  return { method: "POST", path, headers: { authorization } };
}

async function send(worker, { method, path, headers }, { expect, body }) {
  const answer = await fetch(`${worker.url}${path}`, { method, headers, body });
  const text = await answer.text();
  if (expect !== undefined && answer.status !== expect)
    throw new Error(`${method} ${path} was answered by ${answer.status}: ${text.slice(0, 500)}`);
}
