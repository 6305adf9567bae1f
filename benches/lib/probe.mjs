// Runs inside of a contestant, before its own modules: counts the calls of Durable Objects and finds the wasm memory. What it
// costs is not measured, because nothing is timed with it.
import { env, WorkerEntrypoint } from "cloudflare:workers";

const calls = {};
const memories = [];

WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(target, given, newTarget) {
    const instance = Reflect.construct(target, given, newTarget);
    for (const value of Object.values(instance.exports)) if (value instanceof WebAssembly.Memory) memories.push(value);
    return instance;
  },
});

for (const [name, binding] of Object.entries(env)) {
  if (typeof binding?.idFromName !== "function") continue;
  const prototype = Object.getPrototypeOf(binding);
  // All namespaces share one prototype: the one that is asked is known by its identity.
  const get = prototype.get;
  if (get.counted) {
    get.counted.set(binding, name);
    continue;
  }
  const counted = new Map([[binding, name]]);
  prototype.get = Object.assign(
    function (...given) {
      return new Proxy(get.apply(this, given), {
        get(stub, property) {
          const value = Reflect.get(stub, property, stub);
          if (typeof value !== "function") return value;
          return (...args) => {
            const of = [...counted].find(([known]) => known === this)?.[1] ?? "object";
            calls[of] = (calls[of] ?? 0) + 1;
            // Not by `apply`: a property of a stub's method is a method of the object, too.
            return stub[property](...args);
          };
        },
      });
    },
    { counted },
  );
}

/** The contestant's entry with one more path. */
export function answer(Entry) {
  return class extends WorkerEntrypoint {
    fetch(request) {
      if (new URL(request.url).pathname === "/__bench") {
        const wasmBytes = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
        return Response.json({ calls, wasmBytes });
      }
      return new Entry(this.ctx, this.env).fetch(request);
    }
  };
}
