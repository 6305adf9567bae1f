// How streams end before their time: the client leaves (B6), the origin dies (B5), another stream begins, the channel is closed.
// In all of them what was delivered is charged, and the rest is back.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { eventsTo, faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import {
  expectLedger,
  expectReceipt,
  expectReceiptJson,
  ledger,
  openSession,
  payloads,
  startSessions,
} from "../harness/session.mjs";
import { buyStream, METERED_ROUTES, UNIT } from "../harness/stream.mjs";

const stack = await startSessions({ routes: METERED_ROUTES });
const { origin } = stack;
const PATH = "/m/events/1";
const units = (count) => BigInt(count) * UNIT;
/** What the socket buffers between gateway and client may hold of events that it never read. */
const BUFFERS = 16 * 1024 * 1024;

afterEach(() => origin.reset());

const ticking = (count) => faults.pieces({ count, every: 20 });

/** The books of a channel once nothing is reserved any more. */
function settled(channel) {
  return until(async () => {
    const books = await ledger(stack, channel);
    return books.delivered === books.spent && books;
  }, "the reserved units to come back");
}

for (const method of METHODS) {
  test(`${method}: a client that hangs up pays for what it got, and at the most for what the origin sent`, async () => {
    const session = await openSession(stack, method, { path: PATH });
    origin.next(ticking());
    const stream = await buyStream(session, units(1_000));
    await stream.received(20);
    const record = origin.requests.at(-1);
    stream.hangUp();
    await until(() => record.aborted, "the origin to see its client go");
    const { spent } = await settled(session.channel);
    // One every 20 ms: nothing of it stays in a buffer, but the last ones may have been on their way.
    assert.ok(BigInt(spent) >= units(stream.units.length), `${spent} for ${stream.units.length} events read`);
    assert.ok(BigInt(spent) <= units(record.written), `${spent} for ${record.written} events sent`);
    await expectLedger(stack, session.channel, { accepted: units(1_000), spent });
  });
}

test("a client that hangs up a fast stream pays for what it read and what the buffers held, not for what was reserved", async () => {
  const session = await openSession(stack, "evm", { path: PATH, deposit: units(1_000_000) });
  const piece = (i) => `id: ${i}\ndata: ${"x".repeat(4_096)}\n\n`;
  origin.next(faults.pieces({ piece }));
  const stream = await buyStream(session, units(1_000_000));
  await stream.received(100);
  const record = origin.requests.at(-1);
  stream.hangUp();
  await until(() => record.aborted, "the origin to see its client go");
  const { spent } = await settled(session.channel);
  const read = stream.units.length;
  assert.ok(BigInt(spent) >= units(read), `${spent} for ${read} events read`);
  assert.ok(BigInt(spent) <= units(read + BUFFERS / 4_096), `${spent} for ${read} events read`);
  assert.ok(BigInt(spent) <= units(record.written), `${spent} for ${record.written} events sent`);
});

test("a client that hangs up while its stream waits for a voucher has paid for what it got, exactly", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.pieces());
  const stream = await buyStream(session, units(10));
  await stream.need();
  const record = origin.requests.at(-1);
  stream.hangUp();
  await until(() => record.aborted, "the origin to be let go", 90_000);
  const { spent } = await settled(session.channel);
  assert.equal(spent, String(units(10)));
  // And a new stream can be had, of which the old one takes nothing.
  origin.next(faults.pieces({ count: 5 }));
  const next = await buyStream(session, units(15));
  expectReceiptJson(await next.finish(), session, { spent: units(15), units: 5 });
});

for (const [name, count] of [
  ["at once", 0],
  ["after 7 events", 7],
  ["after 1,500 events", 1_500],
]) {
  test(`an origin that dies ${name}: what was not delivered is back, exactly`, async () => {
    const session = await openSession(stack, "evm", { path: PATH });
    origin.next(faults.pieces({ count, dies: true, last: "data: half an ev" }));
    const stream = await buyStream(session, units(2_000));
    await stream.over();
    assert.ok(eventsTo(count).startsWith(stream.units.map(({ raw }) => raw).join("")), "only whole events, in order");
    const got = stream.units.length;
    const { spent } = await settled(session.channel);
    assert.equal(spent, String(units(got)));
    for (const { event, data } of stream.said) {
      assert.equal(event, "payment-receipt");
      expectReceiptJson(data, session, { spent, units: got });
    }
    // The rest of the balance buys on: the evm method's vouchers are drawn down.
    origin.next(faults.pieces({ count: 2_000 - got }));
    const next = await buyStream(session, units(2_000));
    expectReceiptJson(await next.finish(), session, { spent: units(2_000), units: 2_000 - got });
    assert.equal(next.said.length, 1);
  });
}

for (const method of METHODS) {
  test(`${method}: an origin that fails is not paid, and the same voucher buys the stream again`, async () => {
    const session = await openSession(stack, method, { path: PATH });
    for (const fault of [faults.status(500), faults.status(429), faults.reset()]) {
      origin.next(fault);
      const failed = await session.send(payloads.voucher(session.channel, units(10)));
      assert.ok(failed.status >= 429, failed.text);
      assert.equal(failed.headers["payment-receipt"], undefined);
      await expectLedger(stack, session.channel, { spent: 0n, accepted: units(10) });
    }
    origin.next(faults.pieces({ count: 10 }));
    const stream = await buyStream(session, units(10));
    expectReceiptJson(await stream.finish(), session, { spent: units(10), units: 10 });
  });

  test(`${method}: a new stream on a channel ends the older one, through any isolate`, async () => {
    const session = await openSession(stack, method, { path: PATH });
    origin.next(ticking(), ticking(), faults.pieces({ count: 30 }));
    const streams = [];
    for (let i = 0; i < 3; i++) {
      streams.push(await buyStream(session, units(1_000) + BigInt(i), { via: i % 2, path: `/m/events/${i}` }));
      if (i < 2) await streams[i].received(10);
    }
    let sum = 0;
    for (const [i, stream] of streams.entries()) {
      const receipt = await stream.finish();
      assert.equal(stream.units.length, receipt.units === undefined ? 0 : Number(receipt.units), `stream ${i}`);
      assert.equal(stream.originText, eventsTo(stream.units.length));
      sum += stream.units.length;
    }
    assert.equal(streams[2].units.length, 30);
    await until(() => origin.requests.slice(-3, -1).every(({ aborted }) => aborted), "the origin to be let go twice");
    await expectLedger(stack, session.channel, { spent: units(sum), delivered: units(sum) });
  });
}

test("a new stream ends an older one that waits for a voucher", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.pieces(), faults.pieces({ count: 10 }));
  const older = await buyStream(session, units(5));
  await older.need();
  const newer = await buyStream(session, units(15), { via: 1 });
  expectReceiptJson(await newer.finish(), session, { spent: units(15), units: 10 });
  expectReceiptJson(await older.finish(), session, { units: 5 });
  await expectLedger(stack, session.channel, { spent: units(15), accepted: units(15) });
});

for (const [name, prepare] of [
  ["runs", (stream) => stream.received(10)],
  ["waits", async (stream) => stream.need()],
]) {
  test(`a channel that is closed while its stream ${name}: the stream ends, the voucher is cashed`, async () => {
    const session = await openSession(stack, "evm", { path: PATH });
    const { channel } = session;
    const accepted = units(name === "runs" ? 1_000 : 10);
    origin.next(name === "runs" ? ticking() : faults.pieces());
    const before = await stack.chain.balance(stack.recipient);
    const refunded = await stack.chain.balance(channel.payer.address);
    const stream = await buyStream(session, accepted);
    await prepare(stream);
    const record = origin.requests.at(-1);
    const closed = await session.managed(payloads.close(channel, accepted), { via: 1 });
    const { txHash } = expectReceipt(closed, session, { status: 204, accepted });
    await stream.over();
    for (const { event, data } of stream.said.slice(-1)) {
      assert.equal(event, "payment-receipt");
      assert.equal(Number(data.units ?? 0), stream.units.length);
    }
    await until(() => record.aborted, "the origin to be let go");
    // Close takes what was signed, and the payer has the rest.
    const [end] = await channel.events("ChannelClosed");
    assert.equal(end.transactionHash, txHash);
    assert.equal(end.settledToPayee, accepted);
    assert.equal((await stack.chain.balance(stack.recipient)) - before, accepted);
    assert.equal((await stack.chain.balance(channel.payer.address)) - refunded, channel.deposit - accepted);
    assert.equal(stream.originText, eventsTo(stream.units.length));
    expectProblem(await session.send(payloads.voucher(channel, accepted + UNIT)), 410, "session/channel-finalized");
  });
}

test("a last event that lacks its end is none, as the standard says: it is neither passed on nor charged", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.pieces({ count: 3, last: "data: no end" }));
  const stream = await buyStream(session, units(10));
  expectReceiptJson(await stream.finish(), session, { spent: units(3), units: 3 });
  assert.equal(stream.originText, eventsTo(3));
});
