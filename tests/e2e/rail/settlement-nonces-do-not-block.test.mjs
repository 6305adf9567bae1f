// B3, B7, A25: the settlement account's transactions get stuck, lost or overtaken, and its nonces are used by others.
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { expectPaid, expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { Gateway } from "../harness/gateway.mjs";
import { send } from "../harness/http.mjs";
import { until } from "../harness/processes.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { chain, rpc, settlement } = stack;
const PATH = "/v1/reports/1";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };
const HIGH = { maxFeePerGas: 900_000_000_000n, maxPriorityFeePerGas: 800_000_000_000n };
/** How long the gateway may take to notice that a transaction does not get anywhere. */
const PATIENCE = 120_000;

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

/** Pays while no block is made: leaves one transaction of ours in the pool. */
async function payWithoutBlocks(options) {
  await chain.pauseMining();
  const paid = await stack.pay(PATH, options);
  expectTryAgain(paid.answer);
  const [waiting] = await chain.submitted(settlement.address);
  return { ...paid, waiting };
}

test("a transaction stuck below the base fee is replaced with a higher fee, at the same nonce", {
  timeout: 180_000,
}, async () => {
  const mark = await stack.mark();
  const { credential, authorization, waiting } = await payWithoutBlocks();
  const fee = BigInt(waiting.maxFeePerGas ?? waiting.gasPrice);
  await chain.test.setNextBlockBaseFeePerGas({ baseFeePerGas: fee + fee / 20n });
  const bumped = await until(
    async () => {
      await stack.send(PATH, { authorization });
      const list = await chain.waiting(settlement.address);
      return list.find((one) => BigInt(one.maxFeePerGas ?? one.gasPrice) > fee);
    },
    "a replacement",
    PATIENCE,
  );
  assert.equal(bumped.nonce, waiting.nonce);
  assert.equal(bumped.input, waiting.input, "the same operation");
  assert.equal((await chain.waiting(settlement.address)).length, 1, "it replaces, it does not add");
  await chain.resumeMining();
  await expectPaid(stack, await stack.resume(PATH, authorization, { ms: PATIENCE }), credential);
  await mark.moved(ONE);
});

test("a transaction that the pool lost is broadcast again", { timeout: 180_000 }, async () => {
  const mark = await stack.mark();
  const { credential, authorization, waiting } = await payWithoutBlocks();
  await chain.test.dropTransaction({ hash: waiting.hash });
  assert.deepEqual(await chain.waiting(settlement.address), []);
  await chain.resumeMining();
  await expectPaid(stack, await stack.resume(PATH, authorization, { ms: PATIENCE }), credential);
  await mark.moved(ONE);
});

test("somebody else used the account's next nonce while nothing was under way", async () => {
  await chain.spendNonce(settlement);
  await chain.spendNonce(settlement);
  const mark = await stack.mark();
  const { answer, credential, authorization } = await stack.pay(PATH);
  await expectPaid(stack, answer.status === 503 ? await stack.resume(PATH, authorization) : answer, credential);
  await mark.moved(ONE);
});

test("somebody else's transaction overtakes ours at the same nonce: ours gets another one", { timeout: 180_000 }, async () => {
  const mark = await stack.mark();
  const { credential, authorization, waiting } = await payWithoutBlocks();
  await chain.spendNonce(settlement, { nonce: Number(waiting.nonce), ...HIGH, gas: 21_000n });
  await chain.resumeMining();
  await expectPaid(stack, await stack.resume(PATH, authorization, { ms: PATIENCE }), credential);
  await mark.moved({ ...ONE, transactions: 2 });
});

test("a gap below our transactions is filled: nobody waits for ever", { timeout: 180_000 }, async () => {
  const mark = await stack.mark();
  await chain.pauseMining();
  const paid = [];
  for (const [i, payer] of stack.payers.slice(0, 3).entries()) {
    paid.push(await stack.pay(`/v1/reports/gap-${i}`, { payer }));
  }
  const waiting = await chain.submitted(settlement.address, 3);
  waiting.sort((a, b) => Number(a.nonce) - Number(b.nonce));
  await chain.test.dropTransaction({ hash: waiting[0].hash });
  await chain.resumeMining();
  for (const [i, { credential, authorization }] of paid.entries()) {
    const answer = await stack.resume(`/v1/reports/gap-${i}`, authorization, { ms: PATIENCE });
    await expectPaid(stack, answer, credential);
  }
  await mark.moved({ origin: 3, transactions: 3, transfers: 3, amount: 30_000n });
});

test("A25: a transaction that no node will ever take ends at once, and its nonce is the next one's", async () => {
  const mark = await stack.mark();
  rpc.fail("eth_sendRawTransaction", faulty.error("intrinsic gas too high -- tx.gas_limit > env.block.gas_limit"), 1);
  const begun = Date.now();
  const refused = await stack.pay(PATH);
  expectProblem(refused.answer, 402, "verification-failed");
  expectProblem(await stack.send(PATH, { authorization: refused.authorization }), 402, "verification-failed");
  const { answer, credential } = await stack.pay(PATH);
  await expectPaid(stack, answer, credential);
  assert.ok(Date.now() - begun < 10_000, "nobody waits");
  await mark.moved(ONE);
});

test("A25: those behind one that no node will ever take move up at once", async () => {
  const mark = await stack.mark();
  rpc.forget();
  rpc.fail("eth_sendRawTransaction", { ...faulty.slow(1_500), ...faulty.error("exceeds block gas limit") }, 1);
  const first = stack.pay(PATH, { payer: stack.payers[0] });
  await rpc.called("eth_sendRawTransaction");
  const begun = Date.now();
  const behind = await Promise.all([1, 2, 3].map((i) => stack.pay(`/v1/reports/behind-${i}`, { payer: stack.payers[i] })));
  for (const [i, { answer, credential, authorization }] of behind.entries()) {
    const paid = answer.status === 503 ? await stack.resume(`/v1/reports/behind-${i + 1}`, authorization) : answer;
    await expectPaid(stack, paid, credential);
  }
  assert.ok(Date.now() - begun < 10_000, "nobody waits for longer than it takes to be refused");
  expectProblem((await first).answer, 402, "verification-failed");
  // One that does nothing has taken its place.
  await mark.moved({ origin: 3, transactions: 4, transfers: 3, amount: 30_000n });
});

test("two gateways with one settlement account collide, and both come through", { timeout: 300_000 }, async () => {
  const other = await new Gateway({ vars: { gateway: stack.configuration }, secrets: stack.secrets }).start();
  after(() => other.dispose());
  const mark = await stack.mark();
  const count = 12;
  const credentials = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      stack.credential(`/v1/reports/shared-${i}`, { payer: stack.payers[i % stack.payers.length] }),
    ),
  );
  const host = stack.host;
  const answers = await Promise.all(
    credentials.map((credential, i) => {
      const path = `/v1/reports/shared-${i}`;
      const authorization = encodeCredential(credential);
      if (i % 2) return stack.resume(path, authorization, { ms: PATIENCE });
      return until(
        async () => {
          const answer = await send(other.urls[0], path, { host, headers: { authorization } });
          return answer.status !== 503 && answer;
        },
        path,
        PATIENCE,
      );
    }),
  );
  for (const [i, answer] of answers.entries()) await expectPaid(stack, answer, credentials[i]);
  const transfers = await chain.transfersTo(stack.recipient);
  const ours = new Set(credentials.map(({ payload }) => payload.nonce));
  assert.equal(ours.size, count);
  assert.equal(new Set(answers.map(({ receipt }) => receipt.reference)).size, count, "each has a transfer of its own");
  assert.ok(transfers.length >= count);
  const look = await mark.difference();
  assert.equal(look.transfers, count);
  assert.equal(look.amount, BigInt(count) * 10_000n);
  assert.equal(look.origin, count);
  assert.deepEqual(await chain.waiting(settlement.address), [], "nothing is left behind in the pool");
});
