// Clients as they are out there: mppx and pympp as published, and one that behaves like Abstract's plugin.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { evm, Mppx } from "mppx/client";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { PYTHON } from "../../../scripts/lib/python.mjs";
import { endWithUs } from "./processes.mjs";
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

/**
 * pympp's own client, in a Python process. `paid` lists the credentials that were paid with.
 * @returns {Promise<{status: number, headers: Record<string, string>, text: string, paid: string[]}>}
 */
export function pymppFetch(account, token, url, { method = "GET", body } = {}) {
  return runPython("pay.py", { key: account.privateKey, token, chainId: CHAIN_ID, url, method, body });
}

/** What a script of `python/` answers to what it was asked. */
export async function runPython(script, asked) {
  assert.ok(existsSync(PYTHON), "the Python clients are not here yet: `npm test -- e2e` installs them");
  const child = spawn(PYTHON, [fileURLToPath(new URL(`python/${script}`, import.meta.url))], { stdio: ["pipe", "pipe", "pipe"] });
  const forget = endWithUs(() => child.kill("SIGKILL"));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.stdin.end(JSON.stringify(asked));
  const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  forget();
  assert.equal(code, 0, errors);
  return JSON.parse(output);
}
