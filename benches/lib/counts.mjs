// Counts beside those that are written down: where they differ, and whether that is a failure.
//
// A call more or less is a change that somebody should have meant to make, and so is an operation of the core that takes 5 % more or less:
// what is suddenly cheap may not be done any more. A script that shrinks is only said, so that small savings can come together.

/** How far a count may be from what is written, and whether less is a failure as well. */
const RULES = {
  sizes: { tolerance: 0.01, lessFails: false },
  calls: { tolerance: 0, lessFails: true },
  instructions: { tolerance: 0.05, lessFails: true },
};

/**
 * Every count of a part that is not what is written.
 * @returns {{text: string, fails: boolean}[]}
 */
export function differences(part, written, counted) {
  const { tolerance, lessFails } = RULES[part];
  const [was, is] = [flat(written), flat(counted)];
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((name) => {
    const [before, after] = [was.get(name), is.get(name)];
    if (before !== undefined && after !== undefined && Math.abs(after - before) <= before * tolerance) return [];
    const less = before !== undefined && !(after >= before);
    const share = before > 0 && after !== undefined ? ` (${percent(after / before - 1)})` : "";
    const text = `  ${less ? "less" : "MORE"}  ${part}: ${name}: ${before ?? "nothing"} → ${after ?? "nothing"}${share}`;
    return [{ text, fails: !less || lessFails }];
  });
}

const percent = (share) => `${share > 0 ? "+" : ""}${(share * 100).toFixed(1)} %`;

/** Nested counts by their path. */
function flat(counts, path = []) {
  return new Map(
    Object.entries(counts).flatMap(([name, value]) =>
      typeof value === "number" ? [[[...path, name].join(" "), value]] : [...flat(value, [...path, name])],
    ),
  );
}

/** A request that nobody has paid for costs the core at most so many times what a plain one does that is answered by 402. */
const DEAREST_UNPAID = 3;

/**
 * The dearest unpaid request among the counted instructions, and whether it is too dear.
 * @returns {{text: string, fails: boolean} | undefined}
 */
export function dearestUnpaid(instructions) {
  const plain = instructions["unpaid-plain"];
  const unpaid = Object.entries(instructions).filter(([name]) => name.startsWith("unpaid-"));
  const [dearest] = unpaid.sort(([, one], [, other]) => other - one);
  if (!plain || !dearest) return undefined;
  const times = dearest[1] / plain;
  const text = `dearest unpaid request: ${dearest[0]}, ${times.toFixed(2)} times a plain 402, at most ${DEAREST_UNPAID}`;
  return { text, fails: times > DEAREST_UNPAID };
}
