// Results as Markdown: the numbers, the ratios that the targets are about, and what they were measured on.
import { CASES } from "./cases.mjs";
import { paired } from "./statistics.mjs";

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

/** Ratios of one case, each taken within a round. */
export function ratios({ contestants }) {
  const { floor, peer, ours } = contestants;
  if (!floor || !peer || !ours) return undefined;
  const count = Math.min(...[floor, peer, ours].map(({ rounds }) => rounds.length));
  const at = (contestant, key) => (round) => contestant.rounds[round][key];
  const over = (contestant) => (round) => at(contestant, "cpuMicros")(round) - at(floor, "cpuMicros")(round);
  return {
    overhead: paired(count, over(ours)),
    peerOverhead: paired(count, over(peer)),
    overheadToPeers: paired(count, (round) => over(ours)(round) / over(peer)(round)),
    cpuToPeers: paired(count, (round) => at(ours, "cpuMicros")(round) / at(peer, "cpuMicros")(round)),
    rateToPeers: paired(count, (round) => at(ours, "rate")(round) / at(peer, "rate")(round)),
    rateToFloors: paired(count, (round) => at(ours, "rate")(round) / at(floor, "rate")(round)),
  };
}

function figures(result) {
  const rows = [];
  for (const [name, { summary, objectCalls }] of Object.entries(result.contestants)) {
    rows.push([
      name,
      whole(summary.rate),
      percent(summary.spread.rate),
      millis(summary.p50),
      millis(summary.p99),
      whole(summary.cpuMicros),
      percent(summary.spread.cpuMicros),
      two(summary.utilisation),
      objectCalls === undefined ? "–" : two(objectCalls),
      two(summary.rpcCalls),
      two(summary.rpcPosts),
      mib(summary.rssBytes),
    ]);
  }
  const titles = [
    ...["", "requests/s", "spread", "p50 ms", "p99 ms", "CPU µs", "spread", "cores", "object calls", "RPC calls"],
    ...["RPC posts", "memory"],
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
    const notes = [];
    if (unitsPerRequest) notes.push(`A request is ${unitsPerRequest} events.`);
    if (Object.values(result.contestants).some(({ summary }) => summary.exhausted)) notes.push("Ran out of prepared requests.");
    return `### ${result.case}, storage on ${result.medium}: ${title}\n\n${figures(result)}\n${notes.length ? `\n${notes.join(" ")}\n` : ""}`;
  });
  return `# Bench of ${date}

${options.short ? "**A short run: good for whether it works, not for its numbers.**\n\n" : ""}\
${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Linux ${machine.kernel}, load ${two(machine.load)} before.
${versions.workerd}, ${versions.rustc}, Node ${versions.node}, mppx ${versions.mppx}, viem ${versions.viem}; commit ${versions.commit}, wasm ${versions.wasmSha256}.
Storage: ${storage.join(", ")}. ${options.rounds} rounds of ${options.measureMs / 1000} s after ${options.warmupMs / 1000} s of warm-up, contestants in turn, each on a
fresh process and an empty storage. CPU is workerd's processor time divided by requests; percentiles are of every latency as it was; spread is half
the distance between the rounds' extremes. Overhead is CPU above the floor's of the same round. Origin, chain and load share the machine with workerd.

## Compared

${comparison(results)}

## Once

${once(report)}

## Cases

${sections.join("\n")}`;
}
