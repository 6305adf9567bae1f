// x402's clients as npm and PyPI have them, unmodified: they read the 402, sign, and get what they asked for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { privateKeyToAccount } from "viem/accounts";
import { startStack } from "../harness/stack.mjs";
import { V1_CLIENTS, V2_CLIENTS } from "../harness/x402-clients.mjs";

const ROUTES = [
  { path: "/v1/reports/{id}", methods: ["GET"], price: "0.01", description: "One report" },
  { path: "/v1/late", methods: ["POST"], price: "0.03", description: "Settled after the origin", settle: "after-origin" },
  { path: "/v1/x402", price: "0.01", wires: ["x402"] },
];
// The clients know Base Sepolia and the token there; of Abstract's they must be told.
const stack = await startStack({ networks: ["abstract-testnet", "base-sepolia"], routes: ROUTES });
const { gateway, origin } = stack;
const { "abstract-testnet": abstract, "base-sepolia": base } = stack.rails;
const [url] = gateway.urls;
const PATH = "/v1/reports/1?full=yes";

/** What a client does not get to see, and what the origin has no use for. */
const KEPT = ["payment-signature", "x-payment", "payment-response", "x-payment-response", "access-control-expose-headers"];

/** Asserts that a client paid once, on one rail, and was told so in the words of its version. */
async function expectBought(rail, pay, { content, amount, network }) {
  const payer = rail.payers[0];
  const [mark, ...others] = await Promise.all([rail, ...[abstract, base].filter((one) => one !== rail)].map((one) => one.mark()));
  const { status, headers, text, told } = await pay(payer);
  assert.equal(status, 200, text);
  assert.equal(text, content);
  const { success, transaction } = told;
  assert.deepEqual([success, told.network, told.payer], [true, network, payer.address]);
  const { status: mined } = await rail.chain.public.getTransactionReceipt({ hash: transaction });
  assert.equal(mined, "success");
  const receipt = JSON.parse(Buffer.from(headers.get("payment-receipt"), "base64url").toString());
  assert.deepEqual([receipt.reference, receipt.method, receipt.chainId], [transaction, "evm", rail.chain.id]);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount });
  for (const other of others) await other.moved({ origin: 1 });
  const asked = origin.requests.at(-1).headers;
  for (const name of KEPT) assert.equal(asked[name], undefined, `${name} at the origin`);
  assert.equal(asked["x-payment-payer"], payer.address);
}

const CLIENTS = [
  ...Object.entries(V2_CLIENTS).map(([name, pay]) => ({ name, pay, networkOf: ({ chain }) => `eip155:${chain.id}` })),
  ...Object.entries(V1_CLIENTS).map(([name, pay]) => ({ name, pay, networkOf: ({ chain }) => chain.network })),
];

for (const { name, pay, networkOf } of CLIENTS) {
  test(`${name} pays on Base Sepolia with nothing configured, settled first`, () =>
    expectBought(base, (payer) => pay({ payer }, url + PATH), {
      content: `content of GET ${PATH}`,
      amount: 10_000n,
      network: networkOf(base),
    }));

  test(`${name} pays on Abstract when its token is allowed, after the origin, with a body`, async () => {
    const wanted = { content: "content of POST /v1/late", amount: 30_000n, network: networkOf(abstract) };
    const init = { method: "POST", body: "what is asked" };
    await expectBought(abstract, (payer) => pay({ payer, chain: abstract.chain }, `${url}/v1/late`, init), wanted);
    assert.equal(origin.requests.at(-1).body.toString(), "what is asked");
  });

  test(`${name} reads that a payer has no money, and pays nothing`, async () => {
    const privateKey = `0x${"7".repeat(64)}`;
    const poor = Object.assign(privateKeyToAccount(privateKey), { privateKey });
    const marks = await Promise.all([abstract, base].map((rail) => rail.mark()));
    const { status, told } = await pay({ payer: poor }, url + PATH);
    assert.equal(status, 402);
    const { success, errorReason, transaction, network } = told;
    assert.deepEqual(
      { success, errorReason, transaction, network },
      { success: false, errorReason: "insufficient_funds", transaction: "", network: networkOf(base) },
    );
    for (const mark of marks) await mark.nothing();
  });
}

test("where there is no challenge of MPP's, each client pays all the same", async () => {
  for (const { pay, networkOf } of CLIENTS) {
    const wanted = { content: "content of GET /v1/x402", amount: 10_000n, network: networkOf(base) };
    await expectBought(base, (payer) => pay({ payer }, `${url}/v1/x402`), wanted);
  }
});
