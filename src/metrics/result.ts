import { MendsetError } from '../core/errors.ts';

/** Version of the formulas below. The papers print none, so a value means nothing without it. */
export const METRIC_VERSION = 'proposal-1';

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

export interface MetricOptions {
  readonly weights?: MetricWeights | undefined;
}

/** A score, or null with the reason why there is none. */
export interface MetricResult {
  readonly metric: 'ops' | 'rps' | 'res';
  readonly version: typeof METRIC_VERSION;
  readonly weights: MetricWeights;
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
  weights: MetricWeights,
  outcome: number | { readonly reason: string },
): MetricResult {
  const head = { metric, version: METRIC_VERSION, weights } as const;
  if (typeof outcome !== 'number') return { ...head, value: null, reason: outcome.reason };
  return Number.isFinite(outcome) ? { ...head, value: outcome } : { ...head, value: null, reason: `the result is ${outcome}` };
}
