// A JSON-RPC proxy in front of anvil that counts every call and breaks chosen ones, whether single or in a batch.
import http from "node:http";
import { close, listen } from "./listen.mjs";
import { until } from "./processes.mjs";

export class RpcProxy {
  /** Every JSON-RPC call: {method, params}. */
  calls = [];
  /** HTTP requests received. */
  posts = 0;
  #target;
  #rules = [];
  #server = http.createServer((request, response) => this.#handle(request, response));
  #secretPath;

  /** `secretPath` stands for the key that providers put into their URLs; it must never show up anywhere. */
  constructor(target, secretPath = "/v2/rpc-url-key") {
    this.#target = target;
    this.#secretPath = secretPath;
  }

  async start() {
    await listen(this.#server, 0);
    this.port = this.#server.address().port;
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}${this.#secretPath}`;
  }

  count(method) {
    return this.calls.filter((call) => call.method === method).length;
  }

  /** Resolves when `method` has been called `count` times since the start or the last `forget`. */
  called(method, count = 1) {
    return until(() => this.count(method) >= count, `${count} × ${method}`);
  }

  forget() {
    this.calls = [];
    this.posts = 0;
  }

  /**
   * Breaks calls of `method` ("*" for all), `times` times; the newest rule wins. Returns a function that ends the rule.
   * @param {string} method
   * @param {object} fault one of `break_`'s values
   */
  fail(method, fault, times = Number.POSITIVE_INFINITY) {
    const rule = { method, fault, times };
    this.#rules.unshift(rule);
    return () => {
      this.#rules = this.#rules.filter((one) => one !== rule);
    };
  }

  heal() {
    this.#rules = [];
    this.most = Number.POSITIVE_INFINITY;
  }

  /** Posts with more requests than `most` are refused as a whole with this error. */
  limit(most, error) {
    this.most = most;
    this.tooMany = error;
  }

  /** Stops listening: connections are refused until `accept`. */
  async refuse() {
    if (this.#server.listening) await close(this.#server);
  }

  async accept() {
    if (!this.#server.listening) await listen(this.#server, this.port);
  }

  stop() {
    return this.refuse();
  }

  #faultOf(call) {
    const rule = this.#rules.find(({ method, times }) => times > 0 && (method === "*" || method === call.method));
    if (rule) rule.times -= 1;
    return rule?.fault ?? {};
  }

  async #handle(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    const batch = Array.isArray(body) ? body : [body];
    this.posts += 1;
    if (batch.length > this.most) {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ jsonrpc: "2.0", id: null, error: this.tooMany }));
      return;
    }
    const faults = batch.map((call) => {
      this.calls.push({ method: call.method, params: call.params });
      return this.#faultOf(call);
    });
    // A fault of the transport hits the whole request, whichever call of the batch it was meant for.
    const whole = Object.assign({}, ...faults);
    if (whole.hang) return;
    if (whole.http) {
      response.writeHead(whole.http.status, whole.http.headers ?? {});
      response.end(whole.http.body ?? "");
      return;
    }
    if (whole.delay) await new Promise((resolve) => setTimeout(resolve, whole.delay));
    const answers = await this.#answer(batch, faults);
    if (whole.hangAfter) return;
    if (whole.dropAfter) {
      request.socket.destroy();
      return;
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(Array.isArray(body) ? answers : answers[0]));
  }

  /** What the chain says, call by call, except where a fault says otherwise. */
  async #answer(batch, faults) {
    const reaches = batch.filter((_, i) => !faults[i].error && faults[i].result === undefined);
    const forwarded = reaches.length > 0 ? await this.#forward(reaches) : [];
    return batch.map((call, i) => {
      const { error, errorAfter, result, rewrite } = faults[i];
      const envelope = { jsonrpc: "2.0", id: call.id };
      if (error ?? errorAfter) return { ...envelope, error: error ?? errorAfter };
      if (result !== undefined) return { ...envelope, result };
      const answer = forwarded.find(({ id }) => id === call.id);
      const rewritten = rewrite?.(answer.result, call);
      return rewrite && rewritten !== answer.result ? { ...envelope, result: rewritten } : answer;
    });
  }

  async #forward(calls) {
    try {
      const answer = await fetch(this.#target, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(calls),
      });
      return await answer.json();
    } catch (error) {
      return calls.map(({ id }) => ({ jsonrpc: "2.0", id, error: { code: -32603, message: String(error.cause ?? error) } }));
    }
  }
}

/** What can go wrong between the gateway and its provider. */
export const faulty = {
  /** Never answers, nothing reaches the chain. */
  hang: { hang: true },
  slow: (ms) => ({ delay: ms }),
  /** Reaches the chain, and the answer never comes back. */
  hangAfter: { hangAfter: true },
  /** Reaches the chain, and the connection breaks before the answer. */
  dropAfter: { dropAfter: true },
  http: (status, body = "", headers = { "content-type": "text/html" }) => ({ http: { status, body, headers } }),
  html: { http: { status: 200, body: "<html><body>maintenance</body></html>", headers: { "content-type": "text/html" } } },
  /** The provider refuses; nothing reaches the chain. */
  error: (message, code = -32000) => ({ error: { code, message } }),
  /** The provider says no although the chain got it. */
  errorAfter: (message, code = -32000) => ({ errorAfter: { code, message } }),
  result: (result) => ({ result }),
  rewrite: (rewrite) => ({ rewrite }),
};
