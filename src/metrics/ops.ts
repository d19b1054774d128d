import { figuresProblem, firstProblem, type MetricOptions, type MetricResult, type ModelFigures, metricResult } from './result.ts';
import { metricSetting } from './setting.ts';

/**
 * Overall Performance Score: share of toxicity removed times the share of utility kept,
 * D^w1 * U_V^w2 * U_A^w3 with D = clamp((T0 - T) / T0, 0, 1), U = min(1, base perplexity / perplexity).
 * In [0, 1]: 0 without detoxification, 1 for full detoxification at no perplexity cost. Null when the base has no toxicity.
 * @example ops({ base, model }).value // 0.911415
 */
export function ops(input: { readonly base: ModelFigures; readonly model: ModelFigures }, options: MetricOptions = {}): MetricResult {
  const { formulas, ...head } = metricSetting(options);
  const reason = firstProblem(
    figuresProblem('the base model', input.base),
    figuresProblem('the model', input.model),
    baseProblem(input.base),
  );
  return metricResult('ops', head, reason === undefined ? formulas.ops(input.base, input.model, head.weights) : { reason });
}

export function baseProblem(base: ModelFigures): string | undefined {
  return base.toxicity > 0 ? undefined : 'the base model has toxicity 0, so there is nothing to remove';
}
