// C13: a client that has forgotten everything but its key or its channel is told where it stands, and goes on; and who may look at books.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CHAIN_ID } from "../../../scripts/chain.mjs";
import { Channel, METHODS, randomBytes32 } from "../harness/channels.mjs";
import { expectProblem } from "../harness/expect.mjs";
import { did } from "../harness/protocol.mjs";
import {
  expectNumbers,
  expectReceipt,
  ledger,
  openChannel,
  openSession,
  PRICE,
  payloads,
  Session,
  sessionChallenge,
  startSessions,
} from "../harness/session.mjs";
import { ADMIN_TOKEN } from "../harness/stack.mjs";

const stack = await startSessions({ watch: {} });
const { chain, gateway } = stack;
const PATH = "/s/item/1";
const NUMBERS = ["acceptedCumulative", "channelId", "deposit", "requiredCumulative", "spent"];

// Channels for those who look at books. Opened here, since tests begin as soon as there is one.
const session = await openSession(stack, "evm", { signer: chain.accounts[7] });
const { channel } = session;
const other = await openSession(stack, "evm");

// An isolate looks up 16 names a second for everybody together, and this file asks for more than that.
let named = 0;
beforeEach(async () => {
  if (named <= 8) return;
  await sleep(1_000);
  named = 0;
});

/** The session challenge of `method` for a client that sends `Payment-Session: name`. */
async function asked(method, name, path = PATH, options = {}) {
  if (name !== undefined) named += 1;
  const answer = await stack.send(path, { headers: name === undefined ? {} : { "Payment-Session": name }, ...options });
  expectProblem(answer, 402, "payment-required");
  return sessionChallenge(answer, method);
}

function expectSnapshot(challenge, channel, { accepted, spent, required }) {
  const { methodDetails } = challenge.terms;
  const numbers = Object.fromEntries(NUMBERS.map((name) => [name, methodDetails[name]]));
  assert.deepEqual(numbers, {
    acceptedCumulative: String(accepted),
    channelId: channel.id,
    deposit: String(channel.deposit),
    requiredCumulative: String(required),
    spent: String(spent),
  });
}

function expectNoSnapshot(challenge) {
  for (const name of NUMBERS) assert.equal(challenge.terms.methodDetails[name], undefined, name);
}

for (const [i, method] of METHODS.entries()) {
  test(`${method}: a client that names its channel is told where it stands, and goes on with what it is told`, async () => {
    const session = await openSession(stack, method);
    const { channel } = session;
    for (let n = 0; n < 3; n++) await session.pay();
    for (const [via, name] of [channel.id, channel.id.toUpperCase().replace("0X", "0x")].entries()) {
      const challenge = await asked(method, name, PATH, { via });
      expectSnapshot(challenge, channel, { accepted: 3n * PRICE, spent: 3n * PRICE, required: 4n * PRICE });
    }
    // Nothing but the key and the channel's id is left: a client made anew, from the answer alone.
    const challenge = await asked(method, channel.id);
    const { requiredCumulative } = challenge.terms.methodDetails;
    const restarted = new Session(stack, channel);
    const answer = await restarted.send(payloads.voucher(channel, requiredCumulative), { challenge });
    expectReceipt(answer, session, { accepted: 4n * PRICE, spent: 4n * PRICE, units: 1 });
  });

  test(`${method}: a client that only knows itself is told of its channel`, async () => {
    const payer = stack.payers[2 + i];
    const channel = await openChannel(stack, method, { payer });
    const session = await new Session(stack, channel).open();
    await session.pay();
    await session.send(payloads.voucher(channel, 5n * PRICE), { method: "HEAD" });
    const challenge = await asked(method, did(CHAIN_ID, payer.address));
    const required = method === "evm" ? 2n * PRICE : 5n * PRICE + 1n;
    expectSnapshot(challenge, channel, { accepted: 5n * PRICE, spent: PRICE, required });
    const restarted = new Session(stack, channel);
    const answer = await restarted.send(payloads.voucher(channel, required), { challenge });
    expectReceipt(answer, session, { spent: 2n * PRICE, units: 1 });
  });

  test(`${method}: what is required is what the route asked for costs`, async () => {
    const session = await openSession(stack, method);
    await session.pay();
    const challenge = await asked(method, session.channel.id, "/s/dear");
    expectSnapshot(challenge, session.channel, { accepted: PRICE, spent: PRICE, required: 6n * PRICE });
  });

  test(`${method}: a refused credential is answered with where its channel stands`, async () => {
    const session = await openSession(stack, method);
    const { channel } = session;
    await session.send(payloads.voucher(channel, 2n * PRICE));
    const required = 2n * PRICE + 1n;
    const dear = await session.send(payloads.voucher(channel, required), { path: "/s/dear" });
    const problem = expectProblem(dear, 402, "session/insufficient-balance");
    expectNumbers(problem, session, { accepted: required, spent: PRICE, deposit: channel.deposit, required: 6n * PRICE });
    const challenge = sessionChallenge(dear, method);
    expectSnapshot(challenge, channel, { accepted: required, spent: PRICE, required: 6n * PRICE });
    // The fresh challenge is one to pay by.
    const paid = await session.send(payloads.voucher(channel, 6n * PRICE), { path: "/s/dear", challenge });
    expectReceipt(paid, session, { spent: 6n * PRICE, units: 1 });
  });

  test(`${method}: the other method's challenge says nothing of a channel that is not its own`, async () => {
    const session = await openSession(stack, method);
    await session.pay();
    expectNoSnapshot(
      await asked(
        METHODS.find((one) => one !== method),
        session.channel.id,
      ),
    );
  });

  test(`${method}: a channel that is closed is not offered to go on with`, async () => {
    const session = await openSession(stack, method);
    await session.pay();
    expectReceipt(await session.managed(payloads.close(session.channel, PRICE)), session, { status: 204 });
    expectNoSnapshot(await asked(method, session.channel.id));
  });
}

for (const [name, value] of [
  ["no name", undefined],
  ["a channel that nobody knows", randomBytes32()],
  ["a payer that nobody knows", did(CHAIN_ID, stack.stranger.address)],
  ["a payer on another chain", did(1, stack.payers[0].address)],
  ["words", "mine, please"],
  ["half an id", "0x1234"],
  ["a long name", "0x".padEnd(8_000, "a")],
]) {
  test(`${name}: the plain challenge`, async () => {
    expectNoSnapshot(await asked("evm", value));
  });
}

test("a name costs the chain nothing: only what is known is looked up", async () => {
  stack.rpc.forget();
  const { methodDetails } = (await asked("evm", (await openChannel(stack, "evm")).id)).terms;
  assert.equal(methodDetails.channelId, undefined);
  assert.equal(stack.rpc.posts, 0);
});

/** How often objects are called while `work` is done. */
async function woken(work) {
  const count = () => ["Channel", "Payer"].map((kind) => gateway.objects(kind));
  const before = count();
  await work();
  return count().map((calls, i) => calls - before[i]);
}

test("C13: a name wakes nobody where no sessions are sold, and neither does what is no name", async () => {
  const payer = did(CHAIN_ID, channel.payer.address);
  const nobody = await woken(async () => {
    for (const name of [channel.id, payer])
      expectProblem(await stack.send("/v1/charge", { headers: { "Payment-Session": name } }), 402);
    for (const name of [`${channel.id}00`, channel.id.slice(2), did(1, channel.payer.address), `${payer}0`, "0x", "x"])
      expectNoSnapshot(await asked("evm", name));
  });
  assert.deepEqual(nobody, [0, 0]);
});

test("C13: a name that 100 ask for at once is looked up once, known or not", async () => {
  const known = await openSession(stack, "evm");
  await known.pay();
  for (const [name, expected] of [
    // Either method could have it.
    [known.channel.id, [2, 0]],
    [randomBytes32(), [2, 0]],
    [did(CHAIN_ID, known.channel.payer.address), [1, 1]],
    [did(CHAIN_ID, `0x${randomBytes32().slice(-40)}`), [0, 1]],
  ]) {
    const challenges = [];
    const calls = await woken(async () => {
      challenges.push(...(await Promise.all(Array.from({ length: 100 }, () => asked("evm", name)))));
    });
    const told = new Set(challenges.map(({ terms }) => JSON.stringify(terms.methodDetails)));
    assert.equal(told.size, 1, "all are told the same");
    if (name === known.channel.id)
      expectSnapshot(challenges[0], known.channel, { accepted: PRICE, spent: PRICE, required: 2n * PRICE });
    assert.ok(calls[0] <= expected[0] && calls[1] <= expected[1], `${name}: ${calls}`);
  }
});

test("C13: what is told is no older than a second", async () => {
  const known = await openSession(stack, "evm");
  await known.pay();
  expectSnapshot(await asked("evm", known.channel.id), known.channel, { accepted: PRICE, spent: PRICE, required: 2n * PRICE });
  await known.pay();
  await sleep(1_100);
  const now = { accepted: 2n * PRICE, spent: 2n * PRICE, required: 3n * PRICE };
  expectSnapshot(await asked("evm", known.channel.id), known.channel, now);
});

test("C13: however many strangers are named, few are looked up, and who is known is told again afterwards", async (t) => {
  const known = await openSession(stack, "evm");
  await known.pay();
  const started = Date.now();
  const calls = await woken(() =>
    Promise.all(
      Array.from({ length: 300 }, (_, i) =>
        asked("evm", i % 2 ? randomBytes32() : did(CHAIN_ID, `0x${randomBytes32().slice(-40)}`)),
      ),
    ),
  );
  const seconds = Math.ceil((Date.now() - started) / 1_000) + 1;
  t.diagnostic(`300 names in at most ${seconds} s woke ${calls} objects`);
  assert.ok(calls[0] + calls[1] <= seconds * 16 * 2, `${calls} in ${seconds} s`);
  await sleep(1_100);
  expectSnapshot(await asked("evm", known.channel.id), known.channel, { accepted: PRICE, spent: PRICE, required: 2n * PRICE });
});

// --- GET /__mpp/channels/{id} -------------------------------------------------------------------------------------------------

const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;
const look = (channel, authorization) =>
  stack.send(`/__mpp/channels/${channel.id ?? channel}`, authorization === undefined ? {} : { authorization });

/** What the payer of a channel signs to look at its books. */
async function signed(channel, { account = channel.payer, until = inSeconds(120), of = channel.id, said = until } = {}) {
  const signature = await account.signMessage({ message: `mpp-edge channel ${of.toLowerCase()} until ${until}` });
  return `Channel until="${said}", signature="${signature}"`;
}

test("the books are shown to the operator, the payer and the signer, and are the same", async () => {
  await session.pay();
  const books = await ledger(stack, channel);
  assert.equal(books.channelId, channel.id);
  assert.equal(books.method, "evm");
  assert.equal(books.status, "open");
  assert.equal(books.payer.toLowerCase(), channel.payer.address.toLowerCase());
  assert.equal(books.signer.toLowerCase(), channel.signer.address.toLowerCase());
  const numbers = {
    deposit: channel.deposit,
    acceptedCumulative: PRICE,
    spent: PRICE,
    settled: 0n,
    requiredCumulative: 2n * PRICE,
  };
  for (const [name, value] of Object.entries(numbers)) {
    if (name !== "requiredCumulative") assert.equal(books[name], String(value), JSON.stringify(books));
  }
  assert.match(books.requiredCumulative, /^\d+$/);
  for (const account of [channel.payer, channel.signer]) {
    const answer = await look(channel, await signed(channel, { account }));
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.json, books);
    assert.match(answer.headers["cache-control"], /no-store/);
  }
});

test("C13: strangers' signatures have few books looked up, and the payer sees its own", async (t) => {
  const signatures = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const id = randomBytes32();
      return [id, await signed(channel, { account: stack.stranger, of: id })];
    }),
  );
  const started = Date.now();
  const calls = await woken(async () => {
    const answers = await Promise.all(signatures.map(([id, authorization]) => look(id, authorization)));
    for (const { status, text } of answers) assert.ok([401, 503].includes(status), `${status} ${text}`);
  });
  const seconds = Math.ceil((Date.now() - started) / 1_000) + 1;
  t.diagnostic(`100 signatures in at most ${seconds} s woke ${calls} objects`);
  assert.ok(calls[0] <= seconds * 16 * 2, `${calls} in ${seconds} s`);
  assert.equal((await look(channel, `Bearer ${ADMIN_TOKEN}`)).status, 200, "the operator waits for nobody");
  await sleep(1_100);
  assert.equal((await look(channel, await signed(channel))).status, 200);
});

const REFUSED = {
  "nothing at all": () => undefined,
  "a wrong token": () => `Bearer ${ADMIN_TOKEN.slice(0, -1)}x`,
  "a longer token": () => `Bearer ${ADMIN_TOKEN}x`,
  "an empty token": () => "Bearer ",
  "the token under another scheme": () => `Basic ${ADMIN_TOKEN}`,
  "a stranger's signature": () => signed(channel, { account: stack.stranger }),
  "the signature for another channel of the same payer": () => signed(channel, { of: other.channel.id }),
  "a signature that has expired": () => signed(channel, { until: inSeconds(-2) }),
  "a signature for too long": () => signed(channel, { until: inSeconds(400) }),
  "a signature for ever": () => signed(channel, { until: 2 ** 53 }),
  "a time that was not signed": () => signed(channel, { until: inSeconds(-2), said: inSeconds(100) }),
  "no signature": () => `Channel until="${inSeconds(100)}"`,
  "half a signature": async () => `${(await signed(channel)).slice(0, -40)}"`,
  "a voucher's signature": async () => `Channel until="${inSeconds(100)}", signature="${await channel.voucher(PRICE)}"`,
};
for (const [name, make] of Object.entries(REFUSED)) {
  test(`${name} shows no books, of no channel`, async () => {
    const authorization = await make();
    for (const id of [channel.id, randomBytes32()]) {
      const answer = await look(id, authorization);
      assert.equal(answer.status, 401, answer.text);
      for (const secret of [channel.payer.address, PRICE]) assert.ok(!answer.text.includes(String(secret)), answer.text);
    }
  });
}

test("the token in the URL is no token", async () => {
  const answer = await stack.send(`/__mpp/channels/${channel.id}?token=x&access_token=y`);
  assert.equal(answer.status, 401);
});

test("the operator is told that there is no such channel", async () => {
  const authorization = `Bearer ${ADMIN_TOKEN}`;
  const absent = new Channel(chain, { method: "evm", payer: stack.payers[0], payee: stack.recipient });
  assert.equal((await look(absent, authorization)).status, 404);
  for (const id of ["0x12", "x", `${channel.id}0`, "%00"]) {
    const { status } = await look(id, authorization);
    assert.ok(status === 400 || status === 404, `${id}: ${status}`);
  }
});

test("books are only read", async () => {
  for (const method of ["POST", "PUT", "DELETE"]) {
    const answer = await stack.send(`/__mpp/channels/${channel.id}`, { method, authorization: `Bearer ${ADMIN_TOKEN}` });
    assert.ok([404, 405].includes(answer.status), `${method}: ${answer.status}`);
  }
});
