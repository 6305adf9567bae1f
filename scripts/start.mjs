// `npm start`: sets up, builds, starts two chains, an origin and the gateway, pays for a call, a session and a call over x402, and stays up.
//
//   npm start -- --once   ends after the payments; exit code 0 only if they succeeded
//   npm run dev           stays up without paying
//
// Ports: ANVIL_PORT, BASE_ANVIL_PORT, GATEWAY_PORT, ORIGIN_PORT.

import { runMain, Stop, say, underModernNode } from "./lib/run.mjs";
import { setup } from "./setup.mjs";

await runMain(async () => {
  const args = process.argv.slice(2);
  const unknown = args.find((arg) => arg !== "--once" && arg !== "--no-pay");
  if (unknown) throw new Stop(`unknown option ${unknown}; there are --once and --no-pay`);
  await setup();
  await underModernNode();

  const { choosePorts, followGateway, startDevnet } = await import("./lib/devnet.mjs");
  const { build } = await import("./build.mjs");
  const ports = await choosePorts();
  await build();
  let partEnded;
  const ended = new Promise((resolve) => {
    partEnded = resolve;
  });
  const devnet = await startDevnet({ ports, onEnd: partEnded });
  if (!args.includes("--no-pay")) {
    const { pay } = await import("./pay.mjs");
    const { paySession } = await import("./lib/session-demo.mjs");
    const { payX402 } = await import("./lib/x402-demo.mjs");
    await pay(devnet);
    await paySession(devnet);
    await payX402(devnet);
  }
  if (args.includes("--once")) return 0;
  sayHow(devnet);
  followGateway();
  throw new Stop(`${await ended} has ended by itself (the gateway’s log is .dev/logs/gateway.log)`);
});

function sayHow(devnet) {
  say(`
Everything is up; Ctrl-C ends it.
  gateway  ${devnet.gateway}   (health: /__mpp/health, configuration: /__mpp/config)
  origin   ${devnet.origin}
  chains   ${devnet.rpc}   (Abstract testnet, chain id ${devnet.chainId})
           ${devnet.base.rpc}   (Base Sepolia, chain id ${devnet.base.chainId})
  all of it, with payers' keys: .dev/devnet.json

Priced: ${devnet.routes.map(({ path, methods, price, meter }) => `${methods.join(", ")} ${path} (${price}${meter ? ` per ${meter}` : ""})`).join(", ")}
Free:   GET /free/… and everything else

See a challenge:
  curl -i ${devnet.gateway}/v1/quote

Pay again, as \`npm start\` did, with mppx (any path; a body makes it a POST):
  node scripts/pay.mjs /v1/report/7
  node scripts/pay.mjs /v1/echo 'hello'

Open a session again; its client, to be copied, is scripts/session.mjs:
  node scripts/pay.mjs --session

Pay from your own program:
  import { evm, Mppx } from "mppx/client";
  import { privateKeyToAccount } from "viem/accounts";
  const account = privateKeyToAccount("${devnet.payers[1].privateKey}");
  const { fetch } = Mppx.create({ polyfill: false, methods: [evm.charge({
    account, networks: [${devnet.chainId}], currencies: ["${devnet.token}"],
    authorization: { name: "${devnet.tokenName}", version: "${devnet.tokenVersion}" } })] });
  console.log(await (await fetch("${devnet.gateway}/v1/quote")).text());
`);
}
