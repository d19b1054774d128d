import type { Turns } from '../core/turns.ts';
import { extent } from './without-extremes.ts';

/**
 * Equal-width strata over [min, max] of the members' scores, half-open, the last one closed. Equal scores give one stratum.
 * @returns one list of members per stratum, ascending score range; members keep their order. The lists share one array
 */
export function equalWidthStrata(scores: ArrayLike<number>, members: ArrayLike<number>, count: number): Int32Array[] {
  if (members.length === 0) return [];
  const { low, high } = extent(scores, members);
  if (low === high) return [Int32Array.from(members)];
  // Halved before subtracting: high - low may overflow.
  const span = high / 2 - low / 2;
  const stratumOf = (i: number): number => Math.min(count - 1, Math.floor((((scores[i] as number) / 2 - low / 2) / span) * count));
  const ends = new Int32Array(count + 1);
  const strata = new (count <= 256 ? Uint8Array : Int32Array)(members.length);
  for (let at = 0; at < members.length; at++) {
    const stratum = stratumOf(members[at] as number);
    strata[at] = stratum;
    ends[stratum + 1] = (ends[stratum + 1] as number) + 1;
  }
  for (let stratum = 0; stratum < count; stratum++) ends[stratum + 1] = (ends[stratum + 1] as number) + (ends[stratum] as number);
  const sorted = new Int32Array(members.length);
  const next = ends.slice(0, count);
  for (let at = 0; at < members.length; at++) {
    const stratum = strata[at] as number;
    sorted[next[stratum] as number] = members[at] as number;
    next[stratum] = (next[stratum] as number) + 1;
  }
  return Array.from({ length: count }, (_, stratum) => sorted.subarray(ends[stratum], ends[stratum + 1]));
}

/** The published toxicity bins: upper bounds .02, .03, .04, .05, then the rest; a missing score counts as 0. */
export async function paperToxicityBins(
  scores: ArrayLike<number>,
  turns: Turns,
): Promise<{ readonly labels: Int32Array; readonly members: readonly Int32Array[] }> {
  const n = scores.length;
  const labels = new Int32Array(n);
  const sizes = [0, 0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    if (i % 65536 === 0 && turns.due()) await turns.take(i, 2 * n);
    const score = Number.isFinite(scores[i]) ? (scores[i] as number) : 0;
    const bin = score <= 0.02 ? 0 : score <= 0.03 ? 1 : score <= 0.04 ? 2 : score <= 0.05 ? 3 : 4;
    labels[i] = bin;
    sizes[bin] = (sizes[bin] as number) + 1;
  }
  const members = sizes.map((size) => new Int32Array(size));
  const filled = [0, 0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    if (i % 65536 === 0 && turns.due()) await turns.take(n + i, 2 * n);
    const bin = labels[i] as number;
    const place = filled[bin] as number;
    (members[bin] as Int32Array)[place] = i;
    filled[bin] = place + 1;
  }
  return { labels, members };
}
