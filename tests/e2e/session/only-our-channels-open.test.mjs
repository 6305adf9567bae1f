// A channel becomes a session: by its open transaction, or because it is there and funded. What is no channel of ours never does.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { Channel, ESCROW_ABI, METHODS } from "../harness/channels.mjs";
import { expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { canonical, fromBase64url } from "../harness/protocol.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { expectLedger, expectReceipt, openChannel, PRICE, payloads, Session, startSessions } from "../harness/session.mjs";
import { abstractSessionClient, evmSessionClient, receiptOf } from "../harness/session-clients.mjs";

const stack = await startSessions();
const { chain, origin, rpc } = stack;
const PATH = "/s/item/1";

afterEach(async () => {
  rpc.heal();
  await chain.resumeMining();
});

/** A session whose channel is on chain and that the gateway has not heard of. */
const unheard = async (method, options = {}) => new Session(stack, await openChannel(stack, method, options), options.path);

for (const method of METHODS) {
  test(`${method}: the 402 tells what a client needs to open a channel`, async () => {
    const mark = await stack.mark();
    const session = new Session(stack, new Channel(chain, { method, payer: stack.payers[0], payee: stack.recipient }));
    const { terms, request } = await session.challenge();
    const escrowContract = method === "evm" ? chain.evmEscrow : chain.escrow;
    assert.deepEqual(terms, {
      amount: String(PRICE),
      currency: stack.token.address,
      description: "One item",
      methodDetails: { chainId: CHAIN_ID, escrowContract, ...(method === "evm" && { credentialTypes: ["hash"] }) },
      recipient: stack.settlement.address,
      suggestedDeposit: "1000000",
      unitType: "request",
    });
    assert.equal(fromBase64url(request), canonical(terms), "in canonical form");
    await mark.nothing();
  });

  for (const [verb, status] of [
    ["POST", 204],
    ["HEAD", 200],
  ]) {
    test(`${method}: an open by ${verb} without a body makes the channel known and buys nothing`, async () => {
      const session = await unheard(method);
      const mark = await stack.mark();
      const answer = await session.managed(payloads.open(session.channel, 5n * PRICE), {
        method: verb,
        body: verb === "POST" ? "" : undefined,
      });
      const { challengeId } = expectReceipt(answer, session, { status, accepted: 5n * PRICE, spent: 0, units: 0 });
      assert.equal(challengeId, (await session.challenge()).id);
      assert.equal(answer.text, "");
      const { deposit } = session.channel;
      await expectLedger(stack, session.channel, { accepted: 5n * PRICE, spent: 0, settled: 0, deposit, method });
      await mark.nothing();
    });
  }

  test(`${method}: an open with a request opens and buys in one`, async () => {
    const session = await unheard(method);
    const mark = await stack.mark();
    const answer = await session.send(payloads.open(session.channel, PRICE));
    expectReceipt(answer, session, { accepted: PRICE, spent: PRICE, units: 1 });
    assert.equal(answer.text, `content of GET ${PATH}`);
    await mark.moved({ origin: 1 });
  });

  test(`${method}: a channel that only its voucher tells of is looked up and adopted`, async () => {
    const session = await unheard(method);
    const mark = await stack.mark();
    expectReceipt(await session.pay(), session, { accepted: PRICE, spent: PRICE, units: 1 });
    await mark.moved({ origin: 1 });
    const { payer, signer, status } = await expectLedger(stack, session.channel, { deposit: session.channel.deposit });
    assert.equal(payer.toLowerCase(), session.channel.payer.address.toLowerCase());
    assert.equal(signer.toLowerCase(), session.channel.payer.address.toLowerCase());
    assert.equal(typeof status, "string");
  });

  test(`${method}: once it is known, twenty vouchers ask the chain nothing`, async () => {
    const session = await (await unheard(method)).open();
    rpc.forget();
    const mark = await stack.mark();
    for (let i = 1n; i <= 20n; i++) {
      const answer = await session.pay({ via: Number(i % 2n) });
      expectReceipt(answer, session, { accepted: i * PRICE, spent: i * PRICE, units: 1 });
    }
    assert.equal(rpc.posts, 0);
    await mark.moved({ origin: 20 });
  });

  test(`${method}: a channel with a signer of its own takes that one's vouchers`, async () => {
    const session = await unheard(method, { signer: stack.stranger });
    expectReceipt(await session.send(payloads.open(session.channel, PRICE)), session, { accepted: PRICE, spent: PRICE });
    session.cumulative = PRICE;
    expectReceipt(await session.pay(), session, { accepted: 2n * PRICE, spent: 2n * PRICE });
  });

  test(`${method}: an open that is not mined yet is waited for: 503, then the same credential opens it`, async () => {
    const channel = new Channel(chain, { method, payer: stack.payers[1], payee: stack.recipient });
    const session = new Session(stack, channel);
    const mark = await stack.mark();
    await chain.pauseMining();
    channel.txHash = await chain.wallet.writeContract({
      account: channel.payer,
      address: channel.escrow,
      abi: ESCROW_ABI,
      functionName: "open",
      args: [channel.payee, channel.token, channel.deposit, channel.salt, channel.authorizedSigner],
      gas: 300_000n,
    });
    const authorization = await session.authorization(await payloads.open(channel, PRICE));
    expectTryAgain(await stack.send(PATH, { authorization }));
    expectTryAgain(await stack.send(PATH, { authorization, via: 1 }));
    await mark.nothing();
    await chain.resumeMining();
    const answer = await stack.resume(PATH, authorization);
    expectReceipt(answer, session, { accepted: PRICE, spent: PRICE, units: 1 });
    await mark.moved({ origin: 1 });
  });

  test(`${method}: an open transaction that was reverted opens nothing`, async () => {
    const session = await unheard(method);
    const { channel } = session;
    const { payee, token, deposit, authorizedSigner } = channel;
    const other = new Channel(chain, { method, payer: channel.payer, payee });
    // Opened twice: the second transaction is reverted.
    await other.open();
    other.txHash = await other.sendReverted("open", [payee, token, deposit, other.salt, authorizedSigner]);
    const mark = await stack.mark();
    const answer = await session.send(payloads.open(other, PRICE));
    expectProblem(answer, 409, "session/transaction-reverted");
    await mark.nothing();
  });
}

test("a channel that is not on chain is not found, whatever is signed for it", async () => {
  const channel = new Channel(chain, { method: "evm", payer: stack.payers[0], payee: stack.recipient });
  const session = new Session(stack, channel);
  const mark = await stack.mark();
  expectProblem(await session.pay(), 410, "session/channel-not-found");
  expectProblem(await session.manage(payloads.voucher(channel, PRICE)), 410, "session/channel-not-found");
  expectProblem(await session.manage(payloads.close(channel, PRICE)), 410, "session/channel-not-found");
  await mark.nothing();
});

test("a deposit below the price opens nothing that could be bought from", async () => {
  const session = await unheard("evm", { deposit: PRICE - 1n });
  const mark = await stack.mark();
  const types = ["payment-insufficient", "verification-failed", "session/insufficient-balance", "session/amount-exceeds-deposit"];
  expectProblem(await session.send(payloads.open(session.channel, PRICE - 1n)), 402, ...types);
  expectProblem(await session.send(payloads.voucher(session.channel, PRICE - 1n)), 402, ...types);
  await mark.nothing();
});

test("a channel that its payer has asked to close, and one that is closed, are no use", async () => {
  const session = await unheard("evm");
  await session.channel.requestClose();
  const mark = await stack.mark();
  expectProblem(await session.send(payloads.open(session.channel, PRICE)), 410, "session/channel-finalized");
  expectProblem(await session.send(payloads.voucher(session.channel, PRICE)), 410, "session/channel-finalized");
  await mark.nothing();
  const closed = await unheard("evm");
  await closed.channel.send("close", [closed.channel.id, 0n, "0x"], stack.settlement);
  const after = await stack.mark();
  expectProblem(await closed.send(payloads.open(closed.channel, PRICE)), 410, "session/channel-finalized");
  expectProblem(await closed.send(payloads.voucher(closed.channel, PRICE)), 410, "session/channel-finalized");
  await after.nothing();
});

test("with the provider down nothing is decided: 503, and the same credential opens it later", async () => {
  const session = await unheard("evm");
  const mark = await stack.mark();
  rpc.fail("*", faulty.http(502));
  const authorization = await session.authorization(await payloads.open(session.channel, PRICE));
  expectTryAgain(await stack.send(PATH, { authorization }));
  await mark.nothing();
  rpc.heal();
  expectReceipt(await stack.resume(PATH, authorization), session, { accepted: PRICE, spent: PRICE });
  await mark.moved({ origin: 1 });
});

test("an open whose request has a body is no management request: it buys", async () => {
  const session = await unheard("evm");
  const mark = await stack.mark();
  const answer = await session.send(payloads.open(session.channel, PRICE), { method: "POST", body: "words" });
  expectReceipt(answer, session, { accepted: PRICE, spent: PRICE, units: 1 });
  assert.equal(origin.requests.at(-1).body.toString(), "words");
  await mark.moved({ origin: 1 });
});

test("a client in the shape of Abstract's plugin opens once and then pays by vouchers", async () => {
  const client = abstractSessionClient(chain, stack.payers[2]);
  const mark = await stack.mark();
  const before = await chain.transactions(stack.payers[2].address);
  for (let i = 1n; i <= 5n; i++) {
    const response = await client.fetch(stack.gateway.urls[Number(i % 2n)] + PATH);
    assert.equal(response.status, 200);
    assert.equal(await response.text(), `content of GET ${PATH}`);
    assert.equal(receiptOf(response).spent, String(i * PRICE));
  }
  assert.equal((await chain.transactions(stack.payers[2].address)) - before, 1, "the open, and nothing else");
  await mark.moved({ origin: 5 });
});

test("a client of evm/session opens, pays, tops up when its deposit is used up, and closes", async () => {
  const client = evmSessionClient(chain, stack.payers[2], { deposit: 3n * PRICE });
  const mark = await stack.mark();
  for (let i = 1n; i <= 5n; i++) {
    const response = await client.fetch(stack.gateway.urls[Number(i % 2n)] + PATH);
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(receiptOf(response).spent, String(i * PRICE));
  }
  assert.equal(client.state.transactions, 2, "an open and a topUp");
  await mark.moved({ origin: 5 });
  const { txHash } = receiptOf(await client.close(stack.gateway.urls[0] + PATH));
  assert.match(txHash, /^0x[0-9a-f]{64}$/);
  assert.ok((await client.state.channel.state()).finalized);
  await mark.moved({ origin: 5, transactions: 1, transfers: 1, amount: 5n * PRICE });
});
