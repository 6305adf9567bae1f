// The targets of the bench, as ratios within one run, and whether this run meets them.
import { ratios } from "./ratios.mjs";

/** @type {{what: string, of: (run: Run) => number | undefined, limit: number, atLeast?: boolean, digits?: number}[]} */
const TARGETS = [
  {
    what: "voucher alone, 64 channels: overhead ÷ peer's",
    of: (run) => run.ratio("voucher-only-64", "overheadToPeers"),
    limit: 0.2,
  },
  {
    what: "voucher alone, 64 channels: requests/s ÷ floor's",
    of: (run) => run.ratio("voucher-only-64", "rateToFloors"),
    limit: 0.65,
    atLeast: true,
  },
  {
    what: "voucher, paid request, 64 channels: overhead ÷ peer's",
    of: (run) => run.ratio("voucher-64", "overheadToPeers"),
    limit: 0.2,
  },
  {
    what: "voucher, paid request, 64 channels: requests/s ÷ floor's",
    of: (run) => run.ratio("voucher-64", "rateToFloors"),
    limit: 0.65,
    atLeast: true,
  },
  { what: "402, one offer: overhead ÷ peer's", of: (run) => run.ratio("402-one", "overheadToPeers"), limit: 0.25 },
  { what: "402, four offers: overhead ÷ peer's", of: (run) => run.ratio("402-four", "overheadToPeers"), limit: 0.25 },
  { what: "charge verification: CPU ÷ peer's", of: (run) => run.ratio("verify", "cpuToPeers"), limit: 0.2 },
  { what: "pass-through: requests/s ÷ peer's", of: (run) => run.ratio("pass", "rateToPeers"), limit: 0.8, atLeast: true },
  {
    what: "charge verification less 402, µs (more than the recovery alone)",
    of: (run) => run.cpu("verify") - run.cpu("402-one"),
    limit: 120,
    digits: 0,
  },
  { what: "script by gzip, KiB", of: ({ report }) => report.sizes.ours.gzip / 1024, limit: 350, digits: 0 },
  {
    what: "start-up to first answer ÷ peer's",
    of: ({ report }) => report.startUp.ours.median / report.startUp.peer.median,
    limit: 1,
  },
];

class Run {
  constructor(report, medium) {
    this.report = report;
    this.medium = medium;
  }

  result(name) {
    const results = this.report.results.filter((result) => result.case === name && !result.failed);
    return results.find(({ medium }) => medium === this.medium) ?? results[0];
  }

  ratio(name, key) {
    const result = this.result(name);
    return result && ratios(result)?.[key];
  }

  cpu(name) {
    return this.result(name)?.contestants.ours?.summary.cpuMicros ?? Number.NaN;
  }
}

/** Every target that this run can say something about, on its first medium. */
export function targets(report) {
  const run = new Run(report, Object.keys(report.media)[0]);
  return TARGETS.map(({ of, ...target }) => ({ ...target, value: of(run) }))
    .filter(({ value }) => Number.isFinite(value))
    .map((target) => ({ ...target, met: target.atLeast ? target.value >= target.limit : target.value <= target.limit }));
}
