// A chain that answers at once: JSON-RPC over HTTP, single and in batches, with what a real node would say of a token that pays,
// an account that sends and channels that are funded. A transaction is mined when it arrives, or in blocks that take so many of an
// account. Counts every call.
import http from "node:http";
import {
  decodeFunctionData,
  domainSeparator,
  encodeAbiParameters,
  encodeEventTopics,
  encodeFunctionResult,
  keccak256,
  parseAbi,
  parseTransaction,
  recoverTransactionAddress,
  toFunctionSelector,
  toHex,
} from "viem";
import { close, listen } from "../../tests/e2e/harness/listen.mjs";
import { VOUCHER_SEPARATOR } from "./setting.mjs";

const TOKEN = parseAbi([
  "function name() view returns (string)",
  "function version() view returns (string)",
  "function decimals() view returns (uint8)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
  "function balanceOf(address) view returns (uint256)",
  "function authorizationState(address, bytes32) view returns (bool)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
]);
const TRANSFERS = parseAbi([
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
]);
const ESCROW = parseAbi([
  "function getChannel(bytes32) view returns (bool finalized, uint64 closeRequestedAt, address payer, address payee, address token, address authorizedSigner, uint128 deposit, uint128 settled)",
  "function CLOSE_GRACE_PERIOD() view returns (uint64)",
  "function domainSeparator() view returns (bytes32)",
  "struct Channel { bool finalized; uint64 closeRequestedAt; address payer; address payee; address token; address authorizedSigner; uint128 deposit; uint128 settled; }",
  "function getChannelsBatch(bytes32[]) view returns (Channel[])",
]);
const ENDINGS = parseAbi([
  "function close(bytes32 channelId, uint128 cumulativeAmount, bytes signature)",
  "event ChannelClosed(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 settledToPayee, uint256 refundedToPayer)",
]);
const RICH = 10n ** 24n;
const GAS = 91_000n;
const GRACE_SECONDS = 900n;
const TRANSFER_SELECTORS = TRANSFERS.map((item) => toFunctionSelector(item));

const BATCH_SELECTOR = toFunctionSelector("getChannelsBatch(bytes32[])");
const NOBODY = "0x0000000000000000000000000000000000000000";
const NO_CHANNEL = [false, 0n, NOBODY, NOBODY, NOBODY, NOBODY, 0n, 0n];

const word = (type, value) => encodeAbiParameters([{ type }], [value]);
const now = () => BigInt(Math.floor(Date.now() / 1000));

export class ChainStub {
  /** Calls by method; `eth_call` with what is called behind a colon. */
  calls = {};
  /** Calls nobody prepared for: whatever is here makes a result worthless. */
  unknown = new Set();
  posts = 0;
  #server = http.createServer((request, response) => this.#handle(request, response));
  #setting;
  #block = 1_000_000n;
  #receipts = new Map();
  /** Transactions in blocks, by account. */
  #sent = new Map();
  /** Those that wait for a block, by account and nonce. */
  #pool = new Map();
  #closed = new Set();
  #views;
  #clock;

  /** @param {{chainId: number, token: object, escrow: string, account: string, channels: Map<string, object>,
   *   blocks?: {everyMs: number, most: number}}} setting `blocks`: when there is one, and how many transactions of an account it takes */
  constructor(setting) {
    this.#setting = setting;
    const { chainId, token } = setting;
    const domain = { name: token.name, version: token.version, chainId, verifyingContract: token.address };
    const constant = (functionName, result) => [
      toFunctionSelector(TOKEN.find(({ name }) => name === functionName)),
      [functionName, encodeFunctionResult({ abi: TOKEN, functionName, result })],
    ];
    this.#views = new Map([
      constant("name", token.name),
      constant("version", token.version),
      constant("decimals", token.decimals),
      constant("DOMAIN_SEPARATOR", domainSeparator({ domain })),
      constant("balanceOf", RICH),
      constant("authorizationState", false),
      [toFunctionSelector(ESCROW[1]), ["CLOSE_GRACE_PERIOD", word("uint64", GRACE_SECONDS)]],
      [toFunctionSelector(ESCROW[2]), ["domainSeparator", VOUCHER_SEPARATOR]],
      ...TRANSFER_SELECTORS.map((selector) => [selector, ["transferWithAuthorization", "0x"]]),
      [toFunctionSelector(ENDINGS[0]), ["close", "0x"]],
    ]);
  }

  async start() {
    this.#server.keepAliveTimeout = 0;
    await listen(this.#server, 0);
    const { blocks } = this.#setting;
    if (blocks) this.#clock = setInterval(() => this.#makeBlock(blocks.most), blocks.everyMs);
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  stop() {
    clearInterval(this.#clock);
    return close(this.#server);
  }

  /** A new chain, as fresh as a contestant's storage. */
  reset() {
    this.calls = {};
    this.posts = 0;
    this.#receipts.clear();
    this.#closed.clear();
    this.#sent.clear();
    this.#pool.clear();
  }

  async #handle(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    this.posts += 1;
    if (this.#setting.blocks) await Promise.all([body].flat().map((call) => this.#attribute(call)));
    const text = JSON.stringify(Array.isArray(body) ? body.map((call) => this.#answer(call)) : this.#answer(body));
    response.writeHead(200, { "content-type": "application/json", "content-length": `${Buffer.byteLength(text)}` });
    response.end(text);
  }

  /** Finds out whose transaction it is that is sent. */
  async #attribute(call) {
    if (call.method !== "eth_sendRawTransaction") return;
    const from = await recoverTransactionAddress({ serializedTransaction: call.params[0] });
    call.params.push(from.toLowerCase());
  }

  #answer({ id, method, params = [] }) {
    const { name, result } = this.#result(method, params);
    this.calls[name ?? method] = (this.calls[name ?? method] ?? 0) + 1;
    if (result !== undefined) return { jsonrpc: "2.0", id, result };
    this.unknown.add(name ?? method);
    return { jsonrpc: "2.0", id, error: { code: -32601, message: `the bench's chain does not know ${name ?? method}` } };
  }

  #result(method, params) {
    switch (method) {
      case "eth_chainId":
        return { result: toHex(this.#setting.chainId) };
      case "eth_blockNumber":
        return { result: toHex(this.#block) };
      case "eth_getBlockByNumber":
        return { result: this.#header() };
      case "eth_gasPrice":
        return { result: toHex(1_100_000_000n) };
      case "eth_maxPriorityFeePerGas":
        return { result: toHex(100_000_000n) };
      case "eth_getBalance":
        return { result: toHex(RICH) };
      case "eth_getTransactionCount":
        return { result: toHex(this.#count(params[0].toLowerCase(), params[1])) };
      case "eth_estimateGas":
        return { result: toHex(GAS) };
      case "eth_getLogs":
        return { result: [] };
      case "eth_getCode":
        return { result: this.#isContract(params[0]) ? "0x60" : "0x" };
      case "eth_sendRawTransaction":
        return { result: this.#send(params[0], params[1] ?? this.#setting.account.toLowerCase()) };
      case "eth_getTransactionReceipt":
        return { result: this.#receipts.get(params[0]) ?? null };
      case "eth_call":
        return this.#call(params[0]);
      default:
        return {};
    }
  }

  #isContract(address) {
    const { token, escrow } = this.#setting;
    return [token.address, escrow].some((contract) => contract.toLowerCase() === address.toLowerCase());
  }

  #header() {
    return {
      number: toHex(this.#block),
      hash: keccak256(toHex(this.#block)),
      parentHash: keccak256(toHex(this.#block - 1n)),
      timestamp: toHex(now()),
      baseFeePerGas: toHex(1_000_000_000n),
      gasLimit: toHex(30_000_000n),
      gasUsed: "0x0",
      transactions: [],
    };
  }

  #call({ data, input = data }) {
    const selector = input.slice(0, 10);
    const view = this.#views.get(selector);
    if (view) return { name: `eth_call:${view[0]}`, result: view[1] };
    if (selector === toFunctionSelector(ESCROW[0])) {
      const id = `0x${input.slice(10, 74)}`;
      const channel = this.#setting.channels.get(id);
      const shown = channel && [this.#closed.has(id), ...channel.slice(1)];
      const result = shown && encodeFunctionResult({ abi: ESCROW, functionName: "getChannel", result: shown });
      return { name: "eth_call:getChannel", result };
    }
    if (selector === BATCH_SELECTOR) {
      const [ids] = decodeFunctionData({ abi: ESCROW, data: input }).args;
      const result = ids
        .map((id) => this.#setting.channels.get(id))
        .map((channel, i) => state(channel, this.#closed.has(ids[i])));
      const functionName = "getChannelsBatch";
      return { name: `eth_call:${functionName}`, result: encodeFunctionResult({ abi: ESCROW, functionName, result }) };
    }
    return { name: `eth_call:${selector}` };
  }

  #count(account, tag) {
    const mined = this.#sent.get(account) ?? 0;
    return tag === "pending" ? mined + (this.#pool.get(account)?.size ?? 0) : mined;
  }

  /** Takes a signed transaction, a transfer or the close of a channel. */
  #send(raw, from) {
    const nonce = parseTransaction(raw).nonce ?? 0;
    if (!this.#setting.blocks) {
      this.#block += 1n;
      this.#mine(raw, from, nonce);
    } else if (nonce >= this.#count(from, "latest")) {
      if (!this.#pool.has(from)) this.#pool.set(from, new Map());
      this.#pool.get(from).set(nonce, raw);
    }
    return keccak256(raw);
  }

  /** Mines up to `most` transactions of each account, in the order of their nonces. */
  #makeBlock(most) {
    this.#block += 1n;
    for (const [from, waiting] of this.#pool) {
      for (let i = 0; i < most; i += 1) {
        const nonce = this.#count(from, "latest");
        if (!waiting.has(nonce)) break;
        this.#mine(waiting.get(nonce), from, nonce);
        waiting.delete(nonce);
      }
    }
  }

  #mine(raw, from, nonce) {
    const hash = keccak256(raw);
    const { to, data } = parseTransaction(raw);
    this.#sent.set(from, Math.max(this.#sent.get(from) ?? 0, nonce + 1));
    const place = { blockNumber: toHex(this.#block), blockHash: keccak256(toHex(this.#block)), transactionHash: hash };
    const events = TRANSFER_SELECTORS.includes(data.slice(0, 10)) ? transferred(data) : this.#ended(data);
    this.#receipts.set(hash, {
      ...place,
      transactionIndex: "0x0",
      from,
      to,
      contractAddress: null,
      status: "0x1",
      type: "0x2",
      gasUsed: toHex(GAS),
      cumulativeGasUsed: toHex(GAS),
      effectiveGasPrice: toHex(1_100_000_000n),
      logsBloom: `0x${"0".repeat(512)}`,
      logs: events.map(({ topics, data }, index) => ({
        ...place,
        address: to,
        topics,
        data,
        logIndex: toHex(index),
        transactionIndex: "0x0",
        removed: false,
      })),
    });
  }

  #ended(data) {
    const [channelId, cumulative] = decodeFunctionData({ abi: ENDINGS, data }).args;
    const [, , payer, payee, , , deposit] = this.#setting.channels.get(channelId);
    this.#closed.add(channelId);
    const topics = encodeEventTopics({ abi: ENDINGS, eventName: "ChannelClosed", args: { channelId, payer, payee } });
    return [
      { topics, data: encodeAbiParameters([{ type: "uint256" }, { type: "uint256" }], [cumulative, deposit - cumulative]) },
    ];
  }
}

/** A channel as a batch has it: one that is not there is all zeros. */
function state(channel, closed) {
  const [, closeRequestedAt, payer, payee, token, authorizedSigner, deposit, settled] = channel ?? NO_CHANNEL;
  return { finalized: closed, closeRequestedAt, payer, payee, token, authorizedSigner, deposit, settled };
}

function transferred(data) {
  const [from, to, value, , , nonce] = decodeFunctionData({ abi: TRANSFERS, data }).args;
  const topics = (eventName, args) => encodeEventTopics({ abi: TOKEN, eventName, args });
  return [
    { topics: topics("AuthorizationUsed", { authorizer: from, nonce }), data: "0x" },
    { topics: topics("Transfer", { from, to }), data: word("uint256", value) },
  ];
}
