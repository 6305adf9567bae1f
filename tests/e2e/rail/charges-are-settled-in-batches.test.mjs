// `settle.batch`: several charges in one transaction of Multicall3. Each is judged by its own log: one that fails takes nobody along, and
// dying at any moment settles nothing twice. And what it saves, in gas of the real contracts.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { MULTICALL3 } from "../../../scripts/chain.mjs";
import { expectProblem, expectSpent } from "../harness/expect.mjs";
import { authorizationOf, encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const batch = { max: 20, waitMs: 1_500, multicall: MULTICALL3 };
const stack = await startStack({
  gateway: { settle: { batch }, limits: { settlementTimeoutSeconds: 20, rpcTimeoutSeconds: 5 } },
});
const { chain, gateway, rpc, settlement, stranger } = stack;
const FIRST_IN_BLOCK = { maxFeePerGas: 900_000_000_000n, maxPriorityFeePerGas: 800_000_000_000n };

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

const path = (i) => `/v1/reports/batch-${i}`;
const credentials = (count) =>
  Promise.all(
    Array.from({ length: count }, (_, i) =>
      stack.credential(path(i), { payer: stack.payers[i % stack.payers.length], scheme: i % 3 ? "evm" : "abstract" }),
    ),
  );
const present = (all) =>
  all.map((credential, i) => stack.send(path(i), { authorization: encodeCredential(credential), via: i % 2 }));

/** Asserts that each was delivered, for a transfer of its own in the transaction that its receipt names. Returns the transactions. */
async function expectPaidEach(answers, all) {
  const transfers = await chain.transfersTo(stack.recipient);
  for (const [i, answer] of answers.entries()) {
    assert.equal(answer.status, 200, answer.text);
    const { from, nonce } = authorizationOf(all[i]);
    assert.equal(answer.receipt.challengeId, all[i].challenge.id);
    const { logs, status } = await chain.public.getTransactionReceipt({ hash: answer.receipt.reference });
    assert.equal(status, "success");
    const word = from.slice(2).toLowerCase();
    assert.equal(
      logs.filter(({ topics }) => topics[1]?.endsWith(word) && topics[2] === nonce).length,
      1,
      "its authorization was used there",
    );
    assert.ok(transfers.some(({ transactionHash }) => transactionHash === answer.receipt.reference));
  }
  return new Set(answers.map(({ receipt }) => receipt.reference));
}

const gasOf = async (hash) => Number((await chain.public.getTransactionReceipt({ hash })).gasUsed);

test("20 charges at once are one transaction, which takes at most 0.65 of the gas that each takes alone", async (t) => {
  // The recipient's first token, and each payer's first authorization, take more than what follows.
  const [first] = await credentials(1);
  await Promise.all(present([first]));
  const [alone] = await credentials(1);
  const [single] = await Promise.all(present([alone]));
  const mark = await stack.mark();
  const all = await credentials(20);
  const answers = await Promise.all(present(all));
  const transactions = await expectPaidEach(answers, all);
  assert.equal(transactions.size, 1);
  await mark.moved({ origin: 20, transactions: 1, transfers: 20, amount: 200_000n });
  const each = (await gasOf([...transactions][0])) / 20;
  const one = await gasOf(single.receipt.reference);
  t.diagnostic(`gas of a charge: ${one} alone, ${Math.round(each)} in a batch of 20: ${(each / one).toFixed(3)}`);
  assert.ok(each <= 0.65 * one, `${each} of ${one}`);
  for (const [i, credential] of all.entries())
    expectSpent(await stack.send(path(i), { authorization: encodeCredential(credential) }));
});

test("whoever asks alone is settled alone, when nobody came in time", async () => {
  const mark = await stack.mark();
  const [credential] = await credentials(1);
  const [answer] = await Promise.all(present([credential]));
  await expectPaidEach([answer], [credential]);
  const { to } = await chain.public.getTransaction({ hash: answer.receipt.reference });
  assert.equal(to, chain.token.address.toLowerCase(), "no contract between the account and the token");
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("one that fails takes nobody along, and one that a stranger has brought about is paid", async () => {
  const mark = await stack.mark();
  const all = await credentials(4);
  await chain.pauseMining();
  const answers = present(all);
  await chain.submitted(settlement.address);
  // The second payer's money goes elsewhere, and a stranger submits what the third has signed, both ahead of the batch.
  const [, broke] = stack.payers;
  const balance = await chain.balance(broke.address);
  await chain.callToken("transfer", [stranger.address, balance], broke, FIRST_IN_BLOCK);
  const hash = await chain.submit(authorizationOf(all[2]), stranger, FIRST_IN_BLOCK);
  await chain.resumeMining();
  const [paid, failed, foreign, other] = await Promise.all(answers);
  expectProblem(failed, 402, "verification-failed");
  const [ours] = await expectPaidEach([paid, other], [all[0], all[3]]);
  assert.equal(other.receipt.reference, ours);
  assert.equal(foreign.status, 200, foreign.text);
  assert.equal(foreign.receipt.reference, hash);
  await mark.moved({ origin: 3, transactions: 1, transfers: 3, amount: 30_000n });
  await chain.callToken("transfer", [broke.address, balance], stranger);
});

test("killed while a batch waits for its block: all of it completes, once", async () => {
  const mark = await stack.mark();
  const all = await credentials(6);
  await chain.pauseMining();
  const cut = present(all).map((answer) => assert.rejects(answer));
  await chain.submitted(settlement.address);
  await gateway.kill();
  await Promise.all(cut);
  // The node has forgotten it as well.
  const [{ hash }] = await chain.waiting(settlement.address);
  await chain.test.dropTransaction({ hash });
  await chain.resumeMining();
  await gateway.start();
  const answers = [];
  for (const [i, credential] of all.entries()) answers.push(await stack.resume(path(i), encodeCredential(credential)));
  // On a machine that has much to do some may have come too late for the first batch.
  const { size } = await expectPaidEach(answers, all);
  assert.ok(size <= 3, `${size} transactions`);
  await mark.moved({ origin: 6, transactions: size, transfers: 6, amount: 60_000n });
});

test("where the contract is not, each charge is a transaction of its own", async () => {
  await stack.reconfigure({ gateway: { settle: { batch: { ...batch, multicall: stranger.address } } } });
  const mark = await stack.mark();
  const all = await credentials(3);
  const answers = await Promise.all(present(all));
  assert.equal((await expectPaidEach(answers, all)).size, 3, "nothing went together");
  await mark.moved({ origin: 3, transactions: 3, transfers: 3, amount: 30_000n });
  assert.match(gateway.logs, /settle\.batch\.multicall: no contract is at/);
});
