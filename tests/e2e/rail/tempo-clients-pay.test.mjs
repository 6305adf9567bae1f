// Charges on Tempo: mppx as published pays by a transaction that the gateway sends, by one that it has sent itself, and by one whose fees
// the gateway pays, to one or to several; and says who it is where nothing is asked for.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Gateway } from "../harness/gateway.mjs";
import { Origin } from "../harness/origin.mjs";
import { CHAIN_ID, TempoChain } from "../harness/tempo.mjs";

const REALM = "pay.example.com";
const chain = await new TempoChain().start();
const origin = await new Origin().start();
const [payer, , sponsor, recipient, partner] = chain.accounts;
after(async () => {
  await Promise.all([chain.stop(), origin.stop()]);
});

/** A gateway with one rail of this kind. */
function gateway(rail, price) {
  const limits = { settlementTimeoutSeconds: 10, rpcTimeoutSeconds: 5, originTimeoutSeconds: 5 };
  const rails = [{ kind: "tempo", chainId: CHAIN_ID, recipient: recipient.address, rpcUrls: [chain.rpc], ...rail }];
  return new Gateway({
    vars: {
      gateway: { rails, realm: REALM, origin: { url: origin.url }, limits, routes: [{ path: "/v1/*", price, wires: ["mpp"] }] },
    },
    secrets: { MPP_SECRET_KEY: "e2e-mpp-secret-key-0123456789abcdef", SETTLEMENT_PRIVATE_KEY: sponsor.privateKey },
  }).start();
}

const SPLITS = [{ recipient: partner.address, basisPoints: 250 }];
const CASES = {
  "a transaction": { paid: [10_000n, 0n] },
  "a transaction that is deep enough": { rail: { confirmations: 3 }, paid: [10_000n, 0n] },
  "a hash": { client: { mode: "push" }, paid: [10_000n, 0n] },
  "a hash that is deep enough": { rail: { confirmations: 3 }, client: { mode: "push" }, paid: [10_000n, 0n] },
  "a transaction with splits": { rail: { splits: SPLITS }, paid: [9_750n, 250n] },
  "a transaction whose fees we pay": { rail: { feePayer: {} }, paid: [10_000n, 0n], sponsored: true },
  "one with splits whose fees we pay": { rail: { feePayer: {}, splits: SPLITS }, paid: [9_750n, 250n], sponsored: true },
  "a proof of who asks": { price: "0", paid: [0n, 0n] },
};

for (const [name, { rail = {}, client = {}, price = "0.01", paid, sponsored = false }] of Object.entries(CASES)) {
  test(`mppx pays by ${name}, once`, async () => {
    const under = await gateway(rail, price);
    try {
      const watched = [recipient, partner, sponsor].map(({ address }) => address);
      const before = await Promise.all(watched.map((address) => chain.balance(address)));
      const mppx = chain.mppx(payer, client);
      const response = await mppx.fetch(`${under.urls[0]}/v1/x`);
      assert.equal(response.status, 200, await response.text());
      assert.deepEqual(
        mppx.requests.map(({ status }) => status),
        [402, 200],
        "one payment",
      );
      const receipt = JSON.parse(Buffer.from(response.headers.get("payment-receipt"), "base64url").toString());
      assert.deepEqual([receipt.method, receipt.status, receipt.chainId], ["tempo", "success", CHAIN_ID]);
      if (price === "0") assert.equal(receipt.reference, receipt.challengeId);
      else assert.equal((await chain.ask("eth_getTransactionReceipt", receipt.reference)).status, "0x1");
      const [toRecipient, toPartner, toSponsor] = await Promise.all(
        watched.map(async (address, place) => (await chain.balance(address)) - before[place]),
      );
      assert.deepEqual([toRecipient, toPartner], paid);
      assert.equal(toSponsor < 0n, sponsored, `${toSponsor}`);
      // On every isolate it has bought what it could.
      const authorization = mppx.requests.at(-1).authorization;
      for (const url of under.urls) {
        const again = await fetch(`${url}/v1/x`, { headers: { authorization } });
        assert.equal(again.status, 403, await again.text());
      }
    } finally {
      await under.stop();
    }
  });
}
