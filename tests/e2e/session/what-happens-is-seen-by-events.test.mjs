// The watch learns from the escrows' events what has happened to channels: a round asks as much for eight channels as for one, and sees
// what anybody does to any of them, through providers that refuse such questions, answer with too little, or lag.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { expectReceipt, ledger, openSession, PRICE, payloads, startSessions } from "../harness/session.mjs";

const stack = await startSessions({ session: { watchSeconds: 1 } });
const { chain, gateway, rpc } = stack;
const LONG = 60_000;

afterEach(() => rpc.heal());

/** A channel that has bought once. */
async function bought(method, options) {
  const session = await openSession(stack, method, options);
  expectReceipt(await session.pay(), session, { spent: PRICE });
  return session;
}

const deposit = async (session) => BigInt((await ledger(stack, session.channel)).deposit);
const closed = ({ channel }) => until(async () => (await channel.state()).finalized, "the channel to be closed", LONG);

/** A topUp and then a request to close, by the payer alone: both are seen without a request. */
async function expectSeen(session) {
  const before = await deposit(session);
  await session.channel.topUp(7n * PRICE);
  await until(async () => (await deposit(session)) === before + 7n * PRICE, "the topUp to be seen", LONG);
  await session.channel.requestClose();
  await closed(session);
  expectProblem(await session.manage(payloads.voucher(session.channel, session.cumulative)), 410, "session/channel-finalized");
}

/** How many rounds were made. Each asks for the latest block. */
const made = () => rpc.calls.filter(({ method, params }) => method === "eth_getBlockByNumber" && params[0] === "latest").length;

/** Lets the account's object make some rounds. */
async function rounds(count) {
  rpc.forget();
  await until(() => made() >= count, `${count} rounds`, LONG);
}

test("many idle channels cost the rounds what one does", async () => {
  const perRound = async () => {
    // What was opened or bought just now is done with.
    await rounds(14);
    await rounds(8);
    const { posts, calls } = rpc;
    assert.equal(rpc.count("eth_getCode"), 0, "no channel is read");
    return { posts: posts / made(), calls: calls.length / made() };
  };
  await bought("evm");
  const one = await perRound();
  for (let i = 0; i < 8; i++) await bought(METHODS[i % 2], { payer: stack.payers[i % 4] });
  const many = await perRound();
  for (const { posts, calls } of [one, many]) {
    // A step of the sweep may be among them.
    assert.ok(posts <= 1.3 && calls <= 4.5, JSON.stringify({ one, many }));
  }
  // Without events all channels are compared: by one more post, with a question for each escrow.
  rpc.fail("eth_getLogs", faulty.error("the method eth_getLogs does not exist/is not available", -32601));
  const blind = await perRound();
  assert.ok(blind.posts <= 2.3 && blind.calls <= 6.5, JSON.stringify(blind));
});

for (const method of METHODS) {
  test(`${method}: a topUp and a request to close are seen`, async () => {
    await expectSeen(await bought(method));
  });

  test(`${method}: what has happened while the gateway was dead is seen when it is back`, async () => {
    const session = await bought(method);
    await rounds(2);
    await gateway.kill();
    await session.channel.topUp(PRICE);
    await session.channel.requestClose();
    // Further back than the cursor stays behind.
    await chain.mine(50);
    await gateway.start();
    await closed(session);
  });
}

/** What a provider does with `eth_getLogs`, and whether it then has to be asked about each channel. */
const providers = {
  "does not know events": faulty.error("the method eth_getLogs does not exist/is not available", -32601),
  "is always busy when asked for events": faulty.error("request rate limited", -32005),
  "finds every span too large": faulty.error("query returned more than 10000 results", -32005),
  "answers with something else than events": faulty.result("0x"),
};

for (const [name, fault] of Object.entries(providers)) {
  test(`a provider that ${name}: all channels are looked at instead`, async () => {
    const session = await bought("evm");
    rpc.fail("eth_getLogs", fault);
    await rounds(2);
    await expectSeen(session);
  });
}

test("a provider that takes few blocks at a time is asked for as many", async () => {
  const session = await bought("abstract");
  await rounds(2);
  const before = await deposit(session);
  await gateway.kill();
  await session.channel.topUp(PRICE);
  await chain.mine(45);
  const asked = [];
  rpc.fail(
    "eth_getLogs",
    faulty.rewrite((logs, { params: [{ fromBlock, toBlock }] }) => {
      asked.push([fromBlock, toBlock]);
      return logs;
    }),
  );
  const tooMany = rpc.fail("eth_getLogs", faulty.error("exceed maximum block range: 20", -32000), 2);
  await gateway.start();
  await until(async () => (await deposit(session)) === before + PRICE, "the topUp to be seen", LONG);
  tooMany();
  const spans = asked.filter(([, to]) => to !== "latest").map(([from, to]) => Number(to) - Number(from) + 1);
  assert.ok(spans.length > 1 && Math.max(...spans) <= 20, JSON.stringify(asked));
});

test("a provider that has not seen the block yet is not believed to have seen everything", async () => {
  const session = await bought("evm");
  await rounds(2);
  // The answer is that of a moment ago, for a while.
  const { number } = await chain.public.getBlock();
  const old = await chain.public.request({ method: "eth_getBlockByNumber", params: [`0x${number.toString(16)}`, false] });
  const lags = [
    rpc.fail("eth_getLogs", faulty.result([])),
    rpc.fail(
      "eth_getBlockByNumber",
      faulty.rewrite((block, { params }) => (params[0] === "latest" ? old : block)),
    ),
  ];
  await session.channel.requestClose();
  await rounds(3);
  assert.ok(!(await session.channel.state()).finalized);
  for (const heal of lags) heal();
  await closed(session);
});

test("an event that a node has not shown at first is seen with the next answers", async () => {
  const session = await bought("abstract");
  await rounds(2);
  const hides = rpc.fail("eth_getLogs", faulty.result([]));
  await session.channel.requestClose();
  await rounds(3);
  hides();
  await closed(session);
});
