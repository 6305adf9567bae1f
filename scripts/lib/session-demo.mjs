// The session of `npm start`, told step by step. The client itself is scripts/session.mjs.

import { decodeFunctionData, erc20Abi, formatUnits, isAddressEqual } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { ESCROW_ABI, Session } from "../session.mjs";
import { DECIMALS } from "./devnet.mjs";
import { row, Stop, say } from "./run.mjs";

const CALLS = 20;
const AHEAD = 5n;

/** Opens a channel, makes calls, reads a paid stream, closes, and fails unless exactly what was received has moved on chain. */
export async function paySession(devnet) {
  const account = privateKeyToAccount(devnet.payers[0].privateKey);
  const { rpc, chainId, token, escrow } = devnet;
  const session = new Session({ account, rpc, chainId, token, escrow, deposit: 10n ** BigInt(DECIMALS) });
  const { chain } = session;
  const read = (functionName, ...args) => chain.readContract({ address: token, abi: erc20Abi, functionName, args });
  const balances = () => Promise.all([account.address, devnet.recipient, escrow].map((holder) => read("balanceOf", holder)));
  const [symbol, block, before] = await Promise.all([read("symbol"), chain.getBlockNumber(), balances()]);
  const money = (amount) => `${formatUnits(BigInt(amount), DECIMALS)} ${symbol}`;
  const quote = `${devnet.gateway}/v1/quote`;
  const ticker = `${devnet.gateway}/v1/ticker`;

  say(`\nA session: many calls, two transactions\n\n1. The client asks: GET ${quote}`);
  const { method, intent, terms } = await session.challenge(quote);
  say(`   402 Payment Required; it takes the offer ${method}/${intent}`);
  row("asks for", `${money(terms.amount)} per ${terms.unitType} to ${terms.recipient} on chain ${terms.methodDetails.chainId}`);

  say(`2. It opens a channel: ${money(session.deposit)} goes into the escrow, and what is not spent comes back`);
  await session.open(quote);
  const held = await balances();
  if (session.approval) row("approve", `${session.approval.transactionHash}, the escrow may take this much`);
  row("open", session.opening.transactionHash);
  row("channel", session.channelId);

  say(`3. It makes ${CALLS} calls, each with a voucher for the total so far: a signature, nothing is sent to the chain`);
  const times = [];
  let content;
  for (let call = 1; call <= CALLS; call += 1) {
    const sent = performance.now();
    const response = await session.fetch(quote);
    content = (await response.text()).trim();
    times.push(performance.now() - sent);
    if (!response.ok) throw new Stop(`call ${call}: ${response.status} ${content}`);
    if (call <= 2 || call === CALLS)
      row(`call ${call}`, `${response.status}, voucher for ${money(session.signed)}, ${ms(times.at(-1))}`);
    if (call === 2) row("…");
  }
  row("median", ms(times.toSorted((a, b) => a - b)[CALLS / 2]));
  row("content", content);

  const perEvent = (await session.challenge(ticker)).terms;
  say(`4. It reads a stream, ${money(perEvent.amount)} per ${perEvent.unitType}, paying for ${AHEAD} at a time: GET ${ticker}`);
  let events = 0;
  let pauses = 0;
  const onNeedVoucher = ({ cumulativeAmount }) => {
    pauses += 1;
    row("paused", "the balance has ended: payment-need-voucher");
    row("HEAD", `a voucher for ${money(cumulativeAmount)}, and the stream goes on`);
  };
  for await (const { data } of session.events(ticker, { ahead: AHEAD, onNeedVoucher })) {
    events += 1;
    row(`event ${events}`, data);
  }
  row("receipt", `${session.receipt.units} events, spent ${money(session.receipt.spent)} in all`);

  say(`5. It closes the channel: POST ${session.url}`);
  const started = performance.now();
  const { txHash } = await session.close();
  row("close", `${txHash}, sent by the gateway, ${ms(performance.now() - started)}`);

  const [after, transactions] = await Promise.all([balances(), transactionsSince(block, session)]);
  say("6. Balances: before, while the channel was open, and after");
  for (const [i, holder] of ["payer", "recipient", "escrow"].entries()) {
    row(holder, `${money(before[i])} → ${money(held[i])} → ${money(after[i])}`);
  }

  const spent = session.received;
  const moved = [-spent, spent, 0n];
  if (after.some((balance, i) => balance - before[i] !== moved[i]))
    throw new Stop(`the balances did not change by ${money(spent)}`);
  if (pauses !== 1) throw new Stop(`the stream paused ${pauses} times, not once`);
  const { approve = 0, ...counted } = transactions;
  if (JSON.stringify(counted) !== '{"open":1,"close":1}') throw new Stop(`transactions: ${JSON.stringify(transactions)}`);
  say(
    `\nPaid: exactly ${money(spent)} moved for ${CALLS} calls and ${events} events, in two transactions on chain, open and close.`,
  );
  if (approve > 0) say("Not counted: a third before them, the approve by which the payer let the escrow take the deposit.");
}

const ms = (time) => `${Math.round(time)} ms`;

/** How many transactions there were of each kind: the payer's, and the escrow's about this channel. */
async function transactionsSince(block, { chain, account, escrow, channelId }) {
  const latest = await chain.getBlockNumber();
  const numbers = Array.from({ length: Number(latest - block) }, (_, i) => block + 1n + BigInt(i));
  const blocks = await Promise.all(numbers.map((blockNumber) => chain.getBlock({ blockNumber, includeTransactions: true })));
  const counted = {};
  for (const { from, to, input } of blocks.flatMap(({ transactions }) => transactions)) {
    const isAbout = to && isAddressEqual(to, escrow) && input.includes(channelId.slice(2));
    if (!isAbout && !isAddressEqual(from, account.address)) continue;
    const { functionName } = decodeFunctionData({ abi: [...ESCROW_ABI, ...erc20Abi], data: input });
    counted[functionName] = (counted[functionName] ?? 0) + 1;
  }
  return counted;
}
