import { MendsetError } from '../core/errors.ts';
import type { PairRecord } from '../data/record.ts';
import type { Feature } from './feature.ts';

export interface GroupOptions {
  /** One integer for each record; default: the records' own `groupId`, numbered in order of appearance */
  readonly values?: Int32Array | undefined;
}

/** The stratum or class of every record. */
export function groupFeature(records: readonly PairRecord[], options: GroupOptions): Feature<Int32Array> {
  const nothing = { seconds: 0, flopsCounted: 0 };
  const source = options.values ? 'given' : 'groupId';
  const values = options.values ?? fromRecords(records);
  if (values.length !== records.length) {
    throw new MendsetError(
      'invalid-data',
      `Expected groups of ${records.length} records but received ${values.length}: they must be in the pool's order, one for each record.`,
    );
  }
  return { kind: 'groups', values, cost: nothing, incurred: nothing, cached: false, options: { source }, warnings: [] };
}

function fromRecords(records: readonly PairRecord[]): Int32Array {
  const numbers = new Map<string, number>();
  return Int32Array.from(records, ({ id, source, groupId }) => {
    if (groupId === undefined) {
      throw new MendsetError(
        'invalid-data',
        `Expected a groupId in every record but record ${id} (${source}) has none: give groups of your own, or stratify by cluster.`,
      );
    }
    const number = numbers.get(groupId) ?? numbers.size;
    numbers.set(groupId, number);
    return number;
  });
}
