// Where things are. Nothing here names a machine: everything is found from this file's own place.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "smol-toml";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
/** The build under test. MPP_EDGE_BUILD names another folder: to test one build while the next is made. */
export const build = process.env.MPP_EDGE_BUILD ?? join(root, "build");

const require = createRequire(join(root, "package.json"));

/** The workerd binary that wrangler's own lockfile brought, for this platform. */
export function workerdBinary() {
  const suffix = {
    "linux-x64": "linux-64",
    "linux-arm64": "linux-arm64",
    "darwin-x64": "darwin-64",
    "darwin-arm64": "darwin-arm64",
  }[`${process.platform}-${process.arch}`];
  if (!suffix) throw new Error(`no workerd for ${process.platform}-${process.arch}`);
  return require.resolve(`@cloudflare/workerd-${suffix}/bin/workerd`);
}

/** Compatibility date and flags exactly as they will be deployed. */
export function compatibility() {
  const wrangler = parse(readFileSync(join(root, "wrangler.toml"), "utf8"));
  return { date: wrangler.compatibility_date, flags: wrangler.compatibility_flags ?? [] };
}
