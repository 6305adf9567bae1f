// valgrind, which counts the core's instructions: the system's own, or else Debian's package, fetched and unpacked into .tools. That needs
// no root, and leaves the system as it is.

import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { at, which } from "./project.mjs";
import { command, Stop, step } from "./run.mjs";

const FOLDER = at(".tools/valgrind");
const UNPACKED = join(FOLDER, "usr/bin/valgrind");
const REMEDY = "valgrind counts the core's instructions: install it, on Debian by `apt-get install valgrind`";

/** The program, and the environment it needs. */
export function valgrind() {
  const program = which("valgrind");
  if (program) return { program, env: {} };
  if (!existsSync(UNPACKED)) throw new Stop(`${REMEDY}, or run \`npm run setup -- --ci\`.`);
  return { program: UNPACKED, env: { VALGRIND_LIB: join(FOLDER, "usr/libexec/valgrind") } };
}

/** Makes sure that it is there. Returns whether anything had to be done. */
export async function setUpValgrind() {
  if (which("valgrind") || existsSync(UNPACKED)) return false;
  if (process.platform !== "linux" || !which("apt-get") || !which("dpkg-deb")) throw new Stop(`${REMEDY}.`);
  await step("valgrind (Debian’s package, into .tools)", async (detail) => {
    const scratch = at(".tools/apt");
    const folders = ["lists/partial", "cache/archives/partial", "package"].map((name) => join(scratch, name));
    for (const folder of folders) mkdirSync(folder, { recursive: true });
    const own = [`Dir::State::lists=${join(scratch, "lists")}`, `Dir::Cache=${join(scratch, "cache")}`, "APT::Sandbox::User="];
    const apt = (argument, more = {}) =>
      command(["apt-get", "-qq", ...own.flatMap((option) => ["-o", option]), ...argument.split(" ")], {
        cwd: folders.at(-1),
        onLine: detail,
        timeoutSeconds: 600,
        ...more,
      });
    try {
      // Where only somebody else's repository is out of reach, the download still succeeds.
      await apt("update", { check: false });
      await apt("download valgrind");
      const [name] = readdirSync(folders.at(-1));
      await command(["dpkg-deb", "-x", join(folders.at(-1), name), FOLDER]);
    } catch (error) {
      throw new Stop(`${error.message}\n${REMEDY}.`);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
  return true;
}
