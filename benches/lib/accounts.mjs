// How many charges a second several settlement accounts settle, where a chain takes so many transactions of each in a block.
import { say } from "../../scripts/lib/run.mjs";
import { charges } from "./cases.mjs";
import { ChainStub } from "./chain.mjs";
import { gateway } from "./contestants.mjs";
import { buildLoad, drive } from "./measure.mjs";
import { startOrigin } from "./origin.mjs";
import { media, scratch } from "./places.mjs";
import { CHAIN, payers, settlement } from "./setting.mjs";
import { startWorker } from "./workerd.mjs";

/** How many accounts there are in turn. */
const NUMBERS = [1, 2, 4];
/** A block a second with at most as many transactions of one account as geth's pool keeps for certain (`accountslots`). */
const BLOCKS = { everyMs: 1_000, most: 16 };
const CONNECTIONS = 128;
/** More charges than any of them settles. */
const RATE = 200;

/** Keys that nothing else uses. */
const keys = [settlement, ...payers.slice(-NUMBERS.at(-1))].map(({ privateKey }) => privateKey);

/** @param {{buildDir: string, warmupMs: number, measureMs: number}} options */
export async function accountsBench({ buildDir, warmupMs, measureMs }) {
  const load = await buildLoad();
  const origin = await startOrigin();
  const [{ folder }] = media();
  say(`A block each ${BLOCKS.everyMs} ms takes ${BLOCKS.most} transactions of an account; ${CONNECTIONS} connections.`);
  for (const number of NUMBERS) {
    const chain = new ChainStub({ ...CHAIN, blocks: BLOCKS });
    await chain.start();
    const { dir, remove } = scratch(folder);
    const worker = await startWorker(selling(buildDir, origin.url, chain.url, number), dir);
    try {
      const requests = await charges(worker, Math.ceil((RATE * (warmupMs + measureMs)) / 1_000));
      const measured = await drive({ load, worker, requests, connections: CONNECTIONS, warmupMs, measureMs, expect: 200 });
      const [rate, cores] = [measured.requests, measured.cpuSeconds].map((sum) => sum / measured.seconds);
      const p50 = measured.p50 / 1e6;
      say(`    ${number} accounts  ${rate.toFixed(1)} charges/s  p50 ${p50.toFixed(2)} s  ${cores.toFixed(2)} cores`);
    } finally {
      await worker.stop();
      remove();
      await chain.stop();
    }
  }
  await origin.stop();
}

/** The gateway with that many accounts. Several sell charges only. */
function selling(buildDir, origin, rpcUrl, number) {
  const { vars, secrets, ...rest } = gateway({ buildDir, origin, rpcUrl });
  const { evmEscrow, session, routes, ...told } = vars.gateway;
  const paths = ["/one", "/charge/*", "/digest"];
  return {
    ...rest,
    vars: { gateway: { ...told, routes: routes.filter(({ path }) => paths.includes(path)) } },
    secrets: { ...secrets, SETTLEMENT_PRIVATE_KEY: keys.slice(0, number).join(",") },
  };
}
