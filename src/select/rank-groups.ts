import { addon } from '../native/addon.ts';
import { callNative } from '../native/native-error.ts';

/**
 * The members of every group by (value, lowest index), descending.
 * @param labels group of each value, 0 .. groups - 1
 * @returns one array of indices per group, views of one buffer
 */
export function rankGroups(values: Float64Array, labels: Int32Array, groups: number): Int32Array[] {
  const ranked = new Int32Array(values.length);
  const ends = new Int32Array(groups);
  callNative(() => addon().rankGroups(values, labels, ranked, ends));
  return Array.from(ends, (end, group) => ranked.subarray(group === 0 ? 0 : ends[group - 1], end));
}
