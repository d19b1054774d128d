import { describe, expect, it } from 'vitest';
import { matrix } from '../../../src/core/matrix.ts';
import { RandomStream } from '../../../src/core/random.ts';
import { kCenter } from '../../../src/select/k-center.ts';
import { kCenterGreedy } from '../../../src/select/k-center-greedy.ts';
import { kMeans } from '../../../src/select/k-means.ts';
import { meanNeighbourDistances } from '../../../src/select/neighbours.ts';
import { paperMiniBatchKMeans } from '../../../src/select/paper-mini-batch.ts';
import { pca } from '../../../src/select/pca.ts';
import { saps } from '../../../src/select/saps.ts';

const points = matrix(Float32Array.of(0, 0, 1, 0, 0, 1, 10, 0, 10, 1, 5, 5, 0, 9, 10, 9), 8, 2);

/** Ten well separated groups of growing size, shuffled. */
function blobs(n: number, d: number): { data: Float32Array; group: number[] } {
  const stream = new RandomStream(3, 2);
  const group = Array.from(stream.permutation(n), (i) => Math.floor(Math.sqrt(i / n) * 10));
  const data = Float32Array.from({ length: n * d }, (_, at) => {
    const g = group[Math.floor(at / d)] as number;
    return (at % d === g ? 20 : 0) + stream.uniform();
  });
  return { data, group };
}

describe('kCenterGreedy', () => {
  it('gives the published order, radii and coverage', async () => {
    const { order, radii, coverage, nearest } = await kCenterGreedy(points, { k: 5, first: 0, nearest: true });
    expect([...order]).toEqual([0, 7, 3, 6, 5]);
    expect(radii[0]).toBe(Number.POSITIVE_INFINITY);
    for (const [i, radius] of [13.453624, 9, 9, 6.403124].entries()) expect(radii[i + 1]).toBeCloseTo(radius, 6);
    expect(coverage).toBe(1);
    expect([...(nearest ?? [])]).toEqual([0, 0, 0, 2, 2, 4, 3, 1]);
  });
  it('starts from warm rows without counting them', async () => {
    const { order, radii } = await kCenterGreedy(points, { k: 2, warmStart: Int32Array.of(0, 7) });
    expect([...order]).toEqual([3, 6]);
    expect([...radii]).toEqual([9, 9]);
  });
  it('repeats index 0 in the published form', async () => {
    const { order } = await kCenterGreedy(matrix(new Float32Array(8), 4, 2), { k: 3, first: 2, excludeTaken: false });
    expect([...order]).toEqual([2, 0, 0]);
  });
  it('names row and column of a number that is not finite', async () => {
    const broken = Float32Array.from(points.data);
    broken[5] = Number.NaN;
    await expect(kCenterGreedy(matrix(broken, 8, 2), { k: 2 })).rejects.toMatchObject({
      code: 'non-finite',
      message: expect.stringContaining('row 2, column 1'),
    });
  });
});

describe('k-center selector', () => {
  it('chooses a given first record in the raw space', async () => {
    const selection = await kCenter({ first: 0, space: 'raw' }).select({ n: 8, budget: 5, seed: 0, features: { embeddings: points } });
    expect([...selection.indices]).toEqual([0, 7, 3, 6, 5]);
    expect(selection.backend).toBe('cpu');
    expect(selection.coverage).toBe(1);
  });
  it('draws the first record from stream 3 and, in the paper preset, from numpy seed 42', async () => {
    const { data } = blobs(4400, 4);
    const embeddings = matrix(data, 4400, 4);
    const drawn = await kCenter({ space: 'raw' }).select({ n: 4400, budget: 2, seed: 43, features: { embeddings } });
    expect(drawn.indices[0]).toBe(new RandomStream(43, 3).below(4400));
    const paper = await kCenter({ preset: 'paper', space: 'raw' }).select({ n: 4400, budget: 10, seed: 43, features: { embeddings } });
    expect(paper.indices[0]).toBe(860);
    expect(paper.indices).toHaveLength(2200);
  });
});

describe('pca', () => {
  it('finds known directions with positive leading entries', async () => {
    const x = matrix(Float32Array.of(-3, 0, 3, 0, 0, 1, 0, -1), 4, 2);
    const { components, variances, directions, projected } = await pca(x);
    expect(components).toBe(2);
    expect(variances[0]).toBeCloseTo(6, 12);
    expect([...directions.data]).toEqual([1, 0, 0, 1]);
    expect([...projected.data]).toEqual([...x.data]);
    expect((await pca(x, { targetVariance: 0.9 })).components).toBe(1);
  });
});

describe('clustering', () => {
  const n = 600;
  const { data, group } = blobs(n, 12);
  const sizes = group.reduce((count, g) => count.with(g, (count[g] as number) + 1), new Array<number>(10).fill(0));
  const expected = [...sizes].sort((a, b) => b - a);

  it('k-means recovers separated groups, by descending size', async () => {
    const result = await kMeans(matrix(data, n, 12), { k: 10, seed: 1 });
    expect([...result.sizes]).toEqual(expected);
    expect(result.stop).toBe('labels-stable');
    expect(result.inertiaPerIteration).toHaveLength(result.iterations + 1);
    const labelOf = new Map(group.map((g, i) => [g, result.labels[i]]));
    for (const [i, g] of group.entries()) expect(result.labels[i]).toBe(labelOf.get(g));
  });
  it('mini-batch k-means with the published settings recovers separated groups and is deterministic', async () => {
    const result = await paperMiniBatchKMeans(matrix(data, n, 12), 10, 42);
    expect(new Set(group.map((g, i) => `${g} ${result.labels[i]}`)).size).toBe(10);
    expect((await paperMiniBatchKMeans(matrix(data, n, 12), 10, 42)).labels).toEqual(result.labels);
    expect(result.steps).toBeLessThanOrEqual(100);
  });
  it('saps fills quotas per cluster, farthest first', async () => {
    const selection = await saps().select({ n, budget: 100, seed: 43, features: { embeddings: matrix(data, n, 12) } });
    const clusters = [...selection.indices].map((i) => selection.clusters?.[i] as number);
    expect(clusters).toEqual([...clusters].sort((a, b) => a - b));
    for (let at = 1; at < 100; at++) {
      const [before, here] = [selection.indices[at - 1] as number, selection.indices[at] as number];
      if (clusters[at] === clusters[at - 1]) expect(selection.scores?.[before]).toBeGreaterThanOrEqual(selection.scores?.[here] as number);
    }
    expect(Object.keys(selection.timings)).toEqual(['reduction', 'clustering', 'scoring', 'choosing', 'hash']);
  });
  it('saps with all embeddings equal says so and still fills the budget', async () => {
    const selection = await saps().select({
      n: 30,
      budget: 20,
      seed: 43,
      features: { embeddings: matrix(new Float32Array(90).fill(1), 30, 3) },
    });
    expect(new Set(selection.indices).size).toBe(20);
    expect(selection.warnings[0]).toMatch(/All embeddings are equal/);
  });
});

it('meanNeighbourDistances counts the row itself', async () => {
  const line = matrix(Float32Array.of(0, 1, 3, 7), 4, 1);
  expect([...(await meanNeighbourDistances(line, 2))]).toEqual([0.5, 0.5, 1, 2]);
  expect([...(await meanNeighbourDistances(line, 9))]).toEqual([11 / 4, 9 / 4, 9 / 4, 17 / 4]);
});
