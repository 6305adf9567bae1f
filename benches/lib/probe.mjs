// Runs inside of a contestant, before its own modules: counts the calls of Durable Objects and finds the wasm memory. What it
// costs is not measured, because nothing is timed with it.
import { env, WorkerEntrypoint } from "cloudflare:workers";

let calls = 0;
const memories = [];

WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(target, given, newTarget) {
    const instance = Reflect.construct(target, given, newTarget);
    for (const value of Object.values(instance.exports)) if (value instanceof WebAssembly.Memory) memories.push(value);
    return instance;
  },
});

// All namespaces share one prototype.
const namespace = Object.values(env).find((binding) => typeof binding?.idFromName === "function");
const prototype = namespace && Object.getPrototypeOf(namespace);
for (const method of namespace ? ["get", "getByName"] : []) {
  const original = prototype[method];
  prototype[method] = function (...given) {
    return counted(original.apply(this, given));
  };
}

function counted(stub) {
  return new Proxy(stub, {
    get(_, property) {
      if (typeof stub[property] !== "function") return stub[property];
      return (...given) => {
        calls += 1;
        // Not by `apply`: a property of a stub's method is a method of the object, too.
        return stub[property](...given);
      };
    },
  });
}

/** The contestant's entry with one more path. */
export function answer(Entry) {
  return class extends WorkerEntrypoint {
    fetch(request) {
      if (new URL(request.url).pathname === "/__bench") {
        const wasmBytes = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
        return Response.json({ calls, wasmBytes });
      }
      return typeof Entry === "function"
        ? new Entry(this.ctx, this.env).fetch(request)
        : Entry.fetch(request, this.env, this.ctx);
    }
  };
}
