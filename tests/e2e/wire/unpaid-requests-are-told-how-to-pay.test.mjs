// What an unpaid request is told (WIRE §1, §4), and who is never asked.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Challenge } from "mppx";
import { getAddress } from "viem";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { bind, CHALLENGE_ORDER, canonical, fromBase64url } from "../harness/protocol.mjs";
import { REALM, SECRET, startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { origin } = stack;

const methods = (answer) => answer.challenges.map(({ method }) => method);

test("a 402 makes one challenge per offer, in the order of the route's methods", async () => {
  const mark = await stack.mark();
  const answer = await stack.send("/v1/reports/1");
  const problem = expectProblem(answer, 402, "payment-required");
  for (const line of answer.all("www-authenticate")) assert.match(line, /^Payment [\x20-\x7e]+$/, "Payment first, ASCII only");
  assert.deepEqual(methods(answer), ["abstract", "evm"]);
  if (problem.challengeId) assert.ok(answer.challenges.some(({ id }) => id === problem.challengeId));
  await mark.nothing();
});

test("mppx reads every challenge of a 402 as we mean it", async () => {
  const response = await fetch(`${stack.gateway.urls[0]}/v1/reports/1`);
  const list = Challenge.fromResponseList(response);
  assert.deepEqual(
    list.map(({ method }) => method),
    ["abstract", "evm"],
  );
  for (const challenge of list) assert.ok(Challenge.verify(challenge, { secretKey: SECRET }), "mppx computes the same binding");
});

test("a route can offer a single method", async () => {
  assert.deepEqual(methods(await stack.send("/v1/evm-only")), ["evm"]);
});

test("every challenge is quoted, ordered and bound as WIRE §1 says", async () => {
  for (const challenge of (await stack.send("/v1/reports/1")).challenges) {
    const order = CHALLENGE_ORDER.filter((name) => challenge.names.includes(name));
    assert.deepEqual(challenge.names, order);
    assert.equal(challenge.realm, REALM);
    assert.equal(challenge.intent, "charge");
    assert.equal(challenge.description, "One report");
    assert.equal(challenge.id, bind(challenge, SECRET));
    assert.match(challenge.expires, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/);
    const lifetime = Date.parse(challenge.expires) - Date.now();
    assert.ok(lifetime > 240_000 && lifetime <= 301_000, `lives ${lifetime} ms`);
  }
});

test("the request of a challenge is canonical JSON in base64url without padding, in base units and EIP-55", async () => {
  const answer = await stack.send("/v1/reports/1");
  for (const { request, terms } of answer.challenges) {
    assert.match(request, /^[A-Za-z0-9_-]+$/);
    assert.equal(fromBase64url(request), canonical(terms));
    assert.equal(terms.amount, "10000");
    assert.equal(terms.currency, getAddress(terms.currency));
    assert.equal(terms.currency, stack.token.address);
    assert.equal(terms.recipient, stack.recipient);
    assert.equal(terms.methodDetails.chainId, CHAIN_ID);
  }
  const { methodDetails } = answer.challenge("evm").terms;
  assert.equal(methodDetails.decimals, 6);
  assert.ok(methodDetails.credentialTypes.includes("authorization"));
});

test("opaque is a flat map of strings, and no two challenges are the same", async () => {
  const [first, second] = [await stack.challenge("/v1/reports/1"), await stack.challenge("/v1/reports/1")];
  for (const { opaque } of [first, second]) {
    const map = JSON.parse(fromBase64url(opaque));
    assert.equal(fromBase64url(opaque), canonical(map));
    for (const value of Object.values(map)) assert.equal(typeof value, "string");
  }
  assert.notEqual(first.id, second.id);
});

const preferences = [
  ["evm/charge", ["evm"]],
  ["abstract/charge", ["abstract"]],
  ["evm/charge, abstract/charge;q=0.5", ["evm", "abstract"]],
  ["evm/charge;q=0.2, abstract/charge;q=0.5", ["abstract", "evm"]],
  ["*/charge, abstract/charge;q=0", ["evm"]],
  ["evm/*", ["evm"]],
  ["*/*", ["abstract", "evm"]],
  ["tempo/charge", ["abstract", "evm"]],
  ["evm/charge;q=zero", ["abstract", "evm"]],
  [",,,;;==", ["abstract", "evm"]],
];
for (const [value, expected] of preferences) {
  test(`Accept-Payment "${value}" gets ${expected.join(", then ")}`, async () => {
    const answer = await stack.send("/v1/reports/1", { headers: { "Accept-Payment": value } });
    expectProblem(answer, 402, "payment-required");
    assert.deepEqual(methods(answer), expected);
  });
}

test("a request without a configured price passes: other method, other path", async () => {
  const mark = await stack.mark();
  for (const [method, path] of [
    ["POST", "/v1/reports/1"],
    ["GET", "/v1/answers"],
    ["GET", "/v1/reports"],
    ["GET", "/v1/reports/1/2"],
    ["GET", "/free/page?x=1"],
  ]) {
    const answer = await stack.send(path, { method });
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    assert.equal(answer.text, `content of ${method} ${path}`);
  }
  await mark.moved({ origin: 5 });
});

test("OPTIONS is never charged", async () => {
  const mark = await stack.mark();
  origin.next({
    answer: (_request, response) => response.writeHead(204, { allow: "GET, OPTIONS" }).end(),
  });
  const answer = await stack.send("/v1/same", { method: "OPTIONS" });
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.allow, "GET, OPTIONS");
  await mark.moved({ origin: 1 });
});

test("other authentication is no payment", async () => {
  const mark = await stack.mark();
  for (const authorization of ["Bearer abc", "Basic dTpw", "Paymentx abc"]) {
    expectProblem(await stack.send("/v1/same", { authorization }), 402, "payment-required");
  }
  await mark.nothing();
});

test("payment comes before validation: a priced request the origin would refuse is asked to pay first", async () => {
  const mark = await stack.mark();
  origin.always({ answer: (_request, response) => response.writeHead(400).end("bad body") });
  expectProblem(await stack.send("/v1/uploads", { method: "POST", body: "{" }), 402, "payment-required");
  origin.reset();
  await mark.nothing();
});

test("payments are not taken over plain http from elsewhere", async () => {
  const mark = await stack.mark();
  const plain = await stack.send("/v1/reports/1", { host: "api.example.com" });
  assert.notEqual(plain.status, 200);
  assert.ok(plain.status >= 300 && plain.status < 500, `${plain.status} ${plain.text}`);
  assert.deepEqual(plain.challenges, [], "no challenge that would make a client send a credential in the clear");
  const secure = await stack.send("/v1/reports/1", { host: "api.example.com", headers: { "X-Test-Scheme": "https" } });
  expectProblem(secure, 402, "payment-required");
  await mark.nothing();
});

test("the answer to an unpaid request is the same in every isolate", async () => {
  const [first, second] = [await stack.send("/v1/reports/1"), await stack.send("/v1/reports/1", { via: 1 })];
  assert.deepEqual(methods(first), methods(second));
  assert.equal(first.challenge().request, second.challenge().request);
});

test("a challenge of one isolate is paid in the other", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/reports/1", { via: 0 });
  const { answer } = await stack.present("/v1/reports/1", credential, { via: 1 });
  await expectPaid(stack, answer, credential);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("without a configured realm, the realm is the request's host", async () => {
  await stack.reconfigure({
    gateway: ({ realm: _, ...rest }) => rest,
  });
  const challenge = await stack.challenge("/v1/reports/1");
  assert.equal(challenge.realm, stack.host);
  const credential = await stack.sign(challenge);
  const { answer } = await stack.present("/v1/reports/1", credential);
  await expectPaid(stack, answer, credential);
});
