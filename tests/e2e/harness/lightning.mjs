// A node of the Lightning network that nobody is connected to: it makes real, signed BOLT 11 invoices by LND's and phoenixd's APIs, and
// its payers pay it by a call. Everything between the two is missing.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { bech32 } from "@scure/base";
import { close, listen } from "./listen.mjs";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const TAGS = { paymentHash: 1, features: 5, expiry: 6, description: 13, paymentSecret: 16 };
/** An onion of variable length (bit 8), and a payment secret (bit 14). */
const FEATURES = [16, 8, 0];

/** A number in groups of five bits, the highest first. */
function groups(number, count) {
  return Array.from({ length: count }, (_, i) => Math.floor(number / 32 ** (count - 1 - i)) % 32);
}

/** The bytes of groups of five bits, filled up with zeros. */
function bytesOf(words) {
  const bits = words.map((word) => word.toString(2).padStart(5, "0")).join("");
  const whole = bits.padEnd(Math.ceil(bits.length / 8) * 8, "0");
  return Uint8Array.from(whole.match(/.{8}/g), (byte) => Number.parseInt(byte, 2));
}

/** An invoice of BOLT 11, signed by the node. */
function encode({ prefix, satoshi, paymentHash, description, expiry, key }) {
  const human = `ln${prefix}${satoshi * 10n}n`;
  const field = (tag, words) => [tag, ...groups(words.length, 2), ...words];
  const data = [
    ...groups(Math.floor(Date.now() / 1000), 7),
    ...field(TAGS.paymentHash, bech32.toWords(paymentHash)),
    ...field(TAGS.paymentSecret, bech32.toWords(randomBytes(32))),
    ...field(TAGS.description, bech32.toWords(Buffer.from(description))),
    ...field(TAGS.expiry, groups(expiry, 4)),
    ...field(TAGS.features, FEATURES),
  ];
  const digest = sha256(Buffer.concat([Buffer.from(human), bytesOf(data)]));
  const signature = secp256k1.sign(digest, key);
  const signed = Uint8Array.from([...signature.toCompactRawBytes(), signature.recovery]);
  return bech32.encode(human, [...data, ...bech32.toWords(signed)], false);
}

export class LightningNode {
  macaroon = randomBytes(40).toString("hex");
  password = randomBytes(24).toString("hex");
  /** What was asked: method, path and fields. */
  requests = [];
  /** Takes the place of an answer as long as it is set: gets the response. */
  fault;
  #key = randomBytes(32);
  #invoices = new Map();
  #server = createServer((request, response) => this.#answer(request, response));

  /** `prefix` of the network: `bcrt`, `tbs`, … */
  constructor(prefix = "bcrt") {
    this.prefix = prefix;
  }

  async start() {
    await listen(this.#server, 0);
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  stop() {
    return close(this.#server);
  }

  /** What a payer's wallet does: pays what the invoice asks for, and gets the preimage. */
  pay(invoice, { settle = true } = {}) {
    const found = [...this.#invoices.values()].find((one) => one.invoice === invoice);
    assert.ok(found, "the node has made this invoice");
    assert.ok(!found.paid, "an invoice is paid once");
    assert.ok(Date.now() < found.until, "the invoice has not expired");
    found.paid = true;
    found.settled = settle;
    return found.preimage.toString("hex");
  }

  settle(paymentHash) {
    this.#invoices.get(paymentHash).settled = true;
  }

  /** How many invoices were made. */
  get made() {
    return this.#invoices.size;
  }

  async #answer(request, response) {
    let body = "";
    for await (const chunk of request) body += chunk;
    this.requests.push({ method: request.method, path: request.url, body });
    if (this.fault) return this.fault(response);
    const reply = (status, value) =>
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    const basic = `Basic ${Buffer.from(`:${this.password}`).toString("base64")}`;
    const isLnd = request.url.startsWith("/v1/");
    const isKnown = isLnd ? request.headers["grpc-metadata-macaroon"] === this.macaroon : request.headers.authorization === basic;
    if (!isKnown) return reply(401, { message: "who are you?" });
    const [, hash] = /^\/(?:v1\/invoice|payments\/incoming)\/([0-9a-f]{64})$/.exec(request.url) ?? [];
    if (hash) {
      const found = this.#invoices.get(hash);
      if (!found) return reply(404, { message: "unable to locate invoice" });
      return reply(200, isLnd ? { state: found.settled ? "SETTLED" : "ACCEPTED" } : { isPaid: found.settled });
    }
    if (request.url === "/v1/getinfo" || request.url === "/getinfo") return reply(200, {});
    assert.equal(request.method, "POST", request.url);
    if (isLnd) {
      assert.equal(request.url, "/v1/invoices");
      assert.equal(request.headers["content-type"], "application/json");
      const { value, memo, expiry } = JSON.parse(body);
      const made = this.#make(BigInt(value), memo, Number(expiry));
      return reply(200, { r_hash: made.paymentHash.toString("base64"), payment_request: made.invoice, add_index: "1" });
    }
    assert.equal(request.url, "/createinvoice");
    assert.equal(request.headers["content-type"], "application/x-www-form-urlencoded");
    const form = new URLSearchParams(body);
    const made = this.#make(BigInt(form.get("amountSat")), form.get("description"), Number(form.get("expirySeconds")));
    reply(200, {
      amountSat: Number(form.get("amountSat")),
      paymentHash: made.paymentHash.toString("hex"),
      serialized: made.invoice,
    });
  }

  #make(satoshi, description, expiry) {
    const preimage = randomBytes(32);
    const paymentHash = sha256(preimage);
    const invoice = encode({ prefix: this.prefix, satoshi, paymentHash, description, expiry, key: this.#key });
    const made = { preimage, paymentHash, invoice, paid: false, settled: false, until: Date.now() + expiry * 1000 };
    this.#invoices.set(paymentHash.toString("hex"), made);
    return made;
  }
}
