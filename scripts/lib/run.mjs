// Running programs: with progress on what takes long, and never leaving one behind.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { atLeast, npmBin, ROOT, toolEnv, which } from "./project.mjs";

const live = process.stdout.isTTY && !process.env.CI;
const seconds = (since) => ((performance.now() - since) / 1000).toFixed(1);

export const say = (text = "") => process.stdout.write(`${text}\n`);

/** A line of a step that is told: what it is about, and what is to be said. */
export const row = (name, value = "") => say(`   ${name.padEnd(12)} ${value}`.trimEnd());

/** An error whose message is all there is to say: no stack trace. */
export class Stop extends Error {}

/**
 * Runs `work`, saying what and for how long. `work` may call its argument with a line of detail.
 * On a terminal one line is kept up to date; elsewhere a line comes at the start, every 20 seconds, and at the end.
 */
export async function step(title, work) {
  const started = performance.now();
  let detail = "";
  if (!live) say(`- ${title} …`);
  const show = () => {
    const text = `… ${title} ${seconds(started)} s  ${detail}`;
    if (live) process.stdout.write(`\r\x1b[2K${text.slice(0, (process.stdout.columns || 80) - 1)}`);
    else say(`  ${text}`);
  };
  const timer = setInterval(show, live ? 250 : 20_000);
  try {
    const result = await work((line) => {
      detail = stripVTControlCharacters(line).trim();
    });
    say(`${live ? "\r\x1b[2K" : ""}✓ ${title} (${seconds(started)} s)`);
    return result;
  } catch (error) {
    say(`${live ? "\r\x1b[2K" : ""}✗ ${title} (${seconds(started)} s)`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/**
 * Runs one program to its end and returns `{code, output}`; stdout and stderr are one text.
 * @param {string[]} argv
 * @param {{env?: object, cwd?: string, stream?: boolean, onLine?: (line: string) => void, timeoutSeconds?: number,
 *   check?: boolean}} options `stream` also prints as it comes; `check` (default) makes a failure an error that ends
 *   with the last lines printed.
 */
export async function command(argv, options = {}) {
  const { env = {}, cwd = ROOT, stream = false, onLine, timeoutSeconds, check = true } = options;
  const child = start(argv, { env, cwd });
  let output = "";
  for (const source of [child.stdout, child.stderr]) {
    source.setEncoding("utf8");
    source.on("data", (text) => {
      output += text;
      if (stream) process.stdout.write(text);
      const line = text.trimEnd().split("\n").at(-1);
      if (line) onLine?.(line);
    });
  }
  let expired = false;
  const timer =
    timeoutSeconds &&
    setTimeout(() => {
      expired = true;
      stop(child);
    }, timeoutSeconds * 1000);
  const [code, signal] = await ended(child, "close");
  clearTimeout(timer);
  if (expired) output += `\nstopped after ${timeoutSeconds} s\n`;
  const failed = expired || signal !== null || code !== 0;
  if (failed && check) {
    const tail = stream ? "" : `\n${output.trimEnd().split("\n").slice(-60).join("\n")}`;
    throw new Stop(`\`${argv.join(" ")}\` failed (${expired ? "time" : (signal ?? `exit code ${code}`)})${tail}`);
  }
  return { code: failed ? code || 1 : 0, output, expired };
}

// --- programs that stay up, and the certainty that they end -----------------------------------------------------

const running = new Set();

/**
 * Starts a program in a process group of its own, so that stopping it also stops what it started (wrangler's workerd).
 * The group ends with this process, however that ends.
 */
export function start(argv, { env = {}, cwd = ROOT, stdio = ["ignore", "pipe", "pipe"] } = {}) {
  if (!which(argv[0])) throw new Stop(`${argv[0]} is not installed`);
  const child = spawn(argv[0], argv.slice(1), { cwd, env: toolEnv(env), stdio, detached: true });
  if (child.pid === undefined) return child;
  running.add(child);
  const guard = endWithParent(child.pid);
  child.once("exit", () => {
    // The leader is gone; what it left behind in its group goes as well.
    kill(-child.pid, "SIGKILL");
    running.delete(child);
    guard.kill("SIGKILL");
  });
  return child;
}

/** A shell that ends process group `pid` as soon as our end of its stdin has gone: when we are killed, too. */
function endWithParent(pid) {
  const guard = spawn("sh", ["-c", 'read -r _; kill -s KILL -- "-$0" 2>/dev/null', `${pid}`], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  guard.once("error", () => {});
  guard.stdin.on("error", () => {});
  guard.unref();
  guard.stdin.unref();
  return guard;
}

const ended = (child, event) =>
  new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once(event, (...end) => resolve(end));
  });

function kill(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // already gone
  }
}

/** Ends a program and its group: politely, and after three seconds not. */
export async function stop(child) {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = ended(child, "exit");
  kill(-child.pid, "SIGTERM");
  const timer = setTimeout(() => kill(-child.pid, "SIGKILL"), 3000);
  await gone;
  clearTimeout(timer);
}

export const stopAll = () => Promise.all([...running].map(stop));

const MODERN_NODE = "22";
let inner;

/**
 * wrangler needs Node 22. Where the running one is older, runs the same script again under the Node that npm installed, and ends with
 * its exit code; returns only where the running Node will do. To be called inside of `runMain`.
 */
export async function underModernNode() {
  if (atLeast(process.versions.node, MODERN_NODE)) return;
  const node = npmBin("node");
  if (!which(node)) {
    throw new Stop(
      `this is Node ${process.versions.node}, wrangler needs ${MODERN_NODE} or newer, and npm brings one along only for Linux on ` +
        "x86-64: install a newer Node.",
    );
  }
  // By the channel the inner process notices when this one dies without a word.
  inner = spawn(node, process.argv.slice(1), { stdio: ["inherit", "inherit", "inherit", "ipc"] });
  const [code] = await ended(inner, "exit");
  process.exit(code ?? 1);
}

/** Runs a script's `main`; whatever happens, nothing it started is left, and a failure is an exit code. */
export async function runMain(main) {
  let leaving = false;
  const leave = async (code, signal = "SIGTERM") => {
    if (leaving) return;
    leaving = true;
    if (inner && inner.exitCode === null) {
      inner.kill(signal);
      await ended(inner, "exit");
    }
    await stopAll();
    process.exit(code);
  };
  process.on("SIGINT", () => leave(130, "SIGINT"));
  process.on("SIGTERM", () => leave(143));
  process.on("SIGHUP", () => leave(129));
  process.on("disconnect", () => leave(1));
  endWithNpm(() => leave(143));
  try {
    await leave((await main()) ?? 0);
  } catch (error) {
    // What breaks because we are ending it is not worth a word.
    if (leaving) return;
    say(error instanceof Stop ? `\nerror: ${error.message}` : `\n${error?.stack ?? error}`);
    await leave(1);
  }
}

/** Ending npm ends at best the shell between npm and us, and leaves us behind: whether both still stand has to be looked at. */
function endWithNpm(leave) {
  if (!process.env.npm_lifecycle_event) return;
  const above = () => {
    try {
      // "pid (name) state ppid …"
      const [, grandparent] = /\) \S (\d+)/.exec(readFileSync(`/proc/${process.ppid}/stat`, "utf8")) ?? [];
      return `${process.ppid} ${grandparent}`;
    } catch {
      return `${process.ppid}`;
    }
  };
  const npm = above();
  setInterval(() => above() === npm || leave(), 500).unref();
}
