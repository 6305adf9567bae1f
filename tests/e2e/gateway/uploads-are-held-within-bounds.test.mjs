// C12: bodies that are read before they are paid for: nothing of them is held for who proves nothing, and little for anybody.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import net from "node:net";
import { test } from "node:test";
import { expectPaid, expectProblem, expectTryAgain } from "../harness/expect.mjs";
import { until } from "../harness/processes.mjs";
import { encodeCredential } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const IDLE = 3;
const stack = await startStack({ gateway: { limits: { originTimeoutSeconds: IDLE } } });
const PATH = "/v1/answers";
const MEGABYTE = 1024 * 1024;
const BODY = randomBytes(MEGABYTE);

/** An upload that stops before its last byte. `answer` resolves with the status and the problem. */
function upload({ authorization, length = MEGABYTE, sent = length - 1 } = {}) {
  const { hostname, port } = new URL(stack.gateway.urls[0]);
  const lines = [`POST ${PATH} HTTP/1.1`, `Host: ${stack.host}`, `Content-Length: ${length}`];
  if (authorization) lines.push(`Authorization: ${authorization}`);
  const socket = net.connect(Number(port), hostname);
  const written = new Promise((resolve) => {
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    socket.write(BODY.subarray(0, sent), resolve);
  });
  let text = "";
  const answer = new Promise((resolve) => {
    socket.setEncoding("latin1").on("data", (chunk) => {
      text += chunk;
      const head = /^HTTP\/1\.1 (\d{3})[\s\S]*?\r\n\r\n([\s\S]*\})/.exec(text);
      if (head) resolve({ status: Number(head[1]), text });
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve({ status: undefined, text }));
  });
  return { written, answer, finish: () => socket.write(BODY.subarray(sent)), hangUp: () => socket.destroy() };
}

/** The resident memory of workerd, in bytes. */
function resident() {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${stack.gateway.pid}/status`, "utf8"));
  return 1024 * Number(kilobytes);
}

/** Begins `count` uploads, looks at the memory when all have come as far as they do, and ends them. */
async function crowd(count, options) {
  const before = resident();
  const uploads = Array.from({ length: count }, () => upload(options));
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, resident());
  }, 50);
  const answers = await Promise.all(uploads.map(({ answer }) => answer));
  clearInterval(watch);
  return { grown: most - before, answers };
}

const post = { method: "POST", body: BODY };

test("C12: bodies whose credential is right are held up to 16 MiB at once, then 503; what is held is given back", async (t) => {
  const credential = await stack.credential(PATH, { ...post, payer: stack.payers[1] });
  const authorization = encodeCredential(credential);
  const mark = await stack.mark();
  const { grown, answers } = await crowd(100, { authorization });
  t.diagnostic(`${(grown / MEGABYTE).toFixed(1)} MB more`);
  const counted = (status) => answers.filter((answer) => answer.status === status);
  assert.equal(counted(408).length + counted(503).length, 100);
  assert.ok(counted(503).length >= 80, `${counted(503).length} of 100 had no room`);
  for (const { text } of counted(503)) assert.match(text, /retry-after: \d/i);
  // What is held, and what the runtime has not collected yet.
  assert.ok(grown < 120 * MEGABYTE, `${grown}`);
  await mark.nothing();

  // Those who hang up give back what they held, at once or when their time is over.
  const leaving = Array.from({ length: 20 }, () => upload({ authorization }));
  await Promise.all(leaving.map(({ written }) => written));
  for (const { hangUp } of leaving) hangUp();
  const paid = await until(async () => {
    const { answer } = await stack.present(PATH, credential, post);
    if (answer.status === 503) return expectTryAgain(answer);
    return answer;
  }, "room for a body");
  await expectPaid(stack, paid, credential);
});

test("C12: 400 slow uploads of a megabyte without a credential are not held, and are ended when they stop", async (t) => {
  const mark = await stack.mark();
  const { grown, answers } = await crowd(400);
  t.diagnostic(`${(grown / MEGABYTE).toFixed(1)} MB more`);
  // The runtime collects its own buffers late, but of all that came only the hash is kept.
  assert.ok(grown < 380 * MEGABYTE, `${grown}`);
  for (const { status } of answers) assert.equal(status, 408);
  await mark.nothing();
});

test("C12: a credential is judged before the body comes: one that is wrong holds nothing of it", async (t) => {
  const credential = await stack.credential(PATH, post);
  const forged = { ...credential, payload: { ...credential.payload, signature: `0x${"11".repeat(65)}` } };
  const changed = { ...credential, challenge: { ...credential.challenge, realm: "elsewhere" } };
  for (const wrong of [forged, changed]) {
    const mark = await stack.mark();
    const slow = Array.from({ length: 40 }, () => upload({ authorization: encodeCredential(wrong) }));
    await Promise.all(slow.map(({ written }) => written));
    // They would be more than may be held: who pays meanwhile finds room.
    const { answer, credential: good } = await stack.pay(PATH, post);
    await expectPaid(stack, answer, good);
    assert.ok(stack.origin.requests.at(-1).body.equals(BODY));
    await mark.moved({ origin: 1, transactions: 1, transfers: 1, amount: 20_000n });
    for (const { hangUp } of slow) hangUp();
  }
  // And one that has come gets a challenge for its body.
  const { answer } = await stack.present(PATH, forged, post);
  expectProblem(answer, 402);
  assert.equal(answer.challenge().digest, credential.challenge.digest);
  t.diagnostic(`${(resident() / MEGABYTE).toFixed(0)} MB resident`);
});

test("C12: what announces more than the limit is refused before any of it has come", async () => {
  const { answer, hangUp } = upload({ length: MEGABYTE + 1, sent: 0 });
  assert.equal((await answer).status, 413);
  hangUp();
});

test("C12: an upload that is slow but goes on is taken", async () => {
  const slow = upload({ sent: MEGABYTE / 2 });
  await slow.written;
  await new Promise((resolve) => setTimeout(resolve, (IDLE * 1_000) / 2));
  slow.finish();
  assert.equal((await slow.answer).status, 402);
});
