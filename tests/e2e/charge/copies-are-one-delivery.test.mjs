// A6: however many copies of one payment arrive at once, through however many isolates, it is settled and delivered once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectPaid, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack({ gateway: { limits: { settlementTimeoutSeconds: 30, rpcTimeoutSeconds: 5 } } });
const { origin } = stack;
const COPIES = 200;

/** Sends `count` copies of one credential at once, in turn through both isolates. */
function burst(path, authorization, count = COPIES) {
  return Promise.all(Array.from({ length: count }, (_, i) => stack.send(path, { authorization, via: i % 2 })));
}

/** Asserts that one answer was delivered and every other one said "still working on it" or "already delivered". */
async function expectOneDelivery(answers, credential) {
  const delivered = answers.filter(({ status }) => status === 200);
  const said = new Set(answers.map(({ status, text }) => `${status} ${status === 503 ? text : ""}`));
  assert.equal(delivered.length, 1, `answers: ${[...said].join("\n")}`);
  await expectPaid(stack, delivered[0], credential);
  for (const answer of answers) {
    if (answer === delivered[0]) continue;
    if (answer.status === 503) expectTryAgain(answer);
    else expectSpent(answer);
  }
}

for (const scheme of ["evm", "abstract"]) {
  test(`${scheme}: ${COPIES} parallel copies through both isolates are one transaction and one delivery`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential("/v1/reports/1", { scheme });
    stack.rpc.forget();
    const answers = await burst("/v1/reports/1", encodeCredential(credential));
    assert.ok(stack.rpc.posts < COPIES / 4, `copies do not ask the chain one by one: ${stack.rpc.posts} requests`);
    await expectOneDelivery(answers, credential);
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
  });
}

test("copies that arrive while the origin still works are one delivery", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/reports/2");
  const authorization = encodeCredential(credential);
  const { promise: open, resolve } = Promise.withResolvers();
  origin.next({
    async answer(_request, response) {
      await open;
      response.end("worth the wait");
    },
  });
  const first = stack.send("/v1/reports/2", { authorization });
  const seen = origin.requests.length;
  await origin.arrival(seen + 1);
  const others = await burst("/v1/reports/2", authorization, 20);
  for (const answer of others) expectTryAgain(answer);
  resolve();
  const answer = await first;
  assert.equal(answer.text, "worth the wait");
  await expectPaid(stack, answer, credential);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("parallel copies of a payment whose origin failed are still one transaction", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/reports/3");
  const authorization = encodeCredential(credential);
  origin.next(faults.status(500));
  assert.equal((await stack.send("/v1/reports/3", { authorization })).status, 500);
  await expectOneDelivery(await burst("/v1/reports/3", authorization, 40), credential);
  await mark.moved({ origin: 2, transactions: 1, transfers: 1, amount: 10_000n });
});

test("after-origin: parallel copies are one transaction and one delivery", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/late");
  await expectOneDelivery(await burst("/v1/late", encodeCredential(credential), 60), credential);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 30_000n });
});

test("abstract: one authorization in two challenges, sent at once, is one delivery", async () => {
  const mark = await stack.mark();
  const changes = { nonce: `0x${"c0".repeat(32)}`, validBefore: String(Math.floor(Date.now() / 1000) + 600) };
  const credentials = await Promise.all(
    Array.from({ length: 8 }, (_, i) => stack.credential(`/v1/reports/${i}`, { scheme: "abstract", changes })),
  );
  const answers = await Promise.all(
    credentials.map((credential, i) =>
      stack.send(`/v1/reports/${i}`, { authorization: encodeCredential(credential), via: i % 2 }),
    ),
  );
  assert.equal(answers.filter(({ status }) => status === 200).length, 1, String(answers.map(({ status }) => status)));
  for (const { status } of answers) assert.ok([200, 402, 503].includes(status), String(status));
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("40 different payments at once through both isolates are 40 transactions with nonces of their own", async () => {
  const mark = await stack.mark();
  const credentials = await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      stack.credential(`/v1/reports/many-${i}`, {
        payer: stack.payers[i % stack.payers.length],
        scheme: i % 3 ? "evm" : "abstract",
      }),
    ),
  );
  const answers = await Promise.all(
    credentials.map((credential, i) =>
      stack.send(`/v1/reports/many-${i}`, { authorization: encodeCredential(credential), via: i % 2 }),
    ),
  );
  for (const [i, answer] of answers.entries()) await expectPaid(stack, answer, credentials[i]);
  assert.equal(new Set(answers.map(({ receipt }) => receipt.reference)).size, 40);
  await mark.moved({ origin: 40, transactions: 40, transfers: 40, amount: 400_000n });
});
