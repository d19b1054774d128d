import { MendsetError } from './errors.ts';

/** A dense row-major matrix. `data.length === rows * columns`. */
export interface Matrix<T extends Float32Array | Float64Array = Float32Array> {
  readonly data: T;
  readonly rows: number;
  readonly columns: number;
}

/**
 * Wraps row-major data; the array is borrowed, not copied. Throws `invalid-argument` when the sizes disagree.
 *
 * @example
 * const points = matrix(new Float32Array(1000 * 384), 1000, 384);
 */
export function matrix<T extends Float32Array | Float64Array>(data: T, rows: number, columns: number): Matrix<T> {
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(columns) || rows < 0 || columns < 0 || data.length !== rows * columns) {
    throw new MendsetError(
      'invalid-argument',
      `Expected a matrix of ${rows} x ${columns} = ${rows * columns} numbers but received ${data.length}.`,
    );
  }
  return { data, rows, columns };
}
