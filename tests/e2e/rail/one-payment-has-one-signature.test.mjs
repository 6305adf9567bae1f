// A13: one payment has one signature, and whatever we accept the contract accepts. Nothing that fails here asks the RPC.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectPaid, expectProblem, expectSpent } from "../harness/expect.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const PATH = "/v1/reports/1";
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const word = (value) => value.toString(16).padStart(64, "0");
const split = (signature) => ({
  r: BigInt(signature.slice(0, 66)),
  s: BigInt(`0x${signature.slice(66, 130)}`),
  v: Number.parseInt(signature.slice(130), 16),
});
const join = ({ r, s, v }) => `0x${word(r)}${word(s)}${v.toString(16).padStart(2, "0")}`;

/** EIP-2098: the parity of v in the top bit of s. */
function compact({ r, s, v }) {
  return `0x${word(r)}${word(s | (BigInt(v - 27) << 255n))}`;
}

const altered = {
  "high s": ({ r, s, v }) => join({ r, s: N - s, v: v === 27 ? 28 : 27 }),
  "high s with v kept": ({ r, s, v }) => join({ r, s: N - s, v }),
  "the other v": ({ r, s, v }) => join({ r, s, v: v === 27 ? 28 : 27 }),
  "v of 0 or 1": ({ r, s, v }) => join({ r, s, v: v - 27 }),
  "v of EIP-155": ({ r, s, v }) => join({ r, s, v: (v + 8) & 0xff }),
  "v of 29": ({ r, s }) => join({ r, s, v: 29 }),
  "64 bytes, compact": compact,
  "zero r": ({ s, v }) => join({ r: 0n, s, v }),
  "zero s": ({ r, v }) => join({ r, s: 0n, v }),
  "zero r, s and v": () => `0x${"00".repeat(65)}`,
  "r of n": ({ s, v }) => join({ r: N, s, v }),
  "s of n": ({ r, v }) => join({ r, s: N, v }),
  "r above n": ({ s, v }) => join({ r: N + 1n, s, v }),
  "s of 2²⁵⁶−1": ({ r, v }) => join({ r, s: (1n << 256n) - 1n, v }),
  "66 bytes": (parts) => `${join(parts)}00`,
  "64 bytes, cut": (parts) => join(parts).slice(0, -2),
  "an odd number of digits": (parts) => join(parts).slice(0, -1),
  "no 0x": (parts) => join(parts).slice(2),
  "something that is not hex": (parts) => `${join(parts).slice(0, 100)}zz${join(parts).slice(102)}`,
  "nothing but 0x": () => "0x",
};

for (const scheme of ["evm", "abstract"]) {
  for (const [name, alter] of Object.entries(altered)) {
    test(`${scheme}: a signature with ${name} is refused before anything is asked of the chain`, async () => {
      const credential = await stack.credential(PATH, { scheme });
      const signature = alter(split(credential.payload.signature));
      const mark = await stack.mark();
      stack.rpc.forget();
      const { answer } = await stack.present(PATH, { ...credential, payload: { ...credential.payload, signature } });
      expectProblem(answer, 402, "verification-failed", "malformed-credential");
      assert.equal(stack.rpc.posts, 0, "a failed signature check never reaches the RPC");
      await mark.nothing();
    });
  }

  test(`${scheme}: a signature by somebody else is refused before anything is asked of the chain`, async () => {
    const [alice, bob] = stack.payers;
    const mark = await stack.mark();
    const credential = await stack.credential(PATH, { scheme, payer: bob, changes: { from: alice.address } });
    credential.source = undefined;
    stack.rpc.forget();
    const { answer } = await stack.present(PATH, credential);
    expectProblem(answer, 402, "verification-failed");
    assert.equal(stack.rpc.posts, 0);
    await mark.nothing();
  });

  for (const [name, change] of [
    ["name", { name: "USD Coin" }],
    ["version", { version: "1" }],
    ["chain", { chainId: 2741 }],
    ["contract", { verifyingContract: stack.chain.escrow }],
  ]) {
    test(`${scheme}: a signature for another domain ${name} is refused`, async () => {
      const mark = await stack.mark();
      const challenge = await stack.challenge(PATH, { scheme });
      const domain = { ...stack.token.domain, ...change };
      const credential = await stack.sign(challenge, { token: { ...stack.token, domain } });
      expectProblem((await stack.present(PATH, credential)).answer, 402, "verification-failed");
      await mark.nothing();
    });
  }

  test(`${scheme}: after all that, the untouched signature of a refused credential still pays, once`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential(PATH, { scheme });
    const parts = split(credential.payload.signature);
    const payload = { ...credential.payload, signature: altered["high s"](parts) };
    expectProblem((await stack.present(PATH, { ...credential, payload })).answer, 402);
    const { answer } = await stack.present(PATH, credential);
    await expectPaid(stack, answer, credential);
    expectProblem((await stack.present(PATH, { ...credential, payload })).answer, 402);
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
  });

  test(`${scheme}: hexadecimal digits in upper case are the same signature`, async () => {
    const mark = await stack.mark();
    const credential = await stack.credential(PATH, { scheme });
    const signature = `0x${credential.payload.signature.slice(2).toUpperCase()}`;
    const upper = { ...credential, payload: { ...credential.payload, signature } };
    const first = await stack.present(PATH, credential);
    await expectPaid(stack, first.answer, credential);
    expectSpent((await stack.present(PATH, upper)).answer);
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
  });
}
