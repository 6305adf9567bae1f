// The matrix of what holds: a line for each case, a column for each wire on a rail.

const PREFIX = "conformance ";

/** What a file of the suite says at its end, for `matrix` to read among everything else that tests say. */
export const saying = (column) => PREFIX + JSON.stringify(column);

/**
 * @param {string[]} said all diagnostics of a run
 * @returns {string[]} the lines of the matrix; none where nothing of the suite was run
 */
export function matrix(said) {
  const columns = said.filter((text) => text.startsWith(PREFIX)).map((text) => JSON.parse(text.slice(PREFIX.length)));
  if (columns.length === 0) return [];
  columns.sort((a, b) => `${a.wire} ${a.rail}`.localeCompare(`${b.wire} ${b.rail}`));
  const heads = columns.map(({ wire, rail }, i) => `${" │".repeat(i)} ┌ ${wire} on ${rail}`);
  const cases = [...new Set(columns.flatMap(({ cases }) => cases))];
  const mark = (column, name) => (column.held.includes(name) ? "✔" : column.cases.includes(name) ? "✖" : "·");
  return [...heads, ...cases.map((name) => `${columns.map((column) => ` ${mark(column, name)}`).join("")}  ${name}`)];
}
