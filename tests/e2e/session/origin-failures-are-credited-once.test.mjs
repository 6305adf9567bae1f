// B5 for sessions: what the origin fails to deliver is credited back, exactly once; what it delivered, or refused by itself, is not.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { breaks, breakUpload, leaveAt, stall } from "../harness/leaving.mjs";
import { faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import {
  expectLedger,
  expectReceipt,
  ledger,
  openChannel,
  openSession,
  PRICE,
  payloads,
  Session,
  startSessions,
} from "../harness/session.mjs";

const stack = await startSessions({ gateway: { limits: { originTimeoutSeconds: 2 } } });
const { origin, rpc } = stack;
const PATH = "/s/item/1";
const BOTH = ["/s/once", "/s/draw"];

afterEach(async () => {
  origin.reset();
  await origin.accept().catch(() => {});
});

/** Waits until the books say that this much is spent, and checks the rest of them. */
async function spentIs(session, spent, accepted) {
  await until(async () => (await ledger(stack, session.channel)).spent === String(spent), `${spent} to be spent`);
  await expectLedger(stack, session.channel, accepted === undefined ? { spent } : { spent, accepted });
}

/** How an origin can fail: [the answer's status, the behaviour]. */
const failures = {
  "answers 500": [500, faults.status(500)],
  "answers 502": [502, faults.status(502)],
  "answers 503": [503, faults.status(503)],
  "answers 408": [408, faults.status(408)],
  "answers 425": [425, faults.status(425)],
  "answers 429": [429, faults.status(429)],
  "hangs up": [502, faults.reset()],
  "never answers": [504, faults.hang()],
};

for (const method of METHODS) {
  for (const [name, [status, fault]] of Object.entries(failures)) {
    test(`${method}: an origin that ${name} is not paid, and the same voucher buys when it is well again`, async () => {
      for (const path of BOTH) {
        const session = await openSession(stack, method, { path });
        const voucher = await payloads.voucher(session.channel, PRICE);
        const mark = await stack.mark();
        origin.next(fault);
        const failed = await session.send(voucher);
        assert.equal(failed.status, status, failed.text);
        assert.equal(failed.headers["payment-receipt"], undefined);
        await spentIs(session, 0, PRICE);
        expectReceipt(await session.send(voucher, { via: 1 }), session, { accepted: PRICE, spent: PRICE, units: 1 });
        expectProblem(await session.send(voucher), 402, "session/insufficient-balance");
        await mark.moved({ origin: 2 });
      }
    });
  }

  test(`${method}: an origin that cannot be reached is not paid`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    await origin.refuse();
    for (let i = 0; i < 3; i++) expectProblem(await session.send(payloads.voucher(session.channel, PRICE)), 502);
    await origin.accept();
    await spentIs(session, 0, PRICE);
    expectReceipt(await session.send(payloads.voucher(session.channel, PRICE)), session, { spent: PRICE });
    await mark.moved({ origin: 1 });
  });

  test(`${method}: an origin that breaks off in the middle is not paid`, async () => {
    for (const path of BOTH) {
      const session = await openSession(stack, method, { path });
      const voucher = await payloads.voucher(session.channel, PRICE);
      const mark = await stack.mark();
      origin.next(faults.dieMidBody());
      assert.ok((await session.send(voucher)).aborted, "a cut body is not passed off as a whole one");
      await spentIs(session, 0, PRICE);
      const whole = await session.send(voucher);
      expectReceipt(whole, session, { spent: PRICE, units: 1 });
      assert.equal(whole.text, `content of GET ${path}`);
      await spentIs(session, PRICE, PRICE);
      await mark.moved({ origin: 2 });
    }
  });

  test(`${method}: an origin that breaks off before the first byte of its body has not delivered`, async () => {
    const session = await openSession(stack, method);
    const voucher = await payloads.voucher(session.channel, PRICE);
    origin.next({
      answer(request, response) {
        response.writeHead(200, { "content-length": "1000" });
        response.flushHeaders();
        setTimeout(() => request.socket.destroy(), 50);
      },
    });
    const failed = await session.send(voucher);
    expectProblem(failed, 502);
    assert.equal(failed.headers["payment-receipt"], undefined);
    await spentIs(session, 0, PRICE);
    expectReceipt(await session.send(voucher), session, { spent: PRICE });
  });

  test(`${method}: of a small body that breaks off nothing goes out, however much of it had come`, async () => {
    for (const path of BOTH) {
      const session = await openSession(stack, method, { path });
      const voucher = await payloads.voucher(session.channel, PRICE);
      const mark = await stack.mark();
      origin.next(faults.dieMidBody("x".repeat(65_535), 65_536));
      const failed = await session.send(voucher);
      expectProblem(failed, 502);
      assert.equal(failed.headers["payment-receipt"], undefined);
      await spentIs(session, 0, PRICE);
      expectReceipt(await session.send(voucher), session, { spent: PRICE });
      await mark.moved({ origin: 2 });
    }
  });

  test(`${method}: a small body that comes in pieces arrives whole, and is paid once`, async () => {
    const session = await openSession(stack, method);
    origin.next({
      answer(_request, response) {
        response.writeHead(200, { "content-length": "9" });
        response.write("one ");
        setTimeout(() => response.write("two "), 50);
        setTimeout(() => response.end("3"), 100);
      },
    });
    const paid = await session.pay();
    expectReceipt(paid, session, { spent: PRICE });
    assert.equal(paid.text, "one two 3");
    assert.equal(paid.headers["content-length"], "9");
    await spentIs(session, PRICE, PRICE);
  });

  test(`${method}: a failure whose own body breaks off is credited once`, async () => {
    const session = await openSession(stack, method);
    expectReceipt(await session.pay(), session, { spent: PRICE });
    origin.next({
      answer(request, response) {
        response.writeHead(500, { "content-length": "1000" });
        response.write("half of an excuse", () => request.socket.destroy());
      },
    });
    const failed = await session.pay().catch(() => undefined);
    if (failed) assert.equal(failed.headers["payment-receipt"], undefined);
    await spentIs(session, PRICE, 2n * PRICE);
    expectReceipt(await session.pay(), session, { spent: 2n * PRICE });
    await spentIs(session, 2n * PRICE, 3n * PRICE);
  });

  test(`${method}: what the origin refuses by itself is paid for: it was asked and it answered, and B14: there is a receipt`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    for (const [i, status] of [400, 401, 403, 404, 409, 410].entries()) {
      origin.next(faults.status(status));
      const answer = await session.pay();
      expectReceipt(answer, session, { status, spent: BigInt(i + 1) * PRICE, units: 1 });
      await expectLedger(stack, session.channel, { spent: BigInt(i + 1) * PRICE });
    }
    await mark.moved({ origin: 6 });
  });

  test(`${method}: B14: a redirect is not paid for`, async () => {
    const session = await openSession(stack, method);
    origin.next(faults.redirect("/elsewhere"));
    const answer = await session.pay();
    assert.equal(answer.status, 302);
    assert.equal(answer.headers["payment-receipt"], undefined);
    await spentIs(session, 0, PRICE);
  });

  test(`${method}: an origin that asks for payment itself is a failure of the origin`, async () => {
    const session = await openSession(stack, method);
    origin.next(faults.status(402));
    assert.equal((await session.pay()).status, 502);
    await spentIs(session, 0, PRICE);
  });

  test(`${method}: forty at once, every other one failed: the books hold what was delivered`, async () => {
    const session = await openSession(stack, method);
    await session.challenge();
    let turn = 0;
    origin.always({
      answer(request, response) {
        turn += 1;
        const fault = turn % 2 ? faults.content() : [faults.status(500), faults.reset()][(turn / 2) % 2];
        fault.answer(request, response);
      },
    });
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => session.pay({ via: i % 2 })));
    const served = answers.filter(({ status }) => status === 200).length;
    assert.equal(served, 20);
    await spentIs(session, BigInt(served) * PRICE, 40n * PRICE);
  });

  test(`${method}: the same voucher may fail many times and still buys once`, async () => {
    const session = await openSession(stack, method, { path: "/s/once" });
    const voucher = await payloads.voucher(session.channel, PRICE);
    origin.next(...Array.from({ length: 10 }, () => faults.status(500)));
    for (let i = 0; i < 10; i++) assert.equal((await session.send(voucher)).status, 500);
    await spentIs(session, 0, PRICE);
    expectReceipt(await session.send(voucher), session, { spent: PRICE });
    expectProblem(await session.send(voucher), 402, "session/insufficient-balance");
    await spentIs(session, PRICE, PRICE);
  });

  test(`${method}: a credit is for what was booked, at its own price`, async () => {
    const session = await openSession(stack, method);
    expectReceipt(await session.pay(), session, { spent: PRICE });
    origin.next(faults.status(500));
    assert.equal((await session.pay({ path: "/s/dear" })).status, 500);
    await spentIs(session, PRICE, 6n * PRICE);
    expectReceipt(await session.pay({ path: "/s/dear" }), session, { spent: 6n * PRICE });
  });

  test(`${method}: a client that hangs up while the origin works has bought`, async () => {
    const session = await openSession(stack, method);
    const authorization = await session.authorization(await payloads.voucher(session.channel, PRICE));
    const { promise: released, resolve: release } = Promise.withResolvers();
    origin.next({
      async answer(_request, response) {
        await released;
        response.end("too late");
      },
    });
    const count = origin.requests.length;
    assert.ok(await leaveAt(stack, PATH, { authorization }, () => origin.arrival(count + 1)));
    release();
    await expectLedger(stack, session.channel, { accepted: PRICE, spent: PRICE });
    // What else is bought later tells that nothing came back in the meantime.
    session.cumulative = PRICE;
    expectReceipt(await session.pay(), session, { spent: 2n * PRICE });
    await expectLedger(stack, session.channel, { spent: 2n * PRICE });
  });
}

for (const method of METHODS) {
  test(`B9: ${method}: a client that leaves before the origin is called has bought nothing, and the origin is not called`, async () => {
    const session = new Session(stack, await openChannel(stack, method));
    const authorization = await session.authorization(await payloads.open(session.channel, PRICE));
    const mark = await stack.mark();
    rpc.forget();
    rpc.fail("eth_getTransactionReceipt", faulty.slow(500), 1);
    assert.ok(await leaveAt(stack, PATH, { authorization }, () => rpc.called("eth_getTransactionReceipt")));
    await until(
      async () => (await ledger(stack, session.channel).catch(() => ({}))).acceptedCumulative === String(PRICE),
      "the channel",
    );
    await spentIs(session, 0, PRICE);
    await mark.nothing();
    expectReceipt(await session.send(payloads.voucher(session.channel, PRICE)), session, { spent: PRICE, units: 1 });
    await mark.moved({ origin: 1 });
  });
}

for (const [name, how] of Object.entries(breaks)) {
  test(`A22: a client whose own upload ${name}, to cut the answer short, has bought what it read`, async () => {
    const session = await openSession(stack, "evm");
    const authorization = await session.authorization(await payloads.voucher(session.channel, PRICE));
    for (let i = 0; i < 3; i++) {
      origin.next(faults.givesUp("all of the content"));
      await breakUpload(stack, PATH, authorization, i === 0 ? "all of the content" : "insufficient-balance", how);
    }
    await expectLedger(stack, session.channel, { accepted: PRICE, spent: PRICE });
  });
}

test("A22: a client that does not read until the origin's patience ends has bought what it asked for", async () => {
  const session = await openSession(stack, "evm");
  const authorization = await session.authorization(await payloads.voucher(session.channel, PRICE));
  origin.next(faults.impatient(6_000));
  assert.ok(await stall(stack, PATH, { headers: { authorization } }, 7_000), "the answer is cut short");
  await expectLedger(stack, session.channel, { accepted: PRICE, spent: PRICE });
});

test("A22: what broke off after it had begun is given back three times for a voucher, and stays charged then", async () => {
  const session = await openSession(stack, "evm", { path: "/s/draw" });
  const voucher = await payloads.voucher(session.channel, 20n * PRICE);
  for (let i = 1n; i <= 5n; i++) {
    origin.next(faults.dieMidBody());
    assert.ok((await session.send(voucher)).aborted);
    await spentIs(session, i <= 3n ? 0n : (i - 3n) * PRICE);
  }
  // Where nothing had gone out there is no such bound.
  for (let i = 0; i < 4; i++) {
    origin.next(faults.status(500));
    assert.equal((await session.send(voucher)).status, 500);
  }
  await spentIs(session, 2n * PRICE);
});

test("an open that buys and is failed by the origin leaves the channel open and unspent", async () => {
  const session = new Session(stack, await openChannel(stack, "evm"));
  origin.next(faults.status(500));
  assert.equal((await session.send(payloads.open(session.channel, PRICE))).status, 500);
  await spentIs(session, 0, PRICE);
  expectReceipt(await session.send(payloads.voucher(session.channel, PRICE)), session, { spent: PRICE });
});
