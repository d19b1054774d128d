import { PROPOSAL_1 } from './proposal-1.ts';
import { checkedWeights, type MetricFormulas, type MetricOptions, type MetricWeights } from './result.ts';

/** Weights and formulas of a call, with the version that its results carry. */
export function metricSetting(options: MetricOptions): { weights: MetricWeights; formulas: MetricFormulas; version: string } {
  const formulas = options.formulas ?? PROPOSAL_1;
  return { weights: checkedWeights(options.weights), formulas, version: formulas.version };
}
