import { MendsetError } from '../core/errors.ts';
import { PythonRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import { type Choice, defineSelector, requireInteger, requireNumber, requireOneOf } from './define-selector.ts';
import { DIFFICULTY_SCORES, type DifficultyScore, type FeatureOf, featureOf, hardSideOf } from './difficulty.ts';
import { finiteIndices, type NonFinite, rankAscending, rankDescending } from './rank.ts';
import type { Preset, Selector } from './selector.ts';
import { equalWidthStrata, paperToxicityBins } from './strata.ts';
import { waterFill } from './water-fill.ts';

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
    choose({ n, budget, seed, features }, _options, timed): Promise<Choice> {
      const scores = features[feature] as Float64Array;
      if (preset === 'paper') return timed('choosing', () => choosePaper(scores, budget, seed));
      return timed('choosing', () => choosePrincipled(scores, n, budget, seed));
    },
  });

  function choosePrincipled(scores: Float64Array, n: number, budget: number, seed: number | bigint): Choice {
    const warnings: string[] = [];
    const usable = finiteIndices(scores, nonFinite, `${score} score`);
    if (budget > usable.length) {
      throw new MendsetError(
        'invalid-argument',
        `Expected a budget of at most ${usable.length} records with a finite ${score} score but received ${budget}.`,
      );
    }
    const wanted = beta ?? defaultBeta(budget, n);
    let removed = Math.floor(wanted * usable.length + 1e-9);
    if (usable.length - removed < budget) {
      removed = usable.length - budget;
      warnings.push(`beta was lowered from ${wanted} to ${removed / usable.length} because fewer than ${budget} records would remain.`);
    }
    const hardestFirst = (hard === 'high' ? rankDescending : rankAscending)(scores, usable);
    const members = hardestFirst.slice(removed).sort((a, b) => a - b);
    const bins = equalWidthStrata(scores, members, strata);
    if (bins.length === 1 && strata > 1) warnings.push('All scores are equal: there is one stratum and the choice is random.');
    const quotas = waterFill(
      budget,
      bins.map((bin) => bin.length),
    );
    const source = new RandomStream(seed, STREAM_IDS.ccs);
    // A shuffled stratum's first q members are a uniform sample without replacement.
    const chosen = bins.flatMap((bin, b) => source.shuffle([...bin]).slice(0, quotas[b]));
    return { ...inBins(bins, quotas, n), indices: Int32Array.from(chosen), scores, dropped: n - usable.length, warnings };
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
    return { ...inBins(bins, quotas, scores.length), indices: Int32Array.from(chosen), scores, warnings };
  }
}

function inBins(bins: readonly (readonly number[])[], quotas: readonly number[], n: number): { clusters: Int32Array; quotas: Int32Array } {
  const clusters = new Int32Array(n).fill(-1);
  for (const [b, bin] of bins.entries()) for (const i of bin) clusters[i] = b;
  return { clusters, quotas: Int32Array.from(quotas) };
}
