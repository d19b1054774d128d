import type { ColumnNames } from '../data/rows.ts';
import type { CellOverride, CellPattern } from './cell-rules.ts';

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
