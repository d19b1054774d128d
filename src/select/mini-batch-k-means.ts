import { MendsetError } from '../core/errors.ts';
import type { Matrix } from '../core/matrix.ts';
import { NumpyRandom } from '../core/random.ts';
import { type RunOptions, throwIfAborted } from '../core/run-options.ts';

export interface MiniBatchKMeansResult {
  readonly k: number;
  readonly steps: number;
  /** k x d */
  readonly centroids: Matrix<Float64Array>;
  /** [n] nearest centroid, lowest on ties */
  readonly labels: Int32Array;
  /** [n] Euclidean distance to the own centroid */
  readonly ownDistance: Float64Array;
  readonly inertia: number;
}

/** Steps without a new least smoothed inertia after which training stops. */
const PATIENCE = 10;
/** Steps between two looks at the abort signal. */
const STEPS_PER_TURN = 16;

/**
 * Mini-batch k-means (Sculley 2010) with the settings of the published SAPS code, for its preset: batch min(1000, n), one k-means++
 * start on min(3 batch, n) rows, at most floor(100 n / batch) steps, reassignment of starved centres, early stop on smoothed inertia.
 * Meant for reduced features (a few thousand rows of 50 numbers): it runs on the JavaScript thread.
 */
export async function miniBatchKMeans(x: Matrix, k: number, seed: number, options: RunOptions = {}): Promise<MiniBatchKMeansResult> {
  const { rows: n, columns: d } = x;
  if (k < 1 || k > n) throw new MendsetError('invalid-argument', `Expected 1 to ${n} clusters but received ${k}.`);
  const source = new NumpyRandom(seed);
  const batch = Math.min(1000, n);
  const initial = draw(source, Math.min(3 * batch, n), n);
  const centroids = kMeansPlusPlus(x, initial, k, source);
  const weights = new Float64Array(k);
  const maximum = Math.floor((100 * n) / batch);
  const smoothing = Math.min(1, (2 * batch) / (n + 1));
  let smoothed: number | undefined;
  let least = Number.POSITIVE_INFINITY;
  let stale = 0;
  let step = 0;
  while (step < maximum) {
    if (step % STEPS_PER_TURN === 0) {
      throwIfAborted(options.signal);
      options.onProgress?.({ phase: 'k-means', done: step, total: maximum });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const members = draw(source, batch, n);
    const inertia = updateCentroids(x, members, centroids, weights) / batch;
    reassignStarved(x, members, centroids, weights, source);
    step++;
    if (step === 1) continue; // the first inertia is that of the start
    smoothed = smoothed === undefined ? inertia : smoothed * (1 - smoothing) + inertia * smoothing;
    if (smoothed < least) {
      least = smoothed;
      stale = 0;
    } else if (++stale === PATIENCE) {
      break;
    }
  }

  const labels = new Int32Array(n);
  const ownDistance = new Float64Array(n);
  let inertia = 0;
  for (let i = 0; i < n; i++) {
    const { label, square } = nearest(x, i, centroids, k);
    labels[i] = label;
    ownDistance[i] = Math.sqrt(square);
    inertia += square;
  }
  options.onProgress?.({ phase: 'k-means', done: maximum, total: maximum });
  return { k, steps: step, centroids: { data: centroids, rows: k, columns: d }, labels, ownDistance, inertia };
}

/** Rows drawn with replacement. */
function draw(source: NumpyRandom, count: number, n: number): Int32Array {
  return Int32Array.from({ length: count }, () => source.below(n));
}

function squaredDistance(x: Matrix, i: number, centroids: Float64Array, j: number): number {
  const d = x.columns;
  let sum = 0;
  for (let p = 0; p < d; p++) {
    const difference = (x.data[i * d + p] as number) - (centroids[j * d + p] as number);
    sum += difference * difference;
  }
  return sum;
}

function nearest(x: Matrix, i: number, centroids: Float64Array, k: number): { label: number; square: number } {
  let label = 0;
  let square = Number.POSITIVE_INFINITY;
  for (let j = 0; j < k; j++) {
    const candidate = squaredDistance(x, i, centroids, j);
    if (candidate < square) {
      label = j;
      square = candidate;
    }
  }
  return { label, square };
}

/** Greedy k-means++ on the given rows: 2 + floor(ln k) candidates per centre, the one of least potential wins. */
function kMeansPlusPlus(x: Matrix, rows: Int32Array, k: number, source: NumpyRandom): Float64Array {
  const d = x.columns;
  const centroids = new Float64Array(k * d);
  const place = (j: number, row: number): void => {
    for (let p = 0; p < d; p++) centroids[j * d + p] = x.data[row * d + p] as number;
  };
  const candidates = 2 + Math.floor(Math.log(k));
  place(0, rows[source.below(rows.length)] as number);
  let closest = Float64Array.from(rows, (row) => squaredDistance(x, row, centroids, 0));
  for (let j = 1; j < k; j++) {
    const prefix = new Float64Array(rows.length);
    let total = 0;
    for (let i = 0; i < rows.length; i++) prefix[i] = total += closest[i] as number;
    let best: { row: number; potential: number; closest: Float64Array<ArrayBuffer> } | undefined;
    for (let c = 0; c < candidates; c++) {
      const target = source.uniform() * total;
      let at = prefix.findIndex((value) => value >= target);
      if (at < 0) at = rows.length - 1;
      const row = rows[at] as number;
      place(j, row);
      let potential = 0;
      const trial = new Float64Array(rows.length);
      for (let i = 0; i < rows.length; i++) {
        const value = Math.min(closest[i] as number, squaredDistance(x, rows[i] as number, centroids, j));
        trial[i] = value;
        potential += value;
      }
      if (best === undefined || potential < best.potential) best = { row, potential, closest: trial };
    }
    if (best === undefined) break;
    place(j, best.row);
    closest = best.closest;
  }
  return centroids;
}

/** c <- (c w + sum x) / (w + m), w <- w + m for the members of each centre. Returns the batch's inertia before the update. */
function updateCentroids(x: Matrix, members: Int32Array, centroids: Float64Array, weights: Float64Array): number {
  const d = x.columns;
  const k = weights.length;
  const sums = new Float64Array(centroids.length);
  const counts = new Float64Array(k);
  let inertia = 0;
  for (const i of members) {
    const { label, square } = nearest(x, i, centroids, k);
    inertia += square;
    counts[label] = (counts[label] as number) + 1;
    for (let p = 0; p < d; p++) sums[label * d + p] = (sums[label * d + p] as number) + (x.data[i * d + p] as number);
  }
  for (let j = 0; j < k; j++) {
    const count = counts[j] as number;
    if (count === 0) continue;
    const weight = weights[j] as number;
    for (let p = j * d; p < (j + 1) * d; p++) centroids[p] = ((centroids[p] as number) * weight + (sums[p] as number)) / (weight + count);
    weights[j] = weight + count;
  }
  return inertia;
}

/** Centres with less than 1 % of the largest weight (at most half a batch of them) move to random batch rows and take the smallest other weight. */
function reassignStarved(x: Matrix, members: Int32Array, centroids: Float64Array, weights: Float64Array, source: NumpyRandom): void {
  const d = x.columns;
  const limit = 0.01 * Math.max(...weights);
  let starved = [...weights.keys()].filter((j) => (weights[j] as number) < limit);
  if (starved.length === 0) return;
  const most = Math.floor(0.5 * members.length);
  if (starved.length > most) {
    starved = starved.sort((a, b) => (weights[a] as number) - (weights[b] as number) || a - b).slice(0, most);
  }
  const rows = [...members];
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
}
