// Closing together: the answer comes with the transaction, the payee has the better voucher, the payer the rest, and nobody can make it
// happen twice or be left in between.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { leaveAt } from "../harness/leaving.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import {
  expectLedger,
  expectReceipt,
  openChannel,
  openSession,
  PRICE,
  payloads,
  Session,
  startSessions,
} from "../harness/session.mjs";

const stack = await startSessions();
const { chain, gateway, rpc, settlement } = stack;
const PATH = "/s/item/1";

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

/** A session that has bought three times; accepted and spent are three prices. */
async function used(method, options = {}) {
  const session = await openSession(stack, method, options);
  for (let i = 0; i < 3; i++) expectReceipt(await session.pay({ via: i % 2 }), session);
  return session;
}

/** Asserts that the channel ended once, by the payee, with `settled` for it and the rest for the payer. Returns the transaction. */
async function expectClosed({ channel }, settled) {
  const endings = await channel.events("ChannelClosed");
  assert.equal(endings.length, 1);
  const [{ settledToPayee, refundedToPayer, transactionHash }] = endings;
  assert.deepEqual({ settledToPayee, refundedToPayer }, { settledToPayee: settled, refundedToPayer: channel.deposit - settled });
  const { from } = await chain.public.getTransaction({ hash: transactionHash });
  assert.equal(from.toLowerCase(), settlement.address.toLowerCase());
  return transactionHash;
}

const ONE = (amount) => ({ transactions: 1, transfers: amount > 0n ? 1 : 0, amount });

for (const method of METHODS) {
  test(`${method}: a close is answered with its transaction, and the payer has the rest back by then`, async () => {
    const session = await used(method);
    const { channel } = session;
    const mark = await stack.mark();
    const before = await chain.balance(channel.payer.address);
    const answer = await session.managed(payloads.close(channel, 3n * PRICE));
    const { txHash } = expectReceipt(answer, session, { status: 204, accepted: 3n * PRICE, spent: 3n * PRICE, units: 0 });
    assert.equal(txHash, await expectClosed(session, 3n * PRICE));
    assert.equal((await chain.balance(channel.payer.address)) - before, channel.deposit - 3n * PRICE);
    await mark.moved(ONE(3n * PRICE));
  });

  test(`${method}: a repeated close is answered alike, everywhere and after a restart, and sends nothing`, async () => {
    const session = await used(method);
    const close = await payloads.close(session.channel, 3n * PRICE);
    const mark = await stack.mark();
    const { receipt } = await session.managed(close);
    for (const via of [0, 1]) {
      const again = await session.manage(close, { via });
      expectReceipt(again, session, { status: 204, accepted: 3n * PRICE, spent: 3n * PRICE, txHash: receipt.txHash });
    }
    await gateway.kill();
    await gateway.start();
    expectReceipt(await session.manage(close), session, { status: 204, txHash: receipt.txHash });
    await mark.moved(ONE(3n * PRICE));
  });

  test(`${method}: twenty closes at once are one transaction and one answer, time and again`, async () => {
    for (let round = 0; round < 5; round++) {
      const session = await used(method);
      const close = await payloads.close(session.channel, 3n * PRICE);
      await session.challenge();
      const mark = await stack.mark();
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => session.managed(close, { via: i % 2 })));
      for (const answer of answers) expectReceipt(answer, session, { status: 204 });
      assert.equal(new Set(answers.map(({ receipt }) => receipt.txHash)).size, 1);
      await mark.moved(ONE(3n * PRICE));
    }
  });

  for (const [name, cumulative, settled] of [
    ["no voucher to speak of", 0n, 3n],
    ["a lower voucher than the one held", 1n, 3n],
    ["a higher voucher than was spent", 10n, 10n],
  ]) {
    test(`${method}: a close with ${name} takes ${settled} prices`, async () => {
      const session = await used(method);
      const mark = await stack.mark();
      const answer = await session.managed(payloads.close(session.channel, cumulative * PRICE));
      expectReceipt(answer, session, { status: 204, accepted: settled * PRICE, spent: 3n * PRICE });
      await expectClosed(session, settled * PRICE);
      await mark.moved(ONE(settled * PRICE));
    });
  }

  test(`${method}: a channel that was never used is given back whole`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    expectReceipt(await session.managed(payloads.close(session.channel, 0n)), session, { status: 204, accepted: 0, spent: 0 });
    await expectClosed(session, 0n);
    await mark.moved(ONE(0n));
  });

  test(`${method}: a channel that the gateway has never heard of can be closed with its voucher`, async () => {
    const session = new Session(stack, await openChannel(stack, method));
    const mark = await stack.mark();
    const answer = await session.managed(payloads.close(session.channel, 2n * PRICE));
    expectReceipt(answer, session, { status: 204, accepted: 2n * PRICE, spent: 0 });
    await expectClosed(session, 2n * PRICE);
    await mark.moved(ONE(2n * PRICE));
  });

  test(`${method}: a close for more than the deposit closes nothing, and the channel goes on`, async () => {
    const session = await used(method, { deposit: 5n * PRICE });
    const mark = await stack.mark();
    const answer = await session.manage(payloads.close(session.channel, 5n * PRICE + 1n));
    expectProblem(answer, 402, "session/amount-exceeds-deposit");
    await mark.nothing();
    expectReceipt(await session.pay(), session, { accepted: 4n * PRICE, spent: 4n * PRICE });
  });

  test(`${method}: a closed channel buys nothing, and cannot be opened or added to`, async () => {
    const session = await used(method);
    const { channel } = session;
    const hash = await channel.topUp(PRICE);
    await session.managed(payloads.close(channel, 3n * PRICE));
    const mark = await stack.mark();
    for (const payload of [
      await payloads.voucher(channel, 4n * PRICE),
      await payloads.voucher(channel, 3n * PRICE),
      await payloads.open(channel, 4n * PRICE),
      payloads.topUp(channel, PRICE, hash),
    ]) {
      expectProblem(await session.manage(payload), 410, "session/channel-finalized");
      expectProblem(await session.send(payload, { via: 1 }), 410, "session/channel-finalized");
    }
    await mark.nothing();
  });

  test(`${method}: a close is never passed on, by whatever request it comes`, async () => {
    for (const options of [{ method: "GET" }, { method: "POST", body: "words" }, { method: "DELETE" }]) {
      const session = await used(method);
      const mark = await stack.mark();
      const answer = await session.managed(payloads.close(session.channel, 3n * PRICE), { body: undefined, ...options });
      expectReceipt(answer, session, { status: 204, spent: 3n * PRICE });
      assert.equal(answer.text, "");
      await mark.moved(ONE(3n * PRICE));
    }
  });

  test(`${method}: until it is mined: 503, the channel buys nothing, and the same credential gets the answer`, async () => {
    const session = await used(method);
    const close = await payloads.close(session.channel, 3n * PRICE);
    const mark = await stack.mark();
    await chain.pauseMining();
    expectTryAgain(await session.manage(close));
    expectTryAgain(await session.manage(close, { via: 1 }));
    assert.equal((await chain.waiting(settlement.address)).length, 1);
    expectProblem(await session.pay(), 410, "session/channel-finalized");
    await chain.resumeMining();
    expectReceipt(await session.managed(close), session, { status: 204, txHash: await expectClosed(session, 3n * PRICE) });
    await mark.moved(ONE(3n * PRICE));
  });

  test(`${method}: a client that is gone has its channel closed all the same`, async () => {
    const session = await used(method);
    const authorization = await session.authorization(await payloads.close(session.channel, 3n * PRICE));
    const mark = await stack.mark();
    await chain.pauseMining();
    const options = { method: "POST", body: "", authorization };
    assert.ok(await leaveAt(stack, PATH, options, () => chain.submitted(settlement.address)));
    await chain.resumeMining();
    await until(async () => (await session.channel.state()).finalized, "the channel to be closed");
    await expectClosed(session, 3n * PRICE);
    const answer = await stack.resume(PATH, authorization, { method: "POST", body: "" });
    expectReceipt(answer, session, { status: 204, accepted: 3n * PRICE, spent: 3n * PRICE });
    await mark.moved(ONE(3n * PRICE));
  });

  test(`${method}: the gateway dies in the middle of a close: one close in the end`, async () => {
    const session = await used(method);
    const close = await payloads.close(session.channel, 3n * PRICE);
    const mark = await stack.mark();
    await chain.pauseMining();
    const cut = assert.rejects(session.manage(close), "the connection breaks with the process");
    await chain.submitted(settlement.address);
    await gateway.kill();
    await cut;
    await chain.resumeMining();
    await gateway.start();
    expectReceipt(await session.managed(close), session, { status: 204, txHash: await expectClosed(session, 3n * PRICE) });
    await mark.moved(ONE(3n * PRICE));
  });

  test(`${method}: the answer to the broadcast is lost: one close in the end`, async () => {
    const session = await used(method);
    const close = await payloads.close(session.channel, 3n * PRICE);
    const mark = await stack.mark();
    rpc.fail("eth_sendRawTransaction", faulty.hangAfter, 1);
    expectReceipt(await session.managed(close), session, { status: 204 });
    await expectClosed(session, 3n * PRICE);
    await mark.moved(ONE(3n * PRICE));
  });

  test(`${method}: what is bought while the close comes is paid for by it`, async () => {
    const session = await used(method);
    await session.challenge();
    const mark = await stack.mark();
    const requests = Array.from({ length: 10 }, (_, i) => session.pay({ via: i % 2 }));
    requests.push(payloads.close(session.channel, 3n * PRICE).then((close) => session.managed(close)));
    const answers = await Promise.all(requests);
    const closing = answers.pop();
    const served = answers.filter(({ status }) => status === 200).length;
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      expectProblem(answer, 410, "session/channel-finalized");
    }
    expectReceipt(closing, session, { status: 204 });
    const [{ settledToPayee }] = await session.channel.events("ChannelClosed");
    assert.ok(settledToPayee >= BigInt(3 + served) * PRICE, `${settledToPayee} for ${3 + served} deliveries`);
    const { origin, transactions } = await mark.difference();
    assert.deepEqual({ origin, transactions }, { origin: served, transactions: 1 });
  });
}

test("the books of a closed channel say that it is closed, and what it brought", async () => {
  const session = await used("evm");
  await session.managed(payloads.close(session.channel, 3n * PRICE));
  const books = await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE, settled: 3n * PRICE });
  assert.match(JSON.stringify(books.status), /clos|final/i);
});
