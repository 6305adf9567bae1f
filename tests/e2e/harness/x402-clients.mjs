// x402's clients as npm and PyPI have them. Each is configured as its own documentation says.
import assert from "node:assert/strict";
import { decodePaymentResponseHeader as decodedByAxios, wrapAxiosWithPayment } from "@x402/axios";
import { x402Client } from "@x402/core/client";
import { registerExactEvmScheme } from "@x402/evm/exact/client";
import { decodePaymentResponseHeader as decodedByFetch, wrapFetchWithPayment } from "@x402/fetch";
import axios from "axios";
import { evm, Mppx } from "mppx/client";
import { Header } from "mppx/x402";
import { createWalletClient, http } from "viem";
import { abstractTestnet, baseSepolia } from "viem/chains";
import { decodeXPaymentResponse as decodedByOldAxios, withPaymentInterceptor } from "x402-axios";
import { decodeXPaymentResponse as decodedByOldFetch, wrapFetchWithPayment as wrapOldFetch } from "x402-fetch";
import { runPython } from "./clients.mjs";

/**
 * Where a client is to pay. Without a chain it is left to its defaults: the assets that it knows, and its limits.
 * @typedef {{payer: object, chain?: import("./chain.mjs").Chain}} Wallet
 * @typedef {{status: number, headers: Headers, text: string, told: object | undefined}} Paid `told` as the client's own decoder has it
 */

/** @returns {Promise<Paid>} */
async function answered(response, decode, name = "payment-response") {
  const value = response.headers.get(name);
  return {
    status: response.status,
    headers: response.headers,
    text: await response.text(),
    told: value ? decode(value) : undefined,
  };
}

/** What axios makes of an answer: it throws what is no success. */
async function answeredToAxios(request, decode, name = "payment-response") {
  const { status, headers, data } = await request.catch((error) => error.response ?? Promise.reject(error));
  const value = headers[name];
  return { status, headers: new Headers(headers), text: data, told: value ? decode(value) : undefined };
}

/** As the README of @x402/core says: a token that is no default is allowed by name, up to an amount. */
function clientOf({ payer, chain }) {
  const allowed = chain && { network: `eip155:${chain.id}`, asset: chain.token.address, maxAmountPerPayment: "100000" };
  const config = { schemes: [], ...(allowed && { spendControls: { allowedAssets: [allowed] } }) };
  const client = x402Client.fromConfig(config);
  if (chain) client.registerPolicy((_version, offers) => offers.filter(({ asset }) => asset === chain.token.address));
  return registerExactEvmScheme(client, { signer: payer });
}

/** The wallet that clients of version 1 want: its chain says where they pay. */
function walletOf({ payer, chain }) {
  return createWalletClient({
    account: payer,
    chain: chain?.network === "abstract-testnet" ? abstractTestnet : baseSepolia,
    transport: http(),
  });
}

const textOnly = { transformResponse: (data, _headers, status) => (status === 402 ? JSON.parse(data) : data) };

/** By name: pays for a URL. @type {Record<string, (wallet: Wallet, url: string, init?: RequestInit) => Promise<Paid>>} */
export const V2_CLIENTS = {
  "@x402/fetch": async (wallet, url, init) =>
    answered(await wrapFetchWithPayment(fetch, clientOf(wallet))(url, init), decodedByFetch),
  "@x402/axios": (wallet, url, { method, body } = {}) => {
    const client = wrapAxiosWithPayment(axios.create(textOnly), clientOf(wallet));
    return answeredToAxios(client.request({ url, method, data: body }), decodedByAxios);
  },
  "mppx, by x402": async ({ payer, chain }, url, init) => {
    const known = { networks: [baseSepolia.id], currencies: [evm.assets.baseSepolia.USDC] };
    const told = chain && { networks: [chain.id], currencies: [chain.token.address] };
    const isExact = ({ challenge }) => challenge.request.scheme === "exact";
    const client = Mppx.create({
      polyfill: false,
      methods: [evm.charge({ account: payer, ...(told ?? known) })],
      orderChallenges: (candidates) => candidates.filter(isExact),
    });
    return answered(await client.fetch(url, init), Header.decodePaymentResponse);
  },
  "Python x402 with httpx": (wallet, url, init) => python("httpx", wallet, url, init),
  "Python x402 with requests": (wallet, url, init) => python("requests", wallet, url, init),
};

/** Those that know version 1 only. */
export const V1_CLIENTS = {
  "x402-fetch": async (wallet, url, init) =>
    answered(await wrapOldFetch(fetch, walletOf(wallet))(url, init), decodedByOldFetch, "x-payment-response"),
  "x402-axios": (wallet, url, { method, body } = {}) => {
    const client = withPaymentInterceptor(axios.create(textOnly), walletOf(wallet));
    return answeredToAxios(client.request({ url, method, data: body }), decodedByOldAxios, "x-payment-response");
  },
};

async function python(library, { payer, chain }, url, { method = "GET", body } = {}) {
  const allowed = chain && { network: `eip155:${chain.id}`, asset: chain.token.address };
  const answer = await runPython("pay_x402.py", { library, key: payer.privateKey, allowed, url, method, body });
  assert.ok(answer.told === null || typeof answer.told === "object");
  return { ...answer, headers: new Headers(answer.headers), told: answer.told ?? undefined };
}
