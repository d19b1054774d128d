import { MendsetError } from '../core/errors.ts';
import { PythonRandom, RandomStream, STREAM_IDS } from '../core/random.ts';
import { Turns } from '../core/turns.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { type Choice, defineSelector, requireInteger, requireNumber, requireOneOf } from './define-selector.ts';
import { DIFFICULTY_SCORES, type DifficultyScore, type FeatureOf, featureOf, hardSideOf } from './difficulty.ts';
import { JAVASCRIPT, processorReport } from './engine.ts';
import { drawWork, strataWork } from './phase-work.ts';
import { finiteIndices, NATIVE_FROM, type NonFinite, nonFiniteScore } from './rank.ts';
import type { Preset, SelectOptions, Selector } from './selector.ts';
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
 * @throws MendsetError `invalid-argument` for an option out of its range, at once
 * @example
 * const { indices, quotas } = await selectIndices(ccs({ score: 'given', beta: 0.1 }), { n: 1000, budget: { count: 200 }, features: { scores } });
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
      if (preset === 'paper') return timed('choosing', () => choosePaper(scores, budget, seed, run));
      return timed('choosing', () => choosePrincipled(scores, n, budget, seed, run));
    },
  });

  async function choosePrincipled(
    scores: Float64Array,
    n: number,
    budget: number,
    seed: number | bigint,
    run: SelectOptions,
  ): Promise<Choice> {
    const wanted = beta ?? defaultBeta(budget, n);
    const plan = { scores, budget, wanted, hard, strata, nonFinite, what: `${score} score`, seed };
    const native = n >= NATIVE_FROM;
    const drawn = native ? await drawNatively(plan, run) : drawPlainly(plan);
    const warnings: string[] = [];
    if (drawn.removed < Math.floor(wanted * drawn.usable + 1e-9)) {
      warnings.push(
        `beta was lowered from ${wanted} to ${drawn.removed / drawn.usable} because fewer than ${budget} records would remain.`,
      );
    }
    if (drawn.quotas.length === 1 && strata > 1) warnings.push('All scores are equal: there is one stratum and the choice is random.');
    return {
      clusters: drawn.labels,
      quotas: drawn.quotas,
      indices: drawn.indices,
      scores,
      engine: native ? processorReport(run) : JAVASCRIPT,
      work: { choosing: strataWork(n, budget, drawn.removed > 0) },
      dropped: n - drawn.usable,
      warnings,
    };
  }

  async function choosePaper(scores: Float64Array, budget: number, seed: number | bigint, run: SelectOptions): Promise<Choice> {
    const turns = new Turns('ccs', run);
    const { labels, members: bins } = await paperToxicityBins(scores, turns);
    const quota = Math.floor(budget / bins.length);
    const source = new PythonRandom(seed);
    const quotas = bins.map((bin) => Math.min(quota, bin.length));
    const chosen = new Int32Array(quotas.reduce((sum, each) => sum + each, 0));
    let count = 0;
    for (const [b, bin] of bins.entries())
      for (const place of source.draws(bin.length, quotas[b] as number)) {
        if (count % 8192 === 0 && turns.due()) await turns.take(count, chosen.length);
        chosen[count++] = bin[place] as number;
      }
    const warnings =
      chosen.length === budget
        ? []
        : [`The paper preset of ccs chose ${chosen.length} of ${budget} records: quotas of small bins are not redistributed.`];
    return {
      clusters: labels,
      quotas: Int32Array.from(quotas),
      indices: chosen,
      scores,
      work: { choosing: drawWork(5 * scores.length, budget) },
      warnings,
    };
  }
}

export interface CcsPlan {
  readonly scores: Float64Array;
  readonly budget: number;
  /** share of the usable records to remove */
  readonly wanted: number;
  readonly hard: 'high' | 'low';
  readonly strata: number;
  readonly nonFinite: NonFinite;
  readonly what: string;
  readonly seed: number | bigint;
}

export interface CcsDraw {
  readonly usable: number;
  readonly removed: number;
  /** [n] stratum of every record; -1 when it was left out */
  readonly labels: Int32Array;
  readonly quotas: Int32Array;
  readonly indices: Int32Array;
}

export async function drawNatively(
  { scores, budget, wanted, hard, strata, nonFinite, what, seed }: CcsPlan,
  run: SelectOptions,
): Promise<CcsDraw> {
  const labels = new Int32Array(scores.length);
  const request = { budget, beta: wanted, hard, strata, dropBad: nonFinite === 'drop', seed: BigInt.asUintN(64, BigInt(seed)) };
  const task = callNative(() => addon().ccsTask(scores, labels, request, run.threads ?? 0));
  const { firstBad, finite, removed, quotas, indices } = await runTask(task, 'ccs', { ...run, result: () => task.result() });
  if (firstBad >= 0) throw nonFiniteScore(what, firstBad, scores[firstBad] as number);
  requireUsable(budget, finite, what);
  return { usable: finite, removed, labels, quotas, indices };
}

/** The same step by step, for small windows and as the judge of the engine. */
export function drawPlainly({ scores, budget, wanted, hard, strata, nonFinite, what, seed }: CcsPlan): CcsDraw {
  const usable = finiteIndices(scores, nonFinite, what);
  requireUsable(budget, usable.length, what);
  const removed = Math.min(Math.floor(wanted * usable.length + 1e-9), usable.length - budget);
  const bins = equalWidthStrata(scores, withoutExtremes(scores, usable, removed, hard), strata);
  const quotas = waterFill(
    budget,
    bins.map((bin) => bin.length),
  );
  const labels = inBins(bins, scores.length);
  const indices = bins.flatMap((bin, b) => [...new RandomStream(seed, STREAM_IDS.ccs, b).sample(bin, quotas[b] as number)]);
  return { usable: usable.length, removed, labels, quotas: Int32Array.from(quotas), indices: Int32Array.from(indices) };
}

function requireUsable(budget: number, usable: number, what: string): void {
  if (budget > usable) {
    throw new MendsetError(
      'invalid-argument',
      `Expected a budget of at most ${usable} records with a finite ${what} but received ${budget}.`,
    );
  }
}

/** [n] the stratum of every record; -1 when it was left out before. */
function inBins(bins: readonly ArrayLike<number>[], n: number): Int32Array {
  const clusters = new Int32Array(n).fill(-1);
  for (const [b, bin] of bins.entries()) for (let at = 0; at < bin.length; at++) clusters[bin[at] as number] = b;
  return clusters;
}
