// Routes that charge by the byte, or what the origin reports; and what does not look like a stream on a route that counts events.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterEach, test } from "node:test";
import { brotliCompressSync, brotliDecompressSync, deflateSync, gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { expectProblem } from "../harness/expect.mjs";
import { eventsTo, faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { expectLedger, expectReceipt, expectReceiptJson, openSession, payloads, startSessions } from "../harness/session.mjs";
import { buyStream, expectStream, METERED_ROUTES, UNIT } from "../harness/stream.mjs";

const stack = await startSessions({ routes: METERED_ROUTES, watch: {} });
const { gateway, origin } = stack;
const [EVENTS, BYTES, REPORTED] = ["/m/events/1", "/m/bytes/1", "/m/reported/1"];
const MAX = 1_000n * UNIT;

afterEach(() => origin.reset());

/** The books, once the end of a sale has arrived there: the client may have its last byte a moment earlier. */
const settled = (session, expected) =>
  until(() => expectLedger(stack, session.channel, expected).catch(() => false), `books of ${Object.entries(expected)}`);

for (const [method, size] of [
  ["abstract", 5_000],
  ["evm", 1_000_000],
]) {
  test(`${method}, by the byte: a body of ${size} is charged to the byte`, async (t) => {
    const session = await openSession(stack, method, { path: BYTES });
    const body = randomBytes(size);
    const calls = gateway.objects("Channel");
    origin.next(faults.status(200, { "content-type": "application/octet-stream", "content-length": String(size) }, body));
    const answer = await session.send(payloads.voucher(session.channel, 1_000_000n));
    expectReceipt(answer, session, { accepted: 1_000_000n });
    assert.ok(answer.body.equals(body), "the body is the origin's");
    await settled(session, { spent: BigInt(size), delivered: BigInt(size) });
    t.diagnostic(`${gateway.objects("Channel") - calls} calls of the channel's object, reading the books included`);
  });
}

test("by the byte: the balance ends in the middle of a body, and the rest follows the voucher", async () => {
  const session = await openSession(stack, "evm", { path: BYTES });
  const body = randomBytes(3_000);
  origin.next(faults.status(200, { "content-type": "application/octet-stream" }, body));
  const stream = await buyStream(session, 1_000n);
  await until(() => stream.bytes >= 1_000, "what was paid for");
  await expectLedger(stack, session.channel, { spent: 1_000n });
  assert.equal(stream.bytes, 1_000);
  await session.manage(payloads.voucher(session.channel, 2_500n));
  await until(() => stream.bytes >= 2_500, "what was paid for then");
  assert.equal(stream.bytes, 2_500);
  await session.manage(payloads.voucher(session.channel, 10_000n));
  await stream.over();
  assert.equal(stream.broken, false);
  assert.equal(stream.bytes, 3_000, "no event of ours in what is no event stream");
  assert.ok(stream.originText === body.toString("latin1"));
  await settled(session, { spent: 3_000n, accepted: 10_000n });
});

test("by the byte: an event stream says what it needs, between events and not within one", async () => {
  const session = await openSession(stack, "evm", { path: BYTES });
  const count = 100;
  const text = eventsTo(count);
  origin.next(faults.pieces({ count }));
  const stream = await buyStream(session, 333n);
  const need = await stream.need();
  assert.equal(need.acceptedCumulative, "333");
  assert.ok(BigInt(need.requiredCumulative) > 333n, JSON.stringify(need));
  assert.ok(text.startsWith(stream.originText) && stream.originText.length <= 333, "whole events that are paid for");
  await session.manage(payloads.voucher(session.channel, BigInt(text.length)));
  const receipt = await stream.finish();
  assert.equal(stream.originText, text);
  expectReceiptJson(receipt, session, { accepted: text.length, spent: text.length, units: text.length });
});

test("by the byte: an origin that breaks off is paid for nothing that did not arrive", async () => {
  const session = await openSession(stack, "evm", { path: BYTES });
  origin.next(faults.dieMidBody("x".repeat(100)));
  const answer = await session.send(payloads.voucher(session.channel, 1_000n));
  assert.ok(answer.aborted || answer.status >= 500);
  const arrived = answer.status === 200 ? answer.body.length : 0;
  await settled(session, { spent: BigInt(arrived) });
});

const report = (units) => faults.content({ "payment-units": units });
for (const [method, units, charged] of [
  ["abstract", "37", 37],
  ["evm", "1001", 1_000],
]) {
  test(`${method}: the origin reports ${units} of at the most 1000 units in a header: ${charged} are charged`, async () => {
    const session = await openSession(stack, method, { path: REPORTED });
    origin.next(report(units));
    const answer = await session.send(payloads.voucher(session.channel, MAX));
    const spent = BigInt(charged) * UNIT;
    expectReceipt(answer, session, { accepted: MAX, spent, units: charged });
    assert.equal(answer.headers["payment-units"], undefined, "what the origin reports is not the client's");
    await settled(session, { spent, delivered: spent });
  });
}

test("an origin that reports two numbers is paid the most", async () => {
  const session = await openSession(stack, "evm", { path: REPORTED });
  origin.next(report(["5", "6"]));
  expectReceipt(await session.send(payloads.voucher(session.channel, MAX)), session, { accepted: MAX });
  await settled(session, { spent: MAX });
});

for (const [coding, compress, decompress] of [
  ["gzip", gzipSync, gunzipSync],
  ["br", brotliCompressSync, brotliDecompressSync],
]) {
  test(`A23: by the byte: a body in ${coding} is charged decoded`, async () => {
    const session = await openSession(stack, "evm", { path: BYTES });
    const body = Buffer.alloc(5_000, "compressible ");
    origin.next(faults.status(200, { "content-encoding": coding }, compress(body)));
    const answer = await session.send(payloads.voucher(session.channel, 10_000n), {
      headers: { "Accept-Encoding": `zstd, ${coding}` },
    });
    assert.equal(origin.requests.at(-1).headers["accept-encoding"], coding);
    const received = answer.headers["content-encoding"] === coding ? decompress(answer.body) : answer.body;
    assert.ok(received.equals(body));
    await settled(session, { spent: 5_000n });
  });
}

for (const [coding, compress] of [
  ["zstd", zstdCompressSync],
  ["deflate", deflateSync],
  ["gzip, gzip", (body) => gzipSync(gzipSync(body))],
]) {
  test(`A23: metered: ${coding} is not asked for, and an origin that answers in it has failed: nothing is sold`, async () => {
    for (const path of [EVENTS, BYTES, REPORTED]) {
      const session = await openSession(stack, "evm", { path });
      const voucher = payloads.voucher(session.channel, MAX);
      const text = eventsTo(2_000);
      origin.next(faults.status(200, { "content-type": "text/event-stream", "content-encoding": coding }, compress(text)));
      const answer = await session.send(voucher, { headers: { "Accept-Encoding": coding === "gzip, gzip" ? "x-gzip" : coding } });
      assert.equal(origin.requests.at(-1).headers["accept-encoding"], "identity");
      expectProblem(answer, 502);
      await settled(session, { spent: 0n });
      const again = await session.send(voucher);
      assert.equal(again.status, 200, again.text);
    }
  });
}

test("a stream whose origin reports 42 in its last event: 42 units, and the client sees its events alone", async () => {
  const session = await openSession(stack, "evm", { path: REPORTED });
  origin.next(faults.pieces({ count: 20, last: "event: payment-units\ndata: 42\n\n" }));
  const stream = await buyStream(session, MAX);
  expectStream(stream, session, { accepted: MAX });
  const receipt = await stream.finish();
  assert.equal(stream.originText, eventsTo(20));
  expectReceiptJson(receipt, session, { spent: 42n * UNIT, units: 42 });
  await settled(session, { spent: 42n * UNIT });
});

for (const [name, fault] of [
  ["answers 500", faults.status(500, { "payment-units": "10" })],
  ["hangs up", faults.reset()],
]) {
  test(`an origin that ${name} is paid for nothing, whatever it reports`, async () => {
    const session = await openSession(stack, "evm", { path: REPORTED });
    origin.next(fault);
    const answer = await session.send(payloads.voucher(session.channel, MAX));
    assert.ok(answer.status >= 500, answer.text);
    assert.equal(answer.headers["payment-units"], undefined);
    await settled(session, { spent: 0n, accepted: MAX });
  });
}

test("A22: of what was reported and broke off half counts as all, less as nothing", async () => {
  for (const [sent, charged] of [
    [500, 37n],
    [499, 0n],
  ]) {
    const session = await openSession(stack, "evm", { path: REPORTED });
    origin.next({
      answer(request, response) {
        response.writeHead(200, { "content-length": "1000", "payment-units": "37" });
        response.write("x".repeat(sent), () => request.socket.destroy());
      },
    });
    assert.ok((await session.send(payloads.voucher(session.channel, MAX))).aborted, "the answer is cut short");
    await settled(session, { spent: charged * UNIT, delivered: charged * UNIT });
  }
});

test("an origin that dies before it has reported is paid for nothing", async () => {
  const session = await openSession(stack, "evm", { path: REPORTED });
  origin.next(faults.pieces({ count: 20, dies: true }));
  const stream = await buyStream(session, MAX);
  await stream.over();
  await settled(session, { spent: 0n, accepted: MAX });
});

test("what is no stream on a route that counts events costs one unit", async () => {
  const session = await openSession(stack, "evm", { path: EVENTS });
  for (const [i, behaviour] of [
    faults.content(),
    faults.status(200, { "content-type": "application/json" }, '{"data":"data: 1\\n\\n"}'),
    faults.status(404),
    faults.status(204, {}, ""),
  ].entries()) {
    origin.next(behaviour);
    const answer = await session.send(payloads.voucher(session.channel, 5n * UNIT + BigInt(i)));
    assert.ok([200, 404, 204].includes(answer.status), answer.text);
    assert.ok(!answer.text.includes("payment-receipt"));
    await settled(session, { spent: BigInt(i + 1) * UNIT });
  }
});
