// The contracts as the devnet has them: on anvil, at their fixed addresses, checked against viem's own arithmetic.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  createPublicClient,
  createWalletClient,
  domainSeparator,
  encodeAbiParameters,
  encodeErrorResult,
  encodeFunctionData,
  hashTypedData,
  http,
  keccak256,
  parseAbi,
  parseSignature,
  serializeCompactSignature,
  serializeSignature,
  signatureToCompactSignature,
  toFunctionSelector,
  toHex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import {
  accounts,
  balanceOf,
  CHAIN_ID,
  ESCROW,
  EVM_ESCROW,
  MULTICALL3,
  mint,
  NETWORKS,
  placeContracts,
  startAnvil,
  TOKEN,
} from "../../scripts/chain.mjs";
import { compileContracts } from "../../scripts/contracts.mjs";

const authorizationFields = [
  { name: "from", type: "address" },
  { name: "to", type: "address" },
  { name: "value", type: "uint256" },
  { name: "validAfter", type: "uint256" },
  { name: "validBefore", type: "uint256" },
  { name: "nonce", type: "bytes32" },
];
const authorizationTypes = {
  TransferWithAuthorization: authorizationFields,
  ReceiveWithAuthorization: authorizationFields,
};
const voucherTypes = {
  Voucher: [
    { name: "channelId", type: "bytes32" },
    { name: "cumulativeAmount", type: "uint128" },
  ],
};
// As a client knows it, not as our compiler says it.
const fiatToken = parseAbi([
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
  "function authorizationState(address authorizer, bytes32 nonce) view returns (bool)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
  "function decimals() view returns (uint8)",
  "function approve(address spender, uint256 value) returns (bool)",
]);
const streamChannel = parseAbi([
  "function open(address payee, address token, uint128 deposit, bytes32 salt, address authorizedSigner) returns (bytes32)",
  "function settle(bytes32 channelId, uint128 cumulativeAmount, bytes signature)",
  "function close(bytes32 channelId, uint128 cumulativeAmount, bytes signature)",
  "function getChannel(bytes32 channelId) view returns ((bool finalized, uint64 closeRequestedAt, address payer, address payee, address token, address authorizedSigner, uint128 deposit, uint128 settled))",
  "function computeChannelId(address payer, address payee, address token, bytes32 salt, address authorizedSigner) view returns (bytes32)",
  "function getVoucherDigest(bytes32 channelId, uint128 cumulativeAmount) view returns (bytes32)",
  "function domainSeparator() view returns (bytes32)",
  "function CLOSE_GRACE_PERIOD() view returns (uint64)",
]);
// As draft-evm-session writes them.
const paymentChannel = parseAbi([
  "function topUp(bytes32 channelId, uint128 additionalDeposit)",
  "function openWithAuthorization(address payee, address token, uint128 deposit, bytes32 salt, address authorizedSigner, address from, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) returns (bytes32 channelId)",
  "function topUpWithAuthorization(bytes32 channelId, uint128 additionalDeposit, address from, bytes32 topUpSalt, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)",
  "error NonceMismatch()",
]);
const ZERO = "0x0000000000000000000000000000000000000000";

const [settler, payee, payer] = accounts(3);
let chain;
let placed;
let client;

before(async () => {
  chain = await startAnvil({ port: 0 });
  placed = await placeContracts(chain.rpc);
  client = createPublicClient({ transport: http(chain.rpc), pollingInterval: 25 });
});
after(() => chain?.stop());

/** Sends as one of our accounts and returns the receipt. */
async function send({ privateKey }, address, abi, functionName, args) {
  const wallet = createWalletClient({ account: privateKeyToAccount(privateKey), transport: http(chain.rpc) });
  const hash = await wallet.writeContract({ address, abi, functionName, args, chain: null });
  return client.waitForTransactionReceipt({ hash });
}

const read = (address, abi, functionName, args = []) => client.readContract({ address, abi, functionName, args });
const tokenDomain = () => ({
  name: placed.tokenName,
  version: placed.tokenVersion,
  chainId: CHAIN_ID,
  verifyingContract: TOKEN,
});
const escrowDomain = { name: "Abstract Stream Channel", version: "1", chainId: CHAIN_ID, verifyingContract: ESCROW };
const evmEscrowDomain = { name: "EVM Payment Channel", version: "1", chainId: CHAIN_ID, verifyingContract: EVM_ESCROW };

/** What solidity's abi.encode makes of static values. */
const encoded = (types, values) =>
  encodeAbiParameters(
    types.map((type) => ({ type })),
    values,
  );

async function signedVoucher(domain, channelId, cumulativeAmount) {
  const message = { channelId, cumulativeAmount };
  const typed = { domain, types: voucherTypes, primaryType: "Voucher", message };
  const args = [channelId, cumulativeAmount];
  assert.equal(await read(domain.verifyingContract, streamChannel, "getVoucherDigest", args), hashTypedData(typed));
  return [...args, await privateKeyToAccount(payer.privateKey).signTypedData(typed)];
}

test("two networks side by side: each has its own chain id and token, and what is signed for one pays nothing on the other", async () => {
  const base = await startAnvil({ network: "base-sepolia", port: 0 });
  try {
    const there = await placeContracts(base.rpc, "base-sepolia");
    const { chainId, token } = NETWORKS["base-sepolia"];
    assert.deepEqual(there, {
      token: token.address,
      tokenName: "USDC",
      tokenVersion: "2",
      escrow: undefined,
      evmEscrow: EVM_ESCROW,
    });
    const reader = createPublicClient({ transport: http(base.rpc), pollingInterval: 25 });
    assert.equal(await reader.getChainId(), chainId);
    assert.equal(await client.getChainId(), CHAIN_ID);
    assert.equal(await reader.getCode({ address: ESCROW }), undefined, "Abstract's escrow is Abstract's alone");

    await mint(base.rpc, payer.address, 10n, token.address);
    assert.equal(await balanceOf(base.rpc, token.address, payer.address), 10n);
    const signer = privateKeyToAccount(payer.privateKey);
    const nonce = keccak256(toHex("two networks"));
    const message = { from: payer.address, to: payee.address, value: 4n, validAfter: 0n, validBefore: 4_000_000_000n, nonce };
    const pay = async (domain) => {
      const typed = { domain, types: authorizationTypes, primaryType: "TransferWithAuthorization", message };
      const args = [...Object.values(message), await signer.signTypedData(typed)];
      const wallet = createWalletClient({ account: privateKeyToAccount(settler.privateKey), transport: http(base.rpc) });
      const call = { address: token.address, abi: fiatToken, functionName: "transferWithAuthorization", args };
      await reader.simulateContract({ ...call, account: settler.address });
      const hash = await wallet.writeContract({ ...call, chain: null });
      return reader.waitForTransactionReceipt({ hash });
    };
    const domain = { name: "USDC", version: "2", chainId, verifyingContract: token.address };
    await assert.rejects(pay(tokenDomain()), /FiatTokenV2: invalid signature/);
    await assert.rejects(pay({ ...domain, chainId: CHAIN_ID }), /FiatTokenV2: invalid signature/);
    assert.equal((await pay(domain)).status, "success");
    assert.equal(await balanceOf(base.rpc, token.address, payee.address), 4n);
  } finally {
    await base.stop();
  }
});

test("placement uses no transaction: block 0 and fresh nonces", async () => {
  assert.equal(await client.getBlockNumber(), 0n);
  for (const { address } of accounts(10)) assert.equal(await client.getTransactionCount({ address }), 0);
  assert.equal(await client.getChainId(), CHAIN_ID);
});

test("the answer of placeContracts is what a client finds there", async () => {
  assert.deepEqual(placed, {
    token: TOKEN,
    tokenName: "Bridged USDC (Stargate)",
    tokenVersion: "2",
    escrow: ESCROW,
    evmEscrow: EVM_ESCROW,
  });
  assert.equal(await read(TOKEN, fiatToken, "decimals"), 6);
  for (const escrow of [ESCROW, EVM_ESCROW]) assert.equal(await read(escrow, streamChannel, "CLOSE_GRACE_PERIOD"), 900n);
});

test("domain separators are those of the fixed addresses", async () => {
  assert.equal(await read(TOKEN, fiatToken, "DOMAIN_SEPARATOR"), domainSeparator({ domain: tokenDomain() }));
  assert.equal(await read(ESCROW, streamChannel, "domainSeparator"), domainSeparator({ domain: escrowDomain }));
  assert.equal(await read(EVM_ESCROW, streamChannel, "domainSeparator"), domainSeparator({ domain: evmEscrowDomain }));
});

test("a viem signature pays through both overloads", async () => {
  await mint(chain.rpc, payer.address, 1_000_000_000n);
  for (const selector of ["0xe3ee160e", "0xcf092995"]) {
    const before = await balanceOf(chain.rpc, TOKEN, payee.address);
    const message = {
      from: payer.address,
      to: payee.address,
      value: 10_000n,
      validAfter: 0n,
      validBefore: BigInt(Math.floor(Date.now() / 1000) + 300),
      nonce: keccak256(toHex(selector)),
    };
    const signature = await privateKeyToAccount(payer.privateKey).signTypedData({
      domain: tokenDomain(),
      types: authorizationTypes,
      primaryType: "TransferWithAuthorization",
      message,
    });
    const { v, r, s } = parseSignature(signature);
    const tail = selector === "0xe3ee160e" ? [Number(v), r, s] : [signature];
    const args = [...Object.values(message), ...tail];
    const data = encodeFunctionData({ abi: fiatToken, functionName: "transferWithAuthorization", args });
    assert.equal(data.slice(0, 10), selector);

    const receipt = await send(settler, TOKEN, fiatToken, "transferWithAuthorization", args);
    assert.equal(receipt.status, "success");
    assert.equal((await balanceOf(chain.rpc, TOKEN, payee.address)) - before, 10_000n);
    assert.equal(await read(TOKEN, fiatToken, "authorizationState", [payer.address, message.nonce]), true);
    await assert.rejects(
      send(settler, TOKEN, fiatToken, "transferWithAuthorization", args),
      /FiatTokenV2: authorization is used or canceled/,
    );
  }
});

test("a channel lives at the fixed address: open, settle, close", async () => {
  await mint(chain.rpc, payer.address, 1_000_000n);
  const salt = keccak256(toHex("salt"));
  const identity = [payer.address, payee.address, TOKEN, salt, ZERO];
  const id = await read(ESCROW, streamChannel, "computeChannelId", identity);
  const types = ["address", "address", "address", "bytes32", "address", "address", "uint256"];
  const expected = encoded(types, [...identity, ESCROW, BigInt(CHAIN_ID)]);
  assert.equal(id, keccak256(expected));

  const start = await balanceOf(chain.rpc, TOKEN, payee.address);
  await send(payer, TOKEN, fiatToken, "approve", [ESCROW, 1_000_000n]);
  await send(payer, ESCROW, streamChannel, "open", [payee.address, TOKEN, 1_000_000n, salt, ZERO]);
  await send(payee, ESCROW, streamChannel, "settle", await signedVoucher(escrowDomain, id, 300_000n));
  assert.deepEqual(await read(ESCROW, streamChannel, "getChannel", [id]), {
    finalized: false,
    closeRequestedAt: 0n,
    payer: payer.address,
    payee: payee.address,
    token: TOKEN,
    authorizedSigner: ZERO,
    deposit: 1_000_000n,
    settled: 300_000n,
  });
  await send(payee, ESCROW, streamChannel, "close", await signedVoucher(escrowDomain, id, 400_000n));
  assert.equal((await read(ESCROW, streamChannel, "getChannel", [id])).finalized, true);
  assert.equal((await balanceOf(chain.rpc, TOKEN, payee.address)) - start, 400_000n);
  assert.equal(await balanceOf(chain.rpc, TOKEN, ESCROW), 0n);
});

test("B17: signatures of every form, and words of refusal, as the deployed escrow has them", async () => {
  await mint(chain.rpc, payer.address, 1_000_000n);
  const salt = keccak256(toHex("every form"));
  const id = await read(ESCROW, streamChannel, "computeChannelId", [payer.address, payee.address, TOKEN, salt, ZERO]);
  await send(payer, TOKEN, fiatToken, "approve", [ESCROW, 1_000_000n]);
  await send(payer, ESCROW, streamChannel, "open", [payee.address, TOKEN, 1_000_000n, salt, ZERO]);
  const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const forms = [
    (signature) => serializeCompactSignature(signatureToCompactSignature(signature)),
    ({ r, s, yParity }) => serializeSignature({ r, s: toHex(ORDER - BigInt(s), { size: 32 }), yParity: 1 - yParity }),
  ];
  for (const [i, form] of forms.entries()) {
    const [channelId, cumulative, signature] = await signedVoucher(escrowDomain, id, BigInt(i + 1) * 100_000n);
    const other = form(parseSignature(signature));
    assert.notEqual(other, signature);
    await send(payee, ESCROW, streamChannel, "settle", [channelId, cumulative, other]);
    assert.equal((await read(ESCROW, streamChannel, "getChannel", [id])).settled, cumulative);
  }
  const invalidToken = encodeErrorResult({ abi: parseAbi(["error Error(string)"]), args: ["invalid token"] });
  for (const [token, said] of [
    [ZERO, invalidToken],
    [payee.address, "0x"],
  ]) {
    const data = encodeFunctionData({ abi: streamChannel, functionName: "open", args: [payee.address, token, 1n, salt, ZERO] });
    const params = [{ from: payer.address, to: ESCROW, data }, "latest"];
    const answer = await fetch(chain.rpc, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_call", params }),
    });
    assert.equal((await answer.json()).error.data, said);
  }
  await send(payee, ESCROW, streamChannel, "close", [id, 0n, "0x"]);
});

test("anybody brings a signed deposit to the escrow of evm, which closes with its own vouchers", async () => {
  await mint(chain.rpc, payer.address, 1_000_000n);
  const salt = keccak256(toHex("signed"));
  const id = await read(EVM_ESCROW, streamChannel, "computeChannelId", [payer.address, payee.address, TOKEN, salt, ZERO]);
  const validBefore = BigInt(Math.floor(Date.now() / 1000) + 300);
  const authorize = async (value, nonce) => {
    const message = { from: payer.address, to: EVM_ESCROW, value, validAfter: 0n, validBefore, nonce };
    const typed = { domain: tokenDomain(), types: authorizationTypes, primaryType: "ReceiveWithAuthorization", message };
    return [0n, validBefore, nonce, await privateKeyToAccount(payer.privateKey).signTypedData(typed)];
  };

  const identity = [payer.address, payee.address, TOKEN, salt, ZERO];
  const openNonce = keccak256(encoded(["address", "address", "address", "bytes32", "address"], identity));
  const authorization = await authorize(700_000n, openNonce);
  const open = (toWhom) => [toWhom, TOKEN, 700_000n, salt, ZERO, payer.address, ...authorization];
  await assert.rejects(
    send(settler, EVM_ESCROW, paymentChannel, "openWithAuthorization", open(settler.address)),
    /NonceMismatch/,
  );
  await send(settler, EVM_ESCROW, paymentChannel, "openWithAuthorization", open(payee.address));

  const topUpTypes = ["bytes32", "uint128", "address", "bytes32"];
  const topUpNonce = keccak256(encoded(topUpTypes, [id, 200_000n, payer.address, salt]));
  const topUp = [id, 200_000n, payer.address, salt, ...(await authorize(200_000n, topUpNonce))];
  await send(settler, EVM_ESCROW, paymentChannel, "topUpWithAuthorization", topUp);
  await send(payer, TOKEN, fiatToken, "approve", [EVM_ESCROW, 100_000n]);
  await send(payer, EVM_ESCROW, paymentChannel, "topUp", [id, 100_000n]);

  assert.deepEqual(await read(EVM_ESCROW, streamChannel, "getChannel", [id]), {
    finalized: false,
    closeRequestedAt: 0n,
    payer: payer.address,
    payee: payee.address,
    token: TOKEN,
    authorizedSigner: ZERO,
    deposit: 1_000_000n,
    settled: 0n,
  });
  const start = await balanceOf(chain.rpc, TOKEN, payee.address);
  await send(payee, EVM_ESCROW, streamChannel, "close", await signedVoucher(evmEscrowDomain, id, 400_000n));
  assert.equal((await balanceOf(chain.rpc, TOKEN, payee.address)) - start, 400_000n);
  assert.equal(await balanceOf(chain.rpc, TOKEN, EVM_ESCROW), 0n);
});

test("Multicall3 answers at its usual address", async () => {
  const contracts = [
    { address: TOKEN, abi: fiatToken, functionName: "decimals" },
    { address: ESCROW, abi: streamChannel, functionName: "CLOSE_GRACE_PERIOD" },
  ];
  const answers = await client.multicall({ contracts, multicallAddress: MULTICALL3, allowFailure: false });
  assert.deepEqual(answers, [6, 900n]);
});

test("the compiled interfaces hold the functions that the wire reference names", async () => {
  const { UsdcE, AbstractStreamChannel, EvmPaymentChannel } = await compileContracts();
  const selectors = (abi) => new Set(abi.filter(({ type }) => type === "function").map((one) => toFunctionSelector(one)));
  const holds = (abi, named) => {
    for (const one of named.filter(({ type }) => type === "function")) {
      assert.ok(selectors(abi).has(toFunctionSelector(one)), one.name);
    }
  };
  holds(UsdcE.abi, fiatToken);
  holds(AbstractStreamChannel.abi, streamChannel);
  holds(EvmPaymentChannel.abi, [...streamChannel, ...paymentChannel]);
});

test("mints side by side do not get into one another", async () => {
  const to = accounts(6)
    .slice(3)
    .map(({ address }) => address);
  await Promise.all(to.map((address) => mint(chain.rpc, address, 5n)));
  for (const address of to) assert.equal(await balanceOf(chain.rpc, TOKEN, address), 5n);
});

test("a taken port is said clearly", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const { port } = holder.address();
  await assert.rejects(startAnvil({ port }), new RegExp(`port ${port} is taken`));
  holder.close();
});

test("an anvil that cannot start says why", async () => {
  await assert.rejects(startAnvil({ port: 0, extraArgs: ["--no-such-flag"] }), /did not start[\s\S]*no-such-flag/);
});

test("stop ends the chain that it belongs to", async () => {
  const other = await startAnvil({ port: 0, blockTime: 1 });
  assert.notEqual(other.rpc, chain.rpc);
  await other.stop();
  assert.throws(() => process.kill(other.pid, 0), { code: "ESRCH" });
  assert.equal(await client.getChainId(), CHAIN_ID);
});

test("anvil ends with its parent, even one that is killed", async () => {
  const module = new URL("../../scripts/chain.mjs", import.meta.url);
  const script = `import { startAnvil } from '${module}'; const c = await startAnvil({ port: 0 }); console.log(c.pid); setInterval(() => {}, 1000);`;
  for (const ending of ["SIGKILL", "SIGTERM"]) {
    const parent = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await once(parent.stdout, "data");
    const pid = Number(line);
    process.kill(pid, 0);
    parent.kill(ending);
    await once(parent, "exit");
    await assert.doesNotReject(gone(pid), `after ${ending}`);
  }
});

/** Resolves when no process has this id any more. */
async function gone(pid) {
  for (const deadline = Date.now() + 3000; Date.now() < deadline; ) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await sleep(20);
  }
  throw new Error(`process ${pid} lives on`);
}
