// The local chain's contracts: compile them with npm's solc, and test them with npm's forge.
//
//   node scripts/contracts.mjs          compile contracts/src to contracts/out/<name>.json, unless nothing changed
//   node scripts/contracts.mjs test     run contracts/test/*.t.sol; last line `contracts: N passed, M failed`
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parse as parseToml } from "smol-toml";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const contracts = join(root, "contracts");
const sources = join(contracts, "src");
const out = join(contracts, "out");
const stampFile = join(out, ".stamp");
const require = createRequire(import.meta.url);

/**
 * @typedef {{ abi: import('viem').Abi, bytecode: `0x${string}`, deployedBytecode: `0x${string}` }} Artifact
 * `bytecode` creates the contract; `deployedBytecode` is what the compiler knows of the result, with zeros where immutables will be.
 */

/**
 * Compiles what changed since the last time.
 * @returns {Promise<Record<string, Artifact>>} by contract name
 */
export async function compileContracts({ log = () => {} } = {}) {
  const names = readdirSync(sources).filter((name) => name.endsWith(".sol"));
  const stamp = sourcesStamp(names);
  if (readOr(stampFile, "") === stamp) {
    log("contracts are up to date");
    return loadArtifacts();
  }
  const started = performance.now();
  const artifacts = await compile(names);
  mkdirSync(out, { recursive: true });
  for (const stale of readdirSync(out).filter((file) => file.endsWith(".json") && !(basename(file, ".json") in artifacts)))
    rmSync(join(out, stale), { force: true });
  for (const [name, artifact] of Object.entries(artifacts)) {
    replaceFile(join(out, `${name}.json`), `${JSON.stringify(artifact, null, 1)}\n`);
  }
  // Last, so that a compile that was cut off is done again.
  replaceFile(stampFile, stamp);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  log(`compiled ${Object.keys(artifacts).join(", ")} in ${seconds} s`);
  return artifacts;
}

/**
 * Runs the Solidity tests and passes forge's output through.
 * @param {string[]} [forgeArguments] e.g. ['--match-test', 'name', '-vvv']
 * @returns {Promise<{ passed: number, failed: number, skipped: number, code: number }>}
 */
export async function testContracts(forgeArguments = []) {
  const child = spawn(foundryBinary("forge"), ["test", "--root", contracts, ...forgeArguments], {
    cwd: contracts,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
    process.stdout.write(chunk);
  });
  const code = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exit) => resolve(exit ?? 1));
  });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: forge colours its summary on a terminal
  const plain = text.replace(/\u001b\[[0-9;]*m/g, "");
  const total = /(\d+) tests? passed, (\d+) failed, (\d+) skipped/g;
  // Each suite prints such a line about itself with other words; only the last line of all counts every suite.
  const summary = [...plain.matchAll(total)].at(-1);
  // No summary means that nothing was tested, whatever the exit code says (e.g. no test matched, or a compiler error).
  if (!summary) return { passed: 0, failed: 1, skipped: 0, code: code || 1 };
  const [passed, failed, skipped] = summary.slice(1).map(Number);
  return { passed, failed, skipped, code };
}

/**
 * The executable itself and not npm's wrapper script, so that its process id is the one to watch and to end.
 * @param {'anvil' | 'forge' | 'cast'} tool
 */
export function foundryBinary(tool) {
  const os = { linux: "linux", darwin: "darwin", win32: "win32" }[process.platform];
  const cpu = { x64: "amd64", arm64: "arm64" }[process.arch];
  const name = `@foundry-rs/${tool}-${os}-${cpu}`;
  try {
    const folder = dirname(require.resolve(`${name}/package.json`));
    return join(folder, "bin", process.platform === "win32" ? `${tool}.exe` : tool);
  } catch {
    throw new Error(`${name} is not installed: run \`npm ci\` (Foundry has no build for every platform)`);
  }
}

/** @returns {Record<string, Artifact>} */
function loadArtifacts() {
  const files = readdirSync(out).filter((name) => name.endsWith(".json"));
  return Object.fromEntries(
    files.map((name) => [name.slice(0, -".json".length), JSON.parse(readFileSync(join(out, name), "utf8"))]),
  );
}

/** Everything that decides about the bytecode: our sources, the settings, the versions of compiler and libraries, this file. */
function sourcesStamp(names) {
  const hash = createHash("sha256");
  const files = [...names.map((name) => join(sources, name)), join(contracts, "foundry.toml"), fileURLToPath(import.meta.url)];
  for (const file of files) hash.update(`${readFileSync(file, "utf8")}\0`);
  for (const name of ["solc", "@openzeppelin/contracts", "solady"]) {
    const { version } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"));
    hash.update(`${name}@${version}\0`);
  }
  return hash.digest("hex");
}

/** @returns {Promise<Record<string, Artifact>>} */
async function compile(names) {
  // Loaded here because it costs half a second, which a compile that is skipped should not.
  const { default: solc } = await import("solc");
  const { optimizer, optimizer_runs, evm_version } = parseToml(readFileSync(join(contracts, "foundry.toml"), "utf8")).profile
    .default;
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(names.map((name) => [`src/${name}`, { content: readFileSync(join(sources, name), "utf8") }])),
    settings: {
      optimizer: { enabled: optimizer, runs: optimizer_runs },
      evmVersion: evm_version,
      // A hash of the sources at the end of the code would make the code differ by comments and by where it was compiled.
      metadata: { bytecodeHash: "none" },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readImport }));
  // Warnings about our own files, which are few, count; those about libraries are not ours to mend.
  const problems = (output.errors ?? []).filter(
    ({ severity, sourceLocation }) =>
      severity === "error" || (severity === "warning" && (sourceLocation?.file ?? "").startsWith("src/")),
  );
  if (problems.length > 0) throw new Error(problems.map((one) => one.formattedMessage).join("\n"));

  const artifacts = {};
  for (const name of names) {
    for (const [contract, { abi, evm }] of Object.entries(output.contracts[`src/${name}`])) {
      // An interface is nothing that could be placed.
      if (evm.bytecode.object === "") continue;
      artifacts[contract] = {
        abi,
        bytecode: `0x${evm.bytecode.object}`,
        deployedBytecode: `0x${evm.deployedBytecode.object}`,
      };
    }
  }
  return artifacts;
}

/** Whatever is not ours comes from node_modules. */
function readImport(path) {
  try {
    return { contents: readFileSync(join(root, "node_modules", path), "utf8") };
  } catch (error) {
    return { error: String(error) };
  }
}

/** In one step, because tests that run side by side may compile at the same time. */
function replaceFile(file, text) {
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, text);
  renameSync(fresh, file);
}

function readOr(file, otherwise) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return otherwise;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [command, ...rest] = process.argv.slice(2);
  if (command === undefined) {
    await compileContracts({ log: console.log });
  } else if (command === "test") {
    const { passed, failed, code } = await testContracts(rest);
    console.log(`contracts: ${passed} passed, ${failed} failed`);
    process.exitCode = code;
  } else {
    console.error(`unknown command ${command}: use nothing (compile) or test`);
    process.exitCode = 2;
  }
}
