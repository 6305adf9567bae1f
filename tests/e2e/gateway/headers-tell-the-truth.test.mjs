// C1, C2, C3: which headers reach the origin, and what caches may keep.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { origin } = stack;
const PATH = "/v1/reports/1";
const SPOOFED = {
  "X-Payment-Payer": "0x000000000000000000000000000000000000dEaD",
  "X-Payment-Method": "gold",
  "X-Payment-Intent": "gift",
  "X-Payment-Amount": "1000000000",
  "X-Payment-Reference": "0xspoofed",
  "x-payment-anything": "else",
};
const PAYMENT_HEADERS = { "X-PAYMENT": "eyJ4IjoxfQ==", "PAYMENT-SIGNATURE": "eyJ4IjoyfQ==", "X-MPP-Session": "sess_secret" };

afterEach(() => origin.reset());

/** Every header line of the origin's last request, as one text. */
const received = () => {
  const { rawHeaders } = origin.requests.at(-1);
  return rawHeaders.map((value, i) => value + (i % 2 ? "\n" : ": ")).join("");
};

async function payWith(headers, form = (value) => value) {
  const credential = await stack.credential(PATH);
  const authorization = form(encodeCredential(credential));
  const answer = await stack.send(PATH, { authorization, headers });
  await expectPaid(stack, answer, credential);
  return { answer, credential, token: encodeCredential(credential).slice("Payment ".length) };
}

for (const [name, form, kept] of [
  ["after Bearer", (payment) => `Bearer abc.def, ${payment}`, "Bearer abc.def"],
  ["before Bearer", (payment) => `${payment}, Bearer abc.def`, "Bearer abc.def"],
  ["after Basic", (payment) => `Basic dTpw, ${payment}`, "Basic dTpw"],
  ["after a quote that is never closed", (payment) => `Basic "x, ${payment}`, 'Basic "x'],
]) {
  test(`a credential ${name} is taken out, and what the origin asked for stays`, async () => {
    const { token } = await payWith({}, form);
    assert.equal(origin.requests.at(-1).headers.authorization, kept);
    assert.ok(!received().includes(token.slice(0, 40)));
  });
}

test("a credential in a header line of its own beside Bearer is taken out", async () => {
  const credential = await stack.credential(PATH);
  const answer = await stack.send(PATH, {
    headers: [
      ["Authorization", "Bearer abc.def"],
      ["Authorization", encodeCredential(credential)],
    ],
  });
  await expectPaid(stack, answer, credential);
  assert.equal(origin.requests.at(-1).headers.authorization, "Bearer abc.def");
});

test("an unclosed quote does not carry a credential to the origin of a free route", async () => {
  for (const before of ['Basic "x, ', 'Basic "x\\", ', 'Digest a="b", c="d, ', 'Basic "x, Bearer y, ']) {
    const credential = await stack.credential(PATH);
    const mark = await stack.mark();
    const payment = encodeCredential(credential);
    const answer = await stack.send("/free/page", { authorization: before + payment });
    assert.ok(answer.status === 200 || answer.status === 400, `${before}${answer.status} ${answer.text}`);
    const reached = answer.status === 200 ? 1 : 0;
    if (reached) assert.ok(!received().includes(payment.slice(8, 48)), before);
    await mark.moved({ origin: reached });
    await expectPaid(stack, (await stack.present(PATH, credential)).answer, credential);
  }
});

test("other payment headers are stripped on paid and free routes", async () => {
  // A request is paid by one wire, so a proof of another one is refused beside the credential.
  const isProof = ([name]) => /^(payment-signature|x-payment)$/i.test(name);
  const entries = Object.entries(PAYMENT_HEADERS);
  await payWith(Object.fromEntries(entries.filter((entry) => !isProof(entry))));
  for (const name of Object.keys(PAYMENT_HEADERS))
    assert.equal(origin.requests.at(-1).headers[name.toLowerCase()], undefined, name);
  for (const proof of entries.filter(isProof)) {
    const credential = await stack.credential(PATH);
    const mark = await stack.mark();
    const authorization = encodeCredential(credential);
    const answer = await stack.send(PATH, { authorization, headers: Object.fromEntries([proof]) });
    assert.equal(answer.status, 400, answer.text);
    await mark.nothing();
  }
  await stack.send("/free/page", { headers: PAYMENT_HEADERS });
  for (const name of Object.keys(PAYMENT_HEADERS))
    assert.equal(origin.requests.at(-1).headers[name.toLowerCase()], undefined, name);
});

test("on free routes nobody paid: spoofed values are removed", async () => {
  await stack.send("/free/page", { headers: SPOOFED });
  for (const name of Object.keys(SPOOFED)) assert.equal(origin.requests.at(-1).headers[name.toLowerCase()], undefined, name);
});

test("spellings that servers fold into the same variable are removed too", async () => {
  await stack.send("/free/page", {
    headers: { X_Payment_Payer: "0xdead", "X-PAYMENT-PAYER": "0xdead", "X.Payment.Payer": "0xdead", "X~Payment!Amount": "1" },
  });
  assert.doesNotMatch(received(), /x.payment/i);
});

test("hop-by-hop headers stay on their hop, the client's own headers pass", async () => {
  await payWith({
    Connection: "close, X-Only-Here",
    "X-Only-Here": "1",
    "Proxy-Authorization": "Basic dTpw",
    TE: "trailers",
    "Keep-Alive": "timeout=5",
    "X-Client": "kept",
    Accept: "text/markdown",
    Cookie: "session=1",
  });
  const { headers } = origin.requests.at(-1);
  for (const name of ["x-only-here", "proxy-authorization", "te", "keep-alive"]) assert.equal(headers[name], undefined, name);
  assert.equal(headers["x-client"], "kept");
  assert.equal(headers.accept, "text/markdown");
  assert.equal(headers.cookie, "session=1");
});

test("the origin is addressed by its own name, and cannot be told another client's address by the client", async () => {
  await stack.send("/free/page", {
    headers: { "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", Forwarded: "host=evil.example" },
  });
  const { headers } = origin.requests.at(-1);
  assert.equal(headers.host, new URL(origin.url).host);
  assert.doesNotMatch(received(), /evil\.example|gopher/);
});

test("an origin that forbids storing is not overruled", async () => {
  origin.next(faults.content({ "cache-control": "no-store" }));
  const { answer } = await stack.pay(PATH);
  assert.match(answer.headers["cache-control"], /no-store/);
});

test("caches that ignore Cache-Control in favour of their own headers are told as well", async () => {
  origin.next(
    faults.content({
      "cdn-cache-control": "max-age=600",
      "surrogate-control": "max-age=600",
      "x-accel-expires": "600",
      "edge-control": "max-age=600",
      "x-litespeed-cache-control": "public",
      expires: "Thu, 01 Jan 2099 00:00:00 GMT",
    }),
  );
  const { answer } = await stack.pay(PATH);
  assert.equal(answer.headers["cdn-cache-control"], undefined);
  for (const name of ["surrogate-control", "x-accel-expires", "edge-control", "x-litespeed-cache-control"])
    assert.equal(answer.headers[name], undefined, name);
});

test("a 402 is stored by nobody", async () => {
  const answer = await stack.send(PATH);
  expectProblem(answer, 402, "payment-required");
  assert.match(answer.headers["cache-control"], /no-store/);
});

test("an origin cannot hand out receipts in our name", async () => {
  origin.next(faults.content({ "payment-receipt": "Zm9yZ2Vk" }));
  assert.equal((await stack.send("/free/page")).headers["payment-receipt"], undefined);
  origin.next(faults.content({ "payment-receipt": "Zm9yZ2Vk" }));
  const { answer } = await stack.pay(PATH);
  assert.equal(answer.all("payment-receipt").length, 1);
  assert.notEqual(answer.headers["payment-receipt"], "Zm9yZ2Vk");
});

test("a free answer keeps its own caching", async () => {
  origin.next(faults.content({ "cache-control": "public, max-age=3600" }));
  const answer = await stack.send("/free/page");
  assert.equal(answer.headers["cache-control"], "public, max-age=3600");
});

test("C14: headers by which frameworks and servers rewrite the request line do not reach the origin", async () => {
  const names = [
    "Original-Path",
    "Rewrite-Uri",
    "Matched-Path",
    "Invoke-Path",
    "Forwarded-Path",
    "Forwarded-Method",
    "Original-Method",
  ];
  const headers = Object.fromEntries(
    [...names.map((name) => `X-${name}`), "Path-Info", "SCRIPT_NAME"].map((name) => [name, "/premium/x"]),
  );
  await stack.send("/free/page", { headers });
  assert.doesNotMatch(received(), /premium/);
  await payWith(headers);
  assert.doesNotMatch(received(), /premium/);
});

test("C11: headers and paths beyond the bounds are refused quickly, free and priced alike", async () => {
  const mark = await stack.mark();
  const list = (count) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`X-Own-${i}`, "1"]));
  for (const path of ["/free/page", PATH]) {
    for (const [status, over, headers] of [
      [431, path, { Connection: `close, ${"x,".repeat(20_000)}` }],
      [431, path, list(500)],
      [431, path, { Authorization: `${'""'.repeat(10_000)},x` }],
      [400, `${path}/${";%25".repeat(3_000)}`, {}],
      [414, `${path}?${"q".repeat(20_000)}`, {}],
    ]) {
      expectProblem(await stack.send(over, { headers }), status);
    }
  }
  expectProblem(await stack.send(`${PATH}?${"q".repeat(8_000)}`), 414);
  await mark.nothing();
  const answer = await stack.send(`/free/page?${"q".repeat(8_000)}`, { headers: list(90) });
  assert.equal(answer.status, 200, answer.text);
});
