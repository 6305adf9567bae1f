// Makes tests/vectors/viem.json: what viem (and the curve library under it) say of typed data, calldata, transactions and
// signatures, for inputs drawn from a fixed seed. `node tests/vectors/make.mjs` writes the same file again.

import { writeFileSync } from "node:fs";
import {
  concat,
  domainSeparator,
  encodeAbiParameters,
  encodeEventTopics,
  encodeFunctionData,
  encodeFunctionResult,
  hashTypedData,
  keccak256,
  numberToHex,
  parseAbi,
  parseAbiParameters,
  parseTransaction,
  recoverAddress,
  toBytes,
  zeroAddress,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const FIELD = 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2fn;
const CASES = 64;

let counter = 0;
const word = () => keccak256(toBytes(`mpp-edge vectors ${counter++}`));
const random = () => BigInt(word());
const below = (limit) => random() % limit;
const bytes = (length) => {
  let out = "0x";
  while (out.length < 2 + length * 2) out += word().slice(2);
  return out.slice(0, 2 + length * 2);
};
/** Small, large and boundary values of a width, each now and then. */
const integer = (bits) => {
  const max = (1n << BigInt(bits)) - 1n;
  return [0n, 1n, 127n, 128n, 255n, 256n, max, below(1n << below(BigInt(bits))), below(max), below(max)][Number(below(10n))];
};
const pick = (list) => list[Number(below(BigInt(list.length)))];
const account = () => privateKeyToAccount(numberToHex(1n + below(ORDER - 1n), { size: 32 }));
const decimal = (value) => value.toString();

const types = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};
const abi = parseAbi([
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
  "function authorizationState(address authorizer, bytes32 nonce) view returns (bool)",
]);

const authorizations = [];
for (let i = 0; i < CASES; i += 1) {
  const payer = account();
  const domain = {
    name: pick(["USD Coin", "Bridged USDC (Stargate)", "", "Ünïcode € coin", "x".repeat(200)]),
    // Not empty: viem then leaves the field out of the domain's type, which is another domain.
    version: pick(["1", "2", "ü", "2.2"]),
    chainId: Number(1n + integer(52)),
    verifyingContract: bytes(20),
  };
  const message = {
    from: payer.address,
    to: bytes(20),
    value: integer(128),
    validAfter: integer(64),
    validBefore: integer(64),
    nonce: word(),
  };
  const typed = { domain, types, primaryType: "TransferWithAuthorization", message };
  const signature = await payer.signTypedData(typed);
  const [r, s, v] = [signature.slice(0, 66), `0x${signature.slice(66, 130)}`, Number.parseInt(signature.slice(130), 16)];
  const { from, to, value, validAfter, validBefore, nonce } = message;
  authorizations.push({
    name: domain.name,
    version: domain.version,
    chainId: domain.chainId,
    contract: domain.verifyingContract,
    authorization: {
      from: from.toLowerCase(),
      to,
      value: decimal(value),
      validAfter: decimal(validAfter),
      validBefore: decimal(validBefore),
      nonce,
    },
    separator: domainSeparator({ domain }),
    digest: hashTypedData(typed),
    signature,
    transferCall: encodeFunctionData({
      abi,
      functionName: "transferWithAuthorization",
      args: [from, to, value, validAfter, validBefore, nonce, v, r, s],
    }),
    stateCall: encodeFunctionData({ abi, functionName: "authorizationState", args: [from, nonce] }),
  });
}

const transactions = [];
for (let i = 0; i < CASES; i += 1) {
  const privateKey = numberToHex(1n + below(ORDER - 1n), { size: 32 });
  const legacy = i % 2 === 1;
  const chainId = Number(1n + integer(legacy ? 50 : 52));
  const nonce = Number(integer(53));
  const [gas, maxFee] = [integer(64), integer(128)];
  const priorityFee = below(maxFee + 1n);
  const to = bytes(20);
  const data = bytes(Number(pick([0n, 0n, 1n, 55n, 56n, 228n, 300n])));
  const fees = legacy
    ? { type: "legacy", gasPrice: maxFee }
    : { type: "eip1559", maxFeePerGas: maxFee, maxPriorityFeePerGas: priorityFee };
  const raw = await privateKeyToAccount(privateKey).signTransaction({ chainId, nonce, gas, to, data, ...fees });
  parseTransaction(raw);
  transactions.push({
    privateKey,
    chainId,
    nonce,
    gas: decimal(gas),
    to,
    data,
    ...(legacy ? { gasPrice: decimal(maxFee) } : { maxFee: decimal(maxFee), priorityFee: decimal(priorityFee) }),
    raw,
    hash: keccak256(raw),
  });
}

// Signatures nobody made: any r that is the x of a point belongs to some key. `signer` is null where there is none.
const recoveries = [];
const half = ORDER / 2n;
const edges = [0n, 1n, 2n, 3n, half, half + 1n, ORDER - 1n, ORDER, ORDER + 1n, FIELD - ORDER, FIELD - 1n, FIELD, (1n << 256n) - 1n];
const scalars = (round) => (round < edges.length ? edges[round] : below(ORDER));
for (let i = 0; i < CASES * 2; i += 1) {
  const digest = pick([word(), word(), word(), `0x${"00".repeat(32)}`, `0x${"ff".repeat(32)}`]);
  const r = i < CASES ? scalars(i) : below(ORDER);
  const s = i < CASES ? below(half) : scalars(i - CASES);
  const v = pick([27n, 28n]);
  const canonical = r > 0n && r < ORDER && s > 0n && s <= half;
  const signature = concat([numberToHex(r, { size: 32 }), numberToHex(s, { size: 32 }), numberToHex(v, { size: 1 })]);
  const signer = canonical ? await recoverAddress({ hash: digest, signature }).catch(() => null) : null;
  recoveries.push({ digest, signature, canonical, signer: signer?.toLowerCase() ?? null });
}

const keys = [1n, 2n, half, ORDER - 1n].map((scalar) => {
  const privateKey = numberToHex(scalar, { size: 32 });
  return { privateKey, address: privateKeyToAccount(privateKey).address.toLowerCase() };
});

// Channels: what identifies one, what is signed for it, what is sent to its escrow, and what that answers and logs.
const escrowAbi = parseAbi([
  "struct Channel { bool finalized; uint64 closeRequestedAt; address payer; address payee; address token; address authorizedSigner; uint128 deposit; uint128 settled; }",
  "function getChannel(bytes32 channelId) view returns (Channel)",
  "function CLOSE_GRACE_PERIOD() view returns (uint64)",
  "function domainSeparator() view returns (bytes32)",
  "function settle(bytes32 channelId, uint128 cumulativeAmount, bytes signature)",
  "function close(bytes32 channelId, uint128 cumulativeAmount, bytes signature)",
  "function openWithAuthorization(address payee, address token, uint128 deposit, bytes32 salt, address authorizedSigner, address from, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) returns (bytes32)",
  "function topUpWithAuthorization(bytes32 channelId, uint128 additionalDeposit, address from, bytes32 topUpSalt, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
  "event ChannelOpened(bytes32 indexed channelId, address indexed payer, address indexed payee, address token, address authorizedSigner, bytes32 salt, uint256 deposit)",
  "event Settled(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 cumulativeAmount, uint256 deltaPaid, uint256 newSettled)",
  "event TopUp(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 additionalDeposit, uint256 newDeposit)",
  "event ChannelClosed(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 settledToPayee, uint256 refundedToPayer)",
]);
const voucherTypes = {
  Voucher: [
    { name: "channelId", type: "bytes32" },
    { name: "cumulativeAmount", type: "uint128" },
  ],
};
const receiveTypes = { ReceiveWithAuthorization: types.TransferWithAuthorization };
const hashOf = (parameters, values) => keccak256(encodeAbiParameters(parseAbiParameters(parameters), values));
const call = (functionName, args = []) => encodeFunctionData({ abi: escrowAbi, functionName, args });
const result = (functionName, value) => encodeFunctionResult({ abi: escrowAbi, functionName, result: value });
const log = (eventName, channelId, payer, payee, parameters, values) => ({
  topics: encodeEventTopics({ abi: escrowAbi, eventName, args: { channelId, payer, payee } }),
  data: encodeAbiParameters(parseAbiParameters(parameters), values),
});

const channels = [];
for (let i = 0; i < CASES / 2; i += 1) {
  const [payer, adder] = [account(), account()];
  const signer = pick([payer, account()]);
  const authorizedSigner = signer === payer ? zeroAddress : signer.address;
  const chainId = Number(1n + integer(52));
  const [escrow, token, payee, salt, topUpSalt] = [bytes(20), bytes(20), bytes(20), word(), word()];
  const [deposit, addition, cumulative, settled] = [integer(128), integer(128), integer(128), integer(128)];
  const channelId = hashOf("address, address, address, bytes32, address, address, uint256", [
    payer.address,
    payee,
    token,
    salt,
    authorizedSigner,
    escrow,
    BigInt(chainId),
  ]);

  const voucher = { channelId, cumulativeAmount: cumulative };
  const vouchers = [];
  for (const [method, name] of [
    ["abstract", "Abstract Stream Channel"],
    ["evm", "EVM Payment Channel"],
  ]) {
    const domain = { name, version: "1", chainId, verifyingContract: escrow };
    const typed = { domain, types: voucherTypes, primaryType: "Voucher", message: voucher };
    const signature = await signer.signTypedData(typed);
    vouchers.push({
      method,
      separator: domainSeparator({ domain }),
      digest: hashTypedData(typed),
      signature,
      settleCall: call("settle", [channelId, cumulative, signature]),
      closeCall: call("close", [channelId, cumulative, signature]),
    });
  }

  // Of whatever token: its domain has nothing to do with the escrow's.
  const domain = { name: "USD Coin", version: "2", chainId, verifyingContract: token };
  const authorize = async (from, value, nonce) => {
    const message = { from: from.address, to: escrow, value, validAfter: integer(64), validBefore: integer(64), nonce };
    const typed = { domain, types: receiveTypes, primaryType: "ReceiveWithAuthorization", message };
    const { validAfter, validBefore } = message;
    const window = { validAfter: decimal(validAfter), validBefore: decimal(validBefore) };
    const authorization = { from: from.address.toLowerCase(), to: escrow, value: decimal(value), ...window, nonce };
    return { authorization, validAfter, validBefore, digest: hashTypedData(typed), signature: await from.signTypedData(typed) };
  };
  const openNonce = hashOf("address, address, address, bytes32, address", [payer.address, payee, token, salt, authorizedSigner]);
  const topUpNonce = hashOf("bytes32, uint128, address, bytes32", [channelId, addition, adder.address, topUpSalt]);
  const [opened, added] = [await authorize(payer, deposit, openNonce), await authorize(adder, addition, topUpNonce)];
  const brought = ({ authorization, digest, signature }, calldata) => ({ authorization, digest, signature, call: calldata });
  const open = brought(
    opened,
    call("openWithAuthorization", [
      payee,
      token,
      deposit,
      salt,
      authorizedSigner,
      payer.address,
      opened.validAfter,
      opened.validBefore,
      openNonce,
      opened.signature,
    ]),
  );
  const topUp = brought(
    added,
    call("topUpWithAuthorization", [
      channelId,
      addition,
      adder.address,
      topUpSalt,
      added.validAfter,
      added.validBefore,
      topUpNonce,
      added.signature,
    ]),
  );

  const onChain = {
    finalized: pick([true, false]),
    closeRequestedAt: integer(64),
    payer: payer.address,
    payee,
    token,
    authorizedSigner,
    deposit,
    settled,
  };
  const [grace, separator, until] = [integer(64), word(), Number(integer(40))];
  // Some of what the events hold is beyond any amount of ours.
  const [wide, other] = [integer(256), integer(256)];
  const party = [channelId, payer.address, payee];
  channels.push({
    chainId,
    escrow,
    token,
    payer: payer.address.toLowerCase(),
    payee,
    salt,
    topUpSalt,
    authorizedSigner,
    channelId,
    cumulative: decimal(cumulative),
    vouchers,
    open,
    topUp,
    channelCall: call("getChannel", [channelId]),
    factsCalls: [call("CLOSE_GRACE_PERIOD"), call("domainSeparator")],
    onChain: result("getChannel", onChain),
    finalized: onChain.finalized,
    closeRequestedAt: decimal(onChain.closeRequestedAt),
    deposit: decimal(deposit),
    settled: decimal(settled),
    facts: [result("CLOSE_GRACE_PERIOD", grace), result("domainSeparator", separator)],
    gracePeriod: decimal(grace),
    separator,
    openedLog: log("ChannelOpened", ...party, "address, address, bytes32, uint256", [token, authorizedSigner, salt, deposit]),
    openedWideLog: log("ChannelOpened", ...party, "address, address, bytes32, uint256", [token, authorizedSigner, salt, wide]),
    toppedUpLog: log("TopUp", ...party, "uint256, uint256", [addition, wide]),
    settledLog: log("Settled", ...party, "uint256, uint256, uint256", [wide, other, cumulative]),
    closedLog: log("ChannelClosed", ...party, "uint256, uint256", [cumulative, wide]),
    wide: decimal(wide),
    // Who asks the gateway about the channel.
    until: decimal(until),
    inquiry: await signer.signMessage({ message: `mpp-edge channel ${channelId} until ${until}` }),
  });
}

const file = new URL("viem.json", import.meta.url);
writeFileSync(file, `${JSON.stringify({ authorizations, transactions, recoveries, keys, channels }, null, 1)}\n`);
console.log(`${recoveries.filter((one) => one.signer).length} of ${recoveries.length} signatures have a signer`);
