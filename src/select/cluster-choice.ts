import { rankDescending } from './rank.ts';

/**
 * Boundary and centre mixed: floor(q rho + 1/2) farthest, then the nearest among the rest, in descending order. Disjoint.
 * @param ranked members by (value, lowest index), descending
 * @example mixOfCluster([5, 1, 4, 2, 3, 0], Int32Array.of(0, 2, 4, 3, 1, 5), 4, 0.5) // 0 2 1 5
 */
export function mixOfCluster(values: ArrayLike<number>, ranked: Int32Array, quota: number, boundaryRatio: number): Int32Array {
  const taken = Math.min(quota, ranked.length);
  const farthest = Math.min(taken, Math.floor(taken * boundaryRatio + 0.5));
  const chosen = new Int32Array(taken);
  chosen.set(ranked.subarray(0, farthest));
  chosen.set(nearestOf(values, ranked.subarray(farthest), taken - farthest), farthest);
  return chosen;
}

/** The published mix: floor(q rho) farthest and q - floor(q rho) nearest of the whole cluster, overlapping when it is smaller than q. */
export function paperMixOfCluster(values: ArrayLike<number>, ranked: Int32Array, quota: number, boundaryRatio: number): Int32Array {
  const farthest = Math.floor(quota * boundaryRatio);
  return rankDescending(values, [...ranked.subarray(0, farthest), ...nearestOf(values, ranked, quota - farthest)]);
}

/** The last `count` by (value, lowest index) ascending, still in descending order: of equal values at the cut the lowest indices stay. */
function nearestOf(values: ArrayLike<number>, ranked: Int32Array, count: number): Int32Array {
  const taken = Math.min(count, ranked.length);
  if (taken === 0) return new Int32Array(0);
  const cut = ranked.length - taken;
  const border = values[ranked[cut] as number] as number;
  let [first, end] = [cut, cut];
  while (first > 0 && values[ranked[first - 1] as number] === border) first--;
  while (end < ranked.length && values[ranked[end] as number] === border) end++;
  const chosen = new Int32Array(taken);
  chosen.set(ranked.subarray(first, first + end - cut));
  chosen.set(ranked.subarray(end), end - cut);
  return chosen;
}
