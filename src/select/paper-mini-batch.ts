import type { Matrix } from '../core/matrix.ts';
import { NumpyRandom } from '../core/random.ts';
import { type MiniBatchKMeansResult, runMiniBatch, squaredDistance } from './mini-batch-k-means.ts';
import type { SelectOptions } from './selector.ts';

/**
 * Mini-batch k-means as the published SAPS code runs it (scikit-learn's MiniBatchKMeans): batch min(1000, n), one k-means++ start on
 * min(3 batch, n) rows, at most floor(100 n / batch) steps, numpy's generator. Clusters keep the numbers of their start.
 */
export function paperMiniBatchKMeans(x: Matrix, k: number, seed: number, run: SelectOptions = {}): Promise<MiniBatchKMeansResult> {
  const n = x.rows;
  const source = new NumpyRandom(seed);
  const batchSize = Math.min(1000, n);
  const rows = Int32Array.from({ length: Math.min(3 * batchSize, n) }, () => source.below(n));
  const start = kMeansPlusPlus(x, rows, k, source);
  const settings = { batchSize, maxSteps: Math.floor((100 * n) / batchSize), reassignmentRatio: 0.01, patience: 10, tolerance: 0 };
  return runMiniBatch(x, start, settings, source, false, run);
}

/** Greedy k-means++ on the given rows: 2 + floor(ln k) candidates per centre, the one of least potential wins. */
function kMeansPlusPlus(x: Matrix, rows: Int32Array, k: number, source: NumpyRandom): Float64Array {
  const d = x.columns;
  const centroids = new Float64Array(k * d);
  const place = (j: number, row: number): void => {
    for (let p = 0; p < d; p++) centroids[j * d + p] = x.data[row * d + p] as number;
  };
  const candidates = 2 + Math.floor(Math.log(k));
  place(0, rows[source.below(rows.length)] as number);
  let closest = Float64Array.from(rows, (row) => squaredDistance(x, row, centroids, 0));
  for (let j = 1; j < k; j++) {
    const prefix = new Float64Array(rows.length);
    let total = 0;
    for (let i = 0; i < rows.length; i++) prefix[i] = total += closest[i] as number;
    let best: { row: number; potential: number; closest: Float64Array<ArrayBuffer> } | undefined;
    for (let c = 0; c < candidates; c++) {
      const target = source.uniform() * total;
      let at = prefix.findIndex((value) => value >= target);
      if (at < 0) at = rows.length - 1;
      const row = rows[at] as number;
      place(j, row);
      let potential = 0;
      const trial = new Float64Array(rows.length);
      for (let i = 0; i < rows.length; i++) {
        const value = Math.min(closest[i] as number, squaredDistance(x, rows[i] as number, centroids, j));
        trial[i] = value;
        potential += value;
      }
      if (best === undefined || potential < best.potential) best = { row, potential, closest: trial };
    }
    if (best === undefined) break;
    place(j, best.row);
    closest = best.closest;
  }
  return centroids;
}
