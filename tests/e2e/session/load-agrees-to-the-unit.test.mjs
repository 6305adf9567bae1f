// Many channels, many vouchers, two isolates, and power cuts all the while. At the end chain, books and deliveries agree to the unit.
//
// SESSION_LOAD_CHANNELS (64) × SESSION_LOAD_VOUCHERS (1000) requests and SESSION_LOAD_KILLS (6) kills take about three minutes on two
// cores; SESSION_SEED repeats the choices of a run.
import assert from "node:assert/strict";
import { test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { killDuring, random, SEED } from "../harness/chaos.mjs";
import { presign } from "../harness/presign.mjs";
import { until } from "../harness/processes.mjs";
import { echo } from "../harness/protocol.mjs";
import { expectLedger, expectReceipt, openSession, PRICE, payloads, proved, startSessions } from "../harness/session.mjs";
import { SteadyClient } from "../harness/steady.mjs";

const CHANNELS = Number(process.env.SESSION_LOAD_CHANNELS ?? 64);
const VOUCHERS = Number(process.env.SESSION_LOAD_VOUCHERS ?? 1_000);
const KILLS = Number(process.env.SESSION_LOAD_KILLS ?? 6);
const TOTAL = BigInt(VOUCHERS) * PRICE;

const stack = await startSessions({ gateway: { challengeLifetimeSeconds: 3_600, limits: { settlementTimeoutSeconds: 30 } } });
const { chain, origin } = stack;

/** How often the origin was asked for each path. Its records of requests are too many to keep. */
const deliveries = new Map();
origin.always({
  answer(request, response) {
    deliveries.set(request.url, (deliveries.get(request.url) ?? 0) + 1);
    if (origin.requests.length > 1_000) origin.requests.length = 0;
    response.writeHead(200, { "content-type": "text/plain" });
    response.end(`content of ${request.url}`);
  },
});

const pathOf = (channel, i) => `/s/item/${channel}-${i}`;
const balances = (addresses) => Promise.all(addresses.map((address) => chain.balance(address)));
const sumOf = (numbers) => numbers.reduce((sum, number) => sum + number, 0n);

/** Opens the channels, those of one payer one after the other. */
async function openSessions() {
  const { payers } = stack;
  const perPayer = payers.map(async (payer, who) => {
    const list = [];
    for (let i = who; i < CHANNELS; i += payers.length) {
      list.push([i, await openSession(stack, METHODS[i % 2], { payer, deposit: 2n * TOTAL })]);
    }
    return list;
  });
  const opened = (await Promise.all(perPayer)).flat();
  return opened.sort(([a], [b]) => a - b).map(([, session]) => session);
}

test(`${CHANNELS} channels × ${VOUCHERS} vouchers, ${KILLS} kills (seed ${SEED})`, { timeout: 600_000 }, async (t) => {
  const payers = stack.payers.map(({ address }) => address);
  const payeeBefore = await chain.balance(stack.recipient);
  const payersBefore = sumOf(await balances(payers));
  const started = performance.now();
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1);
  const sessions = await openSessions();
  t.diagnostic(`${seconds()} s: channels are open`);
  const signatures = await presign(
    sessions.map(({ channel }) => channel),
    VOUCHERS,
    PRICE,
  );
  t.diagnostic(`${seconds()} s: ${CHANNELS * VOUCHERS} vouchers are signed`);

  const client = new SteadyClient(stack);
  const done = sessions.map(() => 0);
  let repeated = 0;
  const use = async ({ channel, ...session }, which) => {
    // Built by hand: of the credential only two members change.
    const challenge = JSON.stringify(echo(session.challenge));
    for (let i = 1; i <= VOUCHERS; i++) {
      const payload = { action: "voucher", channelId: channel.id, cumulativeAmount: String(BigInt(i) * PRICE) };
      payload.signature = signatures[which][i - 1];
      const credential = Buffer.from(`{"challenge":${challenge},"payload":${JSON.stringify(payload)}}`).toString("base64url");
      const path = pathOf(which, i);
      const answer = await client.get(path, `Payment ${credential}`, `${which}-${i}`, { via: (which + i) % 2 });
      assert.equal(answer.status, 200, `${path}: ${answer.text}`);
      assert.equal(answer.text, `content of ${path}`);
      assert.equal(answer.receipt.spent, payload.cumulativeAmount, "each request is charged once, and at once");
      if (answer.attempts > 1) {
        repeated += answer.attempts - 1;
        const times = deliveries.get(path);
        assert.ok(times >= 1 && times <= answer.attempts, `${path}: sent ${answer.attempts} times, delivered ${times} times`);
      } else {
        assert.equal(deliveries.get(path), 1, path);
      }
      done[which] = i < VOUCHERS ? i : Number.POSITIVE_INFINITY;
    }
  };
  const begun = performance.now();
  const work = Promise.all(
    sessions.map(async (session, i) => use({ channel: session.channel, challenge: await session.challenge() }, i)),
  );
  const kills = await killDuring(stack, work, {
    chance: random(),
    progress: () => [...done],
    most: KILLS,
    // Spread over the run, whose length is not known: a kill, then as much work as a part of the vouchers takes.
    pause: [200, 200 + (20_000 * CHANNELS * VOUCHERS) / 64_000],
  });
  const rate = (CHANNELS * VOUCHERS * 1000) / (performance.now() - begun);
  t.diagnostic(`${seconds()} s: all is bought, ${rate.toFixed(0)} requests a second, ${kills} kills, ${repeated} repetitions`);
  client.close();

  assert.equal(deliveries.size, CHANNELS * VOUCHERS, "everything was delivered");
  for (const { channel } of sessions) await expectLedger(stack, channel, { accepted: TOTAL, spent: TOTAL, settled: 0n });
  t.diagnostic(`${seconds()} s: the books are right`);

  // Closed by their clients, some at a time, and killed once more in the middle.
  const closing = Promise.all(
    sessions.map(async (session) => {
      const answer = await until(
        () => session.managed(proved(payloads.close(session.channel, TOTAL), session), { ms: 120_000 }).catch(() => false),
        "a channel to be closed",
        180_000,
      );
      expectReceipt(answer, session, { status: 204, accepted: TOTAL });
    }),
  );
  await killDuring(stack, closing, {
    chance: random(SEED + 1),
    progress: () => [Number.POSITIVE_INFINITY],
    most: 1,
    pause: [300, 600],
  });
  t.diagnostic(`${seconds()} s: all channels are closed`);

  for (const { channel } of sessions) {
    const ends = await channel.events("ChannelClosed");
    assert.deepEqual(
      ends.map(({ settledToPayee, refundedToPayer }) => [settledToPayee, refundedToPayer]),
      [[TOTAL, TOTAL]],
    );
  }
  const paid = BigInt(CHANNELS) * TOTAL;
  assert.equal((await chain.balance(stack.recipient)) - payeeBefore, paid, "the payee has what was sold");
  assert.equal(payersBefore - sumOf(await balances(payers)), paid, "the payers have the rest");
  assert.deepEqual(await balances([chain.escrow, chain.evmEscrow]), [0n, 0n], "and the escrows have nothing left");
});
