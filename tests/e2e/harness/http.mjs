// An HTTP client that sends exactly what it is told: paths unnormalised, headers repeated and in order, any Host.
import http from "node:http";
import net from "node:net";
import { parseChallenges } from "./protocol.mjs";

const agent = new http.Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });

export class Answer {
  constructor(response, body, aborted) {
    this.status = response.statusCode;
    this.headers = response.headers;
    this.raw = pairs(response.rawHeaders);
    this.body = body;
    /** The connection ended before the message did. */
    this.aborted = aborted;
  }

  get text() {
    return this.body.toString("utf8");
  }

  get json() {
    return JSON.parse(this.text);
  }

  /** Every value of a header, one per line received. */
  all(name) {
    return this.raw.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  }

  get challenges() {
    return parseChallenges(this.all("www-authenticate"));
  }

  /** The first challenge of a method, and of a chain where one is named. */
  challenge(method = "evm", chainId) {
    const fits = ({ terms }) => chainId === undefined || terms.methodDetails.chainId === chainId;
    const found = this.challenges.find((challenge) => challenge.method === method && fits(challenge));
    if (!found) throw new Error(`no ${method} challenge in ${this.status}: ${JSON.stringify(this.raw)} ${this.text}`);
    return found;
  }

  get receipt() {
    const value = this.headers["payment-receipt"];
    return value === undefined ? undefined : JSON.parse(Buffer.from(value, "base64url").toString("utf8"));
  }
}

function pairs(flat) {
  const list = [];
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i], flat[i + 1]]);
  return list;
}

function flatten(headers) {
  const list = Array.isArray(headers) ? headers : Object.entries(headers);
  return list.flatMap(([name, value]) => (Array.isArray(value) ? value.flatMap((one) => [name, one]) : [name, value]));
}

/**
 * Sends a request and resolves with the raw response as soon as its headers are here.
 * @param {string} base "http://127.0.0.1:port"
 * @param {string} path sent as it is (may be in absolute form)
 * @param {{method?: string, headers?: object | [string, string][], body?: string | Buffer | import("node:stream").Readable,
 *   host?: string, timeout?: number, onRequest?: (request: http.ClientRequest) => void}} options
 * @returns {Promise<import("node:http").IncomingMessage>}
 */
export function open(base, path, options = {}) {
  const { method = "GET", headers = {}, body, host, timeout = 60_000, onRequest } = options;
  const { hostname, port, host: own } = new URL(base);
  const lines = ["Host", host ?? own, ...flatten(headers)];
  const streamed = typeof body?.pipe === "function";
  if (body !== undefined) {
    if (streamed) lines.push("Transfer-Encoding", "chunked");
    else lines.push("Content-Length", String(Buffer.byteLength(body)));
  }
  return new Promise((resolve, reject) => {
    const request = http.request({ hostname, port, path, method, headers: lines, agent });
    onRequest?.(request);
    const late = setTimeout(() => request.destroy(new Error(`no answer to ${method} ${path} in ${timeout} ms`)), timeout);
    request.once("close", () => clearTimeout(late));
    request.once("response", (response) => {
      clearTimeout(late);
      resolve(response);
    });
    request.once("error", reject);
    if (streamed) body.pipe(request);
    else request.end(body);
  });
}

/** Sends a request and reads the whole answer. A body cut short is reported in `aborted`, not thrown. */
export async function send(base, path, options) {
  const response = await open(base, path, options);
  const chunks = [];
  let aborted = false;
  response.setTimeout(60_000, () => response.destroy(new Error(`${path} stopped in the middle`)));
  try {
    for await (const chunk of response) chunks.push(chunk);
  } catch {
    aborted = true;
  }
  return new Answer(response, Buffer.concat(chunks), aborted || !response.complete);
}

/**
 * Writes raw bytes to a fresh connection.
 * @returns {Promise<number | undefined>} the status code of the answer, undefined when the server just hung up
 */
export function sendBytes(base, bytes, ms = 20_000) {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    let head = "";
    const socket = net.connect(Number(port), hostname, () => socket.write(bytes));
    const timer = setTimeout(() => finish(reject, new Error(`no answer in ${ms} ms`)), ms);
    function finish(how, value) {
      clearTimeout(timer);
      socket.destroy();
      how(value);
    }
    socket.setEncoding("latin1").on("data", (chunk) => {
      head += chunk;
      const status = /^HTTP\/1\.1 (\d{3}) .*\r\n/.exec(head);
      if (status) finish(resolve, Number(status[1]));
    });
    socket.on("error", () => finish(resolve, undefined));
    socket.on("close", () => finish(resolve, undefined));
  });
}
