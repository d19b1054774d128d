import { describe, expect, it } from 'vitest';
import { type Matrix, matrix } from '../../../src/core/matrix.ts';
import { RandomStream } from '../../../src/core/random.ts';
import { d2 } from '../../../src/select/d2.ts';
import { deduplicate } from '../../../src/select/deduplicate.ts';
import { facilityLocation } from '../../../src/select/facility-location.ts';
import { herding } from '../../../src/select/herding.ts';
import { MaxHeap } from '../../../src/select/max-heap.ts';
import { moderate } from '../../../src/select/moderate.ts';
import { nearDuplicates } from '../../../src/select/near-duplicates.ts';
import { nearestNeighbours } from '../../../src/select/nearest-neighbours.ts';
import { stratified } from '../../../src/select/stratified.ts';
import { uniform } from '../../../src/select/uniform.ts';

/** Small whole numbers: every product and sum below is exact in single precision, and there are ties and duplicates. */
function gridPoints(n: number, d: number, seed: number, size = 4): Matrix {
  const stream = new RandomStream(seed, 2);
  return matrix(
    Float32Array.from({ length: n * d }, () => stream.below(size)),
    n,
    d,
  );
}

function gaussianPoints(n: number, d: number, seed: number): Matrix {
  const stream = new RandomStream(seed, 2);
  return matrix(
    Float32Array.from({ length: n * d }, () => Math.sqrt(-2 * Math.log(1 - stream.uniform())) * Math.cos(2 * Math.PI * stream.uniform())),
    n,
    d,
  );
}

const row = (x: Matrix, i: number): Float32Array => x.data.subarray(i * x.columns, (i + 1) * x.columns);
const inner = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let p = 0; p < a.length; p++) sum += (a[p] as number) * (b[p] as number);
  return sum;
};
const squared = (a: ArrayLike<number>, b: ArrayLike<number>): number => inner(a, a) + inner(b, b) - 2 * inner(a, b);
const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const lengths = Math.sqrt(inner(a, a) * inner(b, b));
  return lengths === 0 ? 0 : inner(a, b) / lengths;
};
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** The candidate of the largest value, the lowest index on ties. */
const argmax = (candidates: readonly number[], value: (i: number) => number): number =>
  candidates.reduce((best, i) => (value(i) > value(best) ? i : best));

describe('uniform', () => {
  it.each([
    [10, 4],
    [7, 7],
    [1000, 333],
    [5, 1],
  ])('takes floor(i n / budget), n = %i, budget %i', async (n, budget) => {
    const { indices } = await uniform().select({ n, budget, seed: 0, features: {} });
    expect([...indices]).toEqual(range(budget).map((i) => Math.floor((i * n) / budget)));
  });
});

describe('stratified', () => {
  const groups = Int32Array.from({ length: 90 }, (_, i) => (i < 60 ? 5 : i < 80 ? -2 : 9));
  it('samples each group in proportion to its size, groups ascending', async () => {
    const { indices, quotas } = await stratified({ by: 'group' }).select({ n: 90, budget: 9, seed: 3, features: { groups } });
    expect([...(quotas ?? [])]).toEqual([2, 6, 1]);
    expect([...indices].map((i) => groups[i])).toEqual([-2, -2, 5, 5, 5, 5, 5, 5, 9]);
    const members = range(90).filter((i) => groups[i] === 5);
    expect([...indices.slice(2, 8)]).toEqual(new RandomStream(3, 11, 1).shuffle(members).slice(0, 6));
  });
  it('gives at least one of each under the paper preset', async () => {
    const selection = await stratified({ by: 'group', preset: 'paper' }).select({ n: 90, budget: 4, seed: 3, features: { groups } });
    expect([...(selection.quotas ?? [])]).toEqual([1, 2, 1]);
  });
});

describe('facility location', () => {
  it.each(['euclidean', 'cosine'] as const)('%s: the order of the plain greedy', async (metric) => {
    for (const [seed, n] of [
      [1, 40],
      [2, 61],
      [3, 90],
    ] as const) {
      const x = metric === 'euclidean' ? gridPoints(n, 5, seed) : gaussianPoints(n, 6, seed);
      const similarity = (i: number, j: number): number =>
        metric === 'euclidean' ? 1000 - squared(row(x, i), row(x, j)) : Math.max(0, cosine(row(x, i), row(x, j)));
      const selection = await facilityLocation({ metric }).select({ n, budget: 12, seed: 0, features: { embeddings: x } });
      const best = new Array<number>(n).fill(0);
      const order: number[] = [];
      const gainOf = (j: number): number => best.reduce((sum, value, i) => sum + Math.max(0, similarity(i, j) - value), 0);
      for (const picked of selection.indices) {
        const next = argmax(
          range(n).filter((i) => !order.includes(i)),
          gainOf,
        );
        // Whole numbers are exact; cosines are rounded to single precision, which may turn two gains that agree to six digits.
        if (metric === 'euclidean') expect(picked).toBe(next);
        else expect(gainOf(picked)).toBeGreaterThan(gainOf(next) - 1e-5);
        order.push(picked);
        for (let i = 0; i < n; i++) best[i] = Math.max(best[i] as number, similarity(i, picked));
      }
      expect(new Set(order).size).toBe(12);
      const gains = [...(selection.gains ?? [])];
      for (let t = 1; t < 12; t++) expect(gains[t]).toBeLessThanOrEqual((gains[t - 1] as number) + 1e-6);
      if (metric === 'cosine')
        expect(selection.value).toBeCloseTo(
          best.reduce((a, b) => a + b),
          4,
        );
    }
  });
});

describe('herding', () => {
  const plain = (x: Matrix, budget: number, value: (w: Float64Array, i: number) => number): number[] => {
    const mean = Float64Array.from(
      { length: x.columns },
      (_, p) => range(x.rows).reduce((sum, i) => sum + (row(x, i)[p] as number), 0) / x.rows,
    );
    const w = mean.slice();
    const order: number[] = [];
    for (let t = 0; t < budget; t++) {
      const next = argmax(
        range(x.rows).filter((i) => !order.includes(i)),
        (i) => value(w, i),
      );
      order.push(next);
      for (let p = 0; p < w.length; p++) w[p] = (w[p] as number) + (mean[p] as number) - (row(x, next)[p] as number);
    }
    return order;
  };
  // 64 rows of whole numbers: means, w and products are exact in fp64 whatever the order of summation
  const x = gridPoints(64, 7, 5, 9);
  it.each([
    ['inner-product', 'principled', (w: Float64Array, i: number) => inner(w, row(x, i))],
    ['nearest', 'principled', (w: Float64Array, i: number) => -squared(w, row(x, i))],
    ['inner-product', 'paper', (w: Float64Array, i: number) => squared(w, row(x, i))],
  ] as const)('%s, %s: the order of the plain version', async (rule, preset, value) => {
    const { indices } = await herding({ rule, preset }).select({ n: 64, budget: 40, seed: 0, features: { embeddings: x } });
    expect([...indices]).toEqual(plain(x, 40, value));
  });
  it('keeps the mean of the chosen near the mean of all, in the PCA space too', async () => {
    const points = gaussianPoints(400, 6, 9);
    for (const space of ['raw', 'pca'] as const) {
      const { indices } = await herding({ space, rule: 'nearest' }).select({
        n: 400,
        budget: 80,
        seed: 0,
        features: { embeddings: points },
      });
      for (let p = 0; p < 6; p++) {
        const mean = (chosen: readonly number[]) => chosen.reduce((sum, i) => sum + (row(points, i)[p] as number), 0) / chosen.length;
        expect(Math.abs(mean([...indices]) - mean(range(400)))).toBeLessThan(0.05);
      }
    }
  });
});

describe('moderate', () => {
  const x = matrix(Float32Array.of(0, 1, 2, 3, 10, 20, 21, 22, 25, 40), 10, 1);
  const groups = Int32Array.of(0, 0, 0, 0, 0, 1, 1, 1, 1, 1);
  it('takes the distances nearest to their median', async () => {
    // means 3.2 and 25.6: distances 3.2 2.2 1.2 .2 6.8 5.6 4.6 3.6 .6 14.4, median 3.4
    const { indices, scores } = await moderate({ by: 'group' }).select({ n: 10, budget: 4, seed: 0, features: { embeddings: x, groups } });
    expect([...indices]).toEqual([0, 7, 1, 6]);
    expect(scores?.[4]).toBeCloseTo(6.8, 12);
  });
  it('takes the middle ranks about the coordinate-wise median under the paper preset', async () => {
    // medians 2 and 22: distances 2 1 0 1 8 2 1 0 3 18; ranks: 2 7 1 3 6 0 5 8 4 9
    const { indices } = await moderate({ by: 'group', preset: 'paper' }).select({
      n: 10,
      budget: 4,
      seed: 0,
      features: { embeddings: x, groups },
    });
    expect([...indices]).toEqual([3, 6, 0, 5]);
  });
});

describe('nearest neighbours', () => {
  it.each(['euclidean', 'cosine'] as const)('%s: those of all pairs, ties by index', async (metric) => {
    const x = metric === 'euclidean' ? gridPoints(83, 4, 2) : gaussianPoints(83, 9, 2);
    const { indices, distances } = await nearestNeighbours(x, { k: 6, metric });
    const distance = (i: number, j: number) =>
      metric === 'euclidean' ? Math.sqrt(squared(row(x, i), row(x, j))) : 1 - cosine(row(x, i), row(x, j));
    for (let i = 0; i < 83; i++) {
      const others = range(83).filter((j) => j !== i);
      const expected = others.sort((a, b) => distance(i, a) - distance(i, b) || a - b).slice(0, 6);
      expect([...indices.slice(i * 6, i * 6 + 6)]).toEqual(expected);
      for (const [at, j] of expected.entries()) expect(distances[i * 6 + at]).toBeCloseTo(distance(i, j), 5);
    }
  });
});

describe('d2', () => {
  it.each(['principled', 'paper'] as const)('%s: the order of the plain message passing', async (preset) => {
    const n = 70;
    const x = gaussianPoints(n, 3, 8);
    const stream = new RandomStream(1, 2);
    const scores = Float64Array.from({ length: n }, () => stream.uniform());
    const k = 5;
    const distance = (i: number, j: number) => Math.sqrt(squared(row(x, i), row(x, j)));
    const near = range(n).map((i) =>
      range(n)
        .filter((j) => j !== i)
        .sort((a, b) => distance(i, a) - distance(i, b) || a - b)
        .slice(0, k),
    );
    const forward = (d: number) => (preset === 'paper' ? Math.exp(-d) : Math.exp(-2 * d * d));
    const reverse = (d: number) => (preset === 'paper' ? 1 : Math.exp(-0.5 * d * d));
    const u = range(n).map((i) =>
      (near[i] as number[]).reduce((sum, j) => sum + forward(distance(i, j)) * (scores[j] as number), scores[i] as number),
    );
    const order: number[] = [];
    for (let t = 0; t < 40; t++) {
      const next = argmax(
        range(n).filter((i) => !order.includes(i)),
        (i) => u[i] as number,
      );
      order.push(next);
      for (const j of near[next] as number[]) u[j] = (u[j] as number) - reverse(distance(next, j)) * (u[next] as number);
    }
    const selector = d2({ preset, score: 'given', neighbours: k, forward: 2, reverse: 0.5 });
    const { indices } = await selector.select({ n, budget: 40, seed: 0, features: { embeddings: x, scores } });
    expect([...indices]).toEqual(order);
  });
  it('turns scores round whose low end is hard', async () => {
    const x = matrix(Float32Array.of(0, 100, 200, 300), 4, 1);
    const scores = Float64Array.of(0.1, -0.7, 0.4, 0.2);
    const { indices } = await d2({ score: 'margin' }).select({ n: 4, budget: 4, seed: 0, features: { embeddings: x, scores } });
    expect([...indices]).toEqual([1, 0, 3, 2]);
  });
});

describe('near-duplicates', () => {
  it('finds the connected components of all pairs, also in large groups', async () => {
    const n = 150;
    const x = gaussianPoints(n, 3, 4); // few dimensions: long chains and groups far beyond the first list of neighbours
    for (const threshold of [0.9, 0.99, 1]) {
      const { representatives, kept } = await nearDuplicates(x, { threshold });
      const label = range(n);
      for (let changed = true; changed; ) {
        changed = false;
        for (let i = 0; i < n; i++)
          for (let j = 0; j < n; j++)
            if (i !== j && cosine(row(x, i), row(x, j)) >= threshold && (label[j] as number) < (label[i] as number)) {
              label[i] = label[j] as number;
              changed = true;
            }
      }
      expect([...representatives]).toEqual(label);
      expect([...kept]).toEqual(range(n).filter((i) => label[i] === i));
    }
  });
  it('keeps the lowest index of each group, and never joins rows of zeros', async () => {
    const x = matrix(Float32Array.of(1, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3), 6, 2);
    const input = { n: 6, budget: 6, seed: 0, features: { embeddings: x } };
    const distinct = await deduplicate().select(input);
    expect([...distinct.indices]).toEqual([0, 1, 2, 4]);
    expect([...(distinct.clusters ?? [])]).toEqual([0, 1, 2, 0, 4, 2]);
    expect(distinct.warnings[0]).toMatch(/4 of 6 records are distinct/);
    expect([...(await deduplicate({ fill: true }).select(input)).indices]).toEqual([0, 1, 2, 4, 3, 5]);
  });
});

it('MaxHeap pops by (value, lowest index) through changes', () => {
  const stream = new RandomStream(2, 2);
  const values = Float64Array.from({ length: 200 }, () => stream.below(20));
  const heap = new MaxHeap(values);
  const left = new Set(range(200));
  while (left.size > 0) {
    const expected = argmax(
      [...left].sort((a, b) => a - b),
      (i) => values[i] as number,
    );
    expect(heap.pop()).toBe(expected);
    left.delete(expected);
    for (let change = 0; change < 5; change++) {
      const record = stream.below(200);
      values[record] = stream.below(20);
      heap.change(record, values[record] as number);
    }
  }
  expect(heap.pop()).toBe(-1);
});
