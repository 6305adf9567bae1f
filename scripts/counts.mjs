// `npm run counts`: what must not grow unnoticed, counted and compared with benches/counts.json: the size of the script, calls of objects
// and of the chain in each case of the bench with what is billed of them, and instructions of the core. Never a time: see benches/README.md.
// What it comes to in dollars stands in docs/performance.md.
//
//   npm run counts                    fails when a count is not what is written there
//   npm run counts -- --update        writes what is counted now
//   --only sizes,calls,instructions   --build <folder with index.js and index_bg.wasm>

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, OUTPUT } from "./build.mjs";
import { at } from "./lib/project.mjs";
import { command, runMain, Stop, say, step, underModernNode } from "./lib/run.mjs";
import { setup } from "./setup.mjs";

const FILE = at("benches/counts.json");

const PARTS = {
  sizes: async ({ buildDir }) =>
    (await import("../benches/lib/contestants.mjs")).sizes(OUTPUT.map((name) => join(buildDir, name))),
  calls: async (options) => (await import("../benches/lib/calls.mjs")).countCalls(options),
  instructions: async (options) => (await import("../benches/lib/instructions.mjs")).countInstructions(options),
};

await runMain(async () => {
  if (process.platform !== "linux") throw new Stop("the counts are those of Linux");
  const { only, update, build: given } = options();
  if (!given) await setup();
  await underModernNode();
  if (!given) await build();

  const committed = JSON.parse(readFileSync(FILE, "utf8"));
  const rustc = /rustc (\S+)/.exec((await command(["rustc", "--version"])).output)?.[1];
  const counted = only.includes("instructions") ? { rustc } : {};
  for (const part of only) {
    counted[part] = await step(part, (detail) => PARTS[part]({ buildDir: given ?? at("build"), detail }));
  }
  const { dearestUnpaid, differences } = await import("../benches/lib/counts.mjs");
  const found = only.flatMap((part) => differences(part, committed[part] ?? {}, counted[part]));
  for (const { text } of found) say(text);
  const dearest = dearestUnpaid(counted.instructions ?? {});
  if (dearest) say(dearest.text);
  if (dearest?.fails) throw new Stop("Nobody has paid for that request: bound what is done for it.");
  const { checkCost } = await import("../benches/lib/cost.mjs");
  const saysCost = !counted.calls || checkCost(counted.calls, { update });
  if (update) {
    writeFileSync(FILE, `${JSON.stringify({ ...committed, ...counted }, null, 2)}\n`);
    say(found.length > 0 ? "Written to benches/counts.json." : "benches/counts.json says so already.");
    return;
  }
  if (found.some(({ fails }) => fails)) {
    const other = committed.rustc === rustc ? "" : `\nThey were counted with Rust ${committed.rustc}, and this is ${rustc}.`;
    throw new Stop(
      `benches/counts.json says otherwise.${other}\nWhere that is meant to be, \`npm run counts -- --update\` writes it down.`,
    );
  }
  if (!saysCost) throw new Stop("docs/performance.md says other costs: `npm run counts -- --update` writes them.");
  say(found.length > 0 ? "Better than is written: `npm run counts -- --update`." : "All counts are what they were.");
});

function options() {
  try {
    const { values } = parseArgs({
      options: { only: { type: "string" }, update: { type: "boolean" }, build: { type: "string" } },
    });
    const only = values.only?.split(",") ?? Object.keys(PARTS);
    const unknown = only.find((part) => !PARTS[part]);
    if (unknown) throw new Stop(`unknown part ${unknown}; there are ${Object.keys(PARTS).join(", ")}`);
    return { ...values, only };
  } catch (error) {
    throw new Stop(error.message);
  }
}
