// One whole system a test file: chains, RPC proxies, origin and the built gateway, on ports of their own.
import assert from "node:assert/strict";
import { after } from "node:test";
import { Chain } from "./chain.mjs";
import { expectTryAgain } from "./expect.mjs";
import { Gateway } from "./gateway.mjs";
import { open, send } from "./http.mjs";
import { Origin } from "./origin.mjs";
import { until } from "./processes.mjs";
import { abstractCredential, encodeCredential, evmCredential } from "./protocol.mjs";
import { RpcProxy } from "./rpc-proxy.mjs";

export const SECRET = "e2e-mpp-secret-key-0123456789abcdef0123456789abcdef";
export const OTHER_SECRET = "e2e-another-secret-key-fedcba9876543210fedcba98765";
export const ADMIN_TOKEN = "e2e-admin-token-5f2c91d7a0b34e68";
export const REALM = "pay.example.com";
const USDC = 1_000_000n;

/** Routes that most tests use. `/free…` has no route and so no price. */
export const ROUTES = [
  { path: "/v1/reports/{id}", methods: ["GET"], price: "0.01", description: "One report" },
  { path: "/v1/same", price: "0.01", description: "Another thing at the same price" },
  { path: "/v1/cheap", price: "0.001", description: "Something cheap" },
  { path: "/v1/answers", methods: ["POST"], price: "0.02", description: "One answer", digest: true },
  { path: "/v1/uploads", methods: ["POST"], price: "0.02", description: "One upload" },
  { path: "/v1/late", price: "0.03", description: "Settled after the origin", settle: "after-origin" },
  { path: "/v1/evm-only", price: "0.01", description: "One method", paymentMethods: ["evm"] },
  { path: "/premium/*", price: "0.05", description: "All of premium" },
];

/** How the configuration says where money is taken: by the network's preset, whose token is the local one. */
function railOf({ chain: { network, token } }) {
  const { address, name, version } = token;
  return { network, token: { address, name, version, decimals: 6 } };
}

/** What a header holds that proves a payment: the credential or the payment of x402, and the signatures in it. */
function secretsOf([name, value]) {
  const proofs = /^(payment-signature|x-payment)$/i.test(name)
    ? [String(value)].filter((proof) => proof.length >= 64)
    : /^(proxy-|payment-)?authorization$/i.test(name)
      ? [...String(value).matchAll(/payment +([\w+/=-]{64,})/gi)].map(([, token]) => token)
      : [];
  return proofs.flatMap((proof) => [proof, ...signaturesIn(proof)]);
}

/** Without their `0x`: those of a proof in either base64. */
function signaturesIn(proof) {
  try {
    const { signature, voucherSignature, deposit } = JSON.parse(Buffer.from(proof, "base64url").toString("utf8")).payload;
    return [signature, voucherSignature, deposit?.signature].filter((one) => one?.length >= 130).map((one) => one.slice(2));
  } catch {
    // Garbage has no signature to keep secret.
    return [];
  }
}

/** The secrets that say where each chain is asked: one for all, or one for each by the rail's name. */
function rpcUrls(rails) {
  const entries = Object.entries(rails).map(([network, { rpc }]) => [
    `RPC_URL_${network.toUpperCase().replaceAll("-", "_")}`,
    rpc.url,
  ]);
  return entries.length === 1 ? { RPC_URL: entries[0][1] } : Object.fromEntries(entries);
}

/** A configuration with `changes` laid over it; `limits` and `session` are laid over one by one. */
function over(configuration, changes) {
  const result = { ...configuration, ...changes };
  for (const group of ["limits", "session"]) {
    if (configuration[group]) result[group] = { ...configuration[group], ...changes[group] };
  }
  return result;
}

class Stack {
  chain;
  origin;
  rpc;
  gateway;
  /** By network: this stack as seen from that chain. `stack.rails["base-sepolia"].mark()` looks at Base Sepolia. */
  rails = {};
  /** What no answer and no log may hold. */
  confidential = new Set();

  static async start(options) {
    const stack = new Stack();
    stack.origin = await new Origin().start();
    await Promise.all((options.networks ?? ["abstract-testnet"]).map((network) => stack.#add(network)));
    // The first network is what everything looks at that names none.
    const [first] = Object.values(stack.rails);
    Object.assign(stack, { chain: first.chain, rpc: first.rpc });
    const [settlement, recipient, ...rest] = stack.chain.accounts;
    stack.settlement = settlement;
    stack.recipient = recipient.address;
    stack.payers = rest.slice(0, 4);
    stack.stranger = rest[4];
    for (const { chain } of Object.values(stack.rails)) {
      for (const payer of stack.payers) await chain.mint(payer.address, 1_000n * USDC);
    }
    await options.prepare?.(stack);
    Object.assign(stack, { routes: options.routes ?? ROUTES, usual: options.usual?.(stack) ?? {} });
    stack.secrets = {
      MPP_SECRET_KEY: SECRET,
      SETTLEMENT_PRIVATE_KEY: settlement.privateKey,
      ...rpcUrls(stack.rails),
      ADMIN_TOKEN,
      ...options.secrets?.(stack),
    };
    stack.configuration = stack.configure(options.gateway, options.routes);
    stack.gateway = await new Gateway({
      vars: { gateway: stack.configuration },
      secrets: stack.secrets,
      services: options.services?.(stack),
      watch: options.watch,
    }).start();
    for (const secret of [SECRET, OTHER_SECRET, ADMIN_TOKEN, settlement.privateKey.slice(2), "rpc-url-key"]) {
      stack.confidential.add(secret);
    }
    return stack;
  }

  async #add(network) {
    // The key is there before anything is waited for: rails keep the order in which they were asked for.
    const rail = Object.create(this);
    this.rails[network] = rail;
    rail.chain = await Chain.start(network);
    rail.rpc = await new RpcProxy(rail.chain.rpc).start();
  }

  /** The configuration of the tests with `changes` (an object, or a function of the defaults) laid over it. */
  configure(changes = {}, routes = this.routes) {
    const rails = Object.values(this.rails).map(railOf);
    const defaults = {
      // One rail as most people write it.
      ...(rails.length === 1 ? rails[0] : { rails }),
      recipient: this.recipient,
      realm: REALM,
      origin: { url: this.origin.url },
      limits: { settlementTimeoutSeconds: 5, rpcTimeoutSeconds: 2, originTimeoutSeconds: 5 },
      routes,
    };
    const usual = over(defaults, this.usual);
    return typeof changes === "function" ? changes(usual, this) : over(usual, changes);
  }

  /** The gateway's name to clients. Both isolates answer to it, as on a network where one name leads to many. */
  get host() {
    return new URL(this.gateway.urls[0]).host;
  }

  get token() {
    return this.chain.token;
  }

  /** Restarts the gateway with another configuration or other secrets; storage and ports stay. */
  async reconfigure({ gateway, routes, secrets = {} } = {}) {
    const vars = { gateway: this.configure(gateway, routes) };
    await this.gateway.restart({ vars, secrets: { ...this.secrets, ...secrets } });
  }

  /** Sends a request through isolate `via` (0 or 1) and checks that the answer holds no secret. */
  async send(path, { via = 0, authorization, headers = {}, ...options } = {}) {
    const lines = Array.isArray(headers) ? [...headers] : Object.entries(headers);
    if (authorization !== undefined) lines.push(["Authorization", authorization]);
    for (const secret of lines.flatMap(secretsOf)) this.confidential.add(secret);
    const answer = await send(this.gateway.urls[via], path, { host: this.host, ...options, headers: lines });
    this.assertDiscreet(`${answer.raw.map((pair) => pair.join(": ")).join("\n")}\n${answer.text}`, "an answer");
    return answer;
  }

  /** As `send`, but resolves at the response's headers with the raw stream. */
  open(path, { via = 0, ...options } = {}) {
    return open(this.gateway.urls[via], path, { host: this.host, ...options });
  }

  /** The challenge that an unpaid request gets. */
  async challenge(path, { scheme = "evm", ...options } = {}) {
    const answer = await this.send(path, options);
    assert.equal(answer.status, 402, `${options.method ?? "GET"} ${path} asks for payment: ${answer.text}`);
    // With one network there is nothing to choose, and a test may have configured another chain than the one that is there.
    return answer.challenge(scheme, Object.keys(this.rails).length > 1 ? this.chain.id : undefined);
  }

  /** A credential that pays for `path`, not yet sent. `changes` alters what is signed. */
  async credential(path, { scheme = "evm", payer = this.payers[0], changes, ...options } = {}) {
    const challenge = await this.challenge(path, { scheme, ...options });
    return this.sign(challenge, { payer, changes });
  }

  sign(challenge, { payer = this.payers[0], changes, token = this.token } = {}) {
    const make = challenge.method === "abstract" ? abstractCredential : evmCredential;
    return make(challenge, payer, token, changes);
  }

  /** Sends `credential` for `path`. Returns the answer and the header that carried it. */
  async present(path, credential, options = {}) {
    const authorization = encodeCredential(credential);
    return { answer: await this.send(path, { ...options, authorization }), credential, authorization };
  }

  /** Sends the same credential again for as long as the gateway says 503, as a patient client does. */
  async resume(path, authorization, { ms = 60_000, ...options } = {}) {
    return until(
      async () => {
        const answer = await this.send(path, { ...options, authorization });
        if (answer.status !== 503) return answer;
        expectTryAgain(answer);
        await new Promise((resolve) => setTimeout(resolve, 200));
      },
      `${path} to be paid`,
      ms,
    );
  }

  /** Asks, signs, pays. Returns the answer with the credential it was paid with. */
  async pay(path, { scheme, payer, changes, ...options } = {}) {
    return this.present(path, await this.credential(path, { scheme, payer, changes, ...options }), options);
  }

  /** Remembers what origin and chain look like now; `moved` compares later. */
  async mark() {
    const look = async () => ({
      origin: this.origin.requests.length,
      transactions: await this.chain.transactions(this.settlement.address),
      transfers: (await this.chain.transfersTo(this.recipient)).length,
      amount: await this.chain.balance(this.recipient),
    });
    const start = await look();
    const difference = async () => {
      const now = await look();
      return Object.fromEntries(Object.keys(start).map((key) => [key, now[key] - start[key]]));
    };
    /** Asserts exactly what reached the origin and what moved on chain since the mark. */
    const moved = async ({ origin = 0, transactions = 0, transfers = 0, amount = 0n }) => {
      assert.deepEqual(await difference(), { origin, transactions, transfers, amount });
    };
    return { difference, moved, nothing: () => moved({}) };
  }

  assertDiscreet(text, where) {
    for (const secret of this.confidential) {
      assert.ok(!text.includes(secret), `${where} holds the secret or credential ${secret.slice(0, 12)}…`);
    }
  }

  /** Rules C5 and C6, which hold in every test there is: nothing panics, and nothing secret is printed. */
  assertDiscreetLogs() {
    const { logs } = this.gateway;
    this.assertDiscreet(logs, "the log");
    // What workerd says of a CONNECT is no exception of ours; and it calls an answer an exception that is broken off on purpose.
    const usual = /does not export a connect\(\) function|jsg\.Error: the body is not whole$/;
    const lines = logs.split("\n").filter((line) => !usual.test(line));
    const thrown = lines.find((line) => /panicked at|RuntimeError|Uncaught/.test(line));
    assert.equal(thrown, undefined, "nothing panics or throws past the gateway");
  }

  async stop() {
    await this.gateway?.dispose();
    for (const { rpc } of Object.values(this.rails)) await rpc?.stop();
    await this.origin?.stop();
    for (const { chain } of Object.values(this.rails)) await chain?.stop();
    this.assertDiscreetLogs();
  }
}

/**
 * Brings up a stack for the whole test file and takes it down after the last test.
 * @param {{networks?: string[], gateway?: object | Function, routes?: object[], secrets?: Function, services?: Function,
 *   prepare?: Function, watch?: object}} options
 *   Each of `networks` (Abstract testnet alone, if left out) gets a chain and a proxy. `prepare`, `secrets` and `services` get the stack
 *   with chains, proxies and origin up; the latter two return more bindings.
 */
export async function startStack(options = {}) {
  const stack = await Stack.start(options);
  after(() => stack.stop());
  return stack;
}
