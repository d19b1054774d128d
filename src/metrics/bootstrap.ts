import { MendsetError } from '../core/errors.ts';
import { RandomStream, STREAM_IDS } from '../core/random.ts';

export interface Interval {
  /** the statistic of the sample itself */
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** e.g. 0.95 */
  readonly level: number;
  readonly resamples: number;
  /** units resampled */
  readonly n: number;
}

export interface BootstrapOptions {
  /** default 0.95 */
  readonly level?: number | undefined;
  /** default 1,000 */
  readonly resamples?: number | undefined;
  /** default 0; stream 9 */
  readonly seed?: number | bigint | undefined;
  /** default the mean */
  readonly statistic?: ((sample: Float64Array) => number) | undefined;
}

/** Arithmetic mean; NaN for no values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
}

/** Sample standard deviation (divisor n - 1); NaN below two values. */
export function standardDeviation(values: ArrayLike<number>): number {
  if (values.length < 2) return Number.NaN;
  const centre = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += ((values[i] as number) - centre) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}

/**
 * Percentile bootstrap interval (Efron 1979) over independent units, e.g. prompts or seeds. Same seed, same interval.
 * @throws MendsetError `invalid-argument` for no values, `non-finite` for NaN or infinity
 */
export function bootstrap(values: ArrayLike<number>, options: BootstrapOptions = {}): Interval {
  const { level = 0.95, resamples = 1000, seed = 0, statistic = mean } = options;
  const n = values.length;
  if (n === 0) throw new MendsetError('invalid-argument', 'Expected at least one value for a bootstrap interval but received none.');
  if (!(level > 0 && level < 1) || !Number.isSafeInteger(resamples) || resamples < 1) {
    throw new MendsetError(
      'invalid-argument',
      `Expected a level between 0 and 1 and at least 1 resample but received ${level} and ${resamples}.`,
    );
  }
  const sample = Float64Array.from(values);
  const bad = sample.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new MendsetError('non-finite', `Expected finite values for a bootstrap interval but value ${bad} is ${sample[bad]}.`);

  const stream = new RandomStream(seed, STREAM_IDS.bootstrap);
  const drawn = new Float64Array(n);
  const statistics = Float64Array.from({ length: resamples }, () => {
    for (let i = 0; i < n; i++) drawn[i] = sample[stream.below(n)] as number;
    return statistic(drawn);
  }).sort();
  return {
    value: statistic(sample),
    low: quantile(statistics, (1 - level) / 2),
    high: quantile(statistics, (1 + level) / 2),
    level,
    resamples,
    n,
  };
}

/** Interval of the mean of a - b over units measured under both conditions, e.g. the same seeds or prompts. */
export function bootstrapPaired(a: ArrayLike<number>, b: ArrayLike<number>, options: BootstrapOptions = {}): Interval {
  if (a.length !== b.length) {
    throw new MendsetError('invalid-argument', `Expected pairs but received ${a.length} and ${b.length} values.`);
  }
  return bootstrap(
    Float64Array.from({ length: a.length }, (_, i) => (a[i] as number) - (b[i] as number)),
    options,
  );
}

/** Linear interpolation between order statistics (position (m - 1) q of m sorted values). */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (high - low) * (position - below);
}
