// The peer: what one would put in front of an API instead of this gateway, on the public packages. mppx issues the challenges and
// checks the charges, viem recovers the vouchers' signers, Durable Objects keep what must not be lost. Tuned as a good engineer
// would: handlers and tables are built once, objects remember their row, the transport that nobody asks for (x402) is off.
import { env, WorkerEntrypoint } from "cloudflare:workers";
import { Receipt } from "mppx";
import { meter } from "./events.mjs";
import { charge, offers } from "./payments.mjs";
import { redeem } from "./vouchers.mjs";

export { Channel } from "./channel.mjs";
export { Settler } from "./settler.mjs";

const { origin } = env.PEER;

export default class extends WorkerEntrypoint {
  async fetch(request) {
    const url = new URL(request.url);
    const path = url.pathname;
    if (path === "/one") return (await offers.one(request)).challenge;
    if (path === "/four") return (await offers.four(request)).challenge;
    if (path.startsWith("/charge/")) return this.#charged(request, url);
    if (path === "/voucher" || path === "/upload" || path.startsWith("/events/")) return this.#metered(request, url);
    return fetch(origin + path + url.search, request);
  }

  async #charged(request, url) {
    const result = await charge(request);
    if (result.status === 402) return result.challenge;
    return result.withReceipt(await forward(request, url));
  }

  async #metered(request, url) {
    const isStream = url.pathname.startsWith("/events/");
    const redeemed = await redeem(request, isStream ? "event" : "request");
    if (redeemed.response) return redeemed.response;
    const receipt = { ...redeemed.receipt, timestamp: new Date().toISOString() };
    if (redeemed.isManagement) return new Response(null, { status: 204, headers: receiptHeaders(receipt) });
    const response = await forward(request, url);
    if (response.status >= 500) {
      await redeemed.refund();
      return response;
    }
    const body = isStream ? meter(response.body, redeemed, receipt, this.ctx) : response.body;
    const headers = new Headers(response.headers);
    for (const [name, value] of Object.entries(receiptHeaders(receipt))) headers.set(name, value);
    return new Response(body, { status: response.status, headers });
  }
}

const receiptHeaders = (receipt) => ({ "payment-receipt": Receipt.serialize(receipt), "cache-control": "private" });

/** The request without its credential, to the origin. */
function forward(request, url) {
  const headers = new Headers(request.headers);
  headers.delete("authorization");
  return fetch(origin + url.pathname + url.search, { method: request.method, headers, body: request.body, redirect: "manual" });
}
