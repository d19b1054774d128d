/**
 * Equal-width strata over [min, max] of the members' scores, half-open, the last one closed. Equal scores give one stratum.
 * @returns one list of members per stratum, ascending score range; members keep their order
 */
export function equalWidthStrata(scores: ArrayLike<number>, members: readonly number[], count: number): number[][] {
  if (members.length === 0) return [];
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const i of members) {
    low = Math.min(low, scores[i] as number);
    high = Math.max(high, scores[i] as number);
  }
  if (low === high) return [[...members]];
  const strata: number[][] = Array.from({ length: count }, () => []);
  for (const i of members) {
    // Halved before subtracting: high - low may overflow.
    const position = ((scores[i] as number) / 2 - low / 2) / (high / 2 - low / 2);
    (strata[Math.min(count - 1, Math.floor(position * count))] as number[]).push(i);
  }
  return strata;
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
