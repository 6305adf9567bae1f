// How a client of each wire asks, signs and pays, for the cases to drive. Written from WIRE.md and X402.md, not from the gateway.
import assert from "node:assert/strict";
import { expectPaid, expectProblem, expectSpent } from "../harness/expect.mjs";
import { encodeCredential, reissue } from "../harness/protocol.mjs";
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
 * @property {(answer, why: "edited" | "elsewhere" | "expired") => void} expectRefused asserts that the proof bought nothing, and that
 *   the client is told how to pay
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

const AUTHORIZATION = ["from", "nonce", "validAfter", "validBefore", "signature"];

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
    edited: ["verification-failed", "malformed-credential", "payment-expired"],
    elsewhere: ["invalid-challenge"],
    expired: ["payment-expired", "verification-failed"],
  };
  return {
    name: `mpp ${method}`,
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
    expectSpent,
  };
}

/** Asserts that nothing was delivered and nothing is to be paid again: what failed is behind the gateway. */
export function expectUndelivered(answer, status) {
  assert.equal(answer.status, status, answer.text);
  for (const name of ["payment-receipt", "payment-response", "x-payment-response"]) {
    assert.equal(answer.headers[name], undefined, `no ${name}`);
  }
  for (const name of ["www-authenticate", "payment-required"]) assert.deepEqual(answer.all(name), [], `no ${name}`);
}
