// Children of a test file never outlive it, not even when the file itself dies early.
const stops = new Set();

/** Registers a synchronous last-resort stop; returns a function that forgets it again. */
export function endWithUs(stop) {
  stops.add(stop);
  return () => stops.delete(stop);
}

process.on("exit", () => {
  for (const stop of stops) {
    try {
      stop();
    } catch {
      // The process is ending; what is already gone needs no stopping.
    }
  }
});
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
]) {
  process.on(signal, () => process.exit(code));
}

/** Rejects after `ms` unless `promise` settles first; `what` names what never came. */
export async function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Polls `probe` until it returns something truthy. For state that announces itself by no event (a chain, a log). */
export async function until(probe, what, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
