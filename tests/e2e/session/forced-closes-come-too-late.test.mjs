// A11: a payer asks the escrow to close and waits for its deposit. What was spent is on chain long before, with no traffic at all,
// and from the moment it is seen the channel buys nothing. What was signed ahead and not spent stays the payer's (A20).
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { expectReceipt, openSession, PRICE, payloads, startSessions } from "../harness/session.mjs";

const stack = await startSessions({ session: { watchSeconds: 1, feePayer: true, minDeposit: "0.000001" } });
const { chain, gateway, rpc, settlement } = stack;
const LONG = 60_000;

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

/** A session that has bought three times and has signed for `signed` prices. */
async function busy(method, signed = 5n, options = {}) {
  const session = await openSession(stack, method, options);
  for (let i = 0; i < 3; i++) expectReceipt(await session.pay({ via: i % 2 }), session);
  if (signed > 3n) {
    const raised = await session.manage(payloads.voucher(session.channel, signed * PRICE));
    expectReceipt(raised, session, { status: 204, accepted: signed * PRICE, spent: 3n * PRICE });
    session.cumulative = signed * PRICE;
  }
  return session;
}

const closed = ({ channel }) => until(async () => (await channel.state()).finalized, "the channel to be closed", LONG);
const refused = (session) =>
  until(async () => (await session.manage(payloads.voucher(session.channel, session.cumulative))).status === 410, "410", LONG);

/** Asserts that the channel ended by one close of ours, within the grace period, with this much for the payee. */
async function expectClosedByUs({ channel }, settled, refund = channel.deposit - settled) {
  const endings = await channel.events("ChannelClosed");
  assert.equal(endings.length, 1);
  const [{ settledToPayee, refundedToPayer, transactionHash }] = endings;
  assert.deepEqual({ settledToPayee, refundedToPayer }, { settledToPayee: settled, refundedToPayer: refund });
  const { from } = await chain.public.getTransaction({ hash: transactionHash });
  assert.equal(from.toLowerCase(), settlement.address.toLowerCase());
}

for (const method of METHODS) {
  test(`${method}: with no traffic at all, what was spent is on chain and the payer has nothing to withdraw`, async () => {
    const session = await busy(method);
    const { channel } = session;
    const mark = await stack.mark();
    const before = await chain.balance(channel.payer.address);
    await channel.requestClose();
    await closed(session);
    await expectClosedByUs(session, 3n * PRICE);
    await mark.moved({ transactions: 1, transfers: 1, amount: 3n * PRICE });
    assert.equal((await chain.balance(channel.payer.address)) - before, channel.deposit - 3n * PRICE);
    await assert.rejects(channel.withdraw(), "nothing is left to withdraw");
    const problem = expectProblem(await session.pay(), 410, "session/channel-finalized");
    assert.equal(problem.channelId, channel.id);
    await mark.moved({ transactions: 1, transfers: 1, amount: 3n * PRICE });
  });

  test(`${method}: with traffic, what was served by then is paid for, and nothing is served from then on`, async () => {
    const session = await busy(method, 3n);
    const { channel } = session;
    const mark = await stack.mark();
    await channel.requestClose();
    let served = 0;
    const last = await until(
      async () => {
        const answer = await session.pay({ via: served % 2 });
        if (answer.status !== 200) return answer;
        served += 1;
      },
      "a refusal",
      LONG,
    );
    expectProblem(last, 410, "session/channel-finalized");
    for (let i = 0; i < 5; i++) {
      expectProblem(await session.pay({ via: i % 2 }), 410, "session/channel-finalized");
      expectProblem(await session.manage(payloads.open(channel, session.cumulative)), 410, "session/channel-finalized");
    }
    await closed(session);
    await expectClosedByUs(session, BigInt(3 + served) * PRICE);
    await mark.moved({ origin: served, transactions: 1, transfers: 1, amount: BigInt(3 + served) * PRICE });
  });

  test(`${method}: it is frozen at once, even while nothing can be sent to the chain`, async () => {
    const session = await busy(method);
    rpc.fail("eth_sendRawTransaction", faulty.error("overloaded", -32005));
    await session.channel.requestClose();
    await refused(session);
    const mark = await stack.mark();
    expectProblem(await session.pay(), 410, "session/channel-finalized");
    await mark.nothing();
    assert.ok(!(await session.channel.state()).finalized);
    rpc.heal();
    await closed(session);
    await expectClosedByUs(session, 3n * PRICE);
  });

  test(`${method}: a request to close while the gateway is dead is seen when it is back, without a request`, async () => {
    const session = await busy(method);
    await gateway.kill();
    await session.channel.requestClose();
    await gateway.start();
    await closed(session);
    await expectClosedByUs(session, 3n * PRICE);
  });

  test(`${method}: a request to close while the provider is dead is seen when that is back`, async () => {
    const session = await busy(method);
    rpc.fail("*", faulty.http(503));
    await session.channel.requestClose();
    await until(() => rpc.posts > 0, "the gateway to have asked");
    rpc.heal();
    await closed(session);
    await expectClosedByUs(session, 3n * PRICE);
  });

  test(`${method}: the gateway dies with its close on the way: one close in the end`, async () => {
    const session = await busy(method);
    const before = await chain.transactions(settlement.address);
    await chain.pauseMining();
    const asked = session.channel.requestClose();
    await chain.submitted(session.channel.payer.address);
    await chain.mine();
    await asked;
    await chain.submitted(settlement.address);
    await gateway.kill();
    await chain.resumeMining();
    await gateway.start();
    await closed(session);
    await expectClosedByUs(session, 3n * PRICE);
    await refused(session);
    assert.equal((await chain.transactions(settlement.address)) - before, 1);
  });

  test(`${method}: a channel that has bought nothing and is withdrawn is no balance to buy from`, async () => {
    const session = await openSession(stack, method);
    const { channel } = session;
    await channel.requestClose();
    await chain.travel(16 * 60);
    if (!(await channel.state()).finalized) await channel.withdraw();
    // Many times as long as it may take until a channel is looked at again.
    await sleep(5_000);
    const mark = await stack.mark();
    for (let i = 0; i < 4; i++) expectProblem(await session.pay({ via: i % 2 }), 410, "session/channel-finalized");
    await mark.nothing();
  });

  test(`${method}: a channel that somebody else with our key closes is closed here too`, async () => {
    const session = await busy(method, 3n);
    const { channel } = session;
    await channel.send("close", [channel.id, 3n * PRICE, await channel.voucher(3n * PRICE)], settlement);
    await refused(session);
    const mark = await stack.mark();
    expectProblem(await session.pay(), 410, "session/channel-finalized");
    await mark.nothing();
    assert.equal((await channel.events("ChannelClosed")).length, 1);
  });

  test(`${method}: what was settled before, by whomever, is not taken again by the close`, async () => {
    const session = await busy(method);
    const { channel } = session;
    await channel.send("settle", [channel.id, 2n * PRICE, await channel.voucher(2n * PRICE)], settlement);
    await channel.requestClose();
    await closed(session);
    await expectClosedByUs(session, 3n * PRICE);
    const taken = await chain.transfersTo(stack.recipient);
    assert.equal(taken.at(-1).args.value, PRICE);
  });
}

test("a request to close freezes its own channel and no other, of the same payer or of others", async () => {
  const [one, two] = [await busy("evm", 4n), await busy("evm", 4n)];
  const three = await busy("abstract", 4n, { payer: stack.payers[1] });
  await one.channel.requestClose();
  await closed(one);
  await refused(one);
  for (const session of [two, three]) expectReceipt(await session.pay(), session, { accepted: 5n * PRICE, spent: 4n * PRICE });
  await expectClosedByUs(one, 3n * PRICE);
});

test("ten channels asked to close at once are ten closes with what was spent on each", async () => {
  const sessions = [];
  for (let i = 0; i < 10; i++) sessions.push(await busy(METHODS[i % 2], BigInt(3 + i), { payer: stack.payers[i % 4] }));
  const mark = await stack.mark();
  for (const { channel } of sessions) await channel.requestClose();
  for (const session of sessions) {
    await closed(session);
    await expectClosedByUs(session, 3n * PRICE);
  }
  await mark.moved({ transactions: 10, transfers: 10, amount: 30n * PRICE });
});

test("no gas is spent on adding to a channel that is being closed", async () => {
  const session = await busy("evm");
  rpc.fail("eth_sendRawTransaction", faulty.error("overloaded", -32005));
  await session.channel.requestClose();
  await refused(session);
  const mark = await stack.mark();
  const deposit = await payloads.toppingUp(session.channel, 10n * PRICE);
  for (const payload of [
    await payloads.topUpFor(session.channel, 10n * PRICE),
    await payloads.voucher(session.channel, 6n * PRICE, { deposit }),
  ]) {
    expectProblem(await session.manage(payload), 410, "session/channel-finalized");
  }
  rpc.heal();
  await closed(session);
  await expectClosedByUs(session, 3n * PRICE);
  await mark.moved({ transactions: 1, transfers: 1, amount: 3n * PRICE });
});
