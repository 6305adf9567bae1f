// One contestant in bare workerd: one worker, one socket, its objects on a fresh storage.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { start, stop } from "../../scripts/lib/run.mjs";
import { workerdBinary } from "../../tests/e2e/harness/paths.mjs";

// Cap'n Proto's text strings know C's escapes, of which JSON's are a subset except \u; control characters do not occur.
const text = (value) => JSON.stringify(String(value));
const list = (items) => `[\n    ${items.join(",\n    ")}\n  ]`;

/**
 * @typedef {object} Contestant
 * @property {string} name
 * @property {Record<string, string>} modules module name → file; the first is the main one
 * @property {{binding: string, className: string}[]} objects
 * @property {string} date
 * @property {string[]} flags
 * @property {Record<string, unknown>} vars
 * @property {Record<string, string>} secrets
 */

/** @param {Contestant} contestant */
function configuration({ name, modules, objects, date, flags, vars, secrets }, storage) {
  const files = Object.keys(modules).map(
    (module) => `(name = ${text(module)}, ${module.endsWith(".wasm") ? "wasm" : "esModule"} = embed ${text(module)})`,
  );
  const namespaces = objects.map(
    ({ className }) => `(className = ${text(className)}, uniqueKey = ${text(`bench-${name}-${className}`)}, enableSql = true)`,
  );
  const bindings = [
    ...Object.entries(vars).map(([key, value]) => `(name = ${text(key)}, json = ${text(JSON.stringify(value))})`),
    ...Object.entries(secrets).map(([key, value]) => `(name = ${text(key)}, text = ${text(value)})`),
    ...objects.map(
      ({ binding, className }) => `(name = ${text(binding)}, durableObjectNamespace = (className = ${text(className)}))`,
    ),
  ];
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (services = [
  (name = "worker", worker = .worker),
  (name = "network", network = (allow = ["public", "private", "local"])),
  (name = "storage", disk = (path = ${text(storage)}, writable = true))
], sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")]);

const worker :Workerd.Worker = (
  modules = ${list(files)},
  compatibilityDate = ${text(date)},
  compatibilityFlags = [${flags.map(text).join(", ")}],
  globalOutbound = "network",
  durableObjectNamespaces = ${list(namespaces)},
  durableObjectStorage = (localDisk = "storage"),
  bindings = ${list(bindings)}
);
`;
}

/**
 * Starts a contestant with its storage in `dir` and waits until it listens.
 * @param {Contestant} contestant
 */
export async function startWorker(contestant, dir) {
  const storage = join(dir, "storage");
  mkdirSync(storage, { recursive: true });
  for (const [name, file] of Object.entries(contestant.modules)) copyFileSync(file, join(dir, name));
  const config = join(dir, "config.capnp");
  writeFileSync(config, configuration(contestant, storage));
  const child = start([workerdBinary(), "serve", config, "--control-fd=3"], { stdio: ["ignore", "pipe", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk) => {
      printed = `${printed}${chunk}`.slice(-4000);
    });
  }
  const port = await listening(child, () => printed);
  return {
    pid: child.pid,
    host: `127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}`,
    /** The last of what it printed. */
    printed: () => printed,
    stop: () => stop(child),
  };
}

// workerd writes one JSON object a line to the control descriptor: {"event":"listen","socket":"http","port":12345}.
function listening(child, printed) {
  return new Promise((resolve, reject) => {
    let pending = "";
    child.stdio[3].setEncoding("utf8").on("data", (chunk) => {
      pending += chunk;
      const lines = pending.split("\n");
      pending = lines.pop();
      for (const line of lines) {
        const event = JSON.parse(line);
        if (event.event === "listen" && event.socket === "http") resolve(event.port);
      }
    });
    child.once("exit", (code, signal) =>
      reject(new Error(`workerd ended (${signal ?? code}) before it listened:\n${printed()}`)),
    );
    child.once("error", reject);
  });
}

/** The resident memory of a process in bytes. */
export function residentBytes(pid) {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) * 1024;
}
