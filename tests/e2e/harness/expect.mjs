// What answers must look like, said once.
import assert from "node:assert/strict";
import { decodeFunctionData, getAddress, parseTransaction, recoverTransactionAddress } from "viem";
import { TOKEN_ABI } from "./chain.mjs";
import { PROBLEMS } from "./protocol.mjs";

const describe = (answer) => `${answer.status} ${JSON.stringify(answer.raw)} ${answer.text.slice(0, 600)}`;

/** Asserts a problem document (RFC 9457) of one of `types`, and on 402 a fresh challenge that nobody caches. */
export function expectProblem(answer, status, ...types) {
  assert.equal(answer.status, status, describe(answer));
  assert.match(answer.headers["content-type"] ?? "", /^application\/problem\+json/, describe(answer));
  const problem = answer.json;
  assert.equal(problem.status, status);
  assert.equal(typeof problem.title, "string");
  assert.equal(typeof problem.detail, "string");
  if (types.length > 0) assert.ok(types.map((type) => PROBLEMS + type).includes(problem.type), describe(answer));
  assert.equal(answer.headers["payment-receipt"], undefined, "no receipt for what was not paid");
  if (status === 402) {
    assert.match(answer.headers["cache-control"] ?? "", /no-store/);
    assert.ok(answer.challenges.length > 0, `a 402 carries a fresh challenge: ${describe(answer)}`);
  }
  return problem;
}

/** Asserts that a credential has bought what it could: refused without a challenge, so that no client pays again by itself. */
export function expectSpent(answer) {
  const problem = expectProblem(answer, 403, "verification-failed");
  assert.deepEqual(answer.all("www-authenticate"), [], describe(answer));
  assert.equal(problem.challengeId, undefined, describe(answer));
}

/** Asserts "come back with the same credential": 503 with a whole number of seconds to wait, and nothing to sign again. */
export function expectTryAgain(answer) {
  assert.equal(answer.status, 503, describe(answer));
  assert.match(answer.headers["retry-after"] ?? "", /^[1-9]\d*$/, describe(answer));
  assert.deepEqual(answer.all("www-authenticate"), [], "an unknown outcome is not an invitation to pay again");
  assert.equal(answer.headers["payment-receipt"], undefined);
}

/** Asserts a delivered answer whose receipt names a transaction of the settlement account that paid for it on chain. */
export async function expectPaid(stack, answer, credential, { status = 200, sentByUs = true } = {}) {
  assert.equal(answer.status, status, describe(answer));
  assert.match(answer.headers["cache-control"] ?? "", /private/);
  assert.equal(answer.all("payment-receipt").length, 1, describe(answer));
  const { receipt } = answer;
  const { challenge } = credential;
  assert.equal(receipt.status, "success");
  assert.equal(receipt.method, challenge.method);
  assert.equal(receipt.challengeId, challenge.id);
  assert.ok(Math.abs(Date.parse(receipt.timestamp) - Date.now()) < 120_000, `timestamp ${receipt.timestamp}`);
  const { from, nonce } = credential.payload;
  await expectSettled(stack, receipt.reference, { from, nonce, value: challenge.terms.amount }, { sentByUs });
  return receipt;
}

/** Asserts that the transaction holds the transfer that the payer authorized, and that the settlement account sent it. */
export async function expectSettled(stack, hash, authorization, { sentByUs = true } = {}) {
  assert.match(hash, /^0x[0-9a-f]{64}$/);
  const onChain = await stack.chain.public.getTransactionReceipt({ hash });
  assert.equal(onChain.status, "success");
  const transfers = await stack.chain.transfersTo(stack.recipient);
  const ours = transfers.filter(({ transactionHash }) => transactionHash === hash);
  assert.equal(ours.length, 1, "the transaction holds the transfer");
  assert.equal(ours[0].args.from, getAddress(authorization.from));
  assert.equal(ours[0].args.value, BigInt(authorization.value));
  if (sentByUs) await expectOurTransaction(stack, hash, authorization);
}

// The raw bytes, as viem reads them, are a transaction that the settlement account signed for this authorization.
async function expectOurTransaction(stack, hash, { from, nonce }) {
  const raw = await stack.chain.public.request({ method: "eth_getRawTransactionByHash", params: [hash] });
  const transaction = parseTransaction(raw);
  assert.equal(await recoverTransactionAddress({ serializedTransaction: raw }), stack.settlement.address);
  assert.equal(getAddress(transaction.to), stack.token.address);
  assert.equal(transaction.value ?? 0n, 0n);
  const { functionName, args } = decodeFunctionData({ abi: TOKEN_ABI, data: transaction.data });
  assert.equal(functionName, "transferWithAuthorization");
  assert.equal(args[0], getAddress(from));
  assert.equal(args[5], nonce);
}
