// Makes tests/vectors/tempo-ox.json: what ox, the library under viem and mppx, says of Tempo transactions and proofs, for inputs drawn from
// a fixed seed. `node tests/vectors/make-tempo.mjs` writes the same file again. (tempo.json was handed down: two transactions of mppx's.)

import { writeFileSync } from "node:fs";
import { Secp256k1, Signature } from "ox";
import { KeyAuthorization, TxEnvelopeTempo } from "ox/tempo";
import { concat, encodeFunctionData, hashTypedData, keccak256, numberToHex, parseAbi, toBytes } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const CASES = 40;
const TOKEN = "0x20c0000000000000000000000000000000000000";
const EXPIRING = 2n ** 256n - 1n;
const TIP20 = parseAbi([
  "function transfer(address to, uint256 amount)",
  "function transferWithMemo(address to, uint256 amount, bytes32 memo)",
]);

let counter = 0;
const word = () => keccak256(toBytes(`mpp-edge tempo ${counter++}`));
const random = () => BigInt(word());
const address = () => `0x${word().slice(26)}`;
const below = (limit) => Number(random() % BigInt(limit));

const sponsorKey = word();
const sponsor = privateKeyToAccount(sponsorKey).address;

function call() {
  const [to, amount, memo] = [address(), random() >> BigInt(below(250)), word()];
  const data = below(2)
    ? encodeFunctionData({ abi: TIP20, functionName: "transfer", args: [to, amount] })
    : encodeFunctionData({ abi: TIP20, functionName: "transferWithMemo", args: [to, amount, memo] });
  return { to: TOKEN, data };
}

function keyAuthorization(key) {
  const authorization = KeyAuthorization.from({
    address: address(),
    chainId: 42431n,
    expiry: 1_800_000_000,
    type: "secp256k1",
    limits: [{ token: TOKEN, limit: random() >> 200n }],
  });
  const signature = Secp256k1.sign({ payload: KeyAuthorization.getSignPayload(authorization), privateKey: key });
  return KeyAuthorization.from(authorization, { signature: { type: "secp256k1", signature } });
}

function one(index) {
  const key = word();
  const sender = privateKeyToAccount(key).address;
  const sponsored = index % 2 === 1;
  const body = {
    chainId: below(2) ? 42431 : 4217,
    maxPriorityFeePerGas: random() >> 226n,
    maxFeePerGas: (1n << 31n) + (random() >> 220n),
    gas: BigInt(below(2_000_000)),
    calls: Array.from({ length: 1 + below(4) }, call),
    nonceKey: below(3) ? EXPIRING : random() >> BigInt(below(256)),
    nonce: below(2) ? 0n : BigInt(below(2 ** 31)),
    ...(below(5) ? { validBefore: 1_800_000_000 + below(1000) } : {}),
    ...(below(2) ? { validAfter: below(1_800_000_000) } : {}),
    ...(below(4) ? {} : { accessList: [{ address: address(), storageKeys: [word(), word()] }] }),
    ...(below(3) ? {} : { keyAuthorization: keyAuthorization(key) }),
  };
  const unsigned = TxEnvelopeTempo.from({
    ...body,
    ...(sponsored ? { feePayerSignature: null } : below(2) ? { feeToken: TOKEN } : {}),
  });
  const digest = TxEnvelopeTempo.getSignPayload(unsigned);
  const signature = Secp256k1.sign({ payload: digest, privateKey: key });
  const signed = TxEnvelopeTempo.from(unsigned, { signature });
  const { v: _, ...rest } = body;
  const parsed = {
    chainId: rest.chainId,
    maxFeePerGas: rest.maxFeePerGas.toString(),
    maxPriorityFeePerGas: rest.maxPriorityFeePerGas.toString(),
    gas: rest.gas.toString(),
    nonceKey: numberToHex(rest.nonceKey),
    nonce: rest.nonce.toString(),
    validBefore: rest.validBefore ?? 0,
    validAfter: rest.validAfter ?? 0,
    calls: rest.calls.map(({ data }) => data),
    hasAccessList: rest.accessList !== undefined,
  };
  if (!sponsored) {
    const raw = TxEnvelopeTempo.serialize(signed);
    return { sender, digest, credential: raw, final: raw, hash: keccak256(raw), parsed };
  }
  const credential = TxEnvelopeTempo.serialize(signed, { format: "feePayer" });
  const feePayerDigest = TxEnvelopeTempo.getFeePayerSignPayload({ ...signed, feeToken: TOKEN }, { sender });
  const feePayerSignature = Secp256k1.sign({ payload: feePayerDigest, privateKey: sponsorKey });
  const final = TxEnvelopeTempo.serialize({ ...signed, feeToken: TOKEN }, { feePayerSignature });
  return { sender, digest, credential, feePayerDigest, final, hash: keccak256(final), parsed };
}

function proof() {
  const key = word();
  const account = privateKeyToAccount(key).address;
  const [challengeId, realm, chainId] = [word().slice(2, 45), "api.example.com", 42431];
  const digest = hashTypedData({
    domain: { name: "MPP", version: "3", chainId },
    types: {
      Proof: [
        { name: "account", type: "address" },
        { name: "challengeId", type: "string" },
        { name: "realm", type: "string" },
      ],
    },
    primaryType: "Proof",
    message: { account, challengeId, realm },
  });
  const signature = Signature.toHex(Secp256k1.sign({ payload: digest, privateKey: key }));
  return { account, challengeId, realm, chainId, digest, signature: concat([signature.slice(0, 132)]) };
}

const vectors = {
  sponsorKey,
  sponsor,
  feeToken: TOKEN,
  transactions: Array.from({ length: CASES }, (_, index) => one(index)),
  proofs: Array.from({ length: 4 }, proof),
};
writeFileSync(new URL("tempo-ox.json", import.meta.url), `${JSON.stringify(vectors, null, 1)}\n`);
