// `npm run bench`: the built gateway beside a JavaScript peer and the floor, in bare workerd, alternating; results go to
// benches/results as JSON and Markdown. See benches/README.md for what the cases are.
//
//   npm run bench                  the full run: about 40 minutes, on a machine that does nothing else
//   npm run bench -- --short       a second each, to see that it works; results go to .dev/bench/results
//   --cases a,b   --media tmpfs,disk   --rounds N   --seconds S   --warmup S   --build <folder with index.js and index_bg.wasm>

import { relative } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { at, ROOT } from "./lib/project.mjs";
import { runMain, Stop, say, underModernNode } from "./lib/run.mjs";
import { setup } from "./setup.mjs";

const FULL = { rounds: 5, seconds: 5, warmup: 2, starts: 11 };
const SHORT = { rounds: 1, seconds: 1, warmup: 0.5, starts: 3 };

await runMain(async () => {
  if (process.platform !== "linux") throw new Stop("the bench reads processor times from /proc: it runs on Linux only");
  const given = options();
  if (!given.build) await setup();
  await underModernNode();
  if (!given.build) await build();

  const { CASES } = await import("../benches/lib/cases.mjs");
  const { bench } = await import("../benches/lib/bench.mjs");
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

function options() {
  const text = { type: "string" };
  try {
    const { values } = parseArgs({
      options: {
        short: { type: "boolean" },
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
