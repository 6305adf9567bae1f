// The origin behind every contestant: a constant, an echo, and streams of 1,000 events.
import http from "node:http";
import { close, listen } from "../../tests/e2e/harness/listen.mjs";

export const EVENTS = 1000;
const CONSTANT = JSON.stringify({ quote: "Beware of little expenses; a small leak will sink a great ship." });
const CONSTANT_HEAD = { "content-type": "application/json", "content-length": `${CONSTANT.length}` };
const EVENT = `data: ${JSON.stringify({ id: "completion-1", choices: [{ delta: { content: " token" } }] })}\n\n`;
const BURST = EVENT.repeat(EVENTS);

/** `/upload` echoes, `/events/burst` sends all events at once, `/events/paced` one a millisecond, anything else is the constant. */
export async function startOrigin() {
  const pacer = new Pacer();
  let requests = 0;
  const server = http.createServer((request, response) => {
    requests += 1;
    if (request.method === "POST" && request.url.startsWith("/upload")) echo(request, response);
    else if (request.url.startsWith("/events/")) events(request, response, pacer);
    else {
      response.writeHead(200, CONSTANT_HEAD);
      response.end(CONSTANT);
    }
  });
  // workerd keeps connections; one that we close while it sends would be a failed request.
  server.keepAliveTimeout = 0;
  await listen(server, 0);
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** How many requests have come. */
    requests: () => requests,
    async stop() {
      pacer.stop();
      await close(server);
    },
  };
}

async function echo(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": `${body.length}` });
  response.end(body);
}

function events(request, response, pacer) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  if (request.url.startsWith("/events/burst")) response.end(BURST);
  else pacer.add(response);
}

/** Writes one event a millisecond into each open stream; a tick that comes late makes up for it. */
class Pacer {
  #streams = new Map();
  #timer;

  add(response) {
    response.flushHeaders();
    this.#streams.set(response, { begun: performance.now(), sent: 0 });
    response.once("close", () => this.#forget(response));
    this.#timer ??= setInterval(() => this.#tick(), 1);
  }

  stop() {
    clearInterval(this.#timer);
  }

  #tick() {
    const now = performance.now();
    for (const [response, stream] of this.#streams) {
      const due = Math.min(EVENTS, Math.floor(now - stream.begun));
      for (; stream.sent < due; stream.sent += 1) response.write(EVENT);
      if (stream.sent === EVENTS) {
        response.end();
        this.#forget(response);
      }
    }
  }

  #forget(response) {
    this.#streams.delete(response);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
