import type { Matrix } from '../core/matrix.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { requireInteger, requireOneOf } from './define-selector.ts';
import { engineReport } from './engine.ts';
import { METRICS, type Metric } from './nearest-neighbours.ts';
import { requireRows } from './pca.ts';
import type { SelectOptions } from './selector.ts';

export interface FacilityLocationGreedyOptions extends SelectOptions {
  /** rows to choose, 0 .. n */
  readonly budget: number;
  /** default `cosine`: similarity max(0, cosine); `euclidean`: a constant minus the squared distance */
  readonly metric?: Metric | undefined;
}

export interface FacilityLocationGreedyResult {
  /** [budget] */
  readonly order: Int32Array;
  /** [budget] rise of the objective by each pick */
  readonly gains: Float64Array;
  /** the objective: sum over all rows of the similarity to the most similar chosen row */
  readonly value: number;
  /** candidates whose gain was computed; the plain greedy needs budget x n */
  readonly evaluations: number;
}

/**
 * Lazy greedy (Minoux 1978) of the facility location function: the same order as the plain greedy, ties to the lowest index.
 * @param x n x d, finite
 * @throws MendsetError `invalid-argument`, `non-finite` (with row and column), `aborted`
 * @example const { order, gains } = await facilityLocationGreedy(matrix(data, 1000, 50), { budget: 100 });
 */
export async function facilityLocationGreedy(x: Matrix, options: FacilityLocationGreedyOptions): Promise<FacilityLocationGreedyResult> {
  const { budget, metric = 'cosine' } = options;
  requireRows(x);
  requireInteger('budget', budget, 0, x.rows);
  requireOneOf('metric', metric, METRICS);
  const { backend } = engineReport(options);
  const task = callNative(() =>
    addon().facilityLocationTask({ data: x.data, rows: x.rows, columns: x.columns }, { budget, metric }, backend, options.threads ?? 0),
  );
  return runTask(task, 'facility-location', { ...options, result: () => task.result() });
}
