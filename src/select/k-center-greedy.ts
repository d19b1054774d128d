import type { Matrix } from '../core/matrix.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { requireInteger, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { METRICS, type Metric } from './nearest-neighbours.ts';
import { requireRows } from './pca.ts';
import type { SelectOptions } from './selector.ts';

export interface KCenterGreedyOptions extends SelectOptions {
  /** centres to choose, the first one included */
  readonly k: number;
  /** a row (default 0), `farthest-from-mean`, or `greedy`: the row farthest from the warm start (default when there is one) */
  readonly first?: number | 'farthest-from-mean' | 'greedy' | undefined;
  /** rows that are centres already: not counted, never chosen */
  readonly warmStart?: Int32Array | undefined;
  /** default `euclidean`; `cosine`: 1 - cosine, of a copy of the rows scaled to length 1 */
  readonly metric?: Metric | undefined;
  /** default true; false is the published code, which repeats index 0 once every distance is 0 */
  readonly excludeTaken?: boolean | undefined;
  /** also return the nearest centre of each row */
  readonly nearest?: boolean | undefined;
}

export interface KCenterGreedyResult {
  /** [k] */
  readonly order: Int32Array;
  /** [k] distance to the earlier centres when picked; infinity for the very first */
  readonly radii: Float64Array;
  /** [k] after each pick: largest distance of a row to its nearest centre */
  readonly coverages: Float64Array;
  /** the last of them */
  readonly coverage: number;
  /** [n] number of the nearest centre (warm-start rows first), when asked for */
  readonly nearest: Int32Array | null;
}

/**
 * Exact farthest-first traversal (Gonzalez 1985), lowest index on ties. Memory is one number per row.
 * @param x n x d, finite
 * @throws MendsetError `invalid-argument`, `non-finite` (with row and column), `aborted`
 * @example const { order, coverages } = await kCenterGreedy(matrix(data, 1000, 50), { k: 100, first: 0 });
 */
export async function kCenterGreedy(x: Matrix, options: KCenterGreedyOptions): Promise<KCenterGreedyResult> {
  const { k, warmStart, excludeTaken = true, nearest = false, metric = 'euclidean' } = options;
  const first = options.first ?? (warmStart && warmStart.length > 0 ? 'greedy' : 0);
  requireRows(x);
  requireInteger('k', k, 0, x.rows);
  requireOneOf('metric', metric, METRICS);
  const { backend } = engineReport(options);
  const request = { k, first, excludeTaken, wantNearest: nearest, metric, ...(warmStart ? { warmStart } : {}) };
  const task = callNative(() =>
    addon().kCenterTask({ data: x.data, rows: x.rows, columns: x.columns }, request, backend, options.threads ?? 0),
  );
  return runTask(task, 'k-center', { ...options, result: () => task.result() });
}
