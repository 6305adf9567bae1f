// C6, C7, C13, C15: what the gateway says of itself, and of what it depends on. Every test file asserts besides that no log and no answer holds a secret.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { faults } from "../harness/origin.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { chain, gateway, origin, rpc, settlement } = stack;

afterEach(() => {
  rpc.heal();
  origin.reset();
});

const json = async (path) => {
  const answer = await stack.send(path);
  assert.match(answer.headers["content-type"], /^application\/json/);
  return { status: answer.status, body: answer.json, text: answer.text };
};

test("a healthy gateway says so, with 200, and holds back everything secret", async () => {
  const mark = await stack.mark();
  const { status, text } = await json("/__mpp/health");
  assert.equal(status, 200, text);
  for (const { port } of [rpc, origin]) assert.ok(!text.includes(String(port)), "not even where provider and origin are");
  const { ok, origin: reached, rails } = JSON.parse(text);
  assert.deepEqual([ok, reached, rails.length], [true, "good", 1]);
  const { name, ok: isGood, rpc: provider, token, escrow, settlement } = rails[0];
  assert.deepEqual(
    [name, isGood, provider, token, escrow, settlement],
    ["abstract-testnet", true, "good", "good", "good", "good"],
  );
  // The origin is asked for no content, and nobody's headers are shown to it.
  await mark.moved({ origin: 1 });
  const { method, url, headers } = origin.requests.at(-1);
  assert.deepEqual([method, url], ["HEAD", "/"]);
  for (const name of ["authorization", "cookie"]) assert.equal(headers[name], undefined);
});

// An answer may be kept for a few seconds, since anybody may ask: a restart forgets it.
async function healthAfter(breakIt, mend) {
  await gateway.stop();
  await breakIt();
  await gateway.start();
  const started = Date.now();
  const health = await json("/__mpp/health");
  assert.ok(Date.now() - started < 30_000, "in bounded time");
  await mend();
  await gateway.restart();
  assert.equal((await json("/__mpp/health")).status, 200, "and good again when it is mended");
  return health;
}

const word = (value) => `0x${value.toString(16).padStart(64, "0")}`;
const calls = (selector, result) =>
  faulty.rewrite((usual, { params: [call] }) => ((call.data ?? call.input).startsWith(selector) ? result : usual));

for (const [name, [fault, member, expected]] of Object.entries({
  "the provider is dead": [["*", faulty.http(500)], "rpc", "no endpoint answers"],
  "the provider hangs": [["*", faulty.hang], "rpc", "no endpoint answers"],
  "the provider is on another chain": [["eth_chainId", faulty.result("0x1")], "rpc", /another chain/],
  "the token is paused": [["eth_call", calls("0x5c975abb", word(1))], "tokenPaused", true],
})) {
  test(`C15: health is not good when ${name}, and says so`, async () => {
    const { status, body, text } = await healthAfter(
      () => rpc.fail(...fault),
      () => rpc.heal(),
    );
    assert.equal(status, 503, text);
    const [rail] = body.rails;
    assert.deepEqual([body.ok, rail.ok], [false, false]);
    if (expected instanceof RegExp) assert.match(rail[member], expected);
    else assert.equal(rail[member], expected, text);
    assert.equal(body.origin, "good", text);
  });
}

for (const [name, address, member] of [
  ["settlement account", settlement.address, "settlementAccountBlacklisted"],
  ["recipient", stack.recipient, "recipientBlacklisted"],
]) {
  test(`C15: health is not good when the token has blacklisted the ${name}, and says so`, async () => {
    const { status, body, text } = await healthAfter(
      () => chain.callToken("blacklist", [address], stack.stranger),
      () => chain.callToken("unBlacklist", [address], stack.stranger),
    );
    assert.equal(status, 503, text);
    const members = ["settlementAccountBlacklisted", "recipientBlacklisted"];
    const [rail] = body.rails;
    for (const one of members) assert.equal(rail[one], one === member, text);
    assert.equal(rail.tokenPaused, undefined, "this token cannot be paused");
  });
}

for (const [name, behaviour, expected] of [
  ["cannot be reached", undefined, "cannot be reached"],
  ["hangs", faults.hang(), "did not answer in time"],
  ["is behind a proxy that does not find it", faults.status(503), "answers 503"],
]) {
  test(`C15: health is not good when the origin ${name}, and says so`, async () => {
    const { status, body, text } = await healthAfter(
      () => (behaviour ? origin.always(behaviour) : origin.refuse()),
      async () => {
        if (!behaviour) await origin.accept();
        origin.reset();
      },
    );
    assert.equal(status, 503, text);
    assert.equal(body.origin, expected, text);
    assert.equal(body.rails[0].rpc, "good", text);
  });
}

test("C15: an origin is there whatever else it answers", async () => {
  for (const status of [301, 401, 404, 405, 500, 508]) {
    origin.always(faults.status(status, status === 301 ? { location: `${gateway.urls[0]}/` } : {}));
    await gateway.restart();
    assert.equal((await json("/__mpp/health")).body.origin, "good", String(status));
  }
  origin.reset();
});

test("C15: an origin that is the gateway itself is found out, by whatever way, and not by one that echoes", async () => {
  const looped = "is this gateway itself";
  for (const url of [gateway.urls[0], `${gateway.urls[1]}/`, `${gateway.urls[0]}/v1/reports`, `${gateway.urls[0]}/free/base`]) {
    await stack.reconfigure({ gateway: { origin: { url } } });
    const mark = await stack.mark();
    const { status, body } = await json("/__mpp/health");
    assert.equal(status, 503, url);
    assert.equal(body.origin, looped, url);
    await mark.nothing();
  }
  await stack.reconfigure({});
  let seen;
  origin.always({
    answer({ headers }, response) {
      seen = headers["mpp-edge-probe"];
      response.writeHead(508, headers);
      response.end();
    },
  });
  assert.equal((await json("/__mpp/health")).body.origin, "good", "an echo is no gateway");
  origin.reset();
  // A mark is good for an answer to itself and nothing else; strangers cannot make one.
  assert.match(seen, /^[\w-]+\.[\w-]+$/);
  for (const path of ["/free/page", "/v1/reports/1"]) {
    for (const [mark, expected] of [
      [seen, 508],
      [`${seen.slice(0, -1)}${seen.endsWith("A") ? "E" : "A"}`, path === "/free/page" ? 200 : 402],
      ["x", path === "/free/page" ? 200 : 402],
    ]) {
      const before = await stack.mark();
      const answer = await stack.send(path, { headers: { "Mpp-Edge-Probe": mark } });
      assert.equal(answer.status, expected, `${path} ${mark}`);
      await before.moved({ origin: expected === 200 ? 1 : 0 });
    }
  }
});

test("health is not good when the settlement account has nothing to pay gas with", async () => {
  const value = await chain.public.getBalance({ address: settlement.address });
  const setBalance = (amount) => chain.test.setBalance({ address: settlement.address, value: amount });
  const { status, text } = await healthAfter(
    () => setBalance(0n),
    () => setBalance(value),
  );
  assert.equal(status, 503, text);
});

for (const [name, fault] of Object.entries({ slow: faulty.slow(300), broken: faulty.http(500), "not answering": faulty.hang })) {
  test(`C13: 300 health checks at once ask once, also while the provider is ${name}`, async (t) => {
    await gateway.restart();
    rpc.fail("*", fault);
    rpc.forget();
    const mark = await stack.mark();
    const started = Date.now();
    const answers = await Promise.all(Array.from({ length: 300 }, () => stack.send("/__mpp/health")));
    const [{ status, text }] = answers;
    assert.equal(status, name === "slow" ? 200 : 503, text);
    for (const answer of answers) assert.equal(answer.text, text, "all are told the same");
    // And those that come after them are told it for a while.
    if (Date.now() - started < 2_500) assert.equal((await stack.send("/__mpp/health")).text, text);
    t.diagnostic(`${rpc.posts} requests to the provider`);
    assert.ok(rpc.posts <= 2, `${rpc.posts} requests to the provider`);
    assert.equal((await mark.difference()).origin, 1);
  });
}

test("C13: clients that hang up do not have it asked again", async () => {
  await gateway.restart();
  rpc.fail("*", faulty.slow(500));
  rpc.forget();
  for (let i = 0; i < 20; i++) {
    let request;
    const gone = stack.open("/__mpp/health", { onRequest: (one) => (request = one) }).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 20));
    request.destroy();
    await gone;
  }
  assert.equal((await json("/__mpp/health")).status, 200);
  assert.ok(rpc.posts <= 2, `${rpc.posts} requests to the provider`);
});

test("the config endpoint says what a client may know: chain, token, recipient, prices", async () => {
  const mark = await stack.mark();
  const { status, body, text } = await json("/__mpp/config");
  assert.equal(status, 200);
  assert.ok(text.includes(stack.token.address));
  assert.ok(text.includes(stack.recipient));
  assert.ok(text.includes(String(CHAIN_ID)));
  for (const { path } of body.routes) assert.equal(typeof path, "string");
  assert.ok(body.routes.some(({ path }) => path === "/v1/reports/{id}"));
  await mark.nothing();
});

test("the config endpoint says nothing of providers, origin, or keys", async () => {
  const { text } = await json("/__mpp/config");
  for (const hidden of [String(rpc.port), String(origin.port), "PRIVATE", "SECRET"]) assert.ok(!text.includes(hidden), hidden);
});

test("the gateway's own paths never reach the origin, and other methods on them do nothing", async () => {
  const mark = await stack.mark();
  for (const path of ["/__mpp/health", "/__mpp/config"]) {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const answer = await stack.send(path, { method });
      assert.ok([400, 405].includes(answer.status), `${method} ${path}: ${answer.status}`);
    }
  }
  for (const path of ["/__mpp", "/__mpp/", "/__mpp/nothing", "/__mpp/health/x", "/__MPP/health", "//__mpp/health"]) {
    const answer = await stack.send(path);
    assert.ok([200, 404].includes(answer.status), `${path}: ${answer.status}`);
    if (answer.status === 200 && origin.requests.length > 0) assert.ok(!origin.requests.at(-1).url.startsWith("/__mpp/"));
  }
  const { transactions } = await mark.difference();
  assert.equal(transactions, 0);
});

test("failures of every kind print neither secrets nor credentials", async () => {
  rpc.fail("*", faulty.error("invalid key rpc-url-key for this endpoint", -32000));
  await stack.pay("/v1/reports/1");
  rpc.heal();
  await rpc.refuse();
  await stack.pay("/v1/reports/1");
  await rpc.accept();
  await origin.refuse();
  const { answer } = await stack.pay("/v1/reports/1");
  await origin.accept();
  assert.equal(answer.status, 502);
  assert.ok(!answer.text.includes(String(origin.port)), "the origin's address is nobody's business");
  stack.assertDiscreetLogs();
});
