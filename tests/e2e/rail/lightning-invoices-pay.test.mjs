// Payments over the Lightning network: an invoice for each challenge, a preimage as the proof, one delivery for one payment. Its node is
// a stand-in that makes real invoices.
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { expectProblem, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { LightningNode } from "../harness/lightning.mjs";
import { faults } from "../harness/origin.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const node = await new LightningNode().start();
const phoenixd = await new LightningNode("tbs").start();
const checking = await new LightningNode("tb").start();

const stack = await startStack({
  routes: [
    {
      path: "/v1/page",
      price: "0.01",
      rails: ["abstract-testnet", "sats", "phoenix"],
      prices: { sats: "25", phoenix: "30" },
      description: "One page",
    },
    { path: "/v1/only", price: "25", rails: ["sats"], prices: { sats: "25" } },
    { path: "/v1/other", price: "25", rails: ["sats"], prices: { sats: "25" } },
    { path: "/v1/checked", price: "7", rails: ["checked"], prices: { checked: "7" } },
    { path: "/v1/late", price: "7", rails: ["sats"], prices: { sats: "7" }, settle: "after-origin" },
  ],
  gateway: ({ network, token, ...defaults }) => ({
    ...defaults,
    rails: [
      { network, token },
      { kind: "lightning", name: "sats", node: "lnd", url: node.url, network: "regtest" },
      { kind: "lightning", name: "phoenix", node: "phoenixd", url: `${phoenixd.url}/`, network: "signet" },
      { kind: "lightning", name: "checked", node: "lnd", url: checking.url, network: "testnet", checkSettled: true },
    ],
  }),
  secrets: ({ rpc }) => ({
    RPC_URL: undefined,
    RPC_URL_ABSTRACT_TESTNET: rpc.url,
    LND_MACAROON: node.macaroon,
    LND_MACAROON_CHECKED: checking.macaroon,
    PHOENIXD_PASSWORD_PHOENIX: phoenixd.password,
  }),
});
const { origin } = stack;
for (const secret of [node.macaroon, checking.macaroon, phoenixd.password]) stack.confidential.add(secret);
after(() => Promise.all([node, phoenixd, checking].map((one) => one.stop())));
afterEach(() => {
  node.fault = undefined;
  origin.reset();
});

/** A client by its address, which has a share of its own of what the nodes are asked for. */
let clients = 0;
const someone = () => {
  clients += 1;
  return { headers: { "CF-Connecting-IP": `192.0.2.${clients}` } };
};

const offersOf = (answer) => answer.challenges.filter(({ method }) => method === "lightning");

async function challenge(path, { headers, ...options } = someone()) {
  const answer = await stack.send(path, { ...options, headers });
  assert.equal(answer.status, 402, answer.text);
  return offersOf(answer)[0];
}

/** A proof: the challenge, and the preimage that paying its invoice gave. */
async function proof(path, { at = node, settle, ...options } = {}) {
  const asked = await challenge(path, { ...someone(), ...options });
  return { challenge: asked, payload: { preimage: at.pay(asked.terms.methodDetails.invoice, { settle }) } };
}

const present = (path, credential, options) => stack.send(path, { ...options, authorization: encodeCredential(credential) });

function expectPaid(answer, { challenge: { id, terms } }) {
  assert.equal(answer.status, 200, answer.text);
  const { timestamp, ...receipt } = answer.receipt;
  assert.ok(Math.abs(Date.parse(timestamp) - Date.now()) < 60_000);
  const reference = terms.methodDetails.paymentHash;
  assert.deepEqual(receipt, { status: "success", method: "lightning", reference, challengeId: id });
}

test("an invoice from LND or phoenixd stands in the challenge; its preimage buys once", async () => {
  const answer = await stack.send("/v1/page", someone());
  assert.deepEqual(
    answer.challenges.map(({ method, intent }) => [method, intent]),
    [
      ["abstract", "charge"],
      ["evm", "charge"],
      ["lightning", "charge"],
      ["lightning", "charge"],
    ],
  );
  const [bySats, byPhoenix] = offersOf(answer);
  for (const [asked, at, amount, network] of [
    [bySats, node, "25", "regtest"],
    [byPhoenix, phoenixd, "30", "signet"],
  ]) {
    const { methodDetails, ...terms } = asked.terms;
    assert.deepEqual(terms, { amount, currency: "sat", description: "One page" });
    assert.equal(methodDetails.network, network);
    const credential = { challenge: asked, payload: { preimage: at.pay(methodDetails.invoice) } };
    stack.confidential.add(credential.payload.preimage);
    const seen = origin.requests.length;
    expectPaid(await present("/v1/page", credential), credential);
    const { headers } = origin.requests[seen];
    assert.equal(headers["x-payment-method"], "lightning");
    assert.equal(headers["x-payment-amount"], amount);
    assert.equal(headers["x-payment-reference"], methodDetails.paymentHash);
    assert.equal(headers["x-payment-payer"], undefined);
    for (const via of [0, 1]) expectSpent(await present("/v1/page", credential, { via }));
    assert.equal(origin.requests.length, seen + 1);
  }
});

test("a hundred copies at once, through both isolates, are one delivery", async () => {
  const credential = await proof("/v1/only");
  const seen = origin.requests.length;
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => present("/v1/only", credential, { via: i % 2 })));
  const delivered = answers.filter(({ status }) => status === 200);
  assert.equal(delivered.length, 1);
  for (const answer of answers.filter((one) => one !== delivered[0])) {
    if (answer.status === 503) expectTryAgain(answer);
    else expectSpent(answer);
  }
  assert.equal(origin.requests.length, seen + 1);
});

test("a preimage buys nothing but what its invoice was made for", async () => {
  const [mine, other] = [await proof("/v1/only"), await challenge("/v1/only")];
  const seen = origin.requests.length;
  expectProblem(await present("/v1/only", { ...mine, challenge: other }), 402, "verification-failed");
  expectProblem(await present("/v1/other", mine), 402, "invalid-challenge");
  expectProblem(await present("/v1/only", { ...mine, payload: { preimage: "00".repeat(32) } }), 402, "verification-failed");
  expectProblem(await present("/v1/only", { ...mine, payload: {} }), 402, "malformed-credential");
  const request = Buffer.from(JSON.stringify({ ...mine.challenge.terms, amount: "1" })).toString("base64url");
  expectProblem(await present("/v1/only", { ...mine, challenge: { ...mine.challenge, request } }), 402, "invalid-challenge");
  assert.equal(origin.requests.length, seen);
  expectPaid(await present("/v1/only", mine), mine);
});

test("what the origin fails is fetched again with the same preimage, in both orders", async () => {
  for (const path of ["/v1/only", "/v1/late"]) {
    const credential = await proof(path);
    origin.next(faults.status(500));
    const failed = await present(path, credential);
    assert.equal(failed.status, 500, path);
    expectPaid(await present(path, credential, { via: 1 }), credential);
    expectSpent(await present(path, credential));
  }
});

test("a restart forgets no payment, and none that has bought", async () => {
  const [paid, spent] = [await proof("/v1/only"), await proof("/v1/only")];
  expectPaid(await present("/v1/only", spent), spent);
  await stack.gateway.kill();
  await stack.gateway.start();
  expectPaid(await present("/v1/only", paid), paid);
  for (const credential of [paid, spent]) expectSpent(await present("/v1/only", credential));
});

test("health tells whether the nodes take our secrets", async () => {
  const providers = async () => {
    const { rails } = (await stack.send("/__mpp/health")).json;
    return Object.fromEntries(rails.filter(({ provider }) => provider).map(({ name, ok, provider }) => [name, [ok, provider]]));
  };
  const good = [true, "good"];
  assert.deepEqual(await providers(), { sats: good, phoenix: good, checked: good });
  node.fault = (response) => response.writeHead(401).end("{}");
  // It is given again for a moment.
  await new Promise((resolve) => setTimeout(resolve, 3_100));
  const { sats, ...others } = await providers();
  assert.deepEqual(others, { phoenix: good, checked: good });
  assert.deepEqual(sats, [false, "does not answer, or does not take our secret"]);
});

test("where the node is to say so, nothing is delivered until it has settled", async () => {
  const credential = await proof("/v1/checked", { at: checking, settle: false });
  const seen = origin.requests.length;
  expectTryAgain(await present("/v1/checked", credential));
  checking.fault = (response) => response.writeHead(500).end("{}");
  expectTryAgain(await present("/v1/checked", credential));
  assert.equal(origin.requests.length, seen);
  checking.fault = undefined;
  checking.settle(credential.challenge.terms.methodDetails.paymentHash);
  expectPaid(await present("/v1/checked", credential), credential);
});

test("who pays nothing gets a few invoices, and then the last one again; others get theirs", async () => {
  const flood = someone();
  const made = node.made;
  const offers = [];
  for (let i = 0; i < 30; i += 1) offers.push((await challenge("/v1/only", flood)).terms.methodDetails.invoice);
  assert.ok(node.made - made <= 20, `${node.made - made} invoices`);
  assert.equal(new Set(offers).size, node.made - made);
  assert.equal(offers.at(-1), offers.at(-2));
  const credential = await proof("/v1/only");
  expectPaid(await present("/v1/only", credential), credential);
});

for (const [what, fault] of Object.entries({
  "answers nothing": () => {},
  "answers an error": (response) => response.writeHead(500).end("no"),
  "answers a text without end": (response) => response.writeHead(200).end("x".repeat(100_000)),
  "leads elsewhere": (response) => response.writeHead(307, { Location: `${phoenixd.url}/v1/invoices` }).end(),
})) {
  test(`a node that ${what} closes its own offers alone, and nothing for good`, async () => {
    const seen = phoenixd.requests.length;
    node.fault = fault;
    const without = await stack.send("/v1/only", someone());
    expectTryAgain(without);
    const answer = await stack.send("/v1/page", someone());
    assert.equal(answer.status, 402);
    assert.ok(answer.challenges.some(({ method }) => method === "evm"));
    assert.ok(!phoenixd.requests.slice(seen).some(({ path }) => path.startsWith("/v1/")), "the macaroon went to nobody else");
    node.fault = undefined;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const credential = await proof("/v1/page");
    expectPaid(await present("/v1/page", credential), credential);
  });
}
