// One slice: one contestant, freshly started on an empty storage, under one case's load; warmed up first, then measured.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { at } from "../../scripts/lib/project.mjs";
import { command } from "../../scripts/lib/run.mjs";
import { scratch, work } from "./places.mjs";
import { residentBytes, startWorker } from "./workerd.mjs";

/** The longest that requests which are to be sent to the last may take. */
const UNTIL_SENT_MS = 500_000;

/** Compiles the load client when its source has changed. */
export async function buildLoad() {
  const source = at("benches/client/load.rs");
  const digest = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12);
  const binary = work(`load-${digest}`);
  if (!existsSync(binary)) await command(["rustc", "--edition", "2024", "-O", "-o", binary, source]);
  return binary;
}

function frames(requests) {
  return Buffer.concat(
    requests.flatMap((request) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(request.length);
      return [length, request];
    }),
  );
}

/**
 * @param {{load: string, contestant: import("./workerd.mjs").Contestant, item: import("./cases.mjs").Case, folder: string,
 *   chain: import("./chain.mjs").ChainStub, warmupMs: number, measureMs: number, count?: number}} options
 *   `count`: send that many requests, on few connections, instead of for a time
 * @returns {Promise<object>} what one round says of one contestant
 */
export async function slice({ load, contestant, item, folder, chain, warmupMs, measureMs, count }) {
  const { dir, remove } = scratch(folder);
  chain.reset();
  const worker = await startWorker(contestant, dir);
  try {
    const seconds = (warmupMs + measureMs) / 1000;
    const prepared = count ?? Math.ceil((item.rate ?? 0) * seconds);
    const early = count ? (item.early ?? 0) : 0;
    let requests = await item.requests(worker, Math.max(prepared + early, 1));
    if (count) requests = Array.from({ length: count + early }, (_, i) => requests[i % requests.length]);
    for (const request of requests.splice(0, early)) await send(worker, request, item);
    const before = count && (await probe(worker));
    const rpcBefore = { posts: chain.posts, calls: { ...chain.calls } };
    const helperBefore = process.cpuUsage();
    const begun = performance.now();
    const expect = contestant.name === "floor" ? (item.floor ?? item.expect) : item.expect;
    const measured = await drive({
      load,
      worker,
      requests,
      body: item.body,
      connections: count ? Math.min(4, item.connections) : item.connections,
      warmupMs: count ? 0 : warmupMs,
      measureMs: count ? undefined : measureMs,
      expect,
      order: count ? "shared" : item.order,
      wrap: !count && (item.wrap || contestant.name === "floor"),
    });
    const { user, system } = process.cpuUsage(helperBefore);
    const helperUtilisation = (user + system) / 1000 / (performance.now() - begun);
    const probed = count && (await probe(worker));
    if (chain.unknown.size > 0) throw new Error("a wrong chain gives wrong numbers");
    return {
      ...figures(measured, item),
      ...rpc(rpcBefore, chain, measured.total),
      helperUtilisation,
      rssBytes: residentBytes(worker.pid),
      probe: probed && { ...each(before, probed, count), wasmBytes: probed.wasmBytes },
    };
  } catch (error) {
    if (chain.unknown.size > 0) error.message += `\nthe chain stub was asked for what it does not know: ${[...chain.unknown]}`;
    chain.unknown.clear();
    error.message += `\nworkerd of ${contestant.name} said:\n${worker.printed()}`;
    throw error;
  } finally {
    await worker.stop();
    remove();
  }
}

/**
 * Sends requests, and says what workerd took for them.
 * @param {{load: string, worker: object, requests: Buffer[], body?: Buffer, connections: number, warmupMs?: number, measureMs?: number,
 *   expect: number, order?: "shared" | "affine", wrap?: boolean}} options
 *   without `measureMs`: until all are sent
 */
export async function drive({ load, worker, requests, body, connections, warmupMs = 0, measureMs, expect, order, wrap }) {
  // What is sent must not have to be read from a disk while measuring.
  const { dir, remove } = scratch(existsSync("/dev/shm") ? "/dev/shm" : work());
  try {
    writeFileSync(join(dir, "requests"), frames(requests));
    if (body) writeFileSync(join(dir, "body"), body);
    const { output } = await command(
      [
        load,
        `address=${worker.host}`,
        `requests=${join(dir, "requests")}`,
        ...(body ? [`body=${join(dir, "body")}`] : []),
        `connections=${connections}`,
        `warmup=${warmupMs}`,
        `measure=${measureMs ?? UNTIL_SENT_MS}`,
        `expect=${expect}`,
        `order=${order ?? "shared"}`,
        `wrap=${wrap ? "yes" : "no"}`,
        `pid=${worker.pid}`,
      ],
      { timeoutSeconds: 600 },
    );
    return JSON.parse(output.trim().split("\n").at(-1));
  } finally {
    remove();
  }
}

/** What the probe inside of a contestant has seen so far. */
const probe = async (worker) => (await fetch(`${worker.url}/__bench`)).json();

/** What it has seen since, for each of `count` requests. */
const each = (before, after, count) =>
  Object.fromEntries(Object.keys(before).map((what) => [what, (after[what] - before[what]) / count]));

/** Sends what was made for a socket, before anything is counted. */
async function send(worker, request, { expect }) {
  const [line, ...lines] = request.toString("latin1").split("\r\n").filter(Boolean);
  const [method, path] = line.split(" ");
  const headers = lines.map((one) => [one.slice(0, one.indexOf(":")), one.slice(one.indexOf(":") + 2)]);
  const answer = await fetch(`${worker.url}${path}`, { method, headers: headers.filter(([name]) => name === "Authorization") });
  await answer.arrayBuffer();
  if (answer.status !== expect) throw new Error(`a request before those that are counted was answered by ${answer.status}`);
}

/** Numbers a request, whatever of a request the window holds: long answers count by their bytes. */
function figures(measured, item) {
  const { seconds, bytes, bytesPerAnswer, cpuSeconds, clientCpuSeconds, clientSeconds, total } = measured;
  const answers = item.unitsPerRequest ? bytes / bytesPerAnswer : measured.requests;
  return {
    requests: measured.requests,
    total,
    seconds,
    rate: answers / seconds,
    p50: measured.p50 / 1000,
    p99: measured.p99 / 1000,
    cpuMicros: (cpuSeconds / answers) * 1e6,
    /** How much of one core workerd used: well below 1, the load or the origin was the bottleneck. */
    utilisation: cpuSeconds / seconds,
    clientCpuMicros: (clientCpuSeconds / total) * 1e6,
    clientUtilisation: clientCpuSeconds / clientSeconds,
    exhausted: measured.exhausted,
  };
}

function rpc(before, chain, total) {
  const methods = Object.entries(chain.calls).map(([name, count]) => [name, (count - (before.calls[name] ?? 0)) / total]);
  const perRequest = Object.fromEntries(methods.filter(([, count]) => count > 0));
  return {
    rpcCalls: Object.values(perRequest).reduce((sum, count) => sum + count, 0),
    rpcPosts: (chain.posts - before.posts) / total,
    rpcByMethod: perRequest,
  };
}

/** Milliseconds from starting workerd to the end of the first answer. */
export async function startUp({ contestant, folder }) {
  const { dir, remove } = scratch(folder);
  const begun = performance.now();
  const worker = await startWorker(contestant, dir);
  try {
    await (await fetch(`${worker.url}/one`)).arrayBuffer();
    return { milliseconds: performance.now() - begun, rssBytes: residentBytes(worker.pid) };
  } finally {
    await worker.stop();
    remove();
  }
}
