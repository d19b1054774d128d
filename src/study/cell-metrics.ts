import { ops } from '../metrics/ops.ts';
import { res } from '../metrics/res.ts';
import { METRIC_VERSION, type MetricResult, type ModelFigures } from '../metrics/result.ts';
import { rps } from '../metrics/rps.ts';
import type { CellMetrics, Figure } from './cell-result.ts';

/** What the metrics need of a cell. */
interface Measured {
  readonly figures: Readonly<Record<string, Figure>>;
  readonly costSeconds: number | null;
}

/**
 * OPS, RPS and RES of a repaired model, against the unrepaired model and the one repaired on all data. Toxicity is
 * `toxicity.repair`, the perplexities are the study's `.tokenPpl` and `.runningPpl`, the cost is in seconds.
 */
export function cellMetrics(cell: Measured, base: Measured | null, full: Measured | null): CellMetrics {
  const missing = (reason: string): Pick<MetricResult, 'value' | 'reason'> => ({ value: null, reason });
  const absent = missingFigures(cell);
  const model = modelFigures(cell);
  const results = (['ops', 'rps', 'res'] as const).map(
    (name): readonly [string, Pick<MetricResult, 'value'> & { reason?: string; weights?: MetricResult['weights'] }] => {
      if (absent) return [name, missing(`the study does not measure ${absent}`)];
      if (!base) return [name, missing('the unrepaired model has no result')];
      if (name === 'ops') return [name, ops({ base: modelFigures(base), model })];
      if (!full) return [name, missing('the model repaired on all data has no result')];
      if (name === 'rps') return [name, rps({ base: modelFigures(base), full: modelFigures(full), subset: model })];
      return [
        name,
        res({
          base: modelFigures(base),
          full: { ...modelFigures(full), cost: full.costSeconds ?? 0 },
          subset: { ...model, cost: cell.costSeconds ?? 0 },
        }),
      ];
    },
  );
  const value = (name: string) => results.find(([n]) => n === name)?.[1].value ?? null;
  const weights = results.find(([, r]) => r.weights)?.[1].weights ?? { toxicity: 0.5, wikitext: 0.25, lambada: 0.25 };
  return {
    version: METRIC_VERSION,
    weights: [weights.toxicity, weights.wikitext, weights.lambada],
    ops: value('ops'),
    rps: value('rps'),
    res: value('res'),
    reasons: Object.fromEntries(results.filter(([, r]) => r.reason !== undefined).map(([n, r]) => [n, r.reason as string])),
  };
}

/** OPS of a repaired model at other weights; null where a figure is missing. */
export function opsAtWeights(cell: Measured, base: Measured, weights: MetricResult['weights']): number | null {
  if (missingFigures(cell) || missingFigures(base)) return null;
  return ops({ base: modelFigures(base), model: modelFigures(cell) }, { weights }).value;
}

const NEEDED: readonly (readonly [RegExp, string])[] = [
  [/^toxicity\.repair$/, 'toxicity'],
  [/\.tokenPpl$/, 'the perplexity of running text'],
  [/\.runningPpl$/, 'the running perplexity of last-word texts'],
];

function missingFigures(cell: Measured): string | null {
  return NEEDED.find(([pattern]) => !Object.keys(cell.figures).some((name) => pattern.test(name)))?.[1] ?? null;
}

function modelFigures(cell: Measured): ModelFigures {
  const [toxicity, wikitext, lambada] = NEEDED.map(
    ([pattern]) => Object.entries(cell.figures).find(([name]) => pattern.test(name))?.[1].value ?? Number.NaN,
  );
  return { toxicity: toxicity as number, wikitext: wikitext as number, lambada: lambada as number };
}
