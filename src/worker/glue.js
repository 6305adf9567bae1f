// What the runtime does for the gateway in one call, where Rust would need one for each header: a call out of wasm costs more
// than what it does, and every object of the runtime that one returns has to be collected.

// The runtime's own makes an object for each task that it is handed. A promise's reaction runs at the same moment and costs a
// fraction, and whatever wakes a future is such a task.
globalThis.queueMicrotask = (task) => {
  Promise.resolve().then(() => {
    try {
      task();
    } catch (error) {
      // As if nothing stood in between.
      reportError(error);
    }
  });
};

/** Headers that much is asked for: their values come along with the names of all. */
const LOOKED_AT = new Set([
  "accept-encoding",
  "accept-payment",
  "access-control-expose-headers",
  "authorization",
  "cache-control",
  "connection",
  "content-encoding",
  "content-length",
  "idempotency-key",
  "location",
  "payment-authorization",
  "payment-signature",
  "upgrade",
  "www-authenticate",
  "x-payment",
]);

/**
 * The headers of a message: name and value of those that are looked at, each with a line feed behind it; an empty line; the names of
 * all, in lower case, each with a line feed behind it. No header holds a line feed.
 */
function head(headers) {
  let names = "";
  let values = "";
  // An iterator would be one more object, with one more for each name.
  headers.forEach((value, name) => {
    names += `${name}\n`;
    if (LOOKED_AT.has(name)) values += `${name}\n${value}\n`;
  });
  return `${values}\n${names}`;
}

/** Method, URL and {@link head} of a request. */
export function requested(request) {
  return `${request.method}\n${request.url}\n${head(request.headers)}`;
}

/** The {@link head} of a response. */
export function responded(response) {
  return head(response.headers);
}

/** Changes headers by lines, from the one at `at` on: the names of those to remove; an empty line; name and value of those to set. */
function change(headers, lines, at) {
  let i = at;
  for (; lines[i] !== ""; i += 1) headers.delete(lines[i]);
  for (i += 1; i + 1 < lines.length; i += 2) headers.set(lines[i], lines[i + 1]);
}

/**
 * Sends a request on, to a service that is bound to the gateway or over the network: one like `request`, to the URL in the first of the
 * lines, with its headers changed by the others. A redirect is not followed. No request of our own is made for that: it would be one
 * more object with a header object of its own.
 */
function forward(env, service, request, text, body) {
  const lines = text.split("\n");
  const headers = new Headers(request.headers);
  change(headers, lines, 1);
  const init = { method: request.method, headers, redirect: "manual" };
  if (body) init.body = body;
  return service === undefined ? fetch(lines[0], init) : env[service].fetch(lines[0], init);
}

/** A response like `response`, with its headers changed and with `body`. */
export function changed(response, text, body) {
  const changed = new Response(body, response);
  change(changed.headers, text.split("\n"), 0);
  return changed;
}

/** Sets headers by lines, from the one at `at` on: name and value of each in turn. */
function set(headers, lines, at) {
  for (let i = at; i + 1 < lines.length; i += 2) headers[lines[i]] = lines[i + 1];
}

/** Which headers pages may read of a problem. */
let exposed;

/** Says what {@link answer} has to know. */
export function expose(names) {
  exposed = names;
}

/**
 * The gateway's own response: its body, or an empty line where there is none, then name and value of each header in turn. Those that all
 * problems have are not among them. A plain object is what the runtime reads fastest, and one text costs less than a few.
 */
export function answer(status, text, isProblem) {
  const lines = text.split("\n");
  const headers = isProblem
    ? {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        // The answer holds nothing private, so a page of any origin may read it.
        "access-control-allow-origin": "*",
        "access-control-expose-headers": exposed,
      }
    : {};
  set(headers, lines, 1);
  return new Response(lines[0] || null, { status, headers });
}

/**
 * Tells by `settle` what `promise` gives, `undefined` if it takes longer than `limit` milliseconds. The time runs as long as nothing
 * moves of `upload`, if there is one.
 */
function within(limit, promise, upload, settle) {
  const wait = () => {
    const rest = upload ? limit - upload.still : 0;
    if (rest > 0) timer = setTimeout(wait, rest);
    else settle(undefined, false);
  };
  let timer = setTimeout(wait, limit);
  promise.then(
    (value) => {
      clearTimeout(timer);
      settle(value, false);
    },
    (error) => {
      clearTimeout(timer);
      settle(error, true);
    },
  );
}

/** Tells by `settle` what a promise gives. */
export function watch(promise, id, settle) {
  promise.then(
    (value) => settle(id, value, false),
    (error) => settle(id, error, true),
  );
}

/** Asks an object. One whose instance has crashed may never answer. Messages are texts: of bytes the runtime makes buffers, at both ends. */
export function ask(env, namespace, name, message, limit, id, settle) {
  within(limit, env[namespace].getByName(name).ask(message), undefined, (outcome, failed) => settle(id, outcome, failed));
}

/** Fetches from a service that is bound to the gateway, or over the network. */
export function fetched(env, service, request, limit, id, settle) {
  const answer = service === undefined ? fetch(request) : env[service].fetch(request);
  within(limit, answer, undefined, (outcome, failed) => settle(id, outcome, failed));
}

/**
 * Tells what comes of sending a request on, as {@link forward} does. `upload` is the flow of its body. A small body of the response is
 * read with it if it `isGathered`, within the same time: see {@link whole}.
 */
export function sent(env, service, request, text, body, limit, upload, isGathered, id, settle) {
  const head = forward(env, service, request, text, body);
  const answer = isGathered ? head.then(gathered) : head;
  within(limit, answer, upload, (outcome, failed) => settle(id, outcome, failed));
}

/** Which headers a response to a request without a price may not have, and what becomes of one that has, or of none. */
let watched;
let otherwise;

/** Says what {@link passed} has to know: the names in lower case, each with a line feed behind it. */
export function watchFor(names, becomes) {
  watched = new Set(names.split("\n"));
  otherwise = becomes;
}

/**
 * Asks the network of a rail; the lines of `text` are names and values of headers in turn. Tells by `settle` the status of the answer, a
 * line feed and its body as a text; `undefined` if it takes longer than `limit`. Nothing of it is left then, neither a connection nor a
 * timer. A redirect is an answer: what proves who we are is sent nowhere else.
 */
export function exchanged(method, url, text, body, most, limit, id, settle) {
  const headers = {};
  set(headers, text.split("\n"), 0);
  const patience = new AbortController();
  const init = { method, headers, redirect: "manual", signal: patience.signal };
  if (body !== undefined) init.body = body;
  const answer = fetch(url, init).then(async (response) => `${response.status}\n${await textOf(response, most)}`);
  within(limit, answer, undefined, (outcome, failed) => {
    if (outcome === undefined) patience.abort();
    settle(id, outcome, failed);
  });
}

/** The text of a response of `most` bytes at the most. */
async function textOf(response, most) {
  const announced = Number(response.headers.get("content-length") ?? Number.NaN);
  if (announced <= most && !response.headers.has("content-encoding")) return response.text();
  const decoder = new TextDecoder();
  let [text, length] = ["", 0];
  // To leave the loop is to cancel the rest.
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > most) throw new Error("the answer is too long");
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Sends a request on, as {@link forward} does, and gives the response as it came, unless it is to be looked at. */
export function passed(env, service, request, text, body, limit, isLookedAt) {
  const answer = forward(env, service, request, text, body);
  return new Promise((resolve, reject) => {
    within(limit, answer, undefined, (outcome, failed) => {
      try {
        const isPassed = !failed && outcome !== undefined && !isLookedAt && isPlain(outcome);
        resolve(isPassed ? outcome : otherwise(env, request, outcome, failed));
      } catch (error) {
        reject(error);
      }
    });
  });
}

function isPlain(response) {
  for (const [name] of response.headers) if (watched.has(name)) return false;
  return true;
}

/**
 * Keeps what is done for a request alive, even when its client leaves; `left` is told by `id` that it did.
 * @returns {() => void} what ends that
 */
export function hold(context, { signal }, id, left) {
  let end;
  context.waitUntil(
    new Promise((resolve) => {
      end = resolve;
    }),
  );
  if (signal.aborted) left(id);
  else signal.addEventListener("abort", () => left(id));
  return end;
}

/** The longest body, in bytes, that is read as a whole before it goes on: nothing that could fail comes after it then. */
const SMALL = 64 * 1024;

/** Bodies that came with an answer as a whole, and what went wrong with those that did not come to their end. */
const wholes = new WeakMap();

/**
 * Reads the body of a response as a whole if it is small by the origin's word, and not decoded on the way. The runtime does that for
 * half of what a reader of its stream costs. What came of it is told by {@link whole}. Returns the response.
 */
async function gathered(response) {
  const { headers } = response;
  const length = headers.get("content-length");
  if (length === null || !(Number(length) <= SMALL) || headers.has("content-encoding")) return response;
  try {
    const bytes = new Uint8Array(await response.arrayBuffer());
    // An answer to HEAD announces what it does not bring.
    wholes.set(response, bytes.length > 0 ? bytes : null);
  } catch (error) {
    wholes.set(response, { error });
  }
  return response;
}

/**
 * The body of a response that was read as a whole: its bytes, or `null` when there is none; `undefined` if it was not read.
 * @throws what its body broke off with
 */
export function whole(response) {
  const found = wholes.get(response);
  if (found?.error !== undefined) throw found.error;
  return found;
}

/** The length of what is read at first of a body that is watched, and at most: where as much as that is there, more may be. */
const FIRST_PIECE = 16 * 1024;
const PIECE = 256 * 1024;

/**
 * A body on its way from one end to the other that is watched: the runtime's own pipe tells neither which end failed, nor how far it
 * came, nor who kept whom waiting.
 */
export class Flow {
  #source;
  #sink;
  #enough;
  #reader;
  #writer;
  #isByob = true;
  /** What it waits for: `source` or `sink`; at its end `nothing`. */
  #state = "source";
  /** Since when. */
  #since = Date.now();
  /** How long it has waited for either, in milliseconds. */
  #waited = { source: 0, sink: 0, nothing: 0 };
  #gone = 0;
  #failed = false;

  /** After `enough` bytes, if that is told, it does not matter any more how it ends: the rest goes through the runtime's own pipe. */
  constructor(source, sink, enough) {
    this.#source = source;
    this.#sink = sink;
    this.#enough = enough === undefined ? Number.POSITIVE_INFINITY : Number(enough);
    this.#writer = sink.getWriter();
    try {
      this.#reader = source.getReader({ mode: "byob" });
    } catch {
      this.#isByob = false;
      this.#reader = source.getReader();
    }
  }

  /** Resolves when it has ended. Nothing is cancelled or aborted. */
  async run() {
    let buffer = this.#isByob ? new ArrayBuffer(FIRST_PIECE) : undefined;
    try {
      while (this.#gone < this.#enough) {
        this.#wait("source");
        const { value, done } = await (buffer ? this.#reader.read(new Uint8Array(buffer)) : this.#reader.read());
        if (done) {
          // A sink that was promised more is not to blame.
          await this.#writer.close();
          this.#wait("nothing");
          return;
        }
        await this.#write(value);
        if (buffer) buffer = next(value);
      }
      this.#wait("sink");
      this.#reader.releaseLock();
      this.#writer.releaseLock();
      await this.#source.pipeTo(this.#sink);
      this.#wait("nothing");
    } catch {
      this.#failed = true;
    }
  }

  /** The same, and if it does not end whole each end learns of it at once. */
  async pour() {
    await this.run();
    if (!this.isWhole) this.stop();
  }

  async #write(bytes) {
    this.#wait("sink");
    await this.#writer.write(bytes);
    this.#gone += bytes.byteLength;
  }

  #wait(state) {
    const now = Date.now();
    this.#waited[this.#state] += now - this.#since;
    this.#state = state;
    this.#since = now;
  }

  #waitedFor(end) {
    return this.#waited[end] + (this.#state === end && !this.#failed ? this.still : 0);
  }

  /** Whichever end it waits for has failed by standing still. */
  giveUp() {
    this.#wait(this.#state);
    this.#failed = !this.isWhole;
    this.stop();
  }

  /** Each end learns that there is nothing more to come from the other. */
  stop() {
    const why = new Error("the body is not whole");
    // Either may have failed already.
    this.#reader.cancel(why).catch(() => {});
    this.#writer.abort(why).catch(() => {});
  }

  /** Bytes that the sink has taken. */
  get gone() {
    return BigInt(this.#gone);
  }

  get waitedForSource() {
    return this.#waitedFor("source");
  }

  get waitedForSink() {
    return this.#waitedFor("sink");
  }

  get isWhole() {
    return this.#state === "nothing";
  }

  get sourceFailed() {
    return this.#failed && this.#state === "source";
  }

  /** Milliseconds since when nothing has moved. */
  get still() {
    return Date.now() - this.#since;
  }
}

/** What is to be read into after `piece`: the same again, or more where it was filled. */
function next({ buffer, byteLength }) {
  const isFilled = byteLength === buffer.byteLength && byteLength < PIECE;
  return isFilled ? new ArrayBuffer(4 * byteLength) : buffer;
}

/** Bodies that are held until their requests are paid for, in the order in which something last happened to them. */
const bodies = new Map();
let heldBytes = 0;

/** What a body is held in at first. It grows with what comes: who announces much and sends little takes little. */
const FIRST_BUFFER = 16 * 1024;

/** What is read and hashed of a body at once. As much is in memory for each body that is being read, paid for or not. */
const HASHED = 32 * 1024;

/** Bytes per millisecond that a body has to come in at, on the whole. */
const SLOWEST = 8;

/** Lets go of a body. */
export function release(id) {
  const body = bodies.get(id);
  if (body) heldBytes -= body.buffer.length;
  bodies.delete(id);
}

/** The bytes of a body that is held. */
export function held(id) {
  const body = bodies.get(id);
  return body?.buffer.subarray(0, body.length);
}

/** Takes more of a body in; `false` when there is no room. A request may vanish without a word: what nothing happens to for long is let go. */
function keep(id, chunk, most, budget, lifetime) {
  const now = Date.now();
  for (const [old, { until }] of bodies) {
    if (until > now) break;
    release(old);
  }
  const body = bodies.get(id) ?? { buffer: new Uint8Array(0), length: 0 };
  const length = body.length + chunk.length;
  if (length > body.buffer.length) {
    const size = Math.min(Math.max(2 * body.buffer.length, length, FIRST_BUFFER), most);
    if (heldBytes - body.buffer.length + size > budget) return false;
    heldBytes += size - body.buffer.length;
    const buffer = new Uint8Array(size);
    buffer.set(body.buffer);
    body.buffer = buffer;
  }
  body.buffer.set(chunk, body.length);
  bodies.delete(id);
  bodies.set(id, { ...body, length, until: now + lifetime });
  return true;
}

/**
 * Reads a request's body of `most` bytes at the most, and hashes it as it comes. It is held as `id` until it is released; without an id
 * nothing of it stays. It must go on within `patience` milliseconds.
 * @returns {Promise<Uint8Array | "large" | "slow" | "full">} its SHA-256, or what is wrong
 */
export async function read(request, id, most, budget, patience, lifetime) {
  const reader = request.body.getReader({ mode: "byob" });
  const digest = new crypto.DigestStream("SHA-256");
  const hash = digest.digest;
  hash.catch(() => {});
  const writer = digest.getWriter();
  const fail = async (outcome) => {
    release(id);
    writer.abort().catch(() => {});
    await reader.cancel().catch(() => {});
    return outcome;
  };
  if (id) request.signal.addEventListener("abort", () => release(id));
  const begun = Date.now();
  let moved = begun;
  let length = 0;
  // One timer for all pieces: it looks again when it has rung too early.
  let timer;
  const late = new Promise((resolve) => {
    const look = () => {
      const rest = Math.min(moved, begun + length / SLOWEST) + patience - Date.now();
      if (rest > 0) timer = setTimeout(look, rest);
      else resolve();
    };
    look();
  });
  // One buffer goes to and fro: a new one for each piece would be collected late.
  let buffer = new ArrayBuffer(HASHED);
  try {
    for (;;) {
      const read = await Promise.race([late, reader.read(new Uint8Array(buffer))]);
      if (read === undefined) return fail("slow");
      if (read.done) break;
      length += read.value.length;
      if (length > most) return fail("large");
      if (id && !keep(id, read.value, most, budget, lifetime)) return fail("full");
      await writer.write(read.value);
      buffer = read.value.buffer;
      moved = Date.now();
    }
  } catch (error) {
    await fail();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  await writer.close();
  return new Uint8Array(await hash);
}
