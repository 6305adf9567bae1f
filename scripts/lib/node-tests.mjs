// node scripts/lib/node-tests.mjs <at once> <file>…: runs test files as `node --test` does, but begins them in the order given (which
// `node --test` makes alphabetical), and says at the end what holds of which wire on which rail, and which files took longest.

import { run } from "node:test";
import { spec } from "node:test/reporters";
import { matrix } from "../../tests/e2e/conformance/matrix.mjs";
import { at } from "./project.mjs";

const SLOWEST = 8;

const [atOnce, ...files] = process.argv.slice(2);
const seconds = [];
const said = [];
const events = run({ files: files.map((file) => at(file)), concurrency: Number(atOnce) });
events.on("test:fail", () => {
  process.exitCode = 1;
});
events.on("test:summary", ({ file, duration_ms, success }) => {
  if (!success) process.exitCode = 1;
  if (file) seconds.push([duration_ms / 1000, file.slice(at().length)]);
});
events.on("test:diagnostic", ({ message }) => said.push(message));
events.compose(spec).pipe(process.stdout);
process.on("exit", () => {
  for (const line of matrix(said)) console.log(line);
  const slowest = seconds.sort(([a], [b]) => b - a).slice(0, SLOWEST);
  for (const [time, file] of slowest) console.log(`${time.toFixed(1).padStart(7)} s  ${file}`);
});
