// B12: origins with a login of their own. The credential comes in Payment-Authorization, and Authorization is the origin's.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { mppxClient } from "../harness/clients.mjs";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { bind, encodeCredential } from "../harness/protocol.mjs";
import { expectReceipt, openChannel, PRICE, payloads, startSessions } from "../harness/session.mjs";
import { SECRET } from "../harness/stack.mjs";

const HEADER = "Payment-Authorization";
const PATH = "/own/report";
const SESSION = "/own/item";
const stack = await startSessions({
  routes: [
    { path: PATH, price: "0.01", header: HEADER },
    { path: SESSION, methods: ["GET"], price: "0.001", intents: ["session"], header: HEADER },
    { path: "/usual", price: "0.01" },
    { path: "/usual-item", methods: ["GET"], price: "0.001", intents: ["session"] },
  ],
});
const { origin } = stack;
const LOGIN = "Bearer mF_9.B5f-4.1JqM";

afterEach(() => origin.reset());

const last = () => origin.requests.at(-1).headers;
const vary = (answer) => answer.headers.vary?.toLowerCase().split(/\s*,\s*/) ?? [];

test("B12: mppx as it is pays in the field that the challenge names, beside the origin's login", async () => {
  const mark = await stack.mark();
  const { fetch, requests } = mppxClient(stack.payers[0], stack.token);
  const response = await fetch(stack.gateway.urls[0] + PATH, { headers: { authorization: LOGIN } });
  assert.equal(response.status, 200);
  assert.equal(await response.text(), `content of GET ${PATH}`);
  assert.ok(response.headers.get("payment-receipt"));
  assert.deepEqual(
    requests.map(({ status, authorization }) => [status, authorization]),
    [
      [402, LOGIN],
      [200, LOGIN],
    ],
  );
  assert.equal(last().authorization, LOGIN);
  assert.equal(last()["payment-authorization"], undefined);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("B12: the challenge names the field, and is bound to it by a slot of its own", async () => {
  const answer = await stack.send(PATH, { authorization: LOGIN });
  const problem = expectProblem(answer, 402, "payment-required");
  assert.match(problem.detail, /Payment-Authorization/);
  for (const challenge of answer.challenges) {
    assert.equal(challenge.header, HEADER);
    assert.equal(challenge.id, bind(challenge, SECRET));
    assert.notEqual(challenge.id, bind({ ...challenge, header: undefined }, SECRET));
  }
  for (const name of ["accept-payment", "payment-authorization"]) assert.ok(vary(answer).includes(name), answer.headers.vary);
  const usual = await stack.send("/usual");
  for (const challenge of usual.challenges) assert.equal(challenge.header, undefined);
  for (const name of ["accept-payment", "authorization"]) assert.ok(vary(usual).includes(name), usual.headers.vary);
});

test("B12: a credential in Authorization does not pay, and does not reach the origin either", async () => {
  const credential = await stack.credential(PATH);
  const payment = encodeCredential(credential);
  const mark = await stack.mark();
  for (const authorization of [payment, `${LOGIN}, ${payment}`]) {
    expectProblem(await stack.send(PATH, { authorization }), 402, "payment-required");
  }
  await mark.nothing();
  // Beside a credential where it belongs, the login is kept and the other one is not.
  const answer = await stack.send(PATH, { authorization: `${LOGIN}, ${payment}, ${payment}`, headers: { [HEADER]: payment } });
  await expectPaid(stack, answer, credential);
  assert.equal(last().authorization, LOGIN);
});

test("B12: a login is passed on to the byte", async () => {
  const login = 'Digest username="a, Payment b",realm="r" ,  nonce="n"';
  const credential = await stack.credential(PATH);
  const answer = await stack.send(PATH, { authorization: login, headers: { [HEADER]: encodeCredential(credential) } });
  await expectPaid(stack, answer, credential);
  assert.equal(last().authorization, login);
});

for (const [name, change] of Object.entries({
  "without header": (challenge) => ({ ...challenge, header: undefined }),
  "with another header": (challenge) => ({ ...challenge, header: "X-Pay" }),
  "with the slot moved into opaque": (challenge) => ({
    ...challenge,
    header: undefined,
    opaque: `${challenge.opaque}|${HEADER}`,
  }),
})) {
  test(`B12: a challenge returned ${name} is not ours`, async () => {
    const { challenge, ...rest } = await stack.credential(PATH);
    const mark = await stack.mark();
    for (const field of [HEADER, "Authorization"]) {
      const payment = encodeCredential({ challenge: change(challenge), ...rest });
      const expected = field === HEADER ? "invalid-challenge" : "payment-required";
      expectProblem(await stack.send(PATH, { headers: { [field]: payment } }), 402, expected);
    }
    await mark.nothing();
  });
}

test("B12: on other routes the field is not read, and stripped", async () => {
  const payment = encodeCredential(await stack.credential("/usual"));
  const mark = await stack.mark();
  expectProblem(await stack.send("/usual", { headers: { [HEADER]: payment } }), 402, "payment-required");
  await mark.nothing();
  const free = await stack.send("/free", { headers: { [HEADER]: payment } });
  assert.equal(free.status, 200);
  assert.equal(last()["payment-authorization"], undefined);
});

test("B12: no shared cache may store an answer to a request with the field, on whatever route", async () => {
  const payment = encodeCredential(await stack.credential(PATH));
  for (const path of ["/free", "/usual", PATH]) {
    origin.next(faults.content({ "cache-control": "public, max-age=600, s-maxage=900", "cdn-cache-control": "max-age=600" }));
    const answer = await stack.send(path, { headers: { [HEADER]: payment } });
    assert.match(answer.headers["cache-control"], /private|no-store/, path);
    assert.doesNotMatch(answer.headers["cache-control"], /public|s-maxage/, path);
    assert.equal(answer.headers["cdn-cache-control"], undefined, path);
  }
});

test("B12: nothing is asked or taken over plain HTTP", async () => {
  const payment = encodeCredential(await stack.credential(PATH));
  const mark = await stack.mark();
  const answer = await stack.send(PATH, { host: "pay.example.com", headers: { "X-Test-Scheme": "http", [HEADER]: payment } });
  expectProblem(answer, 400);
  assert.deepEqual(answer.challenges, []);
  await mark.nothing();
});

test("B12: a session is paid, and its channel managed, by the same field and no other", async () => {
  for (const [path, field, other] of [
    [SESSION, HEADER, "Authorization"],
    ["/usual-item", "Authorization", HEADER],
  ]) {
    const channel = await openChannel(stack, "evm");
    const challenge = (await stack.send(path)).challenges.find(({ method, intent }) => method === "evm" && intent === "session");
    const send = async (payload, name, options) =>
      stack.send(path, { ...options, headers: { [name]: encodeCredential({ challenge, payload: await payload }) } });
    const session = { channel };
    expectReceipt(await send(payloads.voucher(channel, PRICE), field), session, { spent: PRICE, units: 1 });
    // A POST is not priced here: only a credential in the right field makes it one that manages.
    const mark = await stack.mark();
    const managed = await send(payloads.voucher(channel, 3n * PRICE), field, { method: "POST", body: "" });
    expectReceipt(managed, session, { status: 204, accepted: 3n * PRICE, spent: PRICE });
    await mark.nothing();
    const passed = await send(payloads.voucher(channel, 5n * PRICE), other, { method: "POST", body: "" });
    assert.equal(passed.headers["payment-receipt"], undefined);
    assert.equal(passed.text, `content of POST ${path}`);
    await mark.moved({ origin: 1 });
  }
});
