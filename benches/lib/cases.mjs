// What is measured. A case says what is sent, over how many connections, and which answer is right; the requests of one round
// are the same for every contestant, except for the challenge that each has issued itself.
import { encodeCredential, evmCredential, parseChallenges, reissue } from "../../tests/e2e/harness/protocol.mjs";
import { EVENTS } from "./origin.mjs";
import { channels, DEPOSIT, payers, SECRET, stranger, TOKEN_DOMAIN, UNITS, voucher } from "./setting.mjs";

const MEGABYTE = Buffer.alloc(1_000_000, "mpp-edge ");
const SIGNED_WRONGLY = 512;

/**
 * @typedef {object} Case
 * @property {string} title
 * @property {number} connections
 * @property {"shared" | "affine"} [order]
 * @property {boolean} [wrap] the requests may be sent again
 * @property {number} expect the status of every answer; the floor's is `floor` where it differs
 * @property {number} [floor]
 * @property {boolean} [stored] an object writes, so what the storage lies on matters
 * @property {boolean} [sessions] needs a worker that takes sessions
 * @property {string} [only] the one contestant that it says something of
 * @property {number} [probed] how many requests what is billed is counted over
 * @property {number} [early] so many more are sent before these: what is new to the gateway is not counted
 * @property {number} [rate] requests per second that are prepared for, at most
 * @property {number} [unitsPerRequest] what is counted besides requests: events
 * @property {Buffer} [body]
 * @property {(worker: object, count: number) => Promise<Buffer[]>} requests
 */

/** @type {Record<string, Case>} */
export const CASES = {
  pass: {
    title: "free pass-through (floor: a constant answer)",
    connections: 64,
    wrap: true,
    expect: 200,
    requests: async (worker) => [get(worker, "/free/quote")],
  },
  "402-one": {
    title: "unpaid, 402 with one offer",
    connections: 64,
    wrap: true,
    expect: 402,
    floor: 200,
    requests: async (worker) => [get(worker, "/one")],
  },
  "402-dear": {
    title: "unpaid, 402 with one offer, as dear as can be",
    connections: 64,
    wrap: true,
    expect: 402,
    floor: 200,
    requests: async (worker) => [get(worker, `/one?${"q".repeat(6_100)}`, dearLines())],
  },
  "402-four": {
    title: "unpaid, 402 with four offers",
    connections: 64,
    wrap: true,
    sessions: true,
    expect: 402,
    floor: 200,
    requests: async (worker) => [get(worker, "/four")],
  },
  verify: {
    title: "charge verified, not settled (a stranger's signature)",
    connections: 64,
    wrap: true,
    expect: 402,
    floor: 200,
    requests: (worker) => charges(worker, SIGNED_WRONGLY, stranger),
  },
  "verify-unread": {
    title: "the same with a signature that is refused before it is looked at: verify less this is a recovery",
    connections: 64,
    wrap: true,
    only: "ours",
    expect: 402,
    requests: (worker) => charges(worker, SIGNED_WRONGLY, malleable(stranger)),
  },
  charge: {
    title: "charge settled by an instant chain",
    connections: 64,
    stored: true,
    rate: 1_000,
    early: 64,
    expect: 200,
    requests: (worker, count) => charges(worker, count),
  },
  "voucher-64": paidByVoucher("voucher, paid request, 64 channels (floor: one SQL write and a fetch)", {
    channelCount: 64,
    order: "affine",
  }),
  "voucher-1": paidByVoucher("voucher, paid request, 1 channel (floor: one SQL write and a fetch)", { channelCount: 1 }),
  "voucher-only-64": {
    ...paidByVoucher("voucher alone, body-less POST, 64 channels (floor: one SQL write)", {
      channelCount: 64,
      order: "affine",
      method: "POST",
    }),
    expect: 204,
  },
  "events-paced": {
    ...paidByVoucher(`stream of ${EVENTS} metered events, one a millisecond`, {
      channelCount: 4,
      order: "affine",
      path: "/events/paced",
      unit: "event",
      units: EVENTS,
    }),
    unitsPerRequest: EVENTS,
    probed: 4,
    early: 4,
    rate: 8,
  },
  "events-burst": {
    ...paidByVoucher(`stream of ${EVENTS} metered events, at once`, {
      channelCount: 16,
      order: "affine",
      path: "/events/burst",
      unit: "event",
      units: EVENTS,
    }),
    unitsPerRequest: EVENTS,
    early: 16,
    rate: 1_000,
  },
  body: {
    ...paidByVoucher("1 MB up and down, paid by voucher", {
      channelCount: 16,
      order: "affine",
      path: "/upload",
      method: "POST",
      length: MEGABYTE.length,
    }),
    body: MEGABYTE,
    rate: 1_000,
  },
};

/** Signs like `account`, but with the other `s` that the curve allows and Ethereum does not. */
function malleable(account) {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  return {
    async signTypedData(given) {
      const signature = await account.signTypedData(given);
      const s = order - BigInt(`0x${signature.slice(66, 130)}`);
      const v = signature.endsWith("1b") ? "1c" : "1b";
      return `${signature.slice(0, 66)}${s.toString(16).padStart(64, "0")}${v}`;
    },
  };
}

/** What the gateway reads of headers before anybody has paid. */
export const dearLines = () => [
  `Connection: ${"x,".repeat(500)}keep-alive`,
  `Accept-Payment: ${"*/*;q=0.1,".repeat(100)}`,
  `Authorization: ${'""'.repeat(2_000)},x`,
  ...manyNames(),
];

/** As many headers as a request may have, with those that stand beside them. */
export const manyNames = () => Array.from({ length: 92 }, (_, i) => `X-Original-Path.Of.Mine-${i}: 1`);

export const head = (worker, method, path, lines = []) =>
  Buffer.from([`${method} ${path} HTTP/1.1`, `Host: ${worker.host}`, ...lines, "", ""].join("\r\n"));
const get = (worker, path, lines) => head(worker, "GET", path, lines);

/** The `evm` challenge of `intent` that a contestant issues for a path; the floor issues none. */
export async function challengeOf(worker, path, intent) {
  const answer = await fetch(`${worker.url}${path}`);
  await answer.arrayBuffer();
  const header = answer.headers.get("www-authenticate");
  if (!header) return undefined;
  return parseChallenges([header]).find((challenge) => challenge.method === "evm" && challenge.intent === intent);
}

/** Charges of payers in turn. Each answers a challenge of its own, as an honest client's would. */
export async function charges(worker, count, signer, from = payers) {
  const path = "/charge/quote";
  const challenge = await challengeOf(worker, path, "charge");
  if (!challenge) return [get(worker, path)];
  const expires = Date.parse(challenge.expires);
  const made = Array.from({ length: count }, (_, i) => {
    // Every millisecond of expiry is another challenge; the secret is ours, so they need not be asked for one by one.
    const own = reissue(challenge, SECRET, { expires: new Date(expires - i).toISOString() });
    const payer = from[i % from.length];
    const account = signer ? { address: payer.address, signTypedData: signer.signTypedData } : payer;
    return evmCredential(own, account, { domain: TOKEN_DOMAIN });
  });
  const credentials = await Promise.all(made);
  return credentials.map((credential) => get(worker, path, [`Authorization: ${encodeCredential(credential)}`]));
}

/**
 * A case in which each request carries a fresh voucher, signed beforehand. `units` of `unit` are bought by each.
 * @returns {Case}
 */
function paidByVoucher(
  title,
  { channelCount, order = "shared", path = "/voucher", method = "GET", unit = "request", units = 1, length },
) {
  const price = UNITS[unit] * BigInt(units);
  const request = (challenge, payload, index, lines) => {
    const target = `${path}?c=${index}`;
    const credential = challenge && encodeCredential({ challenge, payload });
    return { target, lines: credential ? [`Authorization: ${credential}`, ...lines] : lines };
  };
  return {
    title,
    connections: channelCount === 1 ? 64 : channelCount,
    order,
    stored: true,
    sessions: true,
    rate: 5_000,
    expect: 200,
    async requests(worker, count) {
      const challenge = await challengeOf(worker, `${path}?c=0`, "session");
      const hand = async (payload, c) => {
        const { target, lines } = request(challenge, payload, c, []);
        return handIn(`${worker.url}${target}`, lines);
      };
      // Each channel is known to the contestant before anything is measured: it takes a voucher without buying for it.
      for (let c = 0; c < channelCount; c += 1) {
        const { status, text } = await hand(await voucher(channels[c], price), c);
        if (status >= 300) throw new Error(`a first voucher was answered by ${status}: ${text}`);
      }
      if (challenge) await mustRefuse(hand, price);
      const made = [];
      for (let i = 0; i < count; i += 1) {
        const c = i % channelCount;
        const turn = BigInt(Math.floor(i / channelCount) + 2);
        const more = length === undefined ? [] : [`Content-Length: ${length}`];
        const { target, lines } = request(challenge, await voucher(channels[c], turn * price), c, more);
        made.push(head(worker, method, target, lines));
      }
      return made;
    },
  };
}

async function handIn(url, lines) {
  const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
  const answer = await fetch(url, { method: "POST", headers });
  return { status: answer.status, text: await answer.text() };
}

/** Whoever takes what is wrong is fast for the wrong reason. */
async function mustRefuse(hand, price) {
  const signedByStranger = await voucher({ id: channels[0].id, payer: stranger }, 2n * price);
  const overDeposit = await voucher(channels[0], DEPOSIT + price);
  for (const payload of [signedByStranger, overDeposit]) {
    const { status } = await hand(payload, 0);
    if (status !== 402) throw new Error(`a voucher that is wrong was answered by ${status}`);
  }
}
