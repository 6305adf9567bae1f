// Several settlement accounts: each payer's charges are settled by one of them, each has nonces of its own, and copies stay one delivery.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectSpent } from "../harness/expect.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const more = ({ chain }) => chain.accounts.slice(7, 9);
const stack = await startStack({
  gateway: { limits: { settlementTimeoutSeconds: 20, rpcTimeoutSeconds: 5 } },
  secrets: (stack) => ({
    SETTLEMENT_PRIVATE_KEY: [stack.chain.accounts[0], ...more(stack)].map(({ privateKey }) => privateKey).join(","),
  }),
});
const { chain, payers, settlement } = stack;
const accounts = [settlement, ...more(stack)].map(({ address }) => address.toLowerCase());
for (const { privateKey } of more(stack)) stack.confidential.add(privateKey.slice(2));

const path = (i) => `/v1/reports/spread-${i}`;

test("24 charges at once: whoever pays has one account, and each account keeps its own nonces", async () => {
  const before = await Promise.all(accounts.map((address) => chain.transactions(address)));
  const credentials = await Promise.all(
    Array.from({ length: 24 }, (_, i) => stack.credential(path(i), { payer: payers[i % payers.length] })),
  );
  const send = (credential, i) => stack.send(path(i), { authorization: encodeCredential(credential), via: i % 2 });
  const answers = await Promise.all(credentials.map(send));
  const senders = new Map(payers.map(({ address }) => [address, new Set()]));
  for (const [i, answer] of answers.entries()) {
    assert.equal(answer.status, 200, answer.text);
    const { from } = await chain.public.getTransaction({ hash: answer.receipt.reference });
    assert.ok(accounts.includes(from));
    senders.get(payers[i % payers.length].address).add(from);
  }
  for (const [payer, seen] of senders) assert.equal(seen.size, 1, `${payer} was settled by ${[...seen]}`);
  assert.ok(new Set([...senders.values()].flatMap((seen) => [...seen])).size > 1, "four payers, and more than one account");
  const after = await Promise.all(accounts.map((address) => chain.transactions(address)));
  assert.equal(
    after.reduce((sum, count, i) => sum + count - before[i], 0),
    24,
  );
  for (const [i, credential] of credentials.entries()) expectSpent(await send(credential, i));
});

test("a payment that was begun before a restart is finished by the account that began it", async () => {
  await chain.pauseMining();
  const credential = await stack.credential("/v1/reports/kept");
  const authorization = encodeCredential(credential);
  const cut = assert.rejects(stack.send("/v1/reports/kept", { authorization }));
  const waiting = async () => (await Promise.all(accounts.map((address) => chain.waiting(address)))).flat();
  while ((await waiting()).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  const [{ hash }] = await waiting();
  await stack.gateway.kill();
  await cut;
  await chain.resumeMining();
  await stack.gateway.start();
  const answer = await stack.resume("/v1/reports/kept", authorization);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.receipt.reference, hash);
});

test("health tells how each account is", async () => {
  await chain.test.setBalance({ address: accounts[2], value: 1n });
  const { status, json, text } = await stack.send("/__mpp/health");
  const health = json ?? JSON.parse(text);
  assert.equal(status, 503);
  const [rail] = health.rails;
  assert.deepEqual(
    rail.moreSettlementAccounts.map(({ account, settlement }) => [account.toLowerCase(), settlement]),
    [
      [accounts[1], "good"],
      [accounts[2], "the settlement account is running out of gas money"],
    ],
  );
});
