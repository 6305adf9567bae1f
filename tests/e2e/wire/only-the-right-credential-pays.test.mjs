// Credentials that were edited, borrowed, re-used or grown old (A7, A8, A9), and the forms a good one may have (WIRE §2).
import assert from "node:assert/strict";
import { test } from "node:test";
import { expectPaid, expectProblem, expectSpent } from "../harness/expect.mjs";
import { base64url, canonical, echo, encodeCredential, fromBase64url } from "../harness/protocol.mjs";
import { startStack } from "../harness/stack.mjs";

const stack = await startStack();
const PATH = "/v1/reports/1?full=yes";
const [alice, bob] = stack.payers;
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: 10_000n };

/** Changes one character of `value`, at `place` (0…1), into another of the same kind. */
function editOne(value, place) {
  const at = Math.min(Math.floor(value.length * place), value.length - 1);
  const old = value[at];
  const [one, other] = /\d/.test(old) ? ["7", "8"] : /[a-z]/.test(old) ? ["a", "b"] : ["Q", "R"];
  const swapped = old === one ? other : one;
  return value.slice(0, at) + swapped + value.slice(at + 1);
}

async function expectRefused(credential, path, types, options = {}) {
  const mark = await stack.mark();
  const { answer } = await stack.present(path, credential, options);
  const problem = expectProblem(answer, 402, ...types);
  await mark.nothing();
  return problem;
}

for (const scheme of ["evm", "abstract"]) {
  for (const field of ["id", "realm", "method", "intent", "request", "expires", "opaque"]) {
    test(`${scheme}: a challenge with one character of its ${field} edited is not ours`, async () => {
      for (const place of [0, 0.5, 1]) {
        const credential = await stack.credential(PATH, { scheme });
        const value = credential.challenge[field];
        const challenge = { ...credential.challenge, [field]: editOne(value, place) };
        await expectRefused({ ...credential, challenge }, PATH, ["invalid-challenge", "payment-expired"]);
      }
    });
  }

  test(`${scheme}: a challenge with a field left out is not ours`, async () => {
    for (const field of ["expires", "opaque"]) {
      const credential = await stack.credential(PATH, { scheme });
      const challenge = { ...credential.challenge, [field]: undefined };
      await expectRefused({ ...credential, challenge }, PATH, ["invalid-challenge"]);
    }
    for (const field of ["id", "realm", "method", "intent", "request"]) {
      const credential = await stack.credential(PATH, { scheme });
      const challenge = { ...credential.challenge, [field]: undefined };
      await expectRefused({ ...credential, challenge }, PATH, ["malformed-credential", "invalid-challenge"]);
    }
  });

  test(`${scheme}: a challenge with a field added that was never bound is not ours`, async () => {
    const credential = await stack.credential(PATH, { scheme });
    const challenge = { ...credential.challenge, digest: "sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" };
    await expectRefused({ ...credential, challenge }, PATH, ["invalid-challenge"]);
  });

  test(`${scheme}: fields cannot be moved across the separator of the binding`, async () => {
    const credential = await stack.credential(PATH, { scheme });
    const { realm, method } = credential.challenge;
    const challenge = { ...credential.challenge, realm: `${realm}|${method}`, method: credential.challenge.intent };
    await expectRefused({ ...credential, challenge }, PATH, ["invalid-challenge"]);
  });

  test(`${scheme}: an authorization that outlives its challenge by more than a day is refused, by a day it is not`, async () => {
    const aDayLater = ({ expires }, more) => String(Math.floor(Date.parse(expires) / 1000) + 86_400 + more);
    for (const more of [1, 60, 86_400 * 365]) {
      const challenge = await stack.challenge(PATH, { scheme });
      const credential = await stack.sign(challenge, { changes: { validBefore: aDayLater(challenge, more) } });
      await expectRefused(credential, PATH, ["verification-failed"]);
    }
    const challenge = await stack.challenge(PATH, { scheme });
    const credential = await stack.sign(challenge, { changes: { validBefore: aDayLater(challenge, 0) } });
    const mark = await stack.mark();
    await expectPaid(stack, (await stack.present(PATH, credential)).answer, credential);
    await mark.moved(ONE);
  });

  test(`${scheme}: a payload of another type is not taken here`, async () => {
    for (const type of ["transaction", "hash", "permit2", "authorizatioN", undefined, null, 7]) {
      const mark = await stack.mark();
      const credential = await stack.credential(PATH, { scheme });
      const { answer } = await stack.present(PATH, { ...credential, payload: { ...credential.payload, type } });
      if (answer.status === 400) expectProblem(answer, 400, "method-unsupported");
      else expectProblem(answer, 402, "malformed-credential", "verification-failed");
      await mark.nothing();
    }
  });

  for (const field of ["from", "nonce", "validAfter", "validBefore", "signature"]) {
    test(`${scheme}: a payload without its ${field} is malformed`, async () => {
      const credential = await stack.credential(PATH, { scheme });
      for (const value of [undefined, null, 7, "", {}, ["x"]]) {
        const payload = { ...credential.payload, [field]: value };
        await expectRefused({ ...credential, payload }, PATH, ["malformed-credential", "verification-failed"]);
      }
    });
  }

  test(`${scheme}: a source that is not the payer is refused`, async () => {
    const credential = await stack.credential(PATH, { scheme });
    for (const source of [
      `did:pkh:eip155:11124:${bob.address}`,
      `did:pkh:eip155:1:${alice.address}`,
      "did:key:z6Mk",
      alice.address,
      "",
    ]) {
      await expectRefused({ ...credential, source }, PATH, ["verification-failed", "malformed-credential"]);
    }
  });
}

for (const [field, value] of [
  ["to", bob.address],
  ["value", "9999"],
  ["nonce", `0x${"11".repeat(32)}`],
]) {
  test(`evm: a payload that signs another ${field} than the challenge asks for is refused`, async () => {
    const credential = await stack.credential(PATH, { changes: { [field]: value } });
    await expectRefused(credential, PATH, ["verification-failed", "payment-insufficient"]);
  });
}

test("evm: amounts in other notations are not amounts", async () => {
  for (const value of ["1e4", "+10000", "010000", " 10000", "10000.0", "0x2710", "١٠٠٠٠", "-10000"]) {
    const credential = await stack.credential(PATH);
    const payload = { ...credential.payload, value };
    await expectRefused({ ...credential, payload }, PATH, ["malformed-credential", "verification-failed"]);
  }
});

test("abstract: one authorization buys one thing, whichever challenges it is shown with", async () => {
  const changes = { nonce: `0x${"5a".repeat(32)}`, validBefore: String(Math.floor(Date.now() / 1000) + 600) };
  const first = await stack.credential("/v1/reports/1", { scheme: "abstract", changes });
  const second = await stack.credential("/v1/reports/2", { scheme: "abstract", changes });
  assert.equal(first.payload.signature, second.payload.signature);
  const mark = await stack.mark();
  const { answer } = await stack.present("/v1/reports/1", first);
  await expectPaid(stack, answer, first);
  const again = await stack.present("/v1/reports/2", second);
  expectProblem(again.answer, 402, "invalid-challenge", "verification-failed");
  const same = await stack.credential("/v1/reports/1", { scheme: "abstract", changes });
  expectProblem((await stack.present("/v1/reports/1", same)).answer, 402, "invalid-challenge", "verification-failed");
  await mark.moved(ONE);
});

test("an evm authorization shown again as an abstract one buys nothing more", async () => {
  const { answer, credential } = await stack.pay(PATH);
  await expectPaid(stack, answer, credential);
  const { from, nonce, validAfter, validBefore, signature } = credential.payload;
  const challenge = await stack.challenge(PATH, { scheme: "abstract" });
  const payload = { type: "authorization", from, nonce, validAfter, validBefore, signature };
  await expectRefused({ challenge, payload, source: credential.source }, PATH, ["invalid-challenge", "verification-failed"]);
});

test("a credential of one method under the other method's challenge is refused", async () => {
  const credential = await stack.credential(PATH);
  const challenge = await stack.challenge(PATH, { scheme: "abstract" });
  await expectRefused({ ...credential, challenge }, "/v1/evm-only", ["invalid-challenge"]);
});

/** Each makes another `Authorization` value of the same credential. */
const forms = {
  "scheme in lower case": (credential) => encodeCredential(credential).replace("Payment", "payment"),
  "scheme in upper case": (credential) => encodeCredential(credential).replace("Payment", "PAYMENT"),
  "two blanks after the scheme": (credential) => encodeCredential(credential).replace(" ", "  "),
  "padded standard base64": (credential) => `Payment ${Buffer.from(json(credential)).toString("base64")}`,
  "blanks inside the JSON": (credential) => `Payment ${base64url(JSON.stringify(JSON.parse(json(credential)), null, 2))}`,
  "members sorted": (credential) => `Payment ${base64url(canonical(JSON.parse(json(credential))))}`,
  "unknown members": (credential) => {
    const wire = JSON.parse(json(credential));
    wire.payload.extra = { deep: [1] };
    return `Payment ${base64url(JSON.stringify({ ...wire, version: 2 }))}`;
  },
  "no source": (credential) => encodeCredential({ ...credential, source: undefined }),
  "source in lower case": (credential) => encodeCredential({ ...credential, source: credential.source.toLowerCase() }),
  "addresses in lower case": (credential) => {
    const payload = { ...credential.payload, from: credential.payload.from.toLowerCase() };
    if (payload.to) payload.to = payload.to.toLowerCase();
    return encodeCredential({ ...credential, payload });
  },
  "opaque as an object, as old clients send it": (credential) => {
    const wire = JSON.parse(json(credential));
    wire.challenge.opaque = JSON.parse(fromBase64url(wire.challenge.opaque));
    return `Payment ${base64url(JSON.stringify(wire))}`;
  },
  "description left out": (credential) =>
    encodeCredential({ ...credential, challenge: { ...credential.challenge, description: undefined } }),
  "after a Bearer token": (credential) => `Bearer abc.def, ${encodeCredential(credential)}`,
};

function json({ challenge, payload, source }) {
  return JSON.stringify({ challenge: echo(challenge), payload, source });
}

for (const scheme of ["evm", "abstract"]) {
  for (const [name, form] of Object.entries(forms)) {
    test(`${scheme}: a credential may come with ${name}`, async () => {
      const mark = await stack.mark();
      const credential = await stack.credential(PATH, { scheme });
      const answer = await stack.send(PATH, { authorization: form(credential) });
      await expectPaid(stack, answer, credential);
      // Another form of the same credential is the same credential.
      const again = await stack.send(PATH, { authorization: encodeCredential(credential) });
      expectSpent(again);
      await mark.moved(ONE);
    });
  }
}

test("a credential of 4 KiB and more is accepted", async () => {
  const mark = await stack.mark();
  const credential = await stack.credential(PATH);
  credential.payload.padding = "x".repeat(4_500);
  assert.ok(encodeCredential(credential).length > 4_096);
  const { answer } = await stack.present(PATH, credential);
  await expectPaid(stack, answer, credential);
  await mark.moved(ONE);
});
