// Where the bench keeps its files, and on what kind of file system an object's storage lies: a write that has to reach a disk
// costs more than everything else together, so results name it.
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { at } from "../../scripts/lib/project.mjs";

/** File systems by the number that `statfs` gives. */
const KINDS = {
  16914836: "tmpfs",
  61267: "ext4",
  1481003842: "xfs",
  2435016766: "btrfs",
  2035054128: "overlayfs",
  801189825: "zfs",
};

const WORK = at(".dev/bench");
const FOLDERS = { tmpfs: "/dev/shm", disk: WORK };

/** The media that are here: {name, folder, kind}. Without a tmpfs there is only the disk. */
export function media() {
  mkdirSync(WORK, { recursive: true });
  return Object.entries(FOLDERS)
    .filter(([, folder]) => existsSync(folder))
    .map(([name, folder]) => ({ name, folder, kind: kindOf(folder) }))
    .filter(({ name, kind }) => (name === "tmpfs") === (kind === "tmpfs"));
}

function kindOf(folder) {
  const { type } = statfsSync(folder);
  return KINDS[type] ?? `0x${type.toString(16)}`;
}

/** A file or folder of the bench's own. */
export function work(...parts) {
  mkdirSync(WORK, { recursive: true });
  return join(WORK, ...parts);
}

const temporary = new Set();
process.once("exit", () => {
  for (const dir of temporary) rmSync(dir, { recursive: true, force: true });
});

/** A fresh folder, gone at the latest with this process. Returns it with the function that removes it. */
export function scratch(folder) {
  const dir = mkdtempSync(join(folder, "mpp-edge-bench-"));
  temporary.add(dir);
  const remove = () => {
    rmSync(dir, { recursive: true, force: true });
    temporary.delete(dir);
  };
  return { dir, remove };
}
