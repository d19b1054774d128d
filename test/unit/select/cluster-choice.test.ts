import { describe, expect, it } from 'vitest';
import { mixOfCluster, paperMixOfCluster } from '../../../src/select/cluster-choice.ts';
import { rankAscending, rankDescending } from '../../../src/select/rank.ts';
import { rankGroups } from '../../../src/select/rank-groups.ts';

const distances = [5, 1, 4, 2, 3, 0];
const ranked = Int32Array.of(0, 2, 4, 3, 1, 5);

describe('mix of farthest and nearest', () => {
  it('is equal in both presets while the cluster is large enough', () => {
    expect([...mixOfCluster(distances, ranked, 4, 0.5)]).toEqual([0, 2, 1, 5]);
    expect([...paperMixOfCluster(distances, ranked, 4, 0.5)]).toEqual([0, 2, 1, 5]);
  });
  it('repeats records only in the paper preset', () => {
    expect([...paperMixOfCluster(distances, ranked, 8, 0.5)]).toEqual([0, 2, 4, 4, 3, 3, 1, 5]);
    expect([...mixOfCluster(distances, ranked, 6, 0.5)]).toEqual([0, 2, 4, 3, 1, 5]);
    expect([...mixOfCluster(distances, ranked, 8, 0.5)]).toEqual([0, 2, 4, 3, 1, 5]);
  });
  it('is all boundary at 1 and all centre at 0', () => {
    expect([...mixOfCluster(distances, ranked, 2, 1)]).toEqual([0, 2]);
    expect([...mixOfCluster(distances, ranked, 2, 0)]).toEqual([1, 5]);
  });
  it('breaks ties by the lowest index', () => {
    expect([...mixOfCluster([1, 1, 1, 1], Int32Array.of(0, 1, 2, 3), 2, 0.5)]).toEqual([0, 1]);
    const values = Array.from({ length: 60 }, (_, i) => (i * 7919) % 7);
    const order = rankDescending(values, values.keys());
    for (let quota = 0; quota <= 60; quota++) {
      const farthest = Math.floor(quota * 0.3 + 0.5);
      const nearest = rankAscending(values, order.slice(farthest)).slice(0, quota - farthest);
      expect(mixOfCluster(values, order, quota, 0.3)).toEqual(rankDescending(values, [...order.slice(0, farthest), ...nearest]));
    }
  });
});

describe('members of groups by descending value', () => {
  it('breaks ties by the lowest index and keeps empty groups', async () => {
    const groups = await rankGroups(Float64Array.of(1, 5, 1, -0, 0, 2), Int32Array.of(2, 0, 2, 0, 0, 2), 4);
    expect(groups.map((group) => [...group])).toEqual([[1, 3, 4], [], [5, 0, 2], []]);
  });
  it('agrees with a plain ranking of every group', async () => {
    const values = Float64Array.from({ length: 5000 }, (_, i) => (i * 7919) % 97);
    const labels = Int32Array.from(values, (_, i) => (i * 31) % 7);
    const plain = Array.from({ length: 7 }, (_, group) => [
      ...rankDescending(
        values,
        [...labels.keys()].filter((i) => labels[i] === group),
      ),
    ]);
    expect((await rankGroups(values, labels, 7)).map((group) => [...group])).toEqual(plain);
  });
  it('refuses labels out of range and NaN', async () => {
    await expect(rankGroups(Float64Array.of(1), Int32Array.of(1), 1)).rejects.toThrow(/group numbers below 1/);
    await expect(rankGroups(Float64Array.of(Number.NaN), Int32Array.of(0), 1)).rejects.toThrow(/record 0 has NaN/);
  });
});
