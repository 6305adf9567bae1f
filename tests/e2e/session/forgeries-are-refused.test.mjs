// A10, A12, A13 of docs/threats.md: transactions that did something else, vouchers of somebody else or for something else, and signatures
// that could be written in two ways.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { approveEscrows, Channel, METHODS, randomBytes32, voucherDomain } from "../harness/channels.mjs";
import { expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { did } from "../harness/protocol.mjs";
import {
  expectLedger,
  expectReceipt,
  openChannel,
  openSession,
  PRICE,
  payloads,
  Session,
  startSessions,
} from "../harness/session.mjs";

const OTHER_ESCROWS = { abstract: `0x${"e1".repeat(20)}`, evm: `0x${"e2".repeat(20)}` };
const OTHER_TOKEN = `0x${"c0".repeat(20)}`;
const stack = await startSessions({
  // The same code at other addresses: what an attacker can deploy as well.
  async prepare({ chain, payers }) {
    const copy = async (from, to) => chain.test.setCode({ address: to, bytecode: await chain.public.getCode({ address: from }) });
    await copy(chain.escrow, OTHER_ESCROWS.abstract);
    await copy(chain.evmEscrow, OTHER_ESCROWS.evm);
    await copy(chain.token.address, OTHER_TOKEN);
    await approveEscrows(chain, payers.slice(0, 1), Object.values(OTHER_ESCROWS));
    const elsewhere = { ...chain, token: { ...chain.token, address: OTHER_TOKEN } };
    await approveEscrows(elsewhere, payers.slice(0, 1), [chain.escrow, chain.evmEscrow]);
    const [payer] = payers;
    await chain.wallet.writeContract({
      account: payer,
      address: OTHER_TOKEN,
      abi: [{ type: "function", name: "mint", inputs: [{ type: "address" }, { type: "uint256" }], outputs: [{ type: "bool" }] }],
      functionName: "mint",
      args: [payer.address, 10n ** 12n],
    });
  },
});
const { chain, rpc } = stack;
const escrows = { abstract: chain.escrow, evm: chain.evmEscrow };
const [payer, other] = stack.payers;
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

for (const method of METHODS) {
  /** Presents an open with every request that could be made of it, and expects each to be refused. */
  async function expectRefusedOpen(channel, changes, status = 402, ...types) {
    const session = new Session(stack, channel);
    const mark = await stack.mark();
    const payload = await payloads.open(channel, PRICE, changes);
    expectProblem(await session.send(payload), status, ...(types.length > 0 ? types : ["verification-failed"]));
    expectProblem(await session.manage(payload), status, ...(types.length > 0 ? types : ["verification-failed"]));
    await mark.nothing();
    return session;
  }
  const hashAs = (hash) => (method === "evm" ? { hash } : { txHash: hash });

  test(`A10 ${method}: a successful transaction that did not open this channel proves nothing`, async () => {
    const mine = new Channel(chain, { method, payer, payee: stack.recipient });
    const opened = await openChannel(stack, method);
    const transfer = await chain.callToken("transfer", [stack.recipient, 1_000n], payer);
    await chain.public.waitForTransactionReceipt({ hash: transfer });
    for (const hash of [opened.txHash, transfer, await opened.topUp(5n)]) await expectRefusedOpen(mine, hashAs(hash));
    // Even where the channel is real, its open is what must be named.
    const elsewhere = await openChannel(stack, method, { payer: other });
    await expectRefusedOpen(opened, hashAs(elsewhere.txHash));
  });

  test(`A10 ${method}: a transaction that nobody has seen is waited for, and nothing is served meanwhile`, async () => {
    const session = new Session(stack, new Channel(chain, { method, payer, payee: stack.recipient }));
    const mark = await stack.mark();
    expectTryAgain(await session.send(payloads.open(session.channel, PRICE, hashAs(randomBytes32()))));
    await mark.nothing();
  });

  test(`A10 ${method}: a channel in another escrow is no channel of ours`, async () => {
    const channel = await openChannel(stack, method, { escrow: OTHER_ESCROWS[method] });
    const session = await expectRefusedOpen(channel, {});
    const mark = await stack.mark();
    // Its voucher is signed for that escrow; signed for ours it is for a channel that is not there.
    const forged = await channel.voucher(PRICE, { domain: voucherDomain(method, escrows[method]) });
    for (const signature of [await channel.voucher(PRICE), forged]) {
      const answer = await session.send(payloads.voucher(channel, PRICE, { signature }));
      expectProblem(answer, answer.status, "session/channel-not-found", "session/signer-mismatch");
      assert.ok([402, 410].includes(answer.status));
    }
    await mark.nothing();
  });

  test(`A10 ${method}: a channel in the other method's escrow is none of this method`, async () => {
    const another = method === "evm" ? "abstract" : "evm";
    const channel = await openChannel(stack, another);
    channel.method = method;
    const session = await expectRefusedOpen(channel, {});
    const mark = await stack.mark();
    const answer = await session.pay();
    assert.ok([402, 410].includes(answer.status), answer.text);
    await mark.nothing();
  });

  test(`A10 ${method}: a channel that pays somebody else is no channel of ours`, async () => {
    const channel = await openChannel(stack, method, { payee: stack.stranger.address });
    const session = await expectRefusedOpen(channel, {});
    const mark = await stack.mark();
    expectProblem(await session.pay(), 402, "verification-failed");
    await mark.nothing();
  });

  test(`A10 ${method}: a channel of another token is no channel of ours`, async () => {
    const channel = await openChannel(stack, method, { token: OTHER_TOKEN });
    const session = await expectRefusedOpen(channel, {});
    const mark = await stack.mark();
    expectProblem(await session.pay(), 402, "verification-failed");
    await mark.nothing();
  });

  test(`A10 ${method}: a topUp by a transaction that added nothing to this channel adds nothing here`, async () => {
    const session = await openSession(stack, method, { deposit: 2n * PRICE });
    const elsewhere = await openChannel(stack, method, { payer: other });
    const foreign = await elsewhere.topUp(50n * PRICE);
    const transfer = await chain.callToken("transfer", [stack.recipient, 50n * PRICE], payer);
    const own = await session.channel.topUp(PRICE);
    session.channel.deposit = 3n * PRICE;
    const mark = await stack.mark();
    for (const [amount, hash] of [
      [50n * PRICE, foreign],
      [50n * PRICE, transfer],
      [50n * PRICE, session.channel.txHash],
      [2n * PRICE, own],
    ]) {
      expectProblem(await session.manage(payloads.topUp(session.channel, amount, hash)), 402, "verification-failed");
    }
    await mark.nothing();
    const answer = await session.send(payloads.voucher(session.channel, 4n * PRICE));
    expectProblem(answer, 402, "session/amount-exceeds-deposit");
    await mark.nothing();
  });

  const strangers = [
    ["by somebody else", (channel) => channel.voucher(PRICE, { account: other })],
    ["by the payee", (channel) => channel.voucher(PRICE, { account: stack.settlement })],
    ["for another channel", (channel) => channel.voucher(PRICE, { channelId: randomBytes32() })],
    ["in the other method's domain", (channel) => channel.voucher(PRICE, { domain: { name: otherName(channel) } })],
    ["of another version", (channel) => channel.voucher(PRICE, { domain: { version: "2" } })],
    ["for another chain", (channel) => channel.voucher(PRICE, { domain: { chainId: 2741 } })],
    ["for another escrow", (channel) => channel.voucher(PRICE, { domain: { verifyingContract: OTHER_ESCROWS.evm } })],
  ];
  const otherName = ({ method: own }) => (own === "evm" ? "Abstract Stream Channel" : "EVM Payment Channel");

  test(`A12 ${method}: a voucher signed by or for anything else is of another signer`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    rpc.forget();
    for (const [name, sign] of strangers) {
      const signature = await sign(session.channel);
      for (const payload of [
        await payloads.voucher(session.channel, PRICE, { signature }),
        await payloads.close(session.channel, PRICE, { signature }),
        await payloads.open(session.channel, PRICE, { signature }),
      ]) {
        const problem = expectProblem(await session.manage(payload), 402, "session/signer-mismatch");
        assert.equal(problem.channelId, session.channel.id, name);
      }
      const answer = await session.send(payloads.voucher(session.channel, PRICE, { signature }), { source: null });
      expectProblem(answer, 402, "session/signer-mismatch");
    }
    await expectLedger(stack, session.channel, { accepted: 0, spent: 0 });
    await mark.nothing();
  });

  test(`A12 ${method}: with a signer of its own, a channel takes no voucher of its payer`, async () => {
    const channel = await openChannel(stack, method, { signer: stack.stranger });
    const session = new Session(stack, channel);
    const mark = await stack.mark();
    const signature = await channel.voucher(PRICE, { account: channel.payer });
    expectProblem(await session.send(payloads.open(channel, PRICE, { signature })), 402, "session/signer-mismatch");
    expectProblem(await session.send(payloads.voucher(channel, PRICE, { signature })), 402, "session/signer-mismatch");
    // Nor when the open claims another signer than the one that the chain knows.
    for (const authorizedSigner of [channel.payer.address, undefined]) {
      const claim = await payloads.open(channel, PRICE, { signature, authorizedSigner });
      const answer = await session.send(claim);
      expectProblem(answer, 402, "session/signer-mismatch", "verification-failed");
    }
    await mark.nothing();
    expectReceipt(await session.pay({ source: did(CHAIN_ID, channel.payer.address) }), session, { units: 1 });
    await mark.moved({ origin: 1 });
  });

  const word = (value) => value.toString(16).padStart(64, "0");
  const join = ({ r, s, v }) => `0x${word(r)}${word(s)}${v.toString(16).padStart(2, "0")}`;
  const none = ["session/invalid-signature"];
  const unread = ["session/invalid-signature", "malformed-credential"];
  const altered = {
    "high s": [({ r, s, v }) => join({ r, s: N - s, v: v === 27 ? 28 : 27 }), none],
    "high s with v kept": [({ r, s, v }) => join({ r, s: N - s, v }), none],
    "the other v": [({ r, s, v }) => join({ r, s, v: v === 27 ? 28 : 27 }), ["session/signer-mismatch", ...none]],
    "v of 0 or 1": [({ r, s, v }) => join({ r, s, v: v - 27 }), none],
    "v of EIP-155": [({ r, s, v }) => join({ r, s, v: (v + 8) & 0xff }), none],
    "v of 29": [({ r, s }) => join({ r, s, v: 29 }), none],
    "64 bytes, compact": [({ r, s, v }) => `0x${word(r)}${word(s | (BigInt(v - 27) << 255n))}`, unread],
    "zero r": [({ s, v }) => join({ r: 0n, s, v }), none],
    "zero s": [({ r, v }) => join({ r, s: 0n, v }), none],
    "r of n": [({ s, v }) => join({ r: N, s, v }), none],
    "s of n": [({ r, v }) => join({ r, s: N, v }), none],
    "66 bytes": [(parts) => `${join(parts)}00`, unread],
    "64 bytes, cut": [(parts) => join(parts).slice(0, -2), unread],
    "an odd number of digits": [(parts) => join(parts).slice(0, -1), unread],
    "no 0x": [(parts) => join(parts).slice(2), unread],
    "nothing but 0x": [() => "0x", unread],
  };
  test(`A13 ${method}: a voucher has one signature, and every other way to write it is refused`, async () => {
    const session = await openSession(stack, method);
    const mark = await stack.mark();
    const signature = await session.channel.voucher(PRICE);
    const parts = {
      r: BigInt(signature.slice(0, 66)),
      s: BigInt(`0x${signature.slice(66, 130)}`),
      v: Number.parseInt(signature.slice(130), 16),
    };
    rpc.forget();
    for (const [name, [alter, types]] of Object.entries(altered)) {
      const payload = await payloads.voucher(session.channel, PRICE, { signature: alter(parts) });
      const problem = expectProblem(await session.send(payload), 402, ...types);
      assert.ok(problem.detail.length > 0, name);
      expectProblem(await session.manage({ ...payload, action: "close" }), 402, ...types);
    }
    assert.equal(rpc.posts, 0, "a failed signature check never reaches the RPC");
    await mark.nothing();
    const upper = `0x${signature.slice(2).toUpperCase()}`;
    const first = await session.send(payloads.voucher(session.channel, PRICE, { signature }), { path: "/s/once" });
    expectReceipt(first, session, { accepted: PRICE, spent: PRICE });
    const twin = await session.send(payloads.voucher(session.channel, PRICE, { signature: upper }), { path: "/s/once" });
    expectProblem(twin, 402, "session/insufficient-balance", "malformed-credential", "session/invalid-signature");
    await mark.moved({ origin: 1 });
  });
}
