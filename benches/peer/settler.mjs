// The account that submits the authorizations: one object, so that nonces are given once.
import { DurableObject, env } from "cloudflare:workers";
import { createPublicClient, defineChain, encodeFunctionData, http, parseAbi } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const TOKEN = parseAbi([
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
]);
const { chainId, rpcUrl, token } = env.PEER;
const chain = defineChain({
  id: chainId,
  name: "bench",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [rpcUrl] } },
});
/** Fees move slowly: they are asked for this often. */
const FEES_MS = 10_000;

export class Settler extends DurableObject {
  #account = privateKeyToAccount(env.SETTLEMENT_PRIVATE_KEY);
  #client = createPublicClient({ chain, transport: http(rpcUrl, { batch: true }), pollingInterval: 100 });
  #fees;
  #feesUntil = 0;
  #nonce;

  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS sent (nonce INTEGER PRIMARY KEY, raw TEXT)");
  }

  /** Submits an authorization and waits until it is mined. */
  async settle({ from, to, value, validAfter, validBefore, nonce: authorization, signature }) {
    const data = encodeFunctionData({
      abi: TOKEN,
      functionName: "transferWithAuthorization",
      args: [from, to, BigInt(value), BigInt(validAfter), BigInt(validBefore), authorization, signature],
    });
    // The estimate is the simulation as well: it fails for what would revert. By its address alone, because viem would have the
    // node fill in everything else for a local account.
    const call = { account: this.#account.address, to: token.address, data };
    const [gas, fees] = await Promise.all([this.#client.estimateGas(call), this.#currentFees(), this.#knowNonce()]);
    const nonce = this.#nonce;
    this.#nonce += 1;
    const raw = await this.#account.signTransaction({ chainId, to: token.address, data, nonce, gas, ...fees, type: "eip1559" });
    this.ctx.storage.sql.exec("INSERT INTO sent VALUES (?, ?)", nonce, raw);
    const hash = await this.#client.sendRawTransaction({ serializedTransaction: raw });
    const receipt = await this.#client.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error("the transfer was reverted");
    return hash;
  }

  async #knowNonce() {
    if (this.#nonce !== undefined) return;
    const count = await this.#client.getTransactionCount({ address: this.#account.address, blockTag: "pending" });
    this.#nonce ??= count;
  }

  async #currentFees() {
    if (Date.now() >= this.#feesUntil) {
      const { maxFeePerGas, maxPriorityFeePerGas } = await this.#client.estimateFeesPerGas();
      this.#fees = { maxFeePerGas, maxPriorityFeePerGas };
      this.#feesUntil = Date.now() + FEES_MS;
    }
    return this.#fees;
  }
}
