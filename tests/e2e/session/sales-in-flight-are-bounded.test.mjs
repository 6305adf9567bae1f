// Sales of units under way: what they reserve, how many there may be at a time, and clients that leave them.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectProblem } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { expectLedger, expectNumbers, expectReceipt, ledger, openSession, payloads, startSessions } from "../harness/session.mjs";
import { buyStream, METERED_ROUTES, UNIT } from "../harness/stream.mjs";

const stack = await startSessions({ routes: METERED_ROUTES });
const { origin } = stack;
const [EVENTS, BYTES, REPORTED] = ["/m/events/1", "/m/bytes/1", "/m/reported/1"];
const MAX = 1_000n * UNIT;

afterEach(() => origin.reset());

test("the most that may be reported must be there before the origin is asked, also for two at a time", async () => {
  const session = await openSession(stack, "evm", { path: REPORTED });
  const mark = await stack.mark();
  const short = expectProblem(
    await session.send(payloads.voucher(session.channel, MAX - 1n)),
    402,
    "session/insufficient-balance",
  );
  expectNumbers(short, session, { accepted: MAX - 1n, spent: 0n, required: MAX });
  await mark.nothing();

  const { promise: open, resolve } = Promise.withResolvers();
  origin.next({
    async answer(_request, response) {
      await open;
      response.writeHead(200, { "payment-units": "10" });
      response.end("ten");
    },
  });
  const seen = origin.requests.length;
  const first = session.send(payloads.voucher(session.channel, MAX + 500n));
  await origin.arrival(seen + 1);
  const second = await session.send(payloads.voucher(session.channel, MAX + 501n), { via: 1 });
  expectNumbers(expectProblem(second, 402, "session/insufficient-balance"), session, { required: 2n * MAX });
  resolve();
  expectReceipt(await first, session, { spent: 10n * UNIT, units: 10 });
  await mark.moved({ origin: 1 });
});

test("however many sales are under way at a time, each is charged what was reported", async () => {
  const count = 40;
  const session = await openSession(stack, "evm", { path: REPORTED, deposit: BigInt(count) * MAX });
  const { promise: open, resolve } = Promise.withResolvers();
  origin.always({
    async answer(_request, response) {
      await open;
      response.writeHead(200, { "payment-units": "3" });
      response.end("three");
    },
  });
  const seen = origin.requests.length;
  let over = 0;
  const calls = Array.from({ length: count }, async (_, i) => {
    const answer = await session.send(payloads.voucher(session.channel, session.channel.deposit), { via: i % 2 });
    over += 1;
    return answer;
  });
  // Whoever is not let through is told so at once.
  await until(() => origin.requests.length - seen + over >= count, "everybody to be served or refused");
  resolve();
  const answers = await Promise.all(calls);
  const sold = answers.filter(({ status }) => status === 200).length;
  assert.ok(sold >= 16, JSON.stringify(answers.map(({ status }) => status)));
  for (const { status } of answers) assert.ok(status === 200 || status === 503, String(status));
  const expected = { spent: BigInt(sold) * 3n * UNIT };
  await until(() => expectLedger(stack, session.channel, expected).catch(() => false), `${sold} × 3 units in the books`);
});

test("a client that hangs up in the middle of bytes pays for what it read and what the buffers held", async () => {
  const session = await openSession(stack, "evm", { path: BYTES, deposit: 900_000_000n });
  const piece = () => Buffer.alloc(64 * 1024, "x");
  origin.next(faults.pieces({ piece, headers: { "content-type": "application/octet-stream" } }));
  const stream = await buyStream(session, 900_000_000n);
  await until(() => stream.bytes > 1_000_000, "a part of the body");
  const record = origin.requests.at(-1);
  stream.hangUp();
  await until(() => record.aborted, "the origin to see its client go");
  const { spent } = await until(async () => {
    const books = await expectLedger(stack, session.channel);
    return books.spent === books.delivered && books;
  }, "the reserved bytes to come back");
  assert.ok(BigInt(spent) >= BigInt(stream.bytes), `${spent} for ${stream.bytes} bytes read`);
  assert.ok(BigInt(spent) <= BigInt(stream.bytes) + 16n * 1_048_576n, `${spent} for ${stream.bytes} bytes read`);
});

for (const path of [EVENTS, BYTES, REPORTED]) {
  test(`${path}: a client that leaves before the origin has answered has got nothing and pays nothing`, async () => {
    const session = await openSession(stack, "evm", { path });
    origin.next(faults.hang());
    const seen = origin.requests.length;
    let request;
    const authorization = await session.authorization(await payloads.voucher(session.channel, 2n * MAX));
    const onRequest = (made) => {
      request = made;
    };
    const answered = stack.open(path, { headers: { authorization }, onRequest }).catch(() => "gone");
    await origin.arrival(seen + 1);
    request.socket.resetAndDestroy();
    assert.equal(await answered, "gone");
    await until(async () => (await ledger(stack, session.channel)).spent === "0", "the reserved units to come back", 30_000);
  });
}
