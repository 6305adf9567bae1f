// evm/session with the gateway as fee payer: it opens, and adds to, channels with the payer's authorization, spends gas on nothing that
// will fail, and on nothing twice.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { Channel, randomBytes32 } from "../harness/channels.mjs";
import { expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { did } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import {
  expectLedger,
  expectReceipt,
  openChannel,
  openSession,
  PRICE,
  payloads,
  SESSION_ROUTES,
  Session,
  startSessions,
} from "../harness/session.mjs";
import { evmSessionClient, receiptOf } from "../harness/session-clients.mjs";

const LEAST = 5n * PRICE;
const DEAR = "/s/dearer-than-the-least-deposit";
const stack = await startSessions({
  session: { feePayer: true, minDeposit: "0.005" },
  routes: [...SESSION_ROUTES, { path: DEAR, price: "0.006", intents: ["session"] }],
});
const { chain, gateway, rpc, settlement } = stack;
const PATH = "/s/item/1";
const GAS_ONLY = { transactions: 1 };

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

/** A session whose channel is on no chain yet. */
function planned({ payer = stack.payers[0], deposit = LEAST, ...options } = {}) {
  return new Session(stack, new Channel(chain, { method: "evm", payer, payee: stack.recipient, deposit, ...options }));
}

const refused = ["payment-insufficient", "verification-failed", "malformed-credential", "payment-expired"];

test("the challenge says that the gateway pays the gas, and for what kinds of credential", async () => {
  const answer = await stack.send(PATH);
  const { terms } = await planned().challenge();
  assert.equal(terms.methodDetails.feePayer, true);
  assert.deepEqual(terms.methodDetails.credentialTypes, ["authorization", "hash"]);
  const abstract = answer.challenge("abstract");
  assert.equal(abstract.terms.methodDetails.feePayer, undefined, "the escrow of that method takes no authorizations");
});

test("an open by authorization, without buying: one transaction of the gateway's, none of the payer's", async () => {
  const session = planned();
  const { channel } = session;
  const before = await chain.transactions(channel.payer.address);
  const mark = await stack.mark();
  const answer = await session.managed(payloads.openFor(channel, 2n * PRICE));
  const { txHash } = expectReceipt(answer, session, { status: 204, accepted: 2n * PRICE, spent: 0, units: 0 });
  const [opened] = await channel.events("ChannelOpened");
  assert.equal(opened.transactionHash, txHash);
  const { deposit, payee } = await channel.state();
  assert.deepEqual({ deposit, payee }, { deposit: LEAST, payee: settlement.address });
  assert.equal(await chain.transactions(channel.payer.address), before);
  await mark.moved(GAS_ONLY);
});

for (const type of ["authorization", "transaction"]) {
  test(`an open of type ${type} with a request opens and buys in one`, async () => {
    const session = planned({ signer: stack.stranger });
    const mark = await stack.mark();
    const payload = await payloads.openFor(session.channel, PRICE, { type });
    const authorization = await session.authorization(payload);
    const answer = await stack.resume(PATH, authorization);
    expectReceipt(answer, session, { accepted: PRICE, spent: PRICE, units: 1 });
    assert.equal(answer.text, `content of GET ${PATH}`);
    session.cumulative = PRICE;
    expectReceipt(await session.pay(), session, { accepted: 2n * PRICE, spent: 2n * PRICE });
    await mark.moved({ ...GAS_ONLY, origin: 2 });
  });
}

test("a voucher can open its channel", async () => {
  const session = planned();
  const { channel } = session;
  const mark = await stack.mark();
  const payload = await payloads.voucher(channel, 2n * PRICE, { deposit: await payloads.opening(channel) });
  const answer = await stack.resume(PATH, await session.authorization(payload));
  expectReceipt(answer, session, { accepted: 2n * PRICE, spent: PRICE, units: 1 });
  await expectLedger(stack, channel, { deposit: LEAST, accepted: 2n * PRICE, spent: PRICE });
  await mark.moved({ ...GAS_ONLY, origin: 1 });
});

test("a voucher can add to its channel's deposit, and says what it may then take", async () => {
  const session = await openSession(stack, "evm", { deposit: 2n * PRICE });
  const { channel } = session;
  const mark = await stack.mark();
  const payload = await payloads.voucher(channel, 4n * PRICE, { deposit: await payloads.toppingUp(channel, LEAST) });
  const answer = await stack.resume(PATH, await session.authorization(payload));
  expectReceipt(answer, session, { accepted: 4n * PRICE, spent: PRICE, units: 1 });
  await expectLedger(stack, channel, { deposit: 7n * PRICE });
  // The same one again draws on, and adds nothing.
  expectReceipt(await session.send(payload), session, { accepted: 4n * PRICE, spent: 2n * PRICE });
  await expectLedger(stack, channel, { deposit: 7n * PRICE });
  await mark.moved({ ...GAS_ONLY, origin: 2 });
});

for (const [who, from] of [
  ["the payer", undefined],
  ["somebody else", stack.payers[1]],
]) {
  test(`a topUp by authorization of ${who}: one transaction of the gateway's`, async () => {
    const session = await openSession(stack, "evm", { deposit: 2n * PRICE });
    const { channel } = session;
    const signed = await channel.toppingUpAuthorization(LEAST, { from });
    const payload = await payloads.topUpFor(channel, LEAST, { signed });
    const before = await chain.balance((from ?? channel.payer).address);
    const mark = await stack.mark();
    const answer = await session.managed(payload, { source: null });
    const { txHash } = expectReceipt(answer, session, { status: 204, units: 0 });
    assert.equal((await channel.events("TopUp"))[0].transactionHash, txHash);
    assert.equal(before - (await chain.balance((from ?? channel.payer).address)), LEAST);
    await expectLedger(stack, channel, { deposit: 7n * PRICE });
    const again = await session.managed(payload, { source: null, via: 1 });
    expectReceipt(again, session, { status: 204 });
    await expectLedger(stack, channel, { deposit: 7n * PRICE });
    await mark.moved(GAS_ONLY);
  });
}

test("twenty copies of an open that buys, through both isolates, are one transaction and what was signed for", async () => {
  const session = planned();
  const authorization = await session.authorization(await payloads.openFor(session.channel, 3n * PRICE));
  const mark = await stack.mark();
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => stack.resume(PATH, authorization, { via: i % 2 })));
  assert.equal(answers.filter(({ status }) => status === 200).length, 3);
  await expectLedger(stack, session.channel, { deposit: LEAST, accepted: 3n * PRICE, spent: 3n * PRICE });
  await mark.moved({ ...GAS_ONLY, origin: 3 });
});

test("somebody else brings the authorization to the chain first: it counts, and no gas is spent", async () => {
  const session = planned();
  const signed = await session.channel.openingAuthorization();
  await session.channel.submitOpening(signed, stack.payers[1]);
  const mark = await stack.mark();
  const answer = await session.managed(payloads.openFor(session.channel, PRICE, { signed }));
  expectReceipt(answer, session, { status: 204, accepted: PRICE, spent: 0 });
  await mark.nothing();
  expectReceipt(await session.send(payloads.voucher(session.channel, PRICE)), session, { spent: PRICE });
});

test("not mined yet: 503, then the same credential opens it, by one transaction", async () => {
  const session = planned();
  const authorization = await session.authorization(await payloads.openFor(session.channel, PRICE));
  const mark = await stack.mark();
  await chain.pauseMining();
  expectTryAgain(await stack.send(PATH, { authorization }));
  expectTryAgain(await stack.send(PATH, { authorization, via: 1 }));
  assert.equal((await chain.waiting(settlement.address)).length, 1);
  await chain.resumeMining();
  expectReceipt(await stack.resume(PATH, authorization), session, { accepted: PRICE, spent: PRICE });
  await mark.moved({ ...GAS_ONLY, origin: 1 });
});

test("the answer to the broadcast is lost, or the gateway dies: one transaction in the end", async () => {
  const lost = planned();
  const mark = await stack.mark();
  rpc.fail("eth_sendRawTransaction", faulty.hangAfter, 1);
  expectReceipt(await lost.managed(payloads.openFor(lost.channel, PRICE)), lost, { status: 204, accepted: PRICE });
  await mark.moved(GAS_ONLY);
  const killed = planned();
  const payload = await payloads.openFor(killed.channel, PRICE);
  await chain.pauseMining();
  const cut = assert.rejects(killed.manage(payload));
  await chain.submitted(settlement.address);
  await gateway.kill();
  await cut;
  await chain.resumeMining();
  await gateway.start();
  expectReceipt(await killed.managed(payload), killed, { status: 204, accepted: PRICE });
  await mark.moved({ transactions: 2 });
});

const doomed = {
  "a deposit below the least": () => planned({ deposit: LEAST - 1n }),
  "a deposit that the payer does not have": () => planned({ deposit: 10n ** 13n }),
  "a payer that the token refuses": async () => {
    const session = planned({ payer: stack.payers[3] });
    await chain.callToken("blacklist", [stack.payers[3].address], stack.stranger);
    return session;
  },
  "an authorization for later": async () => {
    const session = planned();
    const validAfter = String(Math.floor(Date.now() / 1000) + 1_800);
    return [session, { signed: await session.channel.openingAuthorization({ validAfter }) }];
  },
  "an authorization that is over": async () => {
    const session = planned();
    const validBefore = String(Math.floor(Date.now() / 1000) - 1);
    return [session, { signed: await session.channel.openingAuthorization({ validBefore }) }];
  },
  "a nonce that is not the channel's": async () => {
    const session = planned();
    return [session, { signed: await session.channel.openingAuthorization({ nonce: randomBytes32() }) }];
  },
};
for (const [name, make] of Object.entries(doomed)) {
  test(`${name} costs no gas and opens nothing`, async () => {
    const [session, changes = {}] = [await make()].flat();
    const mark = await stack.mark();
    const payload = await payloads.openFor(session.channel, PRICE, changes);
    const answer = await session.send(payload);
    expectProblem(answer, 402, ...refused, "session/signer-mismatch", "session/invalid-signature");
    await mark.nothing();
    assert.equal((await session.channel.state()).deposit, 0n);
  });
}

test("a voucher that is wrong costs no gas: it is looked at before the channel is opened", async () => {
  const [session, mark] = [planned(), await stack.mark()];
  const { channel } = session;
  const voucherSignature = await channel.voucher(PRICE, { account: stack.stranger });
  const wrong = await session.send(payloads.openFor(channel, PRICE, { voucherSignature }));
  expectProblem(wrong, 402, "session/signer-mismatch");
  const tooMuch = await session.send(payloads.openFor(channel, LEAST + 1n));
  expectProblem(tooMuch, 402, "session/amount-exceeds-deposit");
  await mark.nothing();
});

test("A28: an addition costs no gas when the voucher that brings it is refused all the same", async () => {
  const session = await openSession(stack, "evm", { deposit: 2n * PRICE });
  const { channel } = session;
  expectReceipt(await session.pay(), session);
  const mark = await stack.mark();
  for (const [cumulative, path, type] of [
    [PRICE, session.path, "session/insufficient-balance"],
    [6n * PRICE, DEAR, "session/insufficient-balance"],
    [8n * PRICE, DEAR, "session/amount-exceeds-deposit"],
  ]) {
    const payload = await payloads.voucher(channel, cumulative, { deposit: await payloads.toppingUp(channel, LEAST) });
    expectProblem(await session.send(payload, { path }), 402, type);
  }
  const payload = await payloads.voucher(channel, 2n * PRICE, { deposit: await payloads.toppingUp(channel, LEAST) });
  expectProblem(await session.send(payload, { source: did(CHAIN_ID, stack.stranger.address) }), 402, "verification-failed");
  await mark.nothing();
  assert.equal((await channel.state()).deposit, 2n * PRICE);
});

test("A28: a channel that is too small to be taken on can be made large enough, and not nearly so", async () => {
  const session = new Session(stack, await openChannel(stack, "evm", { deposit: PRICE / 2n }));
  const { channel } = session;
  const mark = await stack.mark();
  expectProblem(await session.manage(payloads.voucher(channel, 0n)), 402, "session/insufficient-balance");
  const small = payloads.topUpFor(channel, LEAST);
  expectProblem(await session.manage(small, { path: DEAR }), 402, "session/insufficient-balance");
  await mark.nothing();
  expectReceipt(await session.managed(payloads.topUpFor(channel, LEAST)), session, { status: 204, accepted: 0, spent: 0 });
  expectReceipt(await session.pay(), session, { accepted: PRICE, spent: PRICE });
  await expectLedger(stack, channel, { deposit: LEAST + PRICE / 2n });
  await mark.moved({ ...GAS_ONLY, origin: 1 });
});

test("a topUp whose nonce is not derived from it costs no gas", async () => {
  const session = await openSession(stack, "evm", { deposit: 2n * PRICE });
  const signed = await session.channel.toppingUpAuthorization(LEAST, { nonce: randomBytes32() });
  const mark = await stack.mark();
  expectProblem(await session.manage(payloads.topUpFor(session.channel, LEAST, { signed })), 402, ...refused);
  const small = await session.channel.toppingUpAuthorization(1n);
  expectProblem(await session.manage(payloads.topUpFor(session.channel, LEAST, { signed: small })), 402, ...refused);
  await mark.nothing();
});

test("a client that has no gas at all opens, pays, tops up and closes", async () => {
  const payer = stack.payers[2];
  const before = await chain.transactions(payer.address);
  const client = evmSessionClient(chain, payer, { deposit: LEAST });
  for (let i = 1n; i <= 7n; i++) {
    const response = await client.fetch(stack.gateway.urls[Number(i % 2n)] + PATH);
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(receiptOf(response).spent, String(i * PRICE));
  }
  await client.close(stack.gateway.urls[0] + PATH);
  const [{ settledToPayee, refundedToPayer }] = await client.state.channel.events("ChannelClosed");
  assert.deepEqual({ settledToPayee, refundedToPayer }, { settledToPayee: 7n * PRICE, refundedToPayer: 3n * PRICE });
  assert.equal(await chain.transactions(payer.address), before);
});
