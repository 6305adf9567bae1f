// A channel's object does not live for ever: it is evicted when nobody asks for a while, and it dies in the middle of a call when it
// is moved or a new version is deployed. Nobody notices.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { eventsTo, faults } from "../harness/origin.mjs";
import {
  expectLedger,
  expectReceipt,
  expectReceiptJson,
  openSession,
  PRICE,
  payloads,
  SESSION_ROUTES,
  startSessions,
} from "../harness/session.mjs";
import { SteadyClient } from "../harness/steady.mjs";
import { buyStream, EventStream, METERED_ROUTES, UNIT } from "../harness/stream.mjs";

const stack = await startSessions({ routes: [...SESSION_ROUTES, ...METERED_ROUTES], watch: {} });
const { gateway, origin } = stack;
const EVENTS = "/m/events/1";
const units = (count) => BigInt(count) * UNIT;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** workerd evicts an object after ten seconds without a call. */
const IDLE_MS = 11_000;

afterEach(() => origin.reset());

/** Leaves the objects alone until `ask` finds one that was made anew; it may be asked several times. */
async function evicted(ask) {
  for (let i = 0; i < 4; i++) {
    const made = gateway.objects("Channel", "made");
    await sleep(IDLE_MS);
    await ask(i);
    if (gateway.objects("Channel", "made") > made) return;
  }
  assert.fail("workerd evicts an object that nobody asks");
}

test("after an eviction the books are the same, spent vouchers are spent, and keys are known", { timeout: 120_000 }, async () => {
  const session = await openSession(stack, "abstract");
  const { channel } = session;
  const keyed = payloads.voucher(channel, PRICE);
  const headers = { "Idempotency-Key": "before" };
  expectReceipt(await session.send(keyed, { headers }), session, { spent: PRICE, units: 1 });
  let replays = 0;
  await evicted(async (i) => {
    if (i > 0) return expectLedger(stack, channel);
    const replayed = await session.send(keyed, { headers });
    assert.equal(replayed.headers["idempotency-replayed"], "true");
    replays += 1;
    expectReceipt(replayed, session, { accepted: PRICE, spent: PRICE, units: 0 });
    expectProblem(await session.send(keyed), 402, "session/insufficient-balance");
  });
  assert.equal(replays, 1);
  expectReceipt(await session.send(payloads.voucher(channel, 2n * PRICE)), session, { spent: 2n * PRICE, units: 1 });
  await expectLedger(stack, channel, { accepted: 2n * PRICE, spent: 2n * PRICE });
});

test("a stream that waits for its voucher longer than its object lives goes on", { timeout: 120_000 }, async () => {
  const session = await openSession(stack, "evm", { path: EVENTS });
  origin.next(faults.pieces({ count: 20 }));
  const stream = await buyStream(session, units(10));
  await stream.need();
  await sleep(IDLE_MS + 2_000);
  expectReceipt(await session.manage(payloads.voucher(session.channel, units(20)), { via: 1 }), session, { status: 204 });
  expectReceiptJson(await stream.finish(), session, { accepted: units(20), spent: units(20), units: 20 });
  assert.equal(stream.originText, eventsTo(20));
});

test("a stream whose events are seldom outlives its object", { timeout: 120_000 }, async () => {
  const session = await openSession(stack, "evm", { path: EVENTS });
  const made = gateway.objects("Channel", "made");
  origin.next(faults.pieces({ count: 3, every: IDLE_MS }));
  const stream = await buyStream(session, units(10));
  const receipt = await stream.finish(90_000);
  assert.equal(stream.originText, eventsTo(3));
  expectReceiptJson(receipt, session, { accepted: units(10), spent: units(3), units: 3 });
  await expectLedger(stack, session.channel, { spent: units(3), delivered: units(3) });
  assert.ok(gateway.objects("Channel", "made") > made, "workerd evicts an object that nobody asks");
});

for (const when of ["before", "after"]) {
  /** Objects of channels die `when` a call, one in `every`. */
  const resets = (every) => gateway.restart({ watch: { resets: { name: "Channel", every, when } } });

  for (const method of METHODS) {
    test(`${method}: objects die ${when} every fourth call: each request is sold once`, { timeout: 120_000 }, async () => {
      await gateway.restart({ watch: {} });
      const session = await openSession(stack, method);
      await session.challenge();
      await resets(4);
      const client = new SteadyClient(stack);
      const count = 40;
      for (let i = 1; i <= count; i++) {
        const authorization = await session.authorization(await payloads.voucher(session.channel, BigInt(i) * PRICE));
        const answer = await client.get(`/s/item/1`, authorization, `${method}-${when}-${i}`, { via: i % 2 });
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.receipt.acceptedCumulative, String(BigInt(i) * PRICE));
      }
      client.close();
      await gateway.restart({ watch: {} });
      const total = BigInt(count) * PRICE;
      await expectLedger(stack, session.channel, { accepted: total, spent: total });
    });
  }

  test(`objects die ${when} every fourth call: without a key, no voucher that pays is refused`, {
    timeout: 120_000,
  }, async () => {
    await gateway.restart({ watch: {} });
    const session = await openSession(stack, "abstract");
    await session.challenge();
    await resets(4);
    const seen = origin.requests.length;
    const count = 40;
    const statuses = [];
    for (let i = 1; i <= count; i++) {
      const { status } = await session.send(payloads.voucher(session.channel, BigInt(i) * PRICE), { via: i % 2 });
      statuses.push(status);
    }
    // 402 would tell the client to pay again for what it has paid. 503 tells it to ask again.
    assert.deepEqual(
      statuses.filter((status) => status !== 200 && status !== 503),
      [],
    );
    await gateway.restart({ watch: {} });
    const sold = statuses.filter((status) => status === 200).length;
    assert.equal(origin.requests.length - seen, sold);
    assert.ok(sold >= count / 2, `${sold} of ${count} sold`);
    const { spent } = await expectLedger(stack, session.channel);
    assert.ok(BigInt(spent) >= BigInt(sold) * PRICE && BigInt(spent) <= BigInt(count) * PRICE, `${spent} for ${sold}`);
  });

  test(`objects die ${when} every fourth call: without a key, 503 leads to the sale when asked again`, {
    timeout: 120_000,
  }, async () => {
    await gateway.restart({ watch: {} });
    const session = await openSession(stack, "abstract");
    await session.challenge();
    await resets(4);
    const count = 20;
    for (let i = 1; i <= count; i++) {
      const authorization = await session.authorization(await payloads.voucher(session.channel, BigInt(i) * PRICE));
      const answer = await stack.resume("/s/item/1", authorization);
      assert.equal(answer.status, 200, `voucher ${i}: ${answer.text}`);
    }
    await gateway.restart({ watch: {} });
    await expectLedger(stack, session.channel, { spent: BigInt(count) * PRICE, accepted: BigInt(count) * PRICE });
  });

  test(`B8: objects die ${when} every 50th call with 160 purchases in flight: what was delivered is charged, once`, {
    timeout: 120_000,
  }, async () => {
    await gateway.restart({ watch: {} });
    const count = 160;
    const session = await openSession(stack, "evm", { path: "/s/draw" });
    await session.challenge();
    const voucher = await payloads.voucher(session.channel, BigInt(count) * PRICE);
    assert.equal((await session.manage(voucher)).status, 204);
    const seen = origin.requests.length;
    await resets(50);
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => session.send(voucher, { via: i % 2 })));
    await gateway.restart({ watch: {} });
    const delivered = answers.filter(({ status }) => status === 200).length;
    assert.deepEqual(
      answers.map(({ status }) => status).filter((status) => status !== 200 && status !== 503),
      [],
    );
    assert.equal(origin.requests.length - seen, delivered);
    assert.ok(delivered >= count / 2, `${delivered} of ${count} delivered`);
    await expectLedger(stack, session.channel, { spent: BigInt(delivered) * PRICE });
  });

  test(`objects die ${when} every third call: a stream is complete and charged exactly`, { timeout: 120_000 }, async () => {
    await gateway.restart({ watch: {} });
    const session = await openSession(stack, "evm", { path: EVENTS });
    await session.challenge();
    await resets(3);
    const count = 3_000;
    const seen = gateway.objects("Channel", "reset");
    origin.always(faults.pieces({ count }));
    const stream = await buyStream(session, units(count));
    const receipt = await stream.finish();
    assert.ok(stream.originText === eventsTo(count));
    expectReceiptJson(receipt, session, { accepted: units(count), spent: units(count), units: count });
    assert.ok(gateway.objects("Channel", "reset") > seen, "the stream has met a reset");
    await gateway.restart({ watch: {} });
    await expectLedger(stack, session.channel, { spent: units(count), delivered: units(count) });
  });

  test(`objects die ${when} every third call: a stream says what it needs, and goes on`, { timeout: 120_000 }, async () => {
    await gateway.restart({ watch: {} });
    const session = await openSession(stack, "evm", { path: EVENTS });
    await session.challenge();
    await resets(3);
    const steps = [10, 300, 310, 2_000];
    origin.always(faults.pieces({ count: steps.at(-1) }));
    const authorization = await session.authorization(await payloads.voucher(session.channel, units(steps[0])));
    const client = new SteadyClient(stack);
    const stream = new EventStream(await stack.open(EVENTS, { headers: { authorization } }));
    assert.equal(stream.status, 200);
    for (const [i, paid] of steps.entries()) {
      if (i === 0) continue;
      const need = await stream.need(i, 30_000);
      assert.equal(need.requiredCumulative, String(units(steps[i - 1] + 1)));
      const voucher = await session.authorization(await payloads.voucher(session.channel, units(paid)));
      assert.equal((await client.get(EVENTS, voucher, undefined, { method: "HEAD" })).status, 200);
    }
    client.close();
    await stream.over();
    assert.ok(stream.originText === eventsTo(steps.at(-1)));
    await gateway.restart({ watch: {} });
    await expectLedger(stack, session.channel, { spent: units(steps.at(-1)), delivered: units(steps.at(-1)) });
  });

  test(`objects die ${when} every second call: a channel is closed once`, { timeout: 120_000 }, async () => {
    await gateway.restart({ watch: {} });
    const session = await openSession(stack, "evm");
    await session.pay();
    await resets(2);
    const payload = await payloads.close(session.channel, PRICE);
    const hashes = new Set();
    for (let i = 0; i < 3; i++) {
      const closed = await session.managed(payload, { via: i % 2 });
      hashes.add(expectReceipt(closed, session, { status: 204, accepted: PRICE }).txHash);
    }
    assert.equal(hashes.size, 1, "repeated, the answer is the same");
    const events = await session.channel.events("ChannelClosed");
    assert.deepEqual(
      events.map(({ settledToPayee }) => settledToPayee),
      [PRICE],
    );
    await gateway.restart({ watch: {} });
  });
}
