/**
 * The native functions of selection. Matrices are row-major fp32 with n rows and d columns, borrowed until the task is disposed; results
 * are arrays of their own. NaN and infinity are refused with row and column. Bits do not depend on threads or step budgets.
 */
import type { NativeTask } from './binding.ts';

/** Once, after the task has finished and before it is disposed. Large arrays are what the engine computed in, not copies. */
export interface NativeResult<R> {
  result(): R;
}

export interface NativeMatrix {
  readonly data: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

export type NativeMetric = 'euclidean' | 'cosine';

export interface NativeNeighboursRequest {
  /** 1 .. rows - 1 */
  readonly k: number;
  /** `euclidean`: squared distance by canonical chains. `cosine`: 1 - cosine, of rows scaled to length 1 (a zero row stays zero: 1 to all). */
  readonly metric: NativeMetric;
}

export interface NativeNeighboursResult {
  /** [n, k] ascending by (distance, index); a row is not its own neighbour */
  readonly indices: Int32Array;
  /** [n, k] not squared for `euclidean`; 1 - cosine for `cosine` */
  readonly distances: Float32Array;
}

export interface NativeFacilityLocationRequest {
  /** 0 .. rows */
  readonly budget: number;
  /**
   * `cosine`: similarity = max(0, cosine), as DeepCore's submodular selection of non-negative cosine similarities. `euclidean`: similarity =
   * M - squared distance with M an upper bound of all squared distances (4 x the largest squared length), as apricot's `euclidean`; the order
   * does not depend on M.
   */
  readonly metric: NativeMetric;
}

export interface NativeFacilityLocationResult {
  /** [budget] greedy order, ties to the lowest index */
  readonly order: Int32Array;
  /** [budget] rise of the sum over all rows of the similarity to the most similar chosen row */
  readonly gains: Float64Array;
  /** sum of gains */
  readonly value: number;
  /** candidates whose gain was computed, first round included */
  readonly evaluations: number;
}

export interface NativeKMeansRequest {
  /** 1 .. rows */
  readonly k: number;
  /** centroid updates; one more assignment pass follows */
  readonly maxIterations: number;
  /** starts to try; ignored with `centroids` */
  readonly restarts: number;
  /** greedy k-means++ (the default), or k-means|| with 5 rounds of 2 k candidates */
  readonly start?: 'k-means++' | 'k-means||' | undefined;
  /** rows (in a copy) and centroids scaled to length 1; default false */
  readonly spherical?: boolean | undefined;
  /** false: compare every row with every centroid; the result is the same; default true */
  readonly prune?: boolean | undefined;
  /** second labels and distances, by one more full pass; default true */
  readonly wantSecond?: boolean | undefined;
  /** clusters by descending size, then lowest member; false: as they started; default true */
  readonly renumber?: boolean | undefined;
  /** stream 5, sub = restart */
  readonly seed: bigint;
  /** [k, d] given start, borrowed */
  readonly centroids?: Float64Array | undefined;
}

export interface NativeKMeansResult {
  readonly k: number;
  readonly iterations: number;
  /** the restart that won */
  readonly restart: number;
  readonly stop: 'labels-stable' | 'iteration-limit';
  /** sum of squared distances to the own centroid, fp64 */
  readonly inertia: number;
  /** of every assignment pass of the winning restart: iterations + 1 values */
  readonly inertiaPerIteration: Float64Array;
  /** [k, d], by descending size, then lowest member */
  readonly centroids: Float64Array;
  /** [k] */
  readonly sizes: Int32Array;
  /** [n] */
  readonly labels: Int32Array;
  /** [n] Euclidean */
  readonly ownDistance: Float64Array;
  /** empty clusters that took a row during the winning restart */
  readonly refilled: number;
  /** row-centroid pairs of all assignment passes; those that the filter looked at; those whose distance was computed */
  readonly pairs: number;
  readonly filteredPairs: number;
  readonly computedDistances: number;
  /** [n] -1 when k = 1; [0] unless wanted */
  readonly secondLabels: Int32Array;
  /** [n] infinity when k = 1; [0] unless wanted */
  readonly secondDistance: Float64Array;
}

export interface NativeKCenterRequest {
  /** centres to choose, the first one included */
  readonly k: number;
  /** a row, the row farthest from the mean, or the row farthest from the warm start */
  readonly first: number | 'farthest-from-mean' | 'greedy';
  /** rows that are centres already: not counted, never chosen */
  readonly warmStart?: Int32Array | undefined;
  /** false: chosen rows stay eligible, so that index 0 repeats once every distance is 0 */
  readonly excludeTaken: boolean;
  readonly wantNearest: boolean;
  /** default `euclidean`; with `cosine` all distances are 1 - cosine of rows scaled to length 1 (in a copy) */
  readonly metric?: NativeMetric | undefined;
}

export interface NativeKCenterResult {
  /** [k] */
  readonly order: Int32Array;
  /** [k] distance to the earlier centres when picked; infinity for the very first */
  readonly radii: Float64Array;
  /** [k] after each choice: largest distance of a row to its nearest centre */
  readonly coverages: Float64Array;
  /** the last of them, or that of the warm start alone; infinity without centres */
  readonly coverage: number;
  /** [n] number of the nearest centre (warm-start rows first), when asked for */
  readonly nearest: Int32Array | null;
}

export interface NativePcaRequest {
  /** at most; clipped to min(d, max(n - 1, 1)) */
  readonly components: number;
  /** 0 = off; else the fewest components whose share of the variance reaches it */
  readonly targetVariance: number;
}

export interface NativePcaResult {
  /** r */
  readonly components: number;
  /** [d] */
  readonly mean: Float64Array;
  /** [r, d] unit rows; the entry of largest magnitude is positive */
  readonly directions: Float64Array;
  /** [r] descending, divisor n - 1 */
  readonly variances: Float64Array;
  readonly totalVariance: number;
  /** [n, r] */
  readonly projected: Float32Array;
}

export interface NativeCcsRequest {
  readonly budget: number;
  /** share of the finite scores that goes first; lowered where less than the budget would remain */
  readonly beta: number;
  /** the end that goes */
  readonly hard: 'high' | 'low';
  readonly strata: number;
  /** leave out scores that are not finite; false: stop at the first */
  readonly dropBad: boolean;
  /** stream 4, sub = stratum */
  readonly seed: bigint;
}

export interface NativeCcsResult {
  /** the score that stopped it, or -1; nothing else is then filled in */
  readonly firstBad: number;
  /** fewer finite scores than the budget stop it as well */
  readonly finite: number;
  readonly removed: number;
  /** one per stratum */
  readonly quotas: Int32Array;
  /** strata ascending, then the order of drawing */
  readonly indices: Int32Array;
}

export interface NativeTopScoresRequest {
  readonly count: number;
  readonly end: 'high' | 'low';
  /** pass over scores that are not finite; false: stop at the first */
  readonly dropBad: boolean;
}

export interface NativeTopScoresResult {
  /** the score that stopped it, or -1; there are then no indices */
  readonly firstBad: number;
  readonly finite: number;
  readonly indices: Int32Array;
}

export interface NativeSelection {
  kMeansTask(
    x: NativeMatrix,
    request: NativeKMeansRequest,
    backend: string,
    threads: number,
  ): NativeTask & NativeResult<NativeKMeansResult>;
  kCenterTask(
    x: NativeMatrix,
    request: NativeKCenterRequest,
    backend: string,
    threads: number,
  ): NativeTask & NativeResult<NativeKCenterResult>;
  pcaTask(x: NativeMatrix, request: NativePcaRequest, backend: string, threads: number): NativeTask & NativeResult<NativePcaResult>;
  /** The k nearest other rows of every row, exact; blocked products, no n x n array. */
  nearestNeighboursTask(
    x: NativeMatrix,
    request: NativeNeighboursRequest,
    backend: string,
    threads: number,
  ): NativeTask & NativeResult<NativeNeighboursResult>;
  /** Exact lazy greedy (Minoux 1978) of the facility location function. */
  facilityLocationTask(
    x: NativeMatrix,
    request: NativeFacilityLocationRequest,
    backend: string,
    threads: number,
  ): NativeTask & NativeResult<NativeFacilityLocationResult>;
  /** Upper estimate of the bytes a task needs beyond its matrix, results included; from the shape alone. `k`: clusters, centres, ... */
  selectionMemory(
    kind: 'k-means' | 'k-center' | 'pca' | 'nearest-neighbours' | 'facility-location',
    n: number,
    d: number,
    k: number,
  ): number;
  /** The first `count` entries of the Fisher-Yates permutation of 0 .. n-1 from stream(seed, stream, sub), as RandomStream.permutation gives. */
  permutationTask(seed: bigint, stream: number, sub: number, n: number, count: number): NativeTask & NativeResult<Int32Array>;
  /** Coverage-centric selection; fills labels [n] with the stratum of every record, -1 where it was left out. Scores and labels are borrowed. */
  ccsTask(scores: Float64Array, labels: Int32Array, request: NativeCcsRequest, threads: number): NativeTask & NativeResult<NativeCcsResult>;
  /** The best so many finite scores by (value, lowest index) from one end. */
  topScoresTask(scores: Float64Array, request: NativeTopScoresRequest, threads: number): NativeTask & NativeResult<NativeTopScoresResult>;
  /** A part of a file as memory whose pages are read when touched; null where the platform or the runtime cannot. Not to be written to. */
  mapFile(path: string, offset: number, bytes: number): ArrayBuffer | null;
}
