// The built gateway in bare workerd: start, stop, kill, restart on the same storage and ports, and everything it printed.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SOCKETS, writeConfig } from "./capnp.mjs";
import { workerdBinary } from "./paths.mjs";
import { endWithUs, within } from "./processes.mjs";

export class Gateway {
  /** Both isolates, as "http://127.0.0.1:<port>"; the ports stay the same over restarts. */
  urls = [];
  #dir = mkdtempSync(join(tmpdir(), "mpp-edge-e2e-"));
  #configuration;
  #ports = SOCKETS.map(() => 0);
  #child;
  #exited;
  #forget = () => {};
  #output = [];

  constructor(configuration) {
    this.#configuration = configuration;
    mkdirSync(join(this.#dir, "storage"));
  }

  /** Everything any run of this gateway wrote to standard output and standard error. */
  get logs() {
    return this.#output.join("");
  }

  /** How often objects of a class were called (or "made", woken by an "alarm", or "reset"), if the configuration says `watch`. */
  objects(name, what = "call") {
    return this.logs.split(`object ${name} ${what} `).length - 1;
  }

  /** The files in which workerd keeps the objects of a class, one SQLite database each. */
  objectFiles(name) {
    const folder = join(this.#dir, "storage", `mpp-edge-${name}`);
    const files = existsSync(folder) ? readdirSync(folder) : [];
    return files.filter((file) => /^[0-9a-f]{64}\.sqlite$/.test(file)).map((file) => join(folder, file));
  }

  get pid() {
    return this.#child?.pid;
  }

  async start() {
    const config = writeConfig({ dir: this.#dir, storage: join(this.#dir, "storage"), ...this.#configuration });
    const addresses = SOCKETS.map((name, i) => `--socket-addr=${name}=127.0.0.1:${this.#ports[i]}`);
    const child = spawn(workerdBinary(), ["serve", config, "--control-fd=3", ...addresses], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code)));
    this.#forget = endWithUs(() => child.kill("SIGKILL"));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk) => this.#output.push(chunk));
    }
    const died = this.#exited.then((how) => {
      throw new Error(`workerd ended (${how}) before it listened:\n${this.logs}`);
    });
    died.catch(() => {});
    await within(30_000, Promise.race([listening(child.stdio[3], this.#ports), died]), "workerd to listen");
    this.urls = this.#ports.map((port) => `http://127.0.0.1:${port}`);
    return this;
  }

  /** Ends the process as a power cut would; resolves when it is gone. */
  async kill() {
    this.#child.kill("SIGKILL");
    await this.#gone();
  }

  async stop() {
    if (!this.#child) return;
    this.#child.kill("SIGTERM");
    const force = setTimeout(() => this.#child?.kill("SIGKILL"), 2_000);
    await this.#gone();
    clearTimeout(force);
  }

  /** Starts again on the same storage and ports, with parts of the configuration changed when given. */
  async restart(changes = {}) {
    await this.stop();
    this.#configuration = { ...this.#configuration, ...changes };
    return this.start();
  }

  async dispose() {
    await this.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #gone() {
    await within(10_000, this.#exited, "workerd to end");
    this.#forget();
    this.#child = undefined;
  }
}

// workerd writes one JSON object a line to the control descriptor: {"event":"listen","socket":"first","port":12345}.
function listening(stream, ports) {
  const missing = new Set(SOCKETS);
  let pending = "";
  return new Promise((resolve) => {
    stream.setEncoding("utf8").on("data", (chunk) => {
      pending += chunk;
      const lines = pending.split("\n");
      pending = lines.pop();
      for (const line of lines) {
        const event = JSON.parse(line);
        if (event.event !== "listen" || !missing.delete(event.socket)) continue;
        ports[SOCKETS.indexOf(event.socket)] = event.port;
      }
      if (missing.size === 0) resolve();
    });
  });
}
