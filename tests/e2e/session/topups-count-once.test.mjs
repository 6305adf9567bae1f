// Adding to a deposit: what the chain says is what counts, once, and a topUp never reaches the origin.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterEach, test } from "node:test";
import { ESCROW_ABI, METHODS } from "../harness/channels.mjs";
import { expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import {
  expectLedger,
  expectNumbers,
  expectReceipt,
  openChannel,
  openSession,
  PRICE,
  payloads,
  Session,
  startSessions,
} from "../harness/session.mjs";

const stack = await startSessions({ watch: { Account: true } });
const { chain, rpc } = stack;

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

/** A session whose deposit is used up to the last unit. */
async function exhausted(method, options = {}) {
  const session = await openSession(stack, method, { deposit: 2n * PRICE, ...options });
  for (let i = 0; i < 2; i++) expectReceipt(await session.pay(), session);
  return session;
}

for (const method of METHODS) {
  test(`${method}: used up, told so, topped up, and on it goes`, async () => {
    const session = await exhausted(method);
    const { channel } = session;
    const mark = await stack.mark();
    const answer = await session.send(payloads.voucher(channel, 3n * PRICE));
    const problem = expectProblem(answer, 402, "session/amount-exceeds-deposit");
    expectNumbers(problem, session, { accepted: 2n * PRICE, spent: 2n * PRICE, deposit: 2n * PRICE, required: 3n * PRICE });
    await mark.nothing();
    const topUp = payloads.topUp(channel, 5n * PRICE, await channel.topUp(5n * PRICE));
    const told = await session.managed(topUp);
    expectReceipt(told, session, { status: 204, accepted: 2n * PRICE, spent: 2n * PRICE, units: 0 });
    assert.equal(told.text, "");
    await expectLedger(stack, channel, { deposit: 7n * PRICE });
    await mark.nothing();
    for (let i = 3n; i <= 7n; i++) expectReceipt(await session.pay(), session, { accepted: i * PRICE, spent: i * PRICE });
    expectProblem(await session.pay(), 402, "session/amount-exceeds-deposit");
    await mark.moved({ origin: 5 });
  });

  test(`${method}: a topUp that is not mined yet is waited for`, async () => {
    const session = await exhausted(method);
    const { channel } = session;
    await chain.pauseMining();
    const hash = await chain.wallet.writeContract({
      account: channel.payer,
      address: channel.escrow,
      abi: ESCROW_ABI,
      functionName: "topUp",
      args: [channel.id, PRICE],
      gas: 200_000n,
    });
    const topUp = payloads.topUp(channel, PRICE, hash);
    expectTryAgain(await session.manage(topUp));
    expectProblem(await session.send(payloads.voucher(channel, 3n * PRICE)), 402, "session/amount-exceeds-deposit");
    await chain.resumeMining();
    expectReceipt(await session.managed(topUp), session, { status: 204 });
    expectReceipt(await session.pay(), session, { accepted: 3n * PRICE, spent: 3n * PRICE });
  });

  test(`${method}: a topUp that was reverted adds nothing`, async () => {
    const session = await exhausted(method);
    const hash = await session.channel.sendReverted("topUp", [session.channel.id, 10n ** 15n]);
    const mark = await stack.mark();
    const answer = await session.manage(payloads.topUp(session.channel, 10n ** 15n, hash));
    expectProblem(answer, 409, "session/transaction-reverted");
    expectProblem(await session.send(payloads.voucher(session.channel, 3n * PRICE)), 402, "session/amount-exceeds-deposit");
    await expectLedger(stack, session.channel, { deposit: 2n * PRICE });
    await mark.nothing();
  });

  test(`C13: ${method}: a topUp of a channel that the gateway has never heard of is refused unasked; a voucher makes it known, with it`, async () => {
    const session = new Session(stack, await openChannel(stack, method));
    const topUp = payloads.topUp(session.channel, PRICE, await session.channel.topUp(PRICE));
    const mark = await stack.mark();
    await session.challenge();
    rpc.forget();
    const { detail } = expectProblem(await session.manage(topUp), 402, "verification-failed");
    assert.match(detail, /voucher/);
    assert.equal(rpc.posts, 0, "nothing was asked of the chain");
    await session.open();
    await expectLedger(stack, session.channel, { deposit: session.channel.deposit });
    await mark.nothing();
  });
}

test("the same topUp again, anywhere, adds nothing", async () => {
  const session = await exhausted("evm");
  const topUp = payloads.topUp(session.channel, PRICE, await session.channel.topUp(PRICE));
  for (const via of [0, 1, 0]) {
    const answer = await session.managed(topUp, { via });
    expectReceipt(answer, session, { status: 204, accepted: 2n * PRICE });
    await expectLedger(stack, session.channel, { deposit: 3n * PRICE });
  }
  expectReceipt(await session.pay(), session, { accepted: 3n * PRICE });
  expectProblem(await session.pay(), 402, "session/amount-exceeds-deposit");
});

test("two topUps told of at once, and in any order, add up", async () => {
  const session = await exhausted("evm");
  const hashes = [await session.channel.topUp(PRICE), await session.channel.topUp(3n * PRICE)];
  const topUps = [payloads.topUp(session.channel, PRICE, hashes[0]), payloads.topUp(session.channel, 3n * PRICE, hashes[1])];
  await session.challenge();
  const answers = await Promise.all(topUps.reverse().map((topUp, i) => session.managed(topUp, { via: i })));
  for (const answer of answers) expectReceipt(answer, session, { status: 204 });
  await expectLedger(stack, session.channel, { deposit: 6n * PRICE });
});

test("a topUp is never passed on, by whatever request it comes", async () => {
  const session = await exhausted("evm");
  const topUp = payloads.topUp(session.channel, PRICE, await session.channel.topUp(PRICE));
  const mark = await stack.mark();
  for (const options of [
    { method: "GET", body: undefined },
    { method: "POST", body: "words" },
    { method: "PUT", body: "x" },
  ]) {
    expectReceipt(await session.managed(topUp, options), session, { status: 204, spent: 2n * PRICE, units: 0 });
  }
  const head = await session.managed(topUp, { method: "HEAD", body: undefined });
  expectReceipt(head, session, { status: 200, spent: 2n * PRICE, units: 0 });
  await mark.nothing();
});

test("with the provider down a topUp is not decided, and what was paid for before still works", async () => {
  const session = await openSession(stack, "evm", { deposit: 5n * PRICE });
  const topUp = payloads.topUp(session.channel, PRICE, await session.channel.topUp(PRICE));
  rpc.fail("*", faulty.http(500));
  expectTryAgain(await session.manage(topUp));
  expectReceipt(await session.pay(), session, { accepted: PRICE, spent: PRICE });
  rpc.heal();
  expectReceipt(await session.managed(topUp), session, { status: 204 });
  await expectLedger(stack, session.channel, { deposit: 6n * PRICE });
});

test("a topUp that takes a request to close back, before it was seen, leaves the channel as good as ever", async () => {
  const session = await exhausted("evm");
  await session.channel.requestClose();
  const topUp = payloads.topUp(session.channel, PRICE, await session.channel.topUp(PRICE));
  assert.equal((await session.channel.state()).closeRequestedAt, 0n);
  expectReceipt(await session.managed(topUp), session, { status: 204 });
  expectReceipt(await session.pay(), session, { accepted: 3n * PRICE });
});

test("a topUp of a channel with a request to close that still stands is refused", async () => {
  const session = await exhausted("evm");
  const hash = await session.channel.topUp(PRICE);
  await session.channel.requestClose();
  const mark = await stack.mark();
  expectProblem(await session.managed(payloads.topUp(session.channel, PRICE, hash)), 410, "session/channel-finalized");
  expectProblem(await session.pay(), 410, "session/channel-finalized");
  await until(async () => (await session.channel.state()).finalized, "the channel to be closed");
  await mark.moved({ transactions: 1, transfers: 1, amount: 2n * PRICE });
});

test("a topUp of a channel that is not there is of no channel", async () => {
  const channel = await openChannel(stack, "evm");
  const hash = await channel.topUp(PRICE);
  const session = new Session(stack, channel);
  const payload = { ...payloads.topUp(channel, PRICE, hash), channelId: `0x${"77".repeat(32)}` };
  const mark = await stack.mark();
  const answer = await session.manage(payload);
  assert.ok([402, 410].includes(answer.status), answer.text);
  expectProblem(answer, answer.status, "session/channel-not-found", "verification-failed");
  await mark.nothing();
});

test("an addition that is no amount, or other than was added, is refused by name", async () => {
  const session = await exhausted("evm");
  const { channel } = session;
  const hash = await channel.topUp(PRICE);
  const mark = await stack.mark();
  for (const amount of ["-1", "1e3", "01000", "", "１０００", String(2n ** 128n), undefined, 1_000]) {
    const payload = { ...payloads.topUp(channel, PRICE, hash), additionalDeposit: amount };
    const { detail } = expectProblem(await session.manage(payload), 402, "malformed-credential");
    assert.ok(detail.includes("additionalDeposit"), detail);
  }
  for (const amount of [PRICE - 1n, PRICE + 1n, 100n * PRICE]) {
    expectProblem(await session.manage(payloads.topUp(channel, amount, hash)), 402, "verification-failed");
  }
  for (const wrong of ["0x12", "", null, `0x${"zz".repeat(32)}`]) {
    const payload = payloads.topUp(channel, PRICE, wrong);
    expectProblem(await session.manage(payload), 402, "malformed-credential");
  }
  await mark.nothing();
  expectReceipt(await session.managed(payloads.topUp(channel, PRICE, hash)), session, { status: 204 });
});

test("C13: an old addition named again costs one question at the most, and writes nothing", async () => {
  const session = await exhausted("evm");
  const hashes = [await session.channel.topUp(PRICE), await session.channel.topUp(PRICE)];
  const topUps = hashes.map((hash) => payloads.topUp(session.channel, PRICE, hash));
  // The first asking learns of both: the deposit is read with it.
  expectReceipt(await session.managed(topUps[1]), session, { status: 204 });
  await expectLedger(stack, session.channel, { deposit: 4n * PRICE });
  const watched = () => stack.gateway.objects("Account");
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  rpc.forget();
  const before = watched();
  const old = await Promise.all(Array.from({ length: 20 }, (_, i) => session.managed(topUps[0], { via: i % 2 })));
  for (const answer of old) expectReceipt(answer, session, { status: 204, accepted: 2n * PRICE, spent: 2n * PRICE });
  assert.equal(rpc.posts, 1, "they were asked about once");
  assert.equal(rpc.count("eth_call"), 0, "and the channel was not read");
  for (const topUp of topUps) expectReceipt(await session.managed(topUp), session, { status: 204 });
  assert.equal(rpc.posts, 1, "what was shown once is known");
  assert.equal(watched(), before, "nothing was told to the account");
  await expectLedger(stack, session.channel, { deposit: 4n * PRICE });
});

test("C13: a flood of transactions that added nothing asks the chain once in two seconds, and an honest one is heard", async () => {
  const session = await exhausted("evm");
  await session.challenge();
  const hash = () => `0x${randomBytes(32).toString("hex")}`;
  rpc.forget();
  const started = Date.now();
  for (const many of [20, 1]) {
    const flood = Array.from({ length: many }, () => session.manage(payloads.topUp(session.channel, PRICE, hash())));
    for (const answer of await Promise.all(flood)) expectTryAgain(answer);
  }
  const most = 1 + Math.ceil((Date.now() - started) / 2_000);
  assert.ok(rpc.posts <= most, `${rpc.posts} questions, ${most} at the most`);
  expectReceipt(await session.managed(payloads.topUp(session.channel, PRICE, await session.channel.topUp(PRICE))), session, {
    status: 204,
  });
  await expectLedger(stack, session.channel, { deposit: 3n * PRICE });
});
