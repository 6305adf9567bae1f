// What must hold of every wire on every rail. A case gets one way to pay (suite.mjs) and is the same for all of them.
import assert from "node:assert/strict";
import { expectTryAgain } from "../harness/expect.mjs";
import { leaveAt } from "../harness/leaving.mjs";
import { faults } from "../harness/origin.mjs";
import { until } from "../harness/processes.mjs";
import { faulty } from "../harness/rpc-proxy.mjs";
import { expectUndelivered } from "./wires.mjs";

const PATH = "/v1/reports/1?full=yes";
const SAME = "/v1/same";
const LATE = "/v1/late";
const COPIES = 200;
const PRICE = 10_000n;
const LATE_PRICE = 30_000n;

/** What a client might tell the origin in our name. */
const SPOOFED = {
  "X-Payment-Payer": "0x000000000000000000000000000000000000dEaD",
  "X-Payment-Method": "gold",
  "X-Payment-Intent": "gift",
  "X-Payment-Amount": "1000000000",
  "X-Payment-Reference": "0xspoofed",
  "x-payment-anything": "else",
};

/** What one sale moves. */
const ONE = { origin: 1, transactions: 1, transfers: 1, amount: PRICE };

/** A copy of each proof that must buy nothing, on `path`, leaves no trace anywhere. */
async function expectNothing(way, proof, path, why, options) {
  const mark = await way.stack.mark();
  way.expectRefused(await way.present(path, proof, options), why);
  await mark.nothing();
}

/** What has bought something buys nothing with another request. */
async function expectUsed(way, proof, path, options) {
  const mark = await way.stack.mark();
  way.expectUsedElsewhere(await way.present(path, proof, options));
  await mark.nothing();
}

/** Asserts that one of `answers` is a delivery and every other one says "wait" or "spent". */
async function expectOneDelivery(way, answers, proof) {
  const delivered = answers.filter(({ status }) => status === 200);
  const said = new Set(answers.map(({ status, text }) => `${status} ${status === 200 ? "" : text}`));
  assert.equal(delivered.length, 1, `answers: ${[...said].join("\n")}`);
  await way.expectPaid(delivered[0], proof);
  for (const answer of answers) {
    if (answer === delivered[0]) continue;
    if (answer.status === 503) expectTryAgain(answer);
    else way.expectSpent(answer);
  }
}

/** The chain gets the transaction, the gateway never hears of it. */
function loseEverythingAfterBroadcast({ rpc }, fault) {
  rpc.fail("eth_getTransactionReceipt", faulty.hang);
  rpc.fail("eth_getTransactionByHash", faulty.hang);
  rpc.fail("eth_sendRawTransaction", fault);
}

/** Presents a proof, and kills the gateway with the request under way as soon as `moment` resolves. */
async function killDuring(way, path, proof, moment) {
  const cut = assert.rejects(way.present(path, proof), "the connection breaks with the process");
  await moment();
  await way.stack.gateway.kill();
  await cut;
}

const hangUp = (way, path, proof, moment) => leaveAt(way.stack, path, { headers: way.headers(proof) }, moment);

/** The next request for which the origin never answers, when it has come. */
function originHangs({ origin }) {
  const seen = origin.requests.length;
  origin.next(faults.hang());
  return () => origin.arrival(seen + 1);
}

/** Charged before the origin is asked, and after. */
const FLOWS = [
  { flow: "settled first", path: PATH, price: PRICE },
  { flow: "after-origin", path: LATE, price: LATE_PRICE },
];

/** @type {Record<string, (way: import("./suite.mjs").Way) => Promise<void>>} */
export const CASES = {
  async "pays: the content, one transfer, a receipt, and no gas of the payer's"(way) {
    const { stack } = way;
    const mark = await stack.mark();
    const before = await stack.chain.balance(stack.payers[0].address);
    const { answer, proof } = await way.pay(PATH, { via: 1 });
    await way.expectPaid(answer, proof);
    assert.equal(answer.text, `content of GET ${PATH}`);
    await mark.moved(ONE);
    assert.equal(before - (await stack.chain.balance(stack.payers[0].address)), PRICE);
  },

  async "edited: a proof with anything changed in it buys nothing"(way) {
    const edits = way.edits(await way.proof(PATH));
    assert.ok(Object.keys(edits).length > 0);
    for (const proof of Object.values(edits)) await expectNothing(way, proof, PATH, "edited");
  },

  async "edited: what is signed for another chain or token is no signature here"(way) {
    const { domain } = way.stack.token;
    for (const changes of [
      { chainId: 1 },
      { verifyingContract: way.stack.stranger.address },
      { name: "Another" },
      { version: "1" },
    ]) {
      const token = { ...way.stack.token, domain: { ...domain, ...changes } };
      await expectNothing(way, await way.sign(await way.offer(PATH), { token }), PATH, "edited");
    }
  },

  async "expired: an offer of long ago, and an authorization that ends too soon"(way) {
    const now = Math.floor(Date.now() / 1000);
    if (way.expired) {
      const offer = way.expired(await way.offer(PATH));
      await expectNothing(way, await way.sign(offer, { changes: { validBefore: String(now + 300) } }), PATH, "expired");
    }
    for (const seconds of [-10, 0, 1]) {
      const validBefore = String(Math.floor(Date.now() / 1000) + seconds);
      await expectNothing(way, await way.sign(await way.offer(PATH), { changes: { validBefore } }), PATH, "expired");
    }
  },

  async "another route or query: what pays for one target buys no other"(way) {
    const { answer, proof } = await way.pay(PATH);
    await way.expectPaid(answer, proof);
    for (const [path, options] of [
      ["/v1/reports/2?full=yes", {}],
      ["/v1/reports/1?full=no", {}],
      ["/v1/reports/1", {}],
      ["/v1/reports/1?full=yes&x=1", {}],
      [SAME, {}],
      ["/v1/cheap", {}],
      ["/premium/thing", {}],
      ["/v1/uploads", { method: "POST", body: "x" }],
    ]) {
      await expectUsed(way, proof, path, options);
      if (way.bound.includes("url")) await expectNothing(way, await way.proof(PATH), path, "elsewhere", options);
    }
  },

  async "another method: what pays for one verb buys no other"(way) {
    const { answer, proof } = await way.pay(SAME);
    await way.expectPaid(answer, proof);
    for (const method of ["POST", "DELETE"]) await expectUsed(way, proof, SAME, { method });
    if (!way.bound.includes("verb")) return;
    for (const [asked, used] of [
      ["GET", "DELETE"],
      ["HEAD", "GET"],
      ["POST", "PUT"],
    ]) {
      const fresh = await way.proof(SAME, { method: asked });
      await expectNothing(way, fresh, SAME, "elsewhere", { method: used });
    }
  },

  async "another realm, network, token, recipient or price: an offer that is not ours is not taken"(way) {
    const names = Object.keys(way.foreign(way.stack, await way.offer(PATH)));
    assert.ok(names.length > 0);
    for (const name of names) {
      const offer = way.foreign(way.stack, await way.offer(PATH))[name];
      await expectNothing(way, await way.sign(offer), PATH, "elsewhere");
    }
  },

  async "replayed before it is settled: every copy waits for the one transaction"(way) {
    const { stack } = way;
    const mark = await stack.mark();
    await stack.chain.pauseMining();
    const { answer, proof } = await way.pay(PATH);
    expectTryAgain(answer);
    await mark.nothing();
    for (const via of [1, 0]) expectTryAgain(await way.present(PATH, proof, { via }));
    assert.equal((await stack.chain.waiting(stack.settlement.address)).length, 1, "resuming is not sending again");
    await stack.chain.resumeMining();
    await way.expectPaid(await way.resume(PATH, proof), proof);
    await mark.moved(ONE);
  },

  async "replayed during delivery: copies wait, and there is one delivery"(way) {
    const { origin } = way.stack;
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    const { promise: open, resolve } = Promise.withResolvers();
    origin.next({
      async answer(_request, response) {
        await open;
        response.end("worth the wait");
      },
    });
    const seen = origin.requests.length;
    const first = way.present(PATH, proof);
    await origin.arrival(seen + 1);
    for (const answer of await way.copies(PATH, proof, 20)) expectTryAgain(answer);
    resolve();
    const answer = await first;
    assert.equal(answer.text, "worth the wait");
    await way.expectPaid(answer, proof);
    await mark.moved(ONE);
  },

  async "replayed afterwards: spent, in every isolate"(way) {
    const { answer, proof } = await way.pay(PATH);
    await way.expectPaid(answer, proof);
    const mark = await way.stack.mark();
    for (const via of [0, 1, 0]) way.expectSpent(await way.present(PATH, proof, { via }));
    await mark.nothing();
  },

  async [`${COPIES} copies at once, through both isolates: one transaction and one delivery`](way) {
    const { rpc } = way.stack;
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    rpc.forget();
    const answers = await way.copies(PATH, proof, COPIES);
    assert.ok(rpc.posts < COPIES / 4, `copies do not ask the chain one by one: ${rpc.posts} requests`);
    await expectOneDelivery(way, answers, proof);
    await mark.moved(ONE);
  },

  async "after-origin: 60 copies at once are one transaction and one delivery"(way) {
    const mark = await way.stack.mark();
    const proof = await way.proof(LATE);
    await expectOneDelivery(way, await way.copies(LATE, proof, 60), proof);
    await mark.moved({ ...ONE, amount: LATE_PRICE });
  },

  async "killed while it is tried out: one transfer"(way) {
    const { gateway, rpc } = way.stack;
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    rpc.fail("eth_call", faulty.hang);
    rpc.forget();
    await killDuring(way, PATH, proof, () => rpc.called("eth_call"));
    rpc.heal();
    await gateway.start();
    await way.expectPaid(await way.resume(PATH, proof), proof);
    await mark.moved(ONE);
  },

  async "killed while it is broadcast: one transfer"(way) {
    const { gateway, rpc } = way.stack;
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    rpc.fail("eth_sendRawTransaction", faulty.hang);
    rpc.forget();
    await killDuring(way, PATH, proof, () => rpc.called("eth_sendRawTransaction"));
    rpc.heal();
    await gateway.start();
    await way.expectPaid(await way.resume(PATH, proof), proof);
    await mark.moved(ONE);
  },

  ...each(FLOWS, ({ flow, path, price }) => ({
    async [`killed between broadcast and receipt, ${flow}: one transfer`](way) {
      const { chain, gateway, settlement } = way.stack;
      const mark = await way.stack.mark();
      const proof = await way.proof(path);
      await chain.pauseMining();
      await killDuring(way, path, proof, () => chain.submitted(settlement.address));
      await chain.resumeMining();
      await gateway.start();
      await way.expectPaid(await way.resume(path, proof), proof);
      way.expectSpent(await way.present(path, proof));
      const { transactions, transfers, amount } = await mark.difference();
      assert.deepEqual({ transactions, transfers, amount }, { transactions: 1, transfers: 1, amount: price });
    },
  })),

  async "killed between settlement and delivery: delivered after the restart, without a second transfer"(way) {
    const { gateway } = way.stack;
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    await killDuring(way, PATH, proof, originHangs(way.stack));
    await mark.moved(ONE);
    await gateway.start();
    await way.expectPaid(await way.resume(PATH, proof), proof);
    await mark.moved({ ...ONE, origin: 2 });
  },

  async "restarted or killed after delivery: spent"(way) {
    const { gateway } = way.stack;
    for (const end of [() => gateway.restart(), () => gateway.kill().then(() => gateway.start())]) {
      const { answer, proof } = await way.pay(PATH);
      await way.expectPaid(answer, proof);
      await end();
      const mark = await way.stack.mark();
      for (const via of [0, 1]) way.expectSpent(await way.present(PATH, proof, { via }));
      await mark.nothing();
    }
  },

  ...each(
    [
      ["the answer never comes", faulty.hangAfter],
      ["the connection breaks", faulty.dropAfter],
    ],
    ([what, fault]) => ({
      async [`unknown outcome, ${what}: 503, and the same proof completes it with one transfer`](way) {
        const { rpc } = way.stack;
        const mark = await way.stack.mark();
        const proof = await way.proof(PATH);
        loseEverythingAfterBroadcast(way.stack, fault);
        expectTryAgain(await way.present(PATH, proof));
        expectTryAgain(await way.present(PATH, proof, { via: 1 }));
        await mark.moved({ ...ONE, origin: 0 });
        rpc.heal();
        await way.expectPaid(await way.resume(PATH, proof), proof);
        way.expectSpent(await way.present(PATH, proof));
        await mark.moved(ONE);
      },
    }),
  ),

  async "unknown outcome, after-origin: the held answer is not leaked, and is delivered with one transfer"(way) {
    const { rpc } = way.stack;
    const mark = await way.stack.mark();
    const proof = await way.proof(LATE);
    loseEverythingAfterBroadcast(way.stack, faulty.hangAfter);
    const answer = await way.present(LATE, proof);
    expectTryAgain(answer);
    assert.ok(!answer.text.includes("content of"));
    rpc.heal();
    await way.expectPaid(await way.resume(LATE, proof), proof);
    const { transfers, transactions } = await mark.difference();
    assert.deepEqual({ transfers, transactions }, { transfers: 1, transactions: 1 });
  },

  async "a broadcast whose answer is lost while the rest works needs no second request of the client's"(way) {
    const mark = await way.stack.mark();
    way.stack.rpc.fail("eth_sendRawTransaction", faulty.hangAfter, 1);
    const { answer, proof } = await way.pay(PATH);
    await way.expectPaid(answer.status === 503 ? await way.resume(PATH, proof) : answer, proof);
    await mark.moved(ONE);
  },

  ...each(
    [
      ["answers 500", 500, (origin) => origin.next(faults.status(500)), 1],
      ["refuses connections", 502, (origin) => origin.refuse(), 0],
      ["does not answer in time", 504, (origin) => origin.next(faults.hang()), 1],
    ],
    ([what, status, fail, asked]) => ({
      async [`an origin that ${what}: nothing is delivered, and the same proof fetches it without paying again`](way) {
        const { origin } = way.stack;
        const mark = await way.stack.mark();
        const proof = await way.proof(PATH);
        await fail(origin);
        expectUndelivered(await way.present(PATH, proof), status);
        await origin.accept();
        await mark.moved({ ...ONE, origin: asked });
        await way.expectPaid(await way.present(PATH, proof, { via: 1 }), proof);
        way.expectSpent(await way.present(PATH, proof));
        await mark.moved({ ...ONE, origin: asked + 1 });
      },
    }),
  ),

  async "an origin that dies mid-body: the client sees the break, and the same proof fetches it whole"(way) {
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    way.stack.origin.next(faults.dieMidBody());
    const answer = await way.present(PATH, proof);
    assert.ok(answer.aborted, "a cut body is not passed off as a whole one");
    // Whether it broke is known when the body ends, a moment after the client saw it.
    const again = await way.resume(PATH, proof);
    await way.expectPaid(again, proof);
    assert.equal(again.text, `content of GET ${PATH}`);
    await mark.moved({ ...ONE, origin: 2 });
  },

  async "an origin that dies within a small body has delivered nothing, and the same proof fetches it"(way) {
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    way.stack.origin.next(faults.dieMidBody("x".repeat(900), 1_000));
    expectUndelivered(await way.present(PATH, proof), 502);
    await way.expectPaid(await way.present(PATH, proof), proof);
    await mark.moved({ ...ONE, origin: 2 });
  },

  async "an origin that stands still within a small body has delivered nothing in time, and the same proof fetches it"(way) {
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    way.stack.origin.next(faults.stallMidBody());
    expectUndelivered(await way.present(PATH, proof), 504);
    await way.expectPaid(await way.present(PATH, proof), proof);
    await mark.moved({ ...ONE, origin: 2 });
  },

  async "an origin that asks for payment itself is a bad gateway, not a second price"(way) {
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    way.stack.origin.next(faults.status(402, { "www-authenticate": 'Payment id="x", realm="y"', "payment-required": "e30=" }));
    expectUndelivered(await way.present(PATH, proof), 502);
    await way.expectPaid(await way.present(PATH, proof, { via: 1 }), proof);
    await mark.moved({ ...ONE, origin: 2 });
  },

  async "after-origin: asked first, charged once, and only for a good answer"(way) {
    const { origin } = way.stack;
    const mark = await way.stack.mark();
    const proof = await way.proof(LATE);
    for (const [i, status] of [400, 404, 500, 503].entries()) {
      origin.next(faults.status(status));
      const answer = await way.present(LATE, proof);
      expectUndelivered(answer, status);
      assert.equal(answer.text, `origin says ${status}`);
      await mark.moved({ origin: i + 1 });
    }
    let atArrival;
    origin.next({
      async answer(request, response) {
        atArrival = await mark.difference();
        response.end(`content of ${request.method} ${request.url}`);
      },
    });
    const answer = await way.present(LATE, proof);
    await way.expectPaid(answer, proof);
    assert.equal(answer.text, `content of GET ${LATE}`);
    assert.deepEqual(atArrival, { origin: 5, transactions: 0, transfers: 0, amount: 0n });
    way.expectSpent(await way.present(LATE, proof));
    await mark.moved({ ...ONE, origin: 5, amount: LATE_PRICE });
  },

  async "a client that hangs up while its payment settles gets what it paid for, and the origin is not called in vain"(way) {
    const { chain, settlement } = way.stack;
    const mark = await way.stack.mark();
    const proof = await way.proof(PATH);
    await chain.pauseMining();
    assert.ok(await hangUp(way, PATH, proof, () => chain.submitted(settlement.address)));
    await chain.resumeMining();
    await until(async () => (await mark.difference()).transfers === 1, "the transfer");
    // Time to do what must not be done.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await mark.moved({ ...ONE, origin: 0 });
    await way.expectPaid(await way.resume(PATH, proof), proof);
    way.expectSpent(await way.present(PATH, proof));
    await mark.moved(ONE);
  },

  ...each(FLOWS, ({ flow, path, price }) => ({
    async [`a client that hangs up while the origin works, ${flow}: it can come back, and pays once`](way) {
      const mark = await way.stack.mark();
      const proof = await way.proof(path);
      assert.ok(await hangUp(way, path, proof, originHangs(way.stack)));
      if (path === LATE) await mark.moved({ origin: 1 });
      await way.expectPaid(await way.resume(path, proof, { ms: 15_000 }), proof);
      await mark.moved({ ...ONE, amount: price, origin: 2 });
    },
  })),

  async "headers: the proof stays here, and who paid is told to the origin by us alone"(way) {
    const { origin } = way.stack;
    const { answer, proof } = await way.pay(PATH, { headers: Object.entries(SPOOFED) });
    await way.expectPaid(answer, proof);
    const { headers, rawHeaders } = origin.requests.at(-1);
    for (const secret of way.secrets(proof)) assert.ok(!rawHeaders.join("\n").includes(secret), "a proof reached the origin");
    for (const [name] of way.headers(proof)) assert.equal(headers[name.toLowerCase()], undefined, name);
    for (const [what, value] of Object.entries(way.told(proof))) assert.equal(headers[`x-payment-${what}`], value, what);
    assert.match(headers["x-payment-reference"], /^0x[0-9a-f]{64}$/);
    assert.equal(headers["x-payment-anything"], undefined);
  },

  async "headers: a paid answer is private whatever the origin says, and what asks for payment is stored nowhere"(way) {
    const { origin } = way.stack;
    for (const said of ["public, max-age=3600", "s-maxage=600", "max-age=60, immutable", undefined]) {
      origin.next(faults.content(said ? { "cache-control": said } : {}));
      const { answer, proof } = await way.pay(PATH);
      await way.expectPaid(answer, proof);
      const directives = answer.headers["cache-control"].split(/\s*,\s*/);
      assert.ok(directives.includes("private") || directives.includes("no-store"), said);
      for (const directive of directives) assert.doesNotMatch(directive, /^(public|s-maxage)/, said);
    }
    const unpaid = await way.stack.send(PATH);
    assert.equal(unpaid.status, 402);
    assert.match(unpaid.headers["cache-control"], /no-store/);
  },

  async "headers: a proof that comes to a free route does not reach the origin, and is not spent"(way) {
    const { origin } = way.stack;
    const proof = await way.proof(PATH);
    const mark = await way.stack.mark();
    assert.equal((await way.present("/free/page", proof)).status, 200);
    const { rawHeaders } = origin.requests.at(-1);
    for (const secret of way.secrets(proof)) assert.ok(!rawHeaders.join("\n").includes(secret), "a proof reached the origin");
    await mark.moved({ origin: 1 });
    await way.expectPaid(await way.present(PATH, proof), proof);
  },
};

/** One object of all that `make` makes. */
function each(list, make) {
  return Object.assign({}, ...list.map(make));
}
