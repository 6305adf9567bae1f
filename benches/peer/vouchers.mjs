// Session credentials: the challenge by mppx's parts, the voucher's signer by viem, the accounts by the channel's object. mppx's own
// handler would make a challenge for every credential and copy it about; a good engineer leaves that out here.
import { env } from "cloudflare:workers";
import { Challenge, Credential, Expires } from "mppx";
import { getAddress, parseUnits, recoverTypedDataAddress } from "viem";
import { offers } from "./payments.mjs";

const { chainId, token, recipient, escrow, realm, prices } = env.PEER;
const domain = { name: "EVM Payment Channel", version: "1", chainId, verifyingContract: escrow };
const types = {
  Voucher: [
    { name: "channelId", type: "bytes32" },
    { name: "cumulativeAmount", type: "uint128" },
  ],
};
const payee = getAddress(recipient);
const currency = getAddress(token.address);
const amounts = {
  request: parseUnits(prices.request, token.decimals),
  event: parseUnits(prices.event, token.decimals),
};
/** Object ids by channel: deriving one is a hash. */
const ids = new Map();

/**
 * Takes the voucher of a request and, unless it only hands one in, the price of one unit.
 * @returns {Promise<{response: Response} | {isManagement: boolean, stub: object, price: bigint, receipt: object, refund: () => Promise<void>}>}
 */
export async function redeem(request, unitType) {
  const header = request.headers.get("authorization");
  if (!header?.startsWith("Payment ")) return refuse(request, unitType);
  const credential = Credential.deserialize(header);
  const { challenge, payload } = credential;
  const amount = amounts[unitType];
  if (!Challenge.verify(challenge, { secretKey: env.MPP_SECRET_KEY }) || !fits(challenge, amount, unitType)) {
    return refuse(request, unitType);
  }
  Expires.assert(challenge.expires, challenge.id);
  const cumulative = BigInt(payload.cumulativeAmount);
  const { channelId, signature } = payload;
  const signer = await recoverTypedDataAddress({
    domain,
    types,
    primaryType: "Voucher",
    message: { channelId, cumulativeAmount: cumulative },
    signature,
  });
  // A POST without a body only hands a voucher in.
  const isManagement = request.method === "HEAD" || (request.method === "POST" && request.body === null);
  const price = isManagement ? 0n : amount;
  const stub = env.CHANNEL.get(idOf(channelId));
  const account = await stub.redeem(channelId, cumulative, signer, signature, price);
  if (!account) return refuse(request, unitType);
  const receipt = {
    method: "evm",
    intent: "session",
    reference: channelId,
    channelId,
    status: "success",
    challengeId: challenge.id,
    chainId,
    acceptedCumulative: account.accepted,
    spent: account.spent,
  };
  return { isManagement, stub, price, receipt, refund: () => stub.take(-1, price) };
}

const fits = ({ method, intent, realm: ofRealm, request }, amount, unitType) =>
  method === "evm" &&
  intent === "session" &&
  ofRealm === realm &&
  request.amount === String(amount) &&
  request.unitType === unitType &&
  request.currency === currency &&
  request.recipient === payee &&
  request.methodDetails.chainId === chainId &&
  request.methodDetails.escrowContract === escrow;

function idOf(channelId) {
  let id = ids.get(channelId);
  if (!id) {
    if (ids.size > 10_000) ids.clear();
    id = env.CHANNEL.idFromName(channelId);
    ids.set(channelId, id);
  }
  return id;
}

async function refuse(request, unitType) {
  const unpaid = new Request(request.url, { method: request.method });
  return { response: (await offers[unitType](unpaid)).challenge };
}
