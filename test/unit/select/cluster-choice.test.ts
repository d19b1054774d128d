import { describe, expect, it } from 'vitest';
import { mixOfCluster, paperMixOfCluster, topOfCluster } from '../../../src/select/cluster-choice.ts';

const distances = [5, 1, 4, 2, 3, 0];
const members = [0, 1, 2, 3, 4, 5];

describe('mix of farthest and nearest', () => {
  it('is equal in both presets while the cluster is large enough', () => {
    expect(mixOfCluster(distances, members, 4, 0.5)).toEqual([0, 2, 1, 5]);
    expect(paperMixOfCluster(distances, members, 4, 0.5)).toEqual([0, 2, 1, 5]);
  });
  it('repeats records only in the paper preset', () => {
    expect(paperMixOfCluster(distances, members, 8, 0.5)).toEqual([0, 2, 4, 4, 3, 3, 1, 5]);
    expect(mixOfCluster(distances, members, 6, 0.5)).toEqual([0, 2, 4, 3, 1, 5]);
    expect(mixOfCluster(distances, members, 8, 0.5)).toEqual([0, 2, 4, 3, 1, 5]);
  });
  it('is all boundary at 1 and all centre at 0', () => {
    expect(mixOfCluster(distances, members, 2, 1)).toEqual(topOfCluster(distances, members, 2));
    expect(mixOfCluster(distances, members, 2, 0)).toEqual([1, 5]);
  });
  it('breaks ties by the lowest index', () => {
    expect(topOfCluster([1, 1, 1], [0, 1, 2], 2)).toEqual([0, 1]);
    expect(mixOfCluster([1, 1, 1, 1], [0, 1, 2, 3], 2, 0.5)).toEqual([0, 1]);
  });
});
