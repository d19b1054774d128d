import type { Matrix } from '../core/matrix.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';

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

/** Distance evaluations (times coordinates) between two looks at the abort signal. */
const WORK_PER_TURN = 2e7;

/**
 * Mean distance of every row to its `count` nearest rows, itself included (n^2 d work: an ablation on reduced features, not a hot path).
 */
export async function meanNeighbourDistances(x: Matrix, count: number, options: RunOptions = {}): Promise<Float64Array> {
  const { data, rows: n, columns: d } = x;
  const kept = Math.min(count, n);
  const means = new Float64Array(n);
  const rowsPerTurn = Math.max(1, Math.floor(WORK_PER_TURN / (n * d)));
  for (let i = 0; i < n; i++) {
    if (i % rowsPerTurn === 0) {
      throwIfAborted(options.signal);
      options.onProgress?.({ phase: 'density', done: i, total: n });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const least = new Float64Array(kept).fill(Number.POSITIVE_INFINITY); // ascending
    for (let j = 0; j < n; j++) {
      let square = 0;
      for (let p = 0; p < d; p++) {
        const difference = (data[i * d + p] as number) - (data[j * d + p] as number);
        square += difference * difference;
      }
      let place = kept - 1;
      if (square >= (least[place] as number)) continue;
      for (; place > 0 && (least[place - 1] as number) > square; place--) least[place] = least[place - 1] as number;
      least[place] = square;
    }
    means[i] = least.reduce((sum, square) => sum + Math.sqrt(square), 0) / kept;
  }
  return means;
}
