import type { Matrix } from '../core/matrix.ts';
import type { RunOptions } from '../core/run-options.ts';
import { Turns } from '../core/turns.ts';
import { nearestNeighbours } from './nearest-neighbours.ts';
import type { SelectOptions } from './selector.ts';

/** Euclidean distance of every row to the mean of all rows. */
export async function distancesToMean(x: Matrix, run: RunOptions = {}): Promise<Float64Array> {
  const { data, rows: n, columns: d } = x;
  const turns = new Turns('distances', run);
  const mean = await meanRow(x, turns);
  const distances = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    if (i % TURN_ROWS === 0 && turns.due()) await turns.take(i, n);
    let square = 0;
    for (let p = 0; p < d; p++) square += ((data[i * d + p] as number) - (mean[p] as number)) ** 2;
    distances[i] = Math.sqrt(square);
  }
  return distances;
}

/** The mean of all rows, fp64, added in row order. */
export async function meanRow({ data, rows: n, columns: d }: Matrix, turns: Turns): Promise<Float64Array> {
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) {
    if (i % TURN_ROWS === 0 && turns.due()) await turns.take(i, n);
    for (let p = 0; p < d; p++) mean[p] = (mean[p] as number) + (data[i * d + p] as number);
  }
  return mean.map((sum) => sum / n);
}

/** Rows between two looks at the clock. */
const TURN_ROWS = 256;

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
