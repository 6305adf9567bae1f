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

for (const [name, breakIt] of Object.entries({
  "the provider is dead": () => rpc.fail("*", faulty.http(500)),
  "the provider is on another chain": () => rpc.fail("eth_chainId", faulty.result("0x1")),
})) {
  test(`health is not good when ${name}`, async () => {
    breakIt();
    await gateway.restart();
    const { status, text } = await json("/__mpp/health");
    assert.equal(status, 503, text);
    rpc.heal();
    await gateway.restart();
    assert.equal((await json("/__mpp/health")).status, 200);
  });
}

test("health is not good when the settlement account has nothing to pay gas with", async () => {
  const value = await chain.public.getBalance({ address: settlement.address });
  await chain.test.setBalance({ address: settlement.address, value: 0n });
  const { status, text } = await json("/__mpp/health");
  await chain.test.setBalance({ address: settlement.address, value });
  assert.equal(status, 503, text);
});

test("health does not wait for a provider that hangs", async () => {
  rpc.fail("*", faulty.hang);
  const started = Date.now();
  const { status } = await json("/__mpp/health");
  assert.equal(status, 503);
  assert.ok(Date.now() - started < 20_000);
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
      assert.equal(answer.status, 405, `${method} ${path}: ${answer.status}`);
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
