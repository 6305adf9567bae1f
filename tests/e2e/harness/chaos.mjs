// Power cuts at random moments, which a number can bring back.
import { until } from "./processes.mjs";

/** What chance decides about. The same number makes the same choices, though not the same moments. */
export const SEED = Number(process.env.SESSION_SEED ?? Date.now() % 1_000_000);

/** A generator of numbers from 0 up to 1 (mulberry32). */
export function random(seed = SEED) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Kills and restarts the gateway at random moments until `work` is over, or `most` times. Between two kills every one of the counters
 * that `progress` returns has moved, so that nobody is hit again and again in one and the same request; Infinity: it is finished.
 * @returns {Promise<number>} how often
 */
export async function killDuring(stack, work, { chance, progress, most = Number.POSITIVE_INFINITY, pause = [50, 800] }) {
  let over = false;
  const ended = work.finally(() => {
    over = true;
  });
  // Whatever fails is reported below.
  ended.catch(() => {});
  let kills = 0;
  while (kills < most && !over) {
    const before = progress();
    const all = () => progress().every((count, i) => count > before[i] || count === Number.POSITIVE_INFINITY);
    await until(() => over || all(), "everybody to get on", 60_000);
    await new Promise((resolve) => setTimeout(resolve, pause[0] + chance() * (pause[1] - pause[0])));
    if (over) break;
    await stack.gateway.kill();
    kills += 1;
    await stack.gateway.start();
  }
  await ended;
  return kills;
}
