// CORS for pages that pay, and redirects that must not lead away from the gateway (C9).
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { expectPaid, expectProblem } from "./harness/expect.mjs";
import { faults } from "./harness/origin.mjs";
import { startStack } from "./harness/stack.mjs";

const stack = await startStack();
const { origin } = stack;
const PATH = "/v1/reports/1";
const PAGE = { Origin: "https://app.example" };
const CORS = { "access-control-allow-origin": "https://app.example", vary: "Origin" };

afterEach(() => origin.reset());

const exposed = (answer) =>
  (answer.headers["access-control-expose-headers"] ?? "")
    .toLowerCase()
    .split(/\s*,\s*/)
    .filter(Boolean);

test("a preflight goes to the origin unpaid and its answer comes back", async () => {
  const mark = await stack.mark();
  origin.next(
    faults.status(204, { ...CORS, "access-control-allow-headers": "authorization", "access-control-max-age": "600" }, undefined),
  );
  const answer = await stack.send(PATH, {
    method: "OPTIONS",
    headers: { ...PAGE, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization" },
  });
  assert.equal(answer.status, 204);
  assert.equal(answer.headers["access-control-allow-origin"], "https://app.example");
  assert.deepEqual(answer.challenges, []);
  await mark.moved({ origin: 1 });
});

test("a paid answer of an origin that uses CORS exposes the receipt", async () => {
  origin.next(faults.content({ ...CORS, "access-control-expose-headers": "X-Total" }));
  const { answer, credential } = await stack.pay(PATH, { headers: PAGE });
  await expectPaid(stack, answer, credential);
  assert.equal(answer.headers["access-control-allow-origin"], "https://app.example");
  assert.ok(exposed(answer).includes("payment-receipt"), String(exposed(answer)));
  assert.ok(exposed(answer).includes("x-total"), "what the origin exposes stays exposed");
});

test("an origin without CORS is not opened up", async () => {
  const { answer, credential } = await stack.pay(PATH, { headers: PAGE });
  await expectPaid(stack, answer, credential);
  assert.equal(answer.headers["access-control-allow-origin"], undefined);
});

test("every answer that asks for payment exposes the challenge to pages, if it is open to them at all", async () => {
  const answer = await stack.send(PATH, { headers: PAGE });
  expectProblem(answer, 402, "payment-required");
  if (answer.headers["access-control-allow-origin"]) assert.ok(exposed(answer).includes("www-authenticate"));
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
