// Streams that are paid by the event: what passes is byte for byte the origin's, what is charged is what was delivered, and the
// channel's object is asked tens of times, not once an event.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { eventAt, eventsTo, faults } from "../harness/origin.mjs";
import { expectLedger, expectReceiptJson, openSession, payloads, startSessions } from "../harness/session.mjs";
import { buyStream, expectStream, METERED_ROUTES, UNIT } from "../harness/stream.mjs";

const stack = await startSessions({ routes: METERED_ROUTES, watch: {} });
const { gateway, origin } = stack;
const PATH = "/m/events/1";

afterEach(() => origin.reset());

/** Streams `behaviour` through a new session that pays for `units` exactly, and asserts that this many are charged. */
async function streamAll(method, behaviour, units, expected, options = {}) {
  const session = await openSession(stack, method, { path: PATH });
  const accepted = BigInt(units) * UNIT;
  origin.next(behaviour);
  const stream = await buyStream(session, accepted, options);
  expectStream(stream, session, { accepted });
  const receipt = await stream.finish();
  assert.ok(stream.originText === expected, "what passes is byte for byte what the origin sent");
  expectReceiptJson(receipt, session, { accepted, spent: accepted, units });
  assert.deepEqual(
    stream.said.map(({ event }) => event),
    ["payment-receipt"],
    "nothing but the receipt is added",
  );
  await expectLedger(stack, session.channel, { spent: accepted, accepted, delivered: accepted });
  return stream;
}

for (const [method, count] of [
  ["abstract", 1_000],
  ["evm", 10_000],
]) {
  test(`${method}: ${count} events are charged exactly, in tens of object calls`, async (t) => {
    const calls = gateway.objects("Channel");
    await streamAll(method, faults.pieces({ count }), count, eventsTo(count));
    const asked = gateway.objects("Channel") - calls;
    t.diagnostic(`${count} events: ${asked} calls of the channel's object, opening and reading the books included`);
    assert.ok(asked < 100, `${asked} calls`);
  });
}

test("what was reserved and not delivered is there for the next stream", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  let spent = 0n;
  for (const [i, count] of [300, 600, 100].entries()) {
    origin.next(faults.pieces({ count }));
    // The balance pays for more than the first two need; each voucher is new, as `once` wants it.
    const stream = await buyStream(session, 1_000n * UNIT + BigInt(i), { via: i % 2 });
    const receipt = await stream.finish();
    spent += BigInt(count) * UNIT;
    assert.equal(stream.units.length, count);
    expectReceiptJson(receipt, session, { spent, units: count });
    await expectLedger(stack, session.channel, { spent, delivered: spent });
  }
  // 1,000 units are gone: not one more is sold for three base units above them.
  const refused = await session.send(payloads.voucher(session.channel, 1_000n * UNIT + 3n));
  assert.equal(refused.status, 402, refused.text);
  assert.equal(refused.json.requiredCumulative, String(1_001n * UNIT));
});

test("events arrive as they are sent, not in batches", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  const { promise: ended, resolve: end } = Promise.withResolvers();
  let write;
  origin.next(
    faults.stream(async (response) => {
      write = (text) => response.write(text);
      await ended;
      response.end();
    }),
  );
  const stream = await buyStream(session, 100n * UNIT);
  for (let i = 0; i < 10; i++) {
    write(eventAt(i));
    await stream.received(i + 1, 5_000);
  }
  end();
  expectReceiptJson(await stream.finish(), session, { spent: 10n * UNIT, units: 10 });
});

// Forms of events that pass through more than the splitter, which is tested for each by itself (src/wire/sse.rs).
const FORMS = {
  comments: [": keep-alive\n\n", 0],
  CRLF: ["id: 1\r\ndata: 1\r\n\r\n", 1],
  CR: ["data: 1\r\r", 1],
  "more than ASCII": ["data: “naïve” 漢字 🜚\n\n", 1],
  "32 KiB of data": [`data: ${"x".repeat(32 * 1024)}\n\n`, 1],
};

for (const [name, [text, units]] of Object.entries(FORMS)) {
  test(`${name}: ${units} unit(s), passed on as it came`, async () => {
    const rounds = 7;
    const piece = (i) => (i % 2 ? text : eventAt(i));
    const count = 2 * rounds;
    await streamAll(
      "evm",
      faults.pieces({ count, piece }),
      rounds + units * rounds,
      Buffer.from(eventsTo(count, piece)).toString("latin1"),
    );
  });
}

test("events that come byte by byte are the same events", async () => {
  const text = Buffer.from(eventsTo(5, (i) => `id: ${i}\r\ndata: “${i}”\r\n\r\n`));
  const byte = (i) => text.subarray(i, i + 1);
  await streamAll("evm", faults.pieces({ count: text.length, piece: byte, every: 1 }), 5, text.toString("latin1"));
});

test("a stream without an event costs nothing", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.pieces({ count: 3, piece: () => ": nothing\n\n" }));
  const stream = await buyStream(session, UNIT);
  expectReceiptJson(await stream.finish(), session, { spent: 0n, units: 0 });
  await expectLedger(stack, session.channel, { spent: 0n, accepted: UNIT });
});

test("a compressed stream is counted all the same", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.status(200, { "content-type": "text/event-stream", "content-encoding": "gzip" }, gzipSync(eventsTo(50))));
  const answer = await session.send(payloads.voucher(session.channel, 100n * UNIT), { headers: { "accept-encoding": "gzip" } });
  assert.equal(answer.status, 200, answer.text);
  const body = answer.headers["content-encoding"] === "gzip" ? gunzipSync(answer.body) : answer.body;
  const text = body.toString();
  assert.ok(text.startsWith(eventsTo(50)), text.slice(0, 200));
  assert.match(text, /event: payment-receipt\n/);
  await expectLedger(stack, session.channel, { spent: 50n * UNIT });
});

test("the price must be there before the origin is asked", async () => {
  const session = await openSession(stack, "abstract", { path: PATH });
  const mark = await stack.mark();
  const answer = await session.send(payloads.voucher(session.channel, UNIT - 1n));
  assert.equal(answer.status, 402, answer.text);
  assert.equal(answer.json.requiredCumulative, String(UNIT));
  await mark.nothing();
});

test("a client that reads slowly gets everything in the end", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  const count = 2_000;
  const piece = (i) => `id: ${i}\ndata: ${"y".repeat(16 * 1024)}\n\n`;
  origin.next(faults.pieces({ count, piece }));
  const stream = await buyStream(session, BigInt(count) * UNIT);
  for (let i = 0; i < 5; i++) {
    await stream.received(i * 100, 20_000);
    stream.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    stream.resume();
  }
  const receipt = await stream.finish(60_000);
  assert.ok(stream.originText === eventsTo(count, piece));
  expectReceiptJson(receipt, session, { spent: BigInt(count) * UNIT, units: count });
});
