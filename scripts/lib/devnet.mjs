// The whole system on this machine: two chains, their contracts, an origin, and the built gateway in front of it.

import { randomBytes } from "node:crypto";
import { createWriteStream, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "smol-toml";
import { accounts, CHAIN_ID, mint, NETWORKS, placeContracts, startAnvil } from "../chain.mjs";
import { startOrigin } from "../origin.mjs";
import { at, npmBin } from "./project.mjs";
import { Stop, say, start, step } from "./run.mjs";

export const DECIMALS = 6;
const FUNDS = 1_000n * 10n ** BigInt(DECIMALS);

const ROUTES = [
  { path: "/v1/quote", methods: ["GET"], price: "0.01", description: "A quote", intents: ["charge", "session"] },
  { path: "/v1/echo", methods: ["POST"], price: "0.02", description: "Your own words, bound to the payment", digest: true },
  { path: "/v1/report/{id}", methods: ["GET"], price: "0.05", description: "A report, if there is one", settle: "after-origin" },
  {
    path: "/v1/ticker",
    methods: ["GET"],
    price: "0.001",
    description: "Prices as they change",
    intents: ["session"],
    meter: "event",
  },
];

const PORTS = {
  ANVIL_PORT: { usual: 8545, of: "the first chain (anvil, as Abstract testnet)" },
  BASE_ANVIL_PORT: { usual: 8546, of: "the second chain (anvil, as Base Sepolia)" },
  GATEWAY_PORT: { usual: 8787, of: "the gateway" },
  ORIGIN_PORT: { usual: 8788, of: "the demo origin" },
};

/** The four ports, from the environment or the usual ones; an error says which is taken and how to choose another. */
export async function choosePorts() {
  const chosen = {};
  for (const [name, { usual, of }] of Object.entries(PORTS)) {
    const port = Number(process.env[name] || usual);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Stop(`${name}=${process.env[name]} is not a port`);
    const twin = Object.keys(chosen).find((other) => chosen[other] === port);
    if (twin) throw new Stop(`${name} and ${twin} are both ${port}`);
    if (await taken(port)) {
      throw new Stop(
        `port ${port}, for ${of}, is taken: end what listens there, or choose another, e.g. \`${name}=${port + 1000} npm start\``,
      );
    }
    chosen[name] = port;
  }
  return chosen;
}

function taken(port) {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error) => (error.code === "EADDRINUSE" ? resolve(true) : reject(error)));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(false)));
  });
}

/**
 * Starts everything and writes .dev/devnet.json, which goes away with this process. `onEnd` hears of a part that ended by itself.
 * @param {{ports: Record<keyof PORTS, number>, onEnd: (what: string) => void}} options
 */
export async function startDevnet({ ports, onEnd }) {
  takeFolder();
  const { rpc, pid, contracts, payers, settlement } = await step("Abstract testnet: anvil with the token and the escrows", () =>
    startChain("abstract-testnet", ports.ANVIL_PORT),
  );
  const base = await step("Base Sepolia: anvil with Circle’s token and an escrow", () =>
    startChain("base-sepolia", ports.BASE_ANVIL_PORT),
  );
  setInterval(() => {
    if (!alive(pid) || !alive(base.pid)) onEnd("a chain");
  }, 1000).unref();
  const origin = await startOrigin({ port: ports.ORIGIN_PORT });
  const secrets = {
    MPP_SECRET_KEY: randomBytes(32).toString("hex"),
    SETTLEMENT_PRIVATE_KEY: settlement.privateKey,
    RPC_URL_ABSTRACT_TESTNET: rpc,
    RPC_URL_BASE_SEPOLIA: base.rpc,
    ADMIN_TOKEN: randomBytes(24).toString("base64url"),
  };
  const token = tokenOf(contracts);
  // Only the payee can settle and close a channel: who is paid has to be the account that sends.
  const recipient = settlement.address;
  const rails = [
    { network: "abstract-testnet", token, evmEscrow: contracts.evmEscrow },
    { network: "base-sepolia", token: tokenOf(base.contracts), evmEscrow: base.contracts.evmEscrow },
  ];
  const config = writeConfiguration({ rails, recipient, origin: origin.url, secrets });
  const gateway = `http://127.0.0.1:${ports.GATEWAY_PORT}`;
  await step("gateway: the built worker in wrangler dev", () =>
    startGateway({ config, gateway, port: ports.GATEWAY_PORT, onEnd }),
  );

  const devnet = {
    gateway,
    origin: origin.url,
    rpc,
    chainId: CHAIN_ID,
    token: token.address,
    tokenName: token.name,
    tokenVersion: token.version,
    escrow: contracts.escrow,
    evmEscrow: contracts.evmEscrow,
    recipient,
    settlementAccount: settlement.address,
    adminToken: secrets.ADMIN_TOKEN,
    base: { rpc: base.rpc, chainId: NETWORKS["base-sepolia"].chainId, token: base.contracts.token },
    payers,
    routes: ROUTES,
  };
  const file = at(".dev/devnet.json");
  writeFileSync(file, `${JSON.stringify(devnet, null, 2)}\n`, { mode: 0o600 });
  process.once("exit", () => rmSync(file, { force: true }));
  return devnet;
}

/** One devnet in a folder: a second would take the first one's storage away. */
function takeFolder() {
  const lock = at(".dev/lock");
  mkdirSync(at(".dev/logs"), { recursive: true });
  const holder = Number(readOr(lock, "0"));
  if (holder && holder !== process.pid && alive(holder)) {
    throw new Stop(`a devnet of this folder is running already (process ${holder})`);
  }
  writeFileSync(lock, `${process.pid}`);
  process.once("exit", () => rmSync(lock, { force: true }));
  // The chain begins anew each time, so what the gateway remembers of the last one would be wrong.
  for (const name of ["state", "devnet.json", ".wrangler"]) rmSync(at(".dev", name), { recursive: true, force: true });
}

function readOr(path, otherwise) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

const tokenOf = ({ token, tokenName, tokenVersion }) => ({
  address: token,
  name: tokenName,
  version: tokenVersion,
  decimals: DECIMALS,
});

async function startChain(network, port) {
  const { rpc, pid } = await startAnvil({ network, port });
  const contracts = await placeContracts(rpc, network);
  const [settlement, ...payers] = accounts(5);
  await Promise.all(payers.map(({ address }) => mint(rpc, address, FUNDS, contracts.token)));
  return { rpc, pid, contracts, settlement, payers };
}

/** wrangler.toml as it is deployed, with this machine's chain, origin and routes; secrets go into a file of their own. */
function writeConfiguration({ rails, recipient, origin, secrets }) {
  const { build: _, main, vars, ...worker } = parse(readFileSync(at("wrangler.toml"), "utf8"));
  // What is deployed with one rail runs with two here.
  const { network: _1, chainId: _2, rpcUrls: _3, escrow: _4, realm: _5, ...gateway } = vars?.gateway ?? {};
  // Many clients deposit what is suggested, and next to nothing where nothing is.
  const session = { suggestedDeposit: "1", ...gateway.session };
  const local = {
    ...gateway,
    recipient,
    rails,
    session,
    origin: { url: origin },
    routes: ROUTES,
  };
  const config = at(".dev/wrangler.json");
  const content = { ...worker, main: join("..", main), vars: { ...vars, gateway: local } };
  writeFileSync(config, `${JSON.stringify(content, null, 2)}\n`);
  const lines = Object.entries(secrets).map(([name, value]) => `${name}="${value}"\n`);
  rmSync(at(".dev/.dev.vars"), { force: true });
  writeFileSync(at(".dev/.dev.vars"), lines.join(""), { mode: 0o600 });
  return config;
}

let following = false;

/** From now on shows what the gateway logs; until then it is in .dev/logs/gateway.log only. */
export function followGateway() {
  following = true;
}

async function startGateway({ config, gateway, port, onEnd }) {
  const child = start(
    [
      ...[npmBin("wrangler"), "dev", "--config", config, "--persist-to", at(".dev/state")],
      ...["--ip", "127.0.0.1", "--port", `${port}`, "--inspector-port", "0", "--show-interactive-dev-session=false"],
    ],
    { cwd: at(".dev") },
  );
  const log = createWriteStream(at(".dev/logs/gateway.log"));
  const recent = [];
  let up = false;
  let broken = false;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      log.write(`${line}\n`);
      recent.push(line);
      if (recent.length > 40) recent.shift();
      broken ||= line.includes("Build failed");
      if (following && line.trim()) say(`gateway │ ${line}`);
    });
  }
  let ended = false;
  child.once("exit", () => {
    ended = true;
    if (up) onEnd("the gateway");
  });
  for (const deadline = Date.now() + 60_000; ; await sleep(50)) {
    if (broken) await sleep(500);
    if (ended || broken || Date.now() > deadline) {
      throw new Stop(`the gateway did not come up; it said:\n${recent.join("\n")}`);
    }
    const answer = await fetch(`${gateway}/__mpp/health`, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
    if (!answer) continue;
    const health = await answer.text();
    up = true;
    if (!answer.ok) throw new Stop(`the gateway says that it is not well (${answer.status}): ${health}`);
    return;
  }
}
