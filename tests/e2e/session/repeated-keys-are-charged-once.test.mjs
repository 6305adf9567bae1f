// Idempotency-Key on a paid request of a session: the same request again is not charged again, and nothing else comes free with it.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { expectLedger, expectReceipt, openSession, PRICE, payloads, startSessions } from "../harness/session.mjs";

const stack = await startSessions();
const { gateway, origin } = stack;
const PATH = "/s/item/1";
const REPLAYS = 3;

afterEach(() => origin.reset());

const keyed = (key, options = {}) => ({ ...options, headers: { "Idempotency-Key": key } });
const replayed = (answer) => answer.headers["idempotency-replayed"];

/** A session that has bought once under `key`, and the credential's payload that did it. */
async function boughtOnce(method, key) {
  const session = await openSession(stack, method);
  const voucher = await payloads.voucher(session.channel, 5n * PRICE);
  const answer = await session.send(voucher, keyed(key));
  expectReceipt(answer, session, { accepted: 5n * PRICE, spent: PRICE, units: 1 });
  assert.equal(replayed(answer), undefined);
  return { session, voucher };
}

for (const method of METHODS) {
  test(`${method}: a repeated key is not charged, says so, and the origin is asked again`, async () => {
    const { session, voucher } = await boughtOnce(method, "one");
    const mark = await stack.mark();
    const answer = await session.send(voucher, keyed("one", { via: 1 }));
    expectReceipt(answer, session, { accepted: 5n * PRICE, spent: PRICE, units: 0 });
    assert.equal(replayed(answer), "true");
    assert.equal(answer.text, `content of GET ${PATH}`);
    await expectLedger(stack, session.channel, { accepted: 5n * PRICE, spent: PRICE });
    await mark.moved({ origin: 1 });
  });

  test(`${method}: ${REPLAYS} times and no more`, async () => {
    const { session, voucher } = await boughtOnce(method, "again and again");
    const mark = await stack.mark();
    for (let i = 0; i < REPLAYS; i++) {
      expectReceipt(await session.send(voucher, keyed("again and again")), session, { spent: PRICE, units: 0 });
    }
    await mark.moved({ origin: REPLAYS });
    const fourth = await session.send(voucher, keyed("again and again"));
    assert.ok(fourth.status >= 400 && fourth.status < 500, `${fourth.status} ${fourth.text}`);
    assert.equal(fourth.headers["payment-receipt"], undefined);
    await expectLedger(stack, session.channel, { spent: PRICE });
    await mark.moved({ origin: REPLAYS });
  });

  test(`${method}: a key means one request: another target, query or method is refused and not charged`, async () => {
    const { session, voucher } = await boughtOnce(method, "k-1");
    const challenge = await session.challenge();
    const mark = await stack.mark();
    for (const [path, verb] of [
      ["/s/item/2", "GET"],
      [`${PATH}?more=1`, "GET"],
      [PATH, "DELETE"],
    ]) {
      const answer = await session.send(voucher, keyed("k-1", { path, method: verb, challenge }));
      expectProblem(answer, 400, "bad-request");
    }
    await expectLedger(stack, session.channel, { accepted: 5n * PRICE, spent: PRICE });
    await mark.nothing();
  });

  test(`${method}: a key does not make another body free: four questions are not answered for the price of one`, async () => {
    const session = await openSession(stack, method, { path: "/s/draw" });
    const voucher = await payloads.voucher(session.channel, 9n * PRICE);
    const ask = (body) => session.send(voucher, keyed("k-body", { method: "POST", body }));
    expectReceipt(await ask("first question"), session, { spent: PRICE, units: 1 });
    const mark = await stack.mark();
    let charged = 0n;
    for (const body of ["second question", "third question", "fourth question"]) {
      const answer = await ask(body);
      if (answer.status === 200) charged += BigInt(answer.receipt.units) * PRICE;
      else expectProblem(answer, 400, "bad-request");
    }
    const { origin: passedOn } = await mark.difference();
    assert.equal(charged, BigInt(passedOn) * PRICE, `${passedOn} other questions were passed on`);
    await expectLedger(stack, session.channel, { spent: PRICE + charged });
  });

  test(`${method}: the signature is looked at before the key`, async () => {
    const { session, voucher } = await boughtOnce(method, "k-2");
    const mark = await stack.mark();
    const none = { ...voucher, signature: `0x${"00".repeat(65)}` };
    expectProblem(await session.send(none, keyed("k-2")), 402, "session/invalid-signature");
    const signature = await session.channel.voucher(5n * PRICE, { account: stack.stranger });
    expectProblem(await session.send({ ...voucher, signature }, keyed("k-2")), 402, "session/signer-mismatch");
    await mark.nothing();
  });

  test(`${method}: another key, another challenge, and no key are requests of their own`, async () => {
    const { session } = await boughtOnce(method, "k-3");
    const mark = await stack.mark();
    session.cumulative = 5n * PRICE;
    expectReceipt(await session.pay(keyed("k-4")), session, { spent: 2n * PRICE, units: 1 });
    const challenge = await session.challenge(PATH, { fresh: true });
    expectReceipt(await session.pay(keyed("k-3", { challenge })), session, { spent: 3n * PRICE, units: 1 });
    const without = await session.pay();
    expectReceipt(without, session, { spent: 4n * PRICE, units: 1 });
    assert.equal(replayed(without), undefined);
    await mark.moved({ origin: 3 });
  });

  test(`${method}: a key belongs to its channel`, async () => {
    const { session: first } = await boughtOnce(method, "shared");
    const second = await openSession(stack, method);
    const challenge = await first.challenge();
    const mark = await stack.mark();
    const answer = await second.pay(keyed("shared", { challenge }));
    expectReceipt(answer, second, { accepted: PRICE, spent: PRICE, units: 1 });
    assert.equal(replayed(answer), undefined);
    await mark.moved({ origin: 1 });
  });

  test(`${method}: what the origin failed under a key was not bought: the next one with it is charged, once`, async () => {
    const session = await openSession(stack, method);
    const voucher = await payloads.voucher(session.channel, PRICE);
    const mark = await stack.mark();
    origin.next(faults.status(503));
    const failed = await session.send(voucher, keyed("k-5"));
    assert.equal(failed.status, 503);
    assert.equal(failed.headers["payment-receipt"], undefined);
    await expectLedger(stack, session.channel, { accepted: PRICE, spent: 0 });
    expectReceipt(await session.send(voucher, keyed("k-5")), session, { spent: PRICE, units: 1 });
    const again = await session.send(voucher, keyed("k-5"));
    expectReceipt(again, session, { spent: PRICE, units: 0 });
    assert.equal(replayed(again), "true");
    await mark.moved({ origin: 3 });
  });

  test(`${method}: a replay that the origin fails credits nothing: nothing was charged for it`, async () => {
    const { session, voucher } = await boughtOnce(method, "k-6");
    origin.next(faults.status(500));
    assert.equal((await session.send(voucher, keyed("k-6"))).status, 500);
    await expectLedger(stack, session.channel, { accepted: 5n * PRICE, spent: PRICE });
    expectReceipt(await session.send(voucher, keyed("k-6")), session, { spent: PRICE, units: 0 });
    await expectLedger(stack, session.channel, { spent: PRICE });
  });

  test(`${method}: copies at once through both isolates are charged once`, async () => {
    const session = await openSession(stack, method);
    const voucher = await payloads.voucher(session.channel, 9n * PRICE);
    await session.challenge();
    const mark = await stack.mark();
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => session.send(voucher, keyed("k-7", { via: i % 2 }))));
    const served = answers.filter(({ status }) => status === 200);
    assert.equal(served.filter((answer) => !replayed(answer)).length, 1, "one that was charged");
    assert.ok(served.length <= 1 + REPLAYS, `${served.length} were served`);
    await expectLedger(stack, session.channel, { accepted: 9n * PRICE, spent: PRICE });
    await mark.moved({ origin: served.length });
  });

  test(`${method}: a key is remembered over a restart`, async () => {
    const { session, voucher } = await boughtOnce(method, "k-8");
    await gateway.kill();
    await gateway.start();
    const answer = await session.send(voucher, keyed("k-8"));
    expectReceipt(answer, session, { spent: PRICE, units: 0 });
    assert.equal(replayed(answer), "true");
  });

  test(`${method}: a key that is none, or too long, or sent twice, never makes anything free`, async () => {
    const session = await openSession(stack, method);
    session.cumulative = 0n;
    const headers = [
      ["Idempotency-Key", ""],
      ["Idempotency-Key", "x".repeat(5_000)],
      ["Idempotency-Key", "a, b"],
    ];
    for (const header of headers) {
      const mark = await stack.mark();
      const { spent } = await expectLedger(stack, session.channel);
      for (let i = 0; i < 2; i++) {
        const answer = await session.pay({ headers: [header] });
        assert.ok([200, 400].includes(answer.status), `${answer.status} ${answer.text}`);
        if (answer.status === 400) session.cumulative -= PRICE;
      }
      const { origin: seen } = await mark.difference();
      const now = await expectLedger(stack, session.channel);
      const charged = Number((BigInt(now.spent) - BigInt(spent)) / PRICE);
      assert.ok(charged === seen || (charged === 1 && seen === 2), `${charged} charged, ${seen} passed on`);
    }
  });
}
