// A client of sessions (method `abstract`), in one file and with viem alone: copy it.
//
//   const session = new Session({ account, rpc, chainId, token, escrow, deposit: 1_000_000n });
//   const response = await session.fetch("https://api.example.com/v1/quote");
//   for await (const { data } of session.events("https://api.example.com/v1/ticker")) console.log(data);
//   await session.close();
//
// It keeps its own books: it pays for what it got, whatever the other side says. One call at a time.

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
  /** What was signed away so far, and what was got for it, in base units. */
  signed = 0n;
  received = 0n;
  #challenges = new Map();

  /**
   * @param {object} options
   * @param {import("viem").LocalAccount} options.account the payer
   * @param {string} options.rpc
   * @param {number} options.chainId with `token` and `escrow` what the payer trusts: nothing else is paid with or into
   * @param {bigint} options.deposit in base units, the most that can be lost
   */
  constructor({ account, rpc, chainId, token, escrow, deposit }) {
    Object.assign(this, { account, chainId, token, escrow, deposit });
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

  /** `fetch`, paid for. */
  fetch(url, init = {}) {
    return this.#buy(url, init, 1n, true);
  }

  /**
   * The events of a stream that is paid by the event, each {event, data}. `ahead` events are paid for at a time; when they are used
   * up the stream pauses until another voucher has come.
   */
  async *events(url, { ahead = 10n, onNeedVoucher = () => {} } = {}) {
    const response = await this.#buy(url, { headers: { accept: "text/event-stream" } }, ahead, false);
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    const challenge = await this.challenge(url);
    let whole = false;
    try {
      for await (const { event, data } of serverSentEvents(response.body)) {
        if (event === "payment-need-voucher") {
          const voucher = await this.#voucher(challenge, ahead);
          const { requiredCumulative } = JSON.parse(data);
          if (BigInt(requiredCumulative) > BigInt(voucher.cumulativeAmount)) {
            throw new Error(`asked for ${requiredCumulative}, but ${this.received} is what came`);
          }
          onNeedVoucher(voucher);
          const { ok, status } = await this.#send(url, { method: "HEAD" }, challenge, voucher);
          if (!ok) throw new Error(`${status} to a voucher`);
          this.signed = BigInt(voucher.cumulativeAmount);
        } else if (event === "payment-receipt") {
          this.receipt = JSON.parse(data);
          whole = true;
        } else {
          this.received += BigInt(challenge.terms.amount);
          yield { event, data };
        }
      }
    } finally {
      // Left early: how much more was on its way only the gateway knows, so all that was signed for it counts as received.
      if (!whole) this.received = this.signed;
    }
  }

  /** Ends the session: the recipient gets what was signed, the payer what is left. Returns the gateway's receipt. */
  async close() {
    const challenge = await this.challenge(this.url);
    // Where the chain has shown the last voucher it proves nothing any more: anybody could send it.
    const message = `mpp-edge channel ${this.channelId.toLowerCase()} challenge ${challenge.id}`;
    const proof = await this.account.signMessage({ message });
    const payload = { ...(await this.#sign(this.signed)), action: "close", proof };
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

  async #buy(url, init, units, whole) {
    if (!this.channelId) await this.open(url);
    this.url = url;
    const challenge = await this.challenge(url, init);
    const voucher = await this.#voucher(challenge, units);
    // The first one tells the gateway of the channel.
    const payload = this.signed > 0n ? voucher : { ...voucher, action: "open", txHash: this.opening.transactionHash };
    const response = await this.#send(url, init, challenge, payload);
    // Refused, or not delivered by the origin: nothing was charged, and the same voucher buys next time.
    if ([402, 408, 425, 429].includes(response.status) || response.status >= 500) return response;
    this.signed = BigInt(voucher.cumulativeAmount);
    if (whole) this.received += BigInt(challenge.terms.amount);
    return response;
  }

  /** A voucher for everything so far and `units` more. Each buys once, so that it has to be above the last one. */
  #voucher({ terms }, units) {
    const enough = this.received + BigInt(terms.amount) * units;
    const total = enough > this.signed ? enough : this.signed + 1n;
    if (total > this.deposit) throw new Error(`the deposit of ${this.deposit} is used up`);
    return this.#sign(total);
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
        if (receipt) this.receipt = JSON.parse(Buffer.from(receipt, "base64url").toString());
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
