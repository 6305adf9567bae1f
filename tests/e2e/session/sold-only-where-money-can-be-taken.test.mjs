// Rules 22 to 24, and escrows that are not what they should be: sessions are sold where the money can be taken, or not at all.
import assert from "node:assert/strict";
import { test } from "node:test";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { approveEscrows, ESCROW_ABI, METHODS } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import {
  expectReceipt,
  openChannel,
  openSession,
  PRICE,
  payloads,
  SESSION_ROUTES,
  Session,
  startSessions,
} from "../harness/session.mjs";

const HASTY = { abstract: `0x${"a1".repeat(20)}`, evm: `0x${"a2".repeat(20)}` };
const POOR = `0x${"a3".repeat(20)}`;
const NOTHING = `0x${"a4".repeat(20)}`;
const FIELDS = { abstract: "escrow", evm: "evmEscrow" };

const stack = await startSessions({
  async prepare({ chain, payers }) {
    const codes = { abstract: chain.escrow, evm: chain.evmEscrow };
    const put = (address, bytecode) => chain.test.setCode({ address, bytecode });
    for (const method of METHODS) {
      const code = await chain.public.getCode({ address: codes[method] });
      // Every PUSH2 of 900 seconds becomes one of 300.
      await put(HASTY[method], code.replaceAll("610384", "61012c"));
      const read = { address: HASTY[method], abi: ESCROW_ABI, functionName: "CLOSE_GRACE_PERIOD" };
      assert.equal(await chain.public.readContract(read), 300n);
      // The selectors of the functions that take authorizations become others: it has only what Abstract's escrow has.
      if (method === "evm") await put(POOR, code.replaceAll("b82a39ba", "b82a39bb").replaceAll("bcf51e86", "bcf51e87"));
    }
    await approveEscrows(chain, payers.slice(0, 1), [...Object.values(HASTY), POOR]);
  },
});
const { chain } = stack;
const PATH = "/s/item/1";
const FREE = "/free/page";
const set = (changes) => (gateway) => ({ ...gateway, ...changes });
const session = (changes) => (gateway) => ({ ...gateway, session: { ...gateway.session, ...changes } });
const route = (changes) => (gateway) => ({
  ...gateway,
  routes: [...SESSION_ROUTES, { path: "/x", price: "1", intents: ["session"], ...changes }],
});

/** Wrong configurations: [what is wrong, the field to name, how to make it]. */
const wrong = [
  ["a recipient that is not the settlement account", "recipient", set({ recipient: stack.stranger.address })],
  ["an evmEscrow that is no address", "evmEscrow", set({ evmEscrow: "0x12" })],
  [
    "a route of sessions without an escrow",
    "evmEscrow",
    (gateway) => route({ paymentMethods: ["evm"] })({ ...gateway, evmEscrow: undefined }),
  ],
  ["an unknown field of session", "setleAmount", session({ setleAmount: "1" })],
  ["a settleAmount that is no amount", "settleAmount", session({ settleAmount: "much" })],
  ["a settleAmount with too many decimals", "settleAmount", session({ settleAmount: "0.0000001" })],
  ["a settleAmount that is a number", "settleAmount", session({ settleAmount: 1 })],
  ["a settleAfterSeconds of zero", "settleAfterSeconds", session({ settleAfterSeconds: 0 })],
  ["a closeIdleSeconds of zero", "closeIdleSeconds", session({ closeIdleSeconds: 0 })],
  ["a watchSeconds of zero", "watchSeconds", session({ watchSeconds: 0 })],
  ["a watchSeconds above a third of the grace period", "watchSeconds", session({ watchSeconds: 201 })],
  ["a voucherWaitSeconds of zero", "voucherWaitSeconds", session({ voucherWaitSeconds: 0 })],
  ["a suggestedDeposit that is negative", "suggestedDeposit", session({ suggestedDeposit: "-1" })],
  ["a minVoucherDelta in another notation", "minVoucherDelta", session({ minVoucherDelta: "1e-3" })],
  ["a minDeposit that is empty", "minDeposit", session({ minDeposit: "" })],
  ["a feePayer that is a word", "feePayer", session({ feePayer: "yes" })],
  ["an unknown meter", "meter", route({ meter: "minute" })],
  ["a meter on a route that sells charges", "meter", route({ meter: "event", intents: ["charge"] })],
  ["a meter on a route that sells both", "meter", route({ meter: "byte", intents: ["charge", "session"] })],
  ["a reporting meter without a bound", "maxUnits", route({ meter: "reported" })],
  ["a reporting meter bounded by zero", "maxUnits", route({ meter: "reported", maxUnits: 0 })],
  ["a bound where nothing is reported", "maxUnits", route({ meter: "event", maxUnits: 5 })],
  ["an unknown reuse", "reuse", route({ reuse: "twice" })],
  ["a reuse on a route of charges", "reuse", route({ reuse: "once", intents: ["charge"] })],
  ["a unitType that is a sentence", "unitType", route({ unitType: 'one "token"' })],
  ["an unknown intent beside session", "intents", route({ intents: ["session", "gift"] })],
  ["no intent at all", "intents", route({ intents: [] })],
];
for (const [name, field, gateway] of wrong) {
  test(`${name}: priced routes answer 500 and name ${field}, free ones pass`, async () => {
    await stack.reconfigure({ gateway });
    const mark = await stack.mark();
    for (const path of [PATH, "/v1/charge"]) {
      const answer = await stack.send(path);
      const said = JSON.stringify(expectProblem(answer, 500));
      assert.ok(said.includes(field), `names ${field}: ${said}`);
      assert.deepEqual(answer.challenges, []);
    }
    await mark.nothing();
    assert.equal((await stack.send(FREE)).text, `content of GET ${FREE}`);
    assert.equal((await stack.send("/__mpp/health")).status, 503);
  });
}

test("an ADMIN_TOKEN that is too short is named, and not shown", async () => {
  await stack.reconfigure({ secrets: { ADMIN_TOKEN: "tiny-one" } });
  const said = JSON.stringify(expectProblem(await stack.send(PATH), 500));
  assert.ok(said.includes("ADMIN_TOKEN") && !said.includes("tiny-one"), said);
});

test("charges alone may be paid to anybody", async () => {
  const routes = SESSION_ROUTES.filter(({ intents }) => !intents);
  await stack.reconfigure({ gateway: set({ recipient: stack.stranger.address, routes }) });
  const { challenges } = await stack.send("/v1/charge");
  assert.deepEqual([...new Set(challenges.map(({ intent }) => intent))], ["charge"]);
});

test("without evmEscrow sessions are offered by the method abstract, and charges by both", async () => {
  await stack.reconfigure({ gateway: set({ evmEscrow: undefined }) });
  const offers = async (path) => (await stack.send(path)).challenges.map(({ method, intent }) => `${method}/${intent}`).sort();
  assert.deepEqual(await offers(PATH), ["abstract/session"]);
  assert.deepEqual(await offers("/s/both"), ["abstract/charge", "abstract/session", "evm/charge"]);
  const mark = await stack.mark();
  const known = await openSession(stack, "abstract");
  expectReceipt(await known.pay(), known, { spent: PRICE });
  await mark.moved({ origin: 1 });
});

test("every new field at the end of its range is taken", async () => {
  const least = {
    settleAmount: "0.000001",
    settleAfterSeconds: 1,
    closeIdleSeconds: 1,
    watchSeconds: 1,
    voucherWaitSeconds: 1,
    minDeposit: "0.000001",
    minVoucherDelta: "0",
    feePayer: false,
  };
  await stack.reconfigure({ gateway: session(least) });
  assert.equal((await stack.send(PATH)).status, 402);
  await stack.reconfigure({ gateway: session({ watchSeconds: 200, voucherWaitSeconds: 3_600, suggestedDeposit: "100" }) });
  const { terms } = (await stack.send(PATH)).challenge("evm");
  assert.equal(terms.suggestedDeposit, "100000000");
});

test("what is counted is called what the configuration calls it, or by its meter", async () => {
  const metered = [
    [{ meter: "event" }, "event"],
    [{ meter: "byte" }, "byte"],
    [{ meter: "reported", maxUnits: 10 }, "unit"],
    [{ meter: "reported", maxUnits: 10, unitType: "llm_token" }, "llm_token"],
    [{}, "request"],
  ];
  const routes = metered.map(([changes], i) => ({ path: `/m/${i}`, price: "0.001", intents: ["session"], ...changes }));
  await stack.reconfigure({ routes });
  for (const [i, [, unitType]] of metered.entries()) {
    const { terms } = (await stack.send(`/m/${i}`)).challenge("abstract");
    assert.equal(terms.unitType, unitType);
  }
});

/** An escrow that is not to be relied on: what could be paid with it is not taken, and health says why. */
async function expectUnfit(method, escrow, channelEscrow = escrow) {
  await stack.reconfigure({ gateway: set({ [FIELDS[method]]: escrow }) });
  const channel = await openChannel(stack, method, { escrow: channelEscrow });
  const mark = await stack.mark();
  const unpaid = await stack.send(PATH);
  const offered = unpaid.status === 402 && unpaid.challenges.some((one) => one.method === method && one.intent === "session");
  if (offered) {
    const own = new Session(stack, channel);
    const adopted = await own.send(payloads.voucher(channel, PRICE));
    assert.ok(adopted.status >= 500, `${adopted.status} ${adopted.text}`);
    // Where its transaction went to another contract, that may be said first.
    const opened = await own.send(payloads.open(channel, PRICE));
    assert.ok(opened.status >= 500 || channelEscrow !== escrow, `${opened.status} ${opened.text}`);
    for (const answer of [adopted, opened]) assert.equal(answer.headers["payment-receipt"], undefined);
  }
  await mark.nothing();
  const health = await stack.send("/__mpp/health");
  assert.equal(health.status, 503, health.text);
  assert.ok(health.text.includes(FIELDS[method]), `names ${FIELDS[method]}: ${health.text}`);
}

for (const method of METHODS) {
  test(`${method}: an escrow with a grace period of five minutes takes no session`, () => expectUnfit(method, HASTY[method]));

  test(`${method}: an escrow of another domain takes no session`, () =>
    expectUnfit(method, method === "evm" ? chain.escrow : chain.evmEscrow));

  test(`${method}: an address without an escrow takes no session`, () =>
    expectUnfit(method, NOTHING, method === "evm" ? chain.evmEscrow : chain.escrow));
}

test("feePayer with an escrow that has not the functions: it is not offered, and what needs it is refused", async () => {
  await stack.reconfigure({ gateway: (gateway) => session({ feePayer: true })({ ...gateway, evmEscrow: POOR }) });
  const own = new Session(stack, await openChannel(stack, "evm", { escrow: POOR }));
  const { terms } = await own.challenge();
  assert.equal(terms.methodDetails.feePayer, undefined);
  assert.deepEqual(terms.methodDetails.credentialTypes, ["hash"]);
  const mark = await stack.mark();
  const answer = await own.send(payloads.openFor(own.channel, PRICE));
  assert.ok([400, 402].includes(answer.status), `${answer.status} ${answer.text}`);
  await mark.nothing();
  expectReceipt(await own.send(payloads.open(own.channel, PRICE)), own, { accepted: PRICE, spent: PRICE });
});

test("without feePayer an authorization is refused although the escrow has the functions", async () => {
  await stack.reconfigure({});
  const known = await openSession(stack, "evm");
  const mark = await stack.mark();
  const deposit = await payloads.toppingUp(known.channel, 100n * PRICE);
  for (const payload of [
    await payloads.topUpFor(known.channel, 100n * PRICE),
    await payloads.voucher(known.channel, PRICE, { deposit }),
  ]) {
    const answer = await known.manage(payload);
    assert.ok([400, 402].includes(answer.status), `${answer.status} ${answer.text}`);
  }
  await mark.nothing();
});

test("after a change of recipient old channels buy nothing, and go on when it is changed back", async () => {
  await stack.reconfigure({});
  const known = await openSession(stack, "evm");
  expectReceipt(await known.send(payloads.voucher(known.channel, PRICE)), known, { accepted: PRICE, spent: PRICE });
  const key = generatePrivateKey();
  await stack.reconfigure({ gateway: set({ recipient: privateKeyToAddress(key) }), secrets: { SETTLEMENT_PRIVATE_KEY: key } });
  await known.challenge(PATH, { fresh: true });
  const mark = await stack.mark();
  const more = payloads.voucher(known.channel, 2n * PRICE);
  for (const answer of [
    await known.send(more),
    await known.manage(more),
    await known.manage(payloads.close(known.channel, PRICE)),
  ]) {
    expectProblem(answer, 410, "session/channel-finalized");
  }
  await mark.nothing();
  await stack.reconfigure({});
  await known.challenge(PATH, { fresh: true });
  expectReceipt(await known.send(more), known, { accepted: 2n * PRICE, spent: 2n * PRICE });
});
