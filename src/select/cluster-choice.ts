import { rankAscending, rankDescending } from './rank.ts';

/**
 * Boundary and centre mixed: floor(q rho + 1/2) farthest, then the nearest among the rest, in descending order. Disjoint.
 * @example mixOfCluster([5, 1, 4, 2, 3, 0], [0, 1, 2, 3, 4, 5], 4, 0.5) // [0, 2, 1, 5]
 */
export function mixOfCluster(values: ArrayLike<number>, members: Iterable<number>, quota: number, boundaryRatio: number): number[] {
  const ranked = rankDescending(values, members);
  const taken = Math.min(quota, ranked.length);
  const farthest = Math.min(taken, Math.floor(taken * boundaryRatio + 0.5));
  const rest = rankAscending(values, ranked.slice(farthest));
  return [...rankDescending(values, [...ranked.subarray(0, farthest), ...rest.subarray(0, taken - farthest)])];
}

/** The published mix: floor(q rho) farthest and q - floor(q rho) nearest of the whole cluster, overlapping when it is smaller than q. */
export function paperMixOfCluster(values: ArrayLike<number>, members: Iterable<number>, quota: number, boundaryRatio: number): number[] {
  const farthest = Math.floor(quota * boundaryRatio);
  const far = rankDescending(values, members).slice(0, farthest);
  const near = rankAscending(values, members).slice(0, quota - farthest);
  return [...rankDescending(values, [...far, ...near])];
}
