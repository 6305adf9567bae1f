// `npm run build`: the crate as a worker in build/ (index.js, index_bg.wasm), by worker-build. Only when something changed.
//
//   npm run build              as deployed: optimised, and wasm-opt over it
//   npm run build -- --no-opt  the same without wasm-opt: eight seconds sooner
//   npm run build -- --dev     cargo's dev profile: compiles soonest, runs slowest, overflow checks
//   --force                    even when nothing changed

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { at, TOOLS, toolBin } from "./lib/project.mjs";
import { command, runMain, Stop, say, step } from "./lib/run.mjs";

const FLAGS = { release: ["--release"], "no-opt": ["--release", "--no-opt"], dev: ["--dev", "--no-opt"] };
export const OUTPUT = ["index.js", "index_bg.wasm"];
const OBJECTS = ["Account", "Channel", "Payer"];

/**
 * Builds the worker unless build/ is of the same sources already.
 * @param {{variant?: "release" | "no-opt" | "dev", force?: boolean}} options
 */
export async function build({ variant = "release", force = false } = {}) {
  const stamp = at("build/.stamp");
  const wanted = fingerprint(variant);
  const fresh = OUTPUT.every((name) => existsSync(at("build", name))) && existsSync(stamp);
  if (!force && fresh && readFileSync(stamp, "utf8") === wanted) return false;
  if (!existsSync(toolBin("worker-build"))) throw new Stop("worker-build is not here yet: `npm run setup` installs it");
  rmSync(stamp, { force: true });
  await step(`worker (${variant})`, (detail) =>
    command([toolBin("worker-build"), ...FLAGS[variant]], { onLine: detail, timeoutSeconds: 1800, env: { RUST_BACKTRACE: "0" } }),
  );
  lightenEntry(at("build/index.js"));
  writeFileSync(stamp, wanted);
  return true;
}

/**
 * worker-build's entry is a class whose every instance, one per request, gets a proxy around it that starts the wasm anew after a
 * crash. One proxy is enough: what it guards is a function that finds its environment in `this`. And its objects can only be
 * fetched from: whose methods are to be called must be of the runtime's class.
 */
function lightenEntry(path) {
  let built = readFileSync(path, "utf8");
  const exported = (name) => {
    const found = new RegExp(`([\\w$]+) as ${name}\\b`).exec(built);
    if (!found)
      throw new Stop(`worker-build's output has no export ${name} where one is expected: see lightenEntry in scripts/build.mjs`);
    built = built.replace(found[0], `light${name} as ${name}`);
    return found[1];
  };
  const entry = exported("default");
  const objects = OBJECTS.map((name) => `const light${name} = callable(${exported(name)});\n`);
  const light = `import { DurableObject } from "cloudflare:workers";
let guardedFetch;
const lightdefault = {
  fetch(request, env, ctx) {
    guardedFetch ??= new ${entry}(ctx, env).fetch;
    return guardedFetch.call({ env, ctx }, request);
  },
};
const callable = (Inner) => {
  let guardedAsk;
  return class extends DurableObject {
    #inner;
    constructor(ctx, env) {
      super(ctx, env);
      this.#inner = new Inner(ctx, env);
    }
    ask(message) {
      guardedAsk ??= this.#inner.ask;
      return guardedAsk.call(this.#inner, message);
    }
    alarm() {
      return this.#inner.alarm();
    }
  };
};
${objects.join("")}`;
  writeFileSync(path, `${built}${light}`);
}

/** Everything that decides what comes out. */
function fingerprint(variant) {
  const hash = createHash("sha256").update(JSON.stringify([variant, TOOLS]));
  const files = readdirSync(at("src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath ?? entry.path}/${entry.name}`)
    .sort();
  const settings = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml", "package-lock.json"].map((name) =>
    at(name),
  );
  for (const path of [...files, ...settings]) {
    hash.update(`\0${path.slice(at().length)}\0`).update(existsSync(path) ? readFileSync(path) : "");
  }
  return hash.digest("hex");
}

function sizes() {
  const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;
  return OUTPUT.map((name) => {
    const path = at("build", name);
    return `${name}  ${kib(statSync(path).size)}, gzip ${kib(gzipSync(readFileSync(path), { level: 9 }).length)}`;
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runMain(async () => {
    const known = { "--release": "release", "--no-opt": "no-opt", "--dev": "dev" };
    const args = process.argv.slice(2);
    const unknown = args.find((arg) => !known[arg] && arg !== "--force");
    if (unknown) throw new Stop(`unknown option ${unknown}; there are ${Object.keys(known).join(", ")} and --force`);
    const variant = args.map((arg) => known[arg]).find(Boolean) ?? "release";
    const built = await build({ variant, force: args.includes("--force") });
    if (!built) say("build/ is up to date.");
    for (const line of sizes()) say(line);
  });
}
