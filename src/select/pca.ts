import { MendsetError } from '../core/errors.ts';
import { type Matrix, matrix } from '../core/matrix.ts';
import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';
import { runTask } from '../native/run-task.ts';
import { requireInteger, requireNumber } from './define-selector.ts';
import { engineReport } from './engine.ts';
import type { SelectOptions } from './selector.ts';

export interface PcaOptions extends SelectOptions {
  /** at most; default 50, never more than min(d, n - 1) */
  readonly components?: number | undefined;
  /** 0 .. 1: the fewest components whose share of the variance reaches it */
  readonly targetVariance?: number | undefined;
}

export interface PcaResult {
  /** r */
  readonly components: number;
  /** [d] */
  readonly mean: Float64Array;
  /** r x d unit rows; the entry of largest magnitude is positive */
  readonly directions: Matrix<Float64Array>;
  /** [r] descending, divisor n - 1 */
  readonly variances: Float64Array;
  readonly totalVariance: number;
  /** n x r, not whitened */
  readonly projected: Matrix;
}

/**
 * Principal component analysis by the covariance (products of 128 rows in fp32, their sums and the eigenvectors in fp64), or by a randomised
 * subspace where there are few rows for the columns. Deterministic: the same bits for any number of threads.
 * @param x n x d, finite
 * @throws MendsetError `invalid-argument`, `non-finite` (with row and column), `aborted`
 * @example const { projected, variances } = await pca(matrix(data, 1000, 384), { components: 50 });
 */
export async function pca(x: Matrix, options: PcaOptions = {}): Promise<PcaResult> {
  const components = options.components ?? 50;
  const targetVariance = options.targetVariance ?? 0;
  requireInteger('components', components, 1, 0x7fffffff);
  requireNumber('targetVariance', targetVariance, 0, 1);
  requireRows(x);
  const { backend } = engineReport(options);
  const task = callNative(() =>
    addon().pcaTask({ data: x.data, rows: x.rows, columns: x.columns }, { components, targetVariance }, backend, options.threads ?? 0),
  );
  const result = await runTask(task, 'pca', { ...options, result: () => task.result() });
  return {
    components: result.components,
    mean: result.mean,
    directions: matrix(result.directions, result.components, x.columns),
    variances: result.variances,
    totalVariance: result.totalVariance,
    projected: matrix(result.projected, x.rows, result.components),
  };
}

/** Throws `invalid-argument` for a matrix without rows or columns. */
export function requireRows(x: Matrix): void {
  if (x.rows > 0 && x.columns > 0 && x.data.length === x.rows * x.columns) return;
  throw new MendsetError(
    'invalid-argument',
    `Expected a matrix with at least one row and column but received ${x.rows} x ${x.columns} with ${x.data.length} numbers.`,
  );
}
