// scripts/session.mjs, the client that is there to be copied: it signs for what it got and the next thing, whatever it is told.
import assert from "node:assert/strict";
import http from "node:http";
import { afterEach, test } from "node:test";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { Session } from "../../../scripts/session.mjs";
import { Channel } from "../harness/channels.mjs";
import { close, listen } from "../harness/listen.mjs";
import { eventsTo, faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { base64url, canonical } from "../harness/protocol.mjs";
import { expectLedger, PRICE, startSessions } from "../harness/session.mjs";

const DEPOSIT = 20n * PRICE;
const stack = await startSessions({
  session: { settleAmount: "0.003", watchSeconds: 1 },
  gateway: { limits: { originTimeoutSeconds: 1 } },
  routes: [
    { path: "/s/item/{id}", price: "0.001", intents: ["session"] },
    { path: "/s/late", price: "0.001", intents: ["session"], settle: "after-origin" },
    { path: "/s/events", price: "0.001", intents: ["session"], meter: "event" },
  ],
});
const { chain, origin } = stack;
const url = (path) => stack.gateway.urls[0] + path;
let payers = 0;

afterEach(() => origin.reset());

function client() {
  const account = stack.payers[payers++ % stack.payers.length];
  const { rpc, escrow, token } = chain;
  return new Session({ account, rpc, chainId: CHAIN_ID, token: token.address, escrow, deposit: DEPOSIT });
}

/** The channel of a session, as the harness looks at it. */
const channelOf = ({ channelId }) =>
  Object.assign(Object.create(Channel.prototype), { chain, escrow: chain.escrow, id: channelId });

/** What the escrow paid out of the channel in all. */
async function taken(session) {
  const [{ settledToPayee }] = await channelOf(session).events("ChannelClosed");
  return settledToPayee;
}

test("B13: an error that is not charged is not signed for, and one that is charged is paid for once", async () => {
  const session = client();
  origin.always(faults.status(404));
  for (let i = 0; i < 3; i++) assert.equal((await session.fetch(url("/s/late"))).status, 404);
  assert.equal(session.signed, PRICE, "one voucher for three tries");
  origin.reset();
  for (let i = 1n; i <= 3n; i++) {
    assert.equal((await session.fetch(url("/s/late"))).status, 200);
    assert.deepEqual([session.signed, session.received], [i * PRICE, i * PRICE]);
  }
  // Under `first` it may be charged, with a receipt or without: the next answer tells.
  origin.always(faults.status(404));
  assert.equal((await session.fetch(url("/s/item/1"))).status, 404);
  origin.reset();
  assert.equal((await session.fetch(url("/s/item/2"))).status, 200);
  const { spent } = await expectLedger(stack, channelOf(session));
  assert.equal(session.received, BigInt(spent));
  assert.equal(session.signed, BigInt(spent));
});

test("B13: what only hands a voucher in is no purchase: the same voucher buys afterwards", async () => {
  const session = client();
  for (let i = 0; i < 2; i++) assert.equal((await session.fetch(url("/s/item/1"), { method: "POST" })).status, 204);
  assert.deepEqual([session.signed, session.received], [PRICE, 0n]);
  assert.equal((await session.fetch(url("/s/item/1"))).status, 200);
  assert.deepEqual([session.signed, session.received], [PRICE, PRICE]);
  await expectLedger(stack, channelOf(session), { accepted: PRICE, spent: PRICE });
});

test("B13: a stream that is left early is paid for as far as it came, and the close takes no more than that", async () => {
  const session = client();
  origin.always(faults.pieces({ every: 50 }));
  let read = 0;
  for await (const _ of session.events(url("/s/events"), { ahead: 8n })) if (++read === 3) break;
  origin.reset();
  assert.equal(session.signed, 8n * PRICE);
  assert.equal((await session.fetch(url("/s/item/1"))).status, 200);
  // What the stream had reserved goes back when the gateway has seen that nobody reads it any more.
  const books = async () => BigInt((await expectLedger(stack, channelOf(session))).spent);
  await until(async () => (await books()) < 9n * PRICE, "the stream to end");
  assert.equal((await session.fetch(url("/s/item/1"))).status, 200);
  const spent = await books();
  assert.ok(spent >= 5n * PRICE && spent < 10n * PRICE, `${spent}`);
  assert.equal(session.received, 5n * PRICE, "three events and two items came");
  assert.ok(session.signed <= 9n * PRICE + 1n, `${session.signed}`);
  await session.close();
  assert.ok((await taken(session)) <= session.signed);
});

test("B13: a whole stream, and the books are even; after the chain has shown the last voucher it closes all the same", async () => {
  const session = client();
  origin.always(faults.stream((response) => response.end(eventsTo(5))));
  let read = 0n;
  for await (const _ of session.events(url("/s/events"), { ahead: 2n })) read += 1n;
  assert.deepEqual([read, session.received], [5n, 5n * PRICE]);
  assert.ok(session.signed <= 7n * PRICE);
  origin.reset();
  await until(async () => (await channelOf(session).state()).settled > 0n, "a voucher to be on chain");
  const { txHash } = await session.close();
  assert.match(txHash, /^0x/);
  assert.equal(await taken(session), session.received);
});

test("B13: when its channel has ended another is opened, once per call", async () => {
  const session = client();
  await session.fetch(url("/s/item/1"));
  const first = session.channelId;
  await session.close();
  assert.equal((await session.fetch(url("/s/item/1"))).status, 200);
  assert.notEqual(session.channelId, first);
  assert.deepEqual([session.former, session.signed, session.received], [[first], PRICE, PRICE]);
});

test("B13: who claims that more was spent than came gets nothing signed for it", async () => {
  const session = client();
  const {
    terms,
    line: _,
    names: __,
    ...challenge
  } = (await stack.send("/s/item/1")).challenges.find(({ method }) => method === "abstract");
  let asked = 0;
  const server = http.createServer((request, response) => {
    if (request.headers.authorization) asked += 1;
    const request64 = base64url(canonical(terms));
    const parameters = Object.entries({ ...challenge, request: request64 }).map(([name, value]) => `${name}="${value}"`);
    response.writeHead(402, { "www-authenticate": `Payment ${parameters.join(", ")}` });
    const problem = { type: "https://paymentauth.org/problems/session/insufficient-balance", spent: "9000" };
    response.end(JSON.stringify({ ...problem, requiredCumulative: "10000" }));
  });
  await listen(server, 0);
  const liar = `http://127.0.0.1:${server.address().port}/`;
  try {
    for (let i = 0; i < 3; i++) assert.equal((await session.fetch(liar)).status, 402);
    assert.deepEqual([asked, session.signed, session.received], [3, PRICE, 0n]);
  } finally {
    await close(server);
  }
});
