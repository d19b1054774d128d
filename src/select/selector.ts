import type { Matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import type { FeatureKind } from '../features/feature.ts';

/** What a selector may need, one entry per record of the window. */
export interface FeatureTypes {
  /** n x d */
  readonly embeddings: Matrix;
  /** per-sample gradient norms (GraNd) */
  readonly gradientNorms: Float64Array;
  /** toxicity of the rejected text in [0, 1]; NaN where the scorer failed */
  readonly toxicity: Float64Array;
  /** any other score named by the selector's parameter `score`, or the caller's own */
  readonly scores: Float64Array;
  /** the caller's own stratum or class of each record, any integers */
  readonly groups: Int32Array;
}
export type { FeatureKind };

/** `principled`: exact budget, no duplicates, explicit order. `paper`: the published code's procedure with its quirks. */
export type Preset = 'principled' | 'paper';
export type SelectorName =
  | 'random'
  | 'uniform'
  | 'stratified'
  | 'k-center'
  | 'grand'
  | 'ccs'
  | 'saps'
  | 'facility-location'
  | 'herding'
  | 'moderate'
  | 'd2'
  | 'deduplicate';

/** One of ours, or the name of a selector of your own. */
export type SelectorLabel = SelectorName | (string & {});

export interface SelectionInput<F extends FeatureKind = never> {
  /** records in the window */
  readonly n: number;
  /** records to choose, 0 .. n; see `resolveBudget` for fractions */
  readonly budget: number;
  readonly seed: number | bigint;
  readonly features: { readonly [K in F]: FeatureTypes[K] };
  /** names of the records, one each; the result then names the chosen ones */
  readonly ids?: readonly string[] | undefined;
}

export interface SelectOptions extends RunOptions {
  /** default `cpu`; a named backend never falls back */
  readonly backend?: 'auto' | 'cpu' | 'plain' | 'cuda' | undefined;
  /** 0 or absent: `MENDSET_THREADS` or all cores; changes no bit of the result */
  readonly threads?: number | undefined;
  /** bytes that input and work may take together; default 80 % of the memory that is free. Beyond it: `out-of-memory` before any work */
  readonly memoryLimit?: number | undefined;
  /** hash of the pool where the caller knows it; null: compute none. Default: SHA-256 over the bytes of the features */
  readonly poolHash?: string | null | undefined;
}

/** What a phase computed, by formula: floating-point operations (a multiply-add counts 2) and bytes read and written at least. */
export interface PhaseWork {
  readonly flops: number;
  readonly bytes: number;
}

export interface Selection {
  /** chosen records in selection order */
  readonly indices: Int32Array;
  /** names of the chosen records in selection order; null when the input named none */
  readonly ids: readonly string[] | null;
  /** [n] the score that ranked the records (for saps: distance to the own centroid); null when none did */
  readonly scores: Float64Array | null;
  /** [n] cluster or stratum of every record; -1 when it was left out before */
  readonly clusters?: Int32Array;
  /** per cluster or stratum */
  readonly quotas?: Int32Array;
  /** k-center: [chosen] distance to the earlier centres when picked; infinity for the first */
  readonly radii?: Float64Array;
  /** k-center: largest distance of a record to its nearest centre */
  readonly coverage?: number;
  /** facility-location: [chosen] rise of the objective by each pick, never rising */
  readonly gains?: Float64Array;
  /** facility-location: the objective, the sum over all records of the similarity to the most similar chosen one */
  readonly value?: number;
  /** k-means: sum of squared distances to the own centroid */
  readonly inertia?: number;
  /** milliseconds per phase */
  readonly timings: Readonly<Record<string, number>>;
  /** by phase: an entry for each of `timings` */
  readonly work: Readonly<Record<string, PhaseWork>>;
  /** bytes: what was estimated before the work, and the largest resident size of the process so far */
  readonly memory: { readonly input: number; readonly work: number; readonly peak: number };
  /** SHA-256 over the features' bytes (embeddings, gradientNorms, toxicity, scores, groups, in this order), or the caller's; null when asked for none */
  readonly poolHash: string | null;
  readonly method: SelectorLabel;
  readonly preset: Preset;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly n: number;
  readonly budget: number;
  /** decimal, because seeds have 64 bits */
  readonly seed: string;
  /** `cpu`, `plain` or `cuda`; `javascript` where no native engine was needed */
  readonly backend: string;
  /** instruction set; of JavaScript the processor's architecture */
  readonly isa: string;
  readonly threads: number;
  /** records left out because their score is not finite */
  readonly dropped: number;
  readonly warnings: readonly string[];
}

/**
 * Chooses records of a window. `needs` names the features that must be present in the input; the type says the same.
 * @typeParam F the features needed, e.g. `Selector<'embeddings'>`
 */
export interface Selector<F extends FeatureKind = never> {
  readonly name: SelectorLabel;
  readonly preset: Preset;
  readonly needs: readonly F[];
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Bytes that selecting takes beside its input, for n records of d features; known before the input is read */
  workBytes?(n: number, d: number, budget: number): number;
  /** Rejects with `invalid-argument` for a wrong budget or feature and with `non-finite` for NaN or infinity, `out-of-memory` for what cannot fit. */
  select(input: SelectionInput<F>, options?: SelectOptions): Promise<Selection>;
}

/** Any selector, for code that computes whatever `needs` says. */
export type AnySelector = Selector<FeatureKind>;
