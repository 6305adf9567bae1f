// One call over x402, on the second network: @x402/fetch as it comes from npm, for `npm start`.
import { x402Client } from "@x402/core/client";
import { registerExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment } from "@x402/fetch";
import { createPublicClient, erc20Abi, formatUnits, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { DECIMALS } from "./devnet.mjs";
import { row, Stop, say } from "./run.mjs";

/** Pays for one request on Base Sepolia, says what happens, and fails unless the money has moved there. */
export async function payX402(devnet, path = "/v1/quote") {
  const { base } = devnet;
  const chain = createPublicClient({ transport: http(base.rpc) });
  const account = privateKeyToAccount(devnet.payers[2].privateKey);
  const balance = (address) =>
    chain.readContract({ address: base.token, abi: erc20Abi, functionName: "balanceOf", args: [address] });
  const before = await Promise.all([balance(account.address), balance(devnet.recipient)]);
  const network = `eip155:${base.chainId}`;
  const client = registerExactEvmScheme(x402Client.fromConfig({ schemes: [] }), { signer: account, networks: [network] });

  const url = `${devnet.gateway}${path}`;
  say(`\nA call over x402, on another network\n\n1. The client asks: GET ${url}`);
  const response = await wrapFetchWithPayment(fetch, client)(url);
  const answer = await response.text();
  const header = response.headers.get("payment-response");
  if (!response.ok || !header) throw new Stop(`${response.status} with${header ? "" : "out"} an outcome: ${answer}`);
  const outcome = JSON.parse(Buffer.from(header, "base64").toString());
  row("paid on", outcome.network);
  row("transaction", outcome.transaction);
  row("content", answer.trim());

  const after = await Promise.all([balance(account.address), balance(devnet.recipient)]);
  const paid = before[0] - after[0];
  const { status } = await chain.getTransactionReceipt({ hash: outcome.transaction });
  if (status !== "success" || paid <= 0n || after[1] - before[1] !== paid)
    throw new Stop("the money did not move on that network");
  say(`\nPaid: exactly ${formatUnits(paid, DECIMALS)} USDC moved there, and nothing on the first network.`);
}
