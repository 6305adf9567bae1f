// Makes tests/vectors/x402.json: one offer of x402, and what clients present for it. The payments of the published clients' shape are
// signed by viem; the one that is bound to its request is made by mppx's own client. `node tests/vectors/make-x402.mjs` writes the
// same file again: what mppx takes from the clock and from chance is held still.

import { writeFileSync } from "node:fs";
import { privateKeyToAccount } from "viem/accounts";

const NOW = 1_800_000_000;
const account = privateKeyToAccount("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
const base64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64");

const accepted = {
  scheme: "exact",
  network: "eip155:84532",
  amount: "10000",
  asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
  payTo: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
  maxTimeoutSeconds: 300,
  extra: { assetTransferMethod: "eip3009", name: "USDC", version: "2", paymentFlow: "upfront" },
};
const resource = { url: "https://api.example.com/v1/report?day=1&of=“March”", description: 'Daily "report"', mimeType: "application/json" };
const string = { type: "string" };
const extensions = {
  mppx: {
    info: { method: "POST" },
    schema: {
      additionalProperties: false,
      properties: { _mppx_scope: string, digest: string, method: string, nonce: string, opaque: string },
      required: ["method"],
      type: "object",
    },
  },
  "payment-identifier": {
    info: { required: false },
    schema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: { required: { type: "boolean" }, id: { ...string, minLength: 16, maxLength: 128, pattern: "^[a-zA-Z0-9_-]+$" } },
      required: ["required"],
    },
  },
};
const required = { x402Version: 2, error: "Payment required", resource, accepts: [accepted], extensions };
const { scheme, amount, asset, payTo, maxTimeoutSeconds, extra } = accepted;
const requiredV1 = {
  x402Version: 1,
  error: "Payment required",
  accepts: [
    {
      scheme,
      network: "base-sepolia",
      maxAmountRequired: amount,
      resource: resource.url,
      description: resource.description,
      mimeType: resource.mimeType,
      payTo,
      maxTimeoutSeconds,
      asset,
      extra,
    },
  ],
};

const domain = { name: extra.name, version: extra.version, chainId: 84532, verifyingContract: asset };
const types = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};
const prove = async (changed = {}) => {
  const window = { validAfter: "0", validBefore: String(NOW + maxTimeoutSeconds) };
  const authorization = { from: account.address, to: payTo, value: amount, ...window, nonce: `0x${"11".repeat(32)}`, ...changed };
  const signature = await account.signTypedData({ domain, types, primaryType: "TransferWithAuthorization", message: authorization });
  return { authorization, signature };
};

const named = structuredClone(extensions);
named["payment-identifier"].info.id = "pay_7d5d747be160e280504c099d984bcfe0";
const plain = { x402Version: 2, payload: await prove(), resource, accepted, extensions };
const payments = {
  // As @x402/fetch, @x402/axios and Python's x402 send it.
  plain: base64(plain),
  identified: base64({ ...plain, extensions: named }),
  // As Go's client does: other order, an hour ahead.
  go: base64({
    accepted: Object.fromEntries(Object.entries(accepted).sort()),
    payload: await prove({ validAfter: String(NOW - 600), validBefore: String(NOW + 3600) }),
    resource: { description: resource.description, mimeType: resource.mimeType, url: resource.url },
    x402Version: 2,
  }),
  // As x402-fetch 1.x does, in X-PAYMENT.
  v1: base64({ x402Version: 1, scheme, network: "base-sepolia", payload: await prove({ validAfter: String(NOW - 600) }) }),
  v1Generous: base64({ x402Version: 1, scheme, network: "base-sepolia", payload: await prove({ value: "10001" }) }),
};

Date.now = () => NOW * 1000;
crypto.getRandomValues = (bytes) => bytes.fill(7);
const { createCredential } = await import("../../node_modules/mppx/dist/x402/client/Exact.js");
const challenge = { request: { ...accepted, extensions: named, resource } };
payments.mppx = await createCredential({ challenge, config: { account } });

writeFileSync(new URL("x402.json", import.meta.url), `${JSON.stringify({ now: NOW, required, requiredV1, payments }, null, 1)}\n`);
