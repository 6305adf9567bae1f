// Runs inside of a contestant, before its own modules: counts what is billed besides processor time (calls of Durable Objects, their
// alarms, rows, and how long they are at work), and finds the wasm memory. What it costs is not measured, because nothing is timed with it.
import { env, WorkerEntrypoint } from "cloudflare:workers";

/** Since the start. An alarm that rings is a request of its object, as a call is. */
const billed = { calls: 0, rings: 0, rowsRead: 0, rowsWritten: 0, alarms: 0, objectMillis: 0 };
const memories = [];
/** The objects that were called, each by what gets it anew. */
const called = new Map();
/** How far ahead of the machine's clock this isolate's is. */
let ahead = 0;

const clock = Date.now;
Date.now = () => clock() + ahead;

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
    const stub = original.apply(this, given);
    called.set(`${stub.id}`, () => original.apply(this, given));
    return counted(stub);
  };
}

function counted(stub) {
  return new Proxy(stub, {
    get(_, property) {
      if (typeof stub[property] !== "function") return stub[property];
      return (...given) => {
        billed.calls += 1;
        // Not by `apply`: a property of a stub's method is a method of the object, too.
        return stub[property](...given);
      };
    },
  });
}

/**
 * Alarms are counted, and ring when they are told to: when they would by themselves depends on how busy the machine is. By the storage of
 * the object.
 */
const alarms = new WeakMap();

const STORAGE = {
  setAlarm(at) {
    billed.alarms += 1;
    alarms.set(this, Number(at));
    return Promise.resolve();
  },
  getAlarm() {
    return Promise.resolve(alarms.get(this) ?? null);
  },
  deleteAlarm() {
    alarms.delete(this);
    return Promise.resolve();
  },
};

let isWatched = false;

/** Has what every object stores counted, from now on. */
function watch(storage) {
  if (isWatched) return;
  isWatched = true;
  Object.assign(Object.getPrototypeOf(storage), STORAGE);
  const sql = Object.getPrototypeOf(storage.sql);
  const { exec } = sql;
  sql.exec = function (...given) {
    const cursor = exec.apply(this, given);
    // It has been read to its end when whoever ran it is done.
    Promise.resolve().then(() => {
      billed.rowsRead += cursor.rowsRead;
      billed.rowsWritten += cursor.rowsWritten;
    });
    return cursor;
  };
}

/** A contestant's class of objects, with what is billed counted: an object is at work from a call to its answer, once for all at a time. */
export function observed(Class) {
  class Observed extends Class {
    #working = 0;
    #since = 0;
    #storage;

    constructor(ctx, env) {
      watch(ctx.storage);
      super(ctx, env);
      this.#storage = ctx.storage;
    }

    work(answer) {
      if (this.#working === 0) this.#since = clock();
      this.#working += 1;
      const done = () => {
        this.#working -= 1;
        if (this.#working === 0) billed.objectMillis += clock() - this.#since;
      };
      let answered;
      try {
        answered = answer();
      } catch (error) {
        done();
        throw error;
      }
      if (typeof answered?.then !== "function") {
        done();
        return answered;
      }
      return answered.finally(done);
    }

    /** Its alarm rings, if it is set. */
    ring() {
      return alarms.delete(this.#storage) ? this.alarm() : undefined;
    }
  }
  for (const name of Object.getOwnPropertyNames(Class.prototype)) {
    if (name === "constructor") continue;
    Observed.prototype[name] = function (...given) {
      if (name === "alarm") billed.rings += 1;
      return this.work(() => Class.prototype[name].apply(this, given));
    };
  }
  return Observed;
}

/**
 * The contestant's entry with two more paths: one tells what was counted, the other has the clock go ahead and all alarms ring.
 */
export function answer(Entry) {
  return class extends WorkerEntrypoint {
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/__bench") {
        const wasmBytes = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
        return Response.json({ ...billed, wasmBytes });
      }
      if (pathname === "/__bench/later") {
        ahead += Number(searchParams.get("millis"));
        for (const stub of called.values()) await stub().ring();
        return new Response(null, { status: 204 });
      }
      return typeof Entry === "function"
        ? new Entry(this.ctx, this.env).fetch(request)
        : Entry.fetch(request, this.env, this.ctx);
    }
  };
}
