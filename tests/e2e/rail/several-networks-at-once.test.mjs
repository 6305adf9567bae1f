// One gateway, two networks: another chain, another token, another account that is paid and sends, another escrow. Each sells whatever
// becomes of the other, and nothing that was signed for one is worth anything on the other.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { x402 } from "../conformance/wires.mjs";
import { approveEscrows } from "../harness/channels.mjs";
import { expectPaid, expectProblem, expectSpent, expectTryAgain } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import {
  expectLedger,
  expectReceipt,
  openSession,
  PRICE,
  payloads,
  QUIET,
  Session,
  sessionChallenge,
} from "../harness/session.mjs";
import { startStack } from "../harness/stack.mjs";

const PATH = "/v1/both";
const ROUTES = [
  { path: PATH, price: "0.01" },
  { path: "/v1/ordered", price: "0.01", rails: ["base-sepolia", "abstract-testnet"], prices: { "base-sepolia": "0.012" } },
  { path: "/v1/base", price: "0.01", rails: ["base-sepolia"] },
  { path: "/v1/base-by-x402", price: "0.01", rails: ["base-sepolia"], wires: ["x402"] },
  { path: "/s/item/{id}", price: "0.001", intents: ["session"], paymentMethods: ["evm"] },
];

const stack = await startStack({
  networks: ["abstract-testnet", "base-sepolia"],
  routes: ROUTES,
  async prepare({ rails: { "abstract-testnet": abstract, "base-sepolia": base } }) {
    // Each network has an account of its own, which is paid there and sends there.
    abstract.recipient = abstract.settlement.address;
    base.settlement = base.chain.accounts[7];
    base.recipient = base.settlement.address;
    for (const { chain, payers } of [abstract, base]) await approveEscrows(chain, payers, [chain.evmEscrow]);
  },
  secrets: ({ rails: { "abstract-testnet": abstract, "base-sepolia": base } }) => ({
    SETTLEMENT_PRIVATE_KEY: undefined,
    SETTLEMENT_PRIVATE_KEY_ABSTRACT_TESTNET: abstract.settlement.privateKey,
    SETTLEMENT_PRIVATE_KEY_BASE_SEPOLIA: base.settlement.privateKey,
  }),
  usual: ({ rails }) => ({ session: QUIET, rails: Object.values(rails).map(configured) }),
});
const { gateway, origin, payers } = stack;
const { "abstract-testnet": abstract, "base-sepolia": base } = stack.rails;
const RAILS = [abstract, base];
stack.confidential.add(base.settlement.privateKey.slice(2));

/** How the configuration says where money is taken. */
function configured({ chain, recipient }, changes = {}) {
  const { address, name, version } = chain.token;
  const token = { address, name, version, decimals: 6, ...changes.token };
  return { network: chain.network, recipient, evmEscrow: chain.evmEscrow, ...changes, token };
}

afterEach(async () => {
  origin.reset();
  for (const { rpc, chain } of RAILS) {
    await rpc.accept();
    rpc.heal();
    await chain.resumeMining();
  }
});

const [V1, V2] = [x402(1), x402(2)];

/** By wire: pays for a path on one network. */
const PAY = {
  async mpp(rail, path, options) {
    const { answer, credential } = await rail.pay(path, options);
    return { answer, check: () => expectPaid(rail, answer, credential) };
  },
  "x402 v1": (rail, path, options) => payExactly(V1, rail, path, options),
  "x402 v2": (rail, path, options) => payExactly(V2, rail, path, options),
};

async function payExactly(wire, rail, path, { payer, via } = {}) {
  const proof = await wire.sign(rail, await wire.offer(rail, path, { via }), { payer });
  const answer = await rail.send(path, { headers: wire.headers(proof), via });
  return { answer, check: () => wire.expectPaid(rail, answer, proof) };
}

async function buys(rail, path = PATH, options = {}) {
  for (const pay of Object.values(PAY)) await (await pay(rail, path, options)).check();
}

/** The chains that a 402 asks for money on, by MPP, by x402's version 2 and by its version 1. */
async function asked(path, options) {
  const answer = await stack.send(path, options);
  assert.equal(answer.status, 402, answer.text);
  const header = answer.headers["payment-required"];
  const v2 = header ? JSON.parse(Buffer.from(header, "base64")).accepts : [];
  return {
    mpp: answer.challenges
      .filter(({ method }) => method === "evm")
      .map(({ terms }) => [terms.methodDetails.chainId, terms.amount]),
    v2: v2.map(({ network, amount }) => [Number(network.slice("eip155:".length)), amount]),
    v1: (answer.json.accepts ?? []).map(({ network, maxAmountRequired }) => [stack.rails[network].chain.id, maxAmountRequired]),
    to: Object.fromEntries(v2.map(({ network, payTo, asset }) => [network, { payTo, asset }])),
  };
}

async function expectAsked(path, offers, options) {
  const { to, ...found } = await asked(path, options);
  assert.deepEqual(found, { mpp: offers, v2: offers, v1: offers });
  return to;
}

const ABSTRACT = [11124, "10000"];
const BASE = [84532, "10000"];

test("a 402 offers both, in the order of the route's rails, at the price and to the recipient of each", async () => {
  const to = await expectAsked(PATH, [ABSTRACT, BASE]);
  for (const { chain, recipient } of RAILS) {
    assert.deepEqual(to[`eip155:${chain.id}`], { payTo: recipient, asset: chain.token.address });
  }
  assert.notEqual(abstract.recipient, base.recipient);
  await expectAsked("/v1/ordered", [[84532, "12000"], ABSTRACT]);
  await expectAsked("/v1/base", [BASE]);
});

test("many payers pay on both at once, by every wire, and money arrives where it was paid alone", async () => {
  const marks = await Promise.all(RAILS.map((rail) => rail.mark()));
  const sales = payers.flatMap((payer) =>
    RAILS.flatMap((rail) => Object.values(PAY).map((pay, i) => pay(rail, PATH, { payer, via: i % 2 }))),
  );
  for (const { check } of await Promise.all(sales)) await check();
  const each = payers.length * Object.keys(PAY).length;
  const moved = { origin: 2 * each, transactions: each, transfers: each, amount: BigInt(each) * 10_000n };
  for (const mark of marks) await mark.moved(moved);
});

test("the price on a rail is what moves there", async () => {
  const marks = await Promise.all(RAILS.map((rail) => rail.mark()));
  for (const rail of RAILS) await (await PAY["x402 v2"](rail, "/v1/ordered")).check();
  for (const [i, amount] of [10_000n, 12_000n].entries()) {
    await marks[i].moved({ origin: 2, transactions: 1, transfers: 1, amount });
  }
});

test("what is signed for one chain buys nothing on the other, nor on a route that does not take its rail", async () => {
  const proofs = await Promise.all(RAILS.map(async (rail) => V2.sign(rail, await V2.offer(rail, PATH))));
  const credentials = await Promise.all(RAILS.map((rail) => rail.credential(PATH)));
  const marks = await Promise.all(RAILS.map((rail) => rail.mark()));
  for (const [i, rail] of RAILS.entries()) {
    const other = RAILS[1 - i];
    // In the domain of the other chain's token, for this chain's offer.
    const offer = await rail.challenge(PATH);
    const signed = await rail.sign(offer, { token: other.token });
    expectProblem((await rail.present(PATH, signed)).answer, 402, "verification-failed");
    const domained = await V2.sign(rail, await V2.offer(rail, PATH), { token: other.token });
    V2.expectRefused(await rail.send(PATH, { headers: V2.headers(domained) }));
    // The other's proof, said to be for this chain.
    const renamed = { ...proofs[1 - i], accepted: proofs[i].accepted };
    V2.expectRefused(await rail.send(PATH, { headers: V2.headers(renamed) }));
    const moved = { ...credentials[1 - i], challenge: credentials[i].challenge, source: undefined };
    expectProblem((await rail.present(PATH, moved)).answer, 402, "verification-failed");
  }
  for (const wire of [V1, V2]) {
    const proof = await wire.sign(abstract, await wire.offer(abstract, PATH));
    const answer = await stack.send("/v1/base", { headers: wire.headers(proof) });
    assert.equal(answer.status, 402, answer.text);
  }
  expectProblem((await abstract.present("/v1/base", credentials[0])).answer, 402, "invalid-challenge");
  for (const mark of marks) await mark.nothing();
});

test("one nonce of one payer is good on each chain once", async () => {
  const marks = await Promise.all(RAILS.map((rail) => rail.mark()));
  const nonce = `0x${"5e".repeat(32)}`;
  const proofs = await Promise.all(RAILS.map(async (rail) => V2.sign(rail, await V2.offer(rail, PATH), { changes: { nonce } })));
  for (const [i, rail] of RAILS.entries()) {
    const headers = V2.headers(proofs[i]);
    await V2.expectPaid(rail, await rail.send(PATH, { headers, via: i }), proofs[i]);
    V2.expectSpent(await rail.send(PATH, { headers, via: 1 - i }));
  }
  for (const mark of marks) await mark.moved({ origin: 2, transactions: 1, transfers: 1, amount: 10_000n });
});

for (const [down, up] of [
  [abstract, base],
  [base, abstract],
]) {
  const { network } = down.chain;

  test(`${network} is down: after the first payment it is not offered, the other sells on, and it is offered again when it is back`, async () => {
    const offered = { [abstract.chain.network]: ABSTRACT, [base.chain.network]: BASE };
    const both = [ABSTRACT, BASE];
    const mark = await down.mark();
    const credential = await down.credential(PATH);
    await down.rpc.refuse();
    const { answer, authorization } = await down.present(PATH, credential);
    expectTryAgain(answer);
    const rest = [offered[up.chain.network]];
    await until(async () => (await asked(PATH)).mpp.length === 1, `${network} to be left out`);
    await expectAsked(PATH, rest);
    await buys(up);
    // The isolate that nobody has paid through does not know yet, and its clients are told the same.
    await expectAsked(PATH, both, { via: 1 });
    await down.rpc.accept();
    await until(async () => (await asked(PATH)).mpp.length === 2, `${network} to be offered again`);
    await expectAsked(PATH, both);
    await expectPaid(down, await down.resume(PATH, authorization), credential);
    expectSpent(await down.send(PATH, { authorization }));
    await mark.moved({ origin: 4, transactions: 1, transfers: 1, amount: 10_000n });
  });
}

test("a rail that fails a moment after it was found to be up is left out too", async () => {
  const refused = await base.credential(PATH);
  for (let i = 0; i < 2; i++) {
    await base.rpc.refuse();
    // The second time it was asked less than two seconds ago: it is asked again by itself, without another payment that fails.
    expectTryAgain((await base.present(PATH, refused)).answer);
    await until(async () => (await asked(PATH)).mpp.length === 1, "Base Sepolia to be left out");
    await base.rpc.accept();
    await until(async () => (await asked(PATH)).mpp.length === 2, "Base Sepolia to be offered again");
  }
});

test("a route whose every rail is down asks for payment on them all the same: there is nothing else to pay by", async () => {
  await base.rpc.refuse();
  const credential = await base.credential("/v1/base");
  expectTryAgain((await base.present("/v1/base", credential)).answer);
  await until(async () => (await asked(PATH)).mpp.length === 1, "Base Sepolia to be left out");
  await expectAsked("/v1/base", [BASE]);
  const { mpp, v2, v1 } = await asked("/v1/base-by-x402");
  assert.deepEqual({ mpp, v2, v1 }, { mpp: [], v2: [BASE], v1: [BASE] });
  await base.rpc.accept();
  await until(async () => (await asked(PATH)).mpp.length === 2, "Base Sepolia to be offered again");
});

test("where deposits are sponsored, a rail that is down is not asked whether it can do that", async () => {
  await stack.reconfigure({ gateway: { session: { feePayer: true } } });
  try {
    await base.rpc.refuse();
    expectTryAgain((await base.present(PATH, await base.credential(PATH))).answer);
    await until(async () => (await asked(PATH)).mpp.length === 1, "Base Sepolia to be left out");
    await base.rpc.accept();
    // It is probed when it is asked for, and hangs: whoever is asked for money does not wait for it.
    base.rpc.fail("*", faulty.hang);
    base.rpc.forget();
    for (let i = 0; i < 3; i++) {
      const { challenges } = await stack.send("/s/item/1");
      assert.deepEqual(
        challenges.map(({ terms }) => [terms.methodDetails.chainId, terms.methodDetails.feePayer]),
        [[11124, true]],
      );
    }
    assert.equal(base.rpc.count("eth_getCode"), 0);
  } finally {
    base.rpc.heal();
    await stack.reconfigure();
  }
});

test("a token that is paused on one chain, or a payer who is blacklisted there, does not hurt the other", async () => {
  const [payer, other] = payers;
  const stops = [
    [() => base.chain.callToken("pause", [], base.stranger), () => base.chain.callToken("unpause", [], base.stranger)],
    [
      () => base.chain.callToken("blacklist", [payer.address], base.stranger),
      () => base.chain.callToken("unBlacklist", [payer.address], base.stranger),
    ],
  ];
  for (const [i, [stop, mend]] of stops.entries()) {
    await stop();
    try {
      const mark = await base.mark();
      for (const pay of Object.values(PAY)) {
        const { answer } = await pay(base, PATH, { payer });
        assert.equal(answer.status, 402, answer.text);
      }
      await mark.nothing();
      await buys(abstract, PATH, { payer });
      if (i === 1) await buys(base, PATH, { payer: other });
    } finally {
      await mend();
    }
    await buys(base, PATH, { payer });
  }
});

const health = async () => {
  const answer = await stack.send("/__mpp/health");
  return { status: answer.status, ...answer.json };
};

test("health shows both, each with its chain and its account", async () => {
  const { status, ok, rails } = await health();
  assert.deepEqual([status, ok], [200, true]);
  const shown = rails.map((rail) => [rail.name, rail.ok, rail.chainId, rail.settlementAccount, rail.token, rail.escrow]);
  const wanted = RAILS.map(({ chain, settlement }) => [chain.network, true, chain.id, settlement.address, "good", "good"]);
  assert.deepEqual(shown, wanted);
});

test("a token whose domain on the chain is another one is refused on its rail alone", async () => {
  const rails = [configured(abstract), configured(base, { token: { version: "1" } })];
  await stack.reconfigure({ gateway: { rails } });
  try {
    const marks = await Promise.all(RAILS.map((rail) => rail.mark()));
    // Signed as the gateway asks for it, which the token would not take.
    const { answer } = await PAY["x402 v2"](base, PATH);
    const { detail } = expectProblem(answer, 500);
    assert.match(detail, /rails\[1\]\.token/);
    await marks[1].nothing();
    await buys(abstract);
    await marks[0].moved({ origin: 3, transactions: 3, transfers: 3, amount: 30_000n });
    const { status, rails } = await health();
    assert.deepEqual([status, ...rails.map(({ ok }) => ok)], [200, true, false]);
    assert.notEqual(rails[1].token, "good");
  } finally {
    await stack.reconfigure();
  }
});

test("endpoints of the wrong chain are asked for no money: each rail has its own", async () => {
  await stack.reconfigure({ secrets: { RPC_URL_BASE_SEPOLIA: abstract.rpc.url } });
  try {
    const marks = await Promise.all(RAILS.map((rail) => rail.mark()));
    const credential = await base.credential(PATH);
    expectTryAgain((await base.present(PATH, credential)).answer);
    await buys(abstract);
    const { rails } = await health();
    assert.deepEqual(
      rails.map(({ ok }) => ok),
      [true, false],
    );
    assert.match(rails[1].rpc, /another chain/);
    await marks[0].moved({ origin: 4, transactions: 3, transfers: 3, amount: 30_000n });
    await marks[1].moved({ origin: 4 });
  } finally {
    await stack.reconfigure();
  }
});

test("what was begun on both is completed on both after the gateway was killed", async () => {
  const marks = await Promise.all(RAILS.map((rail) => rail.mark()));
  const begun = await Promise.all(
    RAILS.map(async (rail) => {
      await rail.chain.pauseMining();
      const credential = await rail.credential(PATH);
      return { rail, credential, sent: rail.present(PATH, credential).catch(() => undefined) };
    }),
  );
  for (const { rail } of begun) await rail.chain.submitted(rail.settlement.address);
  await gateway.kill();
  await Promise.all(begun.map(({ sent }) => sent));
  for (const { chain } of RAILS) await chain.resumeMining();
  await gateway.start();
  for (const { rail, credential } of begun) {
    const { answer, authorization } = await rail.present(PATH, credential);
    await expectPaid(rail, answer.status === 503 ? await rail.resume(PATH, authorization) : answer, credential);
  }
  for (const mark of marks) await mark.moved({ origin: 2, transactions: 1, transfers: 1, amount: 10_000n });
});

test("sessions are sold on both: a channel on one is unknown on the other, and each is paid out on its own chain", async () => {
  const sessions = await Promise.all(RAILS.map((rail) => openSession(rail, "evm")));
  for (const [i, session] of sessions.entries()) {
    const own = session.channel.chain.id;
    assert.equal((await session.challenge()).terms.methodDetails.chainId, own);
    for (let n = 1n; n <= 3n; n += 1n) {
      expectReceipt(await session.pay({ via: Number(n) % 2 }), session, { accepted: n * PRICE, spent: n * PRICE, units: 1 });
    }
    // The same channel's id, under the other chain's challenge and signed for that chain.
    const other = sessions[1 - i].channel;
    const unpaid = await stack.send("/s/item/1");
    const challenge = sessionChallenge(unpaid, "evm", other.chain.id);
    const voucher = async (domain) => {
      const signature = await session.channel.voucher(4n * PRICE, { domain });
      return payloads.voucher(session.channel, 4n * PRICE, { signature });
    };
    for (const domain of [other.domain, session.channel.domain]) {
      const answer = await session.send(voucher(domain), { challenge, source: null });
      expectProblem(answer, 410, "session/channel-not-found");
    }
    // Its opening transaction is none there, as far as can be told: one that is not mined yet looks the same.
    const opening = await new Session(RAILS[1 - i], session.channel).send(payloads.open(session.channel, 4n * PRICE), {
      challenge,
      source: null,
    });
    expectTryAgain(opening);
    await expectLedger(RAILS[i], session.channel, { accepted: 3n * PRICE, spent: 3n * PRICE, chainId: own });
  }
  await gateway.restart();
  const marks = await Promise.all(RAILS.map((rail) => rail.mark()));
  const amounts = [4n * PRICE, 3n * PRICE];
  expectReceipt(await sessions[0].pay(), sessions[0], { accepted: amounts[0], spent: amounts[0], units: 1 });
  for (const [i, session] of sessions.entries()) {
    expectReceipt(await session.managed(payloads.close(session.channel, amounts[i])), session, {
      status: 204,
      spent: amounts[i],
    });
    assert.equal((await session.channel.state()).finalized, true);
  }
  for (const [i, mark] of marks.entries()) await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: amounts[i] });
});
