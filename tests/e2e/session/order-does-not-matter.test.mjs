// A5, A14 and what comes out of order: whatever arrives together, through whichever isolate, the books are the same in the end.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import {
  expectLedger,
  expectNumbers,
  expectReceipt,
  ledger,
  openSession,
  PRICE,
  payloads,
  startSessions,
} from "../harness/session.mjs";

const stack = await startSessions();
const { origin } = stack;

afterEach(() => origin.reset());

/** Sends vouchers for these totals at once, in this order, in turn through both isolates. */
async function together(session, totals, options = {}) {
  const made = await Promise.all(
    totals.map(async (total) => session.authorization(await payloads.voucher(session.channel, total), options)),
  );
  const { path = session.path } = options;
  return Promise.all(made.map((authorization, i) => stack.send(path, { authorization, via: i % 2 })));
}

const bought = (answers) => answers.filter(({ status }) => status === 200);

/** Asserts that what was not sold was refused for want of balance, and that the receipts and the origin agree with the books. */
async function expectSold(session, answers, count, { accepted, mark }) {
  const statuses = JSON.stringify(answers.map(({ status }) => status));
  assert.equal(bought(answers).length, count, statuses);
  for (const answer of answers) {
    if (answer.status === 200) expectReceipt(answer, session, { units: 1 });
    else expectProblem(answer, 402, "session/insufficient-balance");
  }
  const spent = BigInt(count) * PRICE;
  const totals = bought(answers).map(({ receipt }) => BigInt(receipt.spent));
  assert.deepEqual(
    totals.sort((a, b) => Number(a - b)),
    Array.from({ length: count }, (_, i) => BigInt(i + 1) * PRICE),
    "each sale is booked after the other",
  );
  await expectLedger(stack, session.channel, { spent, accepted });
  await mark.moved({ origin: count });
}

for (const method of METHODS) {
  for (const totals of [
    [4_000n, 2_000n],
    [2_000n, 4_000n],
  ]) {
    test(`${method}: vouchers for ${totals.join(" and ")} race: both buy, and the highest stays 4000`, async () => {
      for (let round = 0; round < 5; round++) {
        const session = await openSession(stack, method);
        const mark = await stack.mark();
        await expectSold(session, await together(session, totals), 2, { accepted: 4_000n, mark });
      }
    });
  }

  test(`${method}: 100 parallel copies of a voucher that buys once buy once`, async () => {
    const session = await openSession(stack, method, { path: "/s/once" });
    const mark = await stack.mark();
    const answers = await together(session, Array(100).fill(10n * PRICE));
    await expectSold(session, answers, 1, { accepted: 10n * PRICE, mark });
    // Later is too late as well, through either isolate.
    for (const answer of await together(session, Array(4).fill(10n * PRICE))) {
      const problem = expectProblem(answer, 402, "session/insufficient-balance");
      expectNumbers(problem, session, { accepted: 10n * PRICE, spent: PRICE, required: 10n * PRICE + 1n });
    }
    await mark.moved({ origin: 1 });
  });

  test(`${method}: 100 parallel copies of a voucher that is drawn down buy ten times, and no more`, async () => {
    const session = await openSession(stack, method, { path: "/s/draw" });
    const mark = await stack.mark();
    const answers = await together(session, Array(100).fill(10n * PRICE + PRICE - 1n));
    await expectSold(session, answers, 10, { accepted: 11n * PRICE - 1n, mark });
  });

  test(`${method}: vouchers 1 to 50 in any order all buy, once`, async () => {
    const orders = [
      (totals) => totals.toReversed(),
      (totals) => [...totals.slice(25), ...totals.slice(0, 25)],
      (totals) => totals.toSorted((a, b) => Number((a * 7_919n) % 50_021n) - Number((b * 7_919n) % 50_021n)),
    ];
    for (const order of orders) {
      const session = await openSession(stack, method, { path: "/s/once" });
      const totals = order(Array.from({ length: 50 }, (_, i) => BigInt(i + 1) * PRICE));
      const mark = await stack.mark();
      await expectSold(session, await together(session, totals), 50, { accepted: 50n * PRICE, mark });
      for (const answer of await together(session, totals)) expectProblem(answer, 402, "session/insufficient-balance");
      await mark.moved({ origin: 50 });
    }
  });

  test(`${method}: totals with gaps buy at the price, not for the difference`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    await expectSold(session, await together(session, [1_000n, 5_000n, 9_000n]), 3, { accepted: 9_000n, mark });
  });
}

test("copies through two isolates under one Idempotency-Key are charged once, and told so", async () => {
  const session = await openSession(stack, "abstract");
  const authorization = await session.authorization(await payloads.voucher(session.channel, PRICE));
  const headers = { "Idempotency-Key": "the same" };
  const answers = await Promise.all([0, 1].map((via) => stack.send(session.path, { authorization, via, headers })));
  for (const answer of answers) expectReceipt(answer, session, { accepted: PRICE, spent: PRICE });
  const replayed = answers.filter((answer) => answer.headers["idempotency-replayed"] === "true");
  assert.equal(replayed.length, 1);
  expectReceipt(replayed[0], session, { units: 0 });
  await expectLedger(stack, session.channel, { spent: PRICE, accepted: PRICE });
});

test("a close among twenty purchases: each is sold or refused, and the chain pays what was sold", async () => {
  const session = await openSession(stack, "evm");
  const { channel } = session;
  await session.send(payloads.voucher(channel, PRICE));
  const totals = Array.from({ length: 20 }, (_, i) => BigInt(i + 2) * PRICE);
  const seen = origin.requests.length;
  const purchases = together(session, totals);
  const closed = await session.managed(payloads.close(channel, PRICE), { via: 1 });
  const answers = await purchases;
  for (const answer of answers) {
    if (answer.status !== 200) expectProblem(answer, 410, "session/channel-finalized");
  }
  const sold = 1 + bought(answers).length;
  assert.equal(origin.requests.length - seen, sold - 1, "what was refused did not reach the origin");
  const { acceptedCumulative } = expectReceipt(closed, session, { status: 204 });
  const events = await channel.events("ChannelClosed");
  assert.equal(events.length, 1);
  // A voucher cannot be split: the smallest one held that covers what was sold is cashed, and none that was not signed.
  assert.ok(events[0].settledToPayee >= BigInt(sold) * PRICE, "it covers what was sold");
  assert.ok(events[0].settledToPayee <= BigInt(acceptedCumulative));
  assert.equal((await ledger(stack, channel)).spent, String(BigInt(sold) * PRICE));
});
