import type { Matrix } from '../core/matrix.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { requireInteger, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { requireRows } from './pca.ts';
import type { SelectOptions } from './selector.ts';

/** `cosine` is 1 - cosine, as half the squared distance of rows scaled to length 1: rows of zeros are 0 apart and 0.5 from all others. */
export type Metric = 'euclidean' | 'cosine';
export const METRICS: readonly Metric[] = ['euclidean', 'cosine'];

export interface NearestNeighboursOptions extends SelectOptions {
  /** neighbours of each row, 1 .. n - 1 */
  readonly k: number;
  /** default `euclidean` */
  readonly metric?: Metric | undefined;
}

export interface NearestNeighboursResult {
  /** k */
  readonly k: number;
  /** [n, k] ascending by (distance, index); a row is not its own neighbour */
  readonly indices: Int32Array;
  /** [n, k] */
  readonly distances: Float32Array;
}

/**
 * The k nearest other rows of every row, exact; blocked products, no n x n array.
 * @param x n x d, finite, at least two rows
 * @throws MendsetError `invalid-argument`, `non-finite` (with row and column), `aborted`
 * @example const { indices } = await nearestNeighbours(matrix(data, 1000, 50), { k: 10, metric: 'cosine' });
 */
export async function nearestNeighbours(x: Matrix, options: NearestNeighboursOptions): Promise<NearestNeighboursResult> {
  const { k, metric = 'euclidean' } = options;
  requireRows(x);
  requireInteger('k', k, 1, x.rows - 1);
  requireOneOf('metric', metric, METRICS);
  const { backend } = engineReport(options);
  const task = callNative(() =>
    addon().nearestNeighboursTask({ data: x.data, rows: x.rows, columns: x.columns }, { k, metric }, backend, options.threads ?? 0),
  );
  return { k, ...(await runTask(task, 'neighbours', { ...options, result: () => task.result() })) };
}
