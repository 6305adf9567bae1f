// The whole bench: contestants in turn, case by case, round by round.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stop, say, step } from "../../scripts/lib/run.mjs";
import { CASES } from "./cases.mjs";
import { ChainStub } from "./chain.mjs";
import { contestants as allContestants, probed, sizes } from "./contestants.mjs";
import { growth } from "./growth.mjs";
import { machine, versions } from "./machine.mjs";
import { buildLoad, slice, startUp } from "./measure.mjs";
import { startOrigin } from "./origin.mjs";
import { media } from "./places.mjs";
import { growthMarkdown, markdown } from "./report.mjs";
import { CHAIN } from "./setting.mjs";
import { median, summary } from "./statistics.mjs";

const PROBED_REQUESTS = 32;

/**
 * @param {{short: boolean, cases: string[], media: string[], rounds: number, warmupMs: number, measureMs: number, starts: number,
 *   buildDir: string, outDir: string}} options
 */
export async function bench(options) {
  const chain = new ChainStub(CHAIN);
  await chain.start();
  const origin = await startOrigin();
  try {
    const contestants = await allContestants({ buildDir: options.buildDir, origin: origin.url, rpcUrl: chain.url });
    const tools = { chain, origin, load: await step("load client", buildLoad), contestants };
    const report = await measureAll(options, tools);
    const failed = report.results.filter((result) => result.failed).map((result) => `${result.case} on ${result.medium}`);
    return { path: write(options.outDir, report, markdown), failed };
  } finally {
    await origin.stop();
    await chain.stop();
  }
}

async function measureAll(options, tools) {
  const places = media().filter(({ name }) => options.media.includes(name));
  if (places.length === 0) throw new Stop(`none of ${options.media.join(", ")} is here`);
  const report = {
    date: new Date().toISOString(),
    machine: machine(),
    versions: await versions(tools.contestants.ours),
    media: Object.fromEntries(places.map(({ name, kind }) => [name, kind])),
    options: { ...options, buildDir: undefined, outDir: undefined },
    sizes: Object.fromEntries(
      Object.values(tools.contestants).map((contestant) => [contestant.name, sizes(Object.values(contestant.modules))]),
    ),
    startUp: await step("start-up", () => startUps(options, tools, places[0])),
    wasmBytes: {},
    results: [],
  };
  for (const name of options.cases) {
    const item = CASES[name];
    // Where nothing is written, one kind of storage is as good as another.
    for (const place of item.stored ? places : places.slice(0, 1)) {
      const work = (detail) => measureCase(name, place, { ...options, ...tools, detail });
      const result = await step(`${name} on ${place.name}`, work).catch((error) => {
        // What went wrong in one case says nothing about the others.
        say(error.message);
        return { case: name, medium: place.name, failed: error.message, contestants: {} };
      });
      report.results.push(result);
      for (const [who, { summary: s, wasmBytes }] of Object.entries(result.contestants)) {
        if (wasmBytes) report.wasmBytes[who] = Math.max(report.wasmBytes[who] ?? 0, wasmBytes);
        const latency = `p50 ${s.p50.toFixed(2)} ms  p99 ${s.p99.toFixed(2)} ms`;
        say(`    ${who.padEnd(6)} ${s.rate.toFixed(0).padStart(7)}/s  ${latency}  ${s.cpuMicros.toFixed(0)} µs`);
      }
    }
  }
  return report;
}

async function measureCase(name, place, { contestants, rounds, detail, ...rest }) {
  const item = CASES[name];
  const taking = Object.values(contestants).filter(
    ({ name: who, sessions }) => (sessions || !item.sessions) && (item.only ?? who) === who,
  );
  const found = new Map(taking.map((contestant) => [contestant.name, []]));
  for (let round = 0; round < rounds; round += 1) {
    // Whoever comes first in one round comes last in another.
    for (let turn = 0; turn < taking.length; turn += 1) {
      const contestant = taking[(turn + round) % taking.length];
      detail(`round ${round + 1}, ${contestant.name}`);
      found.get(contestant.name).push(await slice({ ...rest, contestant, item, folder: place.folder }));
    }
  }
  const counted = new Map();
  const count = item.probed ?? PROBED_REQUESTS;
  for (const contestant of taking) {
    detail(`counting, ${contestant.name}`);
    const { probe } = await slice({ ...rest, contestant: probed(contestant), item, folder: place.folder, count });
    const { wasmBytes, ...billed } = probe;
    counted.set(contestant.name, { billed, wasmBytes });
  }
  const figures = taking.map(({ name: who }) => [
    who,
    { summary: summary(found.get(who)), ...counted.get(who), rounds: found.get(who) },
  ]);
  return { case: name, medium: place.name, contestants: Object.fromEntries(figures) };
}

async function startUps({ starts }, { contestants, origin }, place) {
  // Our own client's first request takes longer than the others.
  await (await fetch(origin.url)).arrayBuffer();
  const found = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let i = 0; i < starts; i += 1) {
    for (const [name, contestant] of Object.entries(contestants)) {
      found[name].push(await startUp({ contestant, folder: place.folder }));
    }
  }
  const of = (list) => {
    const times = list.map(({ milliseconds }) => milliseconds);
    return {
      median: median(times),
      fastest: Math.min(...times),
      slowest: Math.max(...times),
      rssBytes: median(list.map(({ rssBytes }) => rssBytes)),
    };
  };
  return Object.fromEntries(Object.entries(found).map(([name, list]) => [name, of(list)]));
}

/**
 * What must not grow, axis by axis.
 * @param {{axes: string[], rounds: number, count: number, buildDir: string, outDir: string, medium: string}} options
 */
export async function benchGrowth({ axes, rounds, count, buildDir, outDir, medium }) {
  const place = media().find(({ name }) => name === medium);
  if (!place) throw new Stop(`${medium} is not here`);
  const load = await step("load client", buildLoad);
  const report = { date: new Date().toISOString(), machine: machine(), medium: place.kind, rounds, count, results: [] };
  for (const axis of axes) {
    const work = (detail) => growth({ axes: [axis], rounds, count, buildDir, load, folder: place.folder, detail });
    const found = await step(`growth: ${axis}`, work);
    report.results.push(...found);
    for (const { who, size, cpuMicros, rpcPosts, ratio } of found) {
      say(
        `    ${who.padEnd(6)} ${`${size}`.padStart(7)}  ${cpuMicros.toFixed(0).padStart(6)} µs  ${ratio.toFixed(2)}  RPC posts ${rpcPosts.toFixed(2)}`,
      );
    }
  }
  return write(outDir, report, growthMarkdown, "-growth");
}

function write(outDir, report, markdown, kind = "") {
  mkdirSync(outDir, { recursive: true });
  const name = `${report.date.slice(0, 16).replace(/[:T-]/g, "")}${kind}`;
  const path = join(outDir, name);
  writeFileSync(`${path}.json`, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(`${path}.md`, markdown(report));
  return `${path}.md`;
}
