// The main job: a client pays, the origin answers, the money is ours.
import assert from "node:assert/strict";
import { test } from "node:test";
import { getAddress, keccak256, toBytes } from "viem";
import { abstractClient, mppxClient, pymppFetch } from "../harness/clients.mjs";
import { expectPaid, expectSpent } from "../harness/expect.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { origin } = stack;
const [alice, bob, carol] = stack.payers;

/** What the origin is told about the payer of its last request. */
function told() {
  const { headers } = origin.requests.at(-1);
  const of = (name) => headers[`x-payment-${name}`];
  return { payer: of("payer"), method: of("method"), intent: of("intent"), amount: of("amount"), reference: of("reference") };
}

/** The challenge and payload that a client sent in `Authorization`, in the shape the harness uses. */
function sent(authorization) {
  const { challenge, payload } = JSON.parse(Buffer.from(authorization.slice("Payment ".length), "base64url").toString());
  return { challenge: { ...challenge, terms: JSON.parse(Buffer.from(challenge.request, "base64url").toString()) }, payload };
}

/** A `fetch` response with the members that `expectPaid` reads. */
async function answerOf(response) {
  const value = response.headers.get("payment-receipt");
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    raw: [...response.headers],
    text: await response.text(),
    receipt: value && JSON.parse(Buffer.from(value, "base64url").toString()),
    all: (name) => (response.headers.has(name) ? [response.headers.get(name)] : []),
  };
}

test("mppx's own client pays with one request more than a free one", async () => {
  const mark = await stack.mark();
  const { fetch, requests } = mppxClient(alice, stack.token);
  const answer = await answerOf(await fetch(`${stack.gateway.urls[0]}/v1/reports/7?full=yes`));
  assert.equal(answer.text, "content of GET /v1/reports/7?full=yes");
  assert.deepEqual(
    requests.map(({ status }) => status),
    [402, 200],
  );
  const credential = sent(requests[1].authorization);
  const receipt = await expectPaid(stack, answer, credential);
  assert.equal(receipt.method, "evm");
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
  assert.deepEqual(told(), {
    payer: alice.address,
    method: "evm",
    intent: "charge",
    amount: "10000",
    reference: receipt.reference,
  });
});

test("a client in the shape of Abstract's plugin pays with a nonce of its own", async () => {
  const mark = await stack.mark();
  const response = await abstractClient(bob, stack.token).fetch(`${stack.gateway.urls[1]}/v1/reports/8`);
  const answer = await answerOf(response);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.text, "content of GET /v1/reports/8");
  assert.equal(answer.receipt.method, "abstract");
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
  assert.equal(told().payer, bob.address);
  assert.equal(told().method, "abstract");
  assert.equal(told().reference, answer.receipt.reference);
});

test("B11: pympp's own client pays, with the nonce that newer clients sign", async () => {
  const mark = await stack.mark();
  const url = `${stack.gateway.urls[0]}/v1/uploads`;
  const { status, headers, text, paid } = await pymppFetch(carol, stack.token, url, { method: "POST", body: "from Python" });
  assert.equal(status, 200, text);
  assert.equal(text, "content of POST /v1/uploads");
  assert.equal(origin.requests.at(-1).body.toString(), "from Python");
  assert.equal(paid.length, 1, "one payment was enough");
  const { challenge, payload } = sent(paid[0]);
  assert.equal(payload.nonce, keccak256(toBytes(JSON.stringify([challenge.id, challenge.realm]))));
  const receipt = JSON.parse(Buffer.from(headers["payment-receipt"], "base64url").toString());
  assert.equal(receipt.method, "evm");
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 20_000n });
  assert.deepEqual(told(), {
    payer: carol.address,
    method: "evm",
    intent: "charge",
    amount: "20000",
    reference: receipt.reference,
  });
});

test("payers in different isolates pay at the same time, each for itself", async () => {
  const mark = await stack.mark();
  const paid = await Promise.all(
    stack.payers.map((payer, i) => stack.pay(`/v1/reports/${payer.address}`, { payer, via: i % 2 })),
  );
  for (const { answer, credential } of paid) {
    await expectPaid(stack, answer, credential);
    assert.equal(answer.text, `content of GET /v1/reports/${getAddress(credential.payload.from)}`);
  }
  await mark.moved({ origin: 4, transactions: 4, transfers: 4, amount: 40_000n });
});

test("one payer buys several things at the same time", async () => {
  const mark = await stack.mark();
  const paid = await Promise.all([1, 2, 3, 4].map((id) => stack.pay(`/v1/reports/same-payer-${id}`, { via: id % 2 })));
  for (const { answer, credential } of paid) await expectPaid(stack, answer, credential);
  await mark.moved({ origin: 4, transactions: 4, transfers: 4, amount: 40_000n });
});

test("a route's price is what moves: premium costs what premium says", async () => {
  const mark = await stack.mark();
  const { answer, credential } = await stack.pay("/premium/deep/inside", { payer: bob });
  await expectPaid(stack, answer, credential);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 50_000n });
});

test("HEAD of a priced path is charged like GET and answered without content", async () => {
  const mark = await stack.mark();
  const unpaid = await stack.send("/v1/same", { method: "HEAD" });
  assert.equal(unpaid.status, 402);
  assert.equal(unpaid.text, "");
  assert.ok(unpaid.challenge("evm"));
  await mark.nothing();
  const { answer, credential } = await stack.pay("/v1/same", { method: "HEAD" });
  await expectPaid(stack, answer, credential);
  assert.equal(answer.text, "");
  assert.equal(origin.requests.at(-1).method, "HEAD");
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("HEAD of a path whose GET is priced does not give GET's headers away", async () => {
  const mark = await stack.mark();
  const answer = await stack.send("/v1/reports/7", { method: "HEAD" });
  assert.equal(answer.status, 402);
  await mark.nothing();
});

test("a client that declines the price leaves no trace", async () => {
  const mark = await stack.mark();
  const { fetch } = mppxClient(alice, stack.token, { maxAtomicAmount: "1" });
  await assert.rejects(fetch(`${stack.gateway.urls[0]}/v1/reports/7`), /maxAtomicAmount/);
  await mark.nothing();
});

test("each of the two offers of one 402 buys the thing once", async () => {
  const mark = await stack.mark();
  const unpaid = await stack.send("/v1/same");
  for (const scheme of ["abstract", "evm"]) {
    const credential = await stack.sign(unpaid.challenge(scheme), { payer: bob });
    const { answer, authorization } = await stack.present("/v1/same", credential);
    await expectPaid(stack, answer, credential);
    expectSpent(await stack.send("/v1/same", { authorization }));
  }
  await mark.moved({ origin: 2, transactions: 2, transfers: 2, amount: 20_000n });
});
