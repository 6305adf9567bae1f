// A24: many charges of one payer that simulate well beside each other, then one transfer that empties it. And C11: who has not proved
// anything leaves nothing behind.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { basename } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, test } from "node:test";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { expectPaid, expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack({ gateway: { limits: { settlementTimeoutSeconds: 3 } } });
const { chain, gateway, rpc, settlement } = stack;
const PATH = "/v1/reports/1";
const PRICE = 10_000n;
const AT_ONCE = 16;
const FIRST_IN_BLOCK = { maxFeePerGas: 900_000_000_000n, maxPriorityFeePerGas: 800_000_000_000n };

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

async function newPayer(amount) {
  const payer = privateKeyToAccount(generatePrivateKey());
  if (amount > 0n) await chain.mint(payer.address, amount);
  return payer;
}

const credentialsOf = (payer, count) =>
  Promise.all(Array.from({ length: count }, () => stack.credential(PATH, { payer, scheme: "abstract" })));

/** What is stored of the objects whose files these are: tables, and alarms. */
function stored(files) {
  return files.flatMap((file) => {
    const database = new DatabaseSync(file, { readOnly: true });
    const named = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const kept = named.filter(
      ({ name }) => !name.startsWith("_cf_") || database.prepare(`SELECT 1 FROM "${name}"`).all().length > 0,
    );
    database.close();
    return kept.map(({ name }) => `${basename(file)}: ${name}`);
  });
}

/** Whose charge was good when it was presented, and whose money has gone since. */
let gone;

test("C13: a key that proves nothing leaves no row and no alarm", async () => {
  for (let i = 0; i < 5; i++) {
    const payer = await newPayer(0n);
    const credential = await stack.credential(PATH, { payer });
    expectProblem((await stack.present(PATH, credential)).answer, 402, "payment-insufficient");
    expectProblem(await stack.send(PATH, { authorization: encodeCredential(credential) }), 402, "payment-insufficient");
  }
  await gateway.stop();
  assert.deepEqual(stored(gateway.objectFiles("Payer")), []);
  await gateway.start();
  // One that was good is remembered for as long as it may be.
  const payer = await newPayer(PRICE);
  await chain.test.setBalance({ address: payer.address, value: 10n ** 18n });
  const credential = await stack.credential(PATH, { payer });
  const before = new Set(gateway.objectFiles("Payer"));
  rpc.fail("eth_estimateGas", faulty.error("execution reverted", 3), 1);
  const { answer, authorization } = await stack.present(PATH, credential);
  expectTryAgain(answer);
  const [file] = gateway.objectFiles("Payer").filter((one) => !before.has(one));
  await gateway.stop();
  assert.match(stored([file]).join(), /payments/);
  await gateway.start();
  await chain.callToken("transfer", [stack.stranger.address, PRICE], payer);
  expectProblem(await stack.send(PATH, { authorization }), 402, "payment-insufficient");
  gone = { payer, file };
});

test("A24: a payer who empties its balance under many charges costs us few reverts, then none", async () => {
  const payer = await newPayer(1_000n * PRICE);
  await chain.test.setBalance({ address: payer.address, value: 10n ** 18n });
  const credentials = await credentialsOf(payer, AT_ONCE + 4);
  const before = await chain.public.getBalance({ address: settlement.address });
  const mark = await stack.mark();
  await chain.pauseMining();
  const answers = await Promise.all(credentials.map((credential, i) => stack.present(PATH, credential, { via: i % 2 })));
  for (const { answer } of answers) expectTryAgain(answer);
  assert.equal((await chain.waiting(settlement.address)).length, AT_ONCE, "no more are on their way at once");
  await chain.callToken("transfer", [stack.stranger.address, 1_000n * PRICE], payer, FIRST_IN_BLOCK);
  await chain.resumeMining();
  for (const { authorization } of answers) {
    expectProblem(await stack.resume(PATH, authorization), 402, "verification-failed", "payment-insufficient");
  }
  await mark.moved({ transactions: AT_ONCE });
  const spent = before - (await chain.public.getBalance({ address: settlement.address }));
  const { baseFeePerGas } = await chain.public.getBlock();
  assert.ok(spent > 0n && spent < 3_000_000n * (2n * baseFeePerGas + 2n * 10n ** 9n), `${spent} wei for ${AT_ONCE} reverts`);
  // Its money is there again, and is not tried for a day, by whatever isolate, also after a restart.
  await chain.mint(payer.address, 1_000n * PRICE);
  for (const restart of [false, true]) {
    if (restart) await gateway.restart();
    const { answer } = await stack.pay(PATH, { payer, via: restart ? 1 : 0 });
    assert.match(expectProblem(answer, 402, "verification-failed").detail, /payload\.from/);
  }
  await mark.moved({ transactions: AT_ONCE });
  const { answer, credential } = await stack.pay(PATH);
  await expectPaid(stack, answer, credential);
});

test("A24: after one revert a payer's charges are made one after the other", async () => {
  const payer = await newPayer(PRICE);
  await chain.test.setBalance({ address: payer.address, value: 10n ** 18n });
  await chain.pauseMining();
  const first = await stack.pay(PATH, { payer, scheme: "abstract" });
  expectTryAgain(first.answer);
  await chain.callToken("transfer", [stack.stranger.address, PRICE], payer, FIRST_IN_BLOCK);
  await chain.resumeMining();
  expectProblem(await stack.resume(PATH, first.authorization), 402, "verification-failed");
  await chain.mint(payer.address, 4n * PRICE);
  const credentials = await credentialsOf(payer, 4);
  await chain.pauseMining();
  const answers = await Promise.all(credentials.map((credential) => stack.present(PATH, credential)));
  for (const { answer } of answers) expectTryAgain(answer);
  assert.equal((await chain.waiting(settlement.address)).length, 1);
  await chain.resumeMining();
  const mark = await stack.mark();
  // Each waits for its place and is paid by the same credential.
  await Promise.all(
    answers.map(async ({ authorization, credential }) => expectPaid(stack, await stack.resume(PATH, authorization), credential)),
  );
  const { origin } = await mark.difference();
  assert.equal(origin, 4);
});

test("A24: an honest payer of many charges at once gets all of them, in time", async () => {
  const count = 3 * AT_ONCE;
  const payer = await newPayer(BigInt(count) * PRICE);
  const credentials = await credentialsOf(payer, count);
  const mark = await stack.mark();
  const answers = await Promise.all(credentials.map((credential, i) => stack.present(PATH, credential, { via: i % 2 })));
  for (const { answer, authorization, credential } of answers) {
    await expectPaid(stack, answer.status === 503 ? await stack.resume(PATH, authorization) : answer, credential);
  }
  await mark.moved({ origin: count, transactions: count, transfers: count, amount: BigInt(count) * PRICE });
});

test("C13: an object with nothing left is gone", { timeout: 120_000 }, async () => {
  // A database is 4096 bytes with nothing in it, and workerd takes the file of such an object away when it evicts it.
  await until(() => !(statSync(gone.file, { throwIfNoEntry: false })?.size > 4_096), "nothing to be left", 60_000);
  await gateway.stop();
  assert.deepEqual(stored(gateway.objectFiles("Payer").filter((file) => file === gone.file)), []);
  await gateway.start();
  // It begins anew when its payer does.
  await chain.mint(gone.payer.address, PRICE);
  const { answer, credential } = await stack.pay(PATH, { payer: gone.payer });
  await expectPaid(stack, answer, credential);
  await gateway.stop();
  assert.match(stored([gone.file]).join(), /payments/);
  await gateway.start();
});
