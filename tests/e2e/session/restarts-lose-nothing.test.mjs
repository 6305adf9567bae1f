// B4 for sessions: workerd dies at any moment of vouchers, streams, settlement and close, and comes back on the same storage. No
// voucher is lost, nothing is sold, settled or closed twice. SESSION_SEED repeats the choices of a run.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { killDuring, random, SEED } from "../harness/chaos.mjs";
import { eventsTo, faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
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
import { buyStream, METERED_ROUTES, UNIT } from "../harness/stream.mjs";

const stack = await startSessions({
  routes: [...SESSION_ROUTES, ...METERED_ROUTES],
  gateway: { limits: { settlementTimeoutSeconds: 20 } },
});
const { chain, gateway, origin, rpc, settlement } = stack;
const EVENTS = "/m/events/1";
const units = (count) => BigInt(count) * UNIT;
const chance = random();

afterEach(async () => {
  origin.reset();
  rpc.heal();
  await chain.resumeMining();
});

async function restart() {
  await gateway.kill();
  await gateway.start();
}

test(`four channels of 60 requests through kills at random: each request is charged once (seed ${SEED})`, async (t) => {
  const sessions = await Promise.all(
    [0, 1, 2, 3].map((i) => openSession(stack, METHODS[i % 2], { payer: stack.payers[i], path: `/s/item/${i}` })),
  );
  for (const session of sessions) await session.challenge();
  const client = new SteadyClient(stack);
  const done = sessions.map(() => 0);
  const attempts = new Map();
  const buyAll = async (session, who) => {
    for (let i = 1; i <= 60; i++) {
      const path = `/s/item/${who}-${i}`;
      const authorization = await session.authorization(await payloads.voucher(session.channel, BigInt(i) * PRICE));
      const answer = await client.get(path, authorization, `request ${i}`, { via: i % 2 });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.text, `content of GET ${path}`);
      assert.equal(answer.receipt.acceptedCumulative, String(BigInt(i) * PRICE));
      assert.equal(answer.receipt.spent, String(BigInt(i) * PRICE));
      attempts.set(path, answer.attempts);
      done[who] = i < 60 ? i : Number.POSITIVE_INFINITY;
    }
  };
  const kills = await killDuring(stack, Promise.all(sessions.map(buyAll)), {
    chance,
    progress: () => [...done],
    most: 12,
    pause: [10, 150],
  });
  client.close();
  t.diagnostic(`${kills} kills, ${client.retried} requests sent more than once`);
  for (const { channel } of sessions) await expectLedger(stack, channel, { accepted: 60n * PRICE, spent: 60n * PRICE });
  for (const [path, sent] of attempts) {
    const delivered = origin.requests.filter(({ url }) => url === path).length;
    assert.ok(delivered >= 1 && delivered <= sent, `${path}: sent ${sent} times, reached the origin ${delivered} times`);
  }
});

test("a voucher that was answered is there after a kill, whatever came between", async () => {
  const session = await openSession(stack, "evm");
  for (let i = 1n; i <= 5n; i++) {
    const answer = await session.send(payloads.voucher(session.channel, i * PRICE), { method: "HEAD" });
    await gateway.kill();
    expectReceipt(answer, session, { accepted: i * PRICE });
    await gateway.start();
    await expectLedger(stack, session.channel, { accepted: i * PRICE, spent: 0n });
  }
});

test("streams that are cut by kills: what was read is paid, never more than was allowed, and the channel goes on", async (t) => {
  const session = await openSession(stack, "evm", { path: EVENTS, deposit: units(10_000) });
  let read = 0;
  let accepted = 0n;
  for (let i = 0; i < 6; i++) {
    origin.next(faults.pieces({ every: 5 }));
    accepted += units(500);
    const stream = await buyStream(session, accepted, { via: i % 2 });
    assert.equal(stream.status, 200);
    await stream.received(1 + Math.floor(chance() * 60));
    await gateway.kill();
    await stream.over();
    read += stream.units.length;
    await gateway.start();
    const { spent } = await expectLedger(stack, session.channel, { accepted });
    assert.ok(BigInt(spent) >= units(read), `${read} events read for ${spent}`);
  }
  const { spent } = await expectLedger(stack, session.channel);
  t.diagnostic(`${read} events read, ${BigInt(spent) / UNIT} booked: the difference was reserved when the process died`);
  origin.next(faults.pieces({ count: 40 }));
  const required = BigInt(spent) + units(40);
  const stream = await buyStream(session, required > accepted ? required : accepted + 1n);
  expectReceiptJson(await stream.finish(), session, { spent: BigInt(spent) + units(40), units: 40 });
  assert.equal(stream.originText, eventsTo(40));
});

/** Moments in which a payout can be caught: how to make it stay there, and when it is there. */
const MOMENTS = {
  "while it asks the chain": [() => rpc.fail("*", faulty.hang), () => until(() => rpc.posts > 0, "a question to the chain")],
  "while its transaction is on its way": [
    () => rpc.fail("eth_sendRawTransaction", faulty.hang),
    () => rpc.called("eth_sendRawTransaction"),
  ],
  "while its transaction was taken and nobody said so": [
    () => rpc.fail("eth_sendRawTransaction", faulty.hangAfter),
    () => rpc.called("eth_sendRawTransaction"),
  ],
  "while its transaction waits for a block": [() => chain.pauseMining(), () => chain.submitted(settlement.address)],
};

for (const method of METHODS) {
  for (const [name, [catchIt, moment]] of Object.entries(MOMENTS)) {
    test(`${method}: killed during a close, ${name}: it is closed once, and says so again`, { timeout: 120_000 }, async () => {
      const session = await openSession(stack, method);
      await session.pay();
      await session.pay();
      const before = await chain.transactions(settlement.address);
      rpc.forget();
      await catchIt();
      const payload = await payloads.close(session.channel, 2n * PRICE);
      const cut = assert.rejects(session.manage(payload));
      await moment();
      await gateway.kill();
      await cut;
      rpc.heal();
      await chain.resumeMining();
      await gateway.start();
      const { txHash } = expectReceipt(await session.managed(payload), session, { status: 204, accepted: 2n * PRICE });
      const events = await session.channel.events("ChannelClosed");
      assert.deepEqual(
        events.map(({ settledToPayee, transactionHash }) => [settledToPayee, transactionHash]),
        [[2n * PRICE, txHash]],
      );
      assert.equal((await chain.transactions(settlement.address)) - before, 1, "one transaction");
      await restart();
      expectReceipt(await session.managed(payload, { via: 1 }), session, { status: 204, txHash });
    });
  }
}

test("killed after the answer to a close was lost: the same answer again", async () => {
  const session = await openSession(stack, "evm");
  await session.pay();
  const payload = await payloads.close(session.channel, PRICE);
  const first = expectReceipt(await session.managed(payload), session, { status: 204 });
  await restart();
  expectReceipt(await session.managed(payload), session, { status: 204, txHash: first.txHash });
});

/** Channels whose settlement was cut by a kill. */
const interrupted = [];
for (const [name, [catchIt, moment]] of Object.entries(MOMENTS).slice(1)) {
  test(`killed during a settlement, ${name}: it is settled once, without anybody asking`, { timeout: 180_000 }, async () => {
    // What was delivered counts after six seconds, and what is bought is just enough to be settled.
    await stack.reconfigure({ gateway: { limits: { originTimeoutSeconds: 1 }, session: { settleAmount: "0.003" } } });
    const session = await openSession(stack, "evm");
    const before = await chain.transactions(settlement.address);
    rpc.forget();
    await catchIt();
    for (let i = 0; i < 3; i++) assert.equal((await session.pay()).status, 200);
    await until(
      () =>
        moment().then(
          () => true,
          () => false,
        ),
      "the settlement to begin",
      60_000,
    );
    await gateway.kill();
    rpc.heal();
    await chain.resumeMining();
    await gateway.start();
    await until(async () => (await session.channel.events("Settled")).length > 0, "the settlement", 60_000);
    await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE });
    // Time for a second one, which must not come.
    for (let i = 0; i < 2; i++) await restart();
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const settled = await session.channel.events("Settled");
    assert.equal(settled.at(-1).newSettled, 3n * PRICE);
    assert.equal((await chain.transactions(settlement.address)) - before, settled.length, "no transaction is wasted");
    interrupted.push(session.channel);
    await stack.reconfigure({});
  });
}

test("the books follow what the chain says of settlements that were cut by a kill", { timeout: 120_000 }, async () => {
  assert.equal(interrupted.length, 3);
  for (const channel of interrupted) {
    const agrees = async () => (await expectLedger(stack, channel)).settled === String(3n * PRICE);
    await until(agrees, "the books to say what is settled", 60_000);
  }
});
