import { z } from 'zod';
import { PUBLISHED_SOURCES, type PublishedSource, publishedOptions } from '../repair/published.ts';
import type { KlConfig, LoraConfig, Preset, RepairConfig, TrainingConfig } from './config.ts';
import {
  bytes,
  choice,
  count,
  flag,
  jsonSchemaOf,
  listOf,
  mapping,
  number,
  numberOr,
  presetKey,
  shaped,
  shorthand,
  text,
  word,
} from './config-schema.ts';
import { makeRepair } from './make-repair.ts';
import { mergeTraining, type RawTraining } from './training-options.ts';

/** Keys that the study, a repair and an override may give. */
const trainingShape = {
  learningRate: number({ above: 0 }).describe('Default: the published value of the method').optional(),
  batchSize: count(1).describe('Records of a step; default 4').optional(),
  evalBatchSize: count(1).describe('Records of a validation batch; default 8').optional(),
  epochs: count(1).describe('Passes over the records; default 1').optional(),
  steps: count(1)
    .describe(
      'Exactly so many steps, passing over the records as often as needed: an equal budget for subsets of every size; excludes epochs and maxSteps',
    )
    .optional(),
  maxSteps: count(1).describe('Stop after so many steps, whatever the epochs say').optional(),
  warmupSteps: count().describe('Steps of linear warm-up; default 150').optional(),
  clipNorm: number({ min: 0 }).describe('Largest norm of a step’s gradient, 0 = off; default 0.5').optional(),
  evalEvery: count(1).describe('Examples between validations; default 40').optional(),
  patience: count(1).describe('Validations without improvement before stopping; default 30').optional(),
  optimizer: word(['rmsprop', 'adamw'] as const)
    .describe('Default rmsprop')
    .optional(),
  order: word(['shuffled', 'selection', 'pool'] as const)
    .describe('Of the training records; default shuffled, and selection under the paper preset')
    .optional(),
  seed: count().describe('Training seed; default 202').optional(),
  mask: word(['completion', 'all'] as const)
    .describe('Tokens that count in the loss; default completion, and all under the paper preset')
    .optional(),
  keep: word(['best', 'last'] as const)
    .describe('Weights that the model ends with: of the best validation (default) or the last ones')
    .optional(),
  completionTokens: count(1).describe('Most tokens of a completion; default 128').optional(),
  totalTokens: count(2).describe('Most tokens of prompt and completion; default 1024 or the context').optional(),
  memoryBudget: bytes().describe('Most memory that a step may hold, such as 4GiB; met by micro-batches').optional(),
  microBatchTokens: count(1).describe('Most tokens of one pass over a part of a step').optional(),
  recompute: flag().describe('Compute activations again in the backward pass instead of keeping them').optional(),
};

export const trainingSchema: z.ZodType<RawTraining> = mapping('training options', trainingShape) as z.ZodType<RawTraining>;

const klTerm = mapping('a KL term', {
  weight: number({ above: 0 }).default(1),
  repairWeight: number({ above: 0 }).default(0.5),
  direction: word(['forward', 'reverse'] as const).default('forward'),
});
const klSchema = shaped(
  z.preprocess(
    (value) =>
      value === true ? {} : value === false || value === null ? undefined : typeof value === 'number' ? { weight: value } : value,
    klTerm.optional(),
  ),
  { anyOf: [{ type: 'boolean' }, { type: 'null' }, jsonSchemaOf(number({ above: 0 })), jsonSchemaOf(klTerm)] },
);
const sliceKey = numberOr(['most-sensitive', 'least-sensitive', 'fixed'] as const, { min: 0, integer: true }).describe(
  'Which block is repaired; a number is that block',
);
const blocksKey = count(1).describe('Blocks repaired at once; default 1').optional();
const betaKey = number({ above: 0 });
const loraSchema: z.ZodType<LoraConfig> = shorthand(
  'rank',
  mapping('low-rank adapters', {
    rank: count(1),
    alpha: number({ above: 0 }).describe('Default twice the rank').optional(),
    targets: listOf('linear maps', text('a linear map')).describe('By PEFT’s names, such as c_attn; default all of the blocks’').optional(),
  }),
) as z.ZodType<LoraConfig>;
const repairBase = {
  name: text('a label').optional(),
  preset: presetKey,
  kl: klSchema.describe('KL term against the unrepaired model: true, a weight, or its options').optional(),
  lora: loraSchema.describe('Train low-rank adapters and merge them at the end: a rank, or its options').optional(),
  published: word(PUBLISHED_SOURCES)
    .describe('Published hyperparameters, in place of the defaults and of the study’s training options')
    .optional(),
  ...trainingShape,
};

export const repairSchema: z.ZodType<RawRepair> = shorthand(
  'method',
  choice<RawRepair>('method', 'a repair', {
    dapt: mapping('a repair', { ...repairBase, method: z.literal('dapt') }),
    sft: mapping('a repair', { ...repairBase, method: z.literal('sft') }),
    dpo: mapping('a repair', { ...repairBase, method: z.literal('dpo'), beta: betaKey.default(0.1) }),
    npo: mapping('a repair', { ...repairBase, method: z.literal('npo'), beta: betaKey.default(0.1) }),
    irepair: mapping('a repair', {
      ...repairBase,
      method: z.literal('irepair'),
      slice: sliceKey.default('most-sensitive'),
      blocks: blocksKey,
    }),
  }),
);

/** Options of a repair for overrides. */
export const repairOverride: z.ZodType<RawOverride> = mapping('repair options', {
  ...trainingShape,
  kl: klTerm.describe('KL term against the unrepaired model').optional(),
  lora: loraSchema.optional(),
  beta: betaKey.describe('dpo, npo').optional(),
  slice: sliceKey.optional(),
  blocks: blocksKey,
}) as z.ZodType<RawOverride>;

export type RawOverride = RawTraining & Partial<Pick<RepairConfig, 'beta' | 'slice' | 'blocks' | 'lora'>> & { kl?: KlConfig };
export interface RawRepair extends RawTraining {
  name?: string;
  method: RepairConfig['method'];
  preset: Preset;
  kl?: KlConfig;
  lora?: LoraConfig;
  published?: PublishedSource;
  beta?: number;
  slice?: NonNullable<RepairConfig['slice']>;
  blocks?: number;
}

const TRAINING_DEFAULTS: TrainingConfig = {
  learningRate: null,
  batchSize: 4,
  evalBatchSize: 8,
  epochs: 1,
  warmupSteps: 150,
  clipNorm: 0.5,
  evalEvery: 40,
  patience: 30,
  optimizer: 'rmsprop',
  order: null,
  seed: 202,
};

export function resolveRepair(raw: RawRepair, shared: RawTraining): RepairConfig {
  const { name, method, preset, kl, lora, published, beta, slice, blocks, ...own } = raw;
  const label = [method, ...(kl ? ['kl'] : []), ...(lora ? ['lora'] : [])].join('+');
  const config: Omit<RepairConfig, 'training'> = {
    name: name ?? label,
    method,
    preset,
    kl: kl ?? null,
    beta: beta ?? null,
    slice: slice ?? null,
    ...(blocks === undefined ? {} : { blocks }),
    ...(lora === undefined ? {} : { lora }),
  };
  const source: RawTraining = published === undefined ? {} : publishedTraining(published, config);
  const training = [shared, source, own].reduce<RawTraining>(mergeTraining, TRAINING_DEFAULTS);
  return { ...config, training: { ...training, epochs: training.epochs ?? TRAINING_DEFAULTS.epochs } as TrainingConfig };
}

/** Published values that a study can say; `beta` stays the method's, which is the published one. */
function publishedTraining(source: PublishedSource, config: Omit<RepairConfig, 'training'>): RawTraining {
  const { optimizer, beta: _, ...options } = publishedOptions(source, makeRepair(config));
  return { ...(options as RawTraining), ...(optimizer ? { optimizer: optimizer.kind } : {}) };
}
