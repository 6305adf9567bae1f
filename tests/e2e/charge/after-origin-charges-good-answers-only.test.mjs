// settle = "after-origin": verify, ask the origin, hold its answer, settle, release. Nothing is charged for an answer of 400 or more.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { expectPaid, expectProblem, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack({ gateway: { limits: { originTimeoutSeconds: 2 } } });
const { chain, origin, rpc, settlement } = stack;
const PATH = "/v1/late";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 30_000n };

afterEach(async () => {
  origin.reset();
  rpc.heal();
  await chain.resumeMining();
});

for (const status of [403, 408, 429]) {
  test(`an origin that answers ${status} is never charged, and the credential stays good`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential(PATH);
    origin.next(faults.status(status));
    const { answer } = await stack.present(PATH, credential);
    assert.equal(answer.status, status);
    assert.equal(answer.text, `origin says ${status}`);
    assert.equal(answer.headers["payment-receipt"], undefined);
    await mark.moved({ origin: 1 });
    const { answer: again } = await stack.present(PATH, credential);
    await expectPaid(stack, again, credential);
    await mark.moved({ ...ONE, origin: 2 });
  });
}

test("an unreachable or silent origin is never charged", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  await origin.refuse();
  expectProblem((await stack.present(PATH, credential)).answer, 502);
  await origin.accept();
  origin.next(faults.hang());
  expectProblem((await stack.present(PATH, credential)).answer, 504);
  origin.next(faults.status(402));
  assert.equal((await stack.present(PATH, credential)).answer.status, 502);
  await mark.moved({ origin: 2 });
});

test("an origin that dies mid-body after the release: the next fetch is free, three times and no more", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  origin.always(faults.dieMidBody());
  // The first delivery and its three reopenings.
  for (let fetched = 1; fetched <= 4; fetched++) {
    const { answer } = await stack.present(PATH, credential);
    await expectPaid(stack, answer, credential);
    assert.ok(answer.aborted, "a cut body is not passed off as a whole one");
    await mark.moved({ ...ONE, origin: fetched });
  }
  origin.reset();
  expectSpent((await stack.present(PATH, credential)).answer);
  await mark.moved({ ...ONE, origin: 4 });
});

/** An upload that ends so many milliseconds after it began. */
const uploadOf = (ms) =>
  Readable.from(
    (async function* () {
      const end = Date.now() + ms;
      while (Date.now() < end) {
        yield "a piece ";
        await sleep(300);
      }
    })(),
  );

test("A6: an upload that outlasts its lease, while a copy of its credential is being looked at: one delivery", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH, { method: "POST" });
  // The lease is held for the origin's 2 s and 5 s more.
  const long = stack.present(PATH, credential, { method: "POST", body: uploadOf(10_300) });
  await sleep(9_500);
  rpc.fail("*", faulty.slow(1_800));
  const copy = stack.present(PATH, credential, { method: "POST", body: "again" });
  await sleep(1_500);
  rpc.heal();
  const [late, served] = (await Promise.all([long, copy])).map(({ answer }) => answer);
  await expectPaid(stack, served, credential);
  assert.notEqual(late.status, 200, "whose lease ran out has lost it");
  expectSpent((await stack.present(PATH, credential, { method: "POST", body: "once more" })).answer);
  await mark.moved({ ...ONE, origin: 2 });
});

test("what broke off and was fetched again whole is spent", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  origin.next(faults.dieMidBody());
  assert.ok((await stack.present(PATH, credential)).answer.aborted);
  const { answer } = await stack.present(PATH, credential);
  await expectPaid(stack, answer, credential);
  assert.equal(answer.text, `content of GET ${PATH}`);
  expectSpent((await stack.present(PATH, credential)).answer);
  await mark.moved({ ...ONE, origin: 2 });
});

test("a doomed authorization does not reach the origin", async () => {
  const payer = stack.payers[2];
  const mark = await stack.mark();
  await chain.callToken("blacklist", [payer.address], stack.stranger);
  const { answer } = await stack.pay(PATH, { payer });
  await chain.callToken("unBlacklist", [payer.address], stack.stranger);
  expectProblem(answer, 402, "verification-failed");
  await mark.nothing();
});

test("nothing of the content is released before the money is ours", async () => {
  const mark = await stack.mark();
  await chain.pauseMining();
  const { answer, credential, authorization } = await stack.pay(PATH);
  expectTryAgain(answer);
  assert.ok(!answer.text.includes("content of"), "the held answer is not leaked");
  assert.equal((await chain.waiting(settlement.address)).length, 1);
  await chain.resumeMining();
  const delivered = await stack.resume(PATH, authorization);
  await expectPaid(stack, delivered, credential);
  assert.equal(delivered.text, `content of GET ${PATH}`);
  const { transfers, transactions, amount } = await mark.difference();
  assert.deepEqual({ transfers, transactions, amount }, { transfers: 1, transactions: 1, amount: 30_000n });
});

test("an origin that fails after the settlement went through is not charged again", async () => {
  const mark = await stack.mark();
  await chain.pauseMining();
  const { answer, credential, authorization } = await stack.pay(PATH);
  expectTryAgain(answer);
  await chain.resumeMining();
  // Resumed: the money is on its way already, so that now the origin's failure must not cost a second payment.
  origin.always(faults.status(500));
  const failed = await stack.resume(PATH, authorization);
  assert.equal(failed.status, 500);
  assert.equal(failed.headers["payment-receipt"], undefined);
  origin.reset();
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  const { transfers, transactions } = await mark.difference();
  assert.deepEqual({ transfers, transactions }, { transfers: 1, transactions: 1 });
});

test("a held stream is whole after its release", async () => {
  const mark = await stack.mark();
  const parts = Array.from({ length: 50 }, (_, i) => `data: ${i} ${"x".repeat(2_000)}\n\n`);
  origin.next(
    faults.stream((response) => {
      for (const part of parts) response.write(part);
      response.end();
    }),
  );
  const { answer, credential } = await stack.pay(PATH);
  await expectPaid(stack, answer, credential);
  assert.equal(answer.text, parts.join(""));
  await mark.moved(ONE);
});

test("a POST with its body works the same way", async () => {
  const mark = await stack.mark();
  const { answer, credential } = await stack.pay(PATH, { method: "POST", body: "payload" });
  await expectPaid(stack, answer, credential);
  assert.equal(origin.requests.at(-1).body.toString(), "payload");
  await mark.moved(ONE);
});
