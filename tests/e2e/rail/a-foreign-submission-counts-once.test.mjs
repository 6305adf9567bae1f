// A17: somebody else puts the payer's authorization on chain. It paid us, so it counts, once; nobody pays twice. A21: but what was on the
// chain before it was presented here may be anybody's, unless its nonce says whose it is.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectPaid, expectProblem, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { authorizationOf, encodeCredential } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { chain, rpc, stranger } = stack;
const PATH = "/v1/reports/1";
const FIRST_IN_BLOCK = { maxFeePerGas: 900_000_000_000n, maxPriorityFeePerGas: 800_000_000_000n };

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

test("evm: an authorization that a stranger submitted before we saw it has paid us", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  const hash = await chain.submit(authorizationOf(credential), stranger);
  const { answer, authorization } = await stack.present(PATH, credential);
  const delivered = answer.status === 503 ? await stack.resume(PATH, authorization) : answer;
  const receipt = await expectPaid(stack, delivered, credential, { sentByUs: false });
  assert.equal(receipt.reference, hash, "the receipt names the transaction that moved the money");
  expectSpent(await stack.send(PATH, { authorization, via: 1 }));
  await mark.moved({ origin: 1, transactions: 0, transfers: 1, amount: 10_000n });
});

for (const scheme of ["evm", "abstract"]) {
  test(`${scheme}: a stranger's transaction that overtakes ours in the block has paid us`, async () => {
    const mark = await stack.mark();
    await chain.pauseMining();
    const credential = await stack.credential(PATH, { scheme });
    const { answer, authorization } = await stack.present(PATH, credential);
    expectTryAgain(answer);
    const hash = await chain.submit(authorizationOf(credential), stranger, FIRST_IN_BLOCK);
    await chain.resumeMining();
    const delivered = await stack.resume(PATH, authorization);
    const receipt = await expectPaid(stack, delivered, credential, { sentByUs: false });
    assert.equal(receipt.reference, hash);
    expectSpent(await stack.send(PATH, { authorization }));
    // Ours was mined behind it and reverted: gas lost, money not.
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
  });

  test(`${scheme}: a stranger's transaction that waits in the pool when we simulate is no obstacle`, async () => {
    const mark = await stack.mark();
    await chain.pauseMining();
    const credential = await stack.credential(PATH, { scheme });
    await chain.submit(authorizationOf(credential), stranger);
    const { answer, authorization } = await stack.present(PATH, credential);
    expectTryAgain(answer);
    await chain.resumeMining();
    await expectPaid(stack, await stack.resume(PATH, authorization), credential, { sentByUs: false });
    expectSpent(await stack.send(PATH, { authorization }));
    const { transfers, amount, origin } = await mark.difference();
    assert.deepEqual({ transfers, amount, origin }, { transfers: 1, amount: 10_000n, origin: 1 });
  });
}

test("evm: a node whose logs lag behind its state once is no verdict", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  const hash = await chain.submit(authorizationOf(credential), stranger);
  rpc.forget();
  rpc.fail("eth_getLogs", faulty.result([]), 1);
  const { answer, authorization } = await stack.present(PATH, credential);
  const delivered = answer.status === 503 ? await stack.resume(PATH, authorization) : answer;
  const receipt = await expectPaid(stack, delivered, credential, { sentByUs: false });
  assert.equal(receipt.reference, hash);
  assert.ok(rpc.count("eth_getLogs") >= 2, "the logs were asked for again");
  expectSpent(await stack.send(PATH, { authorization }));
  await mark.moved({ origin: 1, transactions: 0, transfers: 1, amount: 10_000n });
});

test("an authorization of the same payer that a stranger used for another challenge does not count for this one", async () => {
  const paid = await stack.credential(PATH);
  await chain.submit(authorizationOf(paid), stranger);
  const mark = await stack.mark();
  const other = await stack.credential(PATH);
  const borrowed = { ...other, payload: { ...paid.payload } };
  expectProblem((await stack.present(PATH, borrowed)).answer, 402, "verification-failed");
  await mark.nothing();
});

test("A21: what a third party had submitted before it was presented here is not the presenter's own", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH, { scheme: "abstract" });
  await chain.submit(authorizationOf(credential), stranger);
  // All that is public on chain is the authorization, which a thief wraps into a challenge of its own.
  const challenge = await stack.challenge("/v1/same", { scheme: "abstract" });
  for (let i = 0; i < 3; i++) {
    const theft = await stack.present("/v1/same", { ...credential, challenge, source: undefined }, { via: i % 2 });
    assert.match(expectProblem(theft.answer, 402, "verification-failed").detail, /before it was presented here/);
  }
  // Nobody can tell the payer from the thief.
  expectProblem((await stack.present(PATH, credential)).answer, 402, "verification-failed");
  await mark.moved({ transfers: 1, amount: 10_000n });
});

test("A21: a thief who reads off the chain what was presented here before finds it taken", async () => {
  const mark = await stack.mark();
  await chain.pauseMining();
  const credential = await stack.credential(PATH, { scheme: "abstract" });
  const { answer, authorization } = await stack.present(PATH, credential);
  expectTryAgain(answer);
  await chain.submit(authorizationOf(credential), stranger, FIRST_IN_BLOCK);
  await chain.resumeMining();
  const challenge = await stack.challenge("/v1/same", { scheme: "abstract" });
  const theft = await stack.present("/v1/same", { ...credential, challenge, source: undefined });
  expectProblem(theft.answer, 402, "invalid-challenge");
  await expectPaid(stack, await stack.resume(PATH, authorization), credential, { sentByUs: false });
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("copies of an overtaken payment are still one delivery", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  await chain.submit(authorizationOf(credential), stranger);
  const authorization = encodeCredential(credential);
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => stack.send(PATH, { authorization, via: i % 2 })));
  const late = await stack.resume(PATH, authorization);
  const delivered = [...answers, late].filter(({ status }) => status === 200);
  assert.equal(delivered.length, 1);
  await mark.moved({ origin: 1, transactions: 0, transfers: 1, amount: 10_000n });
});
