// A1–A5, A14, A15 of docs/threats.md: content without paying for it, by vouchers and opens that are worth less than they look.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { did, encodeCredential } from "../harness/protocol.mjs";
import {
  expectLedger,
  expectNumbers,
  expectReceipt,
  openChannel,
  openSession,
  PRICE,
  payloads,
  Session,
  startSessions,
} from "../harness/session.mjs";

const stack = await startSessions();
const { rpc } = stack;
const PATH = "/s/item/1";

/** A session that has bought three times: accepted and spent are both three prices. */
async function threeBought(method, path) {
  const session = await openSession(stack, method, { path });
  for (let i = 0; i < 3; i++) expectReceipt(await session.pay(), session);
  return session;
}

for (const method of METHODS) {
  test(`A1 ${method}: a voucher at or below the highest one, with any signature, buys nothing`, async () => {
    const session = await threeBought(method);
    const mark = await stack.mark();
    rpc.forget();
    for (const cumulative of [0n, 1n, 2n * PRICE, 3n * PRICE]) {
      for (const signature of [`0x${"00".repeat(65)}`, `0x${"ff".repeat(65)}`, `0x${"00".repeat(64)}1b`]) {
        const payload = await payloads.voucher(session.channel, cumulative, { signature });
        expectProblem(await session.send(payload), 402, "session/invalid-signature");
        expectProblem(await session.manage(payload), 402, "session/invalid-signature");
        expectProblem(await session.manage({ ...payload, action: "close" }), 402, "session/invalid-signature");
        const open = await payloads.open(session.channel, cumulative, { signature });
        expectProblem(await session.manage(open), 402, "session/invalid-signature");
      }
    }
    assert.equal(rpc.posts, 0, "a signature that is none asks the chain nothing");
    await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE });
    await mark.nothing();
  });

  test(`A1 ${method}: the signature of another voucher is none for this one`, async () => {
    const session = await threeBought(method);
    const mark = await stack.mark();
    const signature = await session.channel.voucher(3n * PRICE);
    for (const cumulative of [2n * PRICE, 4n * PRICE, session.channel.deposit]) {
      const answer = await session.send(payloads.voucher(session.channel, cumulative, { signature }));
      expectProblem(answer, 402, "session/signer-mismatch");
    }
    await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE });
    await mark.nothing();
  });

  test(`A2 ${method}: a raise by one unit is kept, and buys nothing`, async () => {
    const session = await threeBought(method);
    const mark = await stack.mark();
    for (let i = 1n; i <= 5n; i++) {
      const answer = await session.send(payloads.voucher(session.channel, 3n * PRICE + i));
      const problem = expectProblem(answer, 402, "session/insufficient-balance");
      const { deposit } = session.channel;
      expectNumbers(problem, session, { accepted: 3n * PRICE + i, spent: 3n * PRICE, deposit, required: 4n * PRICE });
    }
    await mark.nothing();
    const enough = await session.send(payloads.voucher(session.channel, 4n * PRICE));
    expectReceipt(enough, session, { accepted: 4n * PRICE, spent: 4n * PRICE, units: 1 });
    await mark.moved({ origin: 1 });
  });

  test(`A3 ${method}: an open with nothing, or less than the price, in its voucher is adopted and served nothing`, async () => {
    for (const cumulative of [0n, 1n, PRICE - 1n]) {
      const session = new Session(stack, await openChannel(stack, method));
      const mark = await stack.mark();
      const problem = expectProblem(
        await session.send(payloads.open(session.channel, cumulative)),
        402,
        "session/insufficient-balance",
      );
      expectNumbers(problem, session, { accepted: cumulative, spent: 0, deposit: session.channel.deposit, required: PRICE });
      await expectLedger(stack, session.channel, { accepted: cumulative, spent: 0 });
      await mark.nothing();
      rpc.forget();
      expectReceipt(await session.pay(), session, { accepted: PRICE, spent: PRICE });
      assert.equal(rpc.posts, 0, "it is known by now");
    }
  });

  test(`A4 ${method}: the same open again, and one with a smaller voucher, takes nothing back and gives nothing away`, async () => {
    const session = new Session(stack, await openChannel(stack, method));
    const { channel } = session;
    const first = await payloads.open(channel, 5n * PRICE);
    expectReceipt(await session.send(first), session, { accepted: 5n * PRICE, spent: PRICE });
    session.cumulative = 5n * PRICE;
    expectReceipt(await session.pay(), session, { accepted: 6n * PRICE, spent: 2n * PRICE });
    const mark = await stack.mark();
    for (const payload of [first, await payloads.open(channel, 0n), await payloads.open(channel, 2n * PRICE)]) {
      const answer = await session.manage(payload, { via: 1 });
      expectReceipt(answer, session, { status: 204, accepted: 6n * PRICE, spent: 2n * PRICE, units: 0 });
    }
    await mark.nothing();
    const again = await session.send(first);
    // It has bought already: gone where a voucher buys once, and elsewhere drawn from what is left.
    if (method === "abstract") expectProblem(again, 402, "session/insufficient-balance");
    else expectReceipt(again, session, { accepted: 6n * PRICE, spent: 3n * PRICE });
    const origin = method === "abstract" ? 0 : 1;
    await expectLedger(stack, channel, { accepted: 6n * PRICE, spent: BigInt(2 + origin) * PRICE });
    await mark.moved({ origin });
  });

  test(`A4 ${method}: twenty copies of an open that buys, at once through both isolates, buy what was signed for and no more`, async () => {
    const session = new Session(stack, await openChannel(stack, method));
    const authorization = await session.authorization(await payloads.open(session.channel, 2n * PRICE));
    const mark = await stack.mark();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => stack.send(PATH, { authorization, via: i % 2 })));
    const served = answers.filter(({ status }) => status === 200).length;
    assert.equal(served, method === "abstract" ? 1 : 2);
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      expectProblem(answer, 402, "session/insufficient-balance");
    }
    await expectLedger(stack, session.channel, { accepted: 2n * PRICE, spent: BigInt(served) * PRICE });
    await mark.moved({ origin: served });
  });

  test(`A5 ${method}: the identical voucher, from anybody, never buys beyond what was accepted`, async () => {
    const session = await openSession(stack, method);
    const voucher = await payloads.voucher(session.channel, 3n * PRICE);
    const authorization = await session.authorization(voucher);
    const mark = await stack.mark();
    const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => stack.send(PATH, { authorization, via: i % 2 })));
    const served = answers.filter(({ status }) => status === 200).length;
    assert.equal(served, method === "abstract" ? 1 : 3);
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      expectNumbers(expectProblem(answer, 402, "session/insufficient-balance"), session, { accepted: 3n * PRICE });
    }
    await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: BigInt(served) * PRICE });
    await mark.moved({ origin: served });
    // The thief puts it into a challenge of its own, names itself, and uses the other isolate.
    const fresh = await session.challenge(PATH, { fresh: true });
    for (const source of [undefined, did(CHAIN_ID, session.channel.payer.address)]) {
      const stolen = encodeCredential({ challenge: fresh, payload: voucher, source });
      expectProblem(await stack.send(PATH, { authorization: stolen, via: 1 }), 402, "session/insufficient-balance");
    }
    const named = encodeCredential({ challenge: fresh, payload: voucher, source: did(CHAIN_ID, stack.stranger.address) });
    expectProblem(await stack.send(PATH, { authorization: named }), 402, "verification-failed");
    await mark.moved({ origin: served });
  });

  test(`A5 ${method}: a voucher that has bought is spent after a restart as well`, async () => {
    const session = await openSession(stack, method, { path: "/s/once" });
    const voucher = await payloads.voucher(session.channel, 3n * PRICE);
    expectReceipt(await session.send(voucher), session, { spent: PRICE });
    await stack.gateway.kill();
    await stack.gateway.start();
    const mark = await stack.mark();
    expectProblem(await session.send(voucher), 402, "session/insufficient-balance");
    await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: PRICE });
    await mark.nothing();
  });

  test(`A14 ${method}: of two vouchers that race, the higher one stays`, async () => {
    for (let round = 0; round < 8; round++) {
      const session = await openSession(stack, method);
      const [high, low] = await Promise.all([4n, 2n].map((i) => payloads.voucher(session.channel, i * PRICE)));
      const mark = await stack.mark();
      const order = round % 2 ? [high, low] : [low, high];
      const answers = await Promise.all(order.map((voucher, i) => session.send(voucher, { via: i })));
      for (const answer of answers) expectReceipt(answer, session, { units: 1 });
      await expectLedger(stack, session.channel, { accepted: 4n * PRICE, spent: 2n * PRICE });
      await mark.moved({ origin: 2 });
    }
  });

  const impossible = [
    ["above the deposit", (deposit) => String(deposit + 1n), "session/amount-exceeds-deposit"],
    ["of 2¹²⁸−1", () => String(2n ** 128n - 1n), "session/amount-exceeds-deposit"],
    ["of 2¹²⁸", () => String(2n ** 128n)],
    ["of 2²⁵⁶", () => String(2n ** 256n)],
    ["of a thousand digits", () => "9".repeat(1_000)],
    ["that is negative", () => "-1000"],
    ["in another notation", () => "1e3"],
    ["with leading zeros", () => "0001000"],
    ["in other digits", () => "１０００"],
    ["in Arabic digits", () => "١٠٠٠"],
    ["in hexadecimal", () => "0x3e8"],
    ["with a sign", () => "+1000"],
    ["with spaces", () => " 1000"],
    ["with a point", () => "1000.0"],
    ["that is empty", () => ""],
    ["that is a number", () => 1000],
    ["that is null", () => null],
    ["that is a list", () => ["1000"]],
  ];
  test(`A15 ${method}: a total that cannot be is refused by name, and nothing changes`, async () => {
    const session = await threeBought(method);
    const mark = await stack.mark();
    for (const [name, make, type = "malformed-credential"] of impossible) {
      rpc.forget();
      const cumulativeAmount = make(session.channel.deposit);
      // As well signed as the value allows: what is refused is the number and not the signature.
      const value = /^\d+$/.test(cumulativeAmount) ? BigInt(cumulativeAmount) : 1_000n;
      const signature = value < 2n ** 128n ? await session.channel.voucher(value) : await session.channel.voucher(PRICE);
      for (const action of ["voucher", "close"]) {
        const payload = { action, channelId: session.channel.id, cumulativeAmount, signature };
        const problem = expectProblem(await session.manage(payload), 402, type);
        if (type === "malformed-credential") assert.ok(problem.detail.includes("cumulativeAmount"), `${name}: ${problem.detail}`);
      }
      expectProblem(
        await session.send({ action: "voucher", channelId: session.channel.id, cumulativeAmount, signature }),
        402,
        type,
      );
    }
    assert.equal(rpc.posts, 0);
    await expectLedger(stack, session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE });
    await mark.nothing();
  });
}
