// Who is measured: the gateway as built, the JavaScript peer, and the floor. They are told the same, and differ only in the worker.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build as bundle } from "esbuild";
import { parse } from "smol-toml";
import { at } from "../../scripts/lib/project.mjs";
import { Stop } from "../../scripts/lib/run.mjs";
import { compatibility } from "../../tests/e2e/harness/paths.mjs";
import { work } from "./places.mjs";
import { CHAIN_ID, ESCROW, PRICES, REALM, SECRET, settlement, TOKEN } from "./setting.mjs";

const ADMIN_TOKEN = "bench-admin-token-5f2c91d7a0b34e68";

/**
 * @param {{buildDir: string, origin: string, rpcUrl: string}} options
 * @returns {Promise<Record<string, import("./workerd.mjs").Contestant & {sessions: boolean}>>}
 */
export async function contestants({ buildDir, origin, rpcUrl }) {
  return { floor: await floor({ origin }), peer: await peer({ origin, rpcUrl }), ours: gateway({ buildDir, origin, rpcUrl }) };
}

/** Whether a build takes sessions: the field that only they need is in it. */
function takesSessions(buildDir) {
  const wasm = join(buildDir, "index_bg.wasm");
  if (!existsSync(wasm)) throw new Stop(`no built worker in ${buildDir}: run \`npm run build\` first`);
  return readFileSync(wasm).includes("evmEscrow");
}

/** The gateway as built. */
export function gateway({ buildDir, origin, rpcUrl }) {
  const sessions = takesSessions(buildDir);
  const evm = { paymentMethods: ["evm"] };
  const session = { ...evm, intents: ["session"] };
  const routes = [
    { path: "/one", price: PRICES.charge, description: "One call", ...evm },
    { path: "/four", price: PRICES.charge, description: "One call", ...(sessions && { intents: ["charge", "session"] }) },
    { path: "/charge/*", price: PRICES.charge, description: "One call", ...evm },
    { path: "/digest", price: PRICES.charge, description: "One call", digest: true, ...evm },
  ];
  if (sessions) {
    routes.push(
      { path: "/voucher", price: PRICES.request, ...session },
      { path: "/upload", price: PRICES.request, ...session },
      { path: "/events/*", price: PRICES.event, meter: "event", ...session },
    );
  }
  const gateway = {
    network: "abstract-testnet",
    recipient: settlement.address,
    realm: REALM,
    token: TOKEN,
    origin: { url: origin },
    routes,
    // Neither the peer nor the chain of the bench knows of settlements before the end.
    ...(sessions && { evmEscrow: ESCROW, session: { settleAmount: "1000000000", settleAfterSeconds: 86_400 } }),
  };
  const modules = readdirSync(buildDir).filter((name) => /\.(m?js|wasm)$/.test(name));
  modules.sort((a, b) => Number(b === "index.js") - Number(a === "index.js"));
  const { durable_objects } = parse(readFileSync(at("wrangler.toml"), "utf8"));
  return {
    name: "ours",
    sessions,
    modules: Object.fromEntries(modules.map((name) => [name, join(buildDir, name)])),
    objects: durable_objects.bindings
      .map(({ name, class_name }) => ({ binding: name, className: class_name }))
      .filter(({ className }) => sessions || className !== "Channel"),
    ...compatibility(),
    vars: { gateway },
    secrets: {
      MPP_SECRET_KEY: SECRET,
      SETTLEMENT_PRIVATE_KEY: settlement.privateKey,
      RPC_URL: rpcUrl,
      ADMIN_TOKEN,
    },
  };
}

async function peer({ origin, rpcUrl }) {
  const told = { origin, rpcUrl, chainId: CHAIN_ID, token: TOKEN, recipient: settlement.address, escrow: ESCROW, realm: REALM };
  return {
    name: "peer",
    sessions: true,
    modules: { "index.js": await bundled("peer") },
    objects: [
      { binding: "CHANNEL", className: "Channel" },
      { binding: "SETTLER", className: "Settler" },
    ],
    date: compatibility().date,
    flags: [],
    vars: { PEER: { ...told, prices: PRICES } },
    secrets: { MPP_SECRET_KEY: SECRET, SETTLEMENT_PRIVATE_KEY: settlement.privateKey },
  };
}

async function floor({ origin }) {
  return {
    name: "floor",
    sessions: true,
    modules: { "index.js": await bundled("floor") },
    objects: [{ binding: "COUNTER", className: "Counter" }],
    date: compatibility().date,
    flags: [],
    vars: { FLOOR: { origin } },
    secrets: {},
  };
}

/** One minified file of a JavaScript contestant, as one would deploy it. */
async function bundled(name) {
  const outfile = work(`${name}.js`);
  await bundle({
    entryPoints: [at("benches", name, "worker.mjs")],
    outfile,
    bundle: true,
    minify: true,
    legalComments: "none",
    format: "esm",
    target: "es2024",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "browser"],
    // mppx imports the last only for MCP, and only when it is used.
    external: ["cloudflare:workers", "node:*", "@modelcontextprotocol/sdk/*"],
    logLevel: "warning",
  });
  return outfile;
}

/** What is uploaded, in bytes: as it is and by gzip. */
export function sizes(paths) {
  const files = paths.map((path) => readFileSync(path));
  const sum = (of) => files.reduce((total, file) => total + of(file), 0);
  return { raw: sum((file) => file.length), gzip: sum((file) => gzipSync(file, { level: 9 }).length) };
}

/** The same contestant with what is billed counted and its wasm memory known, at `/__bench`. Only for what is not timed. */
export function probed(contestant) {
  const [main] = Object.keys(contestant.modules);
  const classes = contestant.objects.map(({ className }) => className);
  const entry = work(`${contestant.name}-probe.js`);
  writeFileSync(
    entry,
    `import "./probe.js";
import { answer, observed } from "./probe.js";
import Entry, * as contestant from "./${main}";
${classes.map((name) => `export const ${name} = observed(contestant.${name});`).join("\n")}
export default answer(Entry);
`,
  );
  return { ...contestant, modules: { "probed.js": entry, ...contestant.modules, "probe.js": at("benches/lib/probe.mjs") } };
}
