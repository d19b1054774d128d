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
export function paperToxicityBins(scores: ArrayLike<number>): number[][] {
  const bounds = [0.02, 0.03, 0.04, 0.05];
  const bins: number[][] = [[], [], [], [], []];
  for (let i = 0; i < scores.length; i++) {
    const score = Number.isFinite(scores[i]) ? (scores[i] as number) : 0;
    const bin = bounds.findIndex((bound) => score <= bound);
    (bins[bin < 0 ? bounds.length : bin] as number[]).push(i);
  }
  return bins;
}
