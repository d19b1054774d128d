import { MendsetError } from '../core/errors.ts';
import { forecastMemory, type MemoryForecast } from '../model/forecast-memory.ts';
import type { BackendName, WeightStorage } from '../model/load-weights.ts';
import { modelShape } from '../model/model-shape.ts';
import type { TokenSequence } from '../model/sequences.ts';
import { loadTokenizer } from '../tokenizer/load.ts';
import type { RepairMethod } from './method.ts';
import { type RepairOptions, resolveOptions } from './options.ts';
import { type LeftOut, type PreparedPair, prepareData, type RepairData } from './repair-data.ts';
import { normalDraws, plannedSteps, trainingOrder, usedNormalTexts } from './schedule.ts';
import { klRequest, repairRequest, sliceRequest } from './step-request.ts';

/** What a repair will do and hold, known before anything is computed. */
export interface RepairForecast {
  readonly steps: number;
  readonly epochs: number;
  readonly records: number;
  readonly validationRecords: number;
  /** Tokens of all steps, normal texts and sensitivity passes included */
  readonly tokens: number;
  /** Of all steps; without validation and without what the original model computes before */
  readonly flops: number;
  /** Of the step that holds the most, by bytes and what they are for; `peak` is their sum */
  readonly memory: MemoryForecast;
  /** Hidden states of the original model that the KL term keeps, in memory or in files */
  readonly referenceBytes: number;
  readonly leftOut: LeftOut;
  readonly warnings: readonly string[];
}

/** Steps that are planned: those with the most tokens. */
const PLANNED = 4;

/**
 * The forecast of `repair(model, data, method, options)` for the model in a folder, whose weights are not loaded: the data are
 * tokenised, the batches drawn as the run will draw them, and the largest steps planned.
 *
 * Rejects as `repair` would for options and data, and for a `memoryBudget` that even single samples exceed.
 * @example
 * const { memory, steps } = await forecastRepair('gpt2', data, irepair({ kl: {} }));
 */
export async function forecastRepair(
  folder: string,
  data: RepairData,
  method: RepairMethod,
  options: RepairOptions & {
    readonly backend?: BackendName | undefined;
    readonly threads?: number | undefined;
    /** As the model will be loaded */
    readonly weights?: WeightStorage | undefined;
  } = {},
): Promise<RepairForecast> {
  const shape = await modelShape(folder);
  const tokenizer = await loadTokenizer(folder);
  const requireTokenizer = () => {
    if (tokenizer) return tokenizer;
    throw new MendsetError('not-found', `Expected tokenizer.json (or vocab.json and merges.txt) in ${folder} but there is none.`);
  };
  const resolved = resolveOptions(method, options, shape.context);
  const summary = { ...shape, eos: tokenizer?.eos ?? -1 };
  const prepared = prepareData({ tokenizer, requireTokenizer, summary }, data, method, resolved);
  const n = prepared.train.length;
  const perEpoch = Math.ceil(n / resolved.batchSize);
  const steps = plannedSteps(resolved, n);

  const draws = method.kl ? normalDraws(prepared.normal.length, resolved.batchSize, resolved.seed, resolved.preset) : null;
  const indices = data.poolIndices && prepared.train.map((pair) => (data.poolIndices as readonly number[])[pair.index] as number);
  const plans: { pairs: PreparedPair[]; normal: TokenSequence[]; tokens: number }[] = [];
  let tokens = 0;
  let order: Int32Array = new Int32Array(0);
  for (let step = 0; step < steps; step++) {
    const inEpoch = step % perEpoch;
    if (inEpoch === 0) order = trainingOrder(n, resolved.order, resolved.seed, Math.floor(step / perEpoch), indices);
    const places = order.subarray(inEpoch * resolved.batchSize, (inEpoch + 1) * resolved.batchSize);
    const pairs = Array.from(places, (i) => prepared.train[i] as PreparedPair);
    const normal = draws ? Array.from(draws.at(step, inEpoch), (i) => prepared.normal[i] as TokenSequence) : [];
    const own = stepTokens(pairs, normal, method);
    tokens += own;
    plans.push({ pairs, normal, tokens: own });
  }
  plans.sort((a, b) => b.tokens - a.tokens);
  const run = { backend: options.backend, threads: options.threads, weights: options.weights };
  const setting = { method, options: resolved, context: shape.context };
  const { slice } = method;
  // which blocks a run finds before its first step is not known here: the lowest keep the most activations
  const fixedBlocks = slice.kind === 'fixed' ? (slice.blocks ?? Array.from({ length: slice.count }, (_, i) => i)) : null;
  const forecast = async (pairs: readonly PreparedPair[], normal: readonly TokenSequence[], update: boolean) =>
    await forecastMemory(
      folder,
      {
        kind: 'step',
        request: {
          ...repairRequest(pairs, setting),
          ...(normal.length > 0 ? klRequest(normal, setting) : {}),
          ...sliceRequest(pairs, fixedBlocks, setting),
          update,
          microBatchTokens: resolved.microBatchTokens,
          memoryBudget: resolved.memoryBudget,
          checkpoint: resolved.recompute,
        },
        optimizer: resolved.optimizer,
        adapter: resolved.lora,
        reference: method.kl !== null,
        snapshot: prepared.validation.length > 0 && resolved.keep === 'best',
      },
      run,
    );
  let memory: MemoryForecast | null = null;
  let flopsPerToken = 0;
  for (const plan of plans.slice(0, PLANNED)) {
    const found = await forecast(plan.pairs, plan.normal, true);
    flopsPerToken ||= found.flops / plan.tokens;
    if (memory === null || found.peak > memory.peak) memory = found;
  }
  if (prepared.validation.length > 0) {
    const longest = [...prepared.validation].sort((a, b) => stepTokens([b], [], method) - stepTokens([a], [], method));
    const found = await forecast(longest.slice(0, resolved.evalBatchSize), [], false);
    if (memory !== null && found.peak > memory.peak)
      memory = { ...found, optimizer: memory.optimizer, peak: found.peak + memory.optimizer - found.optimizer };
  }
  const referenceTexts = method.kl ? [...usedNormalTexts(prepared.normal, n, resolved), ...prepared.normalValidation] : [];
  return {
    steps,
    epochs: Math.min(resolved.epochs, Math.ceil(steps / perEpoch)),
    records: n,
    validationRecords: prepared.validation.length,
    tokens,
    flops: flopsPerToken * tokens,
    memory: memory as MemoryForecast,
    referenceBytes: referenceTexts.reduce((sum, { ids }) => sum + ids.length, 0) * shape.width * 4,
    leftOut: prepared.leftOut,
    warnings: prepared.warnings,
  };
}

function stepTokens(pairs: readonly PreparedPair[], normal: readonly TokenSequence[], method: RepairMethod): number {
  const length = (sequence: TokenSequence | null) => sequence?.ids.length ?? 0;
  const sides = pairs.reduce(
    (sum, p) => sum + (method.needsChosen ? length(p.chosen) : 0) + (method.needsRejected ? length(p.rejected) : 0),
    0,
  );
  return sides + normal.reduce((sum, s) => sum + s.ids.length, 0);
}
