// Clients as they are out there: mppx as published, and one that behaves like Abstract's plugin.
import { evm, Mppx } from "mppx/client";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { abstractCredential, encodeCredential, parseChallenges } from "./protocol.mjs";

/**
 * mppx's own client. `requests` lists what it sent: {url, authorization, status}.
 * @returns {{fetch: typeof fetch, requests: {url: string, authorization: string | null, status: number}[]}}
 */
export function mppxClient(account, token, options = {}) {
  const requests = [];
  const client = Mppx.create({
    polyfill: false,
    methods: [
      evm.charge({
        account,
        networks: [CHAIN_ID],
        currencies: [token.address],
        decimals: 6,
        authorization: { name: token.name, version: token.version },
        ...options,
      }),
    ],
    async fetch(input, init) {
      const request = new Request(input, init);
      const authorization = request.headers.get("authorization");
      const response = await fetch(request);
      requests.push({ url: request.url, authorization, status: response.status });
      return response;
    },
  });
  return { fetch: client.fetch, requests };
}

/**
 * Abstract's plugin as published: takes the first challenge of method `abstract`, signs with a random nonce, and asks
 * once more. It reads the combined `WWW-Authenticate` value, as `fetch` gives it.
 */
export function abstractClient(account, token) {
  return {
    async fetch(url, init = {}) {
      const unpaid = await fetch(url, init);
      if (unpaid.status !== 402) return unpaid;
      const challenge = parseChallenges([unpaid.headers.get("www-authenticate")]).find(({ method }) => method === "abstract");
      const credential = await abstractCredential(challenge, account, token);
      const headers = new Headers(init.headers);
      headers.set("authorization", encodeCredential(credential));
      return fetch(url, { ...init, headers });
    },
  };
}
