import { MendsetError } from '../core/errors.ts';
import { type Matrix, matrix } from '../core/matrix.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { engineReport } from './engine.ts';
import { requireRows } from './pca.ts';
import type { SelectOptions } from './selector.ts';

export interface NearestCentroidsOptions extends SelectOptions {
  /** default false; true: centroids (and so labels) by descending number of rows, then lowest row */
  readonly renumber?: boolean | undefined;
}

export interface NearestCentroidsResult {
  /** [n] the nearest centroid, the lowest on ties */
  readonly labels: Int32Array;
  /** [n] Euclidean */
  readonly distances: Float64Array;
  /** [k] rows of each centroid */
  readonly sizes: Int32Array;
  /** sum of squared distances */
  readonly inertia: number;
  /** k x d, those given, in the order of the labels */
  readonly centroids: Matrix<Float64Array>;
}

/**
 * The nearest centroid of every row, exact in double precision: labels of new rows for centroids that k-means has found.
 * @param x n x d, finite
 * @param centroids k x d, finite
 * @throws MendsetError `invalid-argument`, `non-finite` (with row and column), `aborted`
 * @example
 * const { centroids } = await kMeans(seen, { k: 10 });
 * const { labels } = await nearestCentroids(unseen, centroids);
 */
export async function nearestCentroids(
  x: Matrix,
  centroids: Matrix<Float64Array>,
  options: NearestCentroidsOptions = {},
): Promise<NearestCentroidsResult> {
  requireRows(x);
  const { rows: k, columns: d } = centroids;
  if (k < 1 || d !== x.columns || centroids.data.length !== k * d)
    throw new MendsetError('invalid-argument', `Expected centroids of ${x.columns} columns but received ${k} x ${d}.`);
  const { backend } = engineReport(options);
  const request = { k, maxIterations: 0, restarts: 1, prune: false, wantSecond: false, seed: 0n, centroids: centroids.data };
  const task = callNative(() =>
    addon().kMeansTask({ ...x }, { ...request, renumber: options.renumber ?? false }, backend, options.threads ?? 0),
  );
  const found = await runTask(task, 'nearest-centroids', { ...options, result: () => task.result() });
  const { labels, ownDistance: distances, sizes, inertia } = found;
  return { labels, distances, sizes, inertia, centroids: matrix(found.centroids, k, d) };
}
