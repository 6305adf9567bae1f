// x402's clients as npm has them, unmodified: they read the 402, sign, and get what they asked for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { x402Client } from "@x402/core/client";
import { registerExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment } from "@x402/fetch";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { gateway, payers } = stack;
const PATH = "/v1/reports/1?full=yes";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };

const decode = (value) => JSON.parse(Buffer.from(value, "base64").toString("utf8"));

test("@x402/fetch pays, and is told the transaction", async () => {
  const client = registerExactEvmScheme(x402Client.fromConfig({ schemes: [], spendControls: false }), { signer: payers[0] });
  const mark = await stack.mark();
  const answer = await wrapFetchWithPayment(fetch, client)(gateway.urls[0] + PATH);
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  const { success, transaction, network, payer } = decode(answer.headers.get("payment-response"));
  assert.deepEqual([success, network, payer], [true, "eip155:11124", payers[0].address]);
  assert.match(transaction, /^0x[0-9a-f]{64}$/);
  await mark.moved(ONE);
});
