// Clients that go away. Before anything was delivered, nothing is lost; afterwards, nothing is given twice.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectPaid, expectProblem, expectSpent } from "../harness/expect.mjs";
import { breaks, breakUpload, leaveAt, stall } from "../harness/leaving.mjs";
import { faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack({ gateway: { limits: { settlementTimeoutSeconds: 20, originTimeoutSeconds: 20 } } });
const { chain, origin, rpc, settlement } = stack;
const PATH = "/v1/reports/1";
const LATE = "/v1/late";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };

afterEach(async () => {
  origin.reset();
  rpc.heal();
  await chain.resumeMining();
});

/** Presents a credential and hangs up once `moment` has come; resolves with whether that was before an answer. */
const hangUpAt = (path, credential, moment) => leaveAt(stack, path, { authorization: encodeCredential(credential) }, moment);

/** Reads the beginning of a delivered body and hangs up; resolves when the origin has noticed. */
async function tasteAndLeave(path, credential) {
  const authorization = encodeCredential(credential);
  const response = await stack.open(path, { headers: { authorization } });
  assert.equal(response.statusCode, 200);
  await response[Symbol.asyncIterator]().next();
  response.socket.resetAndDestroy();
  const request = origin.requests.at(-1);
  await until(() => request.aborted, "the origin to see its client go");
  return authorization;
}

/** An answer of 256 MiB with its length announced: more than buffers hold. */
const huge = () => ({
  answer(_request, response) {
    const block = Buffer.alloc(1024 * 1024, 0x61);
    let left = 256;
    response.writeHead(200, { "content-length": String(left * block.length) });
    const push = () => {
      while (left > 0 && !response.destroyed) {
        left -= 1;
        if (!response.write(block)) return response.once("drain", push);
      }
      return response.end();
    };
    push();
  },
});

test("B9: a client that is cut off 30 ms after it sent its credential gets what it paid for", async () => {
  for (const path of [PATH, LATE]) {
    const mark = await stack.mark();
    const credential = await stack.credential(path);
    const authorization = encodeCredential(credential);
    await hangUpAt(path, credential, () => new Promise((resolve) => setTimeout(resolve, 30)));
    const answer = await stack.resume(path, authorization);
    await expectPaid(stack, answer, credential);
    assert.equal(answer.text, `content of GET ${path}`);
    const { transactions, transfers } = await mark.difference();
    assert.deepEqual({ transactions, transfers }, { transactions: 1, transfers: 1 });
  }
});

/** Has the origin asked, leaves before it answers, and comes back: as often as given. */
async function leaveTimes(path, credential, times) {
  for (let i = 0; i < times; i++) {
    const seen = origin.requests.length;
    origin.next(faults.hang());
    await until(() => hangUpAt(path, credential, () => origin.arrival(seen + 1)), "the origin to be asked again");
    origin.reset();
  }
}

for (const path of [PATH, LATE]) {
  const amount = path === LATE ? 30_000n : 10_000n;

  test(`B9: ${path}: a client that leaves three times while the origin works is delivered to once and pays once`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential(path);
    await leaveTimes(path, credential, 3);
    const authorization = encodeCredential(credential);
    await expectPaid(stack, await stack.resume(path, authorization), credential);
    expectSpent(await stack.send(path, { authorization }));
    await mark.moved({ ...ONE, amount, origin: 4 });
  });

  test(`B9: ${path}: a client that leaves again and again has the origin work four times and no more`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential(path);
    await leaveTimes(path, credential, 4);
    const authorization = encodeCredential(credential);
    for (let i = 0; i < 4; i++) expectSpent(await stack.resume(path, authorization, { via: i % 2 }));
    assert.equal((await mark.difference()).origin, 4);
  });
}

test("B9: after-origin: who leaves five times before the origin is called has used nothing up", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(LATE);
  for (let i = 0; i < 5; i++) {
    // Until what the one before held is given back.
    await new Promise((resolve) => setTimeout(resolve, 800));
    rpc.forget();
    rpc.fail("eth_estimateGas", faulty.slow(300), 1);
    assert.ok(await hangUpAt(LATE, credential, () => rpc.called("eth_estimateGas")), `it is simulated, time ${i}`);
  }
  await expectPaid(stack, await stack.resume(LATE, encodeCredential(credential)), credential);
  await mark.moved({ ...ONE, amount: 30_000n });
});

/** What a request under an idempotency key is answered with. */
const keyed = (key, options = {}) => ({ ...options, headers: { "Idempotency-Key": key, ...options.headers } });

for (const path of [PATH, LATE]) {
  const amount = path === LATE ? 30_000n : 10_000n;

  test(`B10: ${path}: the same request under its key is asked for again three times, not charged, and says so`, async () => {
    const mark = await stack.mark();
    const { answer, authorization, credential } = await stack.pay(path, keyed("one"));
    await expectPaid(stack, answer, credential);
    assert.equal(answer.headers["idempotency-replayed"], undefined);
    for (let i = 0; i < 3; i++) {
      const again = await stack.send(path, keyed("one", { authorization, via: i % 2 }));
      await expectPaid(stack, again, credential);
      assert.equal(again.headers["idempotency-replayed"], "true");
      assert.equal(again.text, `content of GET ${path}`);
    }
    expectSpent(await stack.send(path, keyed("one", { authorization })));
    await mark.moved({ ...ONE, amount, origin: 4 });
  });
}

test("B10: without the key, or under another, what was delivered is spent", async () => {
  const { answer, authorization, credential } = await stack.pay(PATH, keyed("one"));
  await expectPaid(stack, answer, credential);
  const mark = await stack.mark();
  expectSpent(await stack.send(PATH, { authorization }));
  expectSpent(await stack.send(PATH, keyed("two", { authorization })));
  const none = await stack.pay(PATH);
  expectSpent(await stack.send(PATH, keyed("one", { authorization: none.authorization })));
  await mark.moved(ONE);
});

test("B10: a key stands for one body: another one under it is refused, and the header is named", async () => {
  const mark = await stack.mark();
  const options = keyed("question", { method: "POST", body: "one question" });
  const { answer, authorization, credential } = await stack.pay("/v1/uploads", options);
  await expectPaid(stack, answer, credential);
  const another = await stack.send("/v1/uploads", { ...options, body: "another question", authorization });
  assert.match(expectProblem(another, 400, "bad-request").detail, /^Idempotency-Key: /);
  const same = await stack.send("/v1/uploads", { ...options, authorization });
  await expectPaid(stack, same, credential);
  assert.equal(origin.requests.at(-1).body.toString(), "one question");
  await mark.moved({ ...ONE, amount: 20_000n, origin: 2 });
});

test("B10: a client that leaves under its key while the payment settles gets its answer by it, and then its repetition", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  await chain.pauseMining();
  const authorization = encodeCredential(credential);
  assert.ok(await leaveAt(stack, PATH, keyed("k", { authorization }), () => chain.submitted(settlement.address)));
  await chain.resumeMining();
  const answer = await stack.resume(PATH, authorization, keyed("k"));
  await expectPaid(stack, answer, credential);
  assert.equal(answer.headers["idempotency-replayed"], undefined);
  assert.equal((await stack.send(PATH, keyed("k", { authorization }))).headers["idempotency-replayed"], "true");
  await mark.moved({ ...ONE, origin: 2 });
});

test("after-origin: a client that leaves while its payment settles leaves it open, and the next fetch is free", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(LATE);
  await chain.pauseMining();
  const authorization = encodeCredential(credential);
  assert.ok(await hangUpAt(LATE, credential, () => chain.submitted(settlement.address)));
  await mark.moved({ origin: 1 });
  await chain.resumeMining();
  const delivered = await stack.resume(LATE, authorization);
  await expectPaid(stack, delivered, credential);
  assert.equal(delivered.text, `content of GET ${LATE}`);
  expectSpent(await stack.send(LATE, { authorization }));
  await mark.moved({ ...ONE, amount: 30_000n, origin: 2 });
});

for (const path of [PATH, LATE]) {
  for (const [name, behaviour] of [
    ["an endless stream", faults.ticking],
    ["a body of known length", huge],
  ]) {
    test(`${path}: a client that has tasted ${name} and leaves has had what it paid for`, async () => {
      const mark = await stack.mark();
      const credential = await stack.credential(path);
      origin.next(behaviour());
      const authorization = await tasteAndLeave(path, credential);
      for (let i = 0; i < 3; i++) expectSpent(await stack.send(path, { authorization, via: i % 2 }));
      const { origin: requests, transfers } = await mark.difference();
      assert.deepEqual({ requests, transfers }, { requests: 1, transfers: 1 });
    });
  }
}

for (const [name, how] of Object.entries(breaks)) {
  test(`A22: a client whose own upload ${name}, to cut the answer short, has had what it read`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential("/v1/uploads", { method: "POST" });
    const authorization = encodeCredential(credential);
    origin.next(faults.givesUp("all of the content"));
    await breakUpload(stack, "/v1/uploads", authorization, "all of the content", how);
    for (let i = 0; i < 3; i++) expectSpent(await stack.send("/v1/uploads", { method: "POST", authorization, via: i % 2 }));
    await mark.moved({ ...ONE, amount: 20_000n });
  });
}

test("A22: a client that does not read until the origin's patience ends has had what it paid for", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  const authorization = encodeCredential(credential);
  origin.next(faults.impatient(6_000));
  assert.ok(await stall(stack, PATH, { headers: { authorization } }, 7_000), "the answer is cut short");
  expectSpent(await stack.resume(PATH, authorization));
  await mark.moved(ONE);
});

test("A22: half of an answer counts as all of it, less does not", async () => {
  for (const [sent, delivered] of [
    [90_000, true],
    [50_000, true],
    [49_999, false],
  ]) {
    const mark = await stack.mark();
    const credential = await stack.credential(PATH);
    origin.next(faults.dieMidBody("x".repeat(sent), 100_000));
    const { answer, authorization } = await stack.present(PATH, credential);
    assert.ok(answer.aborted, "the answer is cut short");
    const again = await stack.resume(PATH, authorization);
    if (delivered) expectSpent(again);
    else await expectPaid(stack, again, credential);
    await mark.moved({ ...ONE, origin: delivered ? 1 : 2 });
  }
});
