// How a client of each wire asks, signs and pays, for the cases to drive. Written from WIRE.md and X402.md, not from the gateway.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { expectPaid, expectProblem, expectSettled, expectSpent } from "../harness/expect.mjs";
import { encodeCredential, reissue, signAuthorization } from "../harness/protocol.mjs";
import { OTHER_SECRET, SECRET } from "../harness/stack.mjs";

/**
 * @typedef {object} Wire
 * @property {string} name
 * @property {(stack, path: string, options?) => Promise<object>} offer asks without paying, and picks this wire's offer of the answer
 * @property {(stack, offer, options?: {payer?, changes?, token?}) => Promise<object>} sign a proof that pays for the offer; `changes`
 *   alters what is signed, `token` the domain it is signed in
 * @property {(proof) => [string, string][]} headers the lines of a request that present the proof
 * @property {(proof) => string[]} secrets what of the proof nobody but the gateway may see
 * @property {(proof) => object} told what the origin hears of who paid: payer, method, intent, amount
 * @property {(stack, offer) => Record<string, object>} foreign offers that a client can sign and that are not what is asked for here
 * @property {(offer) => object} [expired] the offer as it was made long ago; absent where offers do not expire
 * @property {(proof) => Record<string, object>} edits the proof with one thing changed after it was signed
 * @property {("url" | "verb")[]} bound to what of its request a proof is bound before it has bought anything
 * @property {(answer, why: "edited" | "elsewhere" | "expired") => void} expectRefused asserts that the proof bought nothing, and that
 *   the client is told how to pay
 * @property {(answer) => void} expectUsedElsewhere asserts the same of a proof that has bought something, with another request
 * @property {(stack, answer, proof, options?) => Promise<void>} expectPaid asserts a delivery, and on chain what its receipt names
 * @property {(answer) => void} expectSpent asserts that the proof has bought what it could
 */

/**
 * A character of `value` changed into another of its kind.
 * @param {number} place from 0, its beginning, to 1
 */
export function editOne(value, place) {
  const at = Math.min(Math.floor(value.length * place), value.length - 1);
  const old = value[at];
  const [one, other] = /\d/.test(old) ? ["7", "8"] : /[a-z]/.test(old) ? ["a", "b"] : ["Q", "R"];
  return value.slice(0, at) + (old === one ? other : one) + value.slice(at + 1);
}

const AUTHORIZATION = ["from", "to", "value", "nonce", "validAfter", "validBefore", "signature"];

/** Each member of an ERC-3009 authorization changed, one at a time. */
export function editedAuthorizations(authorization) {
  const members = AUTHORIZATION.filter((member) => authorization[member] !== undefined);
  return Object.fromEntries(
    members.map((member) => [member, { ...authorization, [member]: editOne(authorization[member], 0.7) }]),
  );
}

/**
 * A charge by the Payment scheme.
 * @param {"abstract" | "evm"} method
 * @returns {Wire}
 */
export function mpp(method) {
  const refusals = {
    edited: ["verification-failed", "malformed-credential", "payment-expired", "payment-insufficient"],
    elsewhere: ["invalid-challenge"],
    expired: ["payment-expired", "verification-failed"],
  };
  return {
    name: `mpp ${method}`,
    bound: ["url", "verb"],
    offer: (stack, path, options) => stack.challenge(path, { scheme: method, ...options }),
    sign: (stack, offer, options) => stack.sign(offer, options),
    headers: (proof) => [["Authorization", encodeCredential(proof)]],
    secrets: (proof) => [encodeCredential(proof).slice("Payment ".length, "Payment ".length + 40), proof.payload.signature],
    told: ({ challenge, payload }) => ({ payer: payload.from, method, intent: "charge", amount: challenge.terms.amount }),
    foreign(stack, offer) {
      const { terms } = offer;
      const made = (changes, secret = SECRET) => reissue(offer, secret, changes);
      const elsewhere = { ...terms.methodDetails, chainId: 1 };
      return {
        "another server": made({}, OTHER_SECRET),
        "another realm": made({ realm: "other.example.com" }),
        "another network": made({ terms: { methodDetails: elsewhere } }),
        "another token": made({ terms: { currency: stack.stranger.address } }),
        "another recipient": made({ terms: { recipient: stack.stranger.address } }),
        "a lower price": made({ terms: { amount: "9999" } }),
        "no price": made({ terms: { amount: "0" } }),
      };
    },
    expired: (offer) => reissue(offer, SECRET, { expires: new Date(Date.now() - 2_000).toISOString() }),
    edits(proof) {
      const payloads = Object.entries(editedAuthorizations(proof.payload));
      return Object.fromEntries(payloads.map(([member, payload]) => [member, { ...proof, payload }]));
    },
    expectRefused: (answer, why) => expectProblem(answer, 402, ...refusals[why]),
    async expectPaid(stack, answer, proof, options) {
      await expectPaid(stack, answer, proof, options);
    },
    expectUsedElsewhere: (answer) => expectProblem(answer, 402, ...refusals.elsewhere),
    expectSpent,
  };
}

/** What the two versions of x402 call things. */
const X402 = {
  1: { payment: "X-PAYMENT", outcome: "x-payment-response", price: "maxAmountRequired" },
  2: { payment: "PAYMENT-SIGNATURE", outcome: "payment-response", price: "amount" },
};

const toBase64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64");
const fromBase64 = (text) => JSON.parse(Buffer.from(text, "base64").toString("utf8"));

/**
 * A charge by x402's scheme `exact`, with an ERC-3009 authorization of a nonce of the client's own.
 * @param {1 | 2} version
 * @returns {Wire}
 */
export function x402(version) {
  const { payment, outcome, price } = X402[version];
  const networkOf = ({ id, network }) => (version === 2 ? `eip155:${id}` : network);
  const told = (answer) => {
    const values = answer.all(outcome);
    assert.equal(values.length, 1, `one ${outcome}: ${answer.status} ${JSON.stringify(answer.raw)} ${answer.text}`);
    return fromBase64(values[0]);
  };
  const expectFailed = (answer, ...statuses) => {
    assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
    assert.equal(answer.headers["payment-receipt"], undefined);
    const { success, errorReason, transaction } = told(answer);
    assert.deepEqual({ success, transaction }, { success: false, transaction: "" });
    assert.match(errorReason, /^[a-z0-9_]+$/);
  };
  const changed = (offer, entry, more = {}) => ({ ...offer, entry: { ...offer.entry, ...entry }, ...more });
  return {
    name: `x402 v${version}`,
    // A URL is part of what clients of version 2 return; the verb only where they bind the nonce to it.
    bound: version === 2 ? ["url"] : [],
    async offer(stack, path, options) {
      const answer = await stack.send(path, options);
      assert.equal(answer.status, 402, answer.text);
      const asked = version === 2 ? fromBase64(answer.headers["payment-required"]) : answer.json;
      assert.equal(asked.x402Version, version);
      const entry = asked.accepts.find(({ network }) => network === networkOf(stack.chain));
      assert.ok(entry, `an offer on ${networkOf(stack.chain)}: ${JSON.stringify(asked)}`);
      return { entry, resource: asked.resource, chainId: stack.chain.id };
    },
    async sign(stack, { entry, resource, chainId }, { payer = stack.payers[0], changes, token } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const authorization = {
        from: payer.address,
        to: entry.payTo,
        value: entry[price],
        validAfter: version === 2 ? "0" : String(now - 600),
        validBefore: String(now + entry.maxTimeoutSeconds),
        nonce: `0x${randomBytes(32).toString("hex")}`,
        ...changes,
      };
      const { name, version: edition } = entry.extra;
      const domain = token?.domain ?? { name, version: edition, chainId, verifyingContract: entry.asset };
      const signature = await signAuthorization(payer, domain, authorization);
      const payload = { signature, authorization };
      if (version === 1) return { x402Version: 1, scheme: entry.scheme, network: entry.network, payload };
      return { x402Version: 2, payload, accepted: entry, resource };
    },
    headers: (proof) => [[payment, toBase64(proof)]],
    secrets: ({ payload }) => [payload.signature, toBase64({ signature: payload.signature }).slice(16, 80)],
    told: ({ payload: { authorization } }) => ({
      payer: authorization.from,
      method: "evm",
      intent: "charge",
      amount: authorization.value,
    }),
    foreign(stack, offer) {
      const elsewhere = version === 2 ? "eip155:8453" : "base";
      const offers = {
        "another network": changed(offer, { network: elsewhere }, { chainId: 8453 }),
        "another token": changed(offer, { asset: stack.stranger.address }),
        "another recipient": changed(offer, { payTo: stack.stranger.address }),
        "a lower price": changed(offer, { [price]: "9999" }),
        "no price": changed(offer, { [price]: "0" }),
      };
      if (version === 1) return offers;
      const resource = { ...offer.resource, url: offer.resource.url.replace(/\/\/[^/]+/, "//other.example.com") };
      return { ...offers, "another realm": { ...offer, resource } };
    },
    edits(proof) {
      const { authorization } = proof.payload;
      const edited = Object.entries(editedAuthorizations(authorization));
      const signature = editOne(proof.payload.signature, 0.7);
      const payloads = [...edited.map(([member, one]) => [member, { ...proof.payload, authorization: one }])];
      payloads.push(["signature", { ...proof.payload, signature }]);
      return Object.fromEntries(payloads.map(([member, payload]) => [member, { ...proof, payload }]));
    },
    expectRefused(answer) {
      expectFailed(answer, 402);
      assert.match(answer.headers["cache-control"] ?? "", /no-store/);
      const [required] = answer.all("payment-required").map(fromBase64);
      assert.ok(required.accepts.length > 0, "a refusal says how to pay");
      assert.ok(required.error.length > 0, "and why it was none");
      assert.deepEqual([answer.json.x402Version, answer.json.accepts.length], [1, required.accepts.length], "to version 1 too");
    },
    async expectPaid(stack, answer, { payload: { authorization } }, { status = 200 } = {}) {
      assert.equal(answer.status, status, `${JSON.stringify(answer.raw)} ${answer.text}`);
      assert.match(answer.headers["cache-control"] ?? "", /private/);
      const { success, transaction, network, payer } = told(answer);
      assert.deepEqual(
        { success, network, payer },
        { success: true, network: networkOf(stack.chain), payer: authorization.from },
      );
      await expectSettled(stack, transaction, authorization);
    },
    // Its URL is another one, or it has bought something: which of the two is told first is not told apart here.
    expectUsedElsewhere: (answer) => expectFailed(answer, 402, 403),
    expectSpent(answer) {
      expectFailed(answer, 403);
      for (const name of ["www-authenticate", "payment-required"]) assert.deepEqual(answer.all(name), [], name);
    },
  };
}

/** Asserts that nothing was delivered and nothing is to be paid again: what failed is behind the gateway. */
export function expectUndelivered(answer, status) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers["payment-receipt"], undefined, "no receipt");
  for (const name of Object.values(X402).map(({ outcome }) => outcome)) {
    for (const value of answer.all(name)) assert.equal(fromBase64(value).success, false, name);
  }
  for (const name of ["www-authenticate", "payment-required"]) assert.deepEqual(answer.all(name), [], `no ${name}`);
}
