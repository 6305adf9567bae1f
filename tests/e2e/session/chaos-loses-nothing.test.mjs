// B4 with everything at once: vouchers, purchases, streams and settlements of several channels while workerd is killed at random, then
// closes under kills. SESSION_SEED repeats the choices of a run.
import assert from "node:assert/strict";
import { test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { killDuring, random, SEED } from "../harness/chaos.mjs";
import { faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import {
  expectLedger,
  expectReceipt,
  openSession,
  PRICE,
  payloads,
  proved,
  SESSION_ROUTES,
  startSessions,
} from "../harness/session.mjs";
import { SteadyClient } from "../harness/steady.mjs";
import { buyStream, METERED_ROUTES, UNIT } from "../harness/stream.mjs";

// What was delivered counts after six seconds, and little of it is enough to be settled: that also happens under the kills.
const stack = await startSessions({
  routes: [...SESSION_ROUTES, ...METERED_ROUTES],
  gateway: { limits: { originTimeoutSeconds: 1, settlementTimeoutSeconds: 20 } },
  session: { settleAmount: "0.005", settleAfterSeconds: 5 },
});
const { chain, origin, settlement } = stack;
const STEPS = 250;
const STREAM_EVENTS = 25;

origin.always({
  answer(request, response, record) {
    const streamed = request.url.startsWith("/m/events/");
    (streamed ? faults.pieces({ count: STREAM_EVENTS, every: 2 }) : faults.content()).answer(request, response, record);
  },
});

/** One client: what it has signed, what it knows to be accepted, and what it has had. */
class Client {
  signed = 0n;
  known = 0n;
  bought = 0n;
  read = 0;
  streams = 0;

  constructor(session, steady, chance) {
    Object.assign(this, { session, steady, chance });
  }

  async authorization(path) {
    return this.session.authorization(await payloads.voucher(this.session.channel, this.signed), { path });
  }

  async step(i) {
    const choice = this.chance();
    if (choice < 0.6) await this.buy(i);
    else if (choice < 0.8) await this.raise();
    else await this.stream();
  }

  /** A purchase under a key, repeated until it is answered. */
  async buy(i) {
    this.signed += PRICE;
    const answer = await this.steady.get("/s/item/1", await this.authorization("/s/item/1"), `step ${i}`);
    assert.equal(answer.status, 200, answer.text);
    this.note(answer.receipt);
    this.bought += PRICE;
  }

  /** A voucher that buys nothing yet. */
  async raise(amount = UNIT) {
    this.signed += amount;
    const answer = await this.steady.get("/s/item/1", await this.authorization("/s/item/1"), undefined, { method: "HEAD" });
    assert.equal(answer.status, 200);
    this.note(answer.receipt);
  }

  /**
   * A stream, which a kill may cut short: what was read is paid. What was reserved when a process died is booked, so that the next
   * stream may need more than its events cost: it asks, and gets it.
   */
  async stream() {
    this.signed += BigInt(STREAM_EVENTS) * UNIT;
    const stream = await buyStream(this.session, this.signed, { path: "/m/events/1" }).catch(() => undefined);
    if (stream?.status !== 200) return;
    this.streams += 1;
    for (let needs = 0; ; needs++) {
      const asked = () => stream.said.filter(({ event }) => event === "payment-need-voucher");
      await until(() => stream.ended || asked().length > needs, "the stream to go on or to end", 60_000);
      if (stream.ended) break;
      const required = BigInt(asked()[needs].data.requiredCumulative);
      this.signed = required > this.signed ? required : this.signed;
      await this.raise(BigInt(STREAM_EVENTS) * UNIT);
    }
    this.note(stream.receipt);
    this.read += stream.units.length;
  }

  note({ acceptedCumulative }) {
    const accepted = BigInt(acceptedCumulative);
    assert.ok(accepted <= this.signed, "nothing is accepted that was not signed");
    this.known = accepted > this.known ? accepted : this.known;
  }
}

test(`four channels through kills at random (seed ${SEED})`, { timeout: 300_000 }, async (t) => {
  const chance = random();
  const steady = new SteadyClient(stack);
  const transactions = await chain.transactions(settlement.address);
  const before = await chain.balance(stack.recipient);
  const clients = await Promise.all(
    stack.payers.map(async (payer, i) => {
      const session = await openSession(stack, METHODS[i % 2], { payer, path: "/s/item/1" });
      for (const path of ["/s/item/1", "/m/events/1"]) await session.challenge(path);
      return new Client(session, steady, random(SEED + i));
    }),
  );
  const done = clients.map(() => 0);
  const work = clients.map(async (client, who) => {
    for (let i = 1; i <= STEPS; i++) {
      await client.step(i);
      done[who] = i < STEPS ? i : Number.POSITIVE_INFINITY;
    }
  });
  const kills = await killDuring(stack, Promise.all(work), { chance, progress: () => [...done], pause: [10, 400] });

  for (const { session, known, signed, bought, read } of clients) {
    const books = await expectLedger(stack, session.channel);
    const accepted = BigInt(books.acceptedCumulative);
    assert.ok(accepted >= known && accepted <= signed, `${known} was confirmed and ${signed} signed: ${JSON.stringify(books)}`);
    const least = bought + BigInt(read) * UNIT;
    assert.ok(BigInt(books.spent) >= least, `${least} was had: ${JSON.stringify(books)}`);
  }

  const closing = clients.map(async (client) => {
    const { session, signed } = client;
    const { channel } = session;
    const answer = await until(
      () => session.managed(proved(payloads.close(channel, signed), session)).catch(() => false),
      "a channel to be closed",
      120_000,
    );
    const { acceptedCumulative, spent, txHash } = expectReceipt(answer, session, { status: 204 });
    assert.equal(acceptedCumulative, String(signed), "the last voucher is the best");
    const [end, ...more] = await channel.events("ChannelClosed");
    assert.deepEqual(more, []);
    assert.equal(end.transactionHash, txHash);
    assert.equal(end.settledToPayee, signed);
    assert.equal(end.refundedToPayer, channel.deposit - signed);
    assert.ok(BigInt(spent) <= signed);
  });
  const killed = await killDuring(stack, Promise.all(closing), {
    chance,
    progress: () => [Number.POSITIVE_INFINITY],
    most: 3,
    pause: [0, 300],
  });
  steady.close();

  let settlements = 0;
  for (const { session } of clients) {
    const events = await session.channel.events("Settled");
    settlements += events.length;
    const totals = events.map(({ newSettled }) => newSettled);
    assert.deepEqual(
      totals,
      totals.toSorted((a, b) => Number(a - b)),
      "settlements only rise",
    );
    assert.equal(new Set(totals).size, totals.length, "and none is made twice");
  }
  const sent = (await chain.transactions(settlement.address)) - transactions;
  assert.equal(sent, settlements + clients.length, "one transaction for each settlement and each close");
  const signed = clients.reduce((sum, client) => sum + client.signed, 0n);
  assert.equal((await chain.balance(stack.recipient)) - before, signed, "the payee has what was signed");
  t.diagnostic(`${kills} + ${killed} kills, ${settlements} settlements, ${clients.map(({ streams }) => streams)} streams`);
});
