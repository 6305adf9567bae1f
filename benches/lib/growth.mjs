// What must not grow: CPU per request of the gateway as something that it keeps becomes more. Every size has a worker of its own, all are
// there at once, and take turns: what drifts with the machine cancels out in the ratio to the smallest.
import { encodeCredential } from "../../tests/e2e/harness/protocol.mjs";
import { challengeOf, charges, head } from "./cases.mjs";
import { ChainStub } from "./chain.mjs";
import { contestants } from "./contestants.mjs";
import { drive } from "./measure.mjs";
import { startOrigin } from "./origin.mjs";
import { scratch } from "./places.mjs";
import { CHAIN, channelOf, onChain, PRICES, payers, UNITS, voucher } from "./setting.mjs";
import { median } from "./statistics.mjs";
import { startWorker } from "./workerd.mjs";

/** Connections that set up what is measured later. */
const SETUP_CONNECTIONS = 32;
/** Requests made and sent at a time while setting up: making them must not outlive their challenge. */
const PORTION = 10_000;

/**
 * @typedef {object} Axis
 * @property {string} title
 * @property {number[]} sizes the smallest first
 * @property {"floor"} [beside] who is measured as well
 * @property {number} [connections]
 * @property {number} [times] what is cheap is measured over so many times the requests
 * @property {(size: number) => object} [told] what the gateway is told besides
 * @property {(subject: Subject) => Promise<(count: number) => Promise<Buffer[]>>} prepare
 *   brings a fresh worker to its size; returns who makes the requests to measure
 * @property {number} [expect]
 * @property {number} [floor] the status of the floor's answers
 *
 * @typedef {{size: number, who: string, worker: object, send: (requests: Buffer[], expect: number) => Promise<void>}} Subject
 */

/** @type {Record<string, Axis>} */
export const AXES = {
  routes: {
    title: "routes configured; unpaid request of one in the middle",
    sizes: [1, 100, 1_000],
    told: (size) => ({ routes: Array.from({ length: size }, (_, i) => ({ path: `/growth/${i}/{item}`, price: PRICES.charge })) }),
    expect: 402,
    times: 5,
    prepare: async ({ size, worker }) => {
      const request = head(worker, "GET", `/growth/${size >> 1}/7`);
      return async (count) => Array.from({ length: count }, () => request);
    },
  },
  rails: {
    title: "rails configured; unpaid request of a route that takes one of them",
    sizes: [1, 8],
    told: (size) => ({ rails: size, routes: [{ path: "/growth", price: PRICES.charge, rails: ["abstract-testnet"] }] }),
    expect: 402,
    times: 5,
    prepare: async ({ worker }) => {
      const request = head(worker, "GET", "/growth");
      return async (count) => Array.from({ length: count }, () => request);
    },
  },
  channels: {
    title: "channels in use, each in its turn",
    sizes: [1, 100, 10_000],
    beside: "floor",
    prepare: async (subject) => {
      await open(subject, subject.size);
      return bought(subject, subject.size);
    },
  },
  "channels-idle": {
    title: "channels watched, of which 64 are in use (of one: that one)",
    sizes: [1, 100, 10_000],
    prepare: async (subject) => {
      await open(subject, subject.size);
      return bought(subject, Math.min(64, subject.size));
    },
  },
  vouchers: {
    title: "vouchers that a channel has taken",
    sizes: [10, 100_000],
    prepare: async (subject) => {
      // A small one grows while it is measured: each slice takes another.
      let channel = 0;
      const begin = async (size) => {
        await open(subject, 1, channel);
        const next = bought(subject, 1, channel);
        for (let left = size; left > 0; left -= PORTION) await subject.send(await next(Math.min(left, PORTION)), 200);
        channel += 1;
        return next;
      };
      if (subject.size > PORTION) return begin(subject.size);
      return async (count) => (await begin(subject.size))(count);
    },
  },
  payments: {
    title: "payments that one payer's object remembers",
    sizes: [10, 5_000],
    // As many of a payer's charges as may be on their way at once.
    connections: 16,
    prepare: async ({ size, worker, send }) => {
      const next = (count) => charges(worker, count, undefined, payers.slice(0, 1));
      for (let left = size; left > 0; left -= PORTION) await send(await next(Math.min(left, PORTION)), 200);
      return next;
    },
  },
};

/** Channels `first` and on, as the chain has them, each taken on by a voucher that buys nothing. */
async function open({ worker, send, chain }, count, first = 0) {
  const challenge = await challengeOf(worker, "/voucher", "session");
  const made = [];
  for (let c = first; c < first + count; c += 1) {
    const channel = channelOf(payers[c % payers.length], c);
    for (const [id, shown] of onChain([channel])) chain.channels.set(id, shown);
    made.push(await paid(worker, "POST", challenge, channel, c, 1n));
  }
  await send(made, 204);
}

/** Requests that are paid by fresh vouchers on `count` channels from `first` on in turn. */
function bought({ worker }, count, first = 0) {
  let sent = 0;
  return async (wanted) => {
    const challenge = await challengeOf(worker, "/voucher", "session");
    const made = [];
    for (let i = 0; i < wanted; i += 1, sent += 1) {
      const c = first + (sent % count);
      const channel = channelOf(payers[c % payers.length], c);
      made.push(await paid(worker, "GET", challenge, channel, c, BigInt(Math.floor(sent / count) + 2)));
    }
    return made;
  };
}

async function paid(worker, method, challenge, channel, c, turn) {
  const payload = challenge && (await voucher(channel, turn * UNITS.request));
  const lines = challenge ? [`Authorization: ${encodeCredential({ challenge, payload })}`] : [];
  return head(worker, method, `/voucher?c=${c}`, lines);
}

/**
 * Measures axes, each on its own.
 * @param {{axes: string[], rounds: number, count: number, buildDir: string, load: string, folder: string, detail: (text: string) => void}}
 *   options `count`: requests a slice
 */
export async function growth({ axes, ...options }) {
  const found = [];
  for (const name of axes) found.push(...(await measure(name, options)));
  return found;
}

async function measure(name, { rounds, count, buildDir, load, folder, detail }) {
  const axis = AXES[name];
  const origin = await startOrigin();
  const subjects = [];
  try {
    for (const who of axis.beside ? ["ours", axis.beside] : ["ours"]) {
      for (const size of axis.sizes) {
        detail(`${name}, ${who}: ${size}`);
        subjects.push(await prepared(axis, { who, size, buildDir, load, folder, origin }));
      }
    }
    for (let round = -1; round < rounds; round += 1) {
      detail(`${name}, round ${round + 1}`);
      for (let turn = 0; turn < subjects.length; turn += 1) {
        const subject = subjects[(turn + Math.max(round, 0)) % subjects.length];
        const measured = await subject.measure(count);
        // The first one is for the compilers.
        if (round >= 0) subject.found.push((measured.cpuSeconds / measured.requests) * 1e6);
        if (round >= 0) subject.posts.push(measured.posts / measured.requests);
      }
    }
    return subjects.map(({ who, size, found, posts }) => {
      const smallest = subjects.find((other) => other.who === who);
      const ratio = median(found.map((micros, round) => micros / smallest.found[round]));
      return {
        axis: name,
        title: axis.title,
        who,
        size,
        cpuMicros: median(found),
        rpcPosts: median(posts),
        ratio,
        rounds: found,
      };
    });
  } finally {
    for (const { end } of subjects) await end();
    await origin.stop();
  }
}

async function prepared(axis, { who, size, buildDir, load, folder, origin }) {
  const setting = { ...CHAIN, channels: new Map() };
  const chain = await new ChainStub(setting).start();
  const { dir, remove } = scratch(folder);
  const contestant = (await contestants({ buildDir, origin: origin.url, rpcUrl: chain.url }))[who];
  const told = axis.told?.(size);
  const worker = await startWorker(told ? telling(contestant, told, chain.url) : contestant, dir);
  const end = async () => {
    await worker.stop();
    await chain.stop();
    remove();
  };
  const send = async (requests, expect) => {
    await drive({
      load,
      worker,
      requests,
      expect,
      connections: Math.min(axis.connections ?? SETUP_CONNECTIONS, requests.length),
    });
    if (chain.unknown.size > 0) throw new Error(`the chain stub was asked for what it does not know: ${[...chain.unknown]}`);
  };
  try {
    const next = await axis.prepare({ size, who, worker, send, chain: setting });
    const measure = async (count) => {
      const requests = await next(count * (axis.times ?? 1));
      const before = chain.posts;
      const measured = await drive({
        load,
        worker,
        requests,
        expect: axis.expect ?? 200,
        connections: axis.connections ?? 16,
      });
      return { ...measured, posts: chain.posts - before };
    };
    return { who, size, measure, end, found: [], posts: [] };
  } catch (error) {
    error.message += `\nworkerd said:\n${worker.printed()}`;
    await end();
    throw error;
  }
}

/** Networks besides the bench's own, by the names that the configuration knows. */
const NETWORKS = ["base", "ethereum", "arbitrum", "optimism", "polygon", "avalanche", "base-sepolia"];

/** The gateway with other routes, and with `rails` of them in the long form. */
function telling(contestant, { routes, rails }, rpcUrl) {
  const { network, recipient, token, ...rest } = contestant.vars.gateway;
  if (rails === undefined) return { ...contestant, vars: { gateway: { ...contestant.vars.gateway, routes } } };
  const { evmEscrow, session, ...top } = rest;
  const own = { network, token, rpcUrls: [rpcUrl] };
  const others = NETWORKS.slice(0, rails - 1).map((name) => ({ network: name, rpcUrls: [rpcUrl] }));
  const { RPC_URL, ...secrets } = contestant.secrets;
  return { ...contestant, secrets, vars: { gateway: { ...top, recipient, rails: [own, ...others], routes } } };
}
