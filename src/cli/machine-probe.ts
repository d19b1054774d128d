import { matrix } from '../core/matrix.ts';
import { RandomStream } from '../core/random.ts';
import type { BackendName } from '../model/load-weights.ts';
import { kCenterGreedy } from '../select/k-center-greedy.ts';
import { kMeans } from '../select/k-means.ts';

/** What this machine reaches with the engine's own kernels: the yardstick of a profile. */
export interface MachineProbe {
  /** Of a dense product in cache-sized tiles (k-means assignment, every pair) */
  readonly gflopPerSecond: number;
  /** Of reading a matrix larger than the caches once after the other (K-Center updates) */
  readonly gigabytesPerSecond: number;
  readonly seconds: number;
}

const PRODUCT = { rows: 16_384, columns: 256, centroids: 256 };
const STREAM = { rows: 262_144, columns: 64, centres: 3 };

/** Two short runs, about a second together and 64 MiB; each is done twice and the better one counts. */
export async function probeMachine(options: {
  readonly backend?: BackendName | undefined;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<MachineProbe> {
  const start = performance.now();
  const { rows, columns, centroids } = PRODUCT;
  const dense = matrix(noise(rows * columns), rows, columns);
  const centres = matrix(Float64Array.from(dense.data.subarray(0, centroids * columns)), centroids, columns);
  const passes = 4;
  const product = await fastest(() =>
    kMeans(dense, { k: centroids, centroids: centres, restarts: 1, maxIterations: passes - 1, prune: false, second: false, ...options }),
  );
  const long = matrix(noise(STREAM.rows * STREAM.columns), STREAM.rows, STREAM.columns);
  const stream = await fastest(() => kCenterGreedy(long, { k: STREAM.centres, first: 0, ...options }));
  return {
    gflopPerSecond: (2 * passes * rows * columns * centroids) / product / 1e9,
    gigabytesPerSecond: (4 * STREAM.centres * STREAM.rows * STREAM.columns) / stream / 1e9,
    seconds: (performance.now() - start) / 1000,
  };
}

function noise(length: number): Float32Array {
  const random = new RandomStream(1, 0);
  const block = Float32Array.from({ length: 4096 }, () => random.next() / 2 ** 32 - 0.5);
  const values = new Float32Array(length);
  // shifted blocks, so that no two rows are equal
  for (let at = 0, k = 0; at < length; at += 4096, k++)
    for (let i = 0; i < Math.min(4096, length - at); i++) values[at + i] = (block[(i + k) % 4096] as number) + k * 1e-3;
  return values;
}

/** Seconds of the quicker of two runs. */
async function fastest(work: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 2; round++) {
    const start = performance.now();
    await work();
    least = Math.min(least, (performance.now() - start) / 1000);
  }
  return least;
}
