// What proves a payment on chain: this authorization's own transfer, in a block that stays. Nothing that merely looks like it.
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { expectPaid, expectProblem, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { Gateway } from "../harness/gateway.mjs";
import { send } from "../harness/http.mjs";
import { until } from "../harness/processes.mjs";
import { authorizationOf, encodeCredential, signAuthorization } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { chain, rpc, settlement, stranger } = stack;
const PATH = "/v1/reports/1";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };
const FIRST_IN_BLOCK = { maxFeePerGas: 900_000_000_000n, maxPriorityFeePerGas: 800_000_000_000n };
const [alice, bob, carol] = stack.payers;

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

/** Another authorization by the same payer with the same nonce: to the stranger, not to us. */
async function burning(credential, payer, changes = {}) {
  const authorization = { ...authorizationOf(credential), to: stranger.address, value: 1n, ...changes };
  return { ...authorization, signature: await signAuthorization(payer, stack.token.domain, authorization) };
}

async function presentWithoutBlocks(options) {
  await chain.pauseMining();
  const paid = await stack.pay(PATH, { scheme: "abstract", ...options });
  expectTryAgain(paid.answer);
  await chain.submitted(settlement.address);
  return paid;
}

test("a payer who burns the nonce on another transfer while ours waits gets nothing", async () => {
  const mark = await stack.mark();
  const { credential, authorization } = await presentWithoutBlocks({ payer: alice });
  await chain.submit(await burning(credential, alice), stranger, FIRST_IN_BLOCK);
  await chain.resumeMining();
  const answer = await stack.resume(PATH, authorization);
  expectProblem(answer, 402, "verification-failed", "invalid-challenge");
  await mark.moved({ transactions: 1 });
});

test("a payer who burns the nonce on a transfer of the same amount to somebody else gets nothing", async () => {
  const mark = await stack.mark();
  const { credential, authorization } = await presentWithoutBlocks({ payer: alice });
  await chain.submit(await burning(credential, alice, { value: 10_000n }), stranger, FIRST_IN_BLOCK);
  await chain.resumeMining();
  expectProblem(await stack.resume(PATH, authorization), 402, "verification-failed", "invalid-challenge");
  await mark.moved({ transactions: 1 });
});

test("a payer who cancels the authorization while ours waits gets nothing", async () => {
  const mark = await stack.mark();
  const { credential, authorization } = await presentWithoutBlocks({ payer: alice });
  const { from: authorizer, nonce } = authorizationOf(credential);
  const signature = await alice.signTypedData({
    domain: stack.token.domain,
    types: {
      CancelAuthorization: [
        { name: "authorizer", type: "address" },
        { name: "nonce", type: "bytes32" },
      ],
    },
    primaryType: "CancelAuthorization",
    message: { authorizer, nonce },
  });
  await chain.callToken("cancelAuthorization", [authorizer, nonce, signature], stranger, FIRST_IN_BLOCK);
  await chain.resumeMining();
  expectProblem(await stack.resume(PATH, authorization), 402, "verification-failed", "invalid-challenge");
  await mark.moved({ transactions: 1 });
});

for (const [name, order] of [
  ["behind", (paid, burnt) => [paid, burnt]],
  ["before", (paid, burnt) => [burnt, paid]],
]) {
  test(`one transfer in a transaction pays for one authorization: another nonce burnt ${name} it gets nothing`, async () => {
    const first = await stack.credential("/v1/reports/first", { payer: bob });
    const second = await stack.credential("/v1/reports/second", { payer: bob });
    const mark = await stack.mark();
    await chain.submitTogether(order(authorizationOf(first), await burning(second, bob)), stranger);
    const paid = await stack.present("/v1/reports/first", first);
    await expectPaid(stack, paid.answer, first, { sentByUs: false });
    const free = await stack.present("/v1/reports/second", second);
    expectProblem(free.answer, 402, "verification-failed", "invalid-challenge");
    await mark.moved({ origin: 1, transactions: 0, transfers: 1, amount: 10_000n });
  });
}

test("two payments in one foreign transaction are two payments", async () => {
  const paths = ["/v1/reports/first", "/v1/reports/second"];
  const credentials = await Promise.all(paths.map((path) => stack.credential(path, { payer: bob })));
  const mark = await stack.mark();
  await chain.submitTogether(credentials.map(authorizationOf), stranger);
  for (const [i, credential] of credentials.entries()) {
    const { answer, authorization } = await stack.present(paths[i], credential);
    const delivered = answer.status === 503 ? await stack.resume(paths[i], authorization) : answer;
    assert.equal(delivered.status, 200, delivered.text);
    assert.ok(delivered.receipt);
  }
  await mark.moved({ origin: 2, transactions: 0, transfers: 2, amount: 20_000n });
});

for (const [name, rewrite] of Object.entries({
  "no logs": (receipt) => receipt && { ...receipt, logs: [] },
  "the transfer of another token": (receipt) =>
    receipt && { ...receipt, logs: receipt.logs.map((log) => ({ ...log, address: stack.chain.escrow })) },
  "the status of a failure": (receipt) => receipt && { ...receipt, status: "0x0" },
  "another amount": (receipt) =>
    receipt && {
      ...receipt,
      logs: receipt.logs.map((log) => ({ ...log, data: log.data === "0x" ? "0x" : `0x${"0".repeat(63)}1` })),
    },
})) {
  test(`a receipt with ${name} is no proof: nothing is delivered`, async () => {
    // What looks like this costs a payer its trust: each has its own.
    const payer = privateKeyToAccount(generatePrivateKey());
    await chain.mint(payer.address, 10_000n);
    const mark = await stack.mark();
    rpc.fail("eth_getTransactionReceipt", faulty.rewrite(rewrite));
    const { answer } = await stack.pay(PATH, { payer });
    assert.notEqual(answer.status, 200);
    assert.equal(await chain.balance(payer.address), 0n, "it was sent");
    assert.equal(answer.headers["payment-receipt"], undefined);
    const { origin } = await mark.difference();
    assert.equal(origin, 0);
  });
}

test("a block that is taken back within the configured depth: the payment is submitted again, and delivered once", {
  timeout: 120_000,
}, async () => {
  await stack.reconfigure({ gateway: { confirmations: 3 } });
  const mark = await stack.mark();
  const { answer, credential, authorization } = await stack.pay(PATH, { payer: bob });
  expectTryAgain(answer);
  await mark.moved({ ...ONE, origin: 0 });
  await chain.test.request({ method: "anvil_rollback", params: [1] });
  await mark.nothing();
  const mining = setInterval(() => chain.mine(1).catch(() => {}), 300);
  try {
    await expectPaid(stack, await stack.resume(PATH, authorization, { ms: 90_000 }), credential);
  } finally {
    clearInterval(mining);
  }
  expectSpent(await stack.send(PATH, { authorization }));
  await mark.moved(ONE);
});

test("a provider without EIP-1559 gets a legacy transaction", async () => {
  await stack.reconfigure({});
  rpc.fail(
    "eth_getBlockByNumber",
    faulty.rewrite((block) => block && { ...block, baseFeePerGas: undefined }),
  );
  rpc.fail(
    "eth_maxPriorityFeePerGas",
    faulty.error("the method eth_maxPriorityFeePerGas does not exist/is not available", -32601),
  );
  rpc.fail("eth_feeHistory", faulty.error("the method eth_feeHistory does not exist/is not available", -32601));
  const mark = await stack.mark();
  const { answer, credential, authorization } = await stack.pay(PATH, { payer: carol });
  const delivered = answer.status === 503 ? await stack.resume(PATH, authorization) : answer;
  const { reference } = await expectPaid(stack, delivered, credential);
  const { type } = await chain.public.getTransaction({ hash: reference });
  assert.equal(type, "legacy");
  await mark.moved(ONE);
});

for (const scheme of ["evm", "abstract"]) {
  test(`${scheme}: what was sold is not sold again by a gateway that lost its storage`, async () => {
    await stack.reconfigure({});
    const changes = scheme === "abstract" ? { validBefore: String(Math.floor(Date.now() / 1000) + 900) } : {};
    const { answer, credential } = await stack.pay(PATH, { scheme, changes, payer: carol });
    await expectPaid(stack, answer, credential);
    const amnesiac = await new Gateway({ vars: { gateway: stack.configuration }, secrets: stack.secrets }).start();
    after(() => amnesiac.dispose());
    const mark = await stack.mark();
    const host = stack.host;
    const present = (shown) => send(amnesiac.urls[0], PATH, { host, headers: { authorization: encodeCredential(shown) } });
    expectProblem(await present(credential), 402, "verification-failed", "invalid-challenge");
    if (scheme === "abstract") {
      // The same authorization under a challenge made after it was used.
      const challenge = (await send(amnesiac.urls[0], PATH, { host })).challenge("abstract");
      expectProblem(await present({ ...credential, challenge }), 402, "verification-failed", "invalid-challenge");
    }
    await mark.nothing();
  });
}

test("one credential shown to two gateways that share the account is settled once and delivered once", async () => {
  const other = await new Gateway({ vars: { gateway: stack.configuration }, secrets: stack.secrets }).start();
  after(() => other.dispose());
  for (let round = 0; round < 5; round++) {
    const mark = await stack.mark();
    const payer = privateKeyToAccount(generatePrivateKey());
    await chain.mint(payer.address, 10_000n);
    const credential = await stack.credential(PATH, { payer });
    const headers = { authorization: encodeCredential(credential) };
    const show = (url) =>
      until(async () => {
        const { status } = await send(url, PATH, { host: stack.host, headers });
        return status !== 503 && status;
      }, "a verdict");
    const statuses = await Promise.all([show(stack.gateway.urls[0]), show(other.urls[0])]);
    assert.deepEqual(statuses.sort(), [200, 402]);
    const { origin, transfers } = await mark.difference();
    assert.deepEqual({ origin, transfers }, { origin: 1, transfers: 1 });
  }
});
