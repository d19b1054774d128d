import type { PhaseWork } from './selector.ts';

/**
 * What the phases compute, by formula: multiply-adds count 2, bytes are the least that must be read and written once. n rows, d columns,
 * r components, k clusters or neighbours.
 */

/** Covariance (one triangle), eigenvectors (about 2 d^3 for a few of them, 9 d^3 for many) and projection. */
export function pcaWork(n: number, d: number, r: number): PhaseWork {
  return { flops: n * d * (d + 1) + (4 * r <= d ? 2 : 9) * d ** 3 + 2 * n * d * r, bytes: 4 * (2 * n * d + n * r) };
}

/** `passes` full assignments and as many updates. Passes that exact bounds cut short are counted whole: this is the work of the plain algorithm. */
export function kMeansWork(n: number, d: number, k: number, passes: number): PhaseWork {
  return { flops: passes * n * d * (2 * k + 1), bytes: passes * 4 * n * d };
}

/** The plain algorithm: every chosen centre against every row. */
export function kCenterWork(n: number, d: number, k: number): PhaseWork {
  return { flops: 2 * k * n * d, bytes: 4 * n * d * k };
}

/** All pairs once from either side; the matrix is read once for each block of 256 rows. */
export function neighbourWork(n: number, d: number, k: number): PhaseWork {
  return { flops: 2 * n * n * d, bytes: 4 * n * d * Math.ceil(n / 256) + 8 * n * k };
}

/** One product of the matrix with a vector for each pick. */
export function productPerPickWork(n: number, d: number, picks: number): PhaseWork {
  return { flops: 2 * n * d * picks, bytes: 4 * n * d * picks };
}

/** The mean of all rows, or the distances of all rows to centres: `perNumber` operations on every number, read once. */
export function rowsWork(n: number, d: number, perNumber: number): PhaseWork {
  return { flops: perNumber * n * d, bytes: 4 * n * d + 8 * n };
}

/** The first `count` of n scores: a pass to count, up to three to find where they end, one to collect, six to order what is left. */
export function rankWork(n: number, count: number): PhaseWork {
  return { flops: 0, bytes: 8 * n * (count < n ? 5 : 2) + 16 * count * 13 + 4 * count };
}

/** A pass over the scores (three more to find the cut), their strata, the members side by side, and the draw. */
export function strataWork(n: number, budget: number, cut: boolean): PhaseWork {
  return { flops: 4 * n, bytes: 8 * n * (cut ? 5 : 2) + 12 * n + 8 * budget };
}

/** Records or labels that are moved and drawn from, without arithmetic. */
export function drawWork(n: number, budget: number): PhaseWork {
  return { flops: 0, bytes: 4 * (n + budget) };
}

/** Weights and sums over the edges of a graph of k neighbours, from `records` records. */
export function messageWork(records: number, k: number): PhaseWork {
  return { flops: 4 * records * k, bytes: 16 * records * k + 8 * records };
}

/** Mini-batch k-means: `steps` batches against all centroids, then every row once. */
export function miniBatchWork(n: number, d: number, k: number, steps: number, batch: number): PhaseWork {
  const rows = steps * batch + n;
  return { flops: rows * d * (2 * k + 1), bytes: 4 * rows * d };
}
