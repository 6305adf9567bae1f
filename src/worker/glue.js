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

/** What `promise` gives, `undefined` if it takes longer than `limit` milliseconds. */
function within(limit, promise) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, limit);
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

/** Fetches from a service that is bound to the gateway, or over the network. */
export function fetched(env, service, request, limit) {
  return within(limit, service === undefined ? fetch(request) : env[service].fetch(request));
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

/** Lets a body flow, whose beginning was read. Neither end may hide from the other which of them failed. */
export async function piped(beginning, source, sink) {
  if (beginning) {
    const writer = sink.getWriter();
    await writer.write(beginning);
    writer.releaseLock();
  }
  await source.pipeTo(sink, { preventAbort: true, preventCancel: true });
}
