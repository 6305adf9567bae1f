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

/** The names of all headers, in lower case, each with a line feed behind it. */
export function names(headers) {
  let names = "";
  for (const name of headers.keys()) names += `${name}\n`;
  return names;
}

/** Name and value in turn, each with a line feed behind it, as pairs. */
function pairs(lines) {
  const parts = lines.split("\n");
  const pairs = [];
  for (let i = 0; i + 1 < parts.length; i += 2) pairs.push([parts[i], parts[i + 1]]);
  return pairs;
}

/** Removes the headers named, each with a line feed behind it, and sets others, given as for {@link pairs}. */
function change(headers, removed, added) {
  for (const name of removed.split("\n")) if (name !== "") headers.delete(name);
  for (const [name, value] of pairs(added)) headers.set(name, value);
}

/** A request like `request` to `url`, with other headers. */
export function forwarded(request, url, removed, added, body) {
  const init = { method: request.method, headers: request.headers, redirect: "manual" };
  if (body) init.body = body;
  const forwarded = new Request(url, init);
  change(forwarded.headers, removed, added);
  return forwarded;
}

/** A response like `response`, with other headers and with `body`. */
export function changed(response, removed, added, body) {
  const changed = new Response(body, response);
  change(changed.headers, removed, added);
  return changed;
}

/**
 * The gateway's own response. A header that is set twice becomes one line, as it would on the wire. A plain object is what the
 * runtime reads fastest.
 */
export function answer(status, lines, body) {
  const headers = {};
  for (const [name, value] of pairs(lines)) headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  return new Response(body, { status, headers });
}

/**
 * What `promise` gives, `undefined` if it takes longer than `limit` milliseconds. The time runs as long as nothing moves of `upload`,
 * if there is one.
 */
function within(limit, promise, upload) {
  return new Promise((resolve, reject) => {
    const wait = () => {
      const rest = upload ? limit - upload.still : 0;
      if (rest > 0) timer = setTimeout(wait, rest);
      else resolve();
    };
    let timer = setTimeout(wait, limit);
    const end = (settle) => (outcome) => {
      clearTimeout(timer);
      settle(outcome);
    };
    promise.then(end(resolve), end(reject));
  });
}

/** Asks an object. One whose instance has crashed may never answer. */
export function ask(env, namespace, name, message, limit) {
  return within(limit, env[namespace].getByName(name).ask(message));
}

/** Fetches from a service that is bound to the gateway, or over the network. `upload` is the flow of the request's body. */
export function fetched(env, service, request, limit, upload) {
  return within(limit, service === undefined ? fetch(request) : env[service].fetch(request), upload);
}

/** What there is at first of a body of `length` bytes; `undefined` when its stream cannot tell. */
export async function beginning(body, length) {
  let reader;
  try {
    reader = body.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
  try {
    return (await reader.read(new Uint8Array(length))).value;
  } finally {
    reader.releaseLock();
  }
}

/** The length of what is read at once of a body that is watched. */
const PIECE = 64 * 1024;

/**
 * A body on its way from one end to the other that is watched: the runtime's own pipe tells neither which end failed, nor how far it
 * came, nor who kept whom waiting.
 */
export class Flow {
  #beginning;
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

  /** `beginning` was read of `source` before. */
  constructor(beginning, source, sink) {
    this.#beginning = beginning;
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
    let buffer = this.#isByob ? new ArrayBuffer(PIECE) : undefined;
    try {
      if (this.#beginning) await this.#write(this.#beginning);
      for (;;) {
        this.#wait("source");
        const { value, done } = await (buffer ? this.#reader.read(new Uint8Array(buffer)) : this.#reader.read());
        if (done) break;
        await this.#write(value);
        if (buffer) buffer = value.buffer;
      }
      // A sink that was promised more is not to blame.
      await this.#writer.close();
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

/** Bodies that are held until their requests are paid for, in the order in which something last happened to them. */
const bodies = new Map();
let heldBytes = 0;

/** What a body is held in at first. It grows with what comes: who announces much and sends little takes little. */
const FIRST_BUFFER = 16 * 1024;

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
  let length = 0;
  // One buffer goes to and fro: a new one for each piece would be collected late.
  let buffer = new ArrayBuffer(FIRST_BUFFER);
  try {
    for (;;) {
      const left = Math.min(patience, patience + length / SLOWEST - (Date.now() - begun));
      const read = await within(Math.max(left, 1), reader.read(new Uint8Array(buffer)));
      if (read === undefined) return fail("slow");
      if (read.done) break;
      length += read.value.length;
      if (length > most) return fail("large");
      if (id && !keep(id, read.value, most, budget, lifetime)) return fail("full");
      await writer.write(read.value);
      buffer = read.value.buffer;
    }
  } catch (error) {
    await fail();
    throw error;
  }
  await writer.close();
  return new Uint8Array(await hash);
}
