// The targets of the bench, as ratios within one run, and whether this run meets them.
import { billed, dollars } from "./cost.mjs";
import { ratios } from "./ratios.mjs";

/** @type {{what: string, of: (run: Run) => number | undefined, limit: number, atLeast?: boolean, digits?: number}[]} */
const TARGETS = [
  {
    what: "recovery in workerd with its digest, µs (a charge verified less one refused before)",
    of: (run) => run.cpu("verify") - run.cpu("verify-unread"),
    limit: 45,
    digits: 0,
  },
  overhead("voucher alone, 64 channels", "voucher-only-64", 0.15),
  overhead("voucher, paid request, 64 channels", "voucher-64", 0.25),
  {
    what: "voucher, paid request, 64 channels: requests/s ÷ floor's",
    of: (run) => run.ratio("voucher-64", "rateToFloors"),
    limit: 0.65,
    atLeast: true,
  },
  overhead("402, one offer", "402-one", 0.2),
  overhead("402, four offers", "402-four", 0.1),
  cpu("charge verified", "verify", 0.12),
  cpu("charge settled", "charge", 0.9),
  overhead("events, paced", "events-paced", 0.3),
  overhead("events, burst", "events-burst", 0.3),
  cpu("1 MB body", "body", 1),
  cpu("pass-through", "pass", 1.1),
  {
    what: "start-up to first answer ÷ peer's",
    of: ({ report }) => report.startUp.ours.median / report.startUp.peer.median,
    limit: 1,
  },
  { what: "script by gzip, KiB", of: ({ report }) => report.sizes.ours.gzip / 1024, limit: 600, digits: 0 },
  { what: "paid voucher: dollars per million", of: (run) => run.bill("voucher-64", dollars), limit: 1.6 },
  { what: "paid voucher: rows written", of: (run) => run.bill("voucher-64", rowsWritten), limit: 1 },
  { what: "charge settled: rows written, with alarms", of: (run) => run.bill("charge", rowsWritten), limit: 6 },
  { what: "dearest unpaid request ÷ a plain 402, CPU", of: (run) => run.cpu("402-dear") / run.cpu("402-one"), limit: 3 },
];

function overhead(what, name, limit) {
  return { what: `${what}: overhead ÷ peer's`, of: (run) => run.ratio(name, "overheadToPeers"), limit };
}

function cpu(what, name, limit) {
  return { what: `${what}: CPU ÷ peer's`, of: (run) => run.ratio(name, "cpuToPeers"), limit };
}

function rowsWritten(bill) {
  return bill.rowsWritten;
}

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

  bill(name, of) {
    const seen = this.result(name)?.contestants.ours?.billed;
    return seen && of(billed(seen, this.cpu(name)));
  }
}

/** Every target that this run can say something about, on its first medium. */
export function targets(report) {
  const run = new Run(report, Object.keys(report.media)[0]);
  return TARGETS.map(({ of, ...target }) => ({ ...target, value: of(run) }))
    .filter(({ value }) => Number.isFinite(value))
    .map((target) => ({ ...target, met: target.atLeast ? target.value >= target.limit : target.value <= target.limit }));
}
