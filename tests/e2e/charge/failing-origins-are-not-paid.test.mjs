// B5: the payment is good and the origin is not. Nothing is delivered, no receipt is given, and fetching again costs nothing.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { afterEach, test } from "node:test";
import { mppxClient } from "../harness/clients.mjs";
import { expectPaid, expectProblem, expectSpent } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { ROUTES, startStack } from "../harness/stack.mjs";

const stack = await startStack({
  gateway: { limits: { originTimeoutSeconds: 2 } },
  routes: [...ROUTES, { path: "/v1/elsewhere", price: "0.01", description: "Charged for the way there", chargeRedirects: true }],
});
const { origin } = stack;
const PATH = "/v1/reports/1";
const PAID = { transactions: 1, transfers: 1, amount: 10_000n };

afterEach(() => origin.reset());

/** Asserts that the answer came from a failure behind the gateway and gave nothing away. */
function expectUndelivered(answer, status) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers["payment-receipt"], undefined, "no receipt");
  assert.deepEqual(answer.all("www-authenticate"), [], "no invitation to pay again");
}

async function expectRetryDelivers(mark, credential, requests) {
  const { answer, authorization } = await stack.present(PATH, credential, { via: 1 });
  await expectPaid(stack, answer, credential);
  expectSpent(await stack.send(PATH, { authorization }));
  await mark.moved({ ...PAID, origin: requests });
}

for (const status of [501, 502, 503, 504, 599, 408, 425, 429]) {
  test(`an origin that answers ${status} delivered nothing: its answer passes, the next fetch is free`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential(PATH);
    origin.next(faults.status(status, { "x-origin": "yes", "retry-after": "7" }));
    const { answer } = await stack.present(PATH, credential);
    expectUndelivered(answer, status);
    assert.equal(answer.text, `origin says ${status}`);
    assert.equal(answer.headers["x-origin"], "yes");
    await mark.moved({ ...PAID, origin: 1 });
    await expectRetryDelivers(mark, credential, 2);
  });
}

test("an origin that fails five times in a row costs one payment", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  origin.next(...Array.from({ length: 5 }, () => faults.status(503)));
  for (let i = 0; i < 5; i++) expectUndelivered((await stack.present(PATH, credential)).answer, 503);
  await expectRetryDelivers(mark, credential, 6);
});

test("an origin that hangs up before it answers: 502, and the next fetch is free", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  origin.always(faults.reset());
  const { answer } = await stack.present(PATH, credential);
  origin.reset();
  expectUndelivered(answer, 502);
  const { answer: again } = await stack.present(PATH, credential);
  await expectPaid(stack, again, credential);
  const { transactions, transfers } = await mark.difference();
  assert.deepEqual({ transactions, transfers }, { transactions: 1, transfers: 1 });
});

test("mppx pays once for an origin that asks for payment itself", async () => {
  const mark = await stack.mark();
  const { fetch, requests } = mppxClient(stack.payers[1], stack.token);
  origin.always(faults.status(402, { "www-authenticate": "Payment" }));
  assert.equal((await fetch(stack.gateway.urls[0] + PATH)).status, 502);
  assert.equal(requests.length, 2);
  await mark.moved({ ...PAID, origin: 1 });
});

for (const status of [400, 404, 410, 422]) {
  test(`an origin that answers ${status} did its work: B14: there is a receipt, and the payment is used`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential(PATH);
    origin.next(faults.status(status));
    const { answer, authorization } = await stack.present(PATH, credential);
    await expectPaid(stack, answer, credential, { status });
    expectSpent(await stack.send(PATH, { authorization }));
    await mark.moved({ ...PAID, origin: 1 });
  });
}

test("an origin that says 401 keeps its own challenge", async () => {
  const credential = await stack.credential(PATH);
  origin.next(faults.status(401, { "www-authenticate": 'Basic realm="origin"' }));
  const { answer } = await stack.present(PATH, credential);
  assert.equal(answer.status, 401);
  assert.deepEqual(answer.all("www-authenticate"), ['Basic realm="origin"']);
});

test("204 and 206 are deliveries with a receipt", async () => {
  for (const status of [204, 206]) {
    const mark = await stack.mark();
    const credential = await stack.credential(PATH);
    origin.next(
      status === 204 ? faults.status(204, {}, undefined) : faults.status(206, { "content-range": "bytes 0-3/9" }, "cont"),
    );
    const { answer } = await stack.present(PATH, credential, { headers: { Range: "bytes=0-3" } });
    await expectPaid(stack, answer, credential, { status });
    await mark.moved({ ...PAID, origin: 1 });
  }
});

test("B14: the origin's own 304 passes without a receipt, and what was paid for can be fetched", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  origin.next(faults.status(304, { etag: '"v1"' }, undefined));
  const { answer } = await stack.present(PATH, credential, { headers: { "If-None-Match": '"v1"' } });
  expectUndelivered(answer, 304);
  assert.equal(answer.headers.etag, '"v1"');
  await mark.moved({ ...PAID, origin: 1 });
  await expectRetryDelivers(mark, credential, 2);
});

test("B14: redirects pass without a receipt, four of them and no more", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  for (const status of [301, 302, 303, 307]) {
    origin.next(faults.redirect("/elsewhere", status));
    const { answer } = await stack.present(PATH, credential);
    expectUndelivered(answer, status);
    assert.equal(answer.headers.location, "/elsewhere");
  }
  expectSpent((await stack.present(PATH, credential)).answer);
  await mark.moved({ ...PAID, origin: 4 });
});

test("B14: a route may charge redirects: then there is a receipt", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/elsewhere");
  origin.next(faults.redirect("/v1/there"));
  const { answer, authorization } = await stack.present("/v1/elsewhere", credential);
  await expectPaid(stack, answer, credential, { status: 302 });
  expectSpent(await stack.send("/v1/elsewhere", { authorization }));
  await mark.moved({ ...PAID, origin: 1 });
});

test("B15: an upload that takes longer than the origin may does not count against it", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/uploads", { method: "POST" });
  const body = new Readable({ read() {} });
  const paid = stack.present("/v1/uploads", credential, { method: "POST", body });
  for (let i = 0; i < 4; i++) {
    body.push(`part ${i};`);
    await new Promise((resolve) => setTimeout(resolve, 900));
  }
  body.push(null);
  const { answer } = await paid;
  await expectPaid(stack, answer, credential);
  assert.equal(origin.requests.at(-1).body.toString(), "part 0;part 1;part 2;part 3;");
  await mark.moved({ ...PAID, amount: 20_000n, origin: 1 });
});

test("B15: an upload that stands still for longer than that is given up, and counts as a call", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/uploads", { method: "POST" });
  for (let i = 0; i < 4; i++) {
    const body = new Readable({ read() {} });
    body.push("the beginning");
    const { answer } = await stack.present("/v1/uploads", credential, { method: "POST", body });
    assert.match(expectProblem(answer, 400, "bad-request").detail, /body/);
    body.destroy();
  }
  expectSpent((await stack.present("/v1/uploads", credential, { method: "POST" })).answer);
  await mark.moved({ ...PAID, amount: 20_000n, origin: 4 });
});

test("B15: an origin that is slow after the upload has its own time, and no more", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/uploads", { method: "POST" });
  origin.next(faults.hang());
  const { answer } = await stack.present("/v1/uploads", credential, { method: "POST", body: "all of it" });
  expectUndelivered(answer, 504);
  const again = await stack.present("/v1/uploads", credential, { method: "POST", body: "all of it" });
  await expectPaid(stack, again.answer, credential);
  await mark.moved({ ...PAID, amount: 20_000n, origin: 2 });
});

test("paid content is streamed: the first chunk is here before the origin finished", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  let finish;
  origin.next(
    faults.stream((response) => {
      response.write("data: one\n\n");
      finish = () => response.end("data: two\n\n");
    }),
  );
  const response = await stack.open(PATH, { headers: { authorization: encodeCredential(credential) } });
  assert.equal(response.statusCode, 200);
  assert.ok(response.headers["payment-receipt"]);
  const chunks = response[Symbol.asyncIterator]();
  assert.equal((await chunks.next()).value.toString(), "data: one\n\n");
  finish();
  assert.equal((await chunks.next()).value.toString(), "data: two\n\n");
  assert.ok((await chunks.next()).done);
  await mark.moved({ ...PAID, origin: 1 });
});

test("a client that hangs up mid-stream ends the origin's work too, and has had what it paid for", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  const authorization = encodeCredential(credential);
  origin.next(faults.ticking());
  const response = await stack.open(PATH, { headers: { authorization } });
  await response[Symbol.asyncIterator]().next();
  response.destroy();
  const request = origin.requests.at(-1);
  await until(() => request.aborted, "the origin to see its client go");
  expectSpent(await stack.send(PATH, { authorization }));
  await mark.moved({ ...PAID, origin: 1 });
});
