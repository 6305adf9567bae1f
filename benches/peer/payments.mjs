// Challenges and charges by mppx 0.11. Its own `evm` charge; the methods and the intent that it does not have are made with its
// `Method`, as its documentation tells.
import { env } from "cloudflare:workers";
import { Method, z } from "mppx";
import { evm } from "mppx/evm/server";
import { Mppx } from "mppx/server/core";
import { getAddress, parseUnits } from "viem";

const { chainId, token, recipient, escrow, realm, prices } = env.PEER;

const chargeMethod = evm.charge({
  chainId,
  currency: token.address,
  decimals: token.decimals,
  recipient,
  authorization: { name: token.name, version: token.version },
  // One object is the only sender of the account's transactions: nonces do not collide, whatever isolate asks.
  async settle({ payload }) {
    const settler = env.SETTLER.get(env.SETTLER.idFromName("settler"));
    return { reference: await settler.settle(payload) };
  },
});
// Without a transport of its own the method speaks plain MPP: no x402 header is computed for each challenge.
const evmCharge = { ...chargeMethod, transport: undefined };
const abstractCharge = { ...evmCharge, name: "abstract" };

/** A session as draft-evm-session asks for it. */
const session = (name) =>
  Method.toServer(
    Method.from({
      name,
      intent: "session",
      schema: {
        credential: { payload: z.looseObject({ action: z.string() }) },
        request: z.pipe(
          z.object({ amount: z.amount(), unitType: z.string() }),
          z.transform(({ amount, unitType }) => ({
            amount: parseUnits(amount, token.decimals).toString(),
            currency: getAddress(token.address),
            methodDetails: { chainId, escrowContract: getAddress(escrow) },
            recipient: getAddress(recipient),
            unitType,
          })),
        ),
      },
    }),
    // Vouchers are redeemed on a shorter way, in vouchers.mjs.
    { verify: () => Promise.reject(new Error("not on this route")) },
  );

const methods = [evmCharge, abstractCharge, session("evm"), session("abstract")];
export const mppx = Mppx.create({ methods, realm, secretKey: env.MPP_SECRET_KEY });

const one = { amount: prices.charge, description: "One call" };
const metered = (unitType) => ({ amount: prices[unitType], unitType, description: "One session" });

export const charge = mppx.evm.charge(one);

export const offers = {
  one: charge,
  four: mppx.compose(
    [mppx.abstract.charge, one],
    [mppx.evm.charge, one],
    [mppx.abstract.session, metered("request")],
    [mppx.evm.session, metered("request")],
  ),
  request: mppx.evm.session(metered("request")),
  event: mppx.evm.session(metered("event")),
};
