// C1–C3 for sessions: nothing that proves a payment reaches the origin or another client, and nobody can claim to have paid.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { did } from "../harness/protocol.mjs";
import { expectReceipt, openChannel, openSession, PRICE, payloads, Session, startSessions } from "../harness/session.mjs";

const stack = await startSessions();
const { origin, settlement } = stack;
const PATH = "/s/item/1";

afterEach(() => origin.reset());

/** Everything of a request that the origin got, as one text. */
const seen = ({ url, rawHeaders, body }) => `${url}\n${rawHeaders.join("\n")}\n${body}`;

/** Asserts that nothing of the credential is in what the origin got. */
function expectHidden(text, authorization, payload) {
  const token = authorization.slice("Payment ".length);
  for (const secret of [
    token,
    token.slice(20, 80),
    payload.signature,
    payload.signature.slice(2, 60),
    payload.txHash,
    payload.hash,
  ]) {
    if (secret) assert.ok(!text.includes(secret), `the origin got ${secret.slice(0, 16)}…`);
  }
}

for (const method of METHODS) {
  test(`${method}: an open and a voucher that buy reach the origin without their credentials`, async () => {
    const session = new Session(stack, await openChannel(stack, method));
    for (const payload of [await payloads.open(session.channel, PRICE), await payloads.voucher(session.channel, 2n * PRICE)]) {
      const authorization = await session.authorization(payload);
      const answer = await stack.send(PATH, { authorization, method: "POST", body: "words" });
      expectReceipt(answer, session);
      const got = seen(origin.requests.at(-1));
      expectHidden(got, authorization, payload);
      assert.ok(!/^authorization$/im.test(got), "nor an empty header where it was");
      assert.ok(got.includes("words"));
    }
  });

  test(`${method}: the credential of another scheme beside it is passed on, alone`, async () => {
    const session = await openSession(stack, method);
    const payload = await payloads.voucher(session.channel, PRICE);
    const authorization = await session.authorization(payload);
    const answer = await stack.send(PATH, { authorization: `Bearer for-the-origin, ${authorization}` });
    expectReceipt(answer, session, { spent: PRICE });
    const { headers } = origin.requests.at(-1);
    assert.equal(headers.authorization, "Bearer for-the-origin");
    expectHidden(seen(origin.requests.at(-1)), authorization, payload);
  });

  test(`${method}: what tells the origin who paid is the gateway's, whatever a client sends`, async () => {
    const session = await openSession(stack, method);
    const claims = {
      "X-Payment-Payer": stack.stranger.address,
      "x-payment-amount": "999999999",
      "X-PAYMENT-INTENT": "charge",
      X_Payment_Payer: stack.stranger.address,
      "X-Payment-Channel": "0x1234",
      "X-Payment-Anything": "yes",
    };
    expectReceipt(await session.pay({ headers: claims }), session);
    const { headers } = origin.requests.at(-1);
    assert.equal(headers["x-payment-payer"].toLowerCase(), session.channel.payer.address.toLowerCase());
    assert.equal(headers["x-payment-method"], method);
    assert.equal(headers["x-payment-intent"], "session");
    assert.equal(headers["x-payment-amount"], String(PRICE));
    for (const [name, value] of Object.entries(headers)) {
      if (!/^x[-_]payment/i.test(name)) continue;
      assert.ok(!Object.values(claims).includes(value), `${name}: ${value}`);
      assert.equal([value].flat().length, 1, name);
    }
    await stack.send("/free/page", { headers: claims });
    const free = Object.keys(origin.requests.at(-1).headers).filter((name) => /^x[-_]payment/i.test(name));
    assert.deepEqual(free, [], "on free routes nobody has paid");
  });

  test(`${method}: a paid answer is private, whatever the origin says of caching`, async () => {
    const session = await openSession(stack, method);
    for (const value of ["public, max-age=3600", "s-maxage=600", "immutable, public", ""]) {
      origin.next(
        faults.content({ "cache-control": value, "cdn-cache-control": "max-age=60", expires: "Fri, 01 Jan 2100 00:00:00 GMT" }),
      );
      const answer = await session.pay();
      expectReceipt(answer, session);
      const control = answer.headers["cache-control"];
      assert.match(control, /private/);
      assert.doesNotMatch(control, /public|s-maxage/);
      assert.equal(answer.headers["cdn-cache-control"], undefined);
    }
  });

  test(`${method}: management answers are private and empty, refusals are stored by nobody`, async () => {
    const session = await openSession(stack, method);
    const raised = await session.manage(payloads.voucher(session.channel, PRICE));
    expectReceipt(raised, session, { status: 204 });
    assert.equal(raised.text, "");
    assert.match(raised.headers["cache-control"], /private|no-store/);
    const head = await session.send(payloads.voucher(session.channel, PRICE), { method: "HEAD" });
    expectReceipt(head, session, { status: 200 });
    expectProblem(await session.send(payloads.voucher(session.channel, session.channel.deposit + 1n)), 402);
    const named = await stack.send(PATH, { headers: { "Payment-Session": session.channel.id } });
    expectProblem(named, 402, "payment-required");
    const gone = await session.manage({
      ...(await payloads.voucher(session.channel, PRICE)),
      channelId: `0x${"99".repeat(32)}`,
    });
    assert.match(gone.headers["cache-control"] ?? "", /no-store|private/);
  });

  test(`${method}: a receipt, a challenge or a refusal of payment that the origin makes up is not passed on`, async () => {
    const session = await openSession(stack, method);
    origin.next(
      faults.content({
        "payment-receipt": "made-up",
        "www-authenticate": 'Payment id="made-up", realm="x", method="evm", intent="charge", request="e30"',
        "idempotency-replayed": "true",
      }),
    );
    const answer = await session.pay();
    expectReceipt(answer, session, { spent: PRICE });
    assert.deepEqual(answer.challenges, []);
    assert.ok(!JSON.stringify(answer.raw).includes("made-up"));
    assert.equal(answer.headers["idempotency-replayed"], undefined);
    origin.next(faults.content({ "payment-receipt": "made-up" }));
    assert.equal((await stack.send("/free/page")).headers["payment-receipt"], undefined);
  });

  test(`${method}: neither the name of a channel nor that of its payer reaches the origin of an unpaid or paid request`, async () => {
    const session = await openSession(stack, method);
    const names = [session.channel.id, did(CHAIN_ID, session.channel.payer.address)];
    const mark = await stack.mark();
    for (const name of names) expectProblem(await stack.send(PATH, { headers: { "Payment-Session": name } }), 402);
    await mark.nothing();
    for (const name of names) {
      expectReceipt(await session.pay({ headers: { "Payment-Session": name } }), session);
      assert.equal(origin.requests.at(-1).headers["payment-session"], undefined);
    }
  });

  test(`${method}: two payers' answers are each their own`, async () => {
    const [one, two] = [await openSession(stack, method), await openSession(stack, method, { payer: stack.payers[1] })];
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? one : two).pay({ via: i % 2 })));
    for (const [i, answer] of answers.entries()) expectReceipt(answer, i % 2 ? one : two);
    const payers = origin.requests.slice(-20).map(({ headers }) => headers["x-payment-payer"].toLowerCase());
    for (const { channel } of [one, two]) {
      assert.equal(payers.filter((payer) => payer === channel.payer.address.toLowerCase()).length, 10);
    }
  });
}

test("a session credential on a free route is not passed on either", async () => {
  const session = await openSession(stack, "evm");
  const payload = await payloads.voucher(session.channel, PRICE);
  const authorization = await session.authorization(payload);
  assert.equal((await stack.send("/free/page", { authorization })).status, 200);
  expectHidden(seen(origin.requests.at(-1)), authorization, payload);
});

test("what the gateway says of itself holds no key, and no provider", async () => {
  const { text } = await stack.send("/__mpp/config");
  assert.ok(text.includes(stack.chain.evmEscrow) && text.includes(settlement.address));
  for (const hidden of [String(stack.rpc.port), String(origin.port), settlement.privateKey.slice(2)]) {
    assert.ok(!text.includes(hidden), hidden);
  }
});
