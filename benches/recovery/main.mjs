// `node benches/recovery/main.mjs`: µs for one signer recovered, as deployed, when known, and by k256, and for making tables of one, in Node and in workerd, taking turns; of each
// the least over all rounds, since whatever else the machine does only adds. In workerd the time is a request's, less an empty one's.

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { parse } from "smol-toml";
import { at, npmBin } from "../../scripts/lib/project.mjs";
import { command, runMain, Stop, say, underModernNode } from "../../scripts/lib/run.mjs";

const ROUNDS = Number(process.argv[2] ?? 200);
const SIGNATURES = 64;
/** `made` is two recoveries, and tables. */
const RUNS = ["ours", "known", "made", "k256"];
const FOLDER = at(".dev/bench/recovery");

await runMain(async () => {
  await underModernNode();
  const { startWorker } = await import("../lib/workerd.mjs");
  mkdirSync(FOLDER, { recursive: true });
  const wasm = await built("relaxed-simd");
  const bytes = readFileSync(wasm);
  const { exports } = await WebAssembly.instantiate(await WebAssembly.compile(bytes));
  const node = Object.fromEntries(RUNS.map((run) => [`${run}, Node`, () => exports[run](1)]));

  const dir = at(".dev/bench/recovery/workerd");
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const worker = await startWorker(
    {
      name: "recovery",
      modules: { "worker.mjs": at("benches/recovery/worker.mjs"), "recovery.wasm": wasm },
      objects: [],
      date: "2026-10-01",
      flags: [],
      vars: {},
      secrets: {},
    },
    dir,
  );
  const ask = async (path) => Number(await (await fetch(`${worker.url}/${path}`)).text());
  const workerd = Object.fromEntries(RUNS.map((run) => [`${run}, workerd`, () => ask(`${run}/1`)]));
  try {
    const least = await times({ ...node, ...workerd, empty: () => ask("ours/0") });
    for (const [name, ms] of Object.entries(least)) {
      if (name === "empty") continue;
      const without = name.endsWith("workerd") ? ms - least.empty : ms;
      say(`${name.padEnd(16)} ${((without * 1000) / SIGNATURES).toFixed(1)} µs`);
    }
  } finally {
    await worker.stop();
  }
  say(`module           ${gzipSync(bytes, { level: 9 }).length} bytes by gzip, the signatures and k256 with it`);
});

/** The least time of each in ms. */
async function times(runs) {
  const least = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, run] of Object.entries(runs)) {
      const begun = performance.now();
      const right = await run();
      const took = performance.now() - begun;
      if (right !== (name === "empty" ? 0 : SIGNATURES)) throw new Stop(`${name}: ${right} of ${SIGNATURES} signers are right`);
      least[name] = Math.min(least[name] ?? Number.POSITIVE_INFINITY, took);
    }
  }
  return least;
}

/** The example as the worker is built: its profile, and wasm-opt with its flags. */
async function built(features) {
  const flags = parse(readFileSync(at("Cargo.toml"), "utf8")).package.metadata["wasm-pack"].profile.release["wasm-opt"];
  const target = "wasm32-unknown-unknown";
  const how = ["--release", "--target", target, "--no-default-features", "--features", features];
  await command(["cargo", "build", "--example", "recovery", ...how], { timeoutSeconds: 1800 });
  const known = ["bulk-memory", "mutable-globals", "multivalue", "nontrapping-float-to-int", "reference-types", "sign-ext"];
  const to = `${FOLDER}/recovery.wasm`;
  const enabled = known.map((feature) => `--enable-${feature}`);
  await command([npmBin("wasm-opt"), ...flags, ...enabled, at(`target/${target}/release/examples/recovery.wasm`), "-o", to]);
  return to;
}
