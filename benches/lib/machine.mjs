// What the numbers were measured on, without names of machines or folders.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import { at } from "../../scripts/lib/project.mjs";
import { command } from "../../scripts/lib/run.mjs";
import { workerdBinary } from "../../tests/e2e/harness/paths.mjs";

const require = createRequire(at("package.json"));

const line = async (argv) => (await command(argv)).output.trim().split("\n")[0];
const versionOf = (name) => JSON.parse(readFileSync(at("node_modules", name, "package.json"), "utf8")).version;

export function machine() {
  const cpus = os.cpus();
  const system = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? os.type();
  return {
    cpu: cpus[0].model.trim(),
    cores: cpus.length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system,
    kernel: os.release(),
    load: os.loadavg()[0],
  };
}

export async function versions(contestant) {
  const wasm = contestant.modules["index_bg.wasm"];
  return {
    commit: await line(["git", "describe", "--always", "--dirty"]),
    wasmSha256: createHash("sha256").update(readFileSync(wasm)).digest("hex").slice(0, 16),
    workerd: await line([workerdBinary(), "--version"]),
    rustc: await line(["rustc", "--version"]),
    node: process.version,
    mppx: versionOf("mppx"),
    viem: require("viem/package.json").version,
    esbuild: versionOf("esbuild"),
  };
}
