// The floor: what no gateway can go below. A constant answer; one SQL write by a Durable Object for what is paid by vouchers, and
// for what has an origin behind it one plain fetch.
import { DurableObject, env, WorkerEntrypoint } from "cloudflare:workers";

const { origin } = env.FLOOR;
const ids = new Map();

export class Counter extends DurableObject {
  #sql;
  #count;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY, count INTEGER)");
    this.#count = this.#sql.exec("SELECT count FROM counter").toArray()[0]?.count ?? 0;
  }

  count() {
    this.#count += 1;
    this.#sql.exec("INSERT OR REPLACE INTO counter VALUES (1, ?)", this.#count);
  }
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    const url = new URL(request.url);
    const path = url.pathname;
    if (path !== "/voucher" && path !== "/upload" && !path.startsWith("/events/")) return new Response("constant");
    const name = url.searchParams.get("c");
    if (!ids.has(name)) ids.set(name, env.COUNTER.idFromName(name));
    await env.COUNTER.get(ids.get(name)).count();
    if (path === "/voucher" && request.method === "POST") return new Response(null, { status: 204 });
    return fetch(origin + path + url.search, request);
  }
}
