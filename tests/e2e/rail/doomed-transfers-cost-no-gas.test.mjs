// A16: authorizations whose transfer would revert are found out by simulation: refused, and no gas spent.
import assert from "node:assert/strict";
import { test } from "node:test";
import { privateKeyToAccount } from "viem/accounts";
import { expectPaid, expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { authorizationOf, signAuthorization } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { chain, stranger } = stack;
const PATH = "/v1/reports/1";
const poor = privateKeyToAccount(`0x${"77".repeat(32)}`);
const soon = () => String(Math.floor(Date.now() / 1000) + 200);

for (const scheme of ["evm", "abstract"]) {
  const refuse = async (options, ...types) => {
    const credential = await stack.credential(PATH, { scheme, ...options });
    const mark = await stack.mark();
    const { answer } = await stack.present(PATH, credential);
    expectProblem(answer, 402, ...types);
    await mark.nothing();
    return credential;
  };

  test(`${scheme}: a payer without the money costs no gas`, async () => {
    await refuse({ payer: poor }, "payment-insufficient", "verification-failed");
  });

  test(`${scheme}: a payer with one base unit too little costs no gas`, async () => {
    const short = privateKeyToAccount(scheme === "evm" ? `0x${"78".repeat(32)}` : `0x${"79".repeat(32)}`);
    await chain.mint(short.address, 9_999n);
    const credential = await refuse({ payer: short }, "payment-insufficient", "verification-failed");
    // Refused, not remembered as spent: with the last unit there, the same credential pays.
    await chain.mint(short.address, 1n);
    const { answer } = await stack.present(PATH, credential);
    await expectPaid(stack, answer, credential);
  });

  test(`${scheme}: a payer with money for one thing who buys five at once gets one, and the other four cost no gas`, async () => {
    const payer = privateKeyToAccount(scheme === "evm" ? `0x${"7a".repeat(32)}` : `0x${"7b".repeat(32)}`);
    await chain.mint(payer.address, 10_000n);
    const paths = [1, 2, 3, 4, 5].map((id) => `/v1/reports/${id}`);
    const credentials = await Promise.all(paths.map((path) => stack.credential(path, { scheme, payer })));
    const mark = await stack.mark();
    const paid = await Promise.all(credentials.map((credential, i) => stack.present(paths[i], credential, { via: i % 2 })));
    const refused = paid.filter(({ answer }) => answer.status !== 200);
    assert.equal(refused.length, 4, paid.map(({ answer }) => answer.status).join());
    for (const { answer } of refused) {
      if (answer.status === 503) expectTryAgain(answer);
      else expectProblem(answer, 402, "payment-insufficient", "verification-failed");
    }
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
  });

  test(`${scheme}: an authorization that is not valid yet costs no gas`, async () => {
    await refuse({ changes: { validAfter: String(Math.floor(Date.now() / 1000) + 120) } }, "verification-failed");
  });

  test(`${scheme}: a blacklisted payer costs no gas`, async () => {
    const payer = stack.payers[2];
    await chain.callToken("blacklist", [payer.address], stranger);
    await refuse({ payer }, "verification-failed");
    await chain.callToken("unBlacklist", [payer.address], stranger);
  });
}

test("abstract: a nonce that paid somebody else on chain costs no gas", async () => {
  const nonce = `0x${"a1".repeat(32)}`;
  const payer = stack.payers[3];
  const elsewhere = {
    from: payer.address,
    to: stranger.address,
    value: 10_000n,
    validAfter: 0n,
    validBefore: BigInt(soon()),
    nonce,
  };
  const signature = await signAuthorization(payer, stack.token.domain, elsewhere);
  await chain.submit({ ...elsewhere, signature }, stranger);
  const mark = await stack.mark();
  const { answer } = await stack.pay(PATH, { scheme: "abstract", payer, changes: { nonce } });
  expectProblem(answer, 402, "verification-failed", "invalid-challenge");
  await mark.nothing();
});

test("abstract: a nonce that paid us less on chain buys nothing", async () => {
  const nonce = `0x${"a2".repeat(32)}`;
  const payer = stack.payers[3];
  const cheap = await stack.credential("/v1/cheap", { scheme: "abstract", payer, changes: { nonce } });
  await chain.submit(authorizationOf(cheap), stranger);
  const mark = await stack.mark();
  const { answer } = await stack.pay(PATH, { scheme: "abstract", payer, changes: { nonce } });
  expectProblem(answer, 402, "verification-failed", "invalid-challenge");
  await mark.nothing();
});

test("abstract: an authorization that outlives its challenge is no reason to refuse it", async () => {
  const mark = await stack.mark();
  const validBefore = String(Math.floor(Date.now() / 1000) + 1_800);
  const { answer, credential } = await stack.pay(PATH, { scheme: "abstract", changes: { validBefore } });
  await expectPaid(stack, answer, credential);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});
