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
  readonly resamples?: number;
  /** Default 0.95 */
  readonly level?: number;
  /** Of stream 9; default 0 */
  readonly seed?: number;
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

/** Linear interpolation between order statistics (numpy's default). `sorted` ascending, not empty; q in [0, 1]. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (place - below) * (high - low);
}
