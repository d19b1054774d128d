// Cluster many matrices in a pool of worker threads, each with an engine of its own. Memory is moved to the workers, not copied.
//
//   node examples/worker-pool.mjs
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { kMeans, matrix, RandomStream } from 'mendset';

if (isMainThread) {
  const jobs = Array.from({ length: 12 }, (_, i) => i);
  const results = new Array(jobs.length);
  const size = Math.min(4, availableParallelism());
  await Promise.all(
    Array.from({ length: size }, async () => {
      const worker = new Worker(new URL(import.meta.url));
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        const data = points(job);
        worker.postMessage({ data, rows: 2000, columns: 16 }, [data.buffer]);
        [results[job]] = await once(worker, 'message');
      }
      await worker.terminate();
    }),
  );
  // the same whichever worker took which job
  console.log(JSON.stringify({ workers: size, inertia: results.map((r) => r.inertia) }));
} else {
  parentPort.on('message', async ({ data, rows, columns }) => {
    // one thread each: the pool is the parallelism
    const { inertia, iterations } = await kMeans(matrix(data, rows, columns), { k: 8, seed: 1, threads: 1 });
    parentPort.postMessage({ inertia, iterations });
  });
}

function points(seed) {
  const random = new RandomStream(seed, 0);
  return Float32Array.from({ length: 2000 * 16 }, () => random.next() / 2 ** 32);
}
