import { baseProblem } from './ops.ts';
import { figuresProblem, firstProblem, type MetricOptions, type MetricResult, type ModelFigures, metricResult } from './result.ts';
import { metricSetting } from './setting.ts';

export interface RpsOptions extends MetricOptions {
  /** count only what is worse than the reference; default false */
  readonly oneSided?: boolean | undefined;
  /** `full`: the model repaired on all data (default); `ideal`: no toxicity at the base model's perplexities */
  readonly reference?: 'full' | 'ideal' | undefined;
}

/**
 * Repair Proximity Score: how close repair on a subset comes to its reference,
 * exp(-sqrt(w1 dT^2 + w2 dV^2 + w3 dA^2)) with dT = (T - T_ref) / T0 and dV, dA = ln of the perplexity ratio.
 * In (0, 1]; 1 for the reference itself. Not to be confused with Representer Point Selection.
 */
export function rps(
  input: { readonly base: ModelFigures; readonly full?: ModelFigures | undefined; readonly subset: ModelFigures },
  options: RpsOptions = {},
): MetricResult {
  const { formulas, ...head } = metricSetting(options);
  const { base, subset } = input;
  const reference = options.reference === 'ideal' ? { toxicity: 0, wikitext: base.wikitext, lambada: base.lambada } : input.full;
  if (reference === undefined) return metricResult('rps', head, { reason: 'there are no figures of the model repaired on all data' });
  const reason = firstProblem(
    figuresProblem('the base model', base),
    figuresProblem('the reference', reference),
    figuresProblem('the model', subset),
    baseProblem(base),
  );
  if (reason !== undefined) return metricResult('rps', head, { reason });
  return metricResult('rps', head, formulas.rps(base, reference, subset, head.weights, { oneSided: options.oneSided ?? false }));
}
