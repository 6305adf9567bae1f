// A18: the chain takes back what it said. Within the configured depth nothing is sold for what may go; what went is sent again, and a
// channel that went deeper than that is frozen as soon as it is seen.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Channel, METHODS } from "../harness/channels.mjs";
import { expectPaid, expectProblem, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import {
  expectLedger,
  expectReceipt,
  ledger,
  openChannel,
  PRICE,
  payloads,
  Session,
  startSessions,
} from "../harness/session.mjs";

const CONFIRMATIONS = 3;
const LONG = 60_000;
const stack = await startSessions({
  session: { watchSeconds: 1, settleAmount: "0.003", feePayer: true, minDeposit: "0.000001" },
  gateway: { confirmations: CONFIRMATIONS, limits: { settlementTimeoutSeconds: 1, originTimeoutSeconds: 1 } },
});
const { chain, origin, settlement } = stack;
const CHARGE = "/v1/charge";
const PATH = "/s/item/1";

afterEach(() => chain.mine(10));

/** Runs `work` while blocks keep coming, as they do on a chain in use. */
async function whileMining(work) {
  let mining = Promise.resolve();
  const timer = setInterval(() => {
    mining = mining.then(() => chain.mine());
  }, 100);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    await mining;
  }
}

/** A session on a channel whose opening is deep enough in the chain. */
async function settled(method, options) {
  const session = new Session(stack, await openChannel(stack, method, options));
  await chain.mine(CONFIRMATIONS - 1);
  return session.open();
}

test("a charge is not sold before its depth, is sent again when its block goes, and moves once", async () => {
  for (const scheme of ["evm", "abstract"]) {
    const mark = await stack.mark();
    const credential = await stack.credential(CHARGE, { scheme });
    const authorization = encodeCredential(credential);
    expectTryAgain(await stack.send(CHARGE, { authorization }));
    await mark.moved({ transactions: 1, transfers: 1, amount: 10n * PRICE });
    await chain.mine();
    expectTryAgain(await stack.send(CHARGE, { authorization, via: 1 }));
    await chain.reorganise(2);
    await mark.nothing();
    const answer = await whileMining(() => stack.resume(CHARGE, authorization));
    await expectPaid(stack, answer, credential);
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10n * PRICE });
    expectSpent(await stack.send(CHARGE, { authorization }));
  }
});

test("a charge whose transaction somebody else brings back is not sent a second time", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(CHARGE);
  const authorization = encodeCredential(credential);
  expectTryAgain(await stack.send(CHARGE, { authorization }));
  const { transactionHash: hash } = (await chain.transfersTo(stack.recipient)).at(-1);
  const raw = await chain.public.request({ method: "eth_getRawTransactionByHash", params: [hash] });
  await chain.reorganise(1);
  // Unless the gateway has brought it back already.
  await chain.public.sendRawTransaction({ serializedTransaction: raw }).catch(() => {});
  await expectPaid(stack, await whileMining(() => stack.resume(CHARGE, authorization)), credential);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10n * PRICE });
});

for (const method of METHODS) {
  test(`${method}: an open buys nothing before its depth, and nothing when its block goes`, async () => {
    const session = new Session(stack, await openChannel(stack, method));
    const authorization = await session.authorization(await payloads.open(session.channel, PRICE));
    const voucher = await payloads.voucher(session.channel, PRICE);
    const mark = await stack.mark();
    const notYet = async () => {
      expectTryAgain(await stack.send(PATH, { authorization }));
      const answer = await session.send(voucher, { via: 1 });
      assert.ok([410, 503].includes(answer.status), `${answer.status} ${answer.text}`);
    };
    await notYet();
    await chain.mine();
    await notYet();
    await chain.reorganise(2);
    await chain.mine(5);
    await notYet();
    await mark.nothing();
    // The payer opens it again: the same channel by another transaction.
    await session.channel.open();
    await chain.mine(CONFIRMATIONS - 1);
    const again = await session.send(payloads.open(session.channel, PRICE));
    expectReceipt(again, session, { accepted: PRICE, spent: PRICE });
    await mark.moved({ origin: 1 });
  });

  test(`${method}: a channel that only its voucher tells of is adopted at its depth and not before`, async () => {
    const session = new Session(stack, await openChannel(stack, method));
    const voucher = await payloads.voucher(session.channel, PRICE);
    const mark = await stack.mark();
    const early = await session.send(voucher);
    assert.ok([410, 503].includes(early.status), `${early.status} ${early.text}`);
    await mark.nothing();
    await chain.mine(CONFIRMATIONS - 1);
    const answer = await until(
      async () => {
        const one = await session.send(voucher);
        return one.status === 200 && one;
      },
      "the channel to be adopted",
      LONG,
    );
    expectReceipt(answer, session, { accepted: PRICE, spent: PRICE });
    await mark.moved({ origin: 1 });
  });

  test(`${method}: a topUp counts at its depth, and not when its block goes`, async () => {
    const session = await settled(method, { deposit: PRICE });
    const topUp = payloads.topUp(session.channel, PRICE, await session.channel.topUp(PRICE));
    const mark = await stack.mark();
    expectTryAgain(await session.manage(topUp));
    await chain.reorganise(1);
    await chain.mine(5);
    expectTryAgain(await session.manage(topUp));
    const beyond = await session.send(payloads.voucher(session.channel, 2n * PRICE));
    expectProblem(beyond, 402, "session/amount-exceeds-deposit");
    await expectLedger(stack, session.channel, { deposit: PRICE });
    await mark.nothing();
  });

  test(`${method}: a topUp that nobody told of is no money before its depth either`, async () => {
    const session = await settled(method, { deposit: PRICE });
    await session.channel.topUp(9n * PRICE);
    const mark = await stack.mark();
    // Several looks at the chain later.
    await sleep(4_000);
    const answer = await session.send(payloads.voucher(session.channel, 2n * PRICE));
    expectProblem(answer, 402, "session/amount-exceeds-deposit");
    await mark.nothing();
    await chain.mine(CONFIRMATIONS - 1);
    await until(
      async () => (await session.send(payloads.voucher(session.channel, 2n * PRICE))).status === 200,
      "the addition to count",
      LONG,
    );
  });

  test(`${method}: a channel that goes although it was deep enough is frozen as soon as that is seen`, async () => {
    const session = await settled(method);
    expectReceipt(await session.pay(), session, { spent: PRICE });
    await chain.reorganise(CONFIRMATIONS + 1);
    assert.equal((await session.channel.state()).deposit, 0n);
    await chain.mine(5);
    const last = await until(
      async () => {
        const answer = await session.pay();
        return answer.status !== 200 && answer;
      },
      "a refusal",
      LONG,
    );
    assert.ok([402, 410, 503].includes(last.status), `${last.status} ${last.text}`);
    const mark = await stack.mark();
    for (let i = 0; i < 3; i++) assert.notEqual((await session.pay({ via: i % 2 })).status, 200);
    await mark.nothing();
  });

  test(`${method}: a close whose block goes is sent again, and answered with the transaction that stayed`, async () => {
    const session = await settled(method);
    expectReceipt(await session.pay(), session, { spent: PRICE });
    await chain.mine(10);
    const close = await payloads.close(session.channel, PRICE);
    expectTryAgain(await session.manage(close));
    assert.ok((await session.channel.state()).finalized);
    await chain.reorganise(1);
    assert.ok(!(await session.channel.state()).finalized);
    const answer = await whileMining(() => session.managed(close));
    const { txHash } = expectReceipt(answer, session, { status: 204, accepted: PRICE, spent: PRICE });
    const endings = await session.channel.events("ChannelClosed");
    assert.deepEqual(
      endings.map(({ transactionHash, settledToPayee }) => ({ transactionHash, settledToPayee })),
      [{ transactionHash: txHash, settledToPayee: PRICE }],
    );
  });

  for (const [name, depth] of [
    ["before its depth", 1],
    ["although it was deep enough", CONFIRMATIONS + 2],
  ]) {
    test(`${method}: a settlement that goes ${name} is made again`, async () => {
      const session = await settled(method);
      await chain.mine(20);
      for (let i = 0; i < 3; i++) expectReceipt(await session.pay(), session);
      const onChain = async () => (await session.channel.state()).settled === 3n * PRICE;
      await until(onChain, "the settlement", LONG);
      if (depth > CONFIRMATIONS) {
        await chain.mine(CONFIRMATIONS);
        const booked = async () => (await ledger(stack, session.channel)).settled === String(3n * PRICE);
        await until(booked, "the books to say so", LONG);
        const { number } = await chain.public.getBlock();
        const [{ transactionHash }] = await session.channel.events("Settled");
        const { blockNumber } = await chain.public.getTransactionReceipt({ hash: transactionHash });
        await chain.reorganise(Number(number - blockNumber) + 1);
      } else await chain.reorganise(1);
      assert.equal((await session.channel.state()).settled, 0n);
      await whileMining(() => until(onChain, "the settlement again", LONG));
      assert.equal((await session.channel.events("Settled")).length, 1);
      // And it is still a channel to buy from.
      expectReceipt(await session.pay(), session, { accepted: 4n * PRICE, spent: 4n * PRICE });
    });
  }
}

test("an open that the gateway brings is sent again when its block goes, and opens once", async () => {
  const channel = new Channel(chain, { method: "evm", payer: stack.payers[1], payee: stack.recipient });
  const session = new Session(stack, channel);
  const authorization = await session.authorization(await payloads.openFor(channel, PRICE));
  const before = await chain.transactions(settlement.address);
  const seen = origin.requests.length;
  expectTryAgain(await stack.send(PATH, { authorization }));
  assert.equal((await channel.state()).deposit, channel.deposit);
  await chain.reorganise(1);
  assert.equal((await channel.state()).deposit, 0n);
  const answer = await whileMining(() => stack.resume(PATH, authorization));
  const { txHash } = expectReceipt(answer, session, { accepted: PRICE, spent: PRICE, units: 1 });
  const opened = await channel.events("ChannelOpened");
  assert.equal(opened.length, 1);
  if (txHash !== undefined) assert.equal(opened[0].transactionHash, txHash);
  assert.equal((await chain.transactions(settlement.address)) - before, 1);
  assert.equal(origin.requests.length - seen, 1);
});
