import { MendsetError } from '../core/errors.ts';
import { PythonRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { type Choice, defineSelector, requireInteger, requireNumber, requireOneOf } from './define-selector.ts';
import { DIFFICULTY_SCORES, type DifficultyScore, type FeatureOf, featureOf, hardSideOf } from './difficulty.ts';
import { finiteIndices, type NonFinite } from './rank.ts';
import type { Preset, Selector } from './selector.ts';
import { equalWidthStrata, paperToxicityBins } from './strata.ts';
import { waterFill } from './water-fill.ts';
import { withoutExtremes } from './without-extremes.ts';

export interface CcsOptions<S extends DifficultyScore = 'toxicity'> {
  readonly preset?: Preset | undefined;
  /** default `toxicity` */
  readonly score?: S | undefined;
  /** which end is hard; default: low for margin and aum, high for the rest */
  readonly hard?: 'high' | 'low' | undefined;
  /** share of the hardest records to remove first; default 0, 0.2 or 0.3 by budget: see `defaultBeta` */
  readonly beta?: number | undefined;
  /** default 50 */
  readonly strata?: number | undefined;
  /** default `error` */
  readonly nonFinite?: NonFinite | undefined;
}

/** 0 from 30 % of the window on, 0.2 above 10 %, else 0.3: after the published settings at 80 % and 90 % pruning. */
export function defaultBeta(budget: number, n: number): number {
  if (budget >= Math.floor(0.3 * n + 1e-9)) return 0;
  return budget > Math.floor(0.1 * n + 1e-9) ? 0.2 : 0.3;
}

/**
 * Coverage-centric coreset selection (Zheng et al., ICLR 2023): drop the hardest, then sample evenly over strata of the score.
 * The published code widens the maximum by 1.0001, which fails for maxima <= 0; the last stratum is closed instead.
 *
 * `paper`: five fixed toxicity bins, floor(budget / 5) each, no redistribution and no removal.
 */
export function ccs<S extends DifficultyScore = 'toxicity'>(options: CcsOptions<S> = {}): Selector<FeatureOf<S>> {
  const preset = options.preset ?? 'principled';
  const score: DifficultyScore = options.score ?? 'toxicity';
  const { hard = hardSideOf(score), beta, strata = 50, nonFinite = 'error' } = options;
  requireOneOf('score', score, DIFFICULTY_SCORES);
  requireOneOf('hard', hard, ['high', 'low']);
  requireOneOf('nonFinite', nonFinite, ['error', 'drop']);
  requireInteger('strata', strata, 1, 1_000_000);
  if (beta !== undefined) requireNumber('beta', beta, 0, 1);
  const feature = featureOf(score) as FeatureOf<S>;
  return defineSelector<FeatureOf<S>>({
    name: 'ccs',
    preset,
    needs: [feature],
    parameters: preset === 'paper' ? { score } : { score, hard, beta: beta ?? 'auto', strata, nonFinite },
    choose({ n, budget, seed, features }, run, timed): Promise<Choice> {
      const scores = features[feature] as Float64Array;
      if (preset === 'paper') return timed('choosing', () => choosePaper(scores, budget, seed));
      return timed('choosing', () => choosePrincipled(scores, n, budget, seed, run));
    },
  });

  async function choosePrincipled(
    scores: Float64Array,
    n: number,
    budget: number,
    seed: number | bigint,
    { signal }: RunOptions,
  ): Promise<Choice> {
    const warnings: string[] = [];
    // The engine gives the same strata and draws; it wants finite scores, and loading it costs more than small windows.
    const large = n >= NATIVE_FROM && allFinite(scores);
    const usable = large ? null : finiteIndices(scores, nonFinite, `${score} score`);
    const usableCount = usable?.length ?? n;
    if (budget > usableCount) {
      throw new MendsetError(
        'invalid-argument',
        `Expected a budget of at most ${usableCount} records with a finite ${score} score but received ${budget}.`,
      );
    }
    const wanted = beta ?? defaultBeta(budget, n);
    let removed = Math.floor(wanted * usableCount + 1e-9);
    if (usableCount - removed < budget) {
      removed = usableCount - budget;
      warnings.push(`beta was lowered from ${wanted} to ${removed / usableCount} because fewer than ${budget} records would remain.`);
    }
    await turn(signal);
    const { members, ends, labels } =
      usable === null ? strataNatively(scores, removed, hard, strata) : strataOf(scores, usable, removed, hard, strata);
    if (ends.length === 2 && strata > 1) warnings.push('All scores are equal: there is one stratum and the choice is random.');
    const sizes = Array.from(ends.subarray(1), (end, b) => end - (ends[b] as number));
    const quotas = Int32Array.from(waterFill(budget, sizes));
    await turn(signal);
    const indices = large
      ? callNative(() => addon().drawWithin(members, ends, quotas, BigInt.asUintN(64, BigInt(seed)), STREAM_IDS.ccs))
      : drawWithin(members, ends, quotas, new RandomStream(seed, STREAM_IDS.ccs));
    return { clusters: labels, quotas, indices, scores, dropped: n - usableCount, warnings };
  }

  function choosePaper(scores: Float64Array, budget: number, seed: number | bigint): Choice {
    const bins = paperToxicityBins(scores);
    const quota = Math.floor(budget / bins.length);
    const source = new PythonRandom(seed);
    const quotas = bins.map((bin) => Math.min(quota, bin.length));
    const chosen = bins.flatMap((bin, b) => source.sample(bin.length, quotas[b] as number).map((place) => bin[place] as number));
    const warnings =
      chosen.length === budget
        ? []
        : [`The paper preset of ccs chose ${chosen.length} of ${budget} records: quotas of small bins are not redistributed.`];
    return { clusters: inBins(bins, scores.length), quotas: Int32Array.from(quotas), indices: Int32Array.from(chosen), scores, warnings };
  }
}

/** Windows from which on the native engine sorts and draws. */
const NATIVE_FROM = 1 << 16;

interface Strata {
  /** by stratum, ascending inside */
  readonly members: Int32Array;
  /** [strata + 1] places in members */
  readonly ends: Int32Array;
  /** [n] stratum of every record; -1 when it was left out */
  readonly labels: Int32Array;
}

function strataOf(scores: Float64Array, usable: Int32Array, removed: number, hard: 'high' | 'low', count: number): Strata {
  const bins = equalWidthStrata(scores, withoutExtremes(scores, usable, removed, hard), count);
  const ends = new Int32Array(bins.length + 1);
  for (const [b, bin] of bins.entries()) ends[b + 1] = (ends[b] as number) + bin.length;
  const members = new Int32Array(usable.length - removed);
  for (const [b, bin] of bins.entries()) members.set(bin, ends[b]);
  return { members, ends, labels: inBins(bins, scores.length) };
}

function strataNatively(scores: Float64Array, removed: number, hard: 'high' | 'low', count: number): Strata {
  const members = new Int32Array(scores.length - removed);
  const labels = new Int32Array(scores.length);
  const ends = callNative(() => addon().scoreStrata(scores, removed, hard, count, members, labels));
  return { members, ends, labels };
}

/** A shuffled stratum's first q members are a uniform sample without replacement. */
function drawWithin(members: Int32Array, ends: Int32Array, quotas: Int32Array, source: RandomStream): Int32Array {
  const drawn: number[] = [];
  for (const [b, quota] of quotas.entries()) drawn.push(...source.shuffle(members.subarray(ends[b], ends[b + 1])).subarray(0, quota));
  return Int32Array.from(drawn);
}

/** [n] the stratum of every record; -1 when it was left out before. */
function inBins(bins: readonly ArrayLike<number>[], n: number): Int32Array {
  const clusters = new Int32Array(n).fill(-1);
  for (const [b, bin] of bins.entries()) for (let at = 0; at < bin.length; at++) clusters[bin[at] as number] = b;
  return clusters;
}

/** Lets the event loop run between two pieces of work. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  throwIfAborted(signal);
}

/** 0 x is NaN for NaN and infinity alone. */
function allFinite(values: Float64Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += 0 * (values[i] as number);
  return sum === 0;
}
