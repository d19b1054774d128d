/** One metric or figure over repeated runs that differ in their seed alone. */
export interface SeedSummary {
  /** Over the seeds that have a value; null without one */
  readonly mean: number | null;
  /** Of the sample, divisor n - 1; null for fewer than two values */
  readonly sd: number | null;
  /** 95 % Student interval of the mean; null for fewer than two values */
  readonly interval: readonly [number, number] | null;
  readonly seeds: number;
  /** Seeds whose run has no value */
  readonly missing: number;
}

/** Two-sided 95 % quantiles of Student's distribution for 1, 2, ... degrees of freedom. */
const T95 = [
  12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.306, 2.26216, 2.22814, 2.20099, 2.17881, 2.16037, 2.14479, 2.13145,
  2.11991, 2.10982, 2.10092, 2.09302, 2.08596, 2.07961, 2.07387, 2.06866, 2.0639, 2.05954, 2.05553, 2.05183, 2.04841, 2.04523, 2.04227,
];

/**
 * Aggregates values that were computed seed by seed: a ratio of means is not the mean of ratios, so a metric is computed for each seed
 * first. The interval is Student's, because three to ten seeds are too few to resample.
 *
 * @example
 * overSeeds(runs.map((run) => rps(run).value)); // { mean, sd, interval, seeds, missing }
 */
export function overSeeds(values: readonly (number | null)[]): SeedSummary {
  const known = values.filter((v) => v !== null);
  const n = known.length;
  const head = { seeds: n, missing: values.length - n };
  if (n === 0) return { mean: null, sd: null, interval: null, ...head };
  const mean = known.reduce((a, b) => a + b, 0) / n;
  if (n === 1) return { mean, sd: null, interval: null, ...head };
  const sd = Math.sqrt(known.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1));
  const half = (student95(n - 1) * sd) / Math.sqrt(n);
  return { mean, sd, interval: [mean - half, mean + half], ...head };
}

/** Tabulated to 30 degrees of freedom; beyond, Hill's first terms around the normal quantile, within 1e-4. */
function student95(degrees: number): number {
  const z = 1.959964;
  return T95[degrees - 1] ?? z + (z ** 3 + z) / (4 * degrees) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2);
}
