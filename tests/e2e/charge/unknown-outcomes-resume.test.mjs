// B1, B2: after a broadcast an unknown outcome is never a 402. The same credential resumes the same payment, and there is one transfer.
// Answers that are lost are cases of the conformance suite; here are answers that lie, and what else may keep a transfer from being made.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { mppxClient } from "../harness/clients.mjs";
import { expectPaid, expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { chain, rpc, settlement } = stack;
const PATH = "/v1/reports/1";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

/** The chain gets the transaction, the gateway never hears of it. */
function loseEverythingAfterBroadcast(fault) {
  rpc.fail("eth_getTransactionReceipt", faulty.hang);
  rpc.fail("eth_getTransactionByHash", faulty.hang);
  rpc.fail("eth_sendRawTransaction", fault);
}

test("mppx signs once when the outcome is unknown: it sees 503 and stops", async () => {
  const mark = await stack.mark();
  const { fetch, requests } = mppxClient(stack.payers[0], stack.token);
  loseEverythingAfterBroadcast(faulty.hangAfter);
  const response = await fetch(stack.gateway.urls[0] + PATH);
  assert.equal(response.status, 503);
  assert.deepEqual(
    requests.map(({ status }) => status),
    [402, 503],
  );
  rpc.heal();
  const { authorization } = requests[1];
  assert.equal((await stack.resume(PATH, authorization)).status, 200);
  await mark.moved(ONE);
});

const lies = [
  ["already known", faulty.errorAfter("already known"), 1],
  ["ALREADY_EXISTS: already known", faulty.errorAfter("ALREADY_EXISTS: already known", -32603), 1],
  ["known transaction", faulty.errorAfter("known transaction: 0xabc"), 1],
  ["transaction already imported", faulty.errorAfter("transaction already imported"), 1],
  ["nonce too low, although it took it", faulty.errorAfter("nonce too low"), 1],
  ["replacement transaction underpriced, although it took it", faulty.errorAfter("replacement transaction underpriced"), 1],
  ["internal error, although it took it", faulty.errorAfter("internal error", -32603), 1],
  ["rate limited, without taking it", faulty.error("request rate limited", -32005), 1],
  ["transaction underpriced, without taking it", faulty.error("transaction underpriced"), 1],
  ["nonce too low, without taking it", faulty.error("nonce too low: next nonce 99, tx nonce 0"), 1],
  ["txpool is full, without taking it", faulty.error("txpool is full"), 1],
  ["max fee per gas less than block base fee", faulty.error("max fee per gas less than block base fee"), 1],
];
for (const [name, fault, times] of lies) {
  test(`the provider answers the broadcast with "${name}": one transfer in the end`, async () => {
    const mark = await stack.mark();
    rpc.fail("eth_sendRawTransaction", fault, times);
    const { answer, credential, authorization } = await stack.pay(PATH);
    assert.ok([200, 503].includes(answer.status), `${answer.status} ${answer.text}`);
    await expectPaid(stack, answer.status === 503 ? await stack.resume(PATH, authorization) : answer, credential);
    await mark.moved(ONE);
  });
}

test("a gateway without gas is our trouble, not the payer's: 503, and the credential pays once there is gas", async () => {
  const mark = await stack.mark();
  const rich = await chain.public.getBalance({ address: settlement.address });
  await chain.test.setBalance({ address: settlement.address, value: 0n });
  const { answer, credential, authorization } = await stack.pay(PATH);
  expectTryAgain(answer);
  await mark.nothing();
  await chain.test.setBalance({ address: settlement.address, value: rich });
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  await mark.moved(ONE);
});

test("a transfer that reverts after all, because the money left meanwhile: 402 and nothing delivered", async () => {
  const payer = stack.payers[3];
  const mark = await stack.mark();
  await chain.pauseMining();
  const { answer, authorization } = await stack.pay(PATH, { payer });
  expectTryAgain(answer);
  const balance = await chain.balance(payer.address);
  // Above whatever fee the gateway chose, so that it comes first in the block.
  const first = { maxFeePerGas: 500_000_000_000n, maxPriorityFeePerGas: 400_000_000_000n };
  await chain.callToken("transfer", [stack.stranger.address, balance], payer, first);
  await chain.resumeMining();
  const after = await stack.resume(PATH, authorization);
  expectProblem(after, 402, "verification-failed", "payment-insufficient", "invalid-challenge");
  await mark.moved({ transactions: 1 });
  // The same credential did not pay, and the payer may try again with a new one.
  await chain.mint(payer.address, balance);
  const { answer: again, credential } = await stack.pay(PATH, { payer });
  await expectPaid(stack, again, credential);
  await mark.moved({ ...ONE, transactions: 2 });
});

test("the confirmations that the configuration asks for are waited for", async () => {
  await stack.reconfigure({ gateway: { confirmations: 3 } });
  const mark = await stack.mark();
  const { answer, credential, authorization } = await stack.pay(PATH);
  expectTryAgain(answer);
  await mark.moved({ ...ONE, origin: 0 });
  await chain.mine(1);
  expectTryAgain(await stack.send(PATH, { authorization }));
  await chain.mine(1);
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  await mark.moved(ONE);
});
