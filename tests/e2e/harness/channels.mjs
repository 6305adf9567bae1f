// Payment channels as a payer has them: opened on chain, vouchers and authorizations signed, state and events read. Nothing here
// knows the gateway. Written from WIRE.md and the draft, so that tests can also break every rule.
import { randomBytes } from "node:crypto";
import { encodeAbiParameters, getAddress, keccak256, maxUint256, parseAbi, zeroAddress } from "viem";
import { CHAIN_ID } from "../../../scripts/chain.mjs";

export const ESCROW_ABI = parseAbi([
  "struct Channel { bool finalized; uint64 closeRequestedAt; address payer; address payee; address token; address authorizedSigner; uint128 deposit; uint128 settled; }",
  "function open(address payee, address token, uint128 deposit, bytes32 salt, address authorizedSigner) returns (bytes32)",
  "function topUp(bytes32 channelId, uint256 additionalDeposit)",
  "function settle(bytes32 channelId, uint128 cumulativeAmount, bytes signature)",
  "function close(bytes32 channelId, uint128 cumulativeAmount, bytes signature)",
  "function requestClose(bytes32 channelId)",
  "function withdraw(bytes32 channelId)",
  "function getChannel(bytes32 channelId) view returns (Channel)",
  "function CLOSE_GRACE_PERIOD() view returns (uint64)",
  "function openWithAuthorization(address payee, address token, uint128 deposit, bytes32 salt, address authorizedSigner, address from, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) returns (bytes32)",
  "function topUpWithAuthorization(bytes32 channelId, uint128 additionalDeposit, address from, bytes32 topUpSalt, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
  "event ChannelOpened(bytes32 indexed channelId, address indexed payer, address indexed payee, address token, address authorizedSigner, bytes32 salt, uint256 deposit)",
  "event Settled(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 cumulativeAmount, uint256 deltaPaid, uint256 newSettled)",
  "event TopUp(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 additionalDeposit, uint256 newDeposit)",
  "event ChannelClosed(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 settledToPayee, uint256 refundedToPayer)",
]);
const APPROVE = parseAbi(["function approve(address spender, uint256 value) returns (bool)"]);

/** What the two methods differ in: where their escrow stands, and the name of the domain their vouchers are signed in. */
export const METHODS = ["abstract", "evm"];
const DOMAIN_NAMES = { abstract: "Abstract Stream Channel", evm: "EVM Payment Channel" };

export const randomBytes32 = () => `0x${randomBytes(32).toString("hex")}`;
const hashOf = (types, values) =>
  keccak256(
    encodeAbiParameters(
      types.map((type) => ({ type })),
      values,
    ),
  );

/** The EIP-712 domain that vouchers of `method` are signed in. */
export function voucherDomain(method, escrow, chainId = CHAIN_ID) {
  return { name: DOMAIN_NAMES[method], version: "1", chainId, verifyingContract: escrow };
}

const VOUCHER = {
  Voucher: [
    { name: "channelId", type: "bytes32" },
    { name: "cumulativeAmount", type: "uint128" },
  ],
};

/** A voucher's signature in an escrow's domain. */
export function signVoucher(account, domain, channelId, cumulative) {
  const message = { channelId, cumulativeAmount: BigInt(cumulative) };
  return account.signTypedData({ domain, types: VOUCHER, primaryType: "Voucher", message });
}

const RECEIVE_WITH_AUTHORIZATION = {
  ReceiveWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};

/** Lets the chain's escrows take any amount from each of `payers`. */
export async function approveEscrows(chain, payers, escrows = [chain.escrow, chain.evmEscrow].filter(Boolean)) {
  for (const payer of payers) {
    for (const escrow of escrows) {
      await write(chain, payer, {
        address: chain.token.address,
        abi: APPROVE,
        functionName: "approve",
        args: [escrow, maxUint256],
      });
    }
  }
}

/** Sends a transaction of `account` and returns its receipt. Throws when it is reverted. */
async function write(chain, account, call) {
  const hash = await chain.wallet.writeContract({ account, ...call });
  const receipt = await chain.public.waitForTransactionReceipt({ hash });
  if (receipt.status !== "success") throw new Error(`${call.functionName} was reverted: ${hash}`);
  return receipt;
}

export class Channel {
  /**
   * A channel's parameters; it need not exist. `signer` is the account that signs vouchers: given and not the payer, it is the
   * channel's `authorizedSigner`.
   */
  constructor(chain, { method, payer, payee, deposit = 1_000_000n, salt = randomBytes32(), signer, escrow, token }) {
    Object.assign(this, { chain, method, payer, payee: getAddress(payee), deposit, salt });
    this.signer = signer ?? payer;
    this.authorizedSigner = signer ? signer.address : zeroAddress;
    this.escrow = escrow ?? (method === "evm" ? chain.evmEscrow : chain.escrow);
    this.token = token ?? chain.token.address;
    this.domain = voucherDomain(method, this.escrow, chain.id);
    this.id = hashOf(
      ["address", "address", "address", "bytes32", "address", "address", "uint256"],
      [payer.address, this.payee, this.token, salt, this.authorizedSigner, this.escrow, BigInt(chain.id)],
    );
  }

  /** The signature of a voucher for `cumulative`. `domain` and `account` make it a wrong one. */
  voucher(cumulative, { account = this.signer, domain = {}, channelId = this.id } = {}) {
    return signVoucher(account, { ...this.domain, ...domain }, channelId, cumulative);
  }

  /** Opens it on chain. Its transaction's hash is then in `txHash`. */
  async open() {
    const { transactionHash } = await this.send("open", [this.payee, this.token, this.deposit, this.salt, this.authorizedSigner]);
    this.txHash = transactionHash;
    return this;
  }

  /** Adds to the deposit on chain; returns the transaction's hash. */
  async topUp(amount, sender = this.payer) {
    const { transactionHash } = await this.send("topUp", [this.id, BigInt(amount)], sender);
    this.deposit += BigInt(amount);
    return transactionHash;
  }

  requestClose() {
    return this.send("requestClose", [this.id]);
  }

  withdraw() {
    return this.send("withdraw", [this.id]);
  }

  /** A transaction to the escrow, mined; returns its receipt. */
  send(functionName, args, sender = this.payer) {
    return write(this.chain, sender, { address: this.escrow, abi: ESCROW_ABI, functionName, args });
  }

  /** A transaction to the escrow that is mined and reverted; returns its hash. */
  async sendReverted(functionName, args, sender = this.payer) {
    const call = { address: this.escrow, abi: ESCROW_ABI, functionName, args, gas: 300_000n };
    const hash = await this.chain.wallet.writeContract({ account: sender, ...call });
    const { status } = await this.chain.public.waitForTransactionReceipt({ hash });
    if (status !== "reverted") throw new Error(`${functionName} was expected to be reverted`);
    return hash;
  }

  /** What the escrow says of it. */
  state() {
    return this.chain.public.readContract({
      address: this.escrow,
      abi: ESCROW_ABI,
      functionName: "getChannel",
      args: [this.id],
    });
  }

  /** Its events of one kind since genesis, oldest first: their arguments, each with its transactionHash. */
  async events(eventName) {
    const event = ESCROW_ABI.find(({ type, name }) => type === "event" && name === eventName);
    const logs = await this.chain.public.getLogs({
      address: this.escrow,
      event,
      args: { channelId: this.id },
      fromBlock: 0n,
      toBlock: "latest",
    });
    return logs.map(({ args, transactionHash }) => ({ ...args, transactionHash }));
  }

  /** A signed ReceiveWithAuthorization for the deposit, whose nonce is derived from the channel. `changes` alter what is signed. */
  openingAuthorization(changes = {}) {
    const nonce = hashOf(
      ["address", "address", "address", "bytes32", "address"],
      [this.payer.address, this.payee, this.token, this.salt, this.authorizedSigner],
    );
    return this.authorization({ value: this.deposit, nonce, ...changes });
  }

  /** The same for an addition to the deposit, which anybody (`from`, an account) can pay. */
  toppingUpAuthorization(amount, { from = this.payer, salt = randomBytes32(), ...changes } = {}) {
    const value = BigInt(amount);
    const nonce = hashOf(["bytes32", "uint128", "address", "bytes32"], [this.id, value, from.address, salt]);
    return this.authorization({ value, nonce, ...changes }, from).then((signed) => ({ ...signed, salt }));
  }

  async authorization(changes, account = this.payer) {
    const { domain = {}, ...terms } = changes;
    const authorization = {
      from: account.address,
      to: this.escrow,
      validAfter: "0",
      validBefore: String(Math.floor(Date.now() / 1000) + 3_600),
      ...terms,
    };
    const { value, validAfter, validBefore } = authorization;
    const message = {
      ...authorization,
      value: BigInt(value),
      validAfter: BigInt(validAfter),
      validBefore: BigInt(validBefore),
    };
    const signature = await account.signTypedData({
      domain: { ...this.chain.token.domain, ...domain },
      types: RECEIVE_WITH_AUTHORIZATION,
      primaryType: "ReceiveWithAuthorization",
      message,
    });
    return { authorization: { ...authorization, value: String(value) }, signature };
  }

  /** Anybody puts the opening on chain, as whoever sees the payer's authorization could. */
  submitOpening({ authorization, signature }, sender) {
    const { from, validAfter, validBefore, nonce } = authorization;
    const terms = [from, BigInt(validAfter), BigInt(validBefore), nonce, signature];
    return this.send(
      "openWithAuthorization",
      [this.payee, this.token, BigInt(authorization.value), this.salt, this.authorizedSigner, ...terms],
      sender,
    );
  }
}
