// Clients that go away. Before anything was delivered, nothing is lost; afterwards, nothing is given twice.
import assert from "node:assert/strict";
import net from "node:net";
import { afterEach, test } from "node:test";
import { expectPaid, expectProblem } from "./harness/expect.mjs";
import { leaveAt } from "./harness/leaving.mjs";
import { faults } from "./harness/origin.mjs";
import { until } from "./harness/processes.mjs";
import { encodeCredential } from "./harness/protocol.mjs";
import { startStack } from "./harness/stack.mjs";

const stack = await startStack({ gateway: { limits: { settlementTimeoutSeconds: 20, originTimeoutSeconds: 20 } } });
const { chain, origin, settlement } = stack;
const PATH = "/v1/reports/1";
const LATE = "/v1/late";
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };

afterEach(async () => {
  origin.reset();
  await chain.resumeMining();
});

/** Presents a credential and hangs up once `moment` has come; resolves with whether that was before an answer. */
const hangUpAt = (path, credential, moment) => leaveAt(stack, path, { authorization: encodeCredential(credential) }, moment);

/** Reads the beginning of a delivered body and hangs up; resolves when the origin has noticed. */
async function tasteAndLeave(path, credential) {
  const authorization = encodeCredential(credential);
  const response = await stack.open(path, { headers: { authorization } });
  assert.equal(response.statusCode, 200);
  await response[Symbol.asyncIterator]().next();
  response.socket.resetAndDestroy();
  const request = origin.requests.at(-1);
  await until(() => request.aborted, "the origin to see its client go");
  return authorization;
}

/** An answer of 256 MiB with its length announced: more than buffers hold. */
const huge = () => ({
  answer(_request, response) {
    const block = Buffer.alloc(1024 * 1024, 0x61);
    let left = 256;
    response.writeHead(200, { "content-length": String(left * block.length) });
    const push = () => {
      while (left > 0 && !response.destroyed) {
        left -= 1;
        if (!response.write(block)) return response.once("drain", push);
      }
      return response.end();
    };
    push();
  },
});

test("a client that leaves while its payment settles can come back for what it paid", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  await chain.pauseMining();
  const authorization = encodeCredential(credential);
  assert.ok(await hangUpAt(PATH, credential, () => chain.submitted(settlement.address)));
  await chain.resumeMining();
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  expectProblem(await stack.send(PATH, { authorization }), 402, "invalid-challenge");
  const { transactions, transfers } = await mark.difference();
  assert.deepEqual({ transactions, transfers }, { transactions: 1, transfers: 1 });
});

test("a client that leaves while the origin works can come back before the origin's time is up", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  origin.next(faults.hang());
  const seen = origin.requests.length;
  const authorization = encodeCredential(credential);
  assert.ok(await hangUpAt(PATH, credential, () => origin.arrival(seen + 1)));
  await expectPaid(stack, await stack.resume(PATH, authorization, { ms: 15_000 }), credential);
  await mark.moved({ ...ONE, origin: 2 });
});

test("a client that leaves and comes back ten times is delivered to once and pays once", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  origin.always(faults.hang());
  const authorization = encodeCredential(credential);
  for (let i = 0; i < 10; i++) {
    const seen = origin.requests.length;
    await until(() => hangUpAt(PATH, credential, () => origin.arrival(seen + 1)), "the origin to be asked again");
  }
  origin.reset();
  await expectPaid(stack, await stack.resume(PATH, authorization), credential);
  expectProblem(await stack.send(PATH, { authorization }), 402, "invalid-challenge");
  await mark.moved({ ...ONE, origin: 11 });
});

test("after-origin: a client that leaves while the origin works is not charged, and can come back", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(LATE);
  origin.next(faults.hang());
  const seen = origin.requests.length;
  const authorization = encodeCredential(credential);
  assert.ok(await hangUpAt(LATE, credential, () => origin.arrival(seen + 1)));
  await mark.moved({ origin: 1 });
  await expectPaid(stack, await stack.resume(LATE, authorization, { ms: 15_000 }), credential);
  await mark.moved({ ...ONE, amount: 30_000n, origin: 2 });
});

test("after-origin: a client that leaves while its payment settles leaves it open, and the next fetch is free", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(LATE);
  await chain.pauseMining();
  const authorization = encodeCredential(credential);
  assert.ok(await hangUpAt(LATE, credential, () => chain.submitted(settlement.address)));
  await mark.moved({ origin: 1 });
  await chain.resumeMining();
  const delivered = await stack.resume(LATE, authorization);
  await expectPaid(stack, delivered, credential);
  assert.equal(delivered.text, `content of GET ${LATE}`);
  expectProblem(await stack.send(LATE, { authorization }), 402, "invalid-challenge");
  await mark.moved({ ...ONE, amount: 30_000n, origin: 2 });
});

for (const path of [PATH, LATE]) {
  for (const [name, behaviour] of [
    ["an endless stream", faults.ticking],
    ["a body of known length", huge],
  ]) {
    test(`${path}: a client that has tasted ${name} and leaves has had what it paid for`, async () => {
      const mark = await stack.mark();
      const credential = await stack.credential(path);
      origin.next(behaviour());
      const authorization = await tasteAndLeave(path, credential);
      for (let i = 0; i < 3; i++) expectProblem(await stack.send(path, { authorization, via: i % 2 }), 402, "invalid-challenge");
      const { origin: requests, transfers } = await mark.difference();
      assert.deepEqual({ requests, transfers }, { requests: 1, transfers: 1 });
    });
  }
}

test("a client that breaks its own upload to cut the answer short has had what it read", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/uploads", { method: "POST" });
  const authorization = encodeCredential(credential);
  // An origin that answers before it has read everything, and gives up when its client does.
  origin.next(
    faults.raw((request, response) => {
      request.on("error", () => response.destroy());
      request.on("aborted", () => response.destroy());
      request.resume();
      response.writeHead(200, { "content-type": "text/plain" });
      response.write("all of the content");
    }),
  );
  const { hostname, port } = new URL(stack.gateway.urls[0]);
  const socket = net.connect(Number(port), hostname);
  let received = "";
  socket.setEncoding("latin1").on("data", (chunk) => {
    received += chunk;
  });
  socket.on("error", () => {});
  socket.write(
    `POST /v1/uploads HTTP/1.1\r\nHost: ${stack.host}\r\nAuthorization: ${authorization}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
  );
  await until(() => received.includes("all of the content"), "the content");
  socket.write("zz\r\nnot a chunk\r\n");
  const request = origin.requests.at(-1);
  await until(() => request.aborted, "the origin to see the upload break").catch(() => {});
  socket.destroy();
  await until(() => request.aborted, "the origin to see its client go").catch(() => {});
  const again = await stack.send("/v1/uploads", { method: "POST", authorization });
  expectProblem(again, 402, "invalid-challenge");
  await mark.moved({ ...ONE, amount: 20_000n });
});
