// B4: workerd dies at a bad moment and comes back on the same storage. And secrets change while payments are under way.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectPaid, expectProblem, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { OTHER_SECRET, SECRET, startStack } from "../harness/stack.mjs";

const stack = await startStack({ gateway: { limits: { settlementTimeoutSeconds: 30, originTimeoutSeconds: 30 } } });
const { chain, gateway, origin, rpc, settlement } = stack;
const PATH = "/v1/reports/1";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };

afterEach(async () => {
  origin.reset();
  rpc.heal();
  await chain.resumeMining();
});

/** Presents a credential, and kills the gateway with the request under way as soon as `moment` resolves. */
async function killDuring(path, credential, moment) {
  const authorization = encodeCredential(credential);
  const cut = assert.rejects(stack.send(path, { authorization }), "the connection breaks with the process");
  await moment();
  await gateway.kill();
  await cut;
  return authorization;
}

for (const path of [PATH, "/v1/late"]) {
  test(`${path}: killed between broadcast and receipt, the same credential completes with one transfer`, async () => {
    const amount = path === PATH ? 10_000n : 30_000n;
    const mark = await stack.mark();
    const credential = await stack.credential(path);
    await chain.pauseMining();
    const authorization = await killDuring(path, credential, () => chain.submitted(settlement.address));
    await chain.resumeMining();
    await gateway.start();
    await expectPaid(stack, await stack.resume(path, authorization), credential);
    expectSpent(await stack.send(path, { authorization }));
    const { transactions, transfers, amount: moved } = await mark.difference();
    assert.deepEqual({ transactions, transfers, moved }, { transactions: 1, transfers: 1, moved: amount });
  });
}

test("killed between broadcast and receipt, with the transaction lost as well: it is broadcast again", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  await chain.pauseMining();
  const authorization = await killDuring(PATH, credential, () => chain.submitted(settlement.address));
  const [{ hash }] = await chain.waiting(settlement.address);
  await chain.test.dropTransaction({ hash });
  await chain.resumeMining();
  await gateway.start();
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  await mark.moved(ONE);
});

test("killed while the broadcast is on its way: one transfer", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  rpc.fail("eth_sendRawTransaction", faulty.hang);
  rpc.forget();
  const authorization = await killDuring(PATH, credential, () => rpc.called("eth_sendRawTransaction"));
  rpc.heal();
  await gateway.start();
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  await mark.moved(ONE);
});

test("killed while it simulates: one transfer", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  rpc.fail("eth_call", faulty.hang);
  rpc.forget();
  const authorization = await killDuring(PATH, credential, () => rpc.called("eth_call"));
  rpc.heal();
  await gateway.start();
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  await mark.moved(ONE);
});

test("killed between settlement and delivery: delivered after the restart, without a second transfer", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  origin.next(faults.hang());
  const seen = origin.requests.length;
  const authorization = await killDuring(PATH, credential, () => origin.arrival(seen + 1));
  await mark.moved(ONE);
  await gateway.start();
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  await mark.moved({ ...ONE, origin: 2 });
});

test("killed while three payments wait for their block: all three complete", async () => {
  const mark = await stack.mark();
  await chain.pauseMining();
  const credentials = await Promise.all(stack.payers.slice(0, 3).map((payer) => stack.credential(PATH, { payer })));
  const cut = credentials.map((credential) => assert.rejects(stack.present(PATH, credential)));
  await chain.submitted(settlement.address, 3);
  await gateway.kill();
  await Promise.all(cut);
  await chain.resumeMining();
  await gateway.start();
  for (const credential of credentials) {
    await expectPaid(stack, await stack.resume(PATH, encodeCredential(credential)), credential);
  }
  await mark.moved({ origin: 3, transactions: 3, transfers: 3, amount: 30_000n });
});

test("killed and restarted five times in one payment: one transfer", { timeout: 120_000 }, async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  await chain.pauseMining();
  for (let i = 0; i < 5; i++) {
    await killDuring(PATH, credential, () => chain.submitted(settlement.address));
    await gateway.start();
  }
  assert.equal((await chain.waiting(settlement.address)).length, 1, "one transaction, however often it was resumed");
  await chain.resumeMining();
  await expectPaid(stack, await stack.resume(PATH, encodeCredential(credential)), credential);
  await mark.moved(ONE);
});

for (const [how, end] of [
  ["an orderly restart", () => gateway.restart()],
  ["a kill", () => gateway.kill().then(() => gateway.start())],
]) {
  test(`what was delivered before ${how} is spent after it`, async () => {
    const { answer, credential, authorization } = await stack.pay(PATH);
    await expectPaid(stack, answer, credential);
    await end();
    const mark = await stack.mark();
    for (const via of [0, 1]) expectSpent(await stack.send(PATH, { authorization, via }));
    await mark.nothing();
  });
}

test("a payment that waits for its block goes on by itself: it is settled without anybody asking", async () => {
  await stack.reconfigure({ gateway: { limits: { settlementTimeoutSeconds: 2 } } });
  const mark = await stack.mark();
  await chain.pauseMining();
  const { answer, credential, authorization } = await stack.pay(PATH);
  expectTryAgain(answer);
  await chain.resumeMining();
  await mark.moved({ ...ONE, origin: 0 });
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  await stack.reconfigure({});
});

test("a challenge of the previous secret is paid while that secret is configured as the previous one", async () => {
  const mark = await stack.mark();
  const before = await stack.credential(PATH);
  const alsoBefore = await stack.credential(PATH);
  await stack.reconfigure({ secrets: { MPP_SECRET_KEY: OTHER_SECRET, MPP_SECRET_KEY_PREVIOUS: SECRET } });
  const { answer } = await stack.present(PATH, before);
  await expectPaid(stack, answer, before);
  const fresh = await stack.pay(PATH);
  await expectPaid(stack, fresh.answer, fresh.credential);
  await mark.moved({ origin: 2, transactions: 2, transfers: 2, amount: 20_000n });
  // And not a moment longer.
  const none = await stack.mark();
  await stack.reconfigure({ secrets: { MPP_SECRET_KEY: OTHER_SECRET } });
  expectProblem((await stack.present(PATH, alsoBefore)).answer, 402, "invalid-challenge");
  expectProblem((await stack.present(PATH, before)).answer, 402, "invalid-challenge");
  await none.nothing();
});

test("a payment under way survives the rotation of the secret", async () => {
  await stack.reconfigure({});
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  await chain.pauseMining();
  const authorization = await killDuring(PATH, credential, () => chain.submitted(settlement.address));
  await chain.resumeMining();
  await stack.reconfigure({ secrets: { MPP_SECRET_KEY: OTHER_SECRET, MPP_SECRET_KEY_PREVIOUS: SECRET } });
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  await mark.moved(ONE);
});
