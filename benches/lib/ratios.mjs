// What the contestants of one case are to each other.
import { median } from "./statistics.mjs";

/**
 * Medians over the rounds of ratios taken within each: what drifts with the machine cancels out.
 * @returns {object | undefined} undefined unless all three took part
 */
export function ratios({ contestants }) {
  const { floor, peer, ours } = contestants;
  if (!floor || !peer || !ours) return undefined;
  const count = Math.min(...[floor, peer, ours].map(({ rounds }) => rounds.length));
  const over = (of) => median(Array.from({ length: count }, (_, i) => of(floor.rounds[i], peer.rounds[i], ours.rounds[i])));
  return {
    overhead: over((f, _, o) => o.cpuMicros - f.cpuMicros),
    peerOverhead: over((f, p) => p.cpuMicros - f.cpuMicros),
    overheadToPeers: over((f, p, o) => (o.cpuMicros - f.cpuMicros) / (p.cpuMicros - f.cpuMicros)),
    cpuToPeers: over((_, p, o) => o.cpuMicros / p.cpuMicros),
    rateToPeers: over((_, p, o) => o.rate / p.rate),
    rateToFloors: over((f, _, o) => o.rate / f.rate),
  };
}
