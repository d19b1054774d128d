import type { ColumnNames } from '../data/rows.ts';
import type { WeightStorage } from '../model/load-weights.ts';
import type { RepairMethodName } from '../repair/method.ts';
import type { CellOverride, CellPattern } from './cell-rules.ts';

export type Preset = 'principled' | 'paper';

export interface ModelConfig {
  readonly name: string;
  readonly path: string;
  /** How 16-bit weights are held; decides no figure */
  readonly weights?: WeightStorage | undefined;
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
  /** Passes over the records; without effect beside `steps` */
  readonly epochs: number;
  /** Exactly so many steps: an equal budget for subsets of every size */
  readonly steps?: number | undefined;
  /** Stops after so many steps, whatever the epochs say */
  readonly maxSteps?: number | undefined;
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
  /** Tokens that count in the loss; default the preset's */
  readonly mask?: 'completion' | 'all' | undefined;
  /** Weights that the model ends with; default those of the best validation */
  readonly keep?: 'best' | 'last' | undefined;
  readonly completionTokens?: number | undefined;
  readonly totalTokens?: number | undefined;
  /** Bytes that a step may hold, met by micro-batches */
  readonly memoryBudget?: number | undefined;
  readonly microBatchTokens?: number | undefined;
  readonly recompute?: boolean | undefined;
}

export interface LoraConfig {
  readonly rank: number;
  /** Default twice the rank */
  readonly alpha?: number | undefined;
  /** Linear maps by PEFT's names; default all of the blocks' */
  readonly targets?: readonly string[] | undefined;
}

export interface RepairConfig {
  readonly name: string;
  readonly method: RepairMethodName;
  readonly preset: Preset;
  readonly kl: KlConfig | null;
  /** DPO and NPO only */
  readonly beta: number | null;
  /** IRepair only: which block is repaired; a number is that block */
  readonly slice: 'most-sensitive' | 'least-sensitive' | 'fixed' | number | null;
  /** IRepair only: blocks repaired at once; default 1 */
  readonly blocks?: number | undefined;
  /** Low-rank adapters in place of the weights */
  readonly lora?: LoraConfig | undefined;
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
  /** RealToxicityPrompts: sampled continuations */
  readonly rtp?:
    | {
        readonly prompts: string;
        /** Only the first so many prompts; null = all */
        readonly limit: number | null;
        readonly samples: number;
        readonly maxNewTokens: number;
        readonly topP: number;
        readonly temperature: number;
        /** Of generation, each with all samples: figures are means over them, intervals cover them */
        readonly seeds: readonly number[];
      }
    | undefined;
  readonly runningText: {
    readonly file: string;
    readonly name: string;
    /** null = 1024, or the model's context when that is smaller */
    readonly window: number | 'model' | null;
    readonly stride: number | null;
  } | null;
  /** Last-word texts; they are also read as running text (`NAME.runningPpl`) */
  readonly lastWord: { readonly file: string; readonly name: string; readonly limit: number | null } | null;
  /** `builtin`, or a file of scores computed elsewhere */
  readonly scorer: string;
  /** The label of a classifier that means toxicity, where its labels do not say */
  readonly scorerLabel?: string | undefined;
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
    /** Which column of the files is meant by a field */
    readonly columns?: ColumnNames | undefined;
    readonly window: number | 'auto' | 'all';
    readonly validation: number;
    readonly dedupe: 'none' | 'exact';
  };
  /** Ordinary texts for KL terms: a file, or so many samples from each unrepaired model */
  readonly normal: { readonly file: string } | { readonly generate: number } | null;
  /** Embeds the records instead of each model: a folder or hf:owner/name */
  readonly encoder?: string | undefined;
  readonly selectors: readonly SelectorConfig[];
  readonly repairs: readonly RepairConfig[];
  readonly proportions: readonly number[];
  readonly boundaryRatios: readonly number[];
  readonly seeds: readonly number[];
  readonly fullData: boolean;
  /** Cells that are left out */
  readonly exclude: readonly CellPattern[];
  /** Options of some cells; later ones win */
  readonly overrides: readonly CellOverride[];
  readonly evaluation: EvaluationConfig;
}
