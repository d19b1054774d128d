/** The metrics under one name: `metrics.ops`, `metrics.rps`, `metrics.res`. */
export { ops } from './ops.ts';
export { type CostedFigures, res } from './res.ts';
export { DEFAULT_WEIGHTS, METRIC_VERSION, type MetricOptions, type MetricResult, type MetricWeights, type ModelFigures } from './result.ts';
export { type RpsOptions, rps } from './rps.ts';
