// The balance of a stream ends: it says what it needs, holds the origin back, and goes on when the money is there.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { eventsTo, faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import {
  expectLedger,
  expectReceipt,
  expectReceiptJson,
  openSession,
  payloads,
  SESSION_ROUTES,
  startSessions,
} from "../harness/session.mjs";
import { buyStream, METERED_ROUTES, UNIT } from "../harness/stream.mjs";

const stack = await startSessions({ routes: [...METERED_ROUTES, ...SESSION_ROUTES] });
const { origin } = stack;
const PATH = "/m/events/1";
const MEBIBYTE = 1024 * 1024;

afterEach(() => origin.reset());

const units = (count) => BigInt(count) * UNIT;

/** Asserts what the gateway says of the voucher that it needs. */
function expectNeed(need, session, { accepted, required, deposit = session.channel.deposit }) {
  assert.deepEqual(need, {
    channelId: session.channel.id,
    requiredCumulative: String(required),
    acceptedCumulative: String(accepted),
    deposit: String(deposit),
  });
}

/** The ways in which a client brings a voucher while its stream waits. */
const WAYS = {
  "HEAD on the same URL": (session, cumulative) =>
    session.send(payloads.voucher(session.channel, cumulative), { method: "HEAD" }),
  "POST without a body on the same URL": (session, cumulative) => session.manage(payloads.voucher(session.channel, cumulative)),
  "POST through another isolate": (session, cumulative) =>
    session.manage(payloads.voucher(session.channel, cumulative), { via: 1 }),
  "HEAD on another route": (session, cumulative) =>
    session.send(payloads.voucher(session.channel, cumulative), { method: "HEAD", path: "/s/item/1" }),
};

for (const method of METHODS) {
  test(`${method}: a stream goes on after each voucher, however it comes, and nothing is lost`, async () => {
    const session = await openSession(stack, method, { path: PATH });
    const count = 50;
    origin.next(faults.pieces({ count }));
    const stream = await buyStream(session, units(10));
    let paid = 10;
    for (const [i, [name, bring]] of Object.entries(WAYS).entries()) {
      expectNeed(await stream.need(i + 1), session, { accepted: units(paid), required: units(paid + 1) });
      assert.equal(stream.units.length, paid, "what is paid is delivered before more is asked for");
      paid += 10;
      const answer = await bring(session, units(paid));
      assert.equal(answer.text, "", name);
      expectReceipt(answer, session, { status: name.startsWith("HEAD") ? 200 : 204, accepted: units(paid), units: 0 });
    }
    const receipt = await stream.finish();
    assert.equal(stream.originText, eventsTo(count));
    expectReceiptJson(receipt, session, { accepted: units(50), spent: units(50), units: 50 });
    assert.equal(stream.said.length, Object.keys(WAYS).length + 1);
    await expectLedger(stack, session.channel, { accepted: units(50), spent: units(50), delivered: units(50) });
  });

  test(`${method}: the deposit ends as well: an addition on chain and a voucher, and it goes on`, async () => {
    const session = await openSession(stack, method, { path: PATH, deposit: units(5) });
    origin.next(faults.pieces({ count: 12 }));
    const stream = await buyStream(session, units(5));
    expectNeed(await stream.need(), session, { accepted: units(5), required: units(6) });
    const hash = await session.channel.topUp(units(7));
    expectReceipt(await session.managed(payloads.topUp(session.channel, units(7), hash)), session, {
      status: 204,
      accepted: units(5),
    });
    expectReceipt(await session.manage(payloads.voucher(session.channel, units(12))), session, { status: 204 });
    expectReceiptJson(await stream.finish(), session, { accepted: units(12), spent: units(12), units: 12 });
    assert.equal(stream.originText, eventsTo(12));
  });
}

test("while a stream waits, the origin's writes stall", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  const size = 16 * 1024;
  const piece = (i) => `id: ${i}\ndata: ${"x".repeat(size)}\n\n`;
  origin.next(faults.pieces({ piece }));
  const stream = await buyStream(session, units(10));
  await stream.need();
  const record = origin.requests.at(-1);
  const stalls = () => until(() => record.stalled && Date.now() - record.stalled > 1_000, "the origin to be held back", 20_000);
  await stalls();
  const ahead = (record.written - stream.units.length) * size;
  assert.ok(ahead < 16 * MEBIBYTE, `${ahead} bytes are on their way, more than buffers hold`);
  assert.equal(stream.units.length, 10);
  // Far enough that the origin has to write again.
  const more = record.written + 100;
  await session.manage(payloads.voucher(session.channel, units(more)));
  await stream.need(2);
  assert.equal(stream.units.length, more);
  assert.equal(stream.units.at(-1).id, String(more - 1));
  await stalls();
  stream.hangUp();
  await until(() => record.aborted, "the origin to be let go");
});

test("a voucher that does not reach what is required is kept, and the stream waits on", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.pieces({ count: 12 }));
  const stream = await buyStream(session, units(10) + 7n);
  expectNeed(await stream.need(), session, { accepted: units(10) + 7n, required: units(11) });
  for (const raise of [8n, 50n, UNIT - 1n]) {
    expectReceipt(await session.manage(payloads.voucher(session.channel, units(10) + raise)), session, {
      status: 204,
      accepted: units(10) + raise,
    });
  }
  // An older one changes nothing either.
  await session.manage(payloads.voucher(session.channel, units(10)));
  await expectLedger(stack, session.channel, { accepted: units(11) - 1n, spent: units(10) });
  assert.equal(stream.units.length, 10);
  await session.manage(payloads.voucher(session.channel, units(11)));
  await stream.received(11);
  await session.manage(payloads.voucher(session.channel, units(12)));
  expectReceiptJson(await stream.finish(), session, { spent: units(12), units: 12 });
  assert.equal(stream.originText, eventsTo(12));
});

test("a refused voucher does not let a stream go on", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.pieces({ count: 12 }));
  const stream = await buyStream(session, units(10));
  await stream.need();
  const { channel } = session;
  const forged = await channel.voucher(units(12), { account: stack.stranger });
  for (const payload of [
    payloads.voucher(channel, units(12), { signature: forged }),
    payloads.voucher(channel, channel.deposit + 1n),
  ]) {
    assert.equal((await session.manage(payload)).status, 402);
  }
  await expectLedger(stack, channel, { accepted: units(10), spent: units(10) });
  assert.equal(stream.units.length, 10);
  await session.manage(payloads.voucher(channel, units(12)));
  await stream.finish();
});

test("a purchase elsewhere on the channel takes its price from what the stream waits for", async () => {
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.pieces({ count: 12 }));
  const stream = await buyStream(session, units(10));
  await stream.need();
  const bought = await session.send(payloads.voucher(session.channel, units(10) + 1_000n), { path: "/s/item/1" });
  expectReceipt(bought, session, { accepted: units(10) + 1_000n, spent: units(10) + 1_000n, units: 1 });
  assert.equal(stream.units.length, 10);
  await session.manage(payloads.voucher(session.channel, units(12) + 1_000n));
  expectReceiptJson(await stream.finish(), session, { spent: units(12) + 1_000n, units: 12 });
  assert.equal(stream.originText, eventsTo(12));
});

test("a stream that nobody pays for any more ends with its receipt, and lets the origin go", async () => {
  await stack.reconfigure({ gateway: { session: { voucherWaitSeconds: 2 } } });
  const session = await openSession(stack, "evm", { path: PATH });
  origin.next(faults.pieces());
  const stream = await buyStream(session, units(10));
  const start = Date.now();
  await stream.need();
  const record = origin.requests.at(-1);
  const receipt = await stream.finish();
  assert.ok(Date.now() - start >= 1_900, "it waits as long as is configured");
  expectReceiptJson(receipt, session, { accepted: units(10), spent: units(10), units: 10 });
  assert.equal(stream.originText, eventsTo(10));
  await until(() => record.aborted, "the origin to be let go");
  await expectLedger(stack, session.channel, { spent: units(10), delivered: units(10) });
  // Nothing is wrong with the channel: the next stream is sold.
  origin.next(faults.pieces({ count: 3 }));
  const next = await buyStream(session, units(13));
  expectReceiptJson(await next.finish(), session, { spent: units(13), units: 3 });
  await stack.reconfigure({});
});
