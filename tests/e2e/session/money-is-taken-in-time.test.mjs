// Money is taken in time: when enough of it is outstanding, when it has been for long, and when a channel has gone quiet; in each case
// no more than was delivered, once, whatever happens on the way.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeFunctionData } from "viem";
import { ESCROW_ABI, METHODS } from "../harness/channels.mjs";
import { expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import {
  expectLedger,
  expectNumbers,
  expectReceipt,
  ledger,
  openSession,
  PRICE,
  payloads,
  proved,
  startSessions,
} from "../harness/session.mjs";

// What was booked counts as delivered when the origin's time-out and five seconds have passed.
const LIMITS = { originTimeoutSeconds: 1 };
const BY_AMOUNT = { settleAmount: "0.003" };
const BY_AGE = { settleAfterSeconds: 8 };
const WHEN_IDLE = { closeIdleSeconds: 8 };
const LONG = 60_000;

const stack = await startSessions({ gateway: { limits: LIMITS } });
const { chain, gateway, origin, rpc, settlement } = stack;
const configured = (session) => stack.reconfigure({ gateway: { limits: LIMITS, session } });

afterEach(async () => {
  rpc.heal();
  origin.reset();
  await chain.resumeMining();
});

/** One session of each method, made by `make`; of payers of their own, who can open at the same time. */
const ofBoth = (make) => Promise.all(METHODS.map((method, i) => make(method, { payer: stack.payers[i] })));

/** A session that has bought `times`, each with a voucher of its own. */
async function bought(method, times, options = {}) {
  const session = await openSession(stack, method, options);
  for (let i = 0; i < times; i++) expectReceipt(await session.pay({ via: i % 2 }), session);
  return session;
}

const settledTo = ({ channel }, amount) =>
  until(async () => (await channel.state()).settled >= amount, `${amount} to be settled`, LONG);

/** Asserts the settlements of a channel, by their totals, and that the payee sent them. */
async function expectSettlements({ channel }, totals) {
  const events = await channel.events("Settled");
  assert.deepEqual(
    events.map(({ newSettled }) => newSettled),
    totals,
  );
  for (const { transactionHash } of events) {
    const { from } = await chain.public.getTransaction({ hash: transactionHash });
    assert.equal(from.toLowerCase(), settlement.address.toLowerCase());
  }
}

/** Waits until the books count this much as delivered: everything that could be settled by now is under way or done. */
const delivered = (session, amount) =>
  until(
    async () => {
      // The voucher that it has already: nothing but an occasion to look at the clock.
      await session.manage(payloads.voucher(session.channel, session.cumulative));
      return BigInt((await ledger(stack, session.channel)).delivered) >= amount;
    },
    `${amount} to count as delivered`,
    LONG,
  );

test("by amount: what reaches the threshold is settled, what does not is left", async () => {
  await configured(BY_AMOUNT);
  const enough = await ofBoth((method, options) => bought(method, 3, options));
  const short = await bought("evm", 2);
  const mark = await stack.mark();
  for (const session of enough) await settledTo(session, 3n * PRICE);
  await delivered(short, 2n * PRICE);
  for (const session of enough) await expectSettlements(session, [3n * PRICE]);
  await expectSettlements(short, []);
  await mark.moved({ transactions: 2, transfers: 2, amount: 6n * PRICE });
  for (const session of enough) {
    await until(async () => (await ledger(stack, session.channel)).settled === String(3n * PRICE), "the books to say so", LONG);
    await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE, delivered: 3n * PRICE });
    // It goes on, and the next threshold counts from here.
    for (let i = 0; i < 3; i++) expectReceipt(await session.pay(), session);
    await settledTo(session, 6n * PRICE);
    await expectSettlements(session, [3n * PRICE, 6n * PRICE]);
  }
});

test("never more than was delivered: a voucher for more waits, the largest one below is taken", async () => {
  await configured(BY_AMOUNT);
  const sessions = await ofBoth((method, options) => bought(method, 3, { path: "/s/draw", ...options }));
  for (const session of sessions) {
    const large = await payloads.voucher(session.channel, 50n * PRICE);
    for (let i = 4n; i <= 5n; i++) expectReceipt(await session.send(large), session, { accepted: 50n * PRICE, spent: i * PRICE });
  }
  for (const session of sessions) {
    await settledTo(session, 3n * PRICE);
    await delivered(session, 5n * PRICE);
    // Three more, signed for by the large voucher alone: outstanding, above the threshold, and nothing that could be taken.
    const large = await payloads.voucher(session.channel, 50n * PRICE);
    for (let i = 0; i < 3; i++) expectReceipt(await session.send(large), session, { accepted: 50n * PRICE });
    await delivered(session, 8n * PRICE);
    await expectSettlements(session, [3n * PRICE]);
    await expectLedger(stack, session.channel, { accepted: 50n * PRICE, spent: 8n * PRICE, settled: 3n * PRICE });
  }
});

test("what the origin failed to deliver is never settled", async () => {
  await configured(BY_AMOUNT);
  const session = await openSession(stack, "evm");
  for (let i = 0; i < 6; i++) {
    origin.next(i % 2 ? faults.status(500) : faults.content());
    assert.equal((await session.pay()).status, i % 2 ? 500 : 200);
  }
  await delivered(session, 3n * PRICE);
  await settledTo(session, 3n * PRICE);
  await expectSettlements(session, [3n * PRICE]);
});

test("by age: a single unit that is outstanding for long is settled, with nobody calling", async () => {
  await configured(BY_AGE);
  const sessions = await ofBoth((method, options) => bought(method, 1, options));
  const unused = await openSession(stack, "evm");
  for (const session of sessions) {
    await settledTo(session, PRICE);
    await expectSettlements(session, [PRICE]);
  }
  await expectSettlements(unused, []);
});

for (const [name, fault] of Object.entries({
  "the answer to the broadcast never comes": faulty.hangAfter,
  "the connection breaks after the broadcast": faulty.dropAfter,
  "the provider is too busy": faulty.http(429, "slow down", { "retry-after": "1" }),
  "the provider says that it knows the transaction": faulty.errorAfter("already known"),
})) {
  test(`settling while ${name}: one settlement, and the books agree`, async () => {
    await configured(BY_AMOUNT);
    const session = await bought("evm", 3);
    const mark = await stack.mark();
    rpc.fail("eth_sendRawTransaction", fault, 2);
    await settledTo(session, 3n * PRICE);
    await until(async () => (await ledger(stack, session.channel)).settled === String(3n * PRICE), "the books to say so", LONG);
    await expectSettlements(session, [3n * PRICE]);
    await mark.moved({ transactions: 1, transfers: 1, amount: 3n * PRICE });
  });
}

test("the gateway dies with its settlement on the way: one settlement in the end, with nobody calling", async () => {
  await configured(BY_AMOUNT);
  const session = await bought("abstract", 3);
  const mark = await stack.mark();
  await chain.pauseMining();
  await until(async () => (await chain.waiting(settlement.address)).length > 0, "the settlement to be broadcast", LONG);
  await gateway.kill();
  await chain.resumeMining();
  await gateway.start();
  await settledTo(session, 3n * PRICE);
  await until(async () => (await ledger(stack, session.channel)).settled === String(3n * PRICE), "the books to say so", LONG);
  await expectSettlements(session, [3n * PRICE]);
  await mark.moved({ transactions: 1, transfers: 1, amount: 3n * PRICE });
});

test("twelve channels that are due at once are twelve settlements with nonces of their own", async () => {
  await configured(BY_AMOUNT);
  const sessions = [];
  for (let i = 0; i < 12; i++) sessions.push(await openSession(stack, METHODS[i % 2], { payer: stack.payers[i % 4] }));
  const mark = await stack.mark();
  for (let round = 0; round < 3; round++) await Promise.all(sessions.map((session) => session.pay()));
  for (const session of sessions) await settledTo(session, 3n * PRICE);
  await mark.moved({ origin: 36, transactions: 12, transfers: 12, amount: 36n * PRICE });
});

test("a settled channel takes no voucher at or below what is settled, and goes on above it", async () => {
  await configured(BY_AMOUNT);
  const session = await bought("abstract", 3);
  await settledTo(session, 3n * PRICE);
  const mark = await stack.mark();
  const old = await session.send(payloads.voucher(session.channel, 2n * PRICE));
  expectProblem(old, 402, "session/insufficient-balance");
  await mark.nothing();
  expectReceipt(await session.pay(), session, { accepted: 4n * PRICE, spent: 4n * PRICE });
});

for (const method of METHODS) {
  test(`A20 ${method}: with what a settlement shows a stranger draws nothing down and closes nothing`, async () => {
    await configured(BY_AMOUNT);
    const session = await bought(method, 3, { path: "/s/draw" });
    const { channel } = session;
    // The payer has signed ahead.
    expectReceipt(await session.manage(payloads.voucher(channel, 50n * PRICE)), session, { status: 204, spent: 3n * PRICE });
    await settledTo(session, 3n * PRICE);
    const [{ transactionHash }] = await channel.events("Settled");
    const { input } = await chain.public.getTransaction({ hash: transactionHash });
    const { args } = decodeFunctionData({ abi: ESCROW_ABI, data: input });
    assert.deepEqual([args[0], args[1]], [channel.id, 3n * PRICE]);
    await until(async () => (await ledger(stack, channel)).settled === String(3n * PRICE), "the books to say so", LONG);
    const mark = await stack.mark();
    const stolen = { channelId: channel.id, cumulativeAmount: String(args[1]), signature: args[2] };
    const thief = { challenge: await session.challenge("/s/draw", { fresh: true }), source: null };
    for (const path of ["/s/draw", "/s/once"]) {
      const challenge = await session.challenge(path, { fresh: true });
      for (const action of ["voucher", "open"]) {
        const proof = channel.method === "evm" ? { type: "hash", hash: channel.txHash } : { txHash: channel.txHash };
        const answer = await session.send({ action, ...stolen, ...proof }, { path, challenge, source: null, via: 1 });
        const problem = expectProblem(answer, 402, "session/insufficient-balance");
        expectNumbers(problem, session, { accepted: 50n * PRICE, spent: 3n * PRICE });
        assert.ok(BigInt(problem.requiredCumulative) > 3n * PRICE, "a proof is asked for");
      }
    }
    for (const signature of [await stack.stranger.signMessage({ message: "any" }), args[2]]) {
      const proof = await session.manage({ action: "close", ...stolen, proof: signature }, thief);
      expectProblem(proof, 402, "session/signer-mismatch");
      const garbage = await session.manage({ action: "close", ...stolen, proof: "0x00" }, thief);
      expectProblem(garbage, 402, "session/invalid-signature");
    }
    expectProblem(await session.manage({ action: "close", ...stolen }, thief), 402, "verification-failed");
    // Handed in alone it is harmless.
    expectReceipt(await session.manage({ action: "voucher", ...stolen }, thief), session, { status: 204, spent: 3n * PRICE });
    await mark.nothing();
    await expectLedger(stack, channel, { accepted: 50n * PRICE, spent: 3n * PRICE, settled: 3n * PRICE, status: "open" });
    // Its signer can do both, and no more is taken than was spent.
    const drawn = await session.send(proved(payloads.voucher(channel, 3n * PRICE), session));
    expectReceipt(drawn, session, { accepted: 50n * PRICE, spent: 4n * PRICE, units: 1 });
    const last = payloads.close(channel, 4n * PRICE);
    expectReceipt(await session.managed(proved(last, session)), session, { status: 204, spent: 4n * PRICE });
    const [{ settledToPayee, refundedToPayer }] = await channel.events("ChannelClosed");
    assert.deepEqual([settledToPayee, refundedToPayer], [4n * PRICE, channel.deposit - 4n * PRICE]);
  });
}

test("A20 a channel of which all is settled is closed with the last voucher and a proof", async () => {
  await configured(BY_AMOUNT);
  const session = await bought("evm", 3);
  await settledTo(session, 3n * PRICE);
  const close = payloads.close(session.channel, 3n * PRICE);
  expectProblem(await session.manage(close), 402, "verification-failed");
  assert.ok(!(await session.channel.state()).finalized);
  expectReceipt(await session.managed(proved(close, session)), session, { status: 204, spent: 3n * PRICE });
  const [{ settledToPayee }] = await session.channel.events("ChannelClosed");
  assert.equal(settledToPayee, 3n * PRICE);
});

test("A27 the token has blacklisted a payer: where the close fails a settlement brings what was spent", async () => {
  await configured({});
  const sessions = await ofBoth((method, options) => bought(method, 2, options));
  for (const { channel } of sessions) await chain.callToken("blacklist", [channel.payer.address], stack.stranger);
  const mark = await stack.mark();
  for (const session of sessions) {
    const { channel } = session;
    expectTryAgain(await session.manage(payloads.close(channel, 2n * PRICE)));
    await settledTo(session, 2n * PRICE);
    await expectSettlements(session, [2n * PRICE]);
    assert.ok(!(await channel.state()).finalized, "the refund is refused by the token");
  }
  // Only the payer would gain by a close now. Nothing is sold, and it costs no gas until it can succeed.
  const served = origin.requests.length;
  for (const session of sessions) {
    const close = proved(payloads.close(session.channel, 2n * PRICE), session);
    expectTryAgain(await session.manage(close));
    expectProblem(await session.pay(), 410, "session/channel-finalized");
    await chain.callToken("unBlacklist", [session.channel.payer.address], stack.stranger);
    expectReceipt(await session.managed(close), session, { status: 204, spent: 2n * PRICE });
    assert.ok((await session.channel.state()).finalized);
  }
  assert.equal(origin.requests.length, served);
  // Two settlements and two closes, and none in vain.
  await mark.moved({ transactions: 4, transfers: 2, amount: 4n * PRICE });
});

test("A27 after a failed settlement nothing is sold on the channel until the chain shows one", async () => {
  await configured({ ...BY_AMOUNT, watchSeconds: 1 });
  const session = await openSession(stack, "evm");
  const other = await openSession(stack, "abstract", { payer: stack.payers[1] });
  const mark = await stack.mark();
  // Whatever is sent to the payee reverts.
  await chain.callToken("blacklist", [stack.recipient], stack.stranger);
  for (let i = 0; i < 3; i++) expectReceipt(await session.pay(), session);
  const failed = async () => (await ledger(stack, session.channel)).settlementFailures === 1;
  await until(failed, "the settlement to fail", LONG);
  for (let i = 0; i < 3; i++) expectTryAgain(await session.send(payloads.voucher(session.channel, 4n * PRICE), { via: i % 2 }));
  expectReceipt(await other.pay(), other, { spent: PRICE });
  await mark.moved({ origin: 4 });
  await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE, status: "open" });
  assert.match(gateway.logs, new RegExp(`channel ${session.channel.id}: a settlement failed`));
  const { channel } = session;
  await chain.callToken("unBlacklist", [stack.recipient], stack.stranger);
  await channel.send("settle", [channel.id, 3n * PRICE, await channel.voucher(3n * PRICE)], settlement);
  session.cumulative = 3n * PRICE;
  await until(async () => (await ledger(stack, channel)).settled === String(3n * PRICE), "the chain to be seen", LONG);
  expectReceipt(await session.pay(), session, { accepted: 4n * PRICE, spent: 4n * PRICE });
});

test("A28 five units over 17 seconds are no settlement, and an idle channel with as little is no close", {
  timeout: 120_000,
}, async () => {
  await configured({ settleMinimum: undefined, settleAfterSeconds: 2, closeIdleSeconds: 2, watchSeconds: 1 });
  const session = await openSession(stack, "evm");
  const enough = await openSession(stack, "abstract", { payer: stack.payers[1] });
  const mark = await stack.mark();
  // At the price of ten: the least amount, which is settled for its age.
  expectReceipt(await enough.manage(payloads.voucher(enough.channel, 10n * PRICE)), enough, { status: 204 });
  enough.cumulative = 10n * PRICE;
  for (let i = 0; i < 10; i++)
    expectReceipt(await enough.send(payloads.voucher(enough.channel, 10n * PRICE), { path: "/s/draw" }), enough);
  for (let i = 0; i < 5; i++) {
    expectReceipt(await session.pay({ via: i % 2 }), session);
    await sleep(3_000);
  }
  await until(
    async () => (await enough.channel.state()).settled >= 10n * PRICE || (await enough.channel.state()).finalized,
    "what is enough",
    LONG,
  );
  await expectSettlements(session, []);
  assert.ok(!(await session.channel.state()).finalized);
  await mark.moved({ origin: 15, transactions: 1, transfers: 1, amount: 10n * PRICE });
  // At risk it is brought in, however little it is.
  await session.channel.requestClose();
  await until(async () => (await session.channel.state()).finalized, "the end", LONG);
  const [{ settledToPayee }] = await session.channel.events("ChannelClosed");
  assert.equal(settledToPayee, 5n * PRICE);
});

// Last in this file: every channel of the tests before is idle by now and may be closed as well.
test("idle: a quiet channel is closed with no more than was spent, and the payer has the rest back", async () => {
  await configured(WHEN_IDLE);
  const unused = await openSession(stack, "evm");
  const sessions = await ofBoth((method, options) => openSession(stack, method, options));
  for (const session of sessions) {
    const first = await session.send(payloads.voucher(session.channel, 3n * PRICE));
    expectReceipt(first, session, { accepted: 3n * PRICE, spent: PRICE });
    const raised = await session.manage(payloads.voucher(session.channel, 9n * PRICE));
    expectReceipt(raised, session, { status: 204, accepted: 9n * PRICE, spent: PRICE });
  }
  const last = Date.now() / 1000;
  for (const session of sessions) {
    const { channel } = session;
    await until(async () => (await channel.state()).finalized, "the idle channel to be closed", LONG);
    const [{ settledToPayee, refundedToPayer, transactionHash }] = await channel.events("ChannelClosed");
    // The smallest voucher held that covers what was spent.
    assert.equal(settledToPayee, 3n * PRICE);
    assert.equal(refundedToPayer, channel.deposit - 3n * PRICE);
    const { blockNumber } = await chain.public.getTransactionReceipt({ hash: transactionHash });
    const { timestamp } = await chain.public.getBlock({ blockNumber });
    assert.ok(Number(timestamp) >= last + WHEN_IDLE.closeIdleSeconds - 2, "not before it was idle");
    const served = origin.requests.length;
    await until(async () => (await session.pay()).status === 410, "410", LONG);
    assert.equal(origin.requests.length, served);
  }
  // Closing it would cost gas and bring nothing: it is left to its payer.
  assert.ok(!(await unused.channel.state()).finalized);
});
