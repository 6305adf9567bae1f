// A19: payers and signers with code, delegated by EIP-7702. Token and escrow ask the code of such an account about a signature: what its
// key has signed says nothing, so nothing is sold for it, and no gas is spent on what the code makes of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { concatHex, numberToHex, zeroAddress } from "viem";
import { Channel, ESCROW_ABI } from "../harness/channels.mjs";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { expectReceipt, ledger, openChannel, openSession, PRICE, payloads, Session, startSessions } from "../harness/session.mjs";

const stack = await startSessions({
  session: { watchSeconds: 1, feePayer: true, minDeposit: "0.000001" },
  gateway: { limits: { originTimeoutSeconds: 1 } },
});
const { chain, rpc, settlement } = stack;
const [first, second, third, fourth] = stack.payers;
const PATH = "/v1/charge";
const LONG = 60_000;

/** Answers ERC-1271 with what lies on the stack: the first word of what is returned. */
const RETURN = "0x60e01b60005260206000f3"; // shl(224), mstore(0), return(0, 32)
const MAGIC = "0x631626ba7e"; // push4 0x1626ba7e, which says that the signature holds
/** What code can make of `isValidSignature`. */
const CODE = {
  refuses: concatHex(["0x6000", RETURN]),
  accepts: concatHex([MAGIC, RETURN]),
  /** Only where nothing is paid for gas: in a careless simulation. */
  acceptsForFree: concatHex([MAGIC, "0x3a1502", RETURN]), // mul(magic, iszero(gasprice()))
  /** After a loop of 26 gas for each of half a million rounds. */
  burns: concatHex(["0x62070000", "0x5b6001900380600457", MAGIC, RETURN]), // push3 n; l: n -= 1; jumpi(l, n)
};
let codes = 0xc0de00;

/** Delegates `account` to `code`; without, takes the delegation back. A stranger pays the gas. */
async function delegate(account, code) {
  let address = zeroAddress;
  if (code) {
    codes += 1;
    address = numberToHex(codes, { size: 20 });
    await chain.test.setCode({ address, bytecode: code });
  }
  const authorization = await chain.wallet.signAuthorization({ account, contractAddress: address });
  const hash = await chain.wallet.sendTransaction({
    account: stack.stranger,
    to: zeroAddress,
    authorizationList: [authorization],
  });
  await chain.public.waitForTransactionReceipt({ hash });
  const shown = await chain.public.getCode({ address: account.address });
  assert.equal(shown ?? "0x", code ? concatHex(["0xef0100", address]) : "0x");
}

/** What the account's transactions have used in gas so far. */
async function spent() {
  const [left, sent] = await Promise.all([
    chain.public.getBalance({ address: settlement.address }),
    chain.transactions(settlement.address),
  ]);
  return { left, sent };
}

for (const scheme of ["evm", "abstract"]) {
  test(`A19 ${scheme}: a payer whose code accepts only at a gas price of zero pays nothing, and burns no gas`, async () => {
    await delegate(first, CODE.acceptsForFree);
    const before = await spent();
    const mark = await stack.mark();
    for (let i = 0; i < 3; i++) {
      const { answer } = await stack.pay(PATH, { scheme });
      const { detail } = expectProblem(answer, 402, "verification-failed");
      assert.match(detail, /payload\.from/);
    }
    await mark.nothing();
    assert.deepEqual(await spent(), before);
    await delegate(first);
    const { answer, credential } = await stack.pay(PATH, { scheme });
    await expectPaid(stack, answer, credential);
  });
}

test("A19: a signer that is delegated to code buys nothing after the next look, and what was sold is not settled in vain", async () => {
  const session = await openSession(stack, "abstract", { payer: second });
  for (let i = 0; i < 3; i++) expectReceipt(await session.pay({ via: i % 2 }), session);
  const before = await spent();
  await delegate(second, CODE.refuses);
  await until(async () => (await ledger(stack, session.channel)).status === "suspended", "the look", LONG);
  const mark = await stack.mark();
  rpc.forget();
  for (let i = 0; i < 10; i++) expectProblem(await session.pay({ via: i % 2 }), 402, "verification-failed");
  await rpc.called("eth_estimateGas");
  await mark.nothing();
  assert.deepEqual(await spent(), before, "the settlement is tried out, and not sent");
  await delegate(second);
  await until(async () => (await ledger(stack, session.channel)).status === "open", "the next look", LONG);
  // Nothing is sold before what was sold is settled.
  await until(async () => (await ledger(stack, session.channel)).settled === String(3n * PRICE), "the settlement", LONG);
  expectReceipt(await session.pay(), session);
});

test("A19: a close that its signer's code makes dear is not sent", async () => {
  const session = await openSession(stack, "abstract", { payer: third });
  expectReceipt(await session.pay(), session);
  await delegate(third, CODE.burns);
  const before = await spent();
  // The chain itself would take it, for 12 million gas.
  const voucher = [session.channel.id, session.cumulative, await session.channel.voucher(session.cumulative)];
  const { escrow: address } = session.channel;
  const call = { account: settlement.address, address, abi: ESCROW_ABI, functionName: "close", args: voucher };
  assert.ok((await chain.public.estimateContractGas({ ...call, gas: 29_000_000n })) > 10_000_000n, "it is dear");
  const answer = await session.manage(payloads.close(session.channel, session.cumulative));
  assert.equal(answer.status, 503, answer.text);
  assert.deepEqual(await spent(), before);
});

test("A19: a channel whose signer has code is not taken on, whatever that code says", async () => {
  await delegate(fourth, CODE.accepts);
  for (const method of ["abstract", "evm"]) {
    const session = new Session(stack, await openChannel(stack, method, { payer: fourth }));
    const mark = await stack.mark();
    expectProblem(await session.manage(payloads.open(session.channel, PRICE)), 402, "verification-failed");
    expectProblem(await session.pay(), 402, "verification-failed");
    await mark.nothing();
  }
});

test("A19: no channel is opened for a payer or a signer with code", async () => {
  const before = await spent();
  const plan = (payer, signer) =>
    new Session(stack, new Channel(chain, { method: "evm", payer, payee: stack.recipient, deposit: 10n * PRICE, signer }));
  for (const session of [plan(fourth), plan(second, fourth)]) {
    const answer = await session.manage(payloads.openFor(session.channel, PRICE));
    expectProblem(answer, 402, "verification-failed");
  }
  assert.deepEqual(await spent(), before);
});
