// What a million requests of a case cost whoever runs the worker, by Cloudflare's public price list: counted, but for processor time.
// What a plan includes, storage at rest and the origin's own costs are not in it.
import { readFileSync, writeFileSync } from "node:fs";
import { at } from "../../scripts/lib/project.mjs";

/** Dollars for a million of each. */
export const PRICES = {
  requests: 0.3,
  cpuMillis: 0.02,
  objectRequests: 0.15,
  rowsWritten: 1,
  rowsRead: 0.001,
  gigabyteSeconds: 12.5,
};

/** What an object at work is billed for, whatever it uses. */
const OBJECT_GIGABYTES = 0.128;

/**
 * What one request is billed for: `calls` of objects and `rings` of their alarms, rows, `alarms` that are set (each is a row written),
 * `objectMillis` that objects wait, and processor time. That an object computes it is at work as well: no more than all of it.
 */
export function billed({ calls, rings, rowsRead, rowsWritten, alarms, objectMillis }, cpuMicros) {
  const cpuMillis = cpuMicros / 1000;
  const objectRequests = calls + rings;
  const objectSeconds = objectRequests > 0 ? (objectMillis + cpuMillis) / 1000 : 0;
  return { requests: 1, cpuMillis, objectRequests, objectSeconds, rowsWritten: rowsWritten + alarms, rowsRead };
}

/** Dollars for a million of what is billed so. */
export function dollars({ objectSeconds, ...counts }) {
  const gigabyteSeconds = objectSeconds * OBJECT_GIGABYTES;
  return Object.entries({ ...counts, gigabyteSeconds }).reduce((sum, [what, count]) => sum + count * PRICES[what], 0);
}

/** What is shown, and where it is counted: `forgotten` are the requests that `forget` is of. */
const SHOWN = [
  { title: "402, one offer", name: "402-one" },
  { title: "voucher alone", name: "voucher-only-64" },
  { title: "paid voucher", name: "voucher-64", counted: "voucher-1" },
  { title: "charge, and forgetting it", name: "charge", forgotten: 9 },
  { title: "stream of 1 000 events", name: "events-burst" },
];

const FILE = at("docs/performance.md");
const BLOCK = /<!-- cost by (\d+) -->\n[\s\S]*?<!-- cost -->/;

/**
 * The table in docs/performance.md, as it should be: ours by what is counted (benches/counts.json), processor and objects' time and all
 * of the others' by the results that the table names.
 */
function table(name, calls) {
  const report = JSON.parse(readFileSync(at("benches/results", `${name}.json`), "utf8"));
  const fixed = (value) => {
    if (Number.isInteger(value)) return `${value}`;
    return value >= 0.995 ? value.toFixed(2) : value.toPrecision(2);
  };
  const rows = SHOWN.flatMap((shown) => {
    const result = report.results.find(({ case: one, failed }) => one === shown.name && !failed);
    if (!result) return [];
    const of = (who) => {
      const { summary, billed: seen } = result.contestants[who];
      return billed(who === "ours" ? { ...seen, ...counted(calls, shown) } : seen, summary.cpuMicros);
    };
    const ours = of("ours");
    const numbers = ["cpuMillis", "objectRequests", "objectSeconds", "rowsWritten", "rowsRead"].map((key) => fixed(ours[key]));
    const costs = ["ours", "peer", "floor"].map((who) => dollars(of(who)).toFixed(2));
    return [[shown.title, ...numbers, `**${costs[0]}**`, ...costs.slice(1)]];
  });
  const titles = [
    "request",
    "CPU ms",
    "object requests",
    "object s",
    "rows written",
    "rows read",
    "$ per million",
    "peer",
    "floor",
  ];
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map(line)].join("\n");
}

function counted(calls, { name, counted = name, forgotten }) {
  const { each, forget } = calls[counted];
  const of = (key) => each[key] + (forget ? forget[key] / forgotten : 0);
  const [rowsRead, rowsWritten, alarms] = ["rowsRead", "rowsWritten", "alarms"].map(of);
  return { calls: of("objects"), rings: 0, rowsRead, rowsWritten, alarms };
}

/** Whether docs/performance.md says what is counted; with `update`, has it say so. */
export function checkCost(calls, { update }) {
  const written = readFileSync(FILE, "utf8");
  const [block, name] = BLOCK.exec(written) ?? [];
  if (!block) throw new Error("docs/performance.md has no table of costs");
  const right = `<!-- cost by ${name} -->\n${table(name, calls)}\n<!-- cost -->`;
  if (right !== block && update) writeFileSync(FILE, written.replace(block, right));
  return right === block || update;
}
