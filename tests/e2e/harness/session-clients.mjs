// Clients of sessions as they are out there, through plain `fetch`: one in the shape of Abstract's plugin, and one that does what
// the draft of evm/session tells a client to do.
import { getAddress } from "viem";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { Channel } from "./channels.mjs";
import { did, encodeCredential, parseChallenges } from "./protocol.mjs";
import { payloads } from "./session.mjs";

const challengeIn = (response, method) =>
  parseChallenges([response.headers.get("www-authenticate")]).find((one) => one.method === method && one.intent === "session");

function ask(url, init, challenge, account, payload) {
  const headers = new Headers(init.headers);
  headers.set("authorization", encodeCredential({ challenge, payload, source: did(CHAIN_ID, account.address) }));
  return fetch(url, { ...init, headers });
}

export const receiptOf = (response) => {
  const value = response.headers.get("payment-receipt");
  return value === null ? undefined : JSON.parse(Buffer.from(value, "base64url").toString("utf8"));
};

/**
 * Abstract's plugin as published: asks first, opens a channel for what is suggested, adds the price to its total before it sends,
 * keeps its channels in memory, never tops up, never closes, and never forgets a channel.
 */
export function abstractSessionClient(chain, account) {
  /** By recipient, token and escrow: {channel, cumulative}. */
  const channels = new Map();
  return {
    channels,
    async fetch(url, init = {}) {
      const unpaid = await fetch(url, init);
      if (unpaid.status !== 402) return unpaid;
      const challenge = challengeIn(unpaid, "abstract");
      const { amount, recipient, currency, suggestedDeposit, methodDetails } = challenge.terms;
      const key = [recipient, currency, methodDetails.escrowContract].join();
      const known = channels.get(key);
      if (known) {
        known.cumulative += BigInt(amount);
        return ask(url, init, challenge, account, await payloads.voucher(known.channel, known.cumulative));
      }
      const channel = new Channel(chain, {
        method: "abstract",
        payer: account,
        payee: recipient,
        deposit: BigInt(suggestedDeposit ?? amount),
        escrow: getAddress(methodDetails.escrowContract),
      });
      await channel.open();
      const opened = { channel, cumulative: BigInt(amount) };
      channels.set(key, opened);
      return ask(url, init, challenge, account, await payloads.open(channel, opened.cumulative));
    },
  };
}

/**
 * A client of evm/session: opens by its own transaction, or by authorization where the server pays the gas; signs what the server
 * says it requires; tops up when its deposit is used up; closes when it is told to.
 */
export function evmSessionClient(chain, account, { deposit = 10_000n } = {}) {
  const state = { channel: undefined, cumulative: 0n, transactions: 0 };
  async function open(terms) {
    const { recipient, methodDetails } = terms;
    const escrow = getAddress(methodDetails.escrowContract);
    state.channel = new Channel(chain, { method: "evm", payer: account, payee: recipient, deposit, escrow });
    if (methodDetails.feePayer) return payloads.openFor(state.channel, state.cumulative);
    await state.channel.open();
    state.transactions += 1;
    return payloads.open(state.channel, state.cumulative);
  }
  async function topUp(url, challenge) {
    const { channel } = state;
    if (challenge.terms.methodDetails.feePayer) {
      const payload = await payloads.topUpFor(channel, deposit);
      channel.deposit += deposit;
      return manage(url, challenge, payload);
    }
    const hash = await channel.topUp(deposit);
    state.transactions += 1;
    return manage(url, challenge, payloads.topUp(channel, deposit, hash));
  }
  async function manage(url, challenge, payload) {
    const response = await ask(url, { method: "POST" }, challenge, account, payload);
    if (!response.ok) throw new Error(`${payload.action}: ${response.status} ${await response.text()}`);
    return response;
  }
  return {
    state,
    async fetch(url, init = {}) {
      const unpaid = await fetch(url, init);
      if (unpaid.status !== 402) return unpaid;
      const challenge = challengeIn(unpaid, "evm");
      state.cumulative += BigInt(challenge.terms.amount);
      if (!state.channel) return ask(url, init, challenge, account, await open(challenge.terms));
      if (state.cumulative > state.channel.deposit) await topUp(url, challenge);
      const answer = await ask(url, init, challenge, account, await payloads.voucher(state.channel, state.cumulative));
      if (answer.status !== 402) return answer;
      const { requiredCumulative } = await answer.clone().json();
      if (requiredCumulative === undefined || BigInt(requiredCumulative) <= state.cumulative) return answer;
      state.cumulative = BigInt(requiredCumulative);
      return ask(url, init, challengeIn(answer, "evm"), account, await payloads.voucher(state.channel, state.cumulative));
    },
    async close(url) {
      const challenge = challengeIn(await fetch(url), "evm");
      return manage(url, challenge, await payloads.close(state.channel, state.cumulative));
    },
  };
}
