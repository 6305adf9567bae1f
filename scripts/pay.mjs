// A client that pays, with mppx as it comes from npm. `npm start` uses it; against the running devnet also
//
//   node scripts/pay.mjs [path] [body]     GET, or POST where there is a body
//   node scripts/pay.mjs --session         the session of `npm start` again

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { evm, Mppx } from "mppx/client";
import { createPublicClient, erc20Abi, formatUnits, http, parseEventLogs } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { DECIMALS } from "./lib/devnet.mjs";
import { at } from "./lib/project.mjs";
import { row, runMain, Stop, say, underModernNode } from "./lib/run.mjs";
import { paySession } from "./lib/session-demo.mjs";

/** Pays for one request, says what happens, and fails unless exactly the price has moved on chain. */
export async function pay(devnet, { path = "/v1/quote", body } = {}) {
  const chain = createPublicClient({ transport: http(devnet.rpc) });
  const account = privateKeyToAccount(devnet.payers[0].privateKey);
  const token = { address: devnet.token, abi: erc20Abi };
  const [symbol, ...before] = await Promise.all([
    chain.readContract({ ...token, functionName: "symbol" }),
    ...balances(chain, token, [account.address, devnet.recipient]),
  ]);
  const money = (amount) => `${formatUnits(BigInt(amount), DECIMALS)} ${symbol}`;
  const url = `${devnet.gateway}${path}`;
  const init = body === undefined ? { method: "GET" } : { method: "POST", body };

  let paid;
  const mppx = Mppx.create({
    polyfill: false,
    methods: [
      evm.charge({
        account,
        networks: [devnet.chainId],
        currencies: [devnet.token],
        authorization: { name: devnet.tokenName, version: devnet.tokenVersion },
      }),
    ],
  });
  mppx.onChallengeReceived(({ challenge, challenges }) => {
    const { request } = challenge;
    paid = { challenge, amount: BigInt(request.amount) };
    say(`   402 Payment Required; offers: ${challenges.map(({ method, intent }) => `${method}/${intent}`).join(", ")}`);
    row("challenge", challenge.id);
    row("asks for", `${money(request.amount)} to ${request.recipient} on chain ${request.methodDetails.chainId}`);
    row("valid until", challenge.expires);
    say("2. The client signs a TransferWithAuthorization (EIP-712, no gas, nothing sent to the chain)");
  });
  mppx.onCredentialCreated(({ credential }) => {
    paid.credential = credential;
    const { payload } = JSON.parse(Buffer.from(credential.split(" ").at(-1), "base64url").toString());
    row("from", payload.from);
    row("nonce", payload.nonce);
    row("signature", payload.signature);
    say("3. It asks again, with the credential");
    paid.sent = performance.now();
  });

  say(`\nA charge: one call, one transaction\n\n1. The client asks: ${init.method} ${url}`);
  let response = await mppx.fetch(url, init);
  if (!paid) throw new Stop(`this costs nothing: ${response.status} ${await response.text()}`);
  // 503 means "not known yet": the same credential goes on with the same payment.
  for (let tries = 0; response.status === 503 && tries < 5; tries += 1) {
    const wait = Number(response.headers.get("retry-after") ?? 1);
    say(`   503, not settled yet; the same credential again in ${wait} s`);
    await sleep(wait * 1000);
    response = await fetch(url, { ...init, headers: { authorization: paid.credential } });
  }
  const answer = await response.text();
  say(`   ${response.status} ${response.statusText} after ${Math.round(performance.now() - paid.sent)} ms`);
  const header = response.headers.get("payment-receipt");
  if (!response.ok || !header) throw new Stop(`${response.status} with${header ? "" : "out"} a receipt: ${answer}`);
  const receipt = JSON.parse(Buffer.from(header, "base64url").toString());

  const transaction = await chain.getTransactionReceipt({ hash: receipt.reference });
  say("4. The gateway had settled it on chain before it answered");
  row("transaction", transaction.transactionHash);
  row("block", `${transaction.blockNumber}, ${transaction.status}, gas ${transaction.gasUsed} paid by ${transaction.from}`);
  row("receipt", `${receipt.status}, ${receipt.method}, ${receipt.timestamp}`);
  row("content", answer.trim());

  const after = await Promise.all(balances(chain, token, [account.address, devnet.recipient]));
  say("5. Balances");
  row("payer", `${money(before[0])} → ${money(after[0])}`);
  row("recipient", `${money(before[1])} → ${money(after[1])}`);

  const moved = parseEventLogs({ abi: erc20Abi, eventName: "Transfer", logs: transaction.logs }).some(
    ({ address, args }) =>
      address.toLowerCase() === devnet.token.toLowerCase() &&
      args.from === account.address &&
      args.to === devnet.recipient &&
      args.value === paid.amount,
  );
  if (transaction.status !== "success" || !moved) throw new Stop("the receipt’s transaction does not hold the transfer");
  if (before[0] - after[0] !== paid.amount || after[1] - before[1] !== paid.amount) {
    throw new Stop(`the balances did not change by ${money(paid.amount)}`);
  }
  say(`\nPaid: exactly ${money(paid.amount)} moved, in one transaction.`);
}

const balances = (chain, token, addresses) =>
  addresses.map((address) => chain.readContract({ ...token, functionName: "balanceOf", args: [address] }));

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runMain(async () => {
    await underModernNode();
    const [path, body] = process.argv.slice(2);
    let devnet;
    try {
      devnet = JSON.parse(readFileSync(at(".dev/devnet.json"), "utf8"));
    } catch {
      throw new Stop("no devnet is running: `npm start` or `npm run dev` first");
    }
    await (path === "--session" ? paySession(devnet) : pay(devnet, { path, body }));
  });
}
