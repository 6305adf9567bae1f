// A Python of the project's own, with the clients that only PyPI has. The end-to-end tests alone need it.

import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { at, atLeast, which } from "./project.mjs";
import { command, Stop, step } from "./run.mjs";

const FOLDER = at(".tools/python");
const STAMP = join(FOLDER, ".stamp");
const REQUIREMENTS = at("tests/e2e/harness/python/requirements.txt");
const MINIMUM = "3.11";

/** Its program. */
export const PYTHON = join(FOLDER, "bin/python");

/** Makes sure that it is there. Returns whether anything had to be done. */
export async function setUpPython() {
  const wanted = readFileSync(REQUIREMENTS, "utf8");
  if (existsSync(PYTHON) && existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted) return false;
  await checkPython();
  await step("Python packages (pympp and x402, clients of the end-to-end tests)", async (detail) => {
    rmSync(FOLDER, { recursive: true, force: true });
    const run = (...argv) => command(argv, { onLine: detail, env: { PIP_DISABLE_PIP_VERSION_CHECK: "1" }, timeoutSeconds: 600 });
    await run("python3", "-m", "venv", FOLDER).catch((error) => {
      throw new Stop(`${error.message}\nPython lacks its module venv: on Debian \`apt-get install python3-venv\`.`);
    });
    // Nothing is built here, and nothing comes that the list does not name.
    await run(PYTHON, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--no-deps", "--requirement", REQUIREMENTS);
    await run(PYTHON, "-m", "pip", "check");
    writeFileSync(STAMP, wanted);
  });
  return true;
}

async function checkPython() {
  const remedy = `the end-to-end tests drive Python clients: install Python ${MINIMUM} or newer with venv, on Debian by \`apt-get install python3-venv\``;
  if (!which("python3")) throw new Stop(`there is no python3; ${remedy}.`);
  const { output } = await command(["python3", "--version"], { check: false });
  const [, version] = /Python ([\d.]+)/.exec(output) ?? [];
  if (!version || !atLeast(version, MINIMUM)) throw new Stop(`python3 is ${version ?? "of no known version"}; ${remedy}.`);
}
