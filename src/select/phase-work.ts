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
