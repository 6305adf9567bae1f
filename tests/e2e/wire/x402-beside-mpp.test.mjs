// x402 beside MPP on the same routes: one 402 asks by both, one payment comes by one of them, and one authorization buys once, whichever
// way it comes. What holds of x402 as of every wire is in the conformance suite.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterEach, test } from "node:test";
import { decodePaymentRequiredHeader } from "@x402/core/http";
import { PaymentRequiredV1Schema } from "@x402/core/schemas";
import { Challenge } from "mppx";
import { evm, Mppx } from "mppx/client";
import { Header } from "mppx/x402";
import { PaymentRequirementsSchema } from "x402/types";
import { x402 } from "../conformance/wires.mjs";
import { expectPaid, expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { NetworkError, Page } from "../harness/page.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { ROUTES, startStack } from "../harness/stack.mjs";

const stack = await startStack({
  gateway: { limits: { settlementTimeoutSeconds: 2 } },
  routes: [
    ...ROUTES,
    { path: "/v1/mpp-only", price: "0.01", wires: ["mpp"] },
    { path: "/v1/x402-only", price: "0.01", wires: ["x402"] },
    // Clients of version 1 sign amounts of at most 18 digits, and this has 19.
    { path: "/v1/dear", price: "1000000000000" },
  ],
});
const { origin, chain, rpc, stranger } = stack;
const PATH = "/v1/reports/1?full=yes";
const SAME = "/v1/same";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };
const [V1, V2] = [x402(1), x402(2)];
const WIRES = { "PAYMENT-SIGNATURE": V2, "X-PAYMENT": V1 };

afterEach(async () => {
  origin.reset();
  rpc.heal();
  await chain.resumeMining();
});

const prove = async (wire, path = PATH, { method, body, ...options } = {}) =>
  wire.sign(stack, await wire.offer(stack, path, { method, body }), options);
const present = (wire, path, proof, options) => stack.send(path, { ...options, headers: wire.headers(proof) });

/** What an answer says came of a payment, in the words of either version. */
function told(answer) {
  const values = ["payment-response", "x-payment-response"].flatMap((name) => answer.all(name));
  assert.equal(values.length, 1, `one outcome: ${answer.status} ${JSON.stringify(answer.raw)} ${answer.text}`);
  return JSON.parse(Buffer.from(values[0], "base64").toString("utf8"));
}

function expectFailed(answer, status, errorReason) {
  // What is asked by HEAD is answered without a body.
  if (answer.text === "") assert.equal(answer.status, status);
  else expectProblem(answer, status);
  const outcome = told(answer);
  assert.deepEqual([outcome.success, outcome.errorReason, outcome.transaction], [false, errorReason, ""], answer.text);
}

/** The same authorization as an MPP credential's, shown by x402. */
async function twinOf(wire, credential, path = PATH) {
  const { from, nonce, validAfter, validBefore } = credential.payload;
  return prove(wire, path, { changes: { from, nonce, validAfter, validBefore } });
}

test("one 402 asks over both wires, and the readers of each read it", async () => {
  const answer = await stack.send(PATH);
  assert.equal(answer.status, 402);
  // MPP's own reader, and that of x402's version 2, and what a client of version 1 does with the body.
  const response = new Response(answer.body, { status: 402, headers: answer.raw });
  const challenges = Challenge.fromResponseList(response);
  assert.deepEqual(
    challenges.map(({ method, intent }) => `${method}/${intent}`),
    ["abstract/charge", "evm/charge"],
  );
  const header = answer.headers["payment-required"];
  const required = decodePaymentRequiredHeader(header);
  assert.deepEqual(Header.decodePaymentRequired(header).accepts, required.accepts);
  const [offer] = required.accepts;
  assert.deepEqual([offer.network, offer.asset, offer.payTo], ["eip155:11124", chain.token.address, stack.recipient]);
  assert.ok(required.resource.url.endsWith(PATH));
  const body = answer.json;
  PaymentRequiredV1Schema.parse(body);
  const [old] = body.accepts.map((entry) => PaymentRequirementsSchema.parse(entry));
  assert.deepEqual([old.network, old.maxAmountRequired], ["abstract-testnet", offer.amount]);
  // All of them ask for the same, and the problem is one as ever.
  for (const { request } of challenges) assert.deepEqual([request.amount, request.currency], [offer.amount, offer.asset]);
  assert.equal(expectProblem(answer, 402, "payment-required").detail, required.error);
  assert.equal(body.error, required.error);
});

test("the body has no members of version 1 where its clients could not pay", async () => {
  const answer = await stack.send("/v1/dear");
  assert.equal(decodePaymentRequiredHeader(answer.headers["payment-required"]).accepts.length, 1);
  assert.ok(answer.challenges.length > 0);
  for (const name of ["x402Version", "accepts", "error"]) assert.ok(!(name in answer.json), name);
});

test('wires = ["mpp"] has nothing of x402, and takes nothing of it', async () => {
  const unpaid = await stack.send("/v1/mpp-only");
  expectProblem(unpaid, 402, "payment-required");
  assert.deepEqual(unpaid.all("payment-required"), []);
  for (const name of ["x402Version", "accepts", "error"]) assert.ok(!(name in unpaid.json), name);
  const mark = await stack.mark();
  for (const wire of [V1, V2]) {
    const answer = await present(wire, "/v1/mpp-only", await prove(wire, SAME));
    expectProblem(answer, 402, "payment-required");
    assert.deepEqual([...answer.all("payment-response"), ...answer.all("x-payment-response")], []);
  }
  await mark.nothing();
});

test('wires = ["x402"] has no challenge, and takes no credential', async () => {
  const unpaid = await stack.send("/v1/x402-only");
  assert.equal(unpaid.status, 402);
  assert.deepEqual(unpaid.challenges, []);
  assert.equal(decodePaymentRequiredHeader(unpaid.headers["payment-required"]).accepts.length, 1);
  assert.equal(unpaid.json.x402Version, 1);
  const mark = await stack.mark();
  const { answer } = await stack.present("/v1/x402-only", await stack.credential(SAME));
  assert.equal(answer.status, 402);
  assert.deepEqual(answer.challenges, []);
  await mark.nothing();
  for (const wire of [V1, V2]) {
    const proof = await prove(wire, "/v1/x402-only");
    await wire.expectPaid(stack, await present(wire, "/v1/x402-only", proof), proof);
  }
});

test("proofs of two wires in one request are 400, and neither is spent", async () => {
  const credential = await stack.credential(PATH);
  const [v1, v2] = [await prove(V1), await prove(V2)];
  const lines = {
    mpp: [["Authorization", encodeCredential(credential)]],
    "X-PAYMENT": V1.headers(v1),
    "PAYMENT-SIGNATURE": V2.headers(v2),
  };
  const mark = await stack.mark();
  for (const pair of [
    ["mpp", "X-PAYMENT"],
    ["mpp", "PAYMENT-SIGNATURE"],
    ["X-PAYMENT", "PAYMENT-SIGNATURE"],
  ]) {
    const answer = await stack.send(PATH, { headers: pair.flatMap((name) => lines[name]) });
    const { detail } = expectProblem(answer, 400);
    for (const name of pair.filter((one) => one !== "mpp")) assert.ok(detail.includes(name) || pair[0] === "mpp", detail);
    assert.deepEqual(answer.all("payment-required"), []);
  }
  await mark.nothing();
  await expectPaid(stack, (await stack.present(PATH, credential)).answer, credential);
  await V1.expectPaid(stack, await present(V1, PATH, v1), v1);
  await V2.expectPaid(stack, await present(V2, PATH, v2), v2);
});

for (const [name, wire] of Object.entries(WIRES)) {
  for (const scheme of ["abstract", "evm"]) {
    test(`an authorization that ${scheme} has shown buys nothing more by ${name}`, async () => {
      const mark = await stack.mark();
      const { answer, credential } = await stack.pay(PATH, { scheme });
      await expectPaid(stack, answer, credential);
      const twin = await twinOf(wire, credential);
      for (const via of [0, 1]) expectFailed(await present(wire, PATH, twin, { via }), 402, "invalid_payment_requirements");
      await mark.moved(ONE);
    });

    test(`an authorization that ${name} has shown buys nothing more by ${scheme}`, async () => {
      const mark = await stack.mark();
      const credential = await stack.credential(PATH, { scheme });
      const twin = await twinOf(wire, credential);
      await wire.expectPaid(stack, await present(wire, PATH, twin), twin);
      for (const via of [0, 1]) {
        expectProblem((await stack.present(PATH, credential, { via })).answer, 402, "invalid-challenge", "verification-failed");
      }
      await mark.moved(ONE);
    });
  }
}

test("100 copies of one authorization at once, over all wires and both isolates: one transaction, one delivery", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH, { scheme: "abstract" });
  const lines = [
    [["Authorization", encodeCredential(credential)]],
    V1.headers(await twinOf(V1, credential)),
    V2.headers(await twinOf(V2, credential)),
  ];
  const copies = Array.from({ length: 100 }, (_, i) => ({ via: i % 2, headers: lines[i % 3] }));
  const answers = await Promise.all(copies.map((copy) => stack.send(PATH, copy)));
  const delivered = answers.filter(({ status }) => status === 200);
  assert.equal(delivered.length, 1, answers.map(({ status, text }) => `${status} ${text}`).join("\n"));
  for (const answer of answers.filter((one) => one !== delivered[0])) {
    assert.ok([402, 403, 503].includes(answer.status), answer.text);
    assert.equal(answer.headers["payment-receipt"], undefined);
  }
  await mark.moved(ONE);
});

for (const [name, wire] of Object.entries(WIRES)) {
  test(`${name}: what was begun is resumed by the same request alone`, async () => {
    const mark = await stack.mark();
    const proof = await prove(wire);
    rpc.fail("eth_getTransactionReceipt", faulty.hang);
    rpc.fail("eth_getTransactionByHash", faulty.hang);
    rpc.fail("eth_sendRawTransaction", faulty.hangAfter);
    const undecided = await present(wire, PATH, proof);
    expectTryAgain(undecided);
    assert.equal(told(undecided).errorReason, "settlement_pending");
    rpc.heal();
    // Without its URL, which version 1 never has, nothing in it says for what it is.
    const { resource, ...elsewhere } = proof;
    assert.equal(resource !== undefined, wire === V2);
    for (const [path, options] of [
      ["/v1/reports/2?full=yes", {}],
      ["/v1/reports/1", {}],
      [PATH, { method: "HEAD" }],
      [SAME, {}],
    ]) {
      expectFailed(await present(wire, path, elsewhere, { via: 1, ...options }), 402, "invalid_payment_requirements");
    }
    const resumed = await stack.resume(PATH, undefined, { headers: wire.headers(proof), via: 1 });
    await wire.expectPaid(stack, resumed, proof);
    expectFailed(await present(wire, PATH, proof), 403, "duplicate_settlement");
    await mark.moved(ONE);
  });

  test(`${name}: what was begun with one body is not resumed with another`, async () => {
    const mark = await stack.mark();
    const options = { method: "POST", body: "one question" };
    const proof = await prove(wire, "/v1/answers", options);
    await chain.pauseMining();
    expectTryAgain(await present(wire, "/v1/answers", proof, options));
    await chain.resumeMining();
    const other = await present(wire, "/v1/answers", proof, { ...options, body: "another question" });
    expectFailed(other, 402, "invalid_payment_requirements");
    const paid = await stack.resume("/v1/answers", undefined, { headers: wire.headers(proof), ...options });
    await wire.expectPaid(stack, paid, proof);
    assert.equal(origin.requests.at(-1).body.toString(), "one question");
    await mark.moved({ ...ONE, amount: 20_000n });
  });

  test(`${name}: a stranger's transaction that overtakes ours has paid, once`, async () => {
    const mark = await stack.mark();
    await chain.pauseMining();
    const proof = await prove(wire);
    expectTryAgain(await present(wire, PATH, proof));
    const { authorization, signature } = proof.payload;
    const overtaking = { maxFeePerGas: 900_000_000_000n, maxPriorityFeePerGas: 800_000_000_000n };
    const hash = await chain.submit({ ...authorization, signature }, stranger, overtaking);
    await chain.resumeMining();
    const paid = await stack.resume(PATH, undefined, { headers: wire.headers(proof) });
    assert.deepEqual([paid.status, told(paid).transaction], [200, hash]);
    expectFailed(await present(wire, PATH, proof, { via: 1 }), 403, "duplicate_settlement");
    // Ours was mined behind it and reverted: gas lost, money not.
    await mark.moved(ONE);
  });

  test(`${name}: what was on the chain before it was presented here may be anybody's, and buys nothing`, async () => {
    const mark = await stack.mark();
    const proof = await prove(wire);
    const { authorization, signature } = proof.payload;
    await chain.submit({ ...authorization, signature }, stranger);
    for (const via of [0, 1]) expectFailed(await present(wire, PATH, proof, { via }), 402, "invalid_transaction_state");
    await mark.moved({ transfers: 1, amount: 10_000n });
  });
}

/** The request that mppx's own client pays with, taken from it before it is sent. */
async function boundByMppx(path, { payer = stack.payers[1] } = {}) {
  let header;
  const client = Mppx.create({
    polyfill: false,
    methods: [evm.charge({ account: payer, networks: [chain.id], currencies: [chain.token.address] })],
    orderChallenges: (candidates) => candidates.filter(({ challenge }) => challenge.request.scheme === "exact"),
    fetch(input, init) {
      const request = new Request(input, init);
      header = request.headers.get("payment-signature");
      return header ? Promise.resolve(new Response("kept")) : fetch(request);
    },
  });
  await client.fetch(stack.gateway.urls[0] + path);
  return JSON.parse(Buffer.from(header, "base64").toString());
}

test("mppx: a nonce that is bound to the request is refused elsewhere, with or without its URL", async () => {
  const proof = await boundByMppx(SAME);
  const { resource, ...bare } = proof;
  assert.equal(typeof resource.url, "string");
  const mark = await stack.mark();
  expectFailed(await present(V2, "/v1/reports/1", proof), 402, "invalid_payload");
  expectFailed(await present(V2, "/v1/reports/1", bare), 402, "extension_echo_mismatch");
  for (const method of ["POST", "HEAD"]) {
    expectFailed(await present(V2, SAME, proof, { method }), 402, "extension_echo_mismatch");
  }
  await mark.nothing();
  await V2.expectPaid(stack, await present(V2, SAME, proof), proof);
  await mark.moved(ONE);
});

test("mppx: what is bound to the request counts whoever put it on the chain, and what is not bound does not", async () => {
  const mark = await stack.mark();
  const proof = await boundByMppx(SAME);
  const { authorization, signature } = proof.payload;
  const hash = await chain.submit({ ...authorization, signature }, stranger);
  const { extensions, ...unbound } = proof;
  assert.equal(typeof extensions.mppx.info.nonce, "string");
  expectFailed(await present(V2, SAME, unbound), 402, "invalid_transaction_state");
  const headers = V2.headers(proof);
  const first = await stack.send(SAME, { headers });
  const paid = first.status === 503 ? await stack.resume(SAME, undefined, { headers }) : first;
  assert.deepEqual([paid.status, told(paid).transaction], [200, hash], paid.text);
  expectFailed(await present(V2, SAME, proof, { via: 1 }), 403, "duplicate_settlement");
  await mark.moved({ origin: 1, transfers: 1, amount: 10_000n });
});

/** A payment that its client has named. */
const named = (proof, id) => ({ ...proof, extensions: { "payment-identifier": { info: { required: false, id } } } });
const anyId = () => `pay_${randomBytes(16).toString("hex")}`;

test("payment-identifier: the same payment again gets the answer again, and is not charged again", async () => {
  const mark = await stack.mark();
  const proof = named(await prove(V2), anyId());
  const first = await present(V2, PATH, proof);
  await V2.expectPaid(stack, first, proof);
  assert.equal(first.headers["idempotency-replayed"], undefined);
  for (const via of [1, 0]) {
    const again = await present(V2, PATH, proof, { via });
    await V2.expectPaid(stack, again, proof);
    assert.equal(again.text, first.text);
    assert.equal(again.headers["idempotency-replayed"], "true");
    assert.deepEqual(told(again), told(first));
  }
  await mark.moved({ ...ONE, origin: 3 });
  // Without the name, or under another one, it is what was spent.
  const { extensions, ...nameless } = proof;
  assert.ok(extensions);
  expectFailed(await present(V2, PATH, nameless), 403, "duplicate_settlement");
  expectFailed(await present(V2, PATH, named(nameless, anyId())), 403, "duplicate_settlement");
});

test("payment-identifier: another payment of the payer under the same name is 409, and takes nothing", async () => {
  const id = anyId();
  const proof = named(await prove(V2), id);
  await V2.expectPaid(stack, await present(V2, PATH, proof), proof);
  const mark = await stack.mark();
  const other = named(await prove(V2), id);
  for (const via of [0, 1]) expectFailed(await present(V2, PATH, other, { via }), 409, "duplicate_settlement");
  const elsewhere = named(await prove(V2, SAME), id);
  expectFailed(await present(V2, SAME, elsewhere), 409, "duplicate_settlement");
  await mark.nothing();
  // The authorization itself is still good; and names of different payers do not meet.
  const renamed = named(other, anyId());
  await V2.expectPaid(stack, await present(V2, PATH, renamed), renamed);
  const theirs = named(await prove(V2, PATH, { payer: stack.payers[2] }), id);
  await V2.expectPaid(stack, await present(V2, PATH, theirs), theirs);
});

test("payment-identifier: two payments under one name at once are one purchase", async () => {
  const mark = await stack.mark();
  const id = anyId();
  const proofs = await Promise.all([0, 1, 2, 3].map(async () => named(await prove(V2), id)));
  const answers = await Promise.all(proofs.map((proof, via) => present(V2, PATH, proof, { via: via % 2 })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409, 409, 409], answers.map(({ text }) => text).join("\n"));
  await mark.moved(ONE);
});

test("payment-identifier: what is none is 400, so that nobody counts on it", async () => {
  const mark = await stack.mark();
  const proof = await prove(V2);
  for (const id of ["short", "x".repeat(129), "with spaces in it it is none"]) {
    expectProblem(await present(V2, PATH, named(proof, id)), 400);
  }
  await mark.nothing();
});

test("the origin's own headers of x402 do not reach the client, and the client's do not reach the origin", async () => {
  const forged = Buffer.from('{"success":true,"transaction":"0xforged"}').toString("base64");
  const names = ["payment-response", "x-payment-response", "payment-required"];
  const lies = Object.fromEntries(names.map((name) => [name, forged]));
  for (const wire of [V1, V2]) {
    origin.next(faults.content(lies));
    const proof = await prove(wire);
    const answer = await present(wire, PATH, proof);
    await wire.expectPaid(stack, answer, proof);
    assert.ok(!JSON.stringify(answer.raw).includes(forged), "no header of the origin's");
  }
  const { answer, credential } = await (() => {
    origin.next(faults.content(lies));
    return stack.pay(PATH);
  })();
  await expectPaid(stack, answer, credential);
  for (const name of names) assert.deepEqual(answer.all(name), [], `${name} to who paid by MPP`);
  const both = [...V1.headers(await prove(V1)), ...V2.headers(await prove(V2))];
  assert.equal((await stack.send("/free/page", { headers: both })).status, 200);
  for (const name of ["payment-signature", "x-payment"]) assert.equal(origin.requests.at(-1).headers[name], undefined, name);
});

for (const [name, wire] of Object.entries(WIRES)) {
  test(`${name}: a page of another origin reads the offer, pays, and reads what came of it`, async () => {
    const page = new Page(stack);
    const unpaid = await page.fetch(PATH);
    assert.equal(unpaid.status, 402);
    const asked = wire === V2 ? decodePaymentRequiredHeader(unpaid.headers["payment-required"]) : JSON.parse(unpaid.text);
    const offer = { entry: asked.accepts[0], resource: asked.resource, chainId: chain.id };
    const proof = await wire.sign(stack, offer);
    const paid = await page.fetch(PATH, { headers: Object.fromEntries(wire.headers(proof)) });
    assert.equal(paid.status, 200, paid.text);
    assert.ok(paid.headers[`${wire === V2 ? "" : "x-"}payment-response`], "the page sees the outcome");
    await wire.expectPaid(stack, paid.answer, proof);
    const again = await page.fetch(PATH, { headers: Object.fromEntries(wire.headers(proof)) });
    assert.equal(again.status, 403);
    assert.ok(again.headers[`${wire === V2 ? "" : "x-"}payment-response`], "and of a refusal");
    await assert.rejects(page.fetch("/free/page", { headers: Object.fromEntries(wire.headers(proof)) }), NetworkError);
  });
}
