import { describe, expect, it } from 'vitest';
import { matrix } from '../../../src/core/matrix.ts';
import { RandomStream } from '../../../src/core/random.ts';
import { kCenter } from '../../../src/select/k-center.ts';
import { kCenterGreedy } from '../../../src/select/k-center-greedy.ts';
import { kMeans } from '../../../src/select/k-means.ts';

const stream = new RandomStream(8, 2);
const x = matrix(
  Float32Array.from({ length: 400 * 12 }, () => stream.uniform() - 0.3),
  400,
  12,
);
const unit = matrix(
  x.data.map((value, at) => {
    const row = x.data.subarray(Math.floor(at / 12) * 12, Math.floor(at / 12) * 12 + 12);
    return value / Math.sqrt(row.reduce((sum, each) => sum + each * each, 0));
  }),
  400,
  12,
);

describe('k-means', () => {
  it('gives the same without pruning, and no second distances unless asked', async () => {
    const pruned = await kMeans(x, { k: 9, seed: 1, second: false });
    const plain = await kMeans(x, { k: 9, seed: 1, prune: false });
    expect(pruned.labels).toEqual(plain.labels);
    expect(pruned.inertia).toBe(plain.inertia);
    expect(pruned.secondLabels).toHaveLength(0);
    expect(plain.secondLabels).toHaveLength(400);
    expect(pruned.computedDistances).toBeLessThanOrEqual(pruned.pairs);
  });
  it('starts by k-means|| and keeps centroids on the sphere', async () => {
    const parallel = await kMeans(x, { k: 9, seed: 1, start: 'k-means||' });
    const greedy = await kMeans(x, { k: 9, seed: 1 });
    expect(parallel.inertia).toBeLessThan(greedy.inertia * 1.2);
    const { centroids } = await kMeans(x, { k: 5, seed: 1, spherical: true });
    for (let j = 0; j < 5; j++) {
      const row = centroids.data.subarray(j * 12, j * 12 + 12);
      expect(row.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 5);
    }
  });
});

describe('K-Center', () => {
  it('by cosine orders as by distance on the sphere, and its cover only shrinks', async () => {
    const { order, coverages, coverage } = await kCenterGreedy(x, { k: 30, metric: 'cosine' });
    expect(order).toEqual((await kCenterGreedy(unit, { k: 30 })).order);
    expect(coverages[29]).toBe(coverage);
    for (let t = 1; t < 30; t++) expect(coverages[t]).toBeLessThanOrEqual(coverages[t - 1] as number);
    const selection = await kCenter({ metric: 'cosine', space: 'raw', first: 0 }).select({
      n: 400,
      budget: 30,
      seed: 0,
      features: { embeddings: x },
    });
    expect(selection.indices).toEqual(order);
    expect(selection.parameters).toMatchObject({ metric: 'cosine' });
  });
});
