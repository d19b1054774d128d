import { MendsetError } from '../core/errors.ts';
import { type Matrix, matrix } from '../core/matrix.ts';
import { RandomStream, STREAM_IDS } from '../core/random.ts';
import { Turns } from '../core/turns.ts';
import { requireInteger, requireNumber } from './define-selector.ts';
import { kMeans } from './k-means.ts';
import { nearestCentroids } from './nearest-centroids.ts';
import { meanRow } from './neighbours.ts';
import { requireRows } from './pca.ts';
import type { SelectOptions } from './selector.ts';

export interface MiniBatchKMeansOptions extends SelectOptions {
  /** clusters, 1 .. n */
  readonly k: number;
  /** rows of a step, drawn with replacement; default 1024, at most n */
  readonly batchSize?: number | undefined;
  /** default floor(100 n / batchSize), a hundred times the data */
  readonly maxSteps?: number | undefined;
  /** starts by greedy k-means++ on the start's rows, of which the one of least inertia is taken; default 1 */
  readonly restarts?: number | undefined;
  /** rows that the start is drawn from; default 3 max(batchSize, k), at most n */
  readonly startRows?: number | undefined;
  /** k x d start instead of one that is drawn */
  readonly centroids?: Matrix<Float64Array> | undefined;
  /** centroids with less than this share of the largest weight move to random rows; default 0.01, 0: never */
  readonly reassignmentRatio?: number | undefined;
  /** steps without a new least smoothed inertia after which it stops; default 10, 0: never */
  readonly patience?: number | undefined;
  /** stops when the smoothed squared movement of all centroids in a step is at most this share of the mean variance of the columns; default 0: never */
  readonly tolerance?: number | undefined;
  /** default 0 */
  readonly seed?: number | bigint | undefined;
}

export interface MiniBatchKMeansResult {
  readonly k: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly stop: 'no-improvement' | 'tolerance' | 'step-limit';
  /** [steps] mean squared distance of each batch to its centroids, before the step moved them */
  readonly batchInertia: Float64Array;
  /** centroids that were moved to random rows, over all steps */
  readonly reassigned: number;
  /** k x d, by descending size, then lowest member */
  readonly centroids: Matrix<Float64Array>;
  /** [k]; may hold zeros */
  readonly sizes: Int32Array;
  /** [n] nearest centroid, the lowest on ties */
  readonly labels: Int32Array;
  /** [n] Euclidean distance to the own centroid */
  readonly ownDistance: Float64Array;
  /** sum of squared distances to the own centroid, over all rows */
  readonly inertia: number;
}

/**
 * Mini-batch k-means (Sculley, WWW 2010) with scikit-learn's settings and stopping rules: each step assigns a batch to its nearest centroids
 * and moves every centroid to the mean of all rows it was ever given. An approximation, several times cheaper than `kMeans` on millions of
 * rows; the labels of all rows to the final centroids are exact.
 * @param x n x d, finite
 * @throws MendsetError `invalid-argument`, `non-finite` (with row and column), `aborted`
 * @example const { labels, stop } = await miniBatchKMeans(matrix(data, 1_000_000, 384), { k: 256, batchSize: 4096, seed: 1 });
 */
export async function miniBatchKMeans(x: Matrix, options: MiniBatchKMeansOptions): Promise<MiniBatchKMeansResult> {
  requireRows(x);
  const { rows: n, columns: d } = x;
  const { k, restarts = 1, reassignmentRatio = 0.01, patience = 10, tolerance = 0, seed = 0, centroids } = options;
  requireInteger('k', k, 1, n);
  requireInteger('batchSize', options.batchSize ?? 1, 1);
  const batchSize = Math.min(options.batchSize ?? 1024, n);
  const maxSteps = options.maxSteps ?? Math.floor((100 * n) / batchSize);
  const startRows = Math.min(options.startRows ?? 3 * Math.max(batchSize, k), n);
  requireInteger('maxSteps', maxSteps, 0);
  requireInteger('restarts', restarts, 1, 0x7fffffff);
  requireInteger('startRows', startRows, k);
  requireInteger('patience', patience, 0);
  requireNumber('reassignmentRatio', reassignmentRatio, 0, 1);
  requireNumber('tolerance', tolerance, 0, Number.MAX_VALUE);
  if (centroids && (centroids.rows !== k || centroids.columns !== d))
    throw new MendsetError(
      'invalid-argument',
      `Expected ${k} x ${d} starting centroids but received ${centroids.rows} x ${centroids.columns}.`,
    );
  const source = new RandomStream(seed, STREAM_IDS.miniBatch);
  const start = centroids?.data.slice() ?? (await drawStart(x, startRows, source, { ...options, k, restarts, seed }));
  return runMiniBatch(x, start, { batchSize, maxSteps, reassignmentRatio, patience, tolerance }, source, true, options);
}

/** Greedy k-means++ on rows drawn with replacement, or on all of them. */
async function drawStart(
  x: Matrix,
  count: number,
  source: RandomSource,
  options: SelectOptions & { readonly k: number; readonly restarts: number; readonly seed: number | bigint },
): Promise<Float64Array> {
  const sample = count === x.rows ? x : gatherRows(x, drawRows(source, count, x.rows));
  const { centroids } = await kMeans(sample, { ...options, maxIterations: 0, second: false });
  return centroids.data;
}

/** Where a run draws its rows from. */
export interface RandomSource {
  /** an integer in [0, n) */
  below(n: number): number;
}

export interface MiniBatchSettings {
  readonly batchSize: number;
  readonly maxSteps: number;
  readonly reassignmentRatio: number;
  readonly patience: number;
  readonly tolerance: number;
}

/** Multiply-adds of a batch from which on the engine assigns it: below, calling it costs more. */
const NATIVE_WORK = 2 ** 21;

/**
 * The steps, then the labels of all rows.
 * @param centroids k x d, moved in place
 * @param renumber clusters by descending size at the end
 */
export async function runMiniBatch(
  x: Matrix,
  centroids: Float64Array,
  { batchSize, maxSteps, reassignmentRatio, patience, tolerance }: MiniBatchSettings,
  source: RandomSource,
  renumber: boolean,
  run: SelectOptions,
): Promise<MiniBatchKMeansResult> {
  const { rows: n, columns: d } = x;
  const k = centroids.length / d;
  const turns = new Turns('k-means', run);
  const assign =
    batchSize * k * d < NATIVE_WORK
      ? (rows: Int32Array) => assignPlainly(x, rows, centroids)
      : async (rows: Int32Array) => nearestCentroids(gatherRows(x, rows), matrix(centroids, k, d), { ...run, onProgress: undefined });
  const leastMove = tolerance > 0 ? tolerance * (await meanVariance(x, turns)) : 0;
  const weights = new Float64Array(k);
  const smoothing = Math.min(1, (2 * batchSize) / (n + 1));
  const batchInertia: number[] = [];
  let [smoothed, smoothedMove] = [Number.NaN, Number.NaN];
  let least = Number.POSITIVE_INFINITY;
  let stale = 0;
  let reassigned = 0;
  let drawnSinceLook = 0;
  let stop: MiniBatchKMeansResult['stop'] = 'step-limit';
  while (batchInertia.length < maxSteps) {
    if (turns.due()) await turns.take(batchInertia.length, maxSteps);
    const rows = drawRows(source, batchSize, n);
    const { labels, inertia } = await assign(rows);
    const before = tolerance > 0 ? centroids.slice() : null;
    moveCentroids(x, rows, labels, centroids, weights);
    batchInertia.push(inertia / batchSize);
    // As scikit-learn: once ten rows for every cluster were drawn, or while one has none
    drawnSinceLook += batchSize;
    if (reassignmentRatio > 0 && (drawnSinceLook >= 10 * k || weights.includes(0))) {
      drawnSinceLook = 0;
      reassigned += reassignStarved(x, rows, centroids, weights, reassignmentRatio, source);
    }
    if (batchInertia.length === 1) continue; // the first inertia is that of the start
    const follow = (old: number, value: number): number => (Number.isNaN(old) ? value : old * (1 - smoothing) + value * smoothing);
    smoothed = follow(smoothed, inertia / batchSize);
    if (before) {
      smoothedMove = follow(smoothedMove, squaredDifference(before, centroids));
      if (smoothedMove <= leastMove) {
        stop = 'tolerance';
        break;
      }
    }
    if (smoothed < least) {
      least = smoothed;
      stale = 0;
    } else if (++stale === patience) {
      stop = 'no-improvement';
      break;
    }
  }
  const final = await nearestCentroids(x, matrix(centroids, k, d), { ...run, renumber });
  const { labels, distances: ownDistance, sizes, inertia } = final;
  return {
    k,
    steps: batchInertia.length,
    batchSize,
    stop,
    batchInertia: Float64Array.from(batchInertia),
    reassigned,
    centroids: final.centroids,
    sizes,
    labels,
    ownDistance,
    inertia,
  };
}

/** Rows drawn with replacement. */
function drawRows(source: RandomSource, count: number, n: number): Int32Array {
  return Int32Array.from({ length: count }, () => source.below(n));
}

function gatherRows({ data, columns: d }: Matrix, rows: Int32Array): Matrix {
  const gathered = new Float32Array(rows.length * d);
  for (const [place, row] of rows.entries()) gathered.set(data.subarray(row * d, (row + 1) * d), place * d);
  return matrix(gathered, rows.length, d);
}

export function squaredDistance(x: Matrix, i: number, centroids: Float64Array, j: number): number {
  const d = x.columns;
  let sum = 0;
  for (let p = 0; p < d; p++) {
    const difference = (x.data[i * d + p] as number) - (centroids[j * d + p] as number);
    sum += difference * difference;
  }
  return sum;
}

function assignPlainly(x: Matrix, rows: Int32Array, centroids: Float64Array): { readonly labels: Int32Array; readonly inertia: number } {
  const k = centroids.length / x.columns;
  let inertia = 0;
  const labels = rows.map((row) => {
    let label = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let j = 0; j < k; j++) {
      const square = squaredDistance(x, row, centroids, j);
      if (square < least) {
        label = j;
        least = square;
      }
    }
    inertia += least;
    return label;
  });
  return { labels, inertia };
}

/** c <- (c w + sum x) / (w + m), w <- w + m for the m rows of each centroid. */
function moveCentroids(x: Matrix, rows: Int32Array, labels: Int32Array, centroids: Float64Array, weights: Float64Array): void {
  const d = x.columns;
  const sums = new Float64Array(centroids.length);
  const counts = new Float64Array(weights.length);
  for (const [place, row] of rows.entries()) {
    const label = labels[place] as number;
    counts[label] = (counts[label] as number) + 1;
    for (let p = 0; p < d; p++) sums[label * d + p] = (sums[label * d + p] as number) + (x.data[row * d + p] as number);
  }
  for (let j = 0; j < weights.length; j++) {
    const count = counts[j] as number;
    if (count === 0) continue;
    const weight = weights[j] as number;
    for (let p = j * d; p < (j + 1) * d; p++) centroids[p] = ((centroids[p] as number) * weight + (sums[p] as number)) / (weight + count);
    weights[j] = weight + count;
  }
}

/**
 * Centroids with less than the given share of the largest weight (at most half a batch of them, the lightest) move to random batch rows and
 * take the smallest other weight.
 * @returns how many
 */
function reassignStarved(
  x: Matrix,
  batch: Int32Array,
  centroids: Float64Array,
  weights: Float64Array,
  ratio: number,
  source: RandomSource,
): number {
  const d = x.columns;
  const limit = ratio * weights.reduce((most, weight) => Math.max(most, weight), 0);
  let starved = [...weights.keys()].filter((j) => (weights[j] as number) < limit);
  if (starved.length === 0) return 0;
  const most = Math.floor(0.5 * batch.length);
  if (starved.length > most) {
    starved = starved.sort((a, b) => (weights[a] as number) - (weights[b] as number) || a - b).slice(0, most);
  }
  const rows = [...batch];
  for (const [t, j] of starved.entries()) {
    const pick = t + source.below(rows.length - t); // without replacement
    const row = rows[pick] as number;
    rows[pick] = rows[t] as number;
    for (let p = 0; p < d; p++) centroids[j * d + p] = x.data[row * d + p] as number;
  }
  const moved = new Set(starved);
  let smallest = Number.POSITIVE_INFINITY;
  for (const [j, weight] of weights.entries()) if (!moved.has(j)) smallest = Math.min(smallest, weight);
  for (const j of starved) weights[j] = smallest;
  return starved.length;
}

function squaredDifference(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let p = 0; p < a.length; p++) sum += ((a[p] as number) - (b[p] as number)) ** 2;
  return sum;
}

/** Mean over the columns of their variance (divisor n), in two passes. */
async function meanVariance(x: Matrix, turns: Turns): Promise<number> {
  const { data, rows: n, columns: d } = x;
  const mean = await meanRow(x, turns);
  let sum = 0;
  for (let i = 0; i < n; i++) {
    if (i % 256 === 0 && turns.due()) await turns.take(0, n);
    for (let p = 0; p < d; p++) sum += ((data[i * d + p] as number) - (mean[p] as number)) ** 2;
  }
  return sum / n / d;
}
