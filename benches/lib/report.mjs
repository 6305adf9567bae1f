// Results as Markdown: the numbers, the ratios that the targets are about, and what they were measured on.
import { CASES } from "./cases.mjs";
import { billed, dollars } from "./cost.mjs";
import { ratios } from "./ratios.mjs";
import { targets } from "./targets.mjs";

const fixed = (digits) => (value) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
const [whole, one, two] = [0, 1, 2].map(fixed);
const percent = (value) => (Number.isFinite(value) ? `±${Math.round(value * 50)} %` : "–");
const kib = (bytes) => `${whole(bytes / 1024)} KiB`;
const mib = (bytes) => `${one(bytes / 2 ** 20)} MiB`;
const millis = (value) => (value < 1 ? two(value) : value < 100 ? one(value) : whole(value));

function table(titles, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const rule = titles.map((_, i) => (i === 0 ? "---" : "---:"));
  return [line(titles), line(rule), ...rows.map(line)].join("\n");
}

function figures(result) {
  const rows = [];
  for (const [name, { summary, billed: seen }] of Object.entries(result.contestants)) {
    const bill = billed(seen, summary.cpuMicros);
    rows.push([
      name,
      whole(summary.rate),
      percent(summary.spread.rate),
      millis(summary.p50),
      millis(summary.p99),
      whole(summary.cpuMicros),
      percent(summary.spread.cpuMicros),
      two(summary.utilisation),
      two(summary.helperUtilisation),
      two(bill.objectRequests),
      fixed(4)(bill.objectSeconds),
      two(bill.rowsWritten),
      two(dollars(bill)),
      two(summary.rpcCalls),
      two(summary.rpcPosts),
      mib(summary.rssBytes),
    ]);
  }
  const titles = [
    ...["", "requests/s", "spread", "p50 ms", "p99 ms", "CPU µs", "spread", "cores", "helper's"],
    ...["object requests", "object s", "rows written", "$ per million", "RPC calls", "RPC posts", "memory"],
  ];
  return table(titles, rows);
}

function comparison(results) {
  const rows = [];
  for (const result of results) {
    const found = ratios(result);
    if (!found) continue;
    rows.push([
      `${result.case}, ${result.medium}`,
      whole(found.overhead),
      whole(found.peerOverhead),
      two(found.overheadToPeers),
      two(found.cpuToPeers),
      two(found.rateToPeers),
      two(found.rateToFloors),
    ]);
  }
  const titles = [
    ...["case, storage", "overhead µs", "peer's", "overhead ÷ peer's", "CPU ÷ peer's", "requests/s ÷ peer's"],
    "requests/s ÷ floor's",
  ];
  return table(titles, rows);
}

function verdicts(report) {
  const rows = targets(report).map(({ what, value, limit, atLeast, met, digits = 2 }) => [
    what,
    fixed(digits)(value),
    `${atLeast ? "≥" : "≤"} ${limit}`,
    met ? "met" : "**missed**",
  ]);
  return rows.length > 0 ? table(["target", "here", "wanted", ""], rows) : "None of the cases with targets were run.";
}

function once({ sizes, startUp, wasmBytes }) {
  const rows = Object.entries(sizes).map(([name, { raw, gzip }]) => [
    name,
    kib(raw),
    kib(gzip),
    whole(startUp[name].median),
    `${whole(startUp[name].fastest)}–${whole(startUp[name].slowest)}`,
    mib(startUp[name].rssBytes),
    name in wasmBytes ? mib(wasmBytes[name]) : "–",
  ]);
  return table(["", "script", "gzip", "first answer ms", "fastest–slowest", "memory then", "wasm memory after all cases"], rows);
}

/** @param {object} report what bench.mjs writes as JSON */
export function markdown(report) {
  const { machine, versions, options, results, date } = report;
  const storage = Object.entries(report.media).map(([name, kind]) => `${name} (${kind})`);
  const sections = results.map((result) => {
    const { title, unitsPerRequest } = CASES[result.case];
    const heading = `### ${result.case}, storage on ${result.medium}: ${title}`;
    if (result.failed) return `${heading}\n\nFailed: ${result.failed.split("\n")[0]}\n`;
    const notes = [];
    if (unitsPerRequest) notes.push(`A request is ${unitsPerRequest} events.`);
    if (Object.values(result.contestants).some(({ summary }) => summary.exhausted)) notes.push("Ran out of prepared requests.");
    return `${heading}\n\n${figures(result)}\n${notes.length ? `\n${notes.join(" ")}\n` : ""}`;
  });
  return `# Bench of ${date}

${options.short ? "**A short run: good for whether it works, not for its numbers.**\n\n" : ""}\
${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Linux ${machine.kernel}, load ${two(machine.load)} before.
${versions.workerd}, ${versions.rustc}, Node ${versions.node}, mppx ${versions.mppx}, viem ${versions.viem}; commit ${versions.commit}, wasm ${versions.wasmSha256}.
Storage: ${storage.join(", ")}. ${options.rounds} rounds of ${options.measureMs / 1000} s after ${options.warmupMs / 1000} s of warm-up, contestants in turn, each on a
fresh process and an empty storage. CPU is workerd's processor time divided by requests; percentiles are of every latency as it was; spread is half
the distance between the rounds' extremes. Dollars are those of Cloudflare's price list (benches/lib/cost.mjs), by what a few requests of a
separate run are billed for and the CPU that is measured. Overhead is CPU above the floor's of the same round. Origin, chain and load
share the machine with workerd: “cores” is how much of one core workerd used, “helper's” how much origin and chain did.

## Compared

${verdicts(report)}

${comparison(results.filter(({ failed }) => !failed))}

## Once

${once(report)}

## Cases

${sections.join("\n")}`;
}

/** @param {object} report what `bench --growth` writes as JSON */
export function growthMarkdown({ date, machine, medium, rounds, count, results }) {
  const rows = results.map(({ axis, title, who, size, cpuMicros, rpcPosts, ratio }) => [
    `${axis}: ${title}`,
    who,
    `${size}`,
    whole(cpuMicros),
    two(ratio),
    two(rpcPosts),
  ]);
  return `# Growth, ${date}

${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Linux ${machine.kernel}, load ${two(machine.load)} before. Storage: ${medium}.
${rounds} rounds of ${count} requests, the sizes of an axis in turn, each in a workerd of its own. The ratio is the median of the rounds' own.

${table(["what grows", "", "size", "CPU µs", "÷ smallest", "RPC posts"], rows)}
`;
}
