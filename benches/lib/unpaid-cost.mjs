// What workerd takes for each kind of request that nobody has paid for, beside a plain one that is answered by 402.
import { say } from "../../scripts/lib/run.mjs";
import { ChainStub } from "./chain.mjs";
import { gateway } from "./contestants.mjs";
import { buildLoad, slice } from "./measure.mjs";
import { startOrigin } from "./origin.mjs";
import { media } from "./places.mjs";
import { CHAIN } from "./setting.mjs";
import { median } from "./statistics.mjs";
import { caseOf, UNPAID } from "./unpaid.mjs";

/** Says the median of the rounds for each kind. @param {{buildDir: string, rounds: number, warmupMs: number, measureMs: number}} options */
export async function unpaidCost({ buildDir, rounds, warmupMs, measureMs }) {
  const chain = await new ChainStub(CHAIN).start();
  const origin = await startOrigin();
  try {
    const contestant = gateway({ buildDir, origin: origin.url, rpcUrl: chain.url });
    const load = await buildLoad();
    const taken = Object.fromEntries(Object.keys(UNPAID).map((name) => [name, []]));
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, kind] of Object.entries(UNPAID)) {
        const options = { load, contestant, item: caseOf(kind), folder: media()[0].folder, chain, warmupMs, measureMs };
        taken[name].push((await slice(options)).cpuMicros);
      }
    }
    const plain = median(taken.plain);
    for (const [name, micros] of Object.entries(taken)) {
      const own = median(micros);
      say(`${name.padEnd(24)}${own.toFixed(0).padStart(6)} µs${(own / plain).toFixed(1).padStart(7)} times a plain 402`);
    }
  } finally {
    await origin.stop();
    await chain.stop();
  }
}
