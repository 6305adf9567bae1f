// C4: every spelling that an origin could take for a priced path is priced.
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { sendBytes } from "../harness/http.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const { origin } = stack;

/** Spellings of /premium/x and /v1/reports/1 that some server or framework reads as the priced path. */
const disguises = [
  "/premium/x",
  "/premium/",
  "/premium",
  "//premium/x",
  "/premium//x",
  "///premium///x",
  "/./premium/x",
  "/premium/./x",
  "/free/../premium/x",
  "/free/%2e%2e/premium/x",
  "/free/%2E%2E/premium/x",
  "/free/.%2e/premium/x",
  "/free/..%2fpremium/x",
  "/free%2f..%2fpremium/x",
  "/free/..%5cpremium/x",
  "/free/..\\premium/x",
  "/%70remium/x",
  "/prem%69um/x",
  "/premium%2fx",
  "/premium%2Fx",
  "/premium%5cx",
  "/premium\\x",
  "\\premium\\x",
  "/premium;v=1/x",
  "/premium/x;jsessionid=1",
  "/;x/premium/x",
  "/PREMIUM/x",
  "/Premium/x",
  "/premium/x/",
  "/premium/%78",
  "/premium/x%00",
  "/premium/x%20",
  "/premium/x.",
  "/premium/x#fragment",
  "/premium?x",
  "/premium/?/../free",
  "/premium/x?../../free",
  "/v1/reports/1/",
  "/v1//reports/1",
  "/v1/reports/1;a=b",
  "/v1/reports;a=b/1",
  "/V1/Reports/1",
  "/v1/reports/%31",
  "/v1%2freports%2f1",
  "/v1/./reports/1",
  "/v1/x/../reports/1",
  "/x/..;/premium/x",
  "/%2e/;/%2e%2e/premium/x",
];
for (const path of disguises) {
  test(`${path} is paid for`, async () => {
    const mark = await stack.mark();
    const answer = await stack.send(path);
    // Asked to pay, or refused as nonsense: in no case served for nothing.
    assert.ok([400, 402, 404].includes(answer.status), `${answer.status} ${answer.text}`);
    if (answer.status === 402) expectProblem(answer, 402, "payment-required");
    await mark.nothing();
  });
}

/** Servers differ in what `..` takes away after an empty segment, and in when a decoded `?` or `#` ends a path: any one counts. */
const ambiguous = [
  "/v1//../same",
  "/v1/;/../same",
  "/v1/.../../same",
  "/v1/reports//../1",
  "/premium//../x",
  "/v1/same%3fx",
  "/v1/same%3Fx",
  "/v1/same%253fx",
  "/v1/same%23x",
  "/free%3f%2f..%2fpremium%2fx",
];
for (const path of ambiguous) {
  test(`${path}, which servers read differently, is asked to pay`, async () => {
    const mark = await stack.mark();
    expectProblem(await stack.send(path), 402, "payment-required");
    await mark.nothing();
  });
}

test("an encoded question mark is priced, and is not made a real one on the way to the origin", async () => {
  const mark = await stack.mark();
  const { answer, credential } = await stack.pay("/v1/same%3fx");
  await expectPaid(stack, answer, credential);
  assert.match(origin.requests.at(-1).url, /^\/v1\/same(%3fx)?$/i);
  await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 10_000n });
});

test("a free path with dots reaches the origin resolved, as it was judged: nothing is left to read differently", async () => {
  const mark = await stack.mark();
  const answer = await stack.send("/free/%2f../../premium/x");
  assert.equal(answer.status, 200, answer.text);
  assert.equal(origin.requests.at(-1).url, "/free/premium/x");
  await mark.moved({ origin: 1 });
});

for (const path of ["http://127.0.0.1/premium/x", "http://evil.example/premium/x"]) {
  test(`${path} in absolute form is paid for`, async () => {
    const mark = await stack.mark();
    const answer = await stack.send(path);
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text}`);
    await mark.nothing();
  });
}

test("the neighbours of a priced path are free: borders are those of segments", async () => {
  for (const path of [
    "/premiumfoo",
    "/premium-x/y",
    "/xpremium/x",
    "/a/premium/x",
    "/v1/reportsx/1",
    "/v1/reports",
    "/v1/reports/",
    "/v2/reports/1",
  ]) {
    const mark = await stack.mark();
    const answer = await stack.send(path);
    assert.equal(answer.status, 200, `${path}: ${answer.status} ${answer.text}`);
    assert.equal(origin.requests.at(-1).url, path);
    await mark.moved({ origin: 1 });
  }
});

test("what is paid for reaches the origin as the client spelled it, or as the rule that priced it", async () => {
  for (const path of ["/premium/a%20b", "/premium/%C3%BC", "/premium/x?q=%2F&r=a+b", "/premium/a:b@c,d=e!$&'()*+"]) {
    const mark = await stack.mark();
    const { answer, credential } = await stack.pay(path);
    await expectPaid(stack, answer, credential);
    assert.equal(origin.requests.at(-1).url, path);
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 50_000n });
  }
});

test("a path in disguise, once paid, is the priced path and nothing else at the origin", async () => {
  for (const path of ["/free/../premium/x", "//premium/x", "/%70remium/x"]) {
    const unpaid = await stack.send(path);
    if (unpaid.status !== 402) continue;
    const { answer } = await stack.pay(path);
    assert.equal(answer.status, 200, `${path} ${answer.text}`);
    const { url } = origin.requests.at(-1);
    assert.match(decodeURIComponent(url).replace(/\/+/g, "/"), /^\/premium\/x$/, url);
  }
});

for (const method of ["get", "Get", "GETX", "PROPFIND", "TRACE", "M-SEARCH"]) {
  test(`the method ${method} is no way around a route that prices all methods`, async () => {
    const mark = await stack.mark();
    const answer = await stack.send("/v1/same", { method }).catch((error) => ({ status: error.code ?? error.message }));
    assert.notEqual(answer.status, 200);
    await mark.nothing();
  });
}

test("CONNECT makes no tunnel", async () => {
  const mark = await stack.mark();
  for (const target of ["/v1/same", `127.0.0.1:${origin.port}`, "evil.example:443"]) {
    const bytes = `CONNECT ${target} HTTP/1.1\r\nHost: ${stack.host}\r\nConnection: close\r\n\r\n`;
    const status = await sendBytes(stack.gateway.urls[0], bytes);
    assert.ok(status === undefined || status >= 400, String(status));
  }
  await mark.nothing();
});

test("A29: an upgrade to a WebSocket is refused on a priced route, before anything is charged and without a challenge", async () => {
  const headers = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  };
  const refused = async (answer) => {
    expectProblem(await answer, 400, "bad-request");
    assert.deepEqual((await answer).challenges, []);
    assert.match((await answer).json.detail, /WebSocket/);
  };
  const credential = await stack.credential("/v1/same");
  const mark = await stack.mark();
  for (const path of ["/v1/same", "/premium/x"]) await refused(stack.send(path, { headers }));
  await refused(stack.present("/v1/same", credential, { headers }).then(({ answer }) => answer));
  await refused(stack.send("/v1/same", { headers: { ...headers, Upgrade: "h2c, WebSocket" } }));
  await mark.nothing();
  // Where nothing is sold it is the origin's.
  await stack.send("/free/socket", { headers });
  assert.equal(origin.requests.at(-1).headers.upgrade, "websocket");
  await mark.moved({ origin: 1 });
});

test("X-HTTP-Method-Override does not turn a free method into a priced one at the origin", async () => {
  const names = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"];
  const headers = Object.fromEntries(names.map((name) => [name, "GET"]));
  const answer = await stack.send("/v1/reports/1", { method: "POST", headers });
  if (answer.status === 402) return;
  const { headers: received } = origin.requests.at(-1);
  for (const name of names) assert.equal(received[name.toLowerCase()], undefined, name);
});

/** An origin that reads paths as file servers do: decoded, then resolved. What it serves stands in its answer. */
const fileServer = {
  answer(request, response) {
    const path = decodeURIComponent(request.url.split("?")[0]).replaceAll("\\", "/");
    const resolved = new URL(path, "http://origin").pathname;
    response.end(`file ${resolved}`);
  },
};

for (const broken of [false, true]) {
  const title = `A26: a path that leaves the base URL of the origin is refused${broken ? ", under a wrong configuration too" : ""}`;
  test(title, async () => {
    const origin = { url: `${stack.origin.url}/api` };
    await stack.reconfigure({ gateway: broken ? { origin, recipient: "nobody" } : { origin } });
    stack.origin.always(fileServer);
    const mark = await stack.mark();
    const leaving = [
      "/..%2fapi/premium/x",
      "/..%2finternal/keys.txt",
      "/free/..%2f..%2finternal",
      "/%2e%2e%2finternal",
      "/..%5cinternal",
    ];
    for (const path of [...leaving, "/..;/internal", "/%252e%252e%252finternal", "/x%3f/..%2f..%2finternal"]) {
      const answer = await stack.send(path);
      expectProblem(answer, 400, "bad-request");
      assert.match(answer.json.detail, /^path: /, path);
    }
    for (const path of ["/..%2fpremium/x", "/premium/..%2f..%2fpremium/x"])
      expectProblem(await stack.send(path), 400, "bad-request");
    await mark.nothing();
    // What stays below is what it was: free, or priced by what is below.
    const answer = await stack.send("/free/a%2f..%2fb");
    assert.equal(answer.text, "file /api/free/b");
    const priced = await stack.send("/free/..%2fpremium/x");
    assert.equal(priced.status, broken ? 500 : 402);
    await mark.moved({ origin: 1 });
  });
}
