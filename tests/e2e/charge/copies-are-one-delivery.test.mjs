// A6: however many copies of one payment arrive at once, through however many isolates, it is settled and delivered once. That copies of
// a sound payment are, is a case of the conformance suite; here is what makes it harder, and many payments at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectPaid, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack({ gateway: { limits: { settlementTimeoutSeconds: 30, rpcTimeoutSeconds: 5 } } });
const { origin } = stack;

/** Sends `count` copies of one credential at once, in turn through both isolates. */
function burst(path, authorization, count) {
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

test("parallel copies of a payment whose origin failed are still one transaction", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/reports/3");
  const authorization = encodeCredential(credential);
  origin.next(faults.status(500));
  assert.equal((await stack.send("/v1/reports/3", { authorization })).status, 500);
  await expectOneDelivery(await burst("/v1/reports/3", authorization, 40), credential);
  await mark.moved({ origin: 2, transactions: 1, transfers: 1, amount: 10_000n });
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
