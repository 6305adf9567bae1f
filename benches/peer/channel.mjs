// One payment channel: what was signed, what was spent. One SQL write per voucher, the row kept in memory.
import { DurableObject, env } from "cloudflare:workers";
import { createPublicClient, getAddress, http, parseAbi } from "viem";

const ESCROW = parseAbi([
  "function getChannel(bytes32) view returns (bool finalized, uint64 closeRequestedAt, address payer, address payee, address token, address authorizedSigner, uint128 deposit, uint128 settled)",
]);
const NONE = "0x0000000000000000000000000000000000000000";
const client = createPublicClient({ transport: http(env.PEER.rpcUrl) });

export class Channel extends DurableObject {
  #sql;
  /** @type {{signer: string, deposit: bigint, accepted: bigint, spent: bigint} | undefined} */
  #account;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(
      "CREATE TABLE IF NOT EXISTS channel (id INTEGER PRIMARY KEY, signer TEXT, deposit TEXT, accepted TEXT, spent TEXT, signature TEXT)",
    );
    const [row] = this.#sql.exec("SELECT signer, deposit, accepted, spent FROM channel").toArray();
    if (row) {
      const { signer, deposit, accepted, spent } = row;
      this.#account = { signer, deposit: BigInt(deposit), accepted: BigInt(accepted), spent: BigInt(spent) };
    }
  }

  /** Accepts a voucher whose signer was recovered and takes `price`; undefined when either cannot be. */
  async redeem(channelId, cumulative, signer, signature, price) {
    if (!this.#account) {
      const found = await this.#adopt(channelId);
      this.#account ??= found;
    }
    const account = this.#account;
    if (account?.signer !== signer || cumulative > account.deposit) return undefined;
    const raises = cumulative > account.accepted;
    const accepted = raises ? cumulative : account.accepted;
    const spent = account.spent + price;
    if (spent > accepted) return undefined;
    account.accepted = accepted;
    account.spent = spent;
    if (raises) {
      this.#sql.exec("UPDATE channel SET accepted = ?, spent = ?, signature = ?", String(accepted), String(spent), signature);
    } else {
      this.#sql.exec("UPDATE channel SET spent = ?", String(spent));
    }
    return { accepted: String(accepted), spent: String(spent) };
  }

  /** Takes up to `units` at `price`, as many as are covered; a negative number gives back. Returns how many, and the account. */
  take(units, price) {
    const account = this.#account;
    const covered = (account.accepted - account.spent) / price;
    const taken = covered < BigInt(units) ? Number(covered) : units;
    if (taken !== 0) {
      account.spent += BigInt(taken) * price;
      this.#sql.exec("UPDATE channel SET spent = ?", String(account.spent));
    }
    return { taken, accepted: String(account.accepted), spent: String(account.spent), deposit: String(account.deposit) };
  }

  /** A channel that was opened on chain and never seen here. */
  async #adopt(channelId) {
    const { escrow, recipient, token } = env.PEER;
    const [finalized, closing, payer, payee, currency, authorized, deposit, settled] = await client.readContract({
      address: escrow,
      abi: ESCROW,
      functionName: "getChannel",
      args: [channelId],
    });
    if (finalized || closing > 0n || payee !== getAddress(recipient) || currency !== getAddress(token.address)) return undefined;
    const signer = authorized === NONE ? payer : authorized;
    this.#sql.exec(
      "INSERT OR IGNORE INTO channel VALUES (1, ?, ?, ?, ?, '')",
      signer,
      String(deposit),
      String(settled),
      String(settled),
    );
    return { signer, deposit, accepted: settled, spent: settled };
  }
}
