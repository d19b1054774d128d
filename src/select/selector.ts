import type { Matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';

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
}
export type FeatureKind = keyof FeatureTypes;

/** `principled`: exact budget, no duplicates, explicit order. `paper`: the published code's procedure with its quirks. */
export type Preset = 'principled' | 'paper';
export type SelectorName = 'random' | 'k-center' | 'grand' | 'ccs' | 'saps';

export interface SelectionInput<F extends FeatureKind = never> {
  /** records in the window */
  readonly n: number;
  /** records to choose, 0 .. n; see `resolveBudget` for fractions */
  readonly budget: number;
  readonly seed: number | bigint;
  readonly features: { readonly [K in F]: FeatureTypes[K] };
}

export interface SelectOptions extends RunOptions {
  /** default `cpu`; a named backend never falls back */
  readonly backend?: 'auto' | 'cpu' | 'plain' | 'cuda' | undefined;
  /** 0 or absent: `MENDSET_THREADS` or all cores; changes no bit of the result */
  readonly threads?: number | undefined;
}

export interface Selection {
  /** chosen records in selection order */
  readonly indices: Int32Array;
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
  /** k-means: sum of squared distances to the own centroid */
  readonly inertia?: number;
  /** milliseconds per phase */
  readonly timings: Readonly<Record<string, number>>;
  readonly method: SelectorName;
  readonly preset: Preset;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly n: number;
  readonly budget: number;
  /** decimal, because seeds have 64 bits */
  readonly seed: string;
  /** null when no native engine was needed */
  readonly backend: string | null;
  readonly isa: string | null;
  readonly threads: number | null;
  /** records left out because their score is not finite */
  readonly dropped: number;
  readonly warnings: readonly string[];
}

/**
 * Chooses records of a window. `needs` names the features that must be present in the input; the type says the same.
 * @typeParam F the features needed, e.g. `Selector<'embeddings'>`
 */
export interface Selector<F extends FeatureKind = never> {
  readonly name: SelectorName;
  readonly preset: Preset;
  readonly needs: readonly F[];
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Rejects with `invalid-argument` for a wrong budget or feature and with `non-finite` for NaN or infinity. */
  select(input: SelectionInput<F>, options?: SelectOptions): Promise<Selection>;
}

/** Any selector, for code that computes whatever `needs` says. */
export type AnySelector = Selector<FeatureKind>;
