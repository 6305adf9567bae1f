// Vouchers: the price is charged and not the raise, gaps and reordering are tolerated, and nothing is ever bought beyond what was signed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { METHODS } from "../harness/channels.mjs";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { did, encodeCredential, reissue } from "../harness/protocol.mjs";
import {
  expectLedger,
  expectNumbers,
  expectReceipt,
  openChannel,
  openSession,
  PRICE,
  payloads,
  Session,
  sessionChallenge,
  startSessions,
} from "../harness/session.mjs";
import { SECRET } from "../harness/stack.mjs";

const stack = await startSessions();
const PATH = "/s/item/1";

for (const method of METHODS) {
  const drawn = (session, path = "/s/draw") => session.send(payloads.voucher(session.channel, session.cumulative), { path });

  test(`${method}: a voucher that jumps ahead is charged the price, and the rest stays available`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    session.cumulative = 9n * PRICE;
    const first = await session.pay();
    expectReceipt(first, session, { accepted: 10n * PRICE, spent: PRICE, units: 1 });
    expectReceipt(await session.pay(), session, { accepted: 11n * PRICE, spent: 2n * PRICE, units: 1 });
    await mark.moved({ origin: 2 });
  });

  test(`${method}: vouchers that overtake each other all buy, and the books say so`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    const vouchers = await Promise.all([1n, 2n, 3n, 4n, 5n, 6n].map((i) => payloads.voucher(session.channel, i * PRICE)));
    for (const i of [2, 0, 1, 5, 3, 4]) expectReceipt(await session.send(vouchers[i], { via: i % 2 }), session, { units: 1 });
    await expectLedger(stack, session.channel, { accepted: 6n * PRICE, spent: 6n * PRICE });
    await mark.moved({ origin: 6 });
  });

  test(`${method}: sixty vouchers at once through both isolates are sixty purchases, to the unit`, async () => {
    const session = await openSession(stack, method);
    await session.challenge();
    const mark = await stack.mark();
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => session.pay({ via: i % 2 })));
    for (const answer of answers) expectReceipt(answer, session, { units: 1 });
    await expectLedger(stack, session.channel, { accepted: 60n * PRICE, spent: 60n * PRICE });
    assert.equal(new Set(answers.map(({ receipt }) => receipt.spent)).size, 60, "each was booked by itself");
    await mark.moved({ origin: 60 });
  });

  test(`${method}: a voucher by HEAD or by POST without a body raises the balance and buys nothing`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    const head = await session.send(payloads.voucher(session.channel, 2n * PRICE), { method: "HEAD" });
    expectReceipt(head, session, { status: 200, accepted: 2n * PRICE, spent: 0, units: 0 });
    const post = await session.manage(payloads.voucher(session.channel, 3n * PRICE));
    expectReceipt(post, session, { status: 204, accepted: 3n * PRICE, spent: 0, units: 0 });
    assert.equal(post.text, "");
    const again = await session.manage(payloads.voucher(session.channel, 3n * PRICE));
    expectReceipt(again, session, { status: 204, accepted: 3n * PRICE, spent: 0, units: 0 });
    await mark.nothing();
  });

  test(`${method}: on a route that prices GET alone, a voucher may come by POST without a body`, async () => {
    const session = await openSession(stack, method, { path: "/s/read" });
    const mark = await stack.mark();
    const raised = await session.manage(payloads.voucher(session.channel, PRICE));
    expectReceipt(raised, session, { status: 204, accepted: PRICE, spent: 0, units: 0 });
    await mark.nothing();
  });

  test(`${method}: drawn down, one voucher buys until it is used up, and what is required next is said and true`, async () => {
    const session = await openSession(stack, method, { path: "/s/draw" });
    session.cumulative = 3n * PRICE;
    const mark = await stack.mark();
    for (let i = 1n; i <= 3n; i++) expectReceipt(await drawn(session), session, { accepted: 3n * PRICE, spent: i * PRICE });
    const problem = expectProblem(await drawn(session), 402, "session/insufficient-balance");
    const { deposit } = session.channel;
    expectNumbers(problem, session, { accepted: 3n * PRICE, spent: 3n * PRICE, deposit, required: 4n * PRICE });
    session.cumulative = BigInt(problem.requiredCumulative);
    expectReceipt(await drawn(session), session, { accepted: 4n * PRICE, spent: 4n * PRICE });
    await mark.moved({ origin: 4 });
  });

  test(`${method}: where a voucher buys once, it buys once, and what is required next is said and true`, async () => {
    const session = await openSession(stack, method, { path: "/s/once" });
    session.cumulative = 3n * PRICE;
    const mark = await stack.mark();
    expectReceipt(await drawn(session, "/s/once"), session, { accepted: 3n * PRICE, spent: PRICE });
    const problem = expectProblem(await drawn(session, "/s/once"), 402, "session/insufficient-balance");
    expectNumbers(problem, session, { accepted: 3n * PRICE, spent: PRICE });
    session.cumulative = BigInt(problem.requiredCumulative);
    expectReceipt(await drawn(session, "/s/once"), session, { accepted: session.cumulative, spent: 2n * PRICE });
    await mark.moved({ origin: 2 });
  });

  test(`${method}: without a word in the configuration, a voucher ${method === "abstract" ? "buys once" : "is drawn down"}`, async () => {
    const session = await openSession(stack, method);
    session.cumulative = 2n * PRICE;
    expectReceipt(await drawn(session, PATH), session, { spent: PRICE });
    const second = await drawn(session, PATH);
    if (method === "abstract") expectProblem(second, 402, "session/insufficient-balance");
    else expectReceipt(second, session, { accepted: 2n * PRICE, spent: 2n * PRICE });
  });

  test(`${method}: a channel pays on every route, each at its own price, to its last unit`, async () => {
    const session = await openSession(stack, method, { deposit: 7n * PRICE });
    const mark = await stack.mark();
    expectReceipt(await session.pay({ path: "/s/dear" }), session, { accepted: 5n * PRICE, spent: 5n * PRICE });
    expectReceipt(await session.pay(), session, { accepted: 6n * PRICE, spent: 6n * PRICE });
    const dear = await session.send(payloads.voucher(session.channel, 7n * PRICE), { path: "/s/dear" });
    const problem = expectProblem(dear, 402, "session/insufficient-balance");
    expectNumbers(problem, session, { accepted: 7n * PRICE, spent: 6n * PRICE, required: 11n * PRICE });
    const last = await session.send(payloads.voucher(session.channel, 7n * PRICE), { path: "/s/draw" });
    expectReceipt(last, session, { accepted: 7n * PRICE, spent: 7n * PRICE });
    await mark.moved({ origin: 3 });
  });

  test(`${method}: one challenge serves every request of its route, and none of another`, async () => {
    const session = await openSession(stack, method);
    const challenge = await session.challenge(PATH);
    const mark = await stack.mark();
    for (const [path, verb] of [
      [PATH, "GET"],
      ["/s/item/2?q=3", "GET"],
      ["/s/item/4", "DELETE"],
    ]) {
      const answer = await session.pay({ path, challenge, method: verb });
      expectReceipt(answer, session, { units: 1 });
    }
    await mark.moved({ origin: 3 });
    session.cumulative += 10n * PRICE;
    for (const path of ["/s/dear", "/s/read", "/s/both"]) {
      const answer = await session.send(payloads.voucher(session.channel, session.cumulative), { path, challenge });
      expectProblem(answer, 402, "invalid-challenge");
    }
    await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE });
    await mark.moved({ origin: 3 });
  });

  test(`${method}: a challenge that was altered, or is past its time, takes no voucher`, async () => {
    const session = await openSession(stack, method);
    const challenge = await session.challenge();
    const voucher = await payloads.voucher(session.channel, PRICE);
    const mark = await stack.mark();
    const cheaper = { ...reissue(challenge, "x".repeat(32), { terms: { amount: "1" } }) };
    for (const altered of [
      cheaper,
      { ...challenge, id: `${challenge.id.slice(0, -1)}${challenge.id.endsWith("A") ? "E" : "A"}` },
    ]) {
      expectProblem(await session.send(voucher, { challenge: altered }), 402, "invalid-challenge");
    }
    const expired = reissue(challenge, SECRET, { expires: new Date(Date.now() - 1_000).toISOString() });
    expectProblem(await session.send(voucher, { challenge: expired }), 402, "payment-expired");
    await expectLedger(stack, session.channel, { accepted: 0, spent: 0 });
    await mark.nothing();
  });

  test(`${method}: where both intents are offered, each is paid in its own way`, async () => {
    const session = await openSession(stack, method, { path: "/s/both" });
    const mark = await stack.mark();
    const offered = await stack.send("/s/both");
    const charge = offered.challenges.find((one) => one.method === method && one.intent === "charge");
    const credential = await stack.sign(charge);
    await expectPaid(stack, (await stack.present("/s/both", credential)).answer, credential);
    expectReceipt(await session.pay(), session, { accepted: 10n * PRICE, spent: 10n * PRICE });
    await mark.moved({ origin: 2, transactions: 1, transfers: 1, amount: 10n * PRICE });
    const voucher = await payloads.voucher(session.channel, 20n * PRICE);
    const crossed = await stack.send("/s/both", { authorization: encodeCredential({ challenge: charge, payload: voucher }) });
    assert.ok([400, 402].includes(crossed.status), crossed.text);
    const other = sessionChallenge(offered, method);
    const mixed = await stack.send("/s/both", {
      authorization: encodeCredential({ challenge: other, payload: credential.payload }),
    });
    assert.ok([400, 402].includes(mixed.status), mixed.text);
    await mark.moved({ origin: 2, transactions: 1, transfers: 1, amount: 10n * PRICE });
  });

  test(`${method}: what was settled before the gateway heard of the channel was sold before, and buys nothing here`, async () => {
    const session = new Session(stack, await openChannel(stack, method, { deposit: 6n * PRICE }));
    const { channel } = session;
    await channel.send("settle", [channel.id, 3n * PRICE, await channel.voucher(3n * PRICE)], stack.settlement);
    const mark = await stack.mark();
    for (const total of [PRICE, 3n * PRICE]) {
      const problem = expectProblem(await session.send(payloads.voucher(channel, total)), 402, "session/insufficient-balance");
      expectNumbers(problem, session, { accepted: 3n * PRICE, spent: 3n * PRICE, required: 4n * PRICE });
    }
    await mark.nothing();
    const next = await session.send(payloads.voucher(channel, 4n * PRICE));
    expectReceipt(next, session, { accepted: 4n * PRICE, spent: 4n * PRICE, units: 1 });
    await expectLedger(stack, channel, { settled: 3n * PRICE });
  });

  test(`${method}: a source is the payer or the signer, or the voucher buys nothing`, async () => {
    const signer = stack.stranger;
    const session = await openSession(stack, method, { signer });
    const mark = await stack.mark();
    const voucher = await payloads.voucher(session.channel, PRICE);
    for (const source of [did(CHAIN_ID, stack.payers[3].address), did(1, session.channel.payer.address)]) {
      expectProblem(await session.send(voucher, { source }), 402, "verification-failed");
    }
    await mark.nothing();
    for (const source of [null, did(CHAIN_ID, signer.address), did(CHAIN_ID, session.channel.payer.address)]) {
      expectReceipt(await session.pay({ source }), session, { units: 1 });
    }
    await mark.moved({ origin: 3 });
  });
}

test("a raise below the least one that is taken is refused, and what was accepted stays", async () => {
  await stack.reconfigure({ gateway: { session: { minVoucherDelta: "0.002" } } });
  const session = await openSession(stack, "evm");
  const { terms } = await session.challenge();
  assert.equal(terms.methodDetails.minVoucherDelta, String(2n * PRICE));
  const mark = await stack.mark();
  const small = () => session.send(payloads.voucher(session.channel, 2n * PRICE - 1n));
  expectProblem(await small(), 402, "session/delta-too-small");
  await expectLedger(stack, session.channel, { accepted: 0, spent: 0 });
  await mark.nothing();
  const exact = await session.send(payloads.voucher(session.channel, 2n * PRICE));
  expectReceipt(exact, session, { accepted: 2n * PRICE, spent: PRICE });
  // The same voucher again is no raise at all: what is left of it can be drawn.
  expectReceipt(await session.send(payloads.voucher(session.channel, 2n * PRICE)), session, { spent: 2n * PRICE });
  expectProblem(await session.send(payloads.voucher(session.channel, 3n * PRICE)), 402, "session/delta-too-small");
  await stack.reconfigure({});
});
