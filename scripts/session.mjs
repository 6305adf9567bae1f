// A client of sessions (method `abstract`), in one file and with viem alone: copy it.
//
//   const session = new Session({ account, rpc, chainId, token, escrow, deposit: 1_000_000n });
//   const response = await session.fetch("https://api.example.com/v1/quote");
//   for await (const { data } of session.events("https://api.example.com/v1/ticker")) console.log(data);
//   await session.close();
//
// It keeps books by the receipts, and believes them as far as something came: it never signs for more than what it got and the next
// thing (of a stream: the next few). One call at a time.

import { setTimeout as sleep } from "node:timers/promises";
import {
  createPublicClient,
  createWalletClient,
  erc20Abi,
  http,
  isAddressEqual,
  parseAbi,
  parseEventLogs,
  zeroAddress,
} from "viem";
import { generatePrivateKey as randomBytes32 } from "viem/accounts";

export const ESCROW_ABI = parseAbi([
  "function open(address payee, address token, uint128 deposit, bytes32 salt, address authorizedSigner) returns (bytes32)",
  "function close(bytes32 channelId, uint128 cumulativeAmount, bytes signature)",
  "event ChannelOpened(bytes32 indexed channelId, address indexed payer, address indexed payee, address token, address authorizedSigner, bytes32 salt, uint256 deposit)",
]);

const VOUCHER = {
  Voucher: [
    { name: "channelId", type: "bytes32" },
    { name: "cumulativeAmount", type: "uint128" },
  ],
};

export class Session {
  /** What was signed away so far, and what was got for it and charged, in base units. */
  signed = 0n;
  received = 0n;
  /** What came without a word of what it cost: at the most this much more is owed. */
  #open = 0n;
  /** The highest voucher that may have bought: each buys once. */
  #used = 0n;
  #challenges = new Map();

  /**
   * @param {object} options
   * @param {import("viem").LocalAccount} options.account the payer
   * @param {string} options.rpc
   * @param {number} options.chainId with `token` and `escrow` what the payer trusts: nothing else is paid with or into
   * @param {bigint} options.deposit in base units, the most that can be lost on a channel; when one has ended, another is opened.
   *   `former` lists the ids of those
   */
  constructor({ account, rpc, chainId, token, escrow, deposit }) {
    Object.assign(this, { account, chainId, token, escrow, deposit, former: [] });
    this.chain = createPublicClient({ transport: http(rpc), pollingInterval: 200 });
    this.wallet = createWalletClient({ account, transport: http(rpc) });
  }

  /** Puts the deposit into the escrow, for whom `url` asks to pay. Two transactions of the payer, one if the allowance is there. */
  async open(url) {
    const { recipient } = (await this.challenge(url)).terms;
    const { token, escrow, deposit } = this;
    const owner = this.account.address;
    const allowance = { address: token, abi: erc20Abi, functionName: "allowance", args: [owner, escrow] };
    if ((await this.chain.readContract(allowance)) < deposit) {
      this.approval = await this.#transact({ address: token, abi: erc20Abi, functionName: "approve", args: [escrow, deposit] });
    }
    // No signer of its own: the payer signs the vouchers. A salt makes every channel another one.
    const args = [recipient, token, deposit, randomBytes32(), zeroAddress];
    this.opening = await this.#transact({ address: escrow, abi: ESCROW_ABI, functionName: "open", args });
    const [opened] = parseEventLogs({ abi: ESCROW_ABI, eventName: "ChannelOpened", logs: this.opening.logs });
    this.channelId = opened.args.channelId;
  }

  /** `fetch`, paid for. (A `POST` without a body, and `HEAD`, only hand a voucher in: nothing is sold that way.) */
  async fetch(url, init = {}) {
    const { response, amount } = await this.#buy(url, init, 1n);
    if (response.receipt) this.#learn(response.receipt.spent, response.receipt.units > 0 ? amount : 0n);
    else if (isAnswer(response)) this.#open += amount;
    return response;
  }

  /**
   * The events of a stream that is paid by the event, each {event, data}. `ahead` events are paid for at a time; when they are used
   * up the stream pauses until another voucher has come.
   */
  async *events(url, { ahead = 10n, onNeedVoucher = () => {} } = {}) {
    const { response, challenge, amount } = await this.#buy(url, { headers: { accept: "text/event-stream" } }, ahead);
    if (!response.ok) {
      if (isAnswer(response)) this.#open += amount;
      throw new Error(`${response.status} ${await response.text()}`);
    }
    let got = 0n;
    let charged;
    try {
      for await (const { event, data } of serverSentEvents(response.body)) {
        if (event === "payment-need-voucher") {
          const voucher = await this.#voucher(this.received + got + amount * ahead);
          const { requiredCumulative } = JSON.parse(data);
          if (BigInt(requiredCumulative) > BigInt(voucher.cumulativeAmount)) {
            throw new Error(`asked for ${requiredCumulative}, but ${this.received + got} is what came`);
          }
          onNeedVoucher(voucher);
          const { ok, status } = await this.#send(url, { method: "HEAD" }, challenge, voucher);
          if (!ok) throw new Error(`${status} to a voucher`);
        } else if (event === "payment-receipt") {
          this.receipt = JSON.parse(data);
          charged = this.receipt.spent;
        } else {
          got += amount;
          yield { event, data };
        }
      }
    } finally {
      if (charged !== undefined) this.#learn(charged, got);
      // Left early, or broken off: how much more was on its way only the gateway knows, and says with the next answer.
      else {
        this.received += got;
        this.#open = max(this.signed - this.received, 0n);
      }
    }
  }

  /** Ends the session: the recipient gets what was received, the payer what is left. Returns the gateway's receipt. */
  async close() {
    const challenge = await this.challenge(this.url);
    // Where the chain has shown the last voucher it proves nothing any more: anybody could send it.
    const message = `mpp-edge channel ${this.channelId.toLowerCase()} challenge ${challenge.id}`;
    const proof = await this.account.signMessage({ message });
    const payload = { ...(await this.#sign(this.received)), action: "close", proof };
    const response = await this.#send(this.url, { method: "POST" }, challenge, payload);
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return this.receipt;
  }

  /** What `url` asks for: its challenge, which is good for many requests, with the decoded `terms`. */
  async challenge(url, init = {}) {
    const known = this.#challenges.get(url);
    if (known && Date.parse(known.expires) > Date.now() + 10_000) return known;
    const response = await fetch(url, init);
    await response.body?.cancel();
    const challenge = parseChallenges(response.headers.get("www-authenticate") ?? "").find(
      ({ method, intent, terms }) =>
        method === "abstract" &&
        intent === "session" &&
        terms.methodDetails.chainId === this.chainId &&
        isAddressEqual(terms.methodDetails.escrowContract, this.escrow) &&
        isAddressEqual(terms.currency, this.token),
    );
    if (response.status !== 402 || !challenge) throw new Error(`${response.status}: ${url} offers no session that would do`);
    this.#challenges.set(url, challenge);
    return challenge;
  }

  /** Sends a request with a voucher for everything so far and `units` more. What is refused for a reason that can be mended is tried once more. */
  async #buy(url, init, units, again = true) {
    if (!this.channelId) await this.open(url);
    this.url = url;
    const challenge = await this.challenge(url, init);
    const amount = BigInt(challenge.terms.amount);
    const voucher = await this.#voucher(this.received + amount * units);
    // The first one tells the gateway of the channel.
    const payload = this.#used > 0n ? voucher : { ...voucher, action: "open", txHash: this.opening.transactionHash };
    const response = await this.#send(url, init, challenge, payload);
    if (again && (response.status === 402 || response.status === 410) && (await this.#mends(url, response, amount * units))) {
      return this.#buy(url, init, units, false);
    }
    // Without a receipt perhaps nothing was charged: the same voucher is tried next time, and if it has bought we are told so.
    if (response.receipt?.units > 0) this.#used = max(this.#used, BigInt(voucher.cumulativeAmount));
    return { response, challenge, amount };
  }

  /** Whether it helps to ask once more: the books were behind, the challenge was old, or the channel has ended. */
  async #mends(url, response, amount) {
    const {
      type = "",
      spent,
      requiredCumulative,
    } = await response
      .clone()
      .json()
      .catch(() => ({}));
    const kind = type.slice("https://paymentauth.org/problems/".length);
    if (kind === "session/channel-not-found" || kind === "session/channel-finalized") {
      // What is left of it is the payer's: it comes back with the close, or by the escrow's requestClose and withdraw.
      this.former.push(this.channelId);
      this.channelId = undefined;
      this.signed = this.received = this.#open = this.#used = 0n;
      return true;
    }
    if (kind === "invalid-challenge" || kind === "payment-expired") return this.#challenges.delete(url);
    if (kind !== "session/insufficient-balance" || spent === undefined) return false;
    this.#learn(spent, 0n);
    const required = BigInt(requiredCumulative);
    // A voucher above all others is one unit more than what is owed, perhaps: no more than that.
    if (required > max(this.received + this.#open + amount, this.signed + 1n)) return false;
    this.#used = max(this.#used, required - 1n);
    return true;
  }

  /**
   * Believes what is said to be spent as far as it came: `got` now for certain, and some of what came before without a word. (While a
   * stream that was left is not over, what it has reserved is said to be spent as well.)
   */
  #learn(spent, got) {
    const owed = min(BigInt(spent), this.received + this.#open + got);
    this.received = min(owed, this.received + got);
    this.#open = owed - this.received;
  }

  /** A voucher for `total`, or just above the last one that has bought. */
  #voucher(total) {
    const cumulative = max(total, this.#used + 1n);
    if (cumulative > this.deposit) throw new Error(`the deposit of ${this.deposit} is used up`);
    this.signed = max(this.signed, cumulative);
    return this.#sign(cumulative);
  }

  async #sign(total) {
    const domain = { name: "Abstract Stream Channel", version: "1", chainId: this.chainId, verifyingContract: this.escrow };
    const message = { channelId: this.channelId, cumulativeAmount: total };
    const signature = await this.account.signTypedData({ domain, types: VOUCHER, primaryType: "Voucher", message });
    return { action: "voucher", channelId: this.channelId, cumulativeAmount: `${total}`, signature };
  }

  /** Sends a credential; as long as the outcome is unknown (503), the same again. */
  async #send(url, init, { terms: _, ...challenge }, payload) {
    const source = `did:pkh:eip155:${this.chainId}:${this.account.address}`;
    const credential = Buffer.from(JSON.stringify({ challenge, payload, source })).toString("base64url");
    const headers = new Headers(init.headers);
    headers.set("authorization", `Payment ${credential}`);
    for (let tries = 0; ; tries += 1) {
      const response = await fetch(url, { ...init, headers });
      if (response.status !== 503 || tries === 5) {
        const receipt = response.headers.get("payment-receipt");
        if (receipt) this.receipt = response.receipt = JSON.parse(Buffer.from(receipt, "base64url").toString());
        return response;
      }
      await response.body?.cancel();
      await sleep(Number(response.headers.get("retry-after") ?? 1) * 1000);
    }
  }

  async #transact(call) {
    const hash = await this.wallet.writeContract({ chain: null, ...call });
    const receipt = await this.chain.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error(`${call.functionName} was reverted: ${hash}`);
    return receipt;
  }
}

const max = (a, b) => (a > b ? a : b);
const min = (a, b) => (a < b ? a : b);

/** Whether this is the origin's answer to a request that may have been charged for. */
const isAnswer = ({ status }) => status < 500 && ![402, 408, 425, 429].includes(status);

/** `Payment id="…", …, Payment id="…", …` as objects, with `request` decoded in `terms`. */
function parseChallenges(header) {
  const parsed = header.split(/(?:^|, )Payment (?=[a-z]+=")/).slice(1);
  return parsed.map((one) => {
    const parameters = [...one.matchAll(/([a-z]+)="((?:[^"\\]|\\.)*)"/g)];
    const challenge = Object.fromEntries(parameters.map(([, name, value]) => [name, value.replace(/\\(.)/g, "$1")]));
    return { ...challenge, terms: JSON.parse(Buffer.from(challenge.request, "base64url").toString()) };
  });
}

async function* serverSentEvents(body) {
  let text = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const lines = block.split(/\r?\n/).map((line) => /^(\w+): ?(.*)$/.exec(line) ?? []);
      const values = (wanted) => lines.filter(([, name]) => name === wanted).map(([, , value]) => value);
      // What holds no data is a comment, and free.
      if (values("data").length > 0) yield { event: values("event").at(-1), data: values("data").join("\n") };
    }
  }
}
