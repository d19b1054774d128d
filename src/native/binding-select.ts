/**
 * The native functions of selection. Matrices are row-major fp32 with n rows and d columns, borrowed until the task is disposed; results
 * are fresh arrays. NaN and infinity are refused with row and column. Bits do not depend on threads or step budgets.
 */
import type { NativeTask } from './binding.ts';

export interface NativeMatrix {
  readonly data: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

export interface NativeKMeansRequest {
  /** 1 .. rows */
  readonly k: number;
  /** centroid updates; one more assignment pass follows */
  readonly maxIterations: number;
  /** greedy k-means++ starts; ignored with `centroids` */
  readonly restarts: number;
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
  /** [n] -1 when k = 1 */
  readonly secondLabels: Int32Array;
  /** [n] infinity when k = 1 */
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
}

export interface NativeKCenterResult {
  /** [k] */
  readonly order: Int32Array;
  /** [k] distance to the earlier centres when picked; infinity for the very first */
  readonly radii: Float64Array;
  /** largest distance of a row to its nearest centre; infinity without centres */
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

export interface NativeSelection {
  kMeansTask(
    x: NativeMatrix,
    request: NativeKMeansRequest,
    backend: string,
    threads: number,
  ): NativeTask & { result(): NativeKMeansResult };
  kCenterTask(
    x: NativeMatrix,
    request: NativeKCenterRequest,
    backend: string,
    threads: number,
  ): NativeTask & { result(): NativeKCenterResult };
  pcaTask(x: NativeMatrix, request: NativePcaRequest, backend: string, threads: number): NativeTask & { result(): NativePcaResult };
  /** The min(k, n) largest values by (value, lowest index). */
  topK(values: Float64Array, k: number): Int32Array;
}
