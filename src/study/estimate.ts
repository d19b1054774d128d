import type { RunOptions } from '../core/run-options.ts';
import type { FeatureKind } from '../features/feature.ts';
import type { BackendName } from '../model/load-weights.ts';
import { type ModelShape, modelShape } from '../model/model-shape.ts';
import type { RepairForecast } from '../repair/forecast-repair.ts';
import { loadTokenizer } from '../tokenizer/load.ts';
import { calibrate, canCalibrate, type ModelRates } from './calibration.ts';
import type { RepairConfig } from './config.ts';
import { forecastKey, forecastRepairs } from './forecast-repairs.ts';
import { makeSelector } from './make-selector.ts';
import { type PlannedCell, windowKey } from './plan.ts';
import type { StudyInputs } from './study-inputs.ts';

export interface StudyEstimate {
  readonly cells: { readonly unrepaired: number; readonly full: number; readonly subset: number };
  /** Computed once and used by several cells */
  readonly shared: {
    readonly unrepairedEvaluations: number;
    /** Full-data repairs, and the subsets that are measured against them */
    readonly fullRepairs: number;
    readonly subsetsPerFullRepair: number;
    /** Selections, and the cells that use them */
    readonly selections: number;
    readonly cellsPerSelection: number;
    /** Passes over a pool with a model, by feature */
    readonly featurePasses: Readonly<Partial<Record<FeatureKind, number>>>;
  };
  /** Repair as the engine counts its steps; evaluation and features at a forward pass for each token (gradient norms three) */
  readonly flops: { readonly repair: number; readonly features: number; readonly evaluation: number };
  /** Of one process at a time, bytes */
  readonly memoryBytes: number;
  /** Of the finished folder, bytes */
  readonly diskBytes: number;
  /** On this machine, from a calibration; null where a model is too large to try, or without one. `choosing` is not in it */
  readonly seconds: { readonly repair: number; readonly features: number; readonly evaluation: number; readonly total: number } | null;
  readonly models: readonly {
    readonly name: string;
    readonly parameters: number;
    readonly tokensPerRecord: number;
    /** Of a process: the unrepaired model, Node, and the repair that holds the most */
    readonly memoryBytes: number;
    /** What `mendset repair --dry-run` tells of each repair on the whole window, by label; null where it cannot run, with the reason in `problems` */
    readonly repairBytes: Readonly<Record<string, number | null>>;
    readonly calibrated: boolean;
  }[];
  /** Repairs that cannot run on these data: their cells will fail */
  readonly problems: readonly string[];
}

export interface EstimateOptions extends RunOptions {
  /** Try each model for a few steps to tell the time */
  readonly calibration: boolean;
  readonly backend?: BackendName | undefined;
  readonly threads?: number | undefined;
}

/** Predicts the work of cells. Without calibration no model is loaded: shapes come from the files, lengths from the tokenizer. */
export async function estimateStudy(inputs: StudyInputs, cells: readonly PlannedCell[], options: EstimateOptions): Promise<StudyEstimate> {
  const count = (kind: PlannedCell['kind']) => cells.filter((c) => c.kind === kind).length;
  const flops = { repair: 0, features: 0, evaluation: 0 };
  const seconds = { repair: 0, features: 0, evaluation: 0 };
  const models: StudyEstimate['models'][number][] = [];
  const problems: string[] = [];
  const featurePasses: Partial<Record<FeatureKind, number>> = {};
  let featureBytes = 0;
  for (const config of inputs.config.models) {
    const own = cells.filter((c) => c.model === config.name);
    if (own.length === 0) continue;
    const shape = await modelShape(config.path);
    const forecasts = await forecastRepairs(inputs, own, config, options);
    problems.push(...forecasts.problems);
    const work = modelWork(inputs, own, shape, await recordTokens(inputs, config.path), forecasts.byKey);
    for (const key of ['repair', 'features', 'evaluation'] as const) flops[key] += work.flops[key];
    for (const { kind, records } of work.passes) {
      featurePasses[kind] = (featurePasses[kind] ?? 0) + 1;
      featureBytes += records * (kind === 'embeddings' ? 4 * shape.width : 8);
    }
    const fits = canCalibrate(work.memoryBytes);
    if (options.calibration && fits) {
      options.onProgress?.({ phase: `calibration on ${config.name}`, done: models.length, total: inputs.config.models.length });
      const rates = await calibrate(inputs, config.name, work.repairs, [...new Set(work.passes.map((p) => p.kind))], options);
      const time = modelSeconds(inputs, own, work.passes, rates);
      for (const key of ['repair', 'features', 'evaluation'] as const) seconds[key] += time[key];
    }
    models.push({
      name: config.name,
      parameters: shape.parameters,
      tokensPerRecord: work.tokensPerRecord,
      memoryBytes: work.memoryBytes,
      repairBytes: bytesByLabel(own, forecasts.byKey),
      calibrated: options.calibration && fits,
    });
  }
  const selections = new Set(cells.flatMap((c) => c.selectionKey ?? [])).size;
  const full = count('full');
  const samples = inputs.config.evaluation.toxicity ? inputs.config.evaluation.samples : 0;
  const chosen = cells.filter((c) => c.selectionKey).reduce((sum, c) => sum + windowRecords(inputs, c) * c.proportion, 0);
  return {
    cells: { unrepaired: count('unrepaired'), full, subset: count('subset') },
    shared: {
      unrepairedEvaluations: count('unrepaired'),
      fullRepairs: full,
      subsetsPerFullRepair: full === 0 ? 0 : count('subset') / full,
      selections,
      cellsPerSelection: selections === 0 ? 0 : cells.filter((c) => c.selectionKey).length / selections,
      featurePasses,
    },
    flops,
    memoryBytes: Math.max(0, ...models.map((m) => m.memoryBytes)),
    diskBytes: Math.round(
      cells.length * (RESULT_BYTES + samples * SAMPLE_BYTES) + featureBytes + (chosen / Math.max(1, cells.length)) * selections * 6,
    ),
    seconds: models.every((m) => m.calibrated) ? { ...seconds, total: seconds.repair + seconds.features + seconds.evaluation } : null,
    models,
    problems,
  };
}

/** A line of results.jsonl, and a kept completion with its prompt. */
const RESULT_BYTES = 6000;
const SAMPLE_BYTES = 250;
/** Of a process beside the model: Node, the addon, the data. */
const PROCESS_BYTES = 150 * 2 ** 20;

interface ModelWork {
  readonly flops: { readonly repair: number; readonly features: number; readonly evaluation: number };
  readonly memoryBytes: number;
  readonly tokensPerRecord: number;
  readonly repairs: readonly RepairConfig[];
  readonly passes: readonly { readonly kind: FeatureKind; readonly records: number }[];
}

function modelWork(
  inputs: StudyInputs,
  cells: readonly PlannedCell[],
  shape: ModelShape,
  tokensPerRecord: number,
  forecasts: ReadonlyMap<string, RepairForecast>,
): ModelWork {
  const { parameters } = shape;
  const { prompts, rtpPrompts, runningText, lastWord, config } = inputs;
  const running = [...(runningText ?? []), ...(lastWord ?? []), ...(lastWord ?? [])].reduce((sum, text) => sum + text.length / 4, 0);
  const { toxicity, rtp } = config.evaluation;
  const generated =
    (prompts?.length ?? 0) * ((toxicity?.promptTokens ?? 0) + (toxicity?.maxNewTokens ?? 0)) +
    (rtpPrompts?.length ?? 0) * (rtp ? rtp.samples * rtp.seeds.length * rtp.maxNewTokens : 0);
  const passes = featurePassesOf(inputs, cells);
  const repairs = new Map<string, RepairConfig>();
  let repair = 0;
  // the unrepaired model stays beside its copy; what is in 16 bits is shared by both
  let peak = 4 * parameters;
  for (const cell of cells) {
    if (!cell.repairConfig || cell.seed === null) continue;
    repairs.set(cell.repair, cell.repairConfig);
    const forecast = forecasts.get(forecastKey(cell));
    if (!forecast) continue;
    const whole = consumedExamples(cell.repairConfig, forecast.records);
    repair += (forecast.flops * consumedExamples(cell.repairConfig, Math.floor(windowRecords(inputs, cell) * cell.proportion))) / whole;
    const { memory } = forecast;
    const shared = memory.weights < 3 * parameters;
    peak = Math.max(peak, memory.peak + (shared ? 0 : memory.weights));
  }
  return {
    flops: {
      repair,
      features: passes.reduce((sum, p) => sum + (p.kind === 'gradientNorms' ? 6 : 2) * parameters * tokensPerRecord * p.records, 0),
      evaluation: 2 * parameters * (running + generated) * cells.length,
    },
    memoryBytes: Math.round(PROCESS_BYTES + peak),
    tokensPerRecord,
    repairs: [...repairs.values()],
    passes,
  };
}

/** The most that the cells of each label hold; overrides may make them differ. */
function bytesByLabel(cells: readonly PlannedCell[], forecasts: ReadonlyMap<string, RepairForecast>): Record<string, number | null> {
  const bytes: Record<string, number | null> = {};
  for (const cell of cells) {
    if (!cell.repairConfig) continue;
    const own = forecasts.get(forecastKey(cell))?.memory.peak ?? null;
    bytes[cell.repair] = own === null ? (bytes[cell.repair] ?? null) : Math.max(own, bytes[cell.repair] ?? 0);
  }
  return bytes;
}

/** Examples that a repair sees of n records, early stopping aside. */
function consumedExamples({ training }: RepairConfig, n: number): number {
  const { steps, maxSteps, epochs, batchSize } = training;
  if (steps !== undefined) return steps * batchSize;
  return Math.min(n * epochs, maxSteps === undefined ? Number.POSITIVE_INFINITY : maxSteps * batchSize);
}

/** One pass for each feature and window; selectors share them. */
function featurePassesOf(inputs: StudyInputs, cells: readonly PlannedCell[]): ModelWork['passes'] {
  const passes = new Map<string, { kind: FeatureKind; records: number }>();
  for (const cell of cells) {
    if (!cell.selectorConfig) continue;
    for (const kind of makeSelector(cell.selectorConfig, cell.boundaryRatio).needs)
      if (kind !== 'groups' && kind !== 'toxicity') passes.set(`${kind} ${cell.poolHash}`, { kind, records: windowRecords(inputs, cell) });
  }
  return [...passes.values()];
}

function windowRecords(inputs: StudyInputs, cell: PlannedCell): number {
  return cell.seed === null ? 0 : (inputs.pools.get(windowKey(cell.seed, cell.window))?.records.length ?? 0);
}

function modelSeconds(inputs: StudyInputs, cells: readonly PlannedCell[], passes: ModelWork['passes'], rates: ModelRates) {
  const { prompts, rtpPrompts, runningText, lastWord, config } = inputs;
  const characters = (runningText ?? []).reduce((sum, text) => sum + text.length, 0);
  const evaluation =
    rates.prompt * (prompts?.length ?? 0) +
    rates.rtpPrompt * (rtpPrompts?.length ?? 0) +
    rates.runningText * characters +
    rates.lastWord * (lastWord?.length ?? 0);
  let repair = 0;
  for (const cell of cells) {
    const rate = rates.repairs[cell.repair];
    if (!cell.repairConfig || !rate) continue;
    const { evalEvery } = cell.repairConfig.training;
    const examples = consumedExamples(cell.repairConfig, Math.floor(windowRecords(inputs, cell) * cell.proportion));
    const validations = Math.floor(Math.max(0, examples - 1) / evalEvery) + 1;
    repair += examples * rate.train + validations * config.pool.validation * rate.validation;
  }
  const features = passes.reduce((sum, p) => sum + p.records * (rates.features[p.kind] ?? 0), 0);
  return { repair, features, evaluation: evaluation * cells.length };
}

/** Mean length of prompt and chosen completion over the first records. */
async function recordTokens(inputs: StudyInputs, directory: string): Promise<number> {
  const tokenizer = await loadTokenizer(directory, { optional: true });
  const length = (text: string) => (tokenizer ? tokenizer.encode(text).length : Math.ceil(text.length / 4));
  const sample = inputs.pairs.records.slice(0, 64);
  const total = sample.reduce((sum, r) => sum + (r.promptIds?.length ?? length(r.prompt)) + (r.chosenIds?.length ?? length(r.chosen)), 0);
  return total / Math.max(1, sample.length);
}
