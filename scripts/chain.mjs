// The local chains: anvil under the chain id of a test network, with token and escrows at that network's addresses, so that stock
// clients work with their own defaults. Everything here is for development: the keys are anvil's well-known ones.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  domainSeparator,
  http,
  parseEther,
  publicActions,
  toHex,
} from "viem";
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from "viem/accounts";
import { compileContracts, foundryBinary } from "./contracts.mjs";

export const CHAIN_ID = 11124;
export const TOKEN = "0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61";
export const ESCROW = "0x29635C384f451a72ED2e2a312BCeb8b0bDC0923c";
/** Ours, as the method `evm` has no escrow at an address that clients would know: the end of keccak256("mpp-edge EvmPaymentChannel"). */
export const EVM_ESCROW = "0x8dBe4eBD7D07057110ce00e996f920fFC1466cD0";
export const MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11";

/**
 * The networks that can be had here, by their names in the gateway's configuration. Abstract testnet is what everything uses unless it
 * says otherwise. Base Sepolia has the token that Circle has there, which can be paused, and no escrow of the method `abstract`.
 */
export const NETWORKS = {
  "abstract-testnet": { chainId: CHAIN_ID, token: { contract: "UsdcE", address: TOKEN }, escrow: ESCROW },
  "base-sepolia": { chainId: 84532, token: { contract: "Usdc", address: "0x036CbD53842c5426634e7929541eC2318f3dCF7e" } },
};
const USUAL = "abstract-testnet";

const HOST = "127.0.0.1";
const MNEMONIC = "test test test test test test test test test test test junk";
const START_TIMEOUT_MS = 15_000;

/** @type {ReturnType<typeof compileContracts> | undefined} looked at once in a process, not at each mint */
let compiled;
function artifacts() {
  compiled ??= compileContracts();
  return compiled;
}

/**
 * Starts anvil and waits until it answers. It ends with `stop()`, and with this process however that ends.
 * @param {{ network?: keyof NETWORKS, port?: number, blockTime?: number, extraArgs?: string[] }} [options] port 0 picks a free one;
 *   blockTime in seconds, left out: a block for each transaction
 * @returns {Promise<{ rpc: string, pid: number, stop: () => Promise<void> }>}
 */
export async function startAnvil({ network = USUAL, port = 8545, blockTime, extraArgs = [] } = {}) {
  const expected = NETWORKS[network].chainId;
  // Asked beforehand, because otherwise whoever holds the port would answer our questions in anvil's place.
  const usedPort = await freePort(port);
  const args = ["--host", HOST, "--port", `${usedPort}`, "--chain-id", `${expected}`, "--quiet"];
  if (blockTime !== undefined) args.push("--block-time", `${blockTime}`);
  // In a process group of its own: Ctrl-C goes to the parent, which decides about the order in which things end.
  const anvil = spawn(foundryBinary("anvil"), [...args, ...extraArgs], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const guard = endWithParent(anvil);
  let complaint = "";
  anvil.stderr.on("data", (chunk) => {
    complaint = `${complaint}${chunk}`.slice(-2000);
  });
  const ended = new Promise((resolve) => {
    anvil.once("error", (error) => resolve(error.message));
    anvil.once("exit", (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
  });
  let alive = true;
  ended.then(() => {
    alive = false;
    guard.release();
  });
  const stop = async () => {
    anvil.ref();
    if (alive) anvil.kill("SIGTERM");
    const late = setTimeout(() => anvil.kill("SIGKILL"), 3000);
    await ended;
    clearTimeout(late);
  };

  const rpc = `http://${HOST}:${usedPort}`;
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const chainId = await askChainId(rpc);
    if (!alive) throw new Error(`anvil did not start: ${await ended}\n${complaint}`.trim());
    if (chainId === expected) break;
    if (Date.now() > deadline) {
      await stop();
      throw new Error(`anvil did not answer at ${rpc} within ${START_TIMEOUT_MS / 1000} s\n${complaint}`.trim());
    }
    await sleep(25);
  }
  // A chain that nobody stops must not keep a program from ending.
  anvil.unref();
  anvil.stderr.unref();
  return { rpc, pid: anvil.pid, stop };
}

/**
 * Puts token and escrows at their fixed addresses, without a transaction: no block, and no nonce of any account, is used.
 * @param {string} rpc
 * @param {keyof NETWORKS} [network] the one that `rpc` was started as
 * @returns {Promise<{ token: `0x${string}`, tokenName: string, tokenVersion: string, escrow?: `0x${string}`, evmEscrow: `0x${string}` }>}
 */
export async function placeContracts(rpc, network = USUAL) {
  const { chainId, token, escrow } = NETWORKS[network];
  const { [token.contract]: Token, AbstractStreamChannel, EvmPaymentChannel } = await artifacts();
  const client = testClient(rpc);
  await place(client, token.address, Token.bytecode);
  if (escrow) await place(client, escrow, AbstractStreamChannel.bytecode);
  await place(client, EVM_ESCROW, EvmPaymentChannel.bytecode);
  await place(client, MULTICALL3, await multicall3Bytecode());

  const read = (address, { abi }, functionName) => client.readContract({ address, abi, functionName });
  const [tokenName, tokenVersion] = await Promise.all(["name", "version"].map((field) => read(token.address, Token, field)));
  // A separator for another address is the one thing that goes wrong silently when code is put somewhere without its constructor.
  const requireDomain = async (name, version, verifyingContract, contract, functionName) => {
    const found = await read(verifyingContract, contract, functionName);
    const wanted = domainSeparator({ domain: { name, version, chainId, verifyingContract } });
    if (found !== wanted) throw new Error(`${name} at ${verifyingContract}: domain separator ${found}, expected ${wanted}`);
  };
  await requireDomain(tokenName, tokenVersion, token.address, Token, "DOMAIN_SEPARATOR");
  if (escrow) await requireDomain("Abstract Stream Channel", "1", escrow, AbstractStreamChannel, "domainSeparator");
  await requireDomain("EVM Payment Channel", "1", EVM_ESCROW, EvmPaymentChannel, "domainSeparator");
  return { token: token.address, tokenName, tokenVersion, escrow, evmEscrow: EVM_ESCROW };
}

/**
 * Gives an address tokens out of nothing and waits until they are there (with a block time: for the next block).
 * @param {string} rpc
 * @param {`0x${string}`} address
 * @param {bigint} amount in base units: 1_000_000n is 1 USDC
 * @param {`0x${string}`} [token] one of NETWORKS
 */
export async function mint(rpc, address, amount, token = TOKEN) {
  const { UsdcE } = await artifacts();
  const client = testClient(rpc);
  // A sender made for this one mint: no nonce is shared with the gateway, with a payer, or with a mint at the same time.
  const account = privateKeyToAccount(generatePrivateKey());
  await client.setBalance({ address: account.address, value: parseEther("1") });
  const wallet = createWalletClient({ account, transport: http(rpc) });
  const hash = await wallet.writeContract({
    address: token,
    abi: UsdcE.abi,
    functionName: "mint",
    args: [address, amount],
    chain: null,
  });
  const { status } = await client.waitForTransactionReceipt({ hash, pollingInterval: 25 });
  if (status !== "success") throw new Error(`mint of ${amount} to ${address} failed: ${hash}`);
}

/**
 * @param {string} rpc
 * @param {`0x${string}`} token
 * @param {`0x${string}`} address
 * @returns {Promise<bigint>} in base units
 */
export async function balanceOf(rpc, token, address) {
  const { UsdcE } = await artifacts();
  return testClient(rpc).readContract({ address: token, abi: UsdcE.abi, functionName: "balanceOf", args: [address] });
}

/**
 * The first n accounts of anvil's mnemonic; anvil gives the first ten 10,000 ETH each.
 * @param {number} n
 * @returns {{ address: `0x${string}`, privateKey: `0x${string}` }[]}
 */
export function accounts(n) {
  return Array.from({ length: n }, (_, addressIndex) => {
    const account = mnemonicToAccount(MNEMONIC, { addressIndex });
    return { address: account.address, privateKey: toHex(account.getHdKey().privateKey) };
  });
}

/** Runs the creation code as a call and keeps what it returns: the code with its immutables, as a deployment would leave it. */
async function place(client, address, bytecode) {
  const { data } = await client.call({ data: bytecode });
  if (!data) throw new Error(`the creation code for ${address} returned nothing`);
  await client.setCode({ address, bytecode: data });
}

/** Multicall3's own creation code, which viem carries for chains that lack it but does not export. */
async function multicall3Bytecode() {
  const { multicall3Bytecode: bytecode } = await import(new URL("./constants/contracts.js", import.meta.resolve("viem")));
  return bytecode;
}

function testClient(rpc) {
  return createTestClient({ mode: "anvil", transport: http(rpc) }).extend(publicActions);
}

async function askChainId(rpc) {
  try {
    return await createPublicClient({ transport: http(rpc, { retryCount: 0, timeout: 1000 }) }).getChainId();
  } catch {
    return undefined;
  }
}

/** @returns {Promise<number>} the port itself, or any free one for 0 */
function freePort(port) {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error) => {
      const taken = error.code === "EADDRINUSE";
      reject(taken ? new Error(`port ${port} is taken: set ANVIL_PORT to another one`, { cause: error }) : error);
    });
    probe.listen(port, HOST, () => {
      const { port: found } = probe.address();
      probe.close(() => resolve(found));
    });
  });
}

/**
 * Ends `child` with this process: at its exit, and, when it is killed without a chance to clean up, by a shell that notices that our
 * end of its stdin has gone.
 */
function endWithParent(child) {
  const watch = spawn("sh", ["-c", 'read -r _; kill -9 "$0" 2>/dev/null', `${child.pid}`], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watch.once("error", () => {});
  watch.stdin.on("error", () => {});
  watch.unref();
  watch.stdin.unref();
  const atExit = () => {
    watch.kill("SIGKILL");
    child.kill("SIGKILL");
  };
  process.once("exit", atExit);
  return {
    // As soon as the child has ended: its process id may be somebody else's next.
    release() {
      process.off("exit", atExit);
      watch.kill("SIGKILL");
    },
  };
}
