// Requests that nobody has paid for, a plain one and the dearest of each kind that we know: what they make the gateway do.
import { randomBytes } from "node:crypto";
import http from "node:http";
import { encodeCredential, evmCredential } from "../../tests/e2e/harness/protocol.mjs";
import { challengeOf, dearLines, head, manyNames } from "./cases.mjs";
import { channels, payers, stranger, TOKEN_DOMAIN, unopened, voucher } from "./setting.mjs";

/** What a route that binds bodies has to hash before anybody has paid. */
const BOUND_BODY = Buffer.alloc(256 * 1024, "mpp-edge ");

/** What is told apart by each kind's requests: signatures and channels, of which no two are alike. */
const FRESH = 256;

const get = (path, lines = []) => ({ method: "GET", path, lines });
const post = (path, lines = []) => ({ method: "POST", path, lines: ["Content-Length: 0", ...lines] });
const times = async (count, make) => Promise.all(Array.from({ length: count }, (_, i) => make(i)));
const credential = (value) => `Authorization: ${encodeCredential(value)}`;
const nested = Buffer.from(`{"payload":${"[0,".repeat(2_000)}`).toString("base64url");

async function charge(worker, changes) {
  const challenge = await challengeOf(worker, "/charge/quote", "charge");
  return times(FRESH, async (i) => {
    const account = { address: payers[i % payers.length].address, signTypedData: stranger.signTypedData };
    const made = await evmCredential({ ...challenge }, account, { domain: TOKEN_DOMAIN });
    return get("/charge/quote", [credential(changes(made))]);
  });
}

async function session(worker, channelOf) {
  const challenge = await challengeOf(worker, "/voucher?c=0", "session");
  return times(FRESH, async (i) => {
    const payload = await voucher(channelOf(i), 1_000n);
    return get("/voucher?c=0", [credential({ challenge, payload })]);
  });
}

async function x402(worker, change) {
  const answer = await fetch(`${worker.url}/one`);
  await answer.arrayBuffer();
  const asked = JSON.parse(Buffer.from(answer.headers.get("payment-required"), "base64").toString());
  const accepted = change(asked.accepts[0]);
  const now = Math.floor(Date.now() / 1000);
  const authorization = (i) => ({
    from: payers[i % payers.length].address,
    to: accepted.payTo,
    value: accepted.amount,
    validAfter: `${now - 60}`,
    validBefore: `${now + 60}`,
    nonce: `0x${randomBytes(32).toString("hex")}`,
  });
  const types = {
    TransferWithAuthorization: [
      "from:address",
      "to:address",
      "value:uint256",
      "validAfter:uint256",
      "validBefore:uint256",
      "nonce:bytes32",
    ].map((one) => ({ name: one.split(":")[0], type: one.split(":")[1] })),
  };
  return times(FRESH, async (i) => {
    const message = authorization(i);
    const signature = await stranger.signTypedData({
      domain: TOKEN_DOMAIN,
      types,
      primaryType: "TransferWithAuthorization",
      message,
    });
    const payment = { x402Version: 2, resource: asked.resource, accepted, payload: { signature, authorization: message } };
    if (asked.extensions) payment.extensions = asked.extensions;
    return get("/one", [`PAYMENT-SIGNATURE: ${Buffer.from(JSON.stringify(payment)).toString("base64")}`]);
  });
}

const random = () => `0x${randomBytes(32).toString("hex")}`;
const known = (i) => ({ id: channels[i % channels.length].id, payer: stranger });

/**
 * Kind → the answer that is right, and the requests. How often each makes the gateway ask others is held by `npm run counts`. Not
 * among them: health, which is found out once for all who ask.
 * @type {Record<string, {expect: number, body?: Buffer, requests: (worker: object) => Promise<object[]>}>}
 */
export const UNPAID = {
  plain: { expect: 402, requests: async () => [get("/one")] },
  four: { expect: 402, requests: async () => [get("/four")] },
  head: { expect: 402, requests: async () => [{ ...get("/one"), method: "HEAD" }] },
  query: { expect: 402, requests: async () => [get(`/one?${"q".repeat(6_100)}`)] },
  names: { expect: 402, requests: async () => [get("/one", manyNames())] },
  cookies: { expect: 402, requests: async () => [get("/one", [`Cookie: ${"a=b; ".repeat(1_600)}`])] },
  connection: { expect: 402, requests: async () => [get("/one", [`Connection: ${"x,".repeat(500)}keep-alive`])] },
  authorization: { expect: 402, requests: async () => [get("/one", [`Authorization: ${'""'.repeat(2_000)},x`])] },
  "accept-payment": { expect: 402, requests: async () => [get("/four", [`Accept-Payment: ${"*/*;q=0.1,".repeat(100)}`])] },
  dearest: { expect: 402, requests: async () => [get(`/one?${"q".repeat(6_100)}`, dearLines())] },
  "credential-malformed": { expect: 402, requests: async () => [get("/one", [`Authorization: Payment ${nested}`])] },
  "challenge-forged": {
    expect: 402,
    requests: (worker) =>
      charge(worker, (made) => ({ ...made, challenge: { ...made.challenge, expires: "2100-01-01T00:00:00Z" } })),
  },
  "charge-forged": { expect: 402, requests: (worker) => charge(worker, (made) => made) },
  "x402-malformed": { expect: 402, requests: async () => [get("/one", [`PAYMENT-SIGNATURE: ${nested}`])] },
  "x402-unknown-asset": {
    expect: 402,
    requests: (worker) => x402(worker, (accepted) => ({ ...accepted, asset: stranger.address })),
  },
  "x402-forged": { expect: 402, requests: (worker) => x402(worker, (accepted) => accepted) },
  "voucher-forged": { expect: 402, requests: (worker) => session(worker, known) },
  "voucher-unknown": { expect: 410, requests: (worker) => session(worker, (i) => unopened[i]) },
  "snapshot-unknown": {
    expect: 402,
    requests: async () => times(FRESH, () => get("/four", [`Payment-Session: ${random()}`])),
  },
  "voucher-forged-known": {
    expect: 402,
    requests: async (worker) => {
      const requests = await session(worker, known);
      for (const request of await session(worker, (i) => channels[i % channels.length]))
        await send(worker, { ...request, method: "POST" });
      return requests;
    },
  },
  "manages-forged": {
    expect: 402,
    requests: async (worker) => (await session(worker, known)).map(({ path, lines }) => post(path, lines)),
  },
  websocket: { expect: 400, requests: async () => [get("/one", ["Upgrade: websocket", "Connection: Upgrade"])] },
  preflight: {
    expect: 204,
    requests: async () => [
      { ...get("/one", ["Origin: https://page.example", "Access-Control-Request-Method: GET"]), method: "OPTIONS" },
    ],
  },
  "body-digest": {
    expect: 402,
    requests: async () => [{ method: "POST", path: "/digest", lines: [`Content-Length: ${BOUND_BODY.length}`] }],
    body: BOUND_BODY,
  },
  config: { expect: 200, requests: async () => [get("/__mpp/config")] },
  admin: {
    expect: 401,
    requests: async () => times(FRESH, () => get(`/__mpp/channels/${random()}`, [`Authorization: Bearer ${"x".repeat(64)}`])),
  },
  "own-path": { expect: 404, requests: async () => [get("/__mpp/nothing")] },
  probe: { expect: 402, requests: async () => [get("/one", [`mpp-edge-probe: ${"x".repeat(16)}.${"y".repeat(43)}`])] },
};

/** Sends a request as it is, which `fetch` would not, and gives the status of its answer. */
export function send(worker, { method, path, lines }, body) {
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  return new Promise((resolve, reject) => {
    const request = http.request(`${worker.url}${path}`, { method, headers, agent: false }, (answer) => {
      answer.resume().once("end", () => resolve(answer.statusCode));
    });
    request.once("error", reject).end(body);
  });
}

/** A kind as a case of the bench. */
export const caseOf = ({ expect, requests, body }) => ({
  connections: 16,
  wrap: true,
  sessions: true,
  expect,
  body,
  requests: async (worker) => (await requests(worker)).map(({ method, path, lines }) => head(worker, method, path, lines)),
});
