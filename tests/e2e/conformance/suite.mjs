// Runs every case for one wire on one rail, and says which of them hold.
import { afterEach, test } from "node:test";
import { startStack } from "../harness/stack.mjs";
import { CASES } from "./cases.mjs";
import { saying } from "./matrix.mjs";

/**
 * A wire on a rail, as the cases see it: the wire's members, and the requests that are made of them.
 * @typedef {ReturnType<typeof wayOf>} Way
 */
function wayOf(wire, stack) {
  const way = {
    ...wire,
    stack,
    offer: (path, options) => wire.offer(stack, path, options),
    sign: (offer, options) => wire.sign(stack, offer, options),
    /** A proof that pays for `path`, not yet presented. */
    proof: async (path, options) => way.sign(await way.offer(path, options)),
    present: (path, proof, { headers = [], ...options } = {}) =>
      stack.send(path, { ...options, headers: [...wire.headers(proof), ...headers] }),
    /** Presents the same proof again for as long as the gateway says 503, as a patient client does. */
    resume: (path, proof, options) => stack.resume(path, undefined, { headers: wire.headers(proof), ...options }),
    /** Asks, signs, pays. */
    async pay(path, { headers, ...options } = {}) {
      const proof = await way.proof(path, options);
      return { proof, answer: await way.present(path, proof, { headers, ...options }) };
    },
    /** Presents `count` copies at once, in turn through both isolates. */
    copies: (path, proof, count) =>
      Promise.all(Array.from({ length: count }, (_, i) => way.present(path, proof, { via: i % 2 }))),
    expectPaid: (answer, proof, options) => wire.expectPaid(stack, answer, proof, options),
  };
  return way;
}

/**
 * Brings up a stack and runs the suite.
 * @param {import("./wires.mjs").Wire} wire
 * @param {string} network where the client pays
 * @param {string[]} networks those that the gateway takes payments on
 */
export async function conform(wire, network = "abstract-testnet", networks = [network]) {
  const limits = { settlementTimeoutSeconds: 5, rpcTimeoutSeconds: 2, originTimeoutSeconds: 5 };
  const stack = await startStack({ networks, gateway: { limits } });
  const way = wayOf(wire, stack.rails[network]);
  const held = [];

  afterEach(async () => {
    await stack.origin.accept();
    stack.origin.reset();
    way.stack.rpc.heal();
    await way.stack.chain.resumeMining();
  });
  for (const [name, run] of Object.entries(CASES)) {
    test(`${wire.name} on ${network}: ${name}`, { timeout: 120_000 }, async () => {
      await run(way);
      held.push(name);
    });
  }
  test(`${wire.name} on ${network}: what holds goes into the matrix`, (t) => {
    t.diagnostic(saying({ wire: wire.name, rail: network, cases: Object.keys(CASES), held }));
  });
}
