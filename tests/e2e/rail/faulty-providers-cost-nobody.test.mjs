// B2, A25: providers that are dead, slow, wrong, or polite about it. Nothing a provider does makes a payer pay twice or for nothing.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { expectPaid, expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { faulty, RpcProxy } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

let second;
const stack = await startStack({
  async prepare({ chain }) {
    second = await new RpcProxy(chain.rpc, "/second/rpc-url-key").start();
  },
  secrets: ({ rpc }) => ({ RPC_URL: rpc.url }),
});
after(() => second.stop());
const { rpc } = stack;
const PATH = "/v1/reports/1";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };

const dead = {
  "refuses the connection": () => rpc.refuse(),
  "never answers": () => rpc.fail("*", faulty.hang),
  "answers too slowly": () => rpc.fail("*", faulty.slow(20_000)),
  "answers 429": () => rpc.fail("*", faulty.http(429, '{"error":"slow down"}', { "content-type": "application/json" })),
  "answers 500": () => rpc.fail("*", faulty.http(500, "oops")),
  "answers 403 with HTML": () => rpc.fail("*", faulty.http(403, "<html>blocked</html>")),
  "answers HTML with 200": () => rpc.fail("*", faulty.html),
  "answers nothing with 200": () => rpc.fail("*", faulty.http(200, "", { "content-type": "application/json" })),
  "answers half of a JSON": () => rpc.fail("*", faulty.http(200, '{"jsonrpc":"2.0","id":1,"res')),
  "answers null": () => rpc.fail("*", faulty.http(200, "null", { "content-type": "application/json" })),
  "says internal error to everything": () => rpc.fail("*", faulty.error("internal error", -32603)),
  "says rate limited to everything": () =>
    rpc.fail("*", faulty.error("daily request count exceeded, request rate limited", -32005)),
  "is on another chain": () => rpc.fail("eth_chainId", faulty.result("0x1")),
};

async function healed() {
  await rpc.accept();
  rpc.heal();
}

async function withBoth() {
  await stack.reconfigure({ secrets: { RPC_URL: `${rpc.url}, ${second.url}` } });
  second.forget();
}

for (const [said, error] of Object.entries({
  "an error of its own": { code: -32600, message: "batch too large" },
  "what it says to who asks too often": { code: -32005, message: "limit exceeded" },
})) {
  test(`a provider that takes 12 requests in a post and refuses more with ${said}: fourteen charges at once are settled`, async () => {
    await stack.reconfigure({});
    const mark = await stack.mark();
    const credentials = await Promise.all(Array.from({ length: 14 }, () => stack.credential(PATH)));
    rpc.limit(12, error);
    const answers = await Promise.all(
      credentials.map((credential) => stack.resume(PATH, encodeCredential(credential), { ms: 40_000 })),
    );
    for (const [i, answer] of answers.entries()) await expectPaid(stack, answer, credentials[i]);
    rpc.heal();
    await mark.moved({ origin: 14, transactions: 14, transfers: 14, amount: 140_000n });
  });
}

for (const [name, breakIt] of Object.entries(dead)) {
  test(`a provider that ${name}: nothing is taken, 503, and the same credential pays later`, async () => {
    // A fresh start forgets which chain the provider was on.
    await stack.reconfigure({});
    const mark = await stack.mark();
    const credential = await stack.credential(PATH);
    const authorization = encodeCredential(credential);
    await breakIt();
    rpc.forget();
    const started = Date.now();
    expectTryAgain(await stack.send(PATH, { authorization }));
    assert.ok(Date.now() - started < 30_000, "in bounded time");
    assert.equal(rpc.count("eth_sendRawTransaction"), 0, "nothing is broadcast to a provider like that");
    await mark.nothing();
    await healed();
    await expectPaid(stack, await stack.resume(PATH, authorization), credential);
    await mark.moved(ONE);
  });

  test(`a first provider that ${name}: the second one is used`, async () => {
    await withBoth();
    const mark = await stack.mark();
    const credential = await stack.credential(PATH);
    await breakIt();
    rpc.forget();
    const answer = await stack.resume(PATH, encodeCredential(credential));
    await healed();
    await expectPaid(stack, answer, credential);
    assert.ok(second.count("eth_sendRawTransaction") >= 1, "the second provider got the transaction");
    await mark.moved(ONE);
  });
}

test("a first provider in good health is the only one asked", async () => {
  await withBoth();
  const { answer, credential } = await stack.pay(PATH);
  await expectPaid(stack, answer, credential);
  assert.equal(second.posts, 0);
});

test("a provider that fails in the middle of a payment hands over to the second", async () => {
  await withBoth();
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  rpc.fail("eth_getTransactionReceipt", faulty.http(500, "oops"));
  const answer = await stack.resume(PATH, encodeCredential(credential));
  rpc.heal();
  await expectPaid(stack, answer, credential);
  await mark.moved(ONE);
});

test("a revert in the simulation is the payer's problem, not the provider's: no failover, 402", async () => {
  await withBoth();
  const mark = await stack.mark();
  const credential = await stack.credential(PATH, {
    scheme: "abstract",
    changes: { validAfter: String(Math.floor(Date.now() / 1000) + 100) },
  });
  expectProblem((await stack.present(PATH, credential)).answer, 402, "verification-failed");
  await mark.nothing();
});

test("free routes and unpaid requests never ask a provider", async () => {
  await stack.reconfigure({});
  rpc.fail("*", faulty.hang);
  rpc.forget();
  assert.equal((await stack.send("/free")).status, 200);
  expectProblem(await stack.send(PATH), 402, "payment-required");
  assert.equal(rpc.posts, 0);
  rpc.heal();
});

test("A25: one provider refuses a transaction for good by rules of its own: another takes it", async () => {
  await withBoth();
  const mark = await stack.mark();
  rpc.fail("eth_sendRawTransaction", faulty.error("tx fee (1.20 ether) exceeds the configured cap (1.00 ether)"));
  const { answer, credential } = await stack.pay(PATH);
  await healed();
  await expectPaid(stack, answer, credential);
  assert.equal(second.count("eth_sendRawTransaction"), 1);
  await mark.moved(ONE);
});
