// B4: workerd dies at a bad moment and comes back on the same storage. And secrets change while payments are under way. One kill at each
// stage of one payment is a case of the conformance suite; here are several payments, several kills, and what else is lost with them.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectPaid, expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
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
