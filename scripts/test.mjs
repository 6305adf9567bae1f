// `npm test`: sets up, then runs every layer of tests; `npm test -- core wasm contracts e2e` runs the named ones.
// The last line is `N passed, N failed`. A layer that crashes, hangs or runs no test at all counts as one failed.

import { readdirSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { build } from "./build.mjs";
import { at, toolBin } from "./lib/project.mjs";
import { setUpPython } from "./lib/python.mjs";
import { command, runMain, Stop, say, underModernNode } from "./lib/run.mjs";
import { setup } from "./setup.mjs";

/** The programs of each layer, run one after the other, and how their output is counted. */
const LAYERS = {
  core: {
    title: "Rust, on this machine",
    programs: () => [{ argv: ["cargo", "test", "--no-fail-fast"], count: cargoCounts }],
  },
  wasm: {
    title: "Rust core, in wasm under Node",
    programs: () => [
      wasmTests(["--no-fail-fast", "--tests"]),
      // The same module on a processor that rounds products before it adds.
      wasmTests(["--lib", "--", "--include-ignored", "rounded_twice"], { NODE_ARGS: "--no-enable-fma3" }),
    ],
  },
  contracts: {
    title: "Solidity, and the contracts on the local chain",
    programs: () => [
      { argv: [process.execPath, "scripts/contracts.mjs", "test"], count: contractCounts },
      nodeTests("contracts/test"),
    ],
  },
  e2e: {
    title: "the built worker, end to end",
    prepare: async () => {
      await setUpPython();
      await build();
    },
    programs: () => [nodeTests("tests/e2e")],
  },
};

const TIMEOUT_SECONDS = 1800;

/** Test files that run side by side: most of the time each waits for a block, a time-out or an alarm. */
const AT_ONCE = 8;

/** Begun first, so that none of them runs alone in the end. The others follow in alphabetical order. */
const LONGEST = [
  "session/evicted-objects-lose-nothing",
  "session/money-is-taken-in-time",
  "session/reorgs-cost-nobody",
  "session/load-agrees-to-the-unit",
  "session/channels-take-constant-room",
].map((name) => `${name}.test.mjs`);

await runMain(async () => {
  const names = process.argv.slice(2);
  const unknown = names.find((name) => !LAYERS[name]);
  if (unknown) throw new Stop(`unknown layer ${unknown}; there are ${Object.keys(LAYERS).join(", ")}`);
  await setup();
  await underModernNode();

  const results = [];
  for (const name of names.length > 0 ? names : Object.keys(LAYERS)) results.push(await run(name, LAYERS[name]));
  say();
  for (const { name, passed, failed, seconds, remark } of results) {
    const row = [
      name.padEnd(10),
      `${passed} passed`.padStart(12),
      `${failed} failed`.padStart(11),
      `${seconds.toFixed(1)} s`.padStart(9),
    ];
    say(`${row.join("")}  ${remark}`.trimEnd());
  }
  const total = (key) => results.reduce((all, result) => all + result[key], 0);
  say(`${total("passed")} passed, ${total("failed")} failed`);
  return total("failed") === 0 ? 0 : 1;
});

async function run(name, { title, prepare, programs }) {
  const started = performance.now();
  const result = { name, passed: 0, failed: 0, seconds: 0, remark: "" };
  say(`\n=== ${name}: ${title}`);
  try {
    await prepare?.();
    for (const { argv, env, count } of programs()) {
      const { code, output, expired } = await command(argv, { env, stream: true, check: false, timeoutSeconds: TIMEOUT_SECONDS });
      const { passed, failed } = count(stripVTControlCharacters(output));
      if (expired) result.remark = `${argv.join(" ")}: stopped after ${TIMEOUT_SECONDS} s`;
      else if (code !== 0 && failed === 0) result.remark = `${argv.join(" ")}: ended with exit code ${code}`;
      else if (passed + failed === 0) result.remark = `${argv.join(" ")}: ran no test`;
      result.passed += passed;
      result.failed += failed;
    }
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    say(error.message);
    result.remark = "could not run";
  }
  if (result.remark) result.failed += 1;
  result.seconds = (performance.now() - started) / 1000;
  return result;
}

/** Optimized, since thousands of signatures are recovered: without, a minute would pass. */
function wasmTests(argv, env = {}) {
  const how = ["--config", "profile.dev.package.mpp-edge.opt-level=2", "--target", "wasm32-unknown-unknown"];
  return {
    argv: ["cargo", "test", ...how, "--no-default-features", "--features", "relaxed-simd", ...argv],
    env: { CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: toolBin("wasm-bindgen-test-runner"), ...env },
    count: cargoCounts,
  };
}

/** cargo's and wasm-bindgen's runner both end each test program with such a line. */
function cargoCounts(output) {
  return sum(output, /^test result: .*?(\d+) passed; (\d+) failed;/gm);
}

function contractCounts(output) {
  return sum(output, /^contracts: (\d+) passed, (\d+) failed$/gm);
}

/** A cancelled test (its file died, it ran out of time) has not passed. */
function nodeCounts(output) {
  const last = (what) => Number([...output.matchAll(new RegExp(`^ℹ ${what} (\\d+)$`, "gm"))].at(-1)?.[1] ?? 0);
  return { passed: last("pass"), failed: last("fail") + last("cancelled") };
}

function sum(output, pattern) {
  const counts = { passed: 0, failed: 0 };
  for (const [, passed, failed] of output.matchAll(pattern)) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
  }
  return counts;
}

function nodeTests(folder) {
  const files = readdirSync(at(folder), { recursive: true }).filter((name) => name.endsWith(".test.mjs"));
  if (files.length === 0) throw new Stop(`there are no tests in ${folder}`);
  const first = LONGEST.filter((name) => files.includes(name));
  const ordered = [...first, ...files.filter((name) => !first.includes(name)).sort()];
  return {
    argv: [process.execPath, "scripts/lib/node-tests.mjs", `${AT_ONCE}`, ...ordered.map((name) => `${folder}/${name}`)],
    count: nodeCounts,
  };
}
