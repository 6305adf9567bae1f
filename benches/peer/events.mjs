// Metered server-sent events: each event with data costs one unit. The units of everything that has arrived together are taken by
// one call of the object; mppx's own relay makes one call per event.
const WAIT_MS = 100;
const PATIENCE_MS = 60_000;

/**
 * @param {ReadableStream<Uint8Array>} source the origin's events
 * @param {{stub: object, price: bigint}} account the first unit of which is paid already
 * @param {object} receipt
 * @param {{waitUntil: (work: Promise<void>) => void}} ctx
 */
export function meter(source, account, receipt, ctx) {
  const { readable, writable } = new IdentityTransformStream();
  ctx.waitUntil(pump(source, writable.getWriter(), account, receipt));
  return readable;
}

async function pump(source, writer, { stub, price }, receipt) {
  const encoder = new TextEncoder();
  let pending = "";
  let prepaid = 1;
  let state = { spent: receipt.spent, accepted: receipt.acceptedCumulative };
  try {
    for await (const text of source.pipeThrough(new TextDecoderStream())) {
      pending += text;
      const end = pending.lastIndexOf("\n\n");
      if (end < 0) continue;
      const events = pending.slice(0, end + 2).match(/[\s\S]*?\n\n/g);
      pending = pending.slice(end + 2);
      let next = 0;
      const deadline = Date.now() + PATIENCE_MS;
      while (next < events.length) {
        const { sendable, needed } = covered(events, next, prepaid);
        if (sendable > next) {
          await writer.write(encoder.encode(events.slice(next, sendable).join("")));
          prepaid -= needed;
          next = sendable;
          continue;
        }
        const units = events.slice(next).filter(hasData).length;
        state = await stub.take(units, price);
        prepaid += state.taken;
        if (state.taken > 0) continue;
        if (Date.now() > deadline) return;
        const need = { channelId: receipt.channelId, requiredCumulative: String(BigInt(state.spent) + price) };
        await writer.write(encoder.encode(`event: payment-need-voucher\ndata: ${JSON.stringify(need)}\n\n`));
        await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
      }
    }
    const last = { ...receipt, acceptedCumulative: state.accepted, spent: state.spent };
    await writer.write(encoder.encode(`event: payment-receipt\ndata: ${JSON.stringify(last)}\n\n`));
  } finally {
    await writer.close();
  }
}

const hasData = (event) => event.startsWith("data") || event.includes("\ndata");

/** How far the events from `from` on can be sent with `units` in hand, and how many that takes. */
function covered(events, from, units) {
  let sendable = from;
  let needed = 0;
  for (; sendable < events.length; sendable += 1) {
    if (!hasData(events[sendable])) continue;
    if (needed === units) break;
    needed += 1;
  }
  return { sendable, needed };
}
