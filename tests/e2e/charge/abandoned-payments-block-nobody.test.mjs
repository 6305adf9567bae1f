// Payments that outlast the patience of whoever asked for them: each is made once, and it blocks nobody for good.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { privateKeyToAccount } from "viem/accounts";
import { expectPaid, expectProblem, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

// A look at the chain may take longer than the wait for a settlement and the margin that objects get for it.
const stack = await startStack({ gateway: { limits: { settlementTimeoutSeconds: 1, rpcTimeoutSeconds: 20 } } });
const { chain, gateway, rpc, settlement } = stack;
const PATH = "/v1/same";

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

for (const [path, price, key] of [
  [PATH, 10_000n, "7c"],
  ["/v1/late", 30_000n, "7d"],
]) {
  test(`${path}: a payment whose client gave up does not hold back the payer's balance once it has settled`, async () => {
    const payer = privateKeyToAccount(`0x${key.repeat(32)}`);
    await chain.mint(payer.address, 2n * price);
    const mark = await stack.mark();
    await chain.pauseMining();
    const abandoned = await stack.pay(path, { payer });
    expectTryAgain(abandoned.answer);
    const { origin: asked } = await mark.difference();
    await chain.submitted(settlement.address);
    await chain.resumeMining();

    const next = await stack.pay(path, { payer });
    const { answer } = next;
    const delivered = answer.status === 503 ? await stack.resume(path, next.authorization, { ms: 15_000 }) : answer;
    await expectPaid(stack, delivered, next.credential);
    await mark.moved({ origin: asked + 1, transactions: 2, transfers: 2, amount: 2n * price });

    // Nothing is left for a third, and what was abandoned is still there for whoever paid for it.
    expectProblem((await stack.pay(path, { payer })).answer, 402, "payment-insufficient");
    await expectPaid(stack, await stack.resume(path, abandoned.authorization), abandoned.credential);
    expectSpent(await stack.send(path, { authorization: abandoned.authorization }));
    await mark.moved({ origin: asked + 2, transactions: 2, transfers: 2, amount: 2n * price });
  });
}

for (const [name, first, second] of [
  ["the first look ends first", 7_500, 7_500],
  ["the second look ends first", 10_000, 200],
]) {
  test(`a second call comes while the first still looks at the chain: one transaction, also when ${name}`, async () => {
    // An object that has just started knows nothing of the chain and has to look before it signs.
    await gateway.restart();
    const credential = await stack.credential(PATH);
    const mark = await stack.mark();
    rpc.forget();
    // Two in each look.
    rpc.fail("eth_getTransactionCount", faulty.slow(second), 2);
    rpc.fail("eth_getTransactionCount", faulty.slow(first), 2);
    const slow = new Promise((resolve) => setTimeout(resolve, first + second + 1_000));
    const { answer, authorization } = await stack.present(PATH, credential);
    expectTryAgain(answer);
    const asked = ["eth_getTransactionCount", "eth_sendRawTransaction"].map((method) => rpc.count(method));
    assert.deepEqual(asked, [2, 0], "the first call is still looking");
    await expectPaid(stack, await stack.resume(PATH, authorization), credential);
    // By now both looks are over, and whoever wanted to sign has.
    await slow;
    const sent = rpc.calls.filter(({ method }) => method === "eth_sendRawTransaction").map(({ params }) => params[0]);
    assert.equal(new Set(sent).size, 1, "one transaction was signed");
    expectSpent(await stack.send(PATH, { authorization }));
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
  });
}
