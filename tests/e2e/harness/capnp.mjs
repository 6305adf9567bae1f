// The workerd configuration of one gateway: two workers of the same code (two isolates, two sockets) in front of one
// set of objects, as on Cloudflare's network, where any number of isolates meet in the same Durable Object.
import { copyFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, compatibility } from "./paths.mjs";

export const SOCKETS = ["first", "second"];
/** A request with this header counts as received over that scheme, as behind Cloudflare's TLS. */
export const SCHEME_HEADER = "X-Test-Scheme";
const CLASSES = [
  { binding: "PAYER", name: "Payer" },
  { binding: "ACCOUNT", name: "Account" },
  { binding: "CHANNEL", name: "Channel" },
];

// Cap'n Proto's text strings know C's escapes, of which JSON's are a subset except \u; control characters do not occur.
const text = (value) => JSON.stringify(String(value));

/**
 * A module around the built one in which objects leave a line in the log when they are made, called or woken: the only way from
 * outside to see how often. With `resets` the objects of a class also die during every so many calls, as they do when they are
 * moved or a new version is deployed: "before" or "after" the call has done its work, whose answer is lost either way.
 */
const watching = ({ resets = {} }) => `import { DurableObject } from "cloudflare:workers";
import * as built from "./index.js";
const resets = ${JSON.stringify(resets)};
let calls = 0;
const watched = (name) =>
  class extends DurableObject {
    #object;
    #state;
    constructor(state, env) {
      super(state, env);
      this.#state = state;
      this.#object = new built[name](state, env);
      this.#note("made");
    }
    #note(what) {
      console.log("object " + name + " " + what + " " + this.#state.id);
    }
    async ask(...given) {
      this.#note("call");
      const dies = name === resets.name && ++calls % resets.every === 0;
      if (dies && resets.when === "before") this.#die();
      const answer = await this.#object.ask(...given);
      if (dies) {
        // What it has written is there; else it would be as if the call had never been.
        await this.#state.storage.sync();
        this.#die();
      }
      return answer;
    }
    #die() {
      this.#note("reset");
      this.#state.abort("reset by the test");
    }
    alarm(...given) {
      this.#note("alarm");
      return this.#object.alarm(...given);
    }
  };
export { default } from "./index.js";
${CLASSES.map(({ name }) => `export const ${name} = watched("${name}");`).join("\n")}
`;

function modules(dir, watch) {
  const files = readdirSync(build).filter((name) => /\.(m?js|wasm)$/.test(name));
  if (!files.includes("index.js")) throw new Error("build/index.js is missing: run `npm run build` first");
  for (const name of files) copyFileSync(join(build, name), join(dir, name));
  if (watch) {
    writeFileSync(join(dir, "watching.js"), watching(watch));
    files.push("watching.js");
  }
  const main = watch ? "watching.js" : "index.js";
  files.sort((a, b) => Number(b === main) - Number(a === main));
  return files
    .map((name) => `(name = ${text(name)}, ${name.endsWith(".wasm") ? "wasm" : "esModule"} = embed ${text(name)})`)
    .join(",\n    ");
}

function bindings({ vars, secrets, services }, serviceName) {
  const list = [];
  for (const [name, value] of Object.entries(vars)) {
    if (value !== undefined) list.push(`(name = ${text(name)}, json = ${text(JSON.stringify(value))})`);
  }
  for (const [name, value] of Object.entries(secrets)) {
    if (value !== undefined) list.push(`(name = ${text(name)}, text = ${text(value)})`);
  }
  for (const name of Object.keys(services)) list.push(`(name = ${text(name)}, service = ${text(`service-${name}`)})`);
  for (const { binding, name } of CLASSES) {
    const where = serviceName ? `, serviceName = ${text(serviceName)}` : "";
    list.push(`(name = ${text(binding)}, durableObjectNamespace = (className = ${text(name)}${where}))`);
  }
  return list.join(",\n    ");
}

/**
 * Writes config.capnp and copies of the built modules into `dir`.
 * @param {{dir: string, storage: string, vars: object, secrets: object, services?: Record<string, string>,
 *   watch?: {resets?: {name: string, every: number, when: "before" | "after"}}}} options
 *   `services`: name of a service binding → "host:port" it leads to. `watch`: see `watching`.
 */
export function writeConfig({ dir, storage, vars, secrets, services = {}, watch }) {
  const { date, flags } = compatibility();
  const given = { vars, secrets, services };
  const common = `modules = [\n    ${modules(dir, watch)}\n  ],
  compatibilityDate = ${text(date)},
  compatibilityFlags = [${flags.map(text).join(", ")}],
  globalOutbound = "network",`;
  const namespaces = CLASSES.map(
    ({ name }) => `(className = ${text(name)}, uniqueKey = ${text(`mpp-edge-${name}`)}, enableSql = true)`,
  ).join(", ");
  const externals = Object.entries(services)
    .map(([name, address]) => `,\n  (name = ${text(`service-${name}`)}, external = (address = ${text(address)}, http = ()))`)
    .join("");
  const config = `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (services = [
  (name = "first", worker = .first),
  (name = "second", worker = .second),
  (name = "network", network = (allow = ["public", "private", "local"])),
  (name = "storage", disk = (path = ${text(storage)}, writable = true))${externals}
], sockets = [
  ${SOCKETS.map((name) => `(name = ${text(name)}, address = "127.0.0.1:0", http = (forwardedProtoHeader = ${text(SCHEME_HEADER)}), service = ${text(name)})`).join(",\n  ")}
]);

const first :Workerd.Worker = (
  ${common}
  durableObjectNamespaces = [${namespaces}],
  durableObjectStorage = (localDisk = "storage"),
  bindings = [
    ${bindings(given)}
  ]
);

const second :Workerd.Worker = (
  ${common}
  bindings = [
    ${bindings(given, "first")}
  ]
);
`;
  const path = join(dir, "config.capnp");
  writeFileSync(path, config);
  return path;
}
