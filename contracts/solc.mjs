#!/usr/bin/env node
// npm's solc for forge. forge wants an executable that answers `--version` and compiles `--standard-json` from stdin; npm's solc is
// solcjs, whose own command line prints the version without the "Version:" that forge looks for. Like the real compiler it reads
// imports that are not in the input (the libraries import one another by relative paths) from below the base path.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import solc from "solc";

const args = process.argv.slice(2);
const base = args.includes("--base-path") ? args[args.indexOf("--base-path") + 1] : ".";

function readImport(path) {
  try {
    return { contents: readFileSync(resolve(base, path), "utf8") };
  } catch (error) {
    return { error: String(error) };
  }
}

if (args.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler\nVersion: ${solc.version()}\n`);
} else if (args.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8"), { import: readImport }));
} else {
  process.stderr.write("solc.mjs knows --version and --standard-json only\n");
  process.exitCode = 2;
}
