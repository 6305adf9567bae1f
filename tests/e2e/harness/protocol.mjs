// The wire, written independently of the gateway and of mppx from WIRE.md, so that tests can also break every rule of it.
import { createHash, createHmac, randomBytes } from "node:crypto";
import { keccak256, toBytes } from "viem";

export const PROBLEMS = "https://paymentauth.org/problems/";
/** The order WIRE §1 gives to the parameters of a challenge. */
export const CHALLENGE_ORDER = [
  "id",
  "realm",
  "method",
  "intent",
  "request",
  "description",
  "digest",
  "expires",
  "header",
  "opaque",
];

export const base64url = (value) => Buffer.from(value).toString("base64url");
export const fromBase64url = (value) => Buffer.from(value, "base64url").toString("utf8");
export const digestOf = (body) => `sha-256=${createHash("sha256").update(body).digest("base64")}`;

/** JSON Canonicalization Scheme for what challenges hold: objects, arrays, ASCII strings, integers, booleans. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${members.join(",")}}`;
}

/**
 * Parses `WWW-Authenticate` strictly: Payment challenges, every value quoted. workerd puts several values of a header into
 * one line, as HTTP allows, so that what WIRE §1 calls a line is a list member here.
 * Each challenge has its parameters as members, `names` in the order received, and the decoded `terms`.
 */
export function parseChallenges(lines) {
  const members = lines.flatMap((line) => line.split(/, (?=Payment )/));
  return members.filter((member) => member.startsWith("Payment ")).map(parseChallenge);
}

function parseChallenge(line) {
  const parameters = {};
  const names = [];
  let rest = line.slice("Payment ".length);
  while (rest) {
    const match = /^([a-z]+)="((?:[^"\\]|\\.)*)"(?:, |$)/.exec(rest);
    if (!match) throw new Error(`not a list of quoted parameters at: ${rest}`);
    const [all, name, value] = match;
    if (name in parameters) throw new Error(`parameter ${name} twice in: ${line}`);
    parameters[name] = value.replace(/\\(.)/g, "$1");
    names.push(name);
    rest = rest.slice(all.length);
  }
  return { ...parameters, line, names, terms: JSON.parse(fromBase64url(parameters.request)) };
}

/** The challenge as a credential carries it back: the parameters alone. */
export function echo(challenge) {
  const members = CHALLENGE_ORDER.filter((name) => challenge[name] !== undefined);
  return Object.fromEntries(members.map((name) => [name, challenge[name]]));
}

/** The HMAC that binds a challenge (WIRE §1); `header` is a slot only where there is one. */
export function bind(challenge, secret) {
  const { realm, method, intent, request, expires = "", digest = "", opaque = "", header } = challenge;
  const slots = [realm, method, intent, request, expires, digest, opaque];
  const input = [...slots, ...(header === undefined ? [] : [header])].join("|");
  return createHmac("sha256", secret).update(input).digest("base64url");
}

/** A challenge with some parameters changed and the binding made again, as only a holder of `secret` could. */
export function reissue(challenge, secret, changes = {}) {
  const { terms, ...parameters } = changes;
  const changed = { ...echo(challenge), ...parameters };
  if (terms) changed.request = base64url(canonical({ ...challenge.terms, ...terms }));
  changed.id = bind(changed, secret);
  changed.terms = JSON.parse(fromBase64url(changed.request));
  return changed;
}

const TRANSFER_WITH_AUTHORIZATION = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};

/**
 * Signs an ERC-3009 authorization in the token's EIP-712 domain.
 * @param {import("viem/accounts").PrivateKeyAccount} account
 */
export function signAuthorization(account, domain, authorization) {
  const { value, validAfter, validBefore } = authorization;
  return account.signTypedData({
    domain,
    types: TRANSFER_WITH_AUTHORIZATION,
    primaryType: "TransferWithAuthorization",
    message: {
      ...authorization,
      value: BigInt(value),
      validAfter: BigInt(validAfter),
      validBefore: BigInt(validBefore),
    },
  });
}

export const did = (chainId, address) => `did:pkh:eip155:${chainId}:${address}`;

/** The `Authorization` value of a credential. Undefined members are left out. */
export function encodeCredential({ challenge, payload, source }) {
  return `Payment ${base64url(JSON.stringify({ challenge: echo(challenge), payload, source }))}`;
}

/**
 * Pays an `evm` charge as WIRE §5 says: the nonce is the hash of the challenge.
 * `changes` overrides what is signed and sent; `token.domain` is the EIP-712 domain to sign in.
 */
export async function evmCredential(challenge, account, token, changes = {}) {
  const { amount, recipient, methodDetails } = challenge.terms;
  const authorization = {
    from: account.address,
    to: recipient,
    value: amount,
    validAfter: "0",
    validBefore: String(Math.floor(Date.parse(challenge.expires) / 1000)),
    nonce: keccak256(toBytes(challenge.id + challenge.realm)),
    ...changes,
  };
  const signature = await signAuthorization(account, token.domain, authorization);
  return {
    challenge,
    payload: { type: "authorization", ...authorization, signature },
    source: did(methodDetails.chainId, account.address),
  };
}

/** Pays an `abstract` charge: a nonce of the client's own, recipient and amount taken from the challenge. */
export async function abstractCredential(challenge, account, token, changes = {}) {
  const { amount, recipient, methodDetails } = challenge.terms;
  const { from, validAfter, validBefore, nonce } = {
    from: account.address,
    validAfter: "0",
    validBefore: String(Math.floor(Date.parse(challenge.expires) / 1000)),
    nonce: `0x${randomBytes(32).toString("hex")}`,
    ...changes,
  };
  const authorization = { from, to: recipient, value: amount, validAfter, validBefore, nonce };
  const signature = await signAuthorization(account, token.domain, authorization);
  return {
    challenge,
    payload: { type: "authorization", from, nonce, validAfter, validBefore, signature },
    source: did(methodDetails.chainId, account.address),
  };
}

/** The authorization a credential stands for, as the token's `transferWithAuthorization` takes it. */
export function authorizationOf({ challenge, payload }) {
  return {
    from: payload.from,
    to: payload.to ?? challenge.terms.recipient,
    value: BigInt(payload.value ?? challenge.terms.amount),
    validAfter: BigInt(payload.validAfter),
    validBefore: BigInt(payload.validBefore),
    nonce: payload.nonce,
    signature: payload.signature,
  };
}
