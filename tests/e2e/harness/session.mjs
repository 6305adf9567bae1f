// Sessions through the gateway: a stack that takes them, what a client sends in each action of both methods, and what it gets back.
import assert from "node:assert/strict";
import { approveEscrows, Channel } from "./channels.mjs";
import { did, encodeCredential } from "./protocol.mjs";
import { ADMIN_TOKEN, startStack } from "./stack.mjs";

/** The price of most routes, in base units: as in docs/threats.md. */
export const PRICE = 1_000n;

/** Routes that most tests of sessions use. `/free…` has no route and so no price. */
export const SESSION_ROUTES = [
  { path: "/s/item/{id}", price: "0.001", description: "One item", intents: ["session"] },
  { path: "/s/read", methods: ["GET"], price: "0.001", description: "To be read only", intents: ["session"] },
  { path: "/s/dear", price: "0.005", description: "Five times as much", intents: ["session"] },
  { path: "/s/once", price: "0.001", description: "A voucher buys once", intents: ["session"], reuse: "once" },
  { path: "/s/draw", price: "0.001", description: "A voucher is drawn down", intents: ["session"], reuse: "draw-down" },
  { path: "/s/both", price: "0.01", description: "Both intents", intents: ["charge", "session"] },
  { path: "/v1/charge", price: "0.01", description: "A charge" },
];

/** Nothing is settled, closed or looked at unless a test says so: what moves on chain is then the test's own doing. */
export const QUIET = {
  settleAmount: "900000",
  settleMinimum: "0",
  settleAfterSeconds: 86_400,
  closeIdleSeconds: 864_000,
  watchSeconds: 200,
  suggestedDeposit: "1",
};

/**
 * A stack whose gateway takes sessions of both methods: paid to the settlement account, both escrows approved by every payer.
 * `session` is laid over the quiet defaults; everything else is as for `startStack`.
 */
export function startSessions({ session, routes = SESSION_ROUTES, prepare, ...options } = {}) {
  return startStack({
    ...options,
    routes,
    async prepare(stack) {
      stack.recipient = stack.settlement.address;
      await approveEscrows(stack.chain, stack.payers);
      await prepare?.(stack);
    },
    usual: (stack) => ({ evmEscrow: stack.chain.evmEscrow, session: { ...QUIET, ...session }, ...options.usual?.(stack) }),
  });
}

/** Payloads of each action. `signature` and other members can be replaced through `changes`; undefined ones are left out. */
export const payloads = {
  /** The channel was opened by its payer, whose transaction is named. */
  async open(channel, cumulative, changes = {}) {
    const { id: channelId, method, txHash, salt, signer, payer } = channel;
    const authorizedSigner = signer === payer ? undefined : signer.address;
    const voucher = { channelId, cumulativeAmount: String(cumulative), signature: await channel.voucher(cumulative) };
    const proof = method === "evm" ? { type: "hash", hash: txHash, salt } : { txHash };
    return { action: "open", ...voucher, ...proof, authorizedSigner, ...changes };
  },
  /** The gateway is asked to open the channel with the payer's authorization (method `evm`). */
  async openFor(channel, cumulative, { signed, ...changes } = {}) {
    const { id: channelId, salt, signer, payer } = channel;
    return {
      action: "open",
      type: "authorization",
      channelId,
      salt,
      authorizedSigner: signer === payer ? undefined : signer.address,
      ...(signed ?? (await channel.openingAuthorization())),
      cumulativeAmount: String(cumulative),
      voucherSignature: await channel.voucher(cumulative),
      ...changes,
    };
  },
  topUp(channel, amount, hash, changes = {}) {
    const proof = channel.method === "evm" ? { type: "hash", hash } : { txHash: hash };
    return { action: "topUp", channelId: channel.id, additionalDeposit: String(amount), ...proof, ...changes };
  },
  /** The gateway is asked to add to the deposit. */
  async topUpFor(channel, amount, { signed, ...changes } = {}) {
    const terms = signed ?? (await channel.toppingUpAuthorization(amount));
    return {
      action: "topUp",
      type: "authorization",
      channelId: channel.id,
      additionalDeposit: String(amount),
      ...terms,
      ...changes,
    };
  },
  async voucher(channel, cumulative, changes = {}) {
    const signature = changes.signature ?? (await channel.voucher(cumulative));
    return { action: "voucher", channelId: channel.id, cumulativeAmount: String(cumulative), signature, ...changes };
  },
  /** What a voucher's `deposit` holds when it opens the channel at the same time. */
  async opening(channel, { signed, ...changes } = {}) {
    const { salt, signer, payer } = channel;
    const authorizedSigner = signer === payer ? undefined : signer.address;
    return {
      action: "open",
      type: "authorization",
      salt,
      authorizedSigner,
      ...(signed ?? (await channel.openingAuthorization())),
      ...changes,
    };
  },
  /** What a voucher's `deposit` holds when it adds to the deposit at the same time. */
  async toppingUp(channel, amount, { signed, ...changes } = {}) {
    const terms = signed ?? (await channel.toppingUpAuthorization(amount));
    return { action: "topUp", type: "authorization", additionalDeposit: String(amount), ...terms, ...changes };
  },
  async close(channel, cumulative, changes = {}) {
    const signature = changes.signature ?? (await channel.voucher(cumulative));
    return { action: "close", channelId: channel.id, cumulativeAmount: String(cumulative), signature, ...changes };
  },
};

/** The payload with a signature over the challenge that `session` answers on `path`: the sender holds the signer's key now. */
export async function proved(payload, session, path = session.path) {
  const { id } = await session.challenge(path);
  const message = `mpp-edge channel ${session.channel.id.toLowerCase()} challenge ${id}`;
  return { ...(await payload), proof: await session.channel.signer.signMessage({ message }) };
}

/** Asserts the receipt of a session's answer: its fixed members always, the given numbers exactly. Returns it. */
export function expectReceipt(answer, session, { status = 200, accepted, spent, units, txHash } = {}) {
  const said = `${answer.status} ${JSON.stringify(answer.raw)} ${answer.text.slice(0, 600)}`;
  assert.equal(answer.status, status, said);
  assert.match(answer.headers["cache-control"] ?? "", /private|no-store/, said);
  assert.equal(answer.all("payment-receipt").length, 1, said);
  const { receipt } = answer;
  return expectReceiptJson(receipt, session, { accepted, spent, units, txHash });
}

/** The same for a receipt that came as JSON, as in the last event of a stream. */
export function expectReceiptJson(receipt, session, { accepted, spent, units, txHash } = {}) {
  const said = JSON.stringify(receipt);
  const { channel } = session;
  assert.equal(receipt.method, channel.method, said);
  assert.equal(receipt.intent, "session", said);
  assert.equal(receipt.reference, channel.id, said);
  assert.equal(receipt.channelId, channel.id, said);
  assert.equal(receipt.status, "success", said);
  assert.equal(receipt.chainId, channel.chain.id, said);
  assert.ok(Math.abs(Date.parse(receipt.timestamp) - Date.now()) < 120_000, said);
  for (const number of [receipt.acceptedCumulative, receipt.spent]) assert.match(number, /^(0|[1-9]\d*)$/, said);
  if (accepted !== undefined) assert.equal(receipt.acceptedCumulative, String(accepted), said);
  if (spent !== undefined) assert.equal(receipt.spent, String(spent), said);
  if (units !== undefined) assert.equal(Number(receipt.units ?? 0), units, said);
  if (txHash !== undefined) assert.equal(receipt.txHash, txHash, said);
  return receipt;
}

/** Asserts the numbers that a problem tells about the channel, so that a client can go on. */
export function expectNumbers(problem, session, { accepted, spent, deposit, required }) {
  const said = JSON.stringify(problem);
  assert.equal(problem.channelId, session.channel.id, said);
  if (accepted !== undefined) assert.equal(problem.acceptedCumulative, String(accepted), said);
  if (spent !== undefined) assert.equal(problem.spent, String(spent), said);
  if (deposit !== undefined) assert.equal(problem.deposit, String(deposit), said);
  if (required !== undefined) assert.equal(problem.requiredCumulative, String(required), said);
}

/** What the gateway holds of a channel, as the operator sees it. */
export async function ledger(stack, channel) {
  const answer = await stack.send(`/__mpp/channels/${channel.id}`, { headers: { Authorization: `Bearer ${ADMIN_TOKEN}` } });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** Asserts the books: each given number exactly, and `settled ≤ delivered ≤ spent ≤ accepted ≤ deposit` in any case. */
export async function expectLedger(stack, channel, expected = {}) {
  const books = await ledger(stack, channel);
  const said = JSON.stringify(books);
  const { settled, delivered, spent, acceptedCumulative: accepted, deposit } = books;
  for (const [name, value] of Object.entries(expected)) assert.equal(String({ ...books, accepted }[name]), String(value), said);
  const chain = [settled, delivered, spent, accepted, deposit].map(BigInt);
  for (let i = 1; i < chain.length; i++)
    assert.ok(chain[i - 1] <= chain[i], `settled ≤ delivered ≤ spent ≤ accepted ≤ deposit: ${said}`);
  return books;
}

/** One payer's session: a channel, the challenges it was asked with, and the highest voucher it has signed. */
export class Session {
  #challenges = new Map();
  /** The cumulative amount of the last voucher that `pay` has signed. */
  cumulative = 0n;

  constructor(stack, channel, path = "/s/item/1") {
    Object.assign(this, { stack, channel, path });
  }

  /** The session challenge for `path`; the same one until `fresh`, as a client may use one for many requests. */
  async challenge(path = this.path, { fresh = false, ...options } = {}) {
    if (fresh || !this.#challenges.has(path)) {
      const answer = await this.stack.send(path, options);
      assert.equal(answer.status, 402, `${path} asks for payment: ${answer.text}`);
      this.#challenges.set(path, sessionChallenge(answer, this.channel.method, this.channel.chain.id));
    }
    return this.#challenges.get(path);
  }

  /** The `Authorization` value that carries `payload`. `source` replaces the payer's DID; null leaves it out. */
  async authorization(
    payload,
    { path = this.path, challenge, source = did(this.channel.chain.id, this.channel.payer.address) } = {},
  ) {
    return encodeCredential({ challenge: challenge ?? (await this.challenge(path)), payload, source: source ?? undefined });
  }

  /** Sends `payload` with a request for `path`. */
  async send(payload, { path = this.path, challenge, source, ...options } = {}) {
    return this.stack.send(path, {
      ...options,
      authorization: await this.authorization(await payload, { path, challenge, source }),
    });
  }

  /** Sends `payload` as a management request: POST without a body. */
  manage(payload, options = {}) {
    return this.send(payload, { method: "POST", body: "", ...options });
  }

  /** Sends the same management request again for as long as the gateway says 503. */
  async managed(payload, { path = this.path, challenge, source, ...options } = {}) {
    const authorization = await this.authorization(await payload, { path, challenge, source });
    return this.stack.resume(path, authorization, { method: "POST", body: "", ...options });
  }

  /** Buys once with a voucher raised by the price of `path`. */
  async pay(options = {}) {
    const { terms } = await this.challenge(options.path);
    this.cumulative += BigInt(terms.amount);
    return this.send(payloads.voucher(this.channel, this.cumulative), options);
  }

  /** Tells the gateway of the channel that was opened on chain, without buying. */
  async open(cumulative = 0n, options = {}) {
    const answer = await this.managed(payloads.open(this.channel, cumulative), options);
    expectReceipt(answer, this, { status: 204, accepted: cumulative, units: 0 });
    return this;
  }
}

/** The session challenge of `method` in a 402; of several, that on the chain. */
export function sessionChallenge(answer, method, chainId) {
  const sold = answer.challenges.filter((one) => one.method === method && one.intent === "session");
  const found = sold.length > 1 ? sold.find(({ terms }) => terms.methodDetails.chainId === chainId) : sold[0];
  assert.ok(found, `a session challenge of ${method}: ${JSON.stringify(answer.raw)} ${answer.text}`);
  return found;
}

/** A channel of `payer` in the escrow of `method`, opened on chain; the gateway has not heard of it. */
export async function openChannel(stack, method, { payer = stack.payers[0], payee = stack.recipient, ...options } = {}) {
  return new Channel(stack.chain, { method, payer, payee, ...options }).open();
}

/** A session on a channel that was opened on chain and that the gateway knows. */
export async function openSession(stack, method, { path, ...options } = {}) {
  return new Session(stack, await openChannel(stack, method, options), path).open();
}
