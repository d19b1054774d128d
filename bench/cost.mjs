// Time against n, d, k and threads, as CSV and SVG, with the machine's limit beside it.
//   npm run bench -- cost [--full] [--threads 2] [--out FOLDER]
// Small by default (up to 30,000 rows); --full goes from 10,000 to 1,000,000 rows and takes some 4 GiB of memory. Best of three.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { engineInfo, kCenterGreedy, kMeans, matrix, nearestNeighbours, pca } from '../dist/index.js';
import { costChart } from './cost-chart.mjs';
import { machine, root } from './machine.mjs';
import { randomMatrix } from './random-matrix.mjs';

const { values } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    threads: { type: 'string', default: '2' },
    out: { type: 'string', default: join(root, 'bench', 'results') },
  },
});
const most = Number(values.threads);
const PASSES = 4;
const WORKS = {
  'k-means': {
    run: (x, k, threads) => {
      const start = matrix(Float64Array.from(x.data.subarray(0, k * x.columns)), k, x.columns);
      return kMeans(x, { k, maxIterations: PASSES - 1, centroids: start, threads });
    },
    flops: (n, d, k) => 2 * n * d * k * PASSES,
    byK: true,
  },
  'k-center': { run: (x, k, threads) => kCenterGreedy(x, { k, threads }), flops: (n, d, k) => 2 * n * d * k, byK: true },
  pca: { run: (x, _k, threads) => pca(x, { components: 50, threads }), flops: (n, d) => n * d * (d + 1) + 100 * n * d },
  neighbours: { run: (x, _k, threads) => nearestNeighbours(x, { k: 10, threads }), flops: (n, d) => 2 * n * n * d, mostRows: 50_000 },
};
const base = values.full ? { n: 100_000, d: 384, k: 256 } : { n: 10_000, d: 384, k: 64 };
const axes = {
  n: values.full ? [10_000, 30_000, 100_000, 300_000, 1_000_000] : [3000, 10_000, 30_000],
  d: values.full ? [48, 96, 192, 384, 768, 1536] : [96, 192, 384],
  k: values.full ? [10, 32, 100, 256, 1000] : [10, 64, 256],
  threads: Array.from({ length: most }, (_, i) => i + 1),
};

async function best(work, x, k, threads) {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    await work.run(x, k, threads);
    least = Math.min(least, (performance.now() - start) / 1000);
  }
  return least;
}

/** What all threads reach on the densest product there is here: assignments to many centres of a matrix that stays in the cache. */
async function limit(threads) {
  const x = randomMatrix(4096, 384);
  const start = matrix(Float64Array.from(x.data.subarray(0, 1024 * 384)), 1024, 384);
  let highest = 0;
  for (let round = 0; round < 5; round++) {
    const begin = performance.now();
    const { iterations } = await kMeans(x, { k: 1024, maxIterations: 5, centroids: start, threads });
    highest = Math.max(highest, (2 * 4096 * 384 * 1024 * (iterations + 1)) / (performance.now() - begin) / 1e6);
  }
  return highest;
}

const where = machine(engineInfo());
const gflopsLimit = await limit(most);
const points = [];
for (const [axis, steps] of Object.entries(axes)) {
  for (const step of steps) {
    const { n, d, k, threads } = { ...base, threads: most, [axis]: step };
    const x = randomMatrix(n, d, { clusters: 32 });
    for (const [name, work] of Object.entries(WORKS)) {
      if (n > (work.mostRows ?? Number.POSITIVE_INFINITY) || (axis === 'k' && !work.byK)) continue;
      const seconds = await best(work, x, k, threads);
      const gflops = work.flops(n, d, k) / seconds / 1e9;
      points.push({ axis, step, work: name, n, d, k, threads, seconds, gflops });
      console.error(`${axis} = ${step}: ${name} ${seconds.toFixed(4)} s, ${gflops.toFixed(1)} GFLOP/s of the plain algorithm`);
    }
  }
}

mkdirSync(values.out, { recursive: true });
const columns = ['axis', 'step', 'work', 'n', 'd', 'k', 'threads', 'seconds', 'gflops'];
const csv = [
  columns.join(','),
  ...points.map((p) => columns.map((c) => (typeof p[c] === 'number' ? Number(p[c].toPrecision(6)) : p[c])).join(',')),
];
writeFileSync(join(values.out, 'selection-cost.csv'), `${csv.join('\n')}\n`);
const title = `Selection: seconds on ${where.cpu}, ${where.isa}, ${most} threads; limit ${gflopsLimit.toFixed(0)} GFLOP/s`;
writeFileSync(
  join(values.out, 'selection-cost.svg'),
  costChart(title, points, { gflopsLimit, works: WORKS, base: { ...base, threads: most } }),
);
writeFileSync(
  join(values.out, 'selection-cost.json'),
  `${JSON.stringify({ kind: 'selection-cost', machine: where, gflopsLimit, base, points }, null, 1)}\n`,
);
console.log(`written: ${join(values.out, 'selection-cost.{csv,svg,json}')}`);
