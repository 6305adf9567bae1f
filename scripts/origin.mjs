// The demo origin behind the gateway of `npm start`: it knows nothing of payments, and tells what the gateway told it.

import { createServer } from "node:http";

/**
 * @param {{port?: number}} options port 0 takes any free one
 * @returns {Promise<{url: string, stop: () => Promise<void>}>}
 */
export async function startOrigin({ port = 8788 } = {}) {
  const server = createServer(answer);
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const QUOTES = [
  "A bank is a place that will lend you money if you can prove that you don't need it.",
  "Beware of little expenses; a small leak will sink a great ship.",
  "The safest way to double your money is to fold it over and put it in your pocket.",
];

function answer(request, response) {
  const { pathname } = new URL(request.url, "http://origin");
  const report = /^\/v1\/report\/([^/]+)$/.exec(pathname);
  if (pathname.startsWith("/free/")) {
    json(response, 200, { path: pathname, time: new Date().toISOString(), price: "nothing" });
  } else if (request.method === "GET" && pathname === "/v1/quote") {
    const quote = QUOTES[Math.floor(Math.random() * QUOTES.length)];
    json(response, 200, { quote, paid: payment(request) });
  } else if (request.method === "GET" && pathname === "/v1/ticker") {
    tick(response);
  } else if (request.method === "POST" && pathname === "/v1/echo") {
    response.writeHead(200, { "content-type": request.headers["content-type"] ?? "application/octet-stream" });
    request.pipe(response);
  } else if (request.method === "GET" && report?.[1] === "missing") {
    // This route settles after the origin has answered: what is not there is not charged.
    json(response, 404, { error: "there is no such report" });
  } else if (request.method === "GET" && report) {
    json(response, 200, { report: decodeURIComponent(report[1]), lines: ["all is well"], paid: payment(request) });
  } else {
    json(response, 404, { error: `the demo origin has no ${request.method} ${pathname}` });
  }
}

/** Ten prices, ten a second. */
function tick(response) {
  let [left, price] = [10, 3000];
  response.writeHead(200, { "content-type": "text/event-stream" });
  const timer = setInterval(() => {
    price += Math.round(Math.random() * 200 - 100) / 100;
    response.write(`event: price\ndata: ${JSON.stringify({ pair: "ETH-USD", price: price.toFixed(2) })}\n\n`);
    left -= 1;
    if (left === 0) response.end();
  }, 100);
  response.once("close", () => clearInterval(timer));
}

/** Who paid what, as the gateway's headers say: payer, method, intent, amount, reference. */
function payment({ headers }) {
  const prefix = "x-payment-";
  const told = Object.entries(headers).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(told.map(([name, value]) => [name.slice(prefix.length), value]));
}

function json(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(value)}\n`);
}
