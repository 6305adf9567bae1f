// How many instructions each operation of benches/core takes under callgrind. Two runs that differ only in how often the operation is
// repeated, and their difference: what starting up and making the inputs takes is in both.

import { command, Stop } from "../../scripts/lib/run.mjs";
import { valgrind } from "../../scripts/lib/valgrind.mjs";

const TARGET = "x86_64-unknown-linux-gnu";
const FEW = 28;
const MANY = 128;

/** Instructions by operation. */
export async function countInstructions({ detail = () => {} } = {}) {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Stop("instructions are those of Linux on x86-64: this check runs there only");
  }
  const checker = valgrind();
  const binary = await compile(detail);
  const { output } = await command([binary, "operations"]);
  const counts = {};
  for (const operation of output.trim().split("\n")) {
    detail(operation);
    const [few, many] = await Promise.all([FEW, MANY].map((times) => collected(checker, binary, operation, times)));
    counts[operation] = Math.round((many - few) / (MANY - FEW));
  }
  return counts;
}

/**
 * Builds the bench for the oldest x86-64, and with hashes in software as in wasm: what this machine's processor knows besides must not
 * count. A target that is named has a folder of its own, where nothing else is compiled anew for these flags.
 */
async function compile(detail) {
  const flags = ["-Ctarget-cpu=x86-64", "--cfg", 'sha2_backend="soft"'];
  const { output } = await command(
    [
      ...["cargo", "bench", "--locked", "--bench", "core", "--no-default-features", "--no-run", "--target", TARGET],
      ...["--config", `target.${TARGET}.rustflags=${JSON.stringify(flags)}`, "--message-format=json-render-diagnostics"],
    ],
    { onLine: (line) => line.startsWith("{") || detail(line), timeoutSeconds: 1800 },
  );
  const artifacts = output.split("\n").filter((line) => line.startsWith('{"reason":"compiler-artifact"'));
  const found = artifacts.map((line) => JSON.parse(line)).find(({ executable, target }) => executable && target.name === "core");
  if (!found) throw new Stop("cargo did not say where it put the bench");
  return found.executable;
}

async function collected({ program, env }, binary, operation, times) {
  const { output } = await command(
    [program, "--tool=callgrind", "--callgrind-out-file=/dev/null", binary, "repeat", operation, `${times}`],
    { env, timeoutSeconds: 300 },
  );
  const [, count] = /Collected : (\d+)/.exec(output) ?? [];
  if (!count) throw new Stop(`callgrind counted nothing:\n${output}`);
  return Number(count);
}
