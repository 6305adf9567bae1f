// Where things are, which versions they have, and the environment the tools run in. Node's own modules only:
// setup.mjs uses this before anything is installed.

import { accessSync, constants, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** An absolute path inside the project. */
export const at = (...parts) => join(ROOT, ...parts);

/** A program that an npm package brought. */
export const npmBin = (name) => at("node_modules/.bin", name);

/** A program that setup built with `cargo install`. */
export const toolBin = (name) => at(".tools/bin", name);

/** Crates that setup installs into `.tools`. wasm-bindgen's version is the one Cargo.toml pins. */
export const TOOLS = { "wasm-bindgen-cli": "0.2.129", "worker-build": "0.8.7" };

/** What only .ci/run needs besides. */
export const CI_TOOLS = { "cargo-deny": "0.20.2" };

export const RUST_TARGETS = ["wasm32-unknown-unknown", "thumbv7em-none-eabi"];

/** Variables that make cargo ignore the flags in .cargo/config.toml, and with them the fast k256. */
const FLAG_OVERRIDES = [
  "RUSTFLAGS",
  "CARGO_ENCODED_RUSTFLAGS",
  "CARGO_BUILD_RUSTFLAGS",
  "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
];

/**
 * The environment for every tool: npm's programs, then rustup's ahead of a distribution's cargo, and wrangler kept
 * from calling home or asking questions.
 */
export function toolEnv(extra = {}) {
  const env = {
    ...process.env,
    WASM_BINDGEN_BIN: toolBin("wasm-bindgen"),
    ESBUILD_BIN: npmBin("esbuild"),
    WASM_OPT_BIN: npmBin("wasm-opt"),
    // The banner asks the registry for a newer version.
    WRANGLER_HIDE_BANNER: "true",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    WRANGLER_LOG_PATH: at(".dev/logs"),
    ...extra,
  };
  for (const name of FLAG_OVERRIDES) delete env[name];
  const rustup = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin");
  env.PATH = [at("node_modules/.bin"), rustup, process.env.PATH].filter(Boolean).join(delimiter);
  return env;
}

/** Where a program is: the first of that name on the tools' PATH, or undefined; a path stays itself. */
export function which(name) {
  const places = name.includes("/")
    ? [name]
    : toolEnv()
        .PATH.split(delimiter)
        .map((dir) => join(dir, name));
  for (const path of places) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

/** The oldest compiler that will do, from Cargo.toml. */
export function minimumRust() {
  const found = /^rust-version\s*=\s*"([\d.]+)"/m.exec(readFileSync(at("Cargo.toml"), "utf8"));
  return found?.[1] ?? "1.91";
}

/** Is `version` ("1.95.0") at least `minimum` ("1.91")? */
export function atLeast(version, minimum) {
  const parts = (text) => text.split(".").map((part) => Number.parseInt(part, 10) || 0);
  const [have, want] = [parts(version), parts(minimum)];
  for (let i = 0; i < 3; i += 1) {
    if ((have[i] ?? 0) !== (want[i] ?? 0)) return (have[i] ?? 0) > (want[i] ?? 0);
  }
  return true;
}
