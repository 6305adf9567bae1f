// An origin that remembers every request it got and misbehaves on demand.
import http from "node:http";
import { close, listen } from "./listen.mjs";
import { until } from "./processes.mjs";

export class Origin {
  /** Every request, in order: {method, url, headers, rawHeaders, body, aborted}. */
  requests = [];
  #server = http.createServer((request, response) => this.#handle(request, response));
  #behaviours = [];
  #always = faults.content();
  port;

  async start() {
    await listen(this.#server, 0);
    this.port = this.#server.address().port;
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** How every request is answered from now on. */
  always(behaviour) {
    this.#always = behaviour;
  }

  /** How the next request is answered; several calls queue up. */
  next(...behaviours) {
    this.#behaviours.push(...behaviours);
  }

  /** Well behaved again. */
  reset() {
    this.#always = faults.content();
    this.#behaviours = [];
  }

  /** Requests whose URL begins with `prefix`. */
  to(prefix) {
    return this.requests.filter(({ url }) => url.startsWith(prefix));
  }

  /** Resolves with the request number `count` as soon as it has arrived. */
  async arrival(count = 1) {
    await until(() => this.requests.length >= count, `request ${count} at the origin`);
    return this.requests[count - 1];
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

  async #handle(request, response) {
    const { method, url, headers, rawHeaders } = request;
    const record = { method, url, headers, rawHeaders, body: Buffer.alloc(0), aborted: false };
    const behaviour = this.#behaviours.shift() ?? this.#always;
    this.requests.push(record);
    response.on("close", () => {
      record.aborted = !response.writableFinished;
    });
    if (behaviour.early) return behaviour.early(request, response, record);
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return;
    }
    record.body = Buffer.concat(chunks);
    behaviour.answer(request, response, record);
  }
}

/** The origin's events, each as a piece of text/event-stream. */
export const eventAt = (i) => `id: ${i}\ndata: event ${i}\n\n`;
/** The first `count` of them. */
export const eventsTo = (count, event = eventAt) => Array.from({ length: count }, (_, i) => event(i)).join("");

/** Behaviours. `answer` runs when the request's body is complete, `early` as soon as its headers are here. */
export const faults = {
  /** A plain 200 that says what was asked for. */
  content: (headers = {}) => ({
    answer(request, response) {
      const body = `content of ${request.method} ${request.url}`;
      response.writeHead(200, { "content-type": "text/plain", ...headers });
      response.end(request.method === "HEAD" ? undefined : body);
    },
  }),
  status: (status, headers = {}, body = `origin says ${status}`) => ({
    answer(_request, response) {
      response.writeHead(status, headers);
      response.end(body);
    },
  }),
  redirect: (location, status = 302) => faults.status(status, { location }, ""),
  /** Takes the request and never answers. */
  hang: () => ({ answer() {} }),
  /** Hangs up before any answer. */
  reset: () => ({ answer: (request) => request.socket.destroy() }),
  /** Announces so many bytes, sends some, hangs up. */
  dieMidBody: (sent = "half of ", announced = 1_000_000) => ({
    answer(request, response) {
      response.writeHead(200, { "content-type": "text/plain", "content-length": `${announced}` });
      response.write(sent, () => request.socket.destroy());
    },
  }),
  /** Announces more than it sends, and never ends. */
  stallMidBody: (sent = "half of ", announced = 100) => ({
    answer(_request, response) {
      response.writeHead(200, { "content-type": "text/plain", "content-length": `${announced}` });
      response.write(sent);
    },
  }),
  /** Answers before it has read the request, and gives up when its client breaks that. */
  givesUp: (begun) => ({
    early(request, response) {
      request.on("error", () => response.destroy());
      request.on("aborted", () => response.destroy());
      request.resume();
      response.writeHead(200, { "content-type": "text/plain" });
      response.write(begun);
    },
  }),
  /** Sends 512 MiB, more than buffers hold, and gives up when nothing was taken of it for `patience` ms. */
  impatient: (patience) => ({
    answer(_request, response) {
      const block = Buffer.alloc(1024 * 1024, 0x61);
      let left = 512;
      response.writeHead(200, { "content-length": String(left * block.length) });
      const push = () => {
        while (left > 0 && !response.destroyed) {
          left -= 1;
          if (response.write(block)) continue;
          const late = setTimeout(() => response.destroy(), patience);
          return response.once("drain", () => {
            clearTimeout(late);
            push();
          });
        }
        return response.end();
      };
      push();
    },
  }),
  /** Sends the head and hands the open response to `take`, which writes and ends it. */
  stream: (take, headers = { "content-type": "text/event-stream" }) => ({
    answer(request, response, record) {
      response.writeHead(200, headers);
      response.flushHeaders();
      take(response, request, record);
    },
  }),
  /** An event stream without an end, one event every 20 ms. */
  ticking: () =>
    faults.stream((response) => {
      const timer = setInterval(() => response.write("data: tick\n\n"), 20);
      response.on("close", () => clearInterval(timer));
      response.write("data: first\n\n");
    }),
  /**
   * Sends pieces of a body as fast as they are taken, or one every `every` ms, and writes into the request's record how many
   * (`written`) and whether it waits for its reader (`stalled`: since when). `piece(i)` makes them; at the end it ends, or dies.
   */
  pieces: ({ count = Number.POSITIVE_INFINITY, piece = eventAt, every = 0, last = "", dies = false, headers } = {}) =>
    faults.stream(
      async (response, request, record) => {
        record.written = 0;
        const gone = new Promise((resolve) => response.once("close", resolve));
        while (record.written < count && !response.destroyed) {
          const taken = response.write(piece(record.written));
          record.written += 1;
          if (taken && every === 0) continue;
          record.stalled = taken ? undefined : Date.now();
          const pause = new Promise((resolve) => (taken ? setTimeout(resolve, every) : response.once("drain", resolve)));
          await Promise.race([pause, gone]);
          record.stalled = undefined;
        }
        if (response.destroyed) return;
        if (dies) response.write(last, () => request.socket.destroy());
        else response.end(last);
      },
      { "content-type": "text/event-stream", ...headers },
    ),
  /** Hands over request and response before the request's body is read. */
  raw: (take) => ({ early: take }),
};
