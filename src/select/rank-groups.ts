import { MendsetError } from '../core/errors.ts';
import { rankScores } from './rank-scores.ts';
import type { SelectOptions } from './selector.ts';

/**
 * The members of every group by (value, lowest index), descending.
 * @param values finite
 * @param labels group of each value, 0 .. groups - 1
 * @returns one array of indices per group, views of one buffer
 * @throws MendsetError `invalid-argument`, `non-finite`, `aborted`
 */
export async function rankGroups(values: Float64Array, labels: Int32Array, groups: number, run: SelectOptions = {}): Promise<Int32Array[]> {
  const sizes = new Int32Array(groups);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] as number;
    if (label < 0 || label >= groups)
      throw new MendsetError('invalid-argument', `Expected group numbers below ${groups} but record ${i} has ${label}.`);
    sizes[label] = (sizes[label] as number) + 1;
  }
  const { indices, firstBad } = await rankScores(values, { count: values.length, end: 'high' }, run);
  if (firstBad >= 0)
    throw new MendsetError('non-finite', `Expected finite values to rank by but record ${firstBad} has ${values[firstBad]}.`);
  const members = new Int32Array(indices.length);
  const next = new Int32Array(groups);
  for (let group = 1; group < groups; group++) next[group] = (next[group - 1] as number) + (sizes[group - 1] as number);
  for (const i of indices) {
    const label = labels[i] as number;
    const place = next[label] as number;
    members[place] = i;
    next[label] = place + 1;
  }
  return Array.from(next, (end, group) => members.subarray(end - (sizes[group] as number), end));
}
