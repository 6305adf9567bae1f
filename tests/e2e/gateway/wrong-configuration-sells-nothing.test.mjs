// C10: a wrong configuration serves no priced route, says which field and what to do, and leaves free routes alone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { ROUTES, startStack } from "../harness/stack.mjs";

const stack = await startStack();
const PRICED = "/v1/reports/1";
const FREE = "/free/page";

const without = (key) => (gateway) => ({ ...gateway, [key]: undefined });
const set = (changes) => (gateway) => ({ ...gateway, ...changes });
const route = (changes) => (gateway) => ({
  ...gateway,
  routes: [...ROUTES, { path: "/x", price: "1", description: "x", ...changes }],
});
const token = (changes) => (gateway) => ({ ...gateway, token: { ...gateway.token, ...changes } });
const limits = (changes) => (gateway) => ({ ...gateway, limits: { ...gateway.limits, ...changes } });

/** Wrong secrets: [what is wrong, what the problem must name, the secrets]. */
const secrets = [
  ["no MPP_SECRET_KEY", "MPP_SECRET_KEY", { MPP_SECRET_KEY: undefined }],
  ["an empty MPP_SECRET_KEY", "MPP_SECRET_KEY", { MPP_SECRET_KEY: "" }],
  ["a MPP_SECRET_KEY of 31 bytes", "MPP_SECRET_KEY", { MPP_SECRET_KEY: "0123456789012345678901234567890" }],
  [
    "a MPP_SECRET_KEY_PREVIOUS of 31 bytes",
    "MPP_SECRET_KEY_PREVIOUS",
    { MPP_SECRET_KEY_PREVIOUS: "0123456789012345678901234567890" },
  ],
  ["no SETTLEMENT_PRIVATE_KEY", "SETTLEMENT_PRIVATE_KEY", { SETTLEMENT_PRIVATE_KEY: undefined }],
  ["a SETTLEMENT_PRIVATE_KEY that is too short", "SETTLEMENT_PRIVATE_KEY", { SETTLEMENT_PRIVATE_KEY: `0x${"ab".repeat(31)}` }],
  ["a SETTLEMENT_PRIVATE_KEY of zero", "SETTLEMENT_PRIVATE_KEY", { SETTLEMENT_PRIVATE_KEY: `0x${"00".repeat(32)}` }],
  ["a SETTLEMENT_PRIVATE_KEY that is no hex", "SETTLEMENT_PRIVATE_KEY", { SETTLEMENT_PRIVATE_KEY: `0x${"zz".repeat(32)}` }],
  ["an RPC_URL that is no URL", "RPC_URL", { RPC_URL: "not a url with-a-key-inside" }],
  ["an RPC_URL of another scheme", "RPC_URL", { RPC_URL: "ftp://rpc.example/with-a-key-inside" }],
];

/** Wrong configurations: [what is wrong, the field to name, how to make it]. */
const wrong = [
  ["an unknown field", "chalengeLifetimeSeconds", set({ chalengeLifetimeSeconds: 300 })],
  ["an unknown field of a route", "prize", route({ prize: "2" })],
  ["an unknown field of the token", "symbol", token({ symbol: "USDC" })],
  ["an unknown field of the limits", "settlementTimeout", limits({ settlementTimeout: 3 })],
  ["no recipient", "recipient", without("recipient")],
  ["a recipient that is too short", "recipient", set({ recipient: "0x1234" })],
  [
    "a recipient whose checksum is wrong",
    "recipient",
    set({ recipient: stack.recipient.replace(/[a-f]/, (c) => c.toUpperCase()) }),
  ],
  ["a recipient of zero", "recipient", set({ recipient: `0x${"00".repeat(20)}` })],
  ["a token address that is none", "token.address", token({ address: "0xnothing" })],
  ["an unknown network", "network", set({ network: "abstrakt" })],
  ["no network and no chain", "network", without("network")],
  ["no origin", "origin", without("origin")],
  ["an origin of two kinds", "origin", set({ origin: { url: "http://127.0.0.1:1", dns: true } })],
  ["an origin that is no URL", "origin.url", set({ origin: { url: "localhost" } })],
  ["an origin binding that is not there", "origin.service", set({ origin: { service: "MISSING" } })],
  ["a realm with a separator", "realm", set({ realm: "a|b" })],
  ["a realm with quotes", "realm", set({ realm: 'a"b' })],
  ["a lifetime of zero", "challengeLifetimeSeconds", set({ challengeLifetimeSeconds: 0 })],
  ["a price with too many decimals", "price", route({ price: "0.0000001" })],
  ["a price of zero", "price", route({ price: "0" })],
  ["a negative price", "price", route({ price: "-1" })],
  ["a price in another notation", "price", route({ price: "1e-2" })],
  ["a price that is a number", "price", route({ price: 0.01 })],
  ["no price", "price", route({ price: undefined })],
  ["a path without its slash", "path", route({ path: "x" })],
  ["a path with a star in the middle", "path", route({ path: "/a/*/b" })],
  ["an unclosed parameter", "path", route({ path: "/a/{id" })],
  ["a method that is none", "methods", route({ methods: ["GE T"] })],
  ["OPTIONS as a priced method", "methods", route({ methods: ["OPTIONS"] })],
  ["an unknown payment method", "paymentMethods", route({ paymentMethods: ["paypal"] })],
  ["no payment method", "paymentMethods", route({ paymentMethods: [] })],
  ["an unknown intent", "intents", route({ intents: ["gift"] })],
  ["another field for credentials", "header", route({ header: "X-Pay" })],
  ["an unknown moment to settle", "settle", route({ settle: "never" })],
  ["two routes of the same path and method", "routes", (gateway) => ({ ...gateway, routes: [...ROUTES, ROUTES[0]] })],
  ["a description outside ASCII", "description", route({ description: "ünïcode" })],
];

async function expectRefusal(name, field) {
  const mark = await stack.mark();
  const answer = await stack.send(PRICED);
  const problem = expectProblem(answer, 500);
  const said = JSON.stringify(problem);
  assert.ok(said.includes(field), `${name}: names ${field}: ${said}`);
  assert.ok(!said.includes("with-a-key-inside"), "a secret's value is not repeated");
  assert.deepEqual(answer.challenges, []);
  await mark.nothing();
  const free = await stack.send(FREE);
  assert.equal(free.text, `content of GET ${FREE}`, `${name}: free routes still pass: ${free.status} ${free.text}`);
}

for (const [name, field, changes] of secrets) {
  test(`${name}: priced routes answer 500 and name ${field}, free ones pass`, async () => {
    await stack.reconfigure({ secrets: changes });
    await expectRefusal(name, field);
  });
}

// Without a usable origin there is nothing for free routes to pass to, and when a path or its methods cannot be read nobody knows
// which routes are free: then everything is closed.
const closed = new Set(["origin", "origin.url", "origin.service", "path", "methods"]);
for (const [name, field, gateway] of wrong) {
  const free = closed.has(field) ? "everything is closed" : "free ones pass";
  test(`${name}: priced routes answer 500 and name ${field}, ${free}`, async () => {
    await stack.reconfigure({ gateway });
    if (!closed.has(field)) return expectRefusal(name, field);
    const mark = await stack.mark();
    const answer = await stack.send(PRICED);
    assert.ok(JSON.stringify(expectProblem(answer, 500)).includes(field), answer.text);
    assert.ok((await stack.send(FREE)).status >= 500);
    await mark.nothing();
  });
}

test("a credential that was good before is not taken while the configuration is wrong", async () => {
  await stack.reconfigure({});
  const credential = await stack.credential(PRICED);
  await stack.reconfigure({ gateway: without("recipient") });
  const mark = await stack.mark();
  expectProblem((await stack.present(PRICED, credential)).answer, 500);
  await mark.nothing();
  await stack.reconfigure({});
  await expectPaid(stack, (await stack.present(PRICED, credential)).answer, credential);
});

const KEY = "with-a-key-inside";
const URL_WITH_KEY = `https://rpc.example/v2/${KEY}`;
/** A value with a key in it where it does not belong: [the field to name, how to put it there]. */
const misplaced = [
  ["rpcUrls", set({ rpcUrls: URL_WITH_KEY })],
  ["rpcUrls", set({ rpcUrls: `a \\" at line 1 "${URL_WITH_KEY}` })],
  ["rpcUrls", set({ rpcUrls: { [URL_WITH_KEY]: KEY } })],
  ["rpcUrls", set({ rpcUrls: [[URL_WITH_KEY]] })],
  ["chainId", set({ chainId: URL_WITH_KEY })],
  ["recipient", set({ recipient: [URL_WITH_KEY] })],
  ["recipient", set({ recipient: KEY })],
  ["network", set({ network: URL_WITH_KEY })],
  ["settle", route({ settle: URL_WITH_KEY })],
  ["token", set({ token: URL_WITH_KEY })],
  ["token.address", token({ address: URL_WITH_KEY })],
  ["limits", limits({ rpcTimeoutSeconds: URL_WITH_KEY })],
  ["realm", set({ realm: `"${URL_WITH_KEY}"` })],
  ["price", route({ price: URL_WITH_KEY })],
  ["intents", route({ intents: [URL_WITH_KEY] })],
  ["paymentMethods", route({ paymentMethods: [URL_WITH_KEY] })],
];
for (const [index, [field, gateway]] of misplaced.entries()) {
  test(`a misplaced value (${index}) is not shown by the error that names ${field}`, async () => {
    // The configuration is read by whatever comes first: a request, or the alarm of an object that has waited for the gateway.
    const logged = stack.gateway.logs.length;
    // Without the secret, the configured list is the one that counts.
    await stack.reconfigure({ gateway, secrets: { RPC_URL: undefined } });
    const mark = await stack.mark();
    const [priced, health, config] = await Promise.all(
      [PRICED, "/__mpp/health", "/__mpp/config"].map((path) => stack.send(path)),
    );
    const said = JSON.stringify(expectProblem(priced, 500));
    assert.ok(said.includes(field), `names ${field}: ${said}`);
    assert.equal(health.status, 503, health.text);
    assert.ok(health.text.includes(field), `names ${field}: ${health.text}`);
    for (const { text } of [priced, health, config]) assert.ok(!text.includes(KEY), text);
    await until(() => stack.gateway.logs.slice(logged).includes(field), "the log to tell of it");
    assert.ok(!stack.gateway.logs.slice(logged).includes(KEY), "nor by the log");
    await mark.nothing();
  });
}

test("several mistakes are named at once", async () => {
  await stack.reconfigure({ gateway: set({ recipient: "0x1", realm: "a|b" }), secrets: { MPP_SECRET_KEY: "short" } });
  const said = JSON.stringify(expectProblem(await stack.send(PRICED), 500));
  for (const field of ["recipient", "realm", "MPP_SECRET_KEY"]) assert.ok(said.includes(field), `${field} in ${said}`);
});

test("health says that the configuration is wrong", async () => {
  const answer = await stack.send("/__mpp/health");
  assert.equal(answer.status, 503);
});

test("a token that is not the one its EIP-712 domain claims takes no payment", async () => {
  await stack.reconfigure({ gateway: token({ name: "Another Coin" }) });
  const mark = await stack.mark();
  const challenge = await stack.send(PRICED);
  if (challenge.status === 402) {
    const credential = await stack.sign(challenge.challenge(), {
      token: { ...stack.token, domain: { ...stack.token.domain, name: "Another Coin" } },
    });
    const { answer } = await stack.present(PRICED, credential);
    assert.ok(answer.status >= 500, `${answer.status} ${answer.text}`);
  } else expectProblem(challenge, 500);
  await mark.nothing();
});

test("a configured chain that is not the provider's takes no payment", async () => {
  await stack.reconfigure({ gateway: set({ network: undefined, chainId: 2741, rpcUrls: [stack.rpc.url] }) });
  const mark = await stack.mark();
  const challenge = (await stack.send(PRICED)).challenge("evm", 2741);
  const credential = await stack.sign(challenge, {
    token: { ...stack.token, domain: { ...stack.token.domain, chainId: 2741 } },
  });
  const { answer } = await stack.present(PRICED, credential);
  assert.ok(answer.status >= 500, `${answer.status} ${answer.text}`);
  await mark.nothing();
});
