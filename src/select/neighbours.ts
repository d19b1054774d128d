import type { Matrix } from '../core/matrix.ts';
import { nearestNeighbours } from './nearest-neighbours.ts';
import type { SelectOptions } from './selector.ts';

/** Euclidean distance of every row to the mean of all rows. */
export function distancesToMean(x: Matrix): Float64Array {
  const { data, rows: n, columns: d } = x;
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) for (let p = 0; p < d; p++) mean[p] = (mean[p] as number) + (data[i * d + p] as number);
  for (let p = 0; p < d; p++) mean[p] = (mean[p] as number) / n;
  return Float64Array.from({ length: n }, (_, i) => {
    let square = 0;
    for (let p = 0; p < d; p++) square += ((data[i * d + p] as number) - (mean[p] as number)) ** 2;
    return Math.sqrt(square);
  });
}

/** Mean distance of every row to its `count` nearest rows, itself (at 0) included. */
export async function meanNeighbourDistances(x: Matrix, count: number, options: SelectOptions = {}): Promise<Float64Array> {
  const kept = Math.min(count, x.rows);
  const k = kept - 1;
  if (k === 0) return new Float64Array(x.rows);
  const { distances } = await nearestNeighbours(x, { ...options, k });
  return Float64Array.from({ length: x.rows }, (_, i) => {
    let sum = 0;
    for (let at = i * k; at < (i + 1) * k; at++) sum += distances[at] as number;
    return sum / kept;
  });
}
