/** The metrics under one name: `metrics.ops`, `metrics.rps`, `metrics.res`. */
export { ops } from './ops.ts';
export { overSeeds, type SeedSummary } from './over-seeds.ts';
export { PROPOSAL_1 } from './proposal-1.ts';
export { type CostedFigures, type ResOptions, res } from './res.ts';
export {
  type CostUnit,
  DEFAULT_WEIGHTS,
  METRIC_VERSION,
  type MetricFormulas,
  type MetricOptions,
  type MetricResult,
  type MetricWeights,
  type ModelFigures,
} from './result.ts';
export { type RpsOptions, rps } from './rps.ts';
export { WEIGHT_SETS, type WeightedCandidate, type WeightRow, weightTable } from './weight-table.ts';
