import { describe, expect, it } from 'vitest';
import { type Matrix, matrix } from '../../../src/core/matrix.ts';
import { RandomStream } from '../../../src/core/random.ts';
import { kMeans } from '../../../src/select/k-means.ts';
import { type MiniBatchKMeansOptions, miniBatchKMeans } from '../../../src/select/mini-batch-k-means.ts';
import { nearestCentroids } from '../../../src/select/nearest-centroids.ts';

function points(n: number, d: number, groups: number, seed = 3): Matrix {
  const stream = new RandomStream(seed, 2);
  const centres = Array.from({ length: groups * d }, () => 6 * stream.uniform());
  const data = Float32Array.from({ length: n * d }, (_, at) => {
    const group = Math.floor(at / d) % groups;
    return (centres[group * d + (at % d)] as number) + stream.uniform() - 0.5;
  });
  return matrix(data, n, d);
}

const row = (x: Matrix, i: number): Float32Array => x.data.subarray(i * x.columns, (i + 1) * x.columns);
const square = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let p = 0; p < a.length; p++) sum += ((a[p] as number) - (b[p] as number)) ** 2;
  return sum;
};

interface Plain {
  centroids: number[][];
  steps: number;
  stop: string;
  reassigned: number;
  batchInertia: number[];
}

/** Sculley's algorithm with scikit-learn's reassignment and stopping rules, written for reading. */
function plain(x: Matrix, start: number[][], o: MiniBatchKMeansOptions & { readonly batchSize: number; readonly maxSteps: number }): Plain {
  const { rows: n, columns: d } = x;
  const { batchSize: b, maxSteps, k, reassignmentRatio = 0.01, patience = 10, tolerance = 0 } = o;
  const stream = new RandomStream(o.seed ?? 0, 12);
  const c = start.map((each) => [...each]);
  const w = new Array<number>(k).fill(0);
  const out: Plain = { centroids: c, steps: 0, stop: 'step-limit', reassigned: 0, batchInertia: [] };
  const alpha = Math.min(1, (2 * b) / (n + 1));
  let [average, move, least, stale, drawn] = [Number.NaN, Number.NaN, Number.POSITIVE_INFINITY, 0, 0];
  const means = Array.from(
    { length: d },
    (_, p) => Array.from({ length: n }, (_, i) => row(x, i)[p] as number).reduce((a, v) => a + v, 0) / n,
  );
  const variance = Array.from({ length: n }, (_, i) => square(row(x, i), means)).reduce((a, v) => a + v, 0) / n / d;
  while (out.steps < maxSteps) {
    const batch = Array.from({ length: b }, () => stream.below(n));
    const label = batch.map((i) => {
      const distances = c.map((centre) => square(row(x, i), centre));
      return distances.indexOf(Math.min(...distances));
    });
    const inertia = batch.reduce((sum, i, at) => sum + square(row(x, i), c[label[at] as number] as number[]), 0) / b;
    const before = c.map((each) => [...each]);
    for (let j = 0; j < k; j++) {
      const own = batch.filter((_, at) => label[at] === j);
      if (own.length === 0) continue;
      const weight = w[j] as number;
      for (let p = 0; p < d; p++) {
        const sum = own.reduce((a, i) => a + (row(x, i)[p] as number), 0);
        (c[j] as number[])[p] = (((c[j] as number[])[p] as number) * weight + sum) / (weight + own.length);
      }
      w[j] = weight + own.length;
    }
    out.steps++;
    out.batchInertia.push(inertia);
    drawn += b;
    if (reassignmentRatio > 0 && (drawn >= 10 * k || w.includes(0))) {
      drawn = 0;
      const starved = [...w.keys()]
        .filter((j) => (w[j] as number) < reassignmentRatio * Math.max(...w))
        .sort((p, q) => (w[p] as number) - (w[q] as number) || p - q);
      const light = starved.length > Math.floor(b / 2) ? starved.slice(0, Math.floor(b / 2)) : starved.sort((p, q) => p - q);
      const left = [...batch];
      for (const [t, j] of light.entries()) {
        const at = t + stream.below(b - t);
        [left[t], left[at]] = [left[at] as number, left[t] as number];
        c[j] = [...row(x, left[t] as number)];
      }
      const others = w.filter((_, j) => !light.includes(j));
      for (const j of light) w[j] = Math.min(...others);
      out.reassigned += light.length;
    }
    if (out.steps === 1) continue;
    average = Number.isNaN(average) ? inertia : average * (1 - alpha) + inertia * alpha;
    if (tolerance > 0) {
      const moved = before.reduce((sum, each, j) => sum + square(each, c[j] as number[]), 0);
      move = Number.isNaN(move) ? moved : move * (1 - alpha) + moved * alpha;
      if (move <= tolerance * variance) {
        out.stop = 'tolerance';
        break;
      }
    }
    if (average < least) [least, stale] = [average, 0];
    else if (++stale === patience) {
      out.stop = 'no-improvement';
      break;
    }
  }
  return out;
}

describe('mini-batch k-means', () => {
  it.each([
    ['single rows', 300, 4, { k: 5, batchSize: 1, maxSteps: 400 }],
    ['odd batches', 300, 4, { k: 5, batchSize: 7, maxSteps: 200, patience: 0 }],
    ['batches of everything', 120, 3, { k: 6, batchSize: 120, maxSteps: 50 }],
    ['fewer rows than clusters', 200, 4, { k: 40, batchSize: 16, maxSteps: 60, patience: 0 }],
    ['no reassignment', 200, 4, { k: 40, batchSize: 16, maxSteps: 60, reassignmentRatio: 0 }],
    ['much reassignment', 200, 4, { k: 12, batchSize: 50, maxSteps: 40, reassignmentRatio: 0.6, patience: 0 }],
    ['tolerance', 400, 5, { k: 4, batchSize: 100, maxSteps: 500, tolerance: 0.01, patience: 0 }],
    ['little patience', 400, 5, { k: 4, batchSize: 100, maxSteps: 500, patience: 2 }],
    ['no steps', 60, 3, { k: 4, batchSize: 10, maxSteps: 0 }],
    ['one cluster', 60, 3, { k: 1, batchSize: 10, maxSteps: 5 }],
  ] as const)('%s: the centroids of the plain version', async (_name, n, d, settings) => {
    const x = points(n, d, 8);
    const start = Array.from({ length: settings.k }, (_, j) => [...row(x, j)]);
    const expected = plain(x, start, { ...settings, seed: 9 });
    const given = matrix(Float64Array.from(start.flat()), settings.k, d);
    const found = await miniBatchKMeans(x, { ...settings, seed: 9, centroids: given });
    expect(found).toMatchObject({ steps: expected.steps, stop: expected.stop, reassigned: expected.reassigned });
    expect([...given.data]).toEqual(start.flat());
    const sorted = (rows: number[][]) => rows.map((each) => each.map((value) => Number(value.toPrecision(11))).join()).sort();
    expect(sorted(Array.from({ length: settings.k }, (_, j) => [...found.centroids.data.subarray(j * d, (j + 1) * d)]))).toEqual(
      sorted(expected.centroids),
    );
    for (const [t, inertia] of expected.batchInertia.entries()) expect(found.batchInertia[t]).toBeCloseTo(inertia, 10);
    for (let i = 0; i < n; i++) {
      const distances = Array.from({ length: settings.k }, (_, j) => square(row(x, i), found.centroids.data.subarray(j * d, (j + 1) * d)));
      expect(found.labels[i]).toBe(distances.indexOf(Math.min(...distances)));
      expect(found.ownDistance[i]).toBeCloseTo(Math.sqrt(Math.min(...distances)), 10);
    }
    for (let j = 1; j < settings.k; j++) expect(found.sizes[j]).toBeLessThanOrEqual(found.sizes[j - 1] as number);
  });

  it('assigns by the engine from a size on, with the same result for any number of threads', async () => {
    const x = points(4000, 32, 20);
    const settings = { k: 64, batchSize: 2048, maxSteps: 12, patience: 0, seed: 4 };
    const centroids = matrix(Float64Array.from(x.data.subarray(0, 64 * 32)), 64, 32);
    const expected = plain(
      x,
      Array.from({ length: 64 }, (_, j) => [...row(x, j)]),
      settings,
    );
    const found = await miniBatchKMeans(x, { ...settings, centroids });
    expect(found.steps).toBe(12);
    for (const [t, inertia] of expected.batchInertia.entries()) expect(found.batchInertia[t]).toBeCloseTo(inertia, 8);
    for (const threads of [1, 3]) expect(await miniBatchKMeans(x, { ...settings, centroids, threads })).toEqual(found);
  });

  it('comes near to Lloyd from a start of its own', async () => {
    const x = points(3000, 8, 10);
    const found = await miniBatchKMeans(x, { k: 10, batchSize: 256, seed: 1, restarts: 3 });
    const lloyd = await kMeans(x, { k: 10, seed: 1 });
    expect(found.inertia).toBeLessThan(1.1 * lloyd.inertia);
    expect(await miniBatchKMeans(x, { k: 10, batchSize: 256, seed: 1, restarts: 3 })).toEqual(found);
  });

  it('refuses what makes no sense, and stops for an aborted signal', async () => {
    const x = points(50, 3, 2);
    for (const [options, message] of [
      [{ k: 0 }, /from 1 to 50 for k but received 0/],
      [{ k: 51 }, /from 1 to 50 for k/],
      [{ k: 3, batchSize: 0 }, /at least 1 for batchSize/],
      [{ k: 9, startRows: 8 }, /at least 9 for startRows but received 8/],
      [{ k: 2, reassignmentRatio: 2 }, /from 0 to 1 for reassignmentRatio/],
      [{ k: 2, centroids: matrix(new Float64Array(4), 2, 2) }, /2 x 3 starting centroids but received 2 x 2/],
    ] as const)
      await expect(miniBatchKMeans(x, options)).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringMatching(message),
      });
    await expect(miniBatchKMeans(x, { k: 2, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    const broken = matrix(x.data.slice(), 50, 3);
    broken.data[31] = Number.NaN;
    await expect(miniBatchKMeans(broken, { k: 2 })).rejects.toMatchObject({ code: 'non-finite' });
  });
});

describe('nearest centroids', () => {
  it('labels new rows, also fewer rows than centroids', async () => {
    const x = points(500, 6, 5);
    const { centroids, labels } = await kMeans(x, { k: 5, seed: 2 });
    expect((await nearestCentroids(x, centroids)).labels).toEqual(labels);
    const two = await nearestCentroids(matrix(x.data.subarray(0, 12), 2, 6), centroids);
    expect([...two.labels]).toEqual([...labels.subarray(0, 2)]);
    expect(two.sizes.reduce((sum, size) => sum + size, 0)).toBe(2);
    await expect(nearestCentroids(x, matrix(new Float64Array(10), 2, 5))).rejects.toThrow(/centroids of 6 columns but received 2 x 5/);
  });
});
