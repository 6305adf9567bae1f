// What all contestants are told alike: token, accounts, prices, secrets, and channels that the chain stub holds for funded.
import { domainSeparator, encodeAbiParameters, getAddress, keccak256, toHex } from "viem";
import { privateKeyToAccount, sign } from "viem/accounts";

export const REALM = "bench.example.com";
export const SECRET = "bench-mpp-secret-key-0123456789abcdef0123456789abcdef";
export const CHAIN_ID = 11124;
export const TOKEN = {
  address: "0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61",
  name: "Bridged USDC (Stargate)",
  version: "2",
  decimals: 6,
};
export const TOKEN_DOMAIN = {
  name: TOKEN.name,
  version: TOKEN.version,
  chainId: CHAIN_ID,
  verifyingContract: TOKEN.address,
};
export const ESCROW = getAddress("0x4d50500000000000000000000000000000000e5c");
/** In units of the token, and in its smallest ones. */
export const PRICES = { charge: "0.01", request: "0.001", event: "0.0001" };
export const UNITS = { request: 1_000n, event: 100n };

const keyOf = (name) => keccak256(toHex(`mpp-edge bench ${name}`));
const account = (name) => Object.assign(privateKeyToAccount(keyOf(name)), { privateKey: keyOf(name) });

/** Sends the transfers and, because vouchers are settled by the payee, is paid. */
export const settlement = account("settlement");
export const stranger = account("stranger");
export const payers = Array.from({ length: 64 }, (_, i) => account(`payer ${i}`));

export const DEPOSIT = 10n ** 18n;
const NOBODY = "0x0000000000000000000000000000000000000000";

/** Channel `index`, whose vouchers its payer signs. */
export function channelOf(payer, index) {
  const fields = [payer.address, settlement.address, TOKEN.address, keyOf(`salt ${index}`), NOBODY, ESCROW, BigInt(CHAIN_ID)];
  const types = ["address", "address", "address", "bytes32", "address", "address", "uint256"];
  return {
    id: keccak256(
      encodeAbiParameters(
        types.map((type) => ({ type })),
        fields,
      ),
    ),
    payer,
  };
}

export const channels = payers.map(channelOf);

/** What the escrow's `getChannel` says of channels. */
export const onChain = (channels) =>
  new Map(
    channels.map(({ id, payer }) => [id, [false, 0n, payer.address, settlement.address, TOKEN.address, NOBODY, DEPOSIT, 0n]]),
  );
export const channelsOnChain = onChain(channels);

/** What the chain stub is told. */
export const CHAIN = { chainId: CHAIN_ID, token: TOKEN, escrow: ESCROW, account: settlement.address, channels: channelsOnChain };

/** Channels that nobody has opened, for vouchers that cost nothing to sign. */
export const unopened = Array.from({ length: 256 }, (_, i) => ({ id: keyOf(`unopened ${i}`), payer: stranger }));
for (const { id } of unopened) channelsOnChain.set(id, [false, 0n, NOBODY, NOBODY, NOBODY, NOBODY, 0n, 0n]);

const VOUCHER_TYPE = keccak256(toHex("Voucher(bytes32 channelId,uint128 cumulativeAmount)"));
/** Of the domain that vouchers are signed in, as the escrow says it. */
export const VOUCHER_SEPARATOR = domainSeparator({
  domain: { name: "EVM Payment Channel", version: "1", chainId: CHAIN_ID, verifyingContract: ESCROW },
});
const signed = new Map();

/** The payload of a voucher, signed once however often it is asked for. */
export async function voucher({ id, payer }, cumulative) {
  const key = `${id}${cumulative}${payer.address}`;
  const known = signed.get(key);
  if (known) return known;
  const amount = cumulative.toString(16).padStart(64, "0");
  const hash = keccak256(`0x1901${VOUCHER_SEPARATOR.slice(2)}${keccak256(`${VOUCHER_TYPE}${id.slice(2)}${amount}`).slice(2)}`);
  const signature = await sign({ hash, privateKey: payer.privateKey, to: "hex" });
  const payload = { action: "voucher", channelId: id, cumulativeAmount: `${cumulative}`, signature };
  signed.set(key, payload);
  return payload;
}
