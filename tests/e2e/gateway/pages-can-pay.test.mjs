// B16: pages that pay, as browsers let them (CORS). And redirects that must not lead away from the gateway (C9).
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectPaid } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { NetworkError, Page } from "../harness/page.mjs";
import { encodeCredential, parseChallenges } from "../harness/protocol.mjs";
import { openSession, PRICE, payloads, SESSION_ROUTES, startSessions } from "../harness/session.mjs";
import { ROUTES } from "../harness/stack.mjs";

const OWN = { path: "/own/thing", methods: ["PUT"], price: "0.01", header: "Payment-Authorization" };
const stack = await startSessions({ routes: [...ROUTES, ...SESSION_ROUTES, OWN] });
const { origin } = stack;
const PATH = "/v1/reports/1";
const PAGE = { Origin: "https://app.example" };
const CORS = { "access-control-allow-origin": "https://app.example", vary: "Origin" };

const listed = (answer, name) => answer.headers[name].toLowerCase().split(/\s*,\s*/);

afterEach(() => origin.reset());

const page = new Page(stack);

/** Asks and pays as a page does, which sees no more than its browser lets it. */
async function payFromPage({ path = PATH, field = "Authorization", from = page, ...options } = {}) {
  const { status, headers } = await from.fetch(path, {
    ...options,
    headers: { ...options.headers, "Accept-Payment": "evm/charge" },
  });
  assert.equal(status, 402);
  const [challenge] = parseChallenges([headers["www-authenticate"]]);
  const credential = await stack.sign(challenge);
  const more = { [field]: encodeCredential(credential), "X-Custom": "1" };
  return { credential, ...(await from.fetch(path, { ...options, headers: { ...options.headers, ...more } })) };
}

test("B16: a preflight goes to the origin unpaid, and its answer comes back with what is needed to pay", async () => {
  const mark = await stack.mark();
  origin.next(faults.status(204, { ...CORS, "access-control-allow-headers": "X-Own", "access-control-max-age": "7" }, undefined));
  const answer = await stack.send(PATH, {
    method: "OPTIONS",
    headers: { ...PAGE, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization" },
  });
  assert.equal(answer.status, 204);
  assert.equal(answer.headers["access-control-allow-origin"], "https://app.example");
  assert.equal(answer.headers["access-control-max-age"], "7");
  assert.deepEqual(listed(answer, "access-control-allow-headers"), [
    "x-own",
    "authorization",
    "accept-payment",
    "payment-authorization",
    "payment-session",
    "idempotency-key",
    "payment-signature",
    "x-payment",
  ]);
  assert.deepEqual(answer.challenges, []);
  await mark.moved({ origin: 1 });
});

for (const [name, behaviour] of Object.entries({
  "knows nothing of CORS": () => faults.content(),
  "answers OPTIONS with 405": () => faults.status(405),
  "wants a login for OPTIONS": () => faults.status(401, { "www-authenticate": "Bearer" }),
  "fails for OPTIONS": () => faults.status(500),
})) {
  test(`B16: a page pays though the origin ${name}`, async () => {
    origin.always({
      answer: (request, ...rest) => (request.method === "OPTIONS" ? behaviour() : faults.content()).answer(request, ...rest),
    });
    const mark = await stack.mark();
    const { answer, credential, text, headers } = await payFromPage();
    await expectPaid(stack, answer, credential);
    assert.equal(text, `content of GET ${PATH}`);
    assert.ok(headers["payment-receipt"], "the page reads its receipt");
    // Two preflights and the paid request.
    await mark.moved({ origin: 3, transactions: 1, transfers: 1, amount: 10_000n });
  });
}

test("B16: a preflight is answered though the origin cannot be reached, and an answer that says so can be read", async () => {
  const { challenges } = await stack.send(PATH);
  const credential = await stack.sign(challenges.find(({ method }) => method === "evm"));
  await origin.refuse();
  const headers = { Authorization: encodeCredential(credential) };
  try {
    const { status, text } = await page.fetch(PATH, { headers });
    assert.equal(status, 502);
    assert.match(text, /origin/);
  } finally {
    await origin.accept();
  }
  await expectPaid(stack, (await page.fetch(PATH, { headers })).answer, credential);
});

test("B16: every method that is priced can be asked for, with its body and in the field that the route asks for", async () => {
  const put = { path: "/own/thing", method: "PUT", body: "{}", headers: { "Content-Type": "application/json" } };
  const { answer, credential } = await payFromPage({ ...put, field: "Payment-Authorization" });
  await expectPaid(stack, answer, credential);
  assert.equal(origin.requests.at(-1).headers["x-custom"], "1");
});

test("B16: a page manages its channel by a POST that the route itself does not price", async () => {
  const { channel } = await openSession(stack, "evm", { path: "/s/read" });
  const { headers } = await page.fetch("/s/read");
  const challenge = parseChallenges([headers["www-authenticate"]]).find(({ method }) => method === "evm");
  const authorization = encodeCredential({ challenge, payload: await payloads.voucher(channel, PRICE) });
  const managed = await page.fetch("/s/read", { method: "POST", body: "", headers: { Authorization: authorization } });
  assert.equal(managed.status, 204);
  assert.ok(managed.headers["payment-receipt"]);
});

test("B16: what the gateway allows is never for requests with cookies", async () => {
  for (const headers of [{}, { "access-control-allow-credentials": "true" }]) {
    origin.always(faults.content(headers));
    await assert.rejects(page.fetch(PATH, { credentials: "include" }), NetworkError);
    await assert.rejects(
      page.fetch(PATH, { method: "GET", credentials: "include", headers: { Authorization: "x" } }),
      NetworkError,
    );
    const { answer, credential } = await stack.pay(PATH, { headers: { ...PAGE, Cookie: "session=1" } });
    await expectPaid(stack, answer, credential);
    assert.equal(answer.headers["access-control-allow-origin"], undefined, "an answer to cookies is for nobody else");
    const plain = await stack.pay(PATH, { headers: PAGE });
    assert.equal(plain.answer.headers["access-control-allow-origin"], "*");
    assert.equal(plain.answer.headers["access-control-allow-credentials"], undefined);
    const preflight = await stack.send(PATH, { method: "OPTIONS", headers: { ...PAGE, "Access-Control-Request-Method": "GET" } });
    assert.equal(preflight.headers["access-control-allow-credentials"], undefined);
  }
});

test("B16: an origin that says whose pages may is not overruled", async () => {
  origin.always(
    faults.content({
      ...CORS,
      "access-control-allow-headers": "X-Custom",
      "access-control-expose-headers": "X-Total",
      "x-total": "1",
    }),
  );
  const { answer, credential, headers } = await payFromPage();
  await expectPaid(stack, answer, credential);
  assert.equal(answer.headers["access-control-allow-origin"], "https://app.example");
  assert.ok(headers["payment-receipt"]);
  assert.equal(headers["x-total"], "1", "what the origin exposes stays exposed");
  const other = new Page(stack, "https://evil.example");
  await assert.rejects(payFromPage({ from: other }), NetworkError);
  await assert.rejects(other.fetch(PATH, { headers: { Authorization: encodeCredential(credential) } }), NetworkError);
});

test("B16: free routes are the origin's business", async () => {
  await assert.rejects(page.fetch("/free/page"), NetworkError);
  for (const [path, method] of [
    ["/free/page", "GET"],
    [PATH, "POST"],
    ["/s/read", "POST"],
  ]) {
    const asked = { ...PAGE, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type" };
    const mark = await stack.mark();
    const answer = await stack.send(path, { method: "OPTIONS", headers: asked });
    assert.equal(answer.text, `content of OPTIONS ${path}`);
    for (const name of Object.keys(answer.headers)) assert.doesNotMatch(name, /^access-control/, `${method} ${path}`);
    await mark.moved({ origin: 1 });
    origin.next(faults.content({ ...CORS, "access-control-allow-headers": "X-Own" }));
    const open = await stack.send(path, { method: "OPTIONS", headers: asked });
    assert.equal(open.headers["access-control-allow-headers"], "X-Own", `${method} ${path}`);
  }
  origin.next(faults.content({ ...CORS, "access-control-expose-headers": "X-Total" }));
  const read = await page.fetch("/free/page");
  assert.equal(read.answer.headers["access-control-expose-headers"], "X-Total");
});

test("B16: OPTIONS that no browser asks is the origin's", async () => {
  for (const headers of [
    {},
    PAGE,
    { "Access-Control-Request-Method": "GET" },
    { ...PAGE, "Access-Control-Request-Method": "G T" },
  ]) {
    assert.equal((await stack.send(PATH, { method: "OPTIONS", headers })).text, `content of OPTIONS ${PATH}`);
  }
});

const own = () => `http://${stack.host}`;
for (const [name, location, expected] of [
  [
    "its own absolute URL",
    () => `${origin.url}/v1/reports/2?x=1#top`,
    () => [`${own()}/v1/reports/2?x=1#top`, "/v1/reports/2?x=1#top"],
  ],
  ["a path", () => "/v1/reports/2", () => ["/v1/reports/2", `${own()}/v1/reports/2`]],
  ["a relative path", () => "../other", () => ["../other", `${own()}/v1/other`, "/v1/other"]],
  ["its own name without a scheme", () => `//${new URL(origin.url).host}/x`, () => [`${own()}/x`, "/x"]],
]) {
  test(`an origin that redirects to ${name} sends the client back to the gateway`, async () => {
    for (const path of ["/free/page", PATH]) {
      const mark = await stack.mark();
      origin.next(faults.redirect(location()));
      const answer = path === PATH ? (await stack.pay(path)).answer : await stack.send(path);
      assert.equal(answer.status, 302);
      assert.equal(answer.headers["payment-receipt"], undefined);
      if (name === "a relative path" && path !== PATH) continue;
      assert.ok(expected().includes(answer.headers.location), answer.headers.location);
      const { origin: requests } = await mark.difference();
      assert.equal(requests, 1, "redirects are passed on, not followed");
    }
  });
}

test("a redirect to a third party is passed on, never followed by the gateway", async () => {
  const mark = await stack.mark();
  origin.next(faults.redirect("https://elsewhere.example/login"));
  const answer = await stack.send("/free/page");
  assert.equal(answer.status, 302);
  assert.equal(answer.headers.location, "https://elsewhere.example/login");
  await mark.moved({ origin: 1 });
});

for (const path of ["http://evil.example/free/page", "http://127.0.0.1:1/free/page", "//evil.example/free/page"]) {
  test(`${path} is no order to fetch from there`, async () => {
    const mark = await stack.mark();
    const answer = await stack.send(path);
    assert.ok(answer.status < 500, `${answer.status} ${answer.text}`);
    const { origin: requests, transactions } = await mark.difference();
    assert.ok(requests <= 1);
    assert.equal(transactions, 0);
    if (requests) assert.equal(origin.requests.at(-1).headers.host, new URL(origin.url).host);
  });
}

test("a spoofed Host does not choose the origin", async () => {
  const mark = await stack.mark();
  const answer = await stack.send("/free/page", { host: "evil.example" });
  assert.equal(answer.status, 200);
  assert.equal(origin.requests.at(-1).headers.host, new URL(origin.url).host);
  await mark.moved({ origin: 1 });
});
