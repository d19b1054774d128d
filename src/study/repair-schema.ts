import { z } from 'zod';
import type { KlConfig, Preset, RepairConfig, TrainingConfig } from './config.ts';
import { choice, count, jsonSchemaOf, mapping, number, presetKey, shaped, shorthand, text, word } from './config-schema.ts';

/** Keys that the study, a repair and an override may give. */
const trainingShape = {
  learningRate: number({ above: 0 }).describe('Default: the published value of the method').optional(),
  batchSize: count(1).describe('Records of a step; default 4').optional(),
  evalBatchSize: count(1).describe('Records of a validation batch; default 8').optional(),
  epochs: count(1).describe('Passes over the records; default 1').optional(),
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
const sliceWord = word(['most-sensitive', 'least-sensitive', 'fixed'] as const);
const repairBase = {
  name: text('a label').optional(),
  preset: presetKey,
  kl: klSchema.describe('KL term against the unrepaired model: true, a weight, or its options').optional(),
  ...trainingShape,
};

export const repairSchema: z.ZodType<RawRepair> = shorthand(
  'method',
  choice<RawRepair>('method', 'a repair', {
    dapt: mapping('a repair', { ...repairBase, method: z.literal('dapt') }),
    dpo: mapping('a repair', { ...repairBase, method: z.literal('dpo'), beta: number({ above: 0 }).default(0.1) }),
    irepair: mapping('a repair', {
      ...repairBase,
      method: z.literal('irepair'),
      slice: sliceWord.default('most-sensitive'),
    }),
  }),
);

/** Options of a repair for overrides. */
export const repairOverride: z.ZodType<RawOverride> = mapping('repair options', {
  ...trainingShape,
  kl: klTerm.describe('KL term against the unrepaired model').optional(),
  beta: number({ above: 0 }).describe('dpo').optional(),
  slice: sliceWord.describe('irepair').optional(),
}) as z.ZodType<RawOverride>;

export type RawOverride = RawTraining & { kl?: KlConfig; beta?: number; slice?: NonNullable<RepairConfig['slice']> };
export type RawTraining = { [K in keyof TrainingConfig]?: TrainingConfig[K] | undefined };
export interface RawRepair extends RawTraining {
  name?: string;
  method: 'dapt' | 'dpo' | 'irepair';
  preset: Preset;
  kl?: KlConfig;
  beta?: number;
  slice?: 'most-sensitive' | 'least-sensitive' | 'fixed';
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
  const pick = <K extends keyof TrainingConfig>(key: K): TrainingConfig[K] =>
    (raw[key] ?? shared[key] ?? TRAINING_DEFAULTS[key]) as TrainingConfig[K];
  const training = Object.fromEntries(
    (Object.keys(TRAINING_DEFAULTS) as (keyof TrainingConfig)[]).map((k) => [k, pick(k)]),
  ) as unknown as TrainingConfig;
  return {
    name: raw.name ?? (raw.kl ? `${raw.method}+kl` : raw.method),
    method: raw.method,
    preset: raw.preset,
    kl: raw.kl ?? null,
    beta: raw.beta ?? null,
    slice: raw.slice ?? null,
    training,
  };
}
