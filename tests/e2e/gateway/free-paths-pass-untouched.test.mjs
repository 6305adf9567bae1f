// Unpriced paths pass untouched and unbuffered, whatever kind of origin is behind them.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { afterEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { expectPaid } from "../harness/expect.mjs";
import { faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack({ services: ({ origin }) => ({ ORIGIN: `127.0.0.1:${origin.port}` }) });
const { origin } = stack;

afterEach(() => origin.reset());

for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]) {
  test(`${method} passes with its query, headers and body`, async () => {
    const mark = await stack.mark();
    const hasBody = !["GET", "HEAD", "OPTIONS"].includes(method);
    const body = hasBody ? randomBytes(1_000) : undefined;
    const answer = await stack.send("/free/a%20b?q=%2F&q=2&empty=", { method, body, headers: { "X-Own": "1" } });
    assert.equal(answer.status, 200, answer.text);
    const request = origin.requests.at(-1);
    assert.equal(request.method, method);
    assert.equal(request.url, "/free/a%20b?q=%2F&q=2&empty=");
    assert.equal(request.headers["x-own"], "1");
    if (body) assert.ok(request.body.equals(body));
    assert.equal(answer.receipt, undefined);
    await mark.moved({ origin: 1 });
  });
}

for (const status of [200, 201, 204, 301, 304, 400, 401, 402, 404, 418, 500, 503]) {
  test(`the origin's ${status} passes`, async () => {
    origin.next(
      faults.status(
        status,
        { "x-origin": "yes", "cache-control": "max-age=5" },
        status === 204 || status === 304 ? undefined : "text",
      ),
    );
    const answer = await stack.send("/free/page");
    assert.equal(answer.status, status);
    assert.equal(answer.headers["x-origin"], "yes");
    assert.equal(answer.headers["cache-control"], "max-age=5");
  });
}

test("several Set-Cookie lines stay several", async () => {
  origin.next({
    answer(_request, response) {
      response.writeHead(
        200,
        [
          ["set-cookie", "a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT"],
          ["set-cookie", "b=2"],
        ].flat(),
      );
      response.end();
    },
  });
  const answer = await stack.send("/free/page");
  assert.deepEqual(answer.all("set-cookie"), ["a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT", "b=2"]);
});

test("compressed content is not touched", async () => {
  const body = gzipSync("compressed content ".repeat(100));
  origin.next(faults.status(200, { "content-encoding": "gzip", etag: '"strong"' }, body));
  const answer = await stack.send("/free/page", { headers: { "Accept-Encoding": "gzip" } });
  assert.equal(answer.headers["content-encoding"], "gzip");
  assert.equal(answer.headers.etag, '"strong"');
  assert.ok(answer.body.equals(body));
});

test("the first chunk arrives before the origin has finished", async () => {
  let finish;
  origin.next(
    faults.stream((response) => {
      response.write("data: one\n\n");
      finish = () => response.end("data: two\n\n");
    }),
  );
  const response = await stack.open("/free/events");
  assert.equal(response.headers["content-type"], "text/event-stream");
  const chunks = response[Symbol.asyncIterator]();
  assert.equal((await chunks.next()).value.toString(), "data: one\n\n");
  finish();
  assert.equal((await chunks.next()).value.toString(), "data: two\n\n");
  assert.ok((await chunks.next()).done);
});

test("a request body is streamed: the origin reads its beginning before its end was sent", async () => {
  const body = new Readable({ read() {} });
  const first = new Promise((resolve) => {
    origin.next({
      early(request, response) {
        request.once("data", (chunk) => resolve(chunk.toString()));
        request.on("end", () => response.end("got it"));
      },
    });
  });
  const sent = stack.send("/free/upload", { method: "POST", body });
  body.push("beginning");
  assert.equal(await first, "beginning");
  body.push(null);
  assert.equal((await sent).text, "got it");
});

test("64 MiB pass both ways unchanged", async () => {
  const block = randomBytes(1024 * 1024);
  const blocks = 64;
  const expected = createHash("sha256");
  for (let i = 0; i < blocks; i++) expected.update(block);
  const wanted = expected.digest("hex");
  const received = createHash("sha256");
  origin.next({
    early(request, response) {
      request.on("data", (chunk) => received.update(chunk));
      request.on("end", () => Readable.from(Array.from({ length: blocks }, () => block)).pipe(response));
    },
  });
  const body = Readable.from(Array.from({ length: blocks }, () => block));
  const response = await stack.open("/free/large", { method: "POST", body });
  const back = createHash("sha256");
  for await (const chunk of response) back.update(chunk);
  assert.equal(received.digest("hex"), wanted);
  assert.equal(back.digest("hex"), wanted);
});

for (const announced of [true, false]) {
  test(`a paid request and its answer are watched, and pass unchanged: bodies ${announced ? "of known length" : "in chunks"}`, async () => {
    // The ends of pieces that are read, and of the half that is watched, fall where nothing else does.
    for (const length of [1, 16 * 1024, 100_003, 2 * 1024 * 1024 + 1, 9_000_001]) {
      const [up, down] = [randomBytes(length), randomBytes(length)];
      let received;
      origin.next({
        early(request, response) {
          const chunks = [];
          request.on("data", (chunk) => chunks.push(chunk));
          request.on("end", () => {
            received = Buffer.concat(chunks);
            response.writeHead(200, announced ? { "content-length": `${length}` } : {});
            response.end(down);
          });
        },
      });
      const credential = await stack.credential("/v1/uploads", { method: "POST" });
      const authorization = encodeCredential(credential);
      const body = announced ? up : Readable.from([up.subarray(0, 1), up.subarray(1)]);
      const response = await stack.open("/v1/uploads", { method: "POST", body, headers: { Authorization: authorization } });
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      assert.equal(response.statusCode, 200);
      assert.ok(received.equals(up), `${length} bytes up`);
      assert.ok(Buffer.concat(chunks).equals(down), `${length} bytes down`);
      assert.equal(response.headers["content-length"], announced ? `${length}` : undefined);
    }
  });
}

test("a client that does not read holds the origin back: nothing piles up in the gateway", async () => {
  const block = Buffer.alloc(64 * 1024, 0x61);
  let written = 0;
  let waiting = false;
  origin.next({
    answer(_request, response) {
      response.writeHead(200);
      const push = () => {
        while (!response.destroyed && response.write(block)) written += block.length;
        waiting = true;
      };
      response.on("drain", push);
      push();
    },
  });
  const response = await stack.open("/free/endless");
  response.pause();
  await until(() => waiting, "the origin to be held back");
  // Held back for good: what is in flight fits into the buffers of a few sockets, and does not grow.
  let before = -1;
  await until(async () => {
    if (before === written) return true;
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 500));
    return false;
  }, "the flow to stop");
  assert.ok(written < 64 * 1024 * 1024, `${written} bytes in flight`);
  response.destroy();
  const request = origin.requests.at(-1);
  await until(() => request.aborted, "the origin to see its client go");
});

test("an unreachable origin of a free path is 502 with a problem, not a stack trace", async () => {
  await origin.refuse();
  const answer = await stack.send("/free/page");
  await origin.accept();
  assert.equal(answer.status, 502);
  assert.match(answer.headers["content-type"], /problem\+json/);
});

test("an origin behind a service binding is paid for and reached the same way", async () => {
  await stack.reconfigure({ gateway: { origin: { service: "ORIGIN" } } });
  const mark = await stack.mark();
  assert.equal((await stack.send("/free/page?x=1")).text, "content of GET /free/page?x=1");
  const { answer, credential } = await stack.pay("/v1/reports/1");
  await expectPaid(stack, answer, credential);
  assert.equal(origin.requests.at(-1).headers["x-payment-payer"], credential.payload.from);
  await mark.moved({ origin: 2, transactions: 1, transfers: 1, amount: 10_000n });
});
