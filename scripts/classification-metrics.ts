/** One scored example of a labelled set. */
export interface Rated {
  readonly score: number;
  readonly toxic: boolean;
}

export interface ClassificationMetrics {
  readonly texts: number;
  readonly toxic: number;
  readonly rocAuc: number;
  readonly averagePrecision: number;
  /** Share of right answers at 0.5, each class counting half */
  readonly balancedAccuracy: number;
  /** Expected calibration error over ten equal bins, at the set's own share of toxic texts */
  readonly calibrationError: number;
  /** Mean score and share of toxic texts in each tenth of [0, 1] that has any */
  readonly bins: readonly { readonly texts: number; readonly meanScore: number; readonly toxicShare: number }[];
}

/** Ranking and calibration of a binary classifier; equal scores count half in the ROC area. */
export function classificationMetrics(rated: readonly Rated[]): ClassificationMetrics {
  const sorted = [...rated].sort((a, b) => b.score - a.score);
  const toxic = sorted.filter((entry) => entry.toxic).length;
  const others = sorted.length - toxic;
  let area = 0;
  let precisionSum = 0;
  let hitsAbove = 0;
  let missesAbove = 0;
  for (let start = 0; start < sorted.length; ) {
    let end = start;
    while (end < sorted.length && sorted[end]?.score === sorted[start]?.score) end++;
    const hits = sorted.slice(start, end).filter((entry) => entry.toxic).length;
    const misses = end - start - hits;
    area += misses * (hitsAbove + hits / 2);
    hitsAbove += hits;
    missesAbove += misses;
    precisionSum += hits * (hitsAbove / (hitsAbove + missesAbove));
    start = end;
  }
  const right = (flag: boolean): number => rated.filter((entry) => entry.toxic === flag && entry.score >= 0.5 === flag).length;
  const bins = Array.from({ length: 10 }, (_, bin) => rated.filter((entry) => Math.min(9, Math.floor(entry.score * 10)) === bin))
    .filter((entries) => entries.length > 0)
    .map((entries) => ({
      texts: entries.length,
      meanScore: round(entries.reduce((sum, entry) => sum + entry.score, 0) / entries.length),
      toxicShare: round(entries.filter((entry) => entry.toxic).length / entries.length),
    }));
  return {
    texts: rated.length,
    toxic,
    rocAuc: round(area / (toxic * others)),
    averagePrecision: round(precisionSum / toxic),
    balancedAccuracy: round((right(true) / toxic + right(false) / others) / 2),
    calibrationError: round(bins.reduce((sum, bin) => sum + (bin.texts / rated.length) * Math.abs(bin.meanScore - bin.toxicShare), 0)),
    bins,
  };
}

function round(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
