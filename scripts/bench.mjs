// `npm run bench`: the built gateway beside a JavaScript peer and the floor, in bare workerd, alternating; results go to
// benches/results as JSON and Markdown. See benches/README.md for what the cases are.
//
//   npm run bench                  the full run: about 40 minutes, on a machine that does nothing else
//   npm run bench -- --short       a second each, to see that it works; results go to .dev/bench/results
//   npm run bench -- --growth      what must not grow, all axes or those named (--axes a,b); some ten minutes; --rounds and --requests count
//   npm run bench -- --accounts    charges a second of 1, 2 and 4 settlement accounts, on a chain with a block a second
//   npm run bench -- --unpaid      requests that nobody has paid for, each kind beside a plain 402
//   --cases a,b   --media tmpfs,disk   --rounds N   --seconds S   --warmup S   --build <folder with index.js and index_bg.wasm>

import { relative } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { at, ROOT } from "./lib/project.mjs";
import { runMain, Stop, say, underModernNode } from "./lib/run.mjs";
import { setup } from "./setup.mjs";

const FULL = { rounds: 4, seconds: 5, warmup: 2, starts: 11 };
const SHORT = { rounds: 1, seconds: 1, warmup: 0.5, starts: 3 };

await runMain(async () => {
  if (process.platform !== "linux") throw new Stop("the bench reads processor times from /proc: it runs on Linux only");
  const given = options();
  if (!given.build) await setup();
  await underModernNode();
  if (!given.build) await build();

  if (given.unpaid) {
    const { unpaidCost } = await import("../benches/lib/unpaid-cost.mjs");
    const rounds = given.rounds === undefined ? 2 : positive("rounds", given.rounds);
    const measureMs = (given.seconds === undefined ? 1 : positive("seconds", given.seconds)) * 1000;
    return unpaidCost({ buildDir: given.build ?? at("build"), rounds, warmupMs: 1000, measureMs });
  }
  if (given.accounts) {
    const { accountsBench } = await import("../benches/lib/accounts.mjs");
    const seconds = given.seconds === undefined ? 20 : positive("seconds", given.seconds);
    return accountsBench({ buildDir: given.build ?? at("build"), warmupMs: 8_000, measureMs: seconds * 1_000 });
  }
  const { CASES } = await import("../benches/lib/cases.mjs");
  const { bench } = await import("../benches/lib/bench.mjs");
  if (given.growth) return grow(given);
  const defaults = given.short ? SHORT : FULL;
  const number = (name) => (given[name] === undefined ? defaults[name] : positive(name, given[name]));
  const cases = given.cases?.split(",") ?? Object.keys(CASES);
  const unknown = cases.find((name) => !CASES[name]);
  if (unknown) throw new Stop(`unknown case ${unknown}; there are ${Object.keys(CASES).join(", ")}`);
  const { path, failed } = await bench({
    short: Boolean(given.short),
    cases,
    media: (given.media ?? "tmpfs,disk").split(","),
    rounds: number("rounds"),
    warmupMs: number("warmup") * 1000,
    measureMs: number("seconds") * 1000,
    starts: defaults.starts,
    buildDir: given.build ?? at("build"),
    outDir: given.short ? at(".dev/bench/results") : at("benches/results"),
  });
  say(`\nResults: ${relative(ROOT, path)}`);
  if (failed.length > 0) throw new Stop(`failed: ${failed.join("; ")}`);
});

async function grow(given) {
  const { AXES } = await import("../benches/lib/growth.mjs");
  const { benchGrowth } = await import("../benches/lib/bench.mjs");
  const axes = given.axes?.split(",") ?? Object.keys(AXES);
  const unknown = axes.find((name) => !AXES[name]);
  if (unknown) throw new Stop(`unknown axis ${unknown}; there are ${Object.keys(AXES).join(", ")}`);
  const path = await benchGrowth({
    axes,
    rounds: given.rounds ? positive("rounds", given.rounds) : 5,
    count: given.requests ? positive("requests", given.requests) : 1_000,
    buildDir: given.build ?? at("build"),
    outDir: given.short ? at(".dev/bench/results") : at("benches/results"),
    medium: given.media ?? "tmpfs",
  });
  say(`\nResults: ${relative(ROOT, path)}`);
}

function options() {
  const text = { type: "string" };
  try {
    const { values } = parseArgs({
      options: {
        short: { type: "boolean" },
        growth: { type: "boolean" },
        accounts: { type: "boolean" },
        unpaid: { type: "boolean" },
        axes: text,
        requests: text,
        cases: text,
        media: text,
        rounds: text,
        seconds: text,
        warmup: text,
        build: text,
      },
    });
    return values;
  } catch (error) {
    throw new Stop(error.message);
  }
}

function positive(name, value) {
  const number = Number(value);
  if (!(number > 0)) throw new Stop(`--${name} ${value} is not a positive number`);
  return number;
}
