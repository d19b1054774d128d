import { z } from 'zod';
import { MendsetError } from '../core/errors.ts';
import { choice, count, flag, listOf, mapping, number, numberOr, shorthand, text, word } from './config-schema.ts';
import { readYamlFile, type YamlFile } from './yaml-file.ts';

export type Preset = 'principled' | 'paper';

export interface ModelConfig {
  readonly name: string;
  readonly path: string;
}

interface SelectorBase {
  /** Label in results; default: the method */
  readonly name: string;
  readonly preset: Preset;
}

export type SelectorConfig =
  | (SelectorBase & { readonly method: 'random' })
  | (SelectorBase & {
      readonly method: 'k-center';
      readonly first?: number | 'random' | 'farthest-from-mean';
      readonly space?: 'pca' | 'raw';
      readonly components?: number;
    })
  | (SelectorBase & {
      readonly method: 'grand';
      readonly score?: ScoreName | 'given';
      readonly norm?: 'global' | 'sum-of-tensors';
      readonly offset?: number;
    })
  | (SelectorBase & { readonly method: 'ccs'; readonly score?: ScoreName | 'given'; readonly strata?: number; readonly beta?: number })
  | (SelectorBase & {
      readonly method: 'saps';
      readonly clusters?: number;
      readonly allocation?: 'waterfill' | 'proportional' | 'equal-no-redistribute';
      readonly mode?: 'global' | 'density' | 'random' | 'stratified';
      readonly components?: number;
    })
  | (SelectorBase & { readonly method: 'uniform' })
  | (SelectorBase & {
      readonly method: 'stratified';
      readonly by?: 'cluster' | 'group';
      readonly allocation?: 'proportional' | 'waterfill';
      readonly clusters?: number;
      readonly components?: number;
    })
  | (SelectorBase & {
      readonly method: 'facility-location';
      readonly metric?: 'cosine' | 'euclidean';
      readonly space?: 'pca' | 'raw';
      readonly components?: number;
    })
  | (SelectorBase & {
      readonly method: 'herding';
      readonly rule?: 'inner-product' | 'nearest';
      readonly space?: 'pca' | 'raw';
      readonly components?: number;
    })
  | (SelectorBase & {
      readonly method: 'moderate';
      readonly by?: 'cluster' | 'group';
      readonly clusters?: number;
      readonly components?: number;
    })
  | (SelectorBase & {
      readonly method: 'd2';
      readonly score?: ScoreName | 'given';
      readonly neighbours?: number;
      readonly forward?: number;
      readonly reverse?: number;
      readonly space?: 'pca' | 'raw';
      readonly components?: number;
    })
  | (SelectorBase & { readonly method: 'deduplicate'; readonly threshold?: number; readonly fill?: boolean });

/** What grand, ccs and d2 rank by. */
export type ScoreName = 'gradient-norm' | 'el2n' | 'loss' | 'margin' | 'toxicity';
export const SCORE_NAMES: readonly ScoreName[] = ['gradient-norm', 'el2n', 'loss', 'margin', 'toxicity'];

export interface KlConfig {
  /** gamma: weight of the KL term */
  readonly weight: number;
  /** w: weight of the repair loss beside it */
  readonly repairWeight: number;
  readonly direction: 'forward' | 'reverse';
}

/** How one repair trains; a repair may override each of the study's values. */
export interface TrainingConfig {
  /** null = the method's own (domain: table of section 5.3) */
  readonly learningRate: number | null;
  readonly batchSize: number;
  readonly evalBatchSize: number;
  readonly epochs: number;
  readonly warmupSteps: number;
  /** 0 = off */
  readonly clipNorm: number;
  /** Validate after each so many examples */
  readonly evalEvery: number;
  /** Validations without a new best before stopping */
  readonly patience: number;
  readonly optimizer: 'rmsprop' | 'adamw';
  /** null = the preset's: shuffled, or selection under paper */
  readonly order: 'shuffled' | 'selection' | 'pool' | null;
  readonly seed: number;
}

export interface RepairConfig {
  readonly name: string;
  readonly method: 'dapt' | 'dpo' | 'irepair';
  readonly preset: Preset;
  readonly kl: KlConfig | null;
  /** DPO only */
  readonly beta: number | null;
  /** IRepair only: which block is repaired */
  readonly slice: 'most-sensitive' | 'least-sensitive' | 'fixed' | null;
  readonly training: TrainingConfig;
}

export interface EvaluationConfig {
  readonly toxicity: {
    readonly prompts: string;
    /** Only the first so many prompts; null = all */
    readonly limit: number | null;
    readonly promptTokens: number;
    readonly maxNewTokens: number;
  } | null;
  readonly runningText: {
    readonly file: string;
    readonly name: string /** null = 1024, or the model's context when that is smaller */;
    readonly window: number | 'model' | null;
    readonly stride: number | null;
  } | null;
  /** Last-word texts; they are also read as running text (`NAME.runningPpl`) */
  readonly lastWord: { readonly file: string; readonly name: string; readonly limit: number | null } | null;
  /** `builtin`, or a file of scores computed elsewhere */
  readonly scorer: string;
  readonly bootstrapSeed: number;
  /** Completions kept in samples/ for each cell */
  readonly samples: number;
}

export interface StudyConfig {
  readonly name: string;
  readonly demo: boolean;
  readonly models: readonly ModelConfig[];
  readonly pool: {
    readonly files: readonly string[];
    /** ParaDetox: one record for each neutral paraphrase */
    readonly expand: boolean;
    readonly window: number | 'auto' | 'all';
    readonly validation: number;
    readonly dedupe: 'none' | 'exact';
  };
  /** Ordinary texts for KL terms: a file, or so many samples from each unrepaired model */
  readonly normal: { readonly file: string } | { readonly generate: number } | null;
  readonly selectors: readonly SelectorConfig[];
  readonly repairs: readonly RepairConfig[];
  readonly proportions: readonly number[];
  readonly boundaryRatios: readonly number[];
  readonly seeds: readonly number[];
  readonly fullData: boolean;
  readonly evaluation: EvaluationConfig;
}

const presetKey = word(['principled', 'paper'] as const).default('principled');
const selectorBase = { name: text('a label').optional(), preset: presetKey };

const spaceShape = { space: word(['pca', 'raw'] as const).optional(), components: count(1).optional() };

const selectorSchema = shorthand(
  'method',
  choice<SelectorConfig>('method', 'a selector', {
    random: mapping('a selector', { ...selectorBase, method: z.literal('random') }),
    'k-center': mapping('a selector', {
      ...selectorBase,
      method: z.literal('k-center'),
      first: numberOr(['random', 'farthest-from-mean'] as const, { min: 0, integer: true }).optional(),
      space: word(['pca', 'raw'] as const).optional(),
      components: count(1).optional(),
    }),
    grand: mapping('a selector', {
      ...selectorBase,
      method: z.literal('grand'),
      score: word(SCORE_NAMES).optional(),
      norm: word(['global', 'sum-of-tensors'] as const).optional(),
      offset: count().optional(),
    }),
    ccs: mapping('a selector', {
      ...selectorBase,
      method: z.literal('ccs'),
      score: word(SCORE_NAMES).optional(),
      strata: count(1).optional(),
      beta: number({ min: 0, max: 0.99 }).optional(),
    }),
    saps: mapping('a selector', {
      ...selectorBase,
      method: z.literal('saps'),
      clusters: count(1).optional(),
      allocation: word(['waterfill', 'proportional', 'equal-no-redistribute'] as const).optional(),
      mode: word(['global', 'density', 'random', 'stratified'] as const).optional(),
      components: count(1).optional(),
    }),
    uniform: mapping('a selector', { ...selectorBase, method: z.literal('uniform') }),
    stratified: mapping('a selector', {
      ...selectorBase,
      method: z.literal('stratified'),
      by: word(['cluster', 'group'] as const).optional(),
      allocation: word(['proportional', 'waterfill'] as const).optional(),
      clusters: count(1).optional(),
      components: count(1).optional(),
    }),
    'facility-location': mapping('a selector', {
      ...selectorBase,
      method: z.literal('facility-location'),
      metric: word(['cosine', 'euclidean'] as const).optional(),
      ...spaceShape,
    }),
    herding: mapping('a selector', {
      ...selectorBase,
      method: z.literal('herding'),
      rule: word(['inner-product', 'nearest'] as const).optional(),
      ...spaceShape,
    }),
    moderate: mapping('a selector', {
      ...selectorBase,
      method: z.literal('moderate'),
      by: word(['cluster', 'group'] as const).optional(),
      clusters: count(1).optional(),
      components: count(1).optional(),
    }),
    d2: mapping('a selector', {
      ...selectorBase,
      method: z.literal('d2'),
      score: word(SCORE_NAMES).optional(),
      neighbours: count(1).optional(),
      forward: number({ min: 0 }).optional(),
      reverse: number({ min: 0 }).optional(),
      ...spaceShape,
    }),
    deduplicate: mapping('a selector', {
      ...selectorBase,
      method: z.literal('deduplicate'),
      threshold: number({ min: -1, max: 1 }).optional(),
      fill: flag().optional(),
    }),
  }),
);

const trainingShape = {
  learningRate: number({ above: 0 }).optional(),
  batchSize: count(1).optional(),
  evalBatchSize: count(1).optional(),
  epochs: count(1).optional(),
  warmupSteps: count().optional(),
  clipNorm: number({ min: 0 }).optional(),
  evalEvery: count(1).optional(),
  patience: count(1).optional(),
  optimizer: word(['rmsprop', 'adamw'] as const).optional(),
  order: word(['shuffled', 'selection', 'pool'] as const).optional(),
  seed: count().optional(),
};

const klSchema = z.preprocess(
  (value) => (value === true ? {} : value === false || value === null ? undefined : typeof value === 'number' ? { weight: value } : value),
  mapping('a KL term', {
    weight: number({ above: 0 }).default(1),
    repairWeight: number({ above: 0 }).default(0.5),
    direction: word(['forward', 'reverse'] as const).default('forward'),
  }).optional(),
);
const repairBase = { name: text('a label').optional(), preset: presetKey, kl: klSchema.optional(), ...trainingShape };

const repairSchema = shorthand(
  'method',
  choice<RawRepair>('method', 'a repair', {
    dapt: mapping('a repair', { ...repairBase, method: z.literal('dapt') }),
    dpo: mapping('a repair', { ...repairBase, method: z.literal('dpo'), beta: number({ above: 0 }).default(0.1) }),
    irepair: mapping('a repair', {
      ...repairBase,
      method: z.literal('irepair'),
      slice: word(['most-sensitive', 'least-sensitive', 'fixed'] as const).default('most-sensitive'),
    }),
  }),
);

type RawTraining = { [K in keyof TrainingConfig]?: TrainingConfig[K] | undefined };
interface RawRepair extends RawTraining {
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

const fileText = text('a file path (or demo:NAME)');

const studySchema = mapping('a study', {
  name: text('a name'),
  demo: flag().default(false),
  models: listOf(
    'models',
    shorthand('path', mapping('a model', { name: text('a label').optional(), path: text('a model folder (or demo:model)') })),
  ),
  pool: mapping('the pool', {
    files: listOf('files', fileText),
    expand: flag().default(false),
    window: numberOr(['auto', 'all'] as const, { min: 1, integer: true }).default('all'),
    validation: count().default(64),
    dedupe: word(['none', 'exact'] as const).default('none'),
  }),
  normal: z
    .preprocess(
      (value) => (typeof value === 'string' ? { file: value } : value),
      mapping('the normal texts', { file: fileText.optional(), generate: count(2).optional() }),
    )
    .refine((value) => (value.file === undefined) !== (value.generate === undefined), {
      error: 'expected either "file" or "generate" (a number of samples).',
    })
    .optional(),
  selectors: listOf('selectors', selectorSchema),
  repairs: listOf('repairs', repairSchema),
  proportions: listOf('proportions', number({ above: 0, max: 1 })).default([0.5]),
  boundaryRatios: listOf('boundary ratios', number({ min: 0, max: 1 })).default([1]),
  seeds: listOf('seeds', count()).default([43]),
  fullData: flag().default(true),
  training: mapping('training options', trainingShape).default({}),
  evaluation: mapping('the evaluation', {
    toxicity: shorthand(
      'prompts',
      mapping('the toxicity evaluation', {
        prompts: fileText,
        limit: count(1).optional(),
        promptTokens: count(1).default(32),
        maxNewTokens: count(1).default(20),
      }),
    ).optional(),
    runningText: shorthand(
      'file',
      mapping('the running text', {
        file: fileText,
        name: text('a name').default('wikitext2'),
        window: numberOr(['model'] as const, { min: 2, integer: true }).optional(),
        stride: count(1).optional(),
      }),
    ).optional(),
    lastWord: shorthand(
      'file',
      mapping('the last-word test', { file: fileText, name: text('a name').default('lambada'), limit: count(1).optional() }),
    ).optional(),
    scorer: text('"builtin" or a scores file').default('builtin'),
    bootstrapSeed: count().default(0),
    samples: count().default(50),
  }),
});

/** Reads and checks a study file. Rejects with `invalid-config`; `problems` lists every mistake as `file:line:column: ...`. */
export async function readStudyConfig(path: string): Promise<StudyConfig> {
  return checkStudyConfig(await readYamlFile(path));
}

export function checkStudyConfig(file: YamlFile): StudyConfig {
  const result = studySchema.safeParse(file.value ?? {});
  const problems = result.success ? [] : issueSentences(result.error.issues, file);
  if (!result.success) throw configError(problems);
  const raw = result.data;
  const repairs = raw.repairs.map((r) => resolveRepair(r, raw.training as RawTraining));
  const selectors = raw.selectors.map((s) => ({ ...s, name: s.name ?? s.method }));
  const models = raw.models.map((m) => ({ path: m.path, name: m.name ?? lastSegment(m.path) }));
  for (const [key, list] of [
    ['models', models],
    ['selectors', selectors],
    ['repairs', repairs],
  ] as const) {
    list.forEach((entry, i) => {
      const first = list.findIndex((other) => other.name === entry.name);
      if (first < i)
        problems.push(
          `${file.where([key, i])}: ${key}[${i}]: expected names to differ but "${entry.name}" is also ${key}[${first}]; give one of them another "name".`,
        );
      if (['none', 'full'].includes(entry.name) && key !== 'models')
        problems.push(`${file.where([key, i])}: ${key}[${i}]: expected another name than "${entry.name}", which stands for the baselines.`);
    });
  }
  if (raw.normal === undefined) {
    repairs.forEach((r, i) => {
      if (r.kl)
        problems.push(
          `${file.where(['repairs', i])}: repairs[${i}]: expected "normal" (a file of ordinary texts) because "${r.name}" has a KL term; add "normal: FILE.jsonl" or "normal: { generate: 1000 }" at the top level.`,
        );
    });
  }
  const { toxicity, runningText, lastWord } = raw.evaluation;
  if (!toxicity && !runningText && !lastWord) {
    problems.push(`${file.where(['evaluation'])}: evaluation: expected at least one of toxicity, runningText, lastWord.`);
  }
  if (runningText?.stride !== undefined && typeof runningText.window === 'number' && runningText.stride > runningText.window) {
    problems.push(
      `${file.where(['evaluation', 'runningText', 'stride'])}: evaluation.runningText.stride: expected at most the window of ${runningText.window} but received ${runningText.stride}.`,
    );
  }
  if (problems.length > 0) throw configError(problems);
  return {
    name: raw.name,
    demo: raw.demo,
    models,
    pool: raw.pool,
    normal:
      raw.normal === undefined
        ? null
        : raw.normal.file === undefined
          ? { generate: raw.normal.generate as number }
          : { file: raw.normal.file },
    selectors: selectors as SelectorConfig[],
    repairs,
    proportions: raw.proportions,
    boundaryRatios: raw.boundaryRatios,
    seeds: raw.seeds,
    fullData: raw.fullData,
    evaluation: {
      toxicity: toxicity ? { ...toxicity, limit: toxicity.limit ?? null } : null,
      runningText: runningText ? { ...runningText, window: runningText.window ?? null, stride: runningText.stride ?? null } : null,
      lastWord: lastWord ? { ...lastWord, limit: lastWord.limit ?? null } : null,
      scorer: raw.evaluation.scorer,
      bootstrapSeed: raw.evaluation.bootstrapSeed,
      samples: raw.evaluation.samples,
    },
  };
}

function resolveRepair(raw: RawRepair, shared: RawTraining): RepairConfig {
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

function lastSegment(path: string): string {
  return (
    path
      .replace(/^demo:/, 'demo-')
      .split(/[\\/]/)
      .filter(Boolean)
      .at(-1) ?? path
  );
}

/** One sentence for each issue, with the place in the file. */
export function issueSentences(issues: readonly z.core.$ZodIssue[], file: YamlFile): string[] {
  return issues.flatMap((issue) => {
    const name = pathName(issue.path);
    if (issue.code === 'unrecognized_keys') {
      const sentences = issue.message.split('\n');
      return issue.keys.map(
        (key, i) => `${file.where(issue.path, key)}: ${name === '' ? '' : `${name}: `}${sentences[i] ?? issue.message}`,
      );
    }
    const sentence = issue.message.replace(/received nothing\.$/, 'it is missing.');
    return [`${file.where(issue.path)}: ${name === '' ? '' : `${name}: `}${sentence}`];
  });
}

export function configError(problems: readonly string[]): MendsetError {
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new MendsetError('invalid-config', `${problems[0]}${more}`, { problems });
}

function pathName(path: readonly PropertyKey[]): string {
  return path.map((p, i) => (typeof p === 'number' ? `[${p}]` : `${i === 0 ? '' : '.'}${String(p)}`)).join('');
}
