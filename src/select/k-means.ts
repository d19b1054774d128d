import { type Matrix, matrix } from '../core/matrix.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { requireInteger } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { requireRows } from './pca.ts';
import type { SelectOptions } from './selector.ts';

export interface KMeansOptions extends SelectOptions {
  /** clusters, 1 .. n */
  readonly k: number;
  /** centroid updates; one more assignment pass follows; default 300 */
  readonly maxIterations?: number | undefined;
  /** default 4; the least inertia wins */
  readonly restarts?: number | undefined;
  /** default greedy k-means++; `k-means||` (Bahmani et al. 2012; 5 rounds of 2 k candidates) is quicker for large k */
  readonly start?: 'k-means++' | 'k-means||' | undefined;
  /** rows (in a copy) and centroids of length 1 (Dhillon and Modha 2001); default false */
  readonly spherical?: boolean | undefined;
  /** default true; false: every row against every centroid in every pass. The result is the same */
  readonly prune?: boolean | undefined;
  /** default true: also the next nearest centroid of every row, by one more pass */
  readonly second?: boolean | undefined;
  /** default 0 */
  readonly seed?: number | bigint | undefined;
  /** k x d start instead of one that is drawn */
  readonly centroids?: Matrix<Float64Array> | undefined;
}

export interface KMeansResult {
  readonly k: number;
  readonly iterations: number;
  readonly restart: number;
  readonly stop: 'labels-stable' | 'iteration-limit';
  /** sum of squared distances to the own centroid */
  readonly inertia: number;
  /** of every assignment pass: iterations + 1 values */
  readonly inertiaPerIteration: Float64Array;
  /** k x d, by descending size, then lowest member */
  readonly centroids: Matrix<Float64Array>;
  /** [k] */
  readonly sizes: Int32Array;
  /** [n] */
  readonly labels: Int32Array;
  /** [n] Euclidean distance to the own centroid */
  readonly ownDistance: Float64Array;
  /** empty clusters that took the row farthest from its centroid */
  readonly refilled: number;
  /** row-centroid pairs of all passes, and those of them whose distance was computed */
  readonly pairs: number;
  readonly computedDistances: number;
  /** [n] the next nearest centroid; -1 when k = 1; empty without `second` */
  readonly secondLabels: Int32Array;
  /** [n] infinity when k = 1; empty without `second` */
  readonly secondDistance: Float64Array;
}

/**
 * Lloyd's k-means with greedy k-means++ (Arthur and Vassilvitskii 2007), exact ties and equal bits for any thread count.
 * @param x n x d, finite
 * @throws MendsetError `invalid-argument`, `non-finite` (with row and column), `aborted`
 * @example const { labels } = await kMeans(matrix(data, 1000, 50), { k: 10, seed: 42 });
 */
export async function kMeans(x: Matrix, options: KMeansOptions): Promise<KMeansResult> {
  const { k, maxIterations = 300, restarts = 4, seed = 0, centroids, start, spherical, prune, second } = options;
  requireRows(x);
  requireInteger('k', k, 1, x.rows);
  requireInteger('maxIterations', maxIterations, 0, 0x7fffffff);
  requireInteger('restarts', restarts, 1, 0x7fffffff);
  const { backend } = engineReport(options);
  const request = {
    k,
    maxIterations,
    restarts,
    seed: BigInt.asUintN(64, BigInt(seed)),
    ...(start === undefined ? {} : { start }),
    ...(spherical === undefined ? {} : { spherical }),
    ...(prune === undefined ? {} : { prune }),
    ...(second === undefined ? {} : { wantSecond: second }),
    ...(centroids ? { centroids: centroids.data } : {}),
  };
  const task = callNative(() =>
    addon().kMeansTask({ data: x.data, rows: x.rows, columns: x.columns }, request, backend, options.threads ?? 0),
  );
  const result = await runTask(task, 'k-means', { ...options, result: () => task.result() });
  return { ...result, centroids: matrix(result.centroids, k, x.columns) };
}
