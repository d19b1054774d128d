// How long a selection goes on after its signal, in processor time of this process on one thread, and how long it holds the event loop, in
// processor time of the main thread (where the system tells it): other programs stretch neither. A work that ends before its signal has shown nothing and
// is tried again. The least of five tries counts.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { matrix } from '../../src/core/matrix.ts';
import { ccs } from '../../src/select/ccs.ts';
import { d2 } from '../../src/select/d2.ts';
import { deduplicate } from '../../src/select/deduplicate.ts';
import { facilityLocation } from '../../src/select/facility-location.ts';
import { grand } from '../../src/select/grand.ts';
import { herding } from '../../src/select/herding.ts';
import { kCenterGreedy } from '../../src/select/k-center-greedy.ts';
import { kMeans } from '../../src/select/k-means.ts';
import { miniBatchKMeans } from '../../src/select/mini-batch-k-means.ts';
import { moderate } from '../../src/select/moderate.ts';
import { nearestNeighbours } from '../../src/select/nearest-neighbours.ts';
import { pca } from '../../src/select/pca.ts';
import { random } from '../../src/select/random.ts';
import { saps } from '../../src/select/saps.ts';
import type { SelectOptions } from '../../src/select/selector.ts';
import { stratified } from '../../src/select/stratified.ts';

const BOUND_MS = 100;
const [n, d] = [120_000, 256];
let state = 7;
const next = (): number => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
};
const data = new Float32Array(n * d);
for (let at = 0; at < data.length; at++) data[at] = next() + ((at * 31) % 7);
const x = matrix(data, n, d);
const many = 4_000_000;
const scores = Float64Array.from({ length: many }, next);
const groups = Int32Array.from({ length: many }, (_, i) => i % 11);
const features = { embeddings: x, scores: scores.subarray(0, n), groups: groups.subarray(0, n) };
const rows = { n, budget: n - 1, seed: 1, features };
const vector = { n: many, budget: many / 2, seed: 1, features: { scores, groups, toxicity: scores } };

/** Work, and the milliseconds after which it is aborted: in its first passes, and in the midst of what follows. */
const works: readonly (readonly [string, (run: SelectOptions) => Promise<unknown>, readonly number[]])[] = [
  ['k-means', (run) => kMeans(x, { ...run, k: 500 }), [0, 60, 400]],
  ['k-means||', (run) => kMeans(x, { ...run, k: 500, start: 'k-means||' }), [60, 400]],
  ['spherical k-means', (run) => kMeans(x, { ...run, k: 100, spherical: true }), [60, 300]],
  ['mini-batch k-means', (run) => miniBatchKMeans(x, { ...run, k: 500, batchSize: 8192, patience: 0 }), [60, 400]],
  ['K-Center', (run) => kCenterGreedy(x, { ...run, k: n - 1 }), [0, 100, 500]],
  ['K-Center by cosine', (run) => kCenterGreedy(x, { ...run, k: n - 1, metric: 'cosine', nearest: true }), [60, 300]],
  ['PCA', (run) => pca(x, { ...run, components: 200 }), [0, 40, 200]],
  ['neighbours', (run) => nearestNeighbours(x, { ...run, k: 20 }), [0, 60, 400]],
  ['neighbours by cosine', (run) => nearestNeighbours(x, { ...run, k: 20, metric: 'cosine' }), [60, 400]],
  ['facility location', (run) => facilityLocation().select(rows, run), [0, 60, 400]],
  ['herding', (run) => herding().select(rows, run), [0, 60, 300]],
  ['herding, nearest', (run) => herding({ rule: 'nearest' }).select(rows, run), [60, 300]],
  ['moderate by group, paper', (run) => moderate({ by: 'group', preset: 'paper' }).select(rows, run), [0, 60, 400]],
  ['D2 message passing', (run) => d2({ score: 'given' }).select(rows, run), [0, 60, 400]],
  ['near-duplicates', (run) => deduplicate({ threshold: 0.2 }).select(rows, run), [0, 60, 400]],
  ['SAPS', (run) => saps({ mode: 'density' }).select(rows, run), [60, 300]],
  ['CCS, 4 million scores', (run) => ccs({ score: 'given' }).select(vector, run), [0, 20]],
  ['CCS, paper', (run) => ccs({ preset: 'paper' }).select(vector, run), [0, 60]],
  ['GraNd, 4 million scores', (run) => grand({ score: 'given' }).select(vector, run), [0, 40]],
  ['random, 4 million', (run) => random().select(vector, run), [0, 20]],
  ['stratified, 4 million groups', (run) => stratified({ by: 'group' }).select(vector, run), [0, 60]],
];

interface Stop {
  /** processor time from the signal to the rejection */
  readonly abortMs: number;
  /** longest time of the main thread between two turns of the event loop */
  readonly heldMs: number;
}

/** Time that the main thread was on a processor; elsewhere than on Linux, time itself. */
function mainThreadMs(): number {
  if (process.platform !== 'linux') return performance.now();
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

/** null when the work ended before its signal */
async function stopAfter(work: (run: SelectOptions) => Promise<unknown>, delayMs: number): Promise<Stop | null> {
  const control = new AbortController();
  const processor = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  const started = performance.now();
  let [aborted, held, lastTurn] = [-1, 0, mainThreadMs()];
  const watch = setInterval(() => {
    const turn = mainThreadMs();
    held = Math.max(held, turn - lastTurn);
    lastTurn = turn;
    if (aborted >= 0 || performance.now() - started < delayMs) return;
    aborted = processor();
    control.abort();
  }, 1);
  try {
    await work({ threads: 1, poolHash: null, signal: control.signal });
  } catch (error) {
    const abortMs = processor() - aborted;
    expect(error).toMatchObject({ code: 'aborted' });
    expect(aborted).toBeGreaterThan(0);
    return { abortMs, heldMs: Math.max(held, mainThreadMs() - lastTurn) };
  } finally {
    clearInterval(watch);
  }
  return null;
}

describe('an aborted selection', () => {
  it.each(works)('%s stops within 100 ms and lets the event loop run', { timeout: 60_000 }, async (_name, work, delays) => {
    for (const delay of delays) {
      let [abortMs, heldMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
      // A fast machine may end the work before its signal, which then comes sooner.
      for (let [attempt, at] = [0, delay]; attempt < 5 && Math.max(abortMs, heldMs) > BOUND_MS; attempt++) {
        const stop = await stopAfter(work, at);
        if (stop === null) {
          at /= 2;
          continue;
        }
        abortMs = Math.min(abortMs, stop.abortMs);
        heldMs = Math.min(heldMs, stop.heldMs);
      }
      expect({ delay, abortMs: abortMs <= BOUND_MS ? 'within' : abortMs }).toEqual({ delay, abortMs: 'within' });
      expect({ delay, heldMs: heldMs <= BOUND_MS ? 'within' : heldMs }).toEqual({ delay, heldMs: 'within' });
    }
  });
});
