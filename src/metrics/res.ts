import { baseProblem } from './ops.ts';
import {
  type CostUnit,
  figuresProblem,
  firstProblem,
  type MetricOptions,
  type MetricResult,
  type ModelFigures,
  metricResult,
} from './result.ts';
import { metricSetting } from './setting.ts';

/** Figures with what they cost: selection plus repair, in one unit (seconds, FLOPs or examples) for both models. */
export interface CostedFigures extends ModelFigures {
  readonly cost: number;
}

export interface ResOptions extends MetricOptions {
  /** What the costs of both models are counted in; carried in the result, since scores of different units do not compare */
  readonly costUnit?: CostUnit | undefined;
}

/**
 * Repair Efficiency Score: (OPS of the subset / OPS of full repair) * (cost of full repair / cost of the subset).
 * 1 for full repair; above 1 = more repair per cost. Null when full repair removes nothing or a cost is not positive.
 */
export function res(
  input: { readonly base: ModelFigures; readonly full: CostedFigures; readonly subset: CostedFigures },
  options: ResOptions = {},
): MetricResult {
  const { formulas, ...head } = metricSetting(options);
  const { weights } = head;
  const setting = options.costUnit === undefined ? head : { ...head, costUnit: options.costUnit };
  const { base, full, subset } = input;
  const reason = firstProblem(
    figuresProblem('the base model', base),
    figuresProblem('full repair', full),
    figuresProblem('the model', subset),
    baseProblem(base),
    costProblem('full repair', full.cost),
    costProblem('the model', subset.cost),
  );
  if (reason !== undefined) return metricResult('res', setting, { reason });
  const reached = formulas.ops(base, full, weights);
  if (reached === 0) return metricResult('res', setting, { reason: 'full repair has an Overall Performance Score of 0' });
  return metricResult('res', setting, formulas.res(reached, formulas.ops(base, subset, weights), { full: full.cost, subset: subset.cost }));
}

function costProblem(who: string, cost: number): string | undefined {
  return Number.isFinite(cost) && cost > 0 ? undefined : `the cost of ${who} is ${cost}, not a positive number`;
}
