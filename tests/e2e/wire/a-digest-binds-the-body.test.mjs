// Requests with a body: bound by digest where the route says so, streamed untouched where it does not.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { test } from "node:test";
import { mppxClient } from "../harness/clients.mjs";
import { expectPaid, expectProblem } from "../harness/expect.mjs";
import { digestOf, reissue } from "../harness/protocol.mjs";
import { SECRET, startStack } from "../harness/stack.mjs";

const LIMIT = 65_536;
const stack = await startStack({ gateway: { limits: { digestBodyBytes: LIMIT } } });
const { origin } = stack;
const ANSWERS = "/v1/answers";
const PAID = { origin: 1, transactions: 1, transfers: 1, amount: 20_000n };
const post = (body) => ({ method: "POST", body, headers: { "Content-Type": "application/json" } });
const QUESTION = JSON.stringify({ question: "how much is ünïcode?" });

test("a route with digest binds the body: the challenge names its hash", async () => {
  const mark = await stack.mark();
  const answer = await stack.send(ANSWERS, post(QUESTION));
  expectProblem(answer, 402, "payment-required");
  for (const { digest } of answer.challenges) assert.equal(digest, digestOf(QUESTION));
  await mark.nothing();
});

for (const scheme of ["evm", "abstract"]) {
  test(`${scheme}: the right body pays and reaches the origin as it was sent`, async () => {
    const mark = await stack.mark();
    const { answer, credential } = await stack.pay(ANSWERS, { scheme, ...post(QUESTION) });
    await expectPaid(stack, answer, credential);
    const { body, headers } = origin.requests.at(-1);
    assert.equal(body.toString(), QUESTION);
    assert.equal(headers["content-type"], "application/json");
    await mark.moved(PAID);
  });

  test(`${scheme}: another body than the one that was priced is refused`, async () => {
    for (const changed of [`${QUESTION} `, QUESTION.replace("how", "why"), "", QUESTION.slice(0, -1)]) {
      const mark = await stack.mark();
      const credential = await stack.credential(ANSWERS, { scheme, ...post(QUESTION) });
      const { answer } = await stack.present(ANSWERS, credential, post(changed));
      expectProblem(answer, 402, "invalid-challenge", "verification-failed");
      await mark.nothing();
    }
  });
}

test("mppx's own client pays for a POST", async () => {
  const mark = await stack.mark();
  const { fetch } = mppxClient(stack.payers[1], stack.token);
  const response = await fetch(stack.gateway.urls[0] + ANSWERS, post(QUESTION));
  assert.equal(response.status, 200, await response.clone().text());
  assert.equal(origin.requests.at(-1).body.toString(), QUESTION);
  await mark.moved(PAID);
});

test("a digest cannot be taken out of a challenge, nor swapped, nor be somebody else's", async () => {
  const other = digestOf("another body");
  for (const digest of [undefined, other]) {
    const mark = await stack.mark();
    const credential = await stack.credential(ANSWERS, post(QUESTION));
    const edited = { ...credential, challenge: { ...credential.challenge, digest } };
    expectProblem((await stack.present(ANSWERS, edited, post(QUESTION))).answer, 402, "invalid-challenge");
    await mark.nothing();
  }
});

test("the draft's own form of a digest is accepted as well", async () => {
  const mark = await stack.mark();
  const digest = digestOf(QUESTION).replace("=", "=:").concat(":");
  const challenge = reissue(await stack.challenge(ANSWERS, post(QUESTION)), SECRET, { digest });
  const credential = await stack.sign(challenge);
  const { answer } = await stack.present(ANSWERS, credential, post(QUESTION));
  await expectPaid(stack, answer, credential);
  await mark.moved(PAID);
});

test("a body of exactly the limit is hashed, one byte more is refused before it is bought", async () => {
  const mark = await stack.mark();
  const fits = randomBytes(LIMIT);
  const { answer, credential } = await stack.pay(ANSWERS, { method: "POST", body: fits });
  await expectPaid(stack, answer, credential);
  assert.ok(origin.requests.at(-1).body.equals(fits));
  await mark.moved(PAID);

  const none = await stack.mark();
  const large = await stack.send(ANSWERS, { method: "POST", body: randomBytes(LIMIT + 1) });
  expectProblem(large, 413);
  const announced = await stack.send(ANSWERS, { method: "POST", body: randomBytes(4 * LIMIT) });
  expectProblem(announced, 413);
  const chunked = await stack.send(ANSWERS, { method: "POST", body: Readable.from([randomBytes(LIMIT), randomBytes(1)]) });
  expectProblem(chunked, 413);
  await none.nothing();
});

test("a chunked body is hashed like any other", async () => {
  const mark = await stack.mark();
  const chunks = () => Readable.from([QUESTION.slice(0, 5), QUESTION.slice(5)]);
  const challenge = await stack.challenge(ANSWERS, { method: "POST", body: chunks() });
  assert.equal(challenge.digest, digestOf(QUESTION));
  const credential = await stack.sign(challenge);
  const { answer } = await stack.present(ANSWERS, credential, { method: "POST", body: chunks() });
  await expectPaid(stack, answer, credential);
  assert.equal(origin.requests.at(-1).body.toString(), QUESTION);
  await mark.moved(PAID);
});

test("an empty body has a digest too", async () => {
  const mark = await stack.mark();
  const { answer, credential } = await stack.pay(ANSWERS, { method: "POST" });
  await expectPaid(stack, answer, credential);
  await mark.moved(PAID);
});

test("without digest the body is no part of the price, however large it is", async () => {
  const mark = await stack.mark();
  const body = randomBytes(8 * 1024 * 1024);
  const credential = await stack.credential("/v1/uploads", { method: "POST", body: "first try" });
  assert.equal(credential.challenge.digest, undefined);
  const { answer } = await stack.present("/v1/uploads", credential, { method: "POST", body });
  await expectPaid(stack, answer, credential);
  assert.ok(origin.requests.at(-1).body.equals(body));
  await mark.moved(PAID);
});

test("a paid upload is streamed: the origin sees its beginning before the client sent its end", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential("/v1/uploads", { method: "POST" });
  const body = new Readable({ read() {} });
  const firstByte = new Promise((resolve) => {
    origin.next({
      early(request, response) {
        request.once("data", (chunk) => resolve(chunk.toString()));
        request.on("end", () => response.end("thank you"));
      },
    });
  });
  const paid = stack.present("/v1/uploads", credential, { method: "POST", body });
  body.push("beginning");
  assert.equal(await firstByte, "beginning");
  body.push("end");
  body.push(null);
  const { answer } = await paid;
  assert.equal(answer.text, "thank you");
  await expectPaid(stack, answer, credential);
  await mark.moved(PAID);
});

test("a resend after the origin failed carries its body again", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(ANSWERS, post(QUESTION));
  origin.next({ answer: (_request, response) => response.writeHead(500).end() });
  assert.equal((await stack.present(ANSWERS, credential, post(QUESTION))).answer.status, 500);
  const { answer } = await stack.present(ANSWERS, credential, post(QUESTION));
  await expectPaid(stack, answer, credential);
  assert.equal(origin.requests.at(-1).body.toString(), QUESTION);
  await mark.moved({ ...PAID, origin: 2 });
});
