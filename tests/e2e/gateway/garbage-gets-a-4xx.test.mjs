// C5: garbage gets a 4xx in bounded time, and the gateway is as well as before.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { sendBytes } from "../harness/http.mjs";
import { base64url, echo, encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const PATH = "/v1/reports/1";
const GENEROUS = 15_000;

const wire = (json) => `Payment ${base64url(json)}`;
const challenge = await stack.challenge(PATH);
const good = await stack.sign(challenge);
const text = JSON.stringify({ challenge: echo(challenge), payload: good.payload, source: good.source });

/** Sends one `Authorization` and asserts a refusal in time, with nothing reaching anybody. */
async function expectRefused(authorization, statuses = [400, 402]) {
  const mark = await stack.mark();
  const started = Date.now();
  const answer = await stack.send(PATH, { authorization });
  assert.ok(Date.now() - started < GENEROUS);
  assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text.slice(0, 300)}`);
  if (answer.status === 402 || answer.status === 400) expectProblem(answer, answer.status);
  await mark.nothing();
  return answer;
}

afterEach(async () => {
  const health = await stack.send("/free/alive");
  assert.equal(health.status, 200, "the gateway still works");
});

const malformed = {
  "no value": "Payment",
  "an empty value": "Payment ",
  "not base64": "Payment !!!!",
  "base64 of nothing": "Payment =",
  "base64 of a bare word": wire("hello"),
  "base64 of a number": wire("7"),
  "base64 of null": wire("null"),
  "base64 of an array": wire("[]"),
  "base64 of an empty object": wire("{}"),
  "a challenge that is no object": wire('{"challenge":"x","payload":{}}'),
  "a payload that is no object": wire(text.replace(/"payload":\{.*?\}/, '"payload":[]')),
  "no payload": wire(JSON.stringify({ challenge: echo(challenge) })),
  "two JSON values": wire(`${text}{}`),
  "JSON cut short": wire(text.slice(0, -10)),
  "a NUL in the JSON": wire(text.replace("authorization", "author\u0000ization")),
  "an escaped NUL in the JSON": wire(text.replace("authorization", "author\\u0000ization")),
  "a lone surrogate": wire(text.replace("authorization", "\\ud800")),
  "invalid UTF-8": `Payment ${Buffer.concat([Buffer.from(text.slice(0, 20)), Buffer.from([0xff, 0xfe, 0xc0]), Buffer.from(text.slice(20))]).toString("base64url")}`,
  "an overlong UTF-8 form": `Payment ${Buffer.concat([Buffer.from('{"challenge":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]).toString("base64url")}`,
  "a byte order mark": wire(`\ufeff${text}`),
  "UTF-16": `Payment ${Buffer.from(text, "utf16le").toString("base64url")}`,
  "numbers instead of strings": wire('{"challenge":{"id":1,"realm":2,"method":3,"intent":4,"request":5},"payload":{"type":6}}'),
  "a huge number": wire(text.replace('"validAfter":"0"', '"validAfter":1e400')),
  "a negative time": wire(text.replace('"validAfter":"0"', '"validAfter":"-1"')),
  "a time beyond 256 bits": wire(text.replace('"validAfter":"0"', `"validAfter":"${"9".repeat(90)}"`)),
  "a realm of another alphabet": wire(text.replace('"realm":"', '"realm":"рау')),
};
for (const [name, authorization] of Object.entries(malformed)) {
  test(`a credential with ${name} is refused`, () => expectRefused(authorization));
}

test("duplicate keys are refused: nobody may read another value than we do", async () => {
  const from = stack.payers[1].address;
  const duplicates = [
    text.replace('"payload":{', '"payload":{"type":"authorization"},"payload":{'),
    text.replace('"from":', `"from":"${from}","from":`),
    text.replace(/^\{/, '{"source":"did:pkh:eip155:11124:0x0",'),
    text.replace('"challenge":{', '"challenge":{"realm":"other",'),
  ];
  for (const json of duplicates) await expectRefused(wire(json));
});

test("deeply nested JSON is refused without using up the stack", async () => {
  for (const depth of [200, 2_000]) {
    const deep = "[".repeat(depth) + "]".repeat(depth);
    await expectRefused(wire(`{"challenge":${deep}}`));
    await expectRefused(wire(text.replace('"validAfter":"0"', `"validAfter":${deep}`)));
    await expectRefused(wire(deep));
  }
});

test("a deep member that nobody reads is skipped or refused, in either case without using up the stack", async () => {
  for (const depth of [200, 2_000]) {
    const credential = await stack.credential(PATH);
    const json = JSON.stringify({ challenge: echo(credential.challenge), payload: credential.payload });
    const answer = await stack.send(PATH, {
      authorization: wire(json.replace(/\}$/, `,"x":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}`)),
    });
    assert.ok([200, 400, 402].includes(answer.status), String(answer.status));
  }
});

test("a credential above the limit is refused by its size", async () => {
  for (const bytes of [20_000, 60_000]) {
    const credential = { ...good, payload: { ...good.payload, padding: "x".repeat(bytes) } };
    await expectRefused(encodeCredential(credential), [400, 402, 413, 431]);
  }
});

test("two credentials in one request are refused with 400, however they are spread over headers", async () => {
  const [one, two] = [await stack.credential(PATH), await stack.credential(PATH)].map(encodeCredential);
  const mark = await stack.mark();
  for (const headers of [
    [["Authorization", `${one}, ${two}`]],
    [
      ["Authorization", one],
      ["Authorization", two],
    ],
    [
      ["Authorization", one],
      ["Authorization", one],
    ],
    [["Authorization", `Bearer x, ${one}, ${two.replace("Payment", "payment")}`]],
  ]) {
    expectProblem(await stack.send(PATH, { headers }), 400, "bad-request", "malformed-credential");
  }
  await mark.nothing();
});

test("a megabyte of header is refused or cut off, never a crash", async () => {
  for (const header of [`Authorization: Payment ${"A".repeat(1_000_000)}`, `X-Large: ${"a".repeat(1_000_000)}`]) {
    const status = await sendBytes(
      stack.gateway.urls[0],
      `GET ${PATH} HTTP/1.1\r\nHost: ${stack.host}\r\nConnection: close\r\n${header}\r\n\r\n`,
    );
    assert.ok(status === undefined || (status >= 400 && status < 500), String(status));
  }
});

test("a million parameters in a header or a query are refused in bounded time", async () => {
  const started = Date.now();
  const parameters = Array.from({ length: 20_000 }, (_, i) => `p${i}="x"`).join(",");
  for (const headers of [
    { Authorization: `Payment ${parameters}`.slice(0, 100_000) },
    { "Accept-Payment": "evm/charge;q=0.5,".repeat(5_000) },
    { "Accept-Payment": `evm/charge${";a=b".repeat(20_000)}` },
  ]) {
    const answer = await stack.send(PATH, { headers });
    assert.ok(answer.status >= 400 && answer.status < 500, String(answer.status));
  }
  const query = (length) => Array.from({ length }, (_, i) => `a${i}=1`).join("&");
  expectProblem(await stack.send(`${PATH}?${query(5_000)}`), 414);
  expectProblem(await stack.send(`${PATH}?${query(700)}`), 402, "payment-required");
  assert.ok(Date.now() - started < 2 * GENEROUS);
});

test("raw nonsense on the wire is answered with 4xx or a closed connection", async () => {
  const host = `Host: ${stack.host}\r\nConnection: close\r\n`;
  for (const bytes of [
    "\0\0\0\0\r\n\r\n",
    "GET\r\n\r\n",
    `GET ${PATH} HTTP/9.9\r\n${host}\r\n`,
    `GET ${PATH} HTTP/1.1\r\n\r\n`,
    `GET ${PATH}\0x HTTP/1.1\r\n${host}\r\n`,
    `GET ${PATH} HTTP/1.1\r\n${host}Authorization: Payment \0\r\n\r\n`,
    `GET ${PATH} HTTP/1.1\r\n${host}Authorization: Payment \xff\xfe\r\n\r\n`,
    `POST ${PATH} HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n`,
    `POST /v1/answers HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST /v1/answers HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n`,
  ]) {
    const mark = await stack.mark();
    const status = await sendBytes(stack.gateway.urls[0], Buffer.from(bytes, "latin1"), GENEROUS);
    assert.ok(status === undefined || status < 500 || status === 501 || status === 505, `${JSON.stringify(bytes)}: ${status}`);
    assert.notEqual(status, 200);
    await mark.nothing();
  }
});

test("header values beyond ASCII do not disturb a payment", async () => {
  const mark = await stack.mark();
  const { answer, credential } = await stack.pay(PATH, {
    headers: { "X-Name": "J\u00fcrgen", "Accept-Payment": "\u00ff/\u00fe" },
  });
  await expectPaid(stack, answer, credential);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("a flood of bad credentials leaves a good one unharmed", async () => {
  const mark = await stack.mark();
  const bad = encodeCredential({ ...good, payload: { ...good.payload, signature: `0x${"11".repeat(64)}1b` } });
  const flood = Array.from({ length: 300 }, (_, i) => stack.send(PATH, { authorization: bad, via: i % 2 }));
  const { answer, credential } = await stack.pay(PATH, { payer: stack.payers[2] });
  await expectPaid(stack, answer, credential);
  for (const refused of await Promise.all(flood)) assert.ok([402, 429].includes(refused.status), String(refused.status));
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});
