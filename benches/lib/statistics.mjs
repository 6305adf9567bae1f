// Medians and spread of what rounds say.

/** @param {number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How far apart the rounds lie, as a share of their median. */
export function spread(values) {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

const SUMMED = [
  ...["rate", "p50", "p99", "cpuMicros", "utilisation", "clientCpuMicros", "helperUtilisation"],
  ...["rssBytes", "rpcCalls", "rpcPosts"],
];

/** One contestant's rounds of one case as medians, with the spread of what is compared. */
export function summary(rounds) {
  const of = (key) => rounds.map((round) => round[key]);
  return {
    ...Object.fromEntries(SUMMED.map((key) => [key, median(of(key))])),
    spread: { rate: spread(of("rate")), cpuMicros: spread(of("cpuMicros")), p50: spread(of("p50")), p99: spread(of("p99")) },
    exhausted: rounds.some(({ exhausted }) => exhausted),
    rounds: rounds.length,
  };
}
