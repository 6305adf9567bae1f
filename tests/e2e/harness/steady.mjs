// A client that does not give up: over broken connections, restarts and lost answers it sends the same request with the same
// Idempotency-Key until it is answered, through one isolate after the other.
import http from "node:http";

const PATIENCE_MS = 60_000;
const PAUSE_MS = 50;

export class SteadyClient {
  #agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
  #stack;
  /** Requests that were sent more than once. */
  retried = 0;

  constructor(stack) {
    this.#stack = stack;
  }

  /**
   * Asks for `path` until the answer is one that stays: 200, or any status but 5xx and 429.
   * @returns {Promise<{status: number, headers: object, text: string, receipt?: object, attempts: number}>}
   */
  async get(path, authorization, key, { method = "GET", via = 0 } = {}) {
    const end = Date.now() + PATIENCE_MS;
    for (let attempts = 1; ; attempts++) {
      const url = this.#stack.gateway.urls[(via + attempts - 1) % 2];
      const headers = { authorization, ...(key && { "idempotency-key": key }) };
      const answer = await this.#ask(url, path, method, headers).catch(() => undefined);
      if (answer && answer.status < 500 && answer.status !== 429) return { ...answer, attempts };
      if (attempts === 1) this.retried += 1;
      if (Date.now() > end) throw new Error(`${path}: ${attempts} attempts, at last ${answer?.status} ${answer?.text}`);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  close() {
    this.#agent.destroy();
  }

  #ask(base, path, method, headers) {
    const { hostname, port } = new URL(base);
    const given = { ...headers, host: this.#stack.host };
    return new Promise((resolve, reject) => {
      const request = http.request({ hostname, port, path, method, headers: given, agent: this.#agent, timeout: 20_000 });
      request.once("timeout", () => request.destroy(new Error("no answer")));
      request.once("error", reject);
      request.once("response", (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk) => {
          text += chunk;
        });
        response.once("error", reject);
        response.once("end", () => {
          const { statusCode: status, headers: answered } = response;
          const receipt = answered["payment-receipt"];
          const decoded = receipt && JSON.parse(Buffer.from(receipt, "base64url").toString("utf8"));
          resolve({ status, headers: answered, text, receipt: decoded });
        });
      });
      request.end();
    });
  }
}
