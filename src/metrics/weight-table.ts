import { overSeeds, type SeedSummary } from './over-seeds.ts';
import { DEFAULT_WEIGHTS, type MetricResult, type MetricWeights } from './result.ts';

/** One model or method under comparison: how its metric is computed for given weights, for each seed. */
export interface WeightedCandidate {
  readonly name: string;
  /** Metric results at these weights, one for each seed */
  score(weights: MetricWeights): readonly Pick<MetricResult, 'value'>[];
}

export interface WeightRow {
  readonly weights: MetricWeights;
  /** Candidates by falling mean; ties in the order given; candidates without a value last */
  readonly ranking: readonly { readonly name: string; readonly summary: SeedSummary; readonly rank: number | null }[];
  /** Kendall's tau-b against the first row's means: 1 = the same order; null where fewer than two candidates have values or all tie */
  readonly agreement: number | null;
  readonly sameWinner: boolean;
}

const WEIGHTS = (toxicity: number, wikitext: number, lambada: number): MetricWeights => ({ toxicity, wikitext, lambada });

/** The default, equal weights, toxicity heavier and lighter, and each part left out once. */
export const WEIGHT_SETS: readonly MetricWeights[] = [
  DEFAULT_WEIGHTS,
  WEIGHTS(1 / 3, 1 / 3, 1 / 3),
  WEIGHTS(0.8, 0.1, 0.1),
  WEIGHTS(0.2, 0.4, 0.4),
  WEIGHTS(1, 0, 0),
  WEIGHTS(0.5, 0.5, 0),
  WEIGHTS(0.5, 0, 0.5),
];

/**
 * How a ranking depends on the weights: one row for each set of weights, the first being what the others are compared with.
 *
 * @example
 * weightTable([
 *   { name: 'saps', score: (weights) => runs.saps.map((run) => ops(run, { weights })) },
 *   { name: 'random', score: (weights) => runs.random.map((run) => ops(run, { weights })) },
 * ]);
 */
export function weightTable(candidates: readonly WeightedCandidate[], sets: readonly MetricWeights[] = WEIGHT_SETS): WeightRow[] {
  let first: (number | null)[] | null = null;
  let winner: string | undefined;
  return sets.map((weights) => {
    const scored = candidates.map(({ name, score }) => ({ name, summary: overSeeds(score(weights).map((r) => r.value)) }));
    const means = scored.map((s) => s.summary.mean);
    first ??= means;
    const sorted = [...scored].sort((a, b) => (b.summary.mean ?? Number.NEGATIVE_INFINITY) - (a.summary.mean ?? Number.NEGATIVE_INFINITY));
    const ranking = sorted.map((entry) => ({
      ...entry,
      rank: entry.summary.mean === null ? null : 1 + means.filter((m) => m !== null && m > (entry.summary.mean as number)).length,
    }));
    const best = ranking[0]?.rank === 1 ? ranking[0].name : undefined;
    winner ??= best;
    return { weights, ranking, agreement: kendallTau(first, means), sameWinner: best === winner };
  });
}

/** Tau-b of the pairs that both lists know. */
function kendallTau(a: readonly (number | null)[], b: readonly (number | null)[]): number | null {
  let balance = 0;
  let inA = 0;
  let inB = 0;
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++) {
      const [ai, aj, bi, bj] = [a[i], a[j], b[i], b[j]];
      if (ai == null || aj == null || bi == null || bj == null) continue;
      const left = Math.sign(ai - aj);
      const right = Math.sign(bi - bj);
      balance += left * right;
      inA += left ** 2;
      inB += right ** 2;
    }
  }
  return inA === 0 || inB === 0 ? null : balance / Math.sqrt(inA * inB);
}
