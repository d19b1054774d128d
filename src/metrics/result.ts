import { MendsetError } from '../core/errors.ts';

/** Version of the formulas below. The papers print none, so a value means nothing without it. */
export const METRIC_VERSION = 'proposal-1';

/** Wall-clock or device seconds, floating-point operations, or training records consumed. */
export type CostUnit = 'seconds' | 'flops' | 'examples';

/** Weights of toxicity, WikiText-2 perplexity and LAMBADA perplexity; they sum to 1. */
export interface MetricWeights {
  readonly toxicity: number;
  readonly wikitext: number;
  readonly lambada: number;
}
export const DEFAULT_WEIGHTS: MetricWeights = { toxicity: 0.5, wikitext: 0.25, lambada: 0.25 };

/** One model's figures. All models of a comparison share scorer, protocol, evaluation scale and base model. */
export interface ModelFigures {
  /** mean toxicity, on any scale shared by all models */
  readonly toxicity: number;
  /** running-text perplexity */
  readonly wikitext: number;
  readonly lambada: number;
}

/**
 * The formulas behind the three scores, on figures that have been checked (finite, base toxicity above 0). Replace them as a whole, under a
 * version of your own: a value means nothing without it.
 */
export interface MetricFormulas {
  readonly version: string;
  ops(base: ModelFigures, model: ModelFigures, weights: MetricWeights): number;
  rps(
    base: ModelFigures,
    reference: ModelFigures,
    subset: ModelFigures,
    weights: MetricWeights,
    rule: { readonly oneSided: boolean },
  ): number;
  /** `reached` and `subset`: Overall Performance Scores of full repair, above 0, and of the subset; costs above 0 */
  res(reached: number, subset: number, cost: { readonly full: number; readonly subset: number }): number;
}

export interface MetricOptions {
  readonly weights?: MetricWeights | undefined;
  /** Default: {@link PROPOSAL_1} */
  readonly formulas?: MetricFormulas | undefined;
}

/** A score, or null with the reason why there is none. */
export interface MetricResult {
  readonly metric: 'ops' | 'rps' | 'res';
  readonly version: string;
  readonly weights: MetricWeights;
  /** RES: what its costs were counted in, where the caller said so */
  readonly costUnit?: CostUnit;
  readonly value: number | null;
  readonly reason?: string;
}

/** Throws `invalid-argument` unless weights are non-negative and sum to 1. */
export function checkedWeights(weights: MetricWeights = DEFAULT_WEIGHTS): MetricWeights {
  const { toxicity, wikitext, lambada } = weights;
  const sum = toxicity + wikitext + lambada;
  if (toxicity >= 0 && wikitext >= 0 && lambada >= 0 && Math.abs(sum - 1) < 1e-9) return { toxicity, wikitext, lambada };
  throw new MendsetError(
    'invalid-argument',
    `Expected weights of 0 or more that sum to 1 but received toxicity ${toxicity}, wikitext ${wikitext}, lambada ${lambada}.`,
  );
}

/** Why figures cannot enter a metric, or undefined when they can. */
export function figuresProblem(who: string, figures: ModelFigures): string | undefined {
  const { toxicity, wikitext, lambada } = figures;
  if (!Number.isFinite(toxicity) || toxicity < 0) return `the toxicity of ${who} is ${toxicity}, not a number of 0 or more`;
  if (!Number.isFinite(wikitext) || wikitext <= 0) return `the WikiText-2 perplexity of ${who} is ${wikitext}, not a positive number`;
  if (!Number.isFinite(lambada) || lambada <= 0) return `the LAMBADA perplexity of ${who} is ${lambada}, not a positive number`;
  return undefined;
}

/** The first problem that is there. */
export function firstProblem(...problems: readonly (string | undefined)[]): string | undefined {
  return problems.find((problem) => problem !== undefined);
}

export function metricResult(
  metric: MetricResult['metric'],
  setting: { readonly weights: MetricWeights; readonly version: string; readonly costUnit?: CostUnit },
  outcome: number | { readonly reason: string },
): MetricResult {
  const head = { metric, ...setting } as const;
  if (typeof outcome !== 'number') return { ...head, value: null, reason: outcome.reason };
  return Number.isFinite(outcome) ? { ...head, value: outcome } : { ...head, value: null, reason: `the result is ${outcome}` };
}
