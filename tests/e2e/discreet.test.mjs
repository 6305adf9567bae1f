// C6, C7: what the gateway says of itself. Every test file asserts besides that no log and no answer holds a secret.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CHAIN_ID } from "../../scripts/chain.mjs";
import { faulty } from "./harness/rpc-proxy.mjs";
import { startStack } from "./harness/stack.mjs";

const stack = await startStack();
const { chain, gateway, origin, rpc, settlement } = stack;

afterEach(() => rpc.heal());

const json = async (path) => {
  const answer = await stack.send(path);
  assert.match(answer.headers["content-type"], /^application\/json/);
  return { status: answer.status, body: answer.json, text: answer.text };
};

test("a healthy gateway says so, with 200, and holds back everything secret", async () => {
  const mark = await stack.mark();
  const { status, text } = await json("/__mpp/health");
  assert.equal(status, 200, text);
  assert.ok(!text.includes(String(rpc.port)), "not even where the provider is");
  await mark.nothing();
});

// An answer may be kept for a few seconds, since anybody may ask: a restart forgets it.
async function healthAfter(breakIt, mend) {
  await gateway.stop();
  await breakIt();
  await gateway.start();
  const started = Date.now();
  const health = await json("/__mpp/health");
  assert.ok(Date.now() - started < 30_000, "in bounded time");
  await mend();
  await gateway.restart();
  assert.equal((await json("/__mpp/health")).status, 200, "and good again when it is mended");
  return health;
}

for (const [name, fault] of Object.entries({
  "the provider is dead": ["*", faulty.http(500)],
  "the provider hangs": ["*", faulty.hang],
  "the provider is on another chain": ["eth_chainId", faulty.result("0x1")],
})) {
  test(`health is not good when ${name}`, async () => {
    const { status, text } = await healthAfter(
      () => rpc.fail(...fault),
      () => rpc.heal(),
    );
    assert.equal(status, 503, text);
  });
}

test("health is not good when the settlement account has nothing to pay gas with", async () => {
  const value = await chain.public.getBalance({ address: settlement.address });
  const setBalance = (amount) => chain.test.setBalance({ address: settlement.address, value: amount });
  const { status, text } = await healthAfter(
    () => setBalance(0n),
    () => setBalance(value),
  );
  assert.equal(status, 503, text);
});

test("health may be asked by anybody as often as they like: the chain is not asked each time", async () => {
  rpc.forget();
  for (let i = 0; i < 50; i++) await json("/__mpp/health");
  assert.ok(rpc.posts <= 5, `${rpc.posts} requests`);
});

test("the config endpoint says what a client may know: chain, token, recipient, prices", async () => {
  const mark = await stack.mark();
  const { status, body, text } = await json("/__mpp/config");
  assert.equal(status, 200);
  assert.ok(text.includes(stack.token.address));
  assert.ok(text.includes(stack.recipient));
  assert.ok(text.includes(String(CHAIN_ID)));
  for (const { path } of body.routes) assert.equal(typeof path, "string");
  assert.ok(body.routes.some(({ path }) => path === "/v1/reports/{id}"));
  await mark.nothing();
});

test("the config endpoint says nothing of providers, origin, or keys", async () => {
  const { text } = await json("/__mpp/config");
  for (const hidden of [String(rpc.port), String(origin.port), "PRIVATE", "SECRET"]) assert.ok(!text.includes(hidden), hidden);
});

test("the gateway's own paths never reach the origin, and other methods on them do nothing", async () => {
  const mark = await stack.mark();
  for (const path of ["/__mpp/health", "/__mpp/config"]) {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const answer = await stack.send(path, { method });
      assert.ok([400, 405].includes(answer.status), `${method} ${path}: ${answer.status}`);
    }
  }
  for (const path of ["/__mpp", "/__mpp/", "/__mpp/nothing", "/__mpp/health/x", "/__MPP/health", "//__mpp/health"]) {
    const answer = await stack.send(path);
    assert.ok([200, 404].includes(answer.status), `${path}: ${answer.status}`);
    if (answer.status === 200 && origin.requests.length > 0) assert.ok(!origin.requests.at(-1).url.startsWith("/__mpp/"));
  }
  const { transactions } = await mark.difference();
  assert.equal(transactions, 0);
});

test("failures of every kind print neither secrets nor credentials", async () => {
  rpc.fail("*", faulty.error("invalid key rpc-url-key for this endpoint", -32000));
  await stack.pay("/v1/reports/1");
  rpc.heal();
  await rpc.refuse();
  await stack.pay("/v1/reports/1");
  await rpc.accept();
  await origin.refuse();
  const { answer } = await stack.pay("/v1/reports/1");
  await origin.accept();
  assert.equal(answer.status, 502);
  assert.ok(!answer.text.includes(String(origin.port)), "the origin's address is nobody's business");
  stack.assertDiscreetLogs();
});
