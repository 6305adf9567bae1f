// A real local chain, and what tests need to see and do on it.
import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  encodeFunctionData,
  getAddress,
  http,
  multicall3Abi,
  parseAbi,
  parseAbiItem,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { accounts, MULTICALL3, mint, NETWORKS, placeContracts, startAnvil } from "../../../scripts/chain.mjs";
import { until } from "./processes.mjs";

export const TOKEN_ABI = parseAbi([
  "function balanceOf(address) view returns (uint256)",
  "function authorizationState(address, bytes32) view returns (bool)",
  "function transfer(address, uint256) returns (bool)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
  "function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature)",
  "function blacklist(address)",
  "function unBlacklist(address)",
  "function pause()",
  "function unpause()",
]);
const TRANSFER = parseAbiItem("event Transfer(address indexed from, address indexed to, uint256 value)");

export class Chain {
  /** @param {keyof NETWORKS} network */
  static async start(network = "abstract-testnet") {
    const chain = new Chain();
    chain.network = network;
    chain.id = NETWORKS[network].chainId;
    const { rpc, stop } = await startAnvil({ network, port: 0 });
    chain.rpc = rpc;
    chain.stop = stop;
    const { token, tokenName, tokenVersion, escrow, evmEscrow } = await placeContracts(chain.rpc, network);
    chain.escrow = escrow && getAddress(escrow);
    chain.evmEscrow = getAddress(evmEscrow);
    chain.token = {
      address: getAddress(token),
      name: tokenName,
      version: tokenVersion,
      domain: { name: tokenName, version: tokenVersion, chainId: chain.id, verifyingContract: getAddress(token) },
    };
    const known = accounts(10);
    chain.accounts = known.map(({ privateKey }) => Object.assign(privateKeyToAccount(privateKey), { privateKey }));
    const viemChain = {
      id: chain.id,
      name: "local",
      nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
      rpcUrls: { default: { http: [chain.rpc] } },
    };
    const options = { chain: viemChain, transport: http(chain.rpc), pollingInterval: 50, cacheTime: 0 };
    chain.public = createPublicClient(options);
    chain.test = createTestClient({ ...options, mode: "anvil" });
    chain.wallet = createWalletClient(options);
    return chain;
  }

  mint(address, amount) {
    return mint(this.rpc, address, amount, this.token.address);
  }

  balance(address) {
    return this.public.readContract({
      address: this.token.address,
      abi: TOKEN_ABI,
      functionName: "balanceOf",
      args: [address],
    });
  }

  used(authorization) {
    return this.public.readContract({
      address: this.token.address,
      abi: TOKEN_ABI,
      functionName: "authorizationState",
      args: [authorization.from, authorization.nonce],
    });
  }

  /** Transactions of `address` that were mined. */
  transactions(address) {
    return this.public.getTransactionCount({ address });
  }

  /** Every transfer of the token to `to` since genesis. */
  transfersTo(to) {
    return this.public.getLogs({
      address: this.token.address,
      event: TRANSFER,
      args: { to },
      fromBlock: 0n,
      toBlock: "latest",
    });
  }

  /** Transactions that wait in the pool, of one sender. */
  async waiting(address) {
    const pool = await this.test.getTxpoolContent();
    const of = (part) => {
      const found = Object.entries(part).find(([sender]) => sender.toLowerCase() === address.toLowerCase());
      return found ? Object.values(found[1]) : [];
    };
    return [...of(pool.pending), ...of(pool.queued)];
  }

  /** Resolves with the pool's transactions of `address` once there are `count`. */
  async submitted(address, count = 1) {
    return until(async () => {
      const list = await this.waiting(address);
      return list.length >= count && list;
    }, `${count} waiting transaction(s) of ${address}`);
  }

  pauseMining() {
    return this.test.setAutomine(false);
  }

  async resumeMining() {
    await this.test.setAutomine(true);
    await this.test.mine({ blocks: 1 });
  }

  mine(blocks = 1) {
    return this.test.mine({ blocks });
  }

  /** The chain's clock jumps ahead, with a block that says so. The gateway's own clock does not. */
  async travel(seconds) {
    await this.test.increaseTime({ seconds });
    await this.mine();
  }

  /** The last `depth` blocks never happened: as many empty ones take their place, and their transactions are in no pool. */
  reorganise(depth) {
    return this.test.request({ method: "anvil_reorg", params: [depth, []] });
  }

  /** Any account puts a signed authorization on chain by itself (v, r, s form). */
  submit(authorization, sender, overrides = {}) {
    return this.callToken("transferWithAuthorization", transferArguments(authorization), sender, overrides);
  }

  /** Puts several authorizations on chain in one transaction, in this order. */
  submitTogether(authorizations, sender, overrides = {}) {
    const calls = authorizations.map((authorization) => ({
      target: this.token.address,
      allowFailure: false,
      callData: encodeFunctionData({
        abi: TOKEN_ABI,
        functionName: "transferWithAuthorization",
        args: transferArguments(authorization),
      }),
    }));
    return this.wallet.writeContract({
      account: sender,
      address: MULTICALL3,
      abi: multicall3Abi,
      functionName: "aggregate3",
      args: [calls],
      gas: 1_000_000n,
      ...overrides,
    });
  }

  /** Calls the token from `sender`. */
  callToken(functionName, args, sender, overrides = {}) {
    return this.wallet.writeContract({
      account: sender,
      address: this.token.address,
      abi: TOKEN_ABI,
      functionName,
      args,
      gas: 200_000n,
      ...overrides,
    });
  }

  /** A plain transfer of native money: what another user of the same key would send. */
  spendNonce(sender, overrides = {}) {
    return this.wallet.sendTransaction({ account: sender, to: sender.address, value: 0n, ...overrides });
  }
}

function transferArguments({ from, to, value, validAfter, validBefore, nonce, signature }) {
  const [r, s] = [signature.slice(0, 66), `0x${signature.slice(66, 130)}`];
  const v = Number.parseInt(signature.slice(130), 16);
  return [from, to, value, validAfter, validBefore, nonce, v, r, s];
}
