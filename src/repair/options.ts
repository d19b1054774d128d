import { MendsetError } from '../core/errors.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { AdapterShape } from '../model/adapter-folder.ts';
import type { LanguageModel } from '../model/language-model.ts';
import type { Trainer } from '../model/trainer.ts';
import type { NativeOptimizerOptions } from '../native/binding.ts';
import type { RepairMethod } from './method.ts';
import type { GenerateNormalOptions } from './normal-texts.ts';
import type { ReferenceCache } from './reference-cache.ts';
import type { StepLog } from './result.ts';
import type { TrainingLogOptions } from './training-log.ts';

export type RepairPreset = 'principled' | 'paper';
/** Order of the training records: as selected, as in the pool, or a new permutation for each epoch. */
export type TrainingOrder = 'selection' | 'pool' | 'shuffled';

/** Low-rank adapters in place of the weights. */
export interface LoraOptions {
  /** Default 8 */
  readonly rank?: number | undefined;
  /** The adapter's product is scaled by alpha / rank; default twice the rank */
  readonly alpha?: number | undefined;
  /** Linear maps that get one, by PEFT's names (`c_attn`, `q_proj`); default all of the blocks' */
  readonly targets?: readonly string[] | undefined;
}

export interface RepairOptions extends RunOptions {
  /**
   * `principled` (default), or `paper`: the published code's order, masks, truncation, positions, unshifted KL term, draws of normal
   * texts and missing final validation. Not repeated: what a pad predicts, DPO's padding with id 0 and shifted positions, log(p + 1e-12)
   * in place of log p, the fp16 reference. docs/repair.md names each.
   */
  readonly preset?: RepairPreset | undefined;
  /** Train a LoRA adapter and merge it into the model at the end; `onAdapter` can save it before */
  readonly lora?: LoraOptions | undefined;
  /** Called with the best adapter before it is merged: `(trainer) => trainer.saveAdapter('adapter')` */
  readonly onAdapter?: ((trainer: Trainer) => Promise<void>) | undefined;
  /** Default: the method's own, ten times that with `lora` */
  readonly learningRate?: number | undefined;
  /** Records of a step; default 4 */
  readonly batchSize?: number | undefined;
  /** Records of a validation batch; default 8 */
  readonly evalBatchSize?: number | undefined;
  /** Passes over the records; default 1 */
  readonly epochs?: number | undefined;
  /** Exactly so many steps, passing over the records as often as needed: an equal budget for sets of unequal size. Excludes `epochs` and `maxSteps`. */
  readonly steps?: number | undefined;
  /** Stops after so many steps, whatever the epochs say */
  readonly maxSteps?: number | undefined;
  /** Steps of linear warm-up; default 150 */
  readonly warmupSteps?: number | undefined;
  /** Largest norm of a step's gradient; 0 = no clipping; default 0.5 */
  readonly clipNorm?: number | undefined;
  /** Examples between validations; default 40 */
  readonly evalEvery?: number | undefined;
  /** Validations without improvement before stopping; default 30 */
  readonly patience?: number | undefined;
  /** Default `shuffled`, and `selection` under the paper preset */
  readonly order?: TrainingOrder | undefined;
  /** Training seed; default 202 */
  readonly seed?: number | undefined;
  /** Default RMSprop (alpha 0.99, epsilon 1e-8) */
  readonly optimizer?: NativeOptimizerOptions | undefined;
  /** beta of DPO and NPO; default: the method's own (0.1) */
  readonly beta?: number | undefined;
  /** Which weights the model ends with: those of the best validation (default), or the last ones */
  readonly keep?: 'best' | 'last' | undefined;
  /** Tokens that count in the losses on records; default `completion` */
  readonly mask?: 'completion' | 'all' | undefined;
  /** Most tokens of a completion; default 128 */
  readonly completionTokens?: number | undefined;
  /** Most tokens of prompt and completion; default min(1024, context) */
  readonly totalTokens?: number | undefined;
  /**
   * Most bytes that the engine may hold for the training; steps are cut into micro-batches that fit, and a step that cannot fit is
   * refused before it starts. 0 (default) = no limit
   */
  readonly memoryBudget?: number | undefined;
  /** Most tokens of a pass over a part of a step's batch; 0 (default) = the whole batch. The gradient differs by rounding alone. */
  readonly microBatchTokens?: number | undefined;
  /** Compute activations again in the backward pass instead of keeping them, bit for bit; default false */
  readonly recompute?: boolean | undefined;
  /** Folder for the state of an unfinished run, written every so many steps and on abort */
  readonly checkpoint?: { readonly directory: string; readonly everySteps?: number | undefined } | undefined;
  /** Continue the run whose state lies in `checkpoint.directory`; the model must be the one the run began with */
  readonly resume?: boolean | undefined;
  /** The model that KL, DPO and NPO compare with, of the same vocabulary; default: the model as it is before the first step */
  readonly reference?: LanguageModel | undefined;
  /** Reference log-probabilities and hidden states shared between runs on the same model; unused for weights without a hash */
  readonly references?: ReferenceCache | undefined;
  /** Sample the normal texts from the model when `data.normal` is absent and the method has a KL term */
  readonly generateNormal?: GenerateNormalOptions | undefined;
  readonly onStep?: ((log: StepLog) => void) | undefined;
  /** Steps and validations as files while the run goes on */
  readonly log?: TrainingLogOptions | undefined;
}

/** The values a run really used; part of its result and of its fingerprint. */
export interface ResolvedOptions {
  readonly preset: RepairPreset;
  readonly lora: AdapterShape | null;
  readonly learningRate: number;
  readonly batchSize: number;
  readonly evalBatchSize: number;
  /** The largest whole number where the budget is `steps` */
  readonly epochs: number;
  readonly maxSteps: number | null;
  readonly warmupSteps: number;
  readonly clipNorm: number;
  readonly evalEvery: number;
  readonly patience: number;
  readonly order: TrainingOrder;
  readonly seed: number;
  readonly optimizer: NativeOptimizerOptions;
  readonly beta: number;
  readonly keep: 'best' | 'last';
  readonly mask: 'completion' | 'all';
  readonly completionTokens: number;
  readonly totalTokens: number;
  readonly memoryBudget: number;
  readonly microBatchTokens: number;
  readonly recompute: boolean;
  /** Batch mean of per-sequence sums instead of the mean over tokens (paper, DAPT without KL) */
  readonly sequenceSum: boolean;
  readonly finalValidation: boolean;
}

function adapterShape({ rank = 8, alpha = 2 * rank, targets = [] }: LoraOptions): AdapterShape {
  return { rank, alpha, targets };
}

/** Fills in the defaults and rejects impossible values, all of them in one `invalid-argument`. */
export function resolveOptions(method: RepairMethod, options: RepairOptions, context: number): ResolvedOptions {
  const paper = options.preset === 'paper';
  const resolved: ResolvedOptions = {
    preset: options.preset ?? 'principled',
    lora: options.lora ? adapterShape(options.lora) : null,
    learningRate: options.learningRate ?? method.learningRate * (options.lora ? 10 : 1),
    batchSize: options.batchSize ?? 4,
    evalBatchSize: options.evalBatchSize ?? 8,
    epochs: options.steps === undefined ? (options.epochs ?? 1) : Number.MAX_SAFE_INTEGER,
    maxSteps: options.steps ?? options.maxSteps ?? null,
    warmupSteps: options.warmupSteps ?? 150,
    clipNorm: options.clipNorm ?? 0.5,
    evalEvery: options.evalEvery ?? 40,
    patience: options.patience ?? 30,
    order: options.order ?? (paper ? 'selection' : 'shuffled'),
    seed: options.seed ?? 202,
    optimizer: options.optimizer ?? { kind: 'rmsprop' },
    beta: options.beta ?? method.beta,
    keep: options.keep ?? 'best',
    mask: options.mask ?? (paper && method.name !== 'sft' ? 'all' : 'completion'),
    completionTokens: options.completionTokens ?? 128,
    totalTokens: options.totalTokens ?? Math.min(1024, context),
    memoryBudget: options.memoryBudget ?? 0,
    microBatchTokens: options.microBatchTokens ?? 0,
    recompute: options.recompute ?? false,
    sequenceSum: paper && method.name === 'dapt' && method.kl === null,
    finalValidation: !paper,
  };
  const problems: string[] = [];
  const whole = (name: keyof ResolvedOptions, least: number) => {
    const value = resolved[name];
    if (!Number.isSafeInteger(value) || (value as number) < least)
      problems.push(`${name} must be a whole number of at least ${least}, not ${String(value)}`);
  };
  const real = (name: string, value: number, least: number, strict: boolean) => {
    if (!Number.isFinite(value) || value < least || (strict && value === least)) {
      problems.push(`${name} must be ${strict ? 'above' : 'at least'} ${least}, not ${value}`);
    }
  };
  for (const name of ['batchSize', 'evalBatchSize', 'epochs', 'evalEvery', 'patience', 'completionTokens'] as const) whole(name, 1);
  if (resolved.maxSteps !== null) whole('maxSteps', 1);
  whole('warmupSteps', 0);
  whole('memoryBudget', 0);
  whole('microBatchTokens', 0);
  whole('totalTokens', 2);
  whole('seed', 0);
  real('learningRate', resolved.learningRate, 0, true);
  real('clipNorm', resolved.clipNorm, 0, false);
  real('repairWeight', method.repairWeight, 0, false);
  if (method.loss !== 'ce') real('beta', resolved.beta, 0, true);
  if (method.kl) real('kl.weight', method.kl.weight, 0, false);
  if (resolved.totalTokens > context)
    problems.push(`totalTokens must be at most ${context}, the model's context, not ${resolved.totalTokens}`);
  if (
    options.checkpoint?.everySteps !== undefined &&
    !(Number.isSafeInteger(options.checkpoint.everySteps) && options.checkpoint.everySteps >= 1)
  ) {
    problems.push(`checkpoint.everySteps must be a whole number of at least 1, not ${options.checkpoint.everySteps}`);
  }
  if (options.steps !== undefined && (options.epochs !== undefined || options.maxSteps !== undefined))
    problems.push('steps is a budget of its own: leave out epochs and maxSteps');
  if (resolved.lora) {
    const { rank, alpha } = resolved.lora;
    if (!Number.isSafeInteger(rank) || rank < 1) problems.push(`lora.rank must be a whole number of at least 1, not ${rank}`);
    real('lora.alpha', alpha, 0, true);
  }
  if (options.resume && !options.checkpoint) problems.push('resume needs checkpoint.directory, the folder the state was written to');
  if (problems.length > 0) {
    throw new MendsetError('invalid-argument', `Expected usable repair options but ${problems.join('; ')}.`, { problems });
  }
  return resolved;
}
