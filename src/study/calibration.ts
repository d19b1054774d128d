import { defaultMemoryLimit } from '../core/memory.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';
import type { PairRecord, Pool } from '../data/record.ts';
import { evaluate } from '../evaluate/evaluate.ts';
import { computeFeatures } from '../features/compute-features.ts';
import type { FeatureKind } from '../features/feature.ts';
import { LanguageModel } from '../model/language-model.ts';
import type { BackendName } from '../model/load-weights.ts';
import { repair } from '../repair/repair.ts';
import type { ModelConfig, RepairConfig } from './config.ts';
import { makeRepair, repairOptions } from './make-repair.ts';
import type { StudyInputs } from './study-inputs.ts';

/** Seconds for each record, prompt or text on this machine. */
export interface ModelRates {
  /** By the repair's label: a record trained on, a record validated on */
  readonly repairs: Readonly<Record<string, { readonly train: number; readonly validation: number }>>;
  readonly features: Readonly<Partial<Record<FeatureKind, number>>>;
  readonly prompt: number;
  /** With all its samples and seeds */
  readonly rtpPrompt: number;
  readonly runningText: number;
  readonly lastWord: number;
}

/** What is measured: small, and large enough that a step is no exception. */
const RECORDS = 24;
const TEXTS = 24;
const SAMPLED_PROMPTS = 4;

/**
 * Runs a few steps of everything a study does with a model and tells what each part takes: the repair methods, the features, the
 * evaluations. Takes seconds on small models and about as long as loading on large ones.
 */
export async function calibrate(
  inputs: StudyInputs,
  modelName: string,
  repairs: readonly RepairConfig[],
  features: readonly FeatureKind[],
  options: RunOptions & { readonly backend?: BackendName | undefined; readonly threads?: number | undefined },
): Promise<ModelRates> {
  const { path, weights } = inputs.config.models.find((m) => m.name === modelName) as ModelConfig;
  using model = await LanguageModel.load(path, { backend: options.backend, threads: options.threads, weights, signal: options.signal });
  const pool = [...inputs.pools.values()][0] as Pool;
  // no step is larger than what is tried
  const steps = Math.max(...repairs.map((r) => r.training.batchSize), 0);
  const records = pool.records.slice(0, Math.max(RECORDS, 2 * steps));
  const validation = pool.records.slice(0, 8);
  const run: RunOptions = { signal: options.signal };
  const rates: Record<string, { train: number; validation: number }> = {};
  for (const config of repairs) rates[config.name] = await repairRates(model, inputs, config, records, validation, run);
  const perFeature: Partial<Record<FeatureKind, number>> = {};
  for (const kind of features) {
    throwIfAborted(options.signal);
    const scores = kind === 'scores' ? { scores: { score: 'el2n' as const } } : {};
    const { [kind]: feature } = await computeFeatures({ records, appendEos: pool.appendEos }, [kind], { model, ...scores, ...run });
    perFeature[kind] = (feature?.cost.seconds ?? 0) / records.length;
  }
  const { prompts, rtpPrompts, runningText, lastWord, scorer, config } = inputs;
  const { toxicity, rtp, runningText: running } = config.evaluation;
  const rows = runningText && leading(runningText, TEXTS);
  const result = await evaluate(model, {
    prompts: prompts?.slice(0, TEXTS).map((p) => p.ids ?? p.text),
    scorer: scorer ?? undefined,
    toxicity: toxicity ? { promptTokens: toxicity.promptTokens, maxNewTokens: toxicity.maxNewTokens } : undefined,
    rtpPrompts: rtpPrompts?.slice(0, SAMPLED_PROMPTS).map((p) => p.ids ?? p.text),
    rtp: rtp && { samples: rtp.samples, maxNewTokens: rtp.maxNewTokens, topP: rtp.topP, temperature: rtp.temperature },
    runningText: rows ?? undefined,
    lambada: lastWord?.slice(0, TEXTS),
    perplexity: { window: running?.window ?? undefined, stride: running?.stride ?? undefined },
    ...run,
  });
  const seconds = result.seconds;
  const characters = (texts: readonly string[] | null) => (texts ?? []).reduce((sum, t) => sum + t.length, 0);
  const ratio = (part: number | undefined, of: number) => (part === undefined || of === 0 ? 0 : part / of);
  return {
    repairs: rates,
    features: perFeature,
    prompt: ratio(seconds['toxicity'], Math.min(TEXTS, prompts?.length ?? 0)),
    rtpPrompt: (rtp?.seeds.length ?? 0) * ratio(seconds['rtp'], Math.min(SAMPLED_PROMPTS, rtpPrompts?.length ?? 0)),
    runningText: ratio(seconds['running text'], characters(rows)),
    lastWord: ratio((seconds['lambada running text'] ?? 0) + (seconds['lambada last word'] ?? 0), Math.min(TEXTS, lastWord?.length ?? 0)),
  };
}

/** The first texts, at most about four pages of them. */
function leading(texts: readonly string[], most: number): string[] {
  const chosen: string[] = [];
  let characters = 0;
  for (const text of texts) {
    if (chosen.length >= most && characters > 4000) break;
    chosen.push(text);
    characters += text.length;
    if (characters > 12_000) break;
  }
  return chosen;
}

async function repairRates(
  model: LanguageModel,
  inputs: StudyInputs,
  config: RepairConfig,
  train: readonly PairRecord[],
  validation: readonly PairRecord[],
  run: RunOptions,
): Promise<{ train: number; validation: number }> {
  using copy = model.copy();
  const pool = [...inputs.pools.values()][0] as Pool;
  const plain = pool.records.slice(0, 64).map((r) => `${r.prompt} ${r.chosen}`);
  const { cost, validation: curve } = await repair(
    copy,
    { train, validation, normal: inputs.normal?.slice(0, 256) ?? plain, appendEos: pool.appendEos, poolIndices: train.map((_, i) => i) },
    makeRepair(config),
    { ...repairOptions(config), steps: undefined, maxSteps: undefined, epochs: 1, evalEvery: train.length, ...run },
  );
  return {
    train: cost.seconds.train / train.length,
    validation: cost.seconds.validation / Math.max(1, curve.length * validation.length),
  };
}

/** Whether a model can be tried out here; a larger one would push everything else out of the memory. */
export function canCalibrate(bytes: number): boolean {
  return bytes < defaultMemoryLimit();
}
