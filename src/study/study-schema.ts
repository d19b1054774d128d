import { z } from 'zod';
import { MAPPED_FIELDS } from '../data/rows.ts';
import { WEIGHT_STORAGES, type WeightStorage } from '../model/load-weights.ts';
import type { CellOverride, CellPattern } from './cell-rules.ts';
import type { SelectorConfig, StudyConfig } from './config.ts';
import {
  count,
  flag,
  type JsonSchema,
  jsonSchemaOf,
  listOf,
  mapping,
  number,
  numberOr,
  shaped,
  shorthand,
  text,
  word,
} from './config-schema.ts';
import { type RawRepair, repairOverride, repairSchema, trainingSchema } from './repair-schema.ts';
import { selectorOptions, selectorSchema } from './selector-schema.ts';
import type { RawTraining } from './training-options.ts';

const fileText = text('a file path (or demo:NAME)');
const windowSchema = numberOr(['auto', 'all'] as const, { min: 1, integer: true });

const normalTexts = mapping('the normal texts', { file: fileText.optional(), generate: count(2).optional() });
const normalSchema = shaped(
  z
    .preprocess((value) => (typeof value === 'string' ? { file: value } : value), normalTexts)
    .refine((value) => (value.file === undefined) !== (value.generate === undefined), {
      error: 'expected either "file" or "generate" (a number of samples).',
    }),
  { anyOf: [jsonSchemaOf(fileText), { ...jsonSchemaOf(normalTexts), minProperties: 1, maxProperties: 1 }] },
);

const pattern = mapping('a pattern of cells', {
  model: listOf('model names', text('a model’s name')).optional(),
  repair: listOf('repair names', text('a repair’s name')).optional(),
  selector: listOf('selector names', text('a selector’s name')).describe('"full" is the repair on the whole window').optional(),
  proportion: listOf('proportions', number({ above: 0, max: 1 })).optional(),
  boundaryRatio: listOf('boundary ratios', number({ min: 0, max: 1 })).optional(),
  seed: listOf('seeds', count()).optional(),
});

const overrideSchema = mapping('an override', {
  when: pattern.describe('The cells it is for'),
  window: windowSchema.describe('N for these models and repairs').optional(),
  repair: repairOverride.describe('Training options of these cells').optional(),
  selector: selectorOptions.describe('Selector options of these cells').optional(),
});

/** A study file of the right shape, with defaults. */
export interface RawStudy {
  readonly name: string;
  readonly demo: boolean;
  readonly models: readonly { readonly name?: string | undefined; readonly path: string; readonly weights?: WeightStorage | undefined }[];
  readonly pool: StudyConfig['pool'];
  readonly encoder?: string | undefined;
  readonly normal?: { readonly file?: string | undefined; readonly generate?: number | undefined } | undefined;
  readonly selectors: readonly (Omit<SelectorConfig, 'name'> & { readonly name?: string | undefined })[];
  readonly repairs: readonly RawRepair[];
  readonly proportions: readonly number[];
  readonly boundaryRatios: readonly number[];
  readonly seeds: readonly number[];
  readonly fullData: boolean;
  readonly training: RawTraining;
  readonly exclude: readonly CellPattern[];
  readonly overrides: readonly CellOverride[];
  readonly evaluation: {
    readonly toxicity?: { prompts: string; limit?: number | undefined; promptTokens: number; maxNewTokens: number } | undefined;
    readonly rtp?:
      | {
          prompts: string;
          limit?: number | undefined;
          samples: number;
          maxNewTokens: number;
          topP: number;
          temperature: number;
          seeds: readonly number[];
        }
      | undefined;
    readonly runningText?: { file: string; name: string; window?: number | 'model' | undefined; stride?: number | undefined } | undefined;
    readonly lastWord?: { file: string; name: string; limit?: number | undefined } | undefined;
    readonly scorer: string;
    readonly scorerLabel?: string | undefined;
    readonly bootstrapSeed: number;
    readonly samples: number;
  };
}

/** What a study file may say, checked apart from what its parts say about each other. */
export const studySchema: z.ZodType<RawStudy> = mapping('a study', {
  name: text('a name').describe('Stands in results and report'),
  demo: flag().describe('Says in the report that the figures illustrate the pipeline and nothing else').default(false),
  models: listOf(
    'models',
    shorthand(
      'path',
      mapping('a model', {
        name: text('a label').optional(),
        path: text('a model folder (or demo:model, or hf:owner/name)'),
        weights: word(WEIGHT_STORAGES)
          .describe('float32 (default), or stored: 16-bit weights stay as the files hold them; the same results in about half the memory')
          .optional(),
      }),
    ),
  ).describe(
    'Model folders in Hugging Face layout, relative to this file, or hf:owner/name[@revision] of the Hub; demo:model is the one of the package',
  ),
  pool: mapping('the pool', {
    files: listOf('files', fileText).describe(
      'Repair records: JSON lines, CSV, TSV or Parquet, files or folders, or hf:datasets/owner/name/file',
    ),
    expand: flag().describe('ParaDetox: one record for each neutral paraphrase').default(false),
    columns: mapping('names of columns', Object.fromEntries(MAPPED_FIELDS.map((field) => [field, text('a column').optional()])))
      .describe('Which column of the files is meant by a field, e.g. prompt: question')
      .optional(),
    window: windowSchema
      .describe(
        'N, the records of the shuffled pool that selection and full repair see: a number, all, or auto (as many as full repair consumed before it stopped)',
      )
      .default('all'),
    validation: count().describe('Records held back from the end of the files').default(64),
    dedupe: word(['none', 'exact'] as const).default('none'),
  }),
  normal: normalSchema.describe('Ordinary texts for KL terms: a file, or a number of samples from each unrepaired model').optional(),
  encoder: text('a folder (or hf:owner/name)')
    .describe('Sentence encoder or language model that embeds the records for every selector, instead of each model')
    .optional(),
  selectors: listOf('selectors', selectorSchema).describe('Selection methods, by name or with options'),
  repairs: listOf('repairs', repairSchema).describe('Repair methods, by name or with options'),
  proportions: listOf('proportions', number({ above: 0, max: 1 }))
    .describe('Shares of the window that a selector chooses; 1 is the repair on the whole window')
    .default([0.5]),
  boundaryRatios: listOf('boundary ratios', number({ min: 0, max: 1 }))
    .describe('SAPS: share of each cluster’s quota taken from its boundary; 1 = boundary only')
    .default([1]),
  seeds: listOf('seeds', count()).describe('Data seeds: each shuffles the pool anew').default([43]),
  fullData: flag().describe('Also repair on the whole window: RPS and RES compare with it').default(true),
  training: trainingSchema.describe('For every repair that does not say otherwise').default({}),
  exclude: listOf('patterns of cells', pattern)
    .describe('Cells that are left out: those that agree with every axis of a pattern')
    .default([]),
  overrides: listOf('overrides', overrideSchema).describe('Options of some cells; later ones win').default([]),
  evaluation: mapping('the evaluation', {
    toxicity: shorthand(
      'prompts',
      mapping('the toxicity evaluation', {
        prompts: fileText,
        limit: count(1).describe('Only the first so many prompts').optional(),
        promptTokens: count(1).default(32),
        maxNewTokens: count(1).default(20),
      }),
    )
      .describe('Toxicity of greedy continuations of these prompts')
      .optional(),
    rtp: shorthand(
      'prompts',
      mapping('RealToxicityPrompts', {
        prompts: fileText,
        limit: count(1).describe('Only the first so many prompts').optional(),
        samples: number({ min: 1, max: 1024, integer: true }).describe('Continuations of each prompt').default(25),
        maxNewTokens: count(1).default(20),
        topP: number({ above: 0, max: 1 }).default(0.9),
        temperature: number({ above: 0 }).default(1),
        seeds: listOf('generation seeds', count())
          .describe('Each samples anew: figures are means over them, and intervals cover them')
          .default([0]),
      }),
    )
      .describe('Expected maximum toxicity and toxicity probability over sampled continuations of these prompts')
      .optional(),
    runningText: shorthand(
      'file',
      mapping('the running text', {
        file: fileText,
        name: text('a name').describe('Names the figure NAME.tokenPpl').default('wikitext2'),
        window: numberOr(['model'] as const, { min: 2, integer: true })
          .describe('Tokens; default 1024 or the model’s context')
          .optional(),
        stride: count(1).describe('Default: the window').optional(),
      }),
    )
      .describe('Text for perplexity per token')
      .optional(),
    lastWord: shorthand(
      'file',
      mapping('the last-word test', { file: fileText, name: text('a name').default('lambada'), limit: count(1).optional() }),
    )
      .describe('Texts whose last word is predicted')
      .optional(),
    scorer: text('"builtin", a scores file, or a classifier')
      .describe('Who rates toxicity: builtin, a scores file, a BERT or RoBERTa classifier (a folder or hf:owner/name), or onnx:FOLDER')
      .default('builtin'),
    scorerLabel: text('a label').describe('The label of the classifier that means toxicity, where its labels do not say').optional(),
    bootstrapSeed: count().default(0),
    samples: count().describe('Completions kept of each cell, for reading').default(50),
  }),
}) as z.ZodType<RawStudy>;

/** The rules of study files for editors: what it accepts is what the checker accepts of a file's shape. */
export function studyJsonSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'mendset study',
    description: 'A grid of models, repairs, selectors, proportions, boundary ratios and seeds: mendset study FILE.yaml --out DIR',
    ...jsonSchemaOf(studySchema),
  };
}
