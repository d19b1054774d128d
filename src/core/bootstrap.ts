import { RandomStream, STREAM_IDS } from './random.ts';

/** A percentile interval of a mean. */
export interface Interval {
  readonly low: number;
  readonly high: number;
  /** Share of resampled means inside, e.g. 0.95 */
  readonly level: number;
  readonly resamples: number;
}

export interface BootstrapOptions {
  /** Default 1000 */
  readonly resamples?: number | undefined;
  /** Default 0.95 */
  readonly level?: number | undefined;
  /** Of stream 9; default 0 */
  readonly seed?: number | undefined;
}

/**
 * Percentile bootstrap of the mean, resampling values (here: prompts) with replacement. null without values. It lives in core
 * because both evaluation and metrics report intervals.
 */
export function bootstrapMean(values: ArrayLike<number>, options: BootstrapOptions = {}): Interval | null {
  const n = values.length;
  if (n === 0) return null;
  const resamples = options.resamples ?? 1000;
  const level = options.level ?? 0.95;
  const random = new RandomStream(options.seed ?? 0, STREAM_IDS.bootstrap);
  const means = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += values[random.below(n)] as number;
    means[r] = sum / n;
  }
  means.sort();
  const tail = (1 - level) / 2;
  return { low: quantile(means, tail), high: quantile(means, 1 - tail), level, resamples };
}

/**
 * Percentile bootstrap of the mean of a table [seeds][prompts] whose columns are the same prompts: seeds and prompts are resampled
 * independently, so the interval holds for other seeds and other prompts of their kind. null entries are left out of each resample. null without
 * values; with one seed it resamples prompts alone.
 */
export function bootstrapCrossed(table: readonly (readonly (number | null)[])[], options: BootstrapOptions = {}): Interval | null {
  const seeds = table.length;
  const prompts = table[0]?.length ?? 0;
  if (!table.some((row) => row.some((v) => v !== null))) return null;
  const resamples = options.resamples ?? 1000;
  const level = options.level ?? 0.95;
  const random = new RandomStream(options.seed ?? 0, STREAM_IDS.bootstrap);
  const means = new Float64Array(resamples);
  const columns = new Int32Array(prompts);
  for (let r = 0; r < resamples; ) {
    for (let p = 0; p < prompts; p++) columns[p] = random.below(prompts);
    let sum = 0;
    let count = 0;
    for (let s = 0; s < seeds; s++) {
      const row = table[seeds === 1 ? 0 : random.below(seeds)] as readonly (number | null)[];
      for (const p of columns) {
        const value = row[p];
        if (value == null) continue;
        sum += value;
        count++;
      }
    }
    // a resample that hit gaps alone says nothing
    if (count > 0) means[r++] = sum / count;
  }
  means.sort();
  const tail = (1 - level) / 2;
  return { low: quantile(means, tail), high: quantile(means, 1 - tail), level, resamples };
}

/**
 * Two-sided sign-flip test of paired differences: the share of random sign assignments (the observed one among them) whose mean lies at least
 * as far from 0. Assumes that under no effect each difference is as likely to have the other sign. null without differences.
 */
export function signFlipTest(differences: ArrayLike<number>, options: { flips?: number; seed?: number | undefined } = {}): number | null {
  const n = differences.length;
  if (n === 0) return null;
  const flips = options.flips ?? 10_000;
  const random = new RandomStream(options.seed ?? 0, STREAM_IDS.bootstrap, 2);
  let observed = 0;
  for (let i = 0; i < n; i++) observed += differences[i] as number;
  const limit = Math.abs(observed) * (1 - 1e-12);
  let beyond = 1;
  for (let f = 1; f < flips; f++) {
    let sum = 0;
    let bits = 0;
    for (let i = 0; i < n; i++) {
      if (i % 32 === 0) bits = random.next();
      sum += (bits >>> (i % 32)) & 1 ? (differences[i] as number) : -(differences[i] as number);
    }
    if (Math.abs(sum) >= limit) beyond++;
  }
  return beyond / flips;
}

/** Linear interpolation between order statistics (numpy's default). `sorted` ascending, not empty; q in [0, 1]. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (place - below) * (high - low);
}
