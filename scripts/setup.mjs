// `npm run setup`: everything the project needs, into the project folder. Node's own modules only, any Node from 20.
// `--ci` adds what only .ci/run needs. Looks first and does only what is missing, so that `npm start` and `npm test` can always begin with it.

import { createHash } from "node:crypto";
import { existsSync, lstatSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { at, atLeast, CI_TOOLS, minimumRust, RUST_TARGETS, TOOLS, toolBin, which } from "./lib/project.mjs";
import { command, runMain, Stop, say, step } from "./lib/run.mjs";
import { setUpValgrind } from "./lib/valgrind.mjs";

/** Makes sure that everything is there. Returns whether anything had to be done. */
export async function setup({ ci = false } = {}) {
  const rust = await checkPrerequisites();
  const done = [await npmPackages(), await rustTargets(rust), await cargoTools({ ...TOOLS, ...(ci && CI_TOOLS) })];
  if (ci) done.push(await setUpValgrind());
  done.push(await contracts());
  return done.includes(true);
}

async function checkPrerequisites() {
  const missing = [];
  if (process.platform === "win32") missing.push("a Unix-like system: on Windows use WSL");
  if (!atLeast(process.versions.node, "20")) {
    missing.push(`Node 20 or newer (this is ${process.versions.node}): https://nodejs.org`);
  }
  if (!which("npm")) missing.push("npm: it comes with Node, on Debian as the package `npm`");
  if (!which("cc")) missing.push("a C compiler and linker as `cc`: on Debian `apt-get install build-essential`");
  if (!which("cargo") || !which("rustc")) missing.push("Rust: https://rustup.rs installs it without root");
  if (missing.length > 0) throw new Stop(`these are missing:\n${missing.map((line) => `  - ${line}`).join("\n")}`);

  const ask = (...args) =>
    command(["rustc", ...args]).catch((error) => {
      throw new Stop(
        `rustc does not run: ${error.message}\n` +
          "rust-toolchain.toml asks for the `stable` toolchain: `rustup toolchain install stable --no-self-update`.",
      );
    });
  const [{ output: version }, { output: sysroot }] = await Promise.all([ask("--version"), ask("--print", "sysroot")]);
  const [, number] = /rustc ([\d.]+)/.exec(version) ?? [];
  if (!number) throw new Stop(`rustc says something unexpected: ${version}`);
  if (!atLeast(number, minimumRust())) {
    throw new Stop(`Rust ${number} is too old, ${minimumRust()} or newer is needed: \`rustup update stable\`.`);
  }
  return { sysroot: sysroot.trim().split("\n").at(-1) };
}

async function npmPackages() {
  // A git worktree may borrow another checkout's folder, which `npm ci` would empty under its feet.
  if (lstatSync(at("node_modules"), { throwIfNoEntry: false })?.isSymbolicLink()) return false;
  const stamp = at("node_modules/.setup-stamp");
  const wanted = createHash("sha256")
    .update(readFileSync(at("package.json")))
    .update(readFileSync(at("package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return false;
  await step("npm packages (about 1 GB, workerd, anvil and the clients of the tests among them)", () =>
    // NODE_ENV=production would leave out everything that is needed here.
    command(["npm", "ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund", "--loglevel=error"]),
  );
  writeFileSync(stamp, wanted);
  return true;
}

async function rustTargets({ sysroot }) {
  const missing = RUST_TARGETS.filter((target) => !existsSync(join(sysroot, "lib/rustlib", target, "lib")));
  if (missing.length === 0) return false;
  if (!which("rustup")) {
    throw new Stop(
      `this Rust (${sysroot}) has no standard library for ${missing.join(" and ")}, and there is no rustup to add it.\n` +
        "Install Rust by https://rustup.rs, or your distribution’s packages for these targets.",
    );
  }
  await step(`Rust standard library for ${missing.join(" and ")}`, (detail) =>
    command(["rustup", "target", "add", ...missing], { onLine: detail }).catch((error) => {
      throw new Stop(
        `${error.message}\nrustup could not fetch it. Behind a proxy set HTTPS_PROXY and run again.\n` +
          "Where its server cannot be reached at all, a distribution’s Rust with a wasm target will do instead of rustup.",
      );
    }),
  );
  return true;
}

async function cargoTools(wanted) {
  const there = installed();
  const missing = Object.entries(wanted).filter(([crate, version]) => there[crate] !== version);
  if (missing.length === 0) return false;
  if (process.platform === "linux") await checkOpenssl();
  // One folder for all, because they share dependencies. Unoptimised and without debug information they build in half the time, and
  // are fast enough for a module of our size.
  const scratch = at(".tools/target");
  const env = { CARGO_TARGET_DIR: scratch, CARGO_PROFILE_DEV_DEBUG: "0" };
  for (const [crate, version] of missing) {
    await step(`${crate} ${version} (compiled once, a minute or two)`, (detail) =>
      command(["cargo", "install", "--locked", "--debug", "--root", at(".tools"), `${crate}@${version}`], {
        env,
        onLine: detail,
      }),
    );
  }
  rmSync(scratch, { recursive: true });
  return true;
}

/** What `cargo install` has put into `.tools`: crate → version. */
function installed() {
  const found = {};
  try {
    const { installs } = JSON.parse(readFileSync(at(".tools/.crates2.json"), "utf8"));
    for (const [key, { bins }] of Object.entries(installs)) {
      const [crate, version] = key.split(" ");
      if (bins.every((bin) => existsSync(toolBin(bin)))) found[crate] = version;
    }
  } catch {
    // nothing installed yet
  }
  return found;
}

async function checkOpenssl() {
  const found = which("pkg-config") && (await command(["pkg-config", "--exists", "openssl"], { check: false })).code === 0;
  if (!found && !process.env.OPENSSL_DIR) {
    throw new Stop(
      "worker-build needs OpenSSL’s headers: on Debian `apt-get install pkg-config libssl-dev`, " +
        "on Fedora `dnf install pkgconf openssl-devel`.",
    );
  }
}

async function contracts() {
  const stamp = at("contracts/out/.stamp");
  const before = existsSync(stamp) && readFileSync(stamp, "utf8");
  // Only now: it uses what npm has brought.
  const { compileContracts } = await import("./contracts.mjs");
  await compileContracts({ log: (line) => line.startsWith("compiled") && say(`✓ contracts: ${line}`) });
  return readFileSync(stamp, "utf8") !== before;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runMain(async () => {
    const worked = await setup({ ci: process.argv.includes("--ci") });
    say(worked ? "Everything is set up." : "Everything was set up already.");
  });
}
