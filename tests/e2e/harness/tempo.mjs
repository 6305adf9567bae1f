// Tempo on this machine, and mppx as it pays there.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Mppx, tempo } from "mppx/client";
import { createClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { tempoModerato } from "viem/tempo/chains";
import { accounts } from "../../../scripts/chain.mjs";
import { foundryBinary } from "../../../scripts/contracts.mjs";
import { close, listen } from "./listen.mjs";
import { endWithUs, until } from "./processes.mjs";

export const CHAIN_ID = 42431;
/** pathUSD. The accounts of the chain hold more of it than anybody needs, and pay their fees in another token. */
export const TOKEN = "0x20c0000000000000000000000000000000000000";

/** A port that nobody listens on. */
async function freePort() {
  const { createServer } = await import("node:http");
  const server = createServer();
  await listen(server, 0);
  const { port } = server.address();
  await close(server);
  return port;
}

export class TempoChain {
  accounts = accounts(10).map(({ privateKey }) => Object.assign(privateKeyToAccount(privateKey), { privateKey }));
  #anvil;

  /** Blocks come by the clock: without, a call would be tried out at the time of the first one. t4 is the latest fork that anvil knows. */
  async start() {
    const port = await freePort();
    const args = [
      "--network",
      "tempo",
      "--chain-id",
      `${CHAIN_ID}`,
      "--hardfork",
      "t4",
      "--block-time",
      "1",
      "--port",
      `${port}`,
    ];
    this.#anvil = spawn(foundryBinary("anvil"), [...args, "--quiet"], { stdio: "ignore" });
    endWithUs(() => this.#anvil.kill("SIGKILL"));
    this.rpc = `http://127.0.0.1:${port}`;
    await until(
      () =>
        this.ask("eth_blockNumber").then(
          (number) => Number(number) > 0,
          () => false,
        ),
      "the chain",
    );
    const chain = { ...tempoModerato, rpcUrls: { default: { http: [this.rpc] } } };
    this.client = createClient({ chain, transport: http(this.rpc) });
    return this;
  }

  async stop() {
    this.#anvil.kill();
    await once(this.#anvil, "exit");
  }

  async ask(method, ...params) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 0, method, params });
    const answer = await fetch(this.rpc, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { result, error } = await answer.json();
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  async balance(account) {
    const data = `0x70a08231${account.slice(2).toLowerCase().padStart(64, "0")}`;
    return BigInt(await this.ask("eth_call", { to: TOKEN, data }, "latest"));
  }

  /** mppx's own client. `requests` lists what it sent: {authorization, status}. */
  mppx(account, options = {}) {
    const requests = [];
    const { fetch: paying } = Mppx.create({
      polyfill: false,
      methods: [tempo.charge({ account, getClient: () => this.client, ...options })],
      async fetch(input, init) {
        const request = new Request(input, init);
        const response = await fetch(request);
        requests.push({ authorization: request.headers.get("authorization"), status: response.status });
        return response;
      },
    });
    return { fetch: paying, requests };
  }
}
