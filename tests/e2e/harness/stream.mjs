// Paid streams as a client sees them: events as they come, which bytes are the origin's, and paying on while it reads.
import assert from "node:assert/strict";
import { until } from "./processes.mjs";
import { expectReceiptJson, payloads } from "./session.mjs";

const NEED = "payment-need-voucher";
const RECEIPT = "payment-receipt";
// Two ends of lines, each in any of the three forms that event streams know; a CR at the very end may still be half of one.
const BLOCK_END = /(?:\r\n|\n|\r(?=[^\n]))(?:\r\n|\n|\r(?=[^\n]))/g;

export class EventStream {
  /** Every block between empty lines, in order: {event, data, id, raw}; `data` is undefined where there is none (comments). */
  blocks = [];
  /** Whether the connection is over, and whether it broke instead of ending. */
  ended = false;
  broken = false;
  /** Bytes of the body so far. */
  bytes = 0;
  #pending = "";

  constructor(response) {
    this.response = response;
    this.status = response.statusCode;
    this.headers = response.headers;
    const over = () => {
      this.ended = true;
      this.broken = !response.complete;
    };
    response.on("data", (chunk) => this.#take(chunk));
    response.on("error", () => {});
    response.on("end", over);
    response.on("close", over);
  }

  /** The receipt in the response's header: the channel's state at the start. */
  get receipt() {
    const value = this.headers["payment-receipt"];
    return value === undefined ? undefined : JSON.parse(Buffer.from(value, "base64url").toString("utf8"));
  }

  /** The origin's events that carry data: the units of a route that prices events. */
  get units() {
    return this.blocks.filter(({ data, ours }) => data !== undefined && !ours);
  }

  /** The body without the gateway's own events. */
  get originText() {
    // An empty line too many before one of ours is the origin's.
    const theirs = ({ raw, ours }) => (ours ? /^[\r\n]*/.exec(raw)[0] : raw);
    return this.blocks.map(theirs).join("") + this.#pending;
  }

  /** What the gateway itself said: {event, data} with the data parsed. */
  get said() {
    return this.blocks.filter(({ ours }) => ours).map(({ event, data }) => ({ event, data: JSON.parse(data) }));
  }

  /** Resolves with what the gateway said of voucher number `count` that it needs. */
  async need(count = 1, ms = 20_000) {
    const asked = () => this.said.filter(({ event }) => event === NEED);
    await this.#until(() => asked().length >= count, `${NEED} number ${count}`, ms);
    return asked()[count - 1].data;
  }

  /** Resolves once `count` of the origin's events are here. */
  received(count, ms = 20_000) {
    return this.#until(() => this.units.length >= count, `${count} events`, ms);
  }

  /** Resolves at the end of the stream with what its receipt event says; it must be the last one, and the only one. */
  async finish(ms = 30_000) {
    await until(() => this.ended, "the stream to end", ms);
    assert.equal(this.broken, false, "the stream ends and does not break");
    const receipts = this.said.filter(({ event }) => event === RECEIPT);
    assert.equal(receipts.length, 1, `one receipt event: ${JSON.stringify(this.said)}`);
    assert.equal(this.blocks.at(-1).event, RECEIPT, "the receipt event is the last one");
    return receipts[0].data;
  }

  /** Resolves when the connection is over, however. */
  over(ms = 30_000) {
    return until(() => this.ended, "the connection to end", ms);
  }

  /** Stops reading, so that what the gateway sends piles up on the way. */
  pause() {
    this.response.pause();
  }

  resume() {
    this.response.resume();
  }

  /** With a reset, since to TCP a mere close may still mean to listen. */
  hangUp() {
    this.response.socket.resetAndDestroy();
  }

  async #until(probe, what, ms) {
    await until(() => probe() || this.ended, what, ms);
    const seen = `${this.status} ${JSON.stringify(this.said)} ${this.#pending.slice(0, 400)}`;
    assert.ok(probe(), `the stream ended before ${what}: ${seen}`);
  }

  #take(chunk) {
    this.bytes += chunk.length;
    // One character a byte, so that every piece can be put together again as it was.
    this.#pending += chunk.toString("latin1");
    let start = 0;
    for (const { index, 0: end } of this.#pending.matchAll(BLOCK_END)) {
      this.blocks.push(parseBlock(this.#pending.slice(start, index + end.length)));
      start = index + end.length;
    }
    this.#pending = this.#pending.slice(start);
  }
}

function parseBlock(raw) {
  const fields = { event: undefined, id: undefined };
  const data = [];
  const text = Buffer.from(raw, "latin1").toString("utf8");
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line === "" || line.startsWith(":")) continue;
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (name === "data") data.push(value);
    else fields[name] = value;
  }
  const { event, id } = fields;
  return { event, id, data: data.length > 0 ? data.join("\n") : undefined, ours: event === NEED || event === RECEIPT, raw };
}

/** What a unit costs on the routes that meter, in base units; a byte costs one. */
export const UNIT = 100n;
export const METERED_ROUTES = [
  { path: "/m/events/{id}", methods: ["GET"], price: "0.0001", meter: "event", intents: ["session"] },
  { path: "/m/bytes/{id}", price: "0.000001", meter: "byte", intents: ["session"] },
  { path: "/m/reported/{id}", price: "0.0001", meter: "reported", maxUnits: 1_000, unitType: "llm_token", intents: ["session"] },
];

/** Buys a stream with a voucher for `cumulative` and reads it from then on. */
export async function buyStream(session, cumulative, { path = session.path, headers = {}, ...options } = {}) {
  const authorization = await session.authorization(await payloads.voucher(session.channel, cumulative), { path });
  const response = await session.stack.open(path, { ...options, headers: { authorization, ...headers } });
  return new EventStream(response);
}

/** Asserts that a stream has been sold: a status of 200, and a receipt that says how the channel stood at the start. */
export function expectStream(stream, session, expected = {}) {
  assert.equal(stream.status, 200, JSON.stringify(stream.headers));
  assert.match(stream.headers["content-type"], /^text\/event-stream/);
  assert.match(stream.headers["cache-control"] ?? "", /private/);
  return expectReceiptJson(stream.receipt, session, expected);
}
