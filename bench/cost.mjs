// Time against n, d, k and threads, as CSV, SVG and JSON, with the machine's limit beside it.
//   npm run bench -- cost [--full] [--axes n,d] [--works pca] [--threads 2] [--out FOLDER]
// Small by default (up to 30,000 rows); --full goes from 10,000 to 1,000,000 rows and takes some 4 GiB of memory. The best of three runs, of
// one where a run takes longer than 5 s. With --axes or --works the other points are kept as an earlier run on the same machine left them.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { engineInfo, kCenterGreedy, kMeans, matrix, nearestNeighbours, pca } from '../dist/index.js';
import { probeMachine } from '../dist/native/machine-probe.js';
import { costChart } from './cost-chart.mjs';
import { machine } from './machine.mjs';
import { readOptions } from './options.mjs';
import { randomMatrix } from './random-matrix.mjs';

const values = readOptions('cost', process.argv.slice(2));
const most = values.threads;
const PASSES = 4;
const WORKS = {
  'k-means': {
    run: (x, k, threads) => {
      const start = matrix(Float64Array.from(x.data.subarray(0, k * x.columns)), k, x.columns);
      return kMeans(x, { k, maxIterations: PASSES - 1, centroids: start, second: false, threads });
    },
    flops: (n, d, k) => 2 * n * d * k * PASSES,
    bytes: (n, d) => 4 * n * d * PASSES,
    byK: true,
  },
  'k-center': {
    run: (x, k, threads) => kCenterGreedy(x, { k, threads }),
    flops: (n, d, k) => 2 * n * d * k,
    bytes: (n, d) => 4 * n * d, // read once at least: what the lazy pool can reach
    byK: true,
  },
  pca: {
    run: (x, _k, threads) => pca(x, { components: 50, threads }),
    flops: (n, d) => n * d * (d + 1) + 2 * n * d * Math.min(50, d),
    bytes: (n, d) => 8 * n * d,
  },
  neighbours: {
    run: (x, _k, threads) => nearestNeighbours(x, { k: 10, threads }),
    flops: (n, d) => 2 * n * n * d,
    bytes: (n, d) => 4 * n * d,
    mostRows: 30_000,
  },
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
  for (let round = 0; round < 3 && (round === 0 || least < 5); round++) {
    const start = performance.now();
    await work.run(x, k, threads);
    least = Math.min(least, (performance.now() - start) / 1000);
  }
  return least;
}

/** GFLOP/s of the densest work there is here: every row of a matrix that stays in the cache against many centroids. */
async function densest(threads) {
  const x = randomMatrix(4096, 384);
  const start = matrix(Float64Array.from(x.data.subarray(0, 1024 * 384)), 1024, 384);
  let highest = 0;
  for (let round = 0; round < 5; round++) {
    const begin = performance.now();
    const { iterations } = await kMeans(x, { k: 1024, maxIterations: 5, centroids: start, prune: false, second: false, threads });
    highest = Math.max(highest, (2 * 4096 * 384 * 1024 * (iterations + 1)) / (performance.now() - begin) / 1e6);
  }
  return highest;
}

const where = machine(engineInfo());
const path = (kind) => join(values.out, `selection-cost.${kind}`);
const earlier = (values.axes || values.works) && existsSync(path('json')) ? JSON.parse(readFileSync(path('json'), 'utf8')) : null;
const kept = earlier?.machine.cpu === where.cpu && earlier.base.n === base.n ? earlier : null;
const wanted = { axes: values.axes ?? Object.keys(axes), works: values.works ?? Object.keys(WORKS) };
const points = (kept?.points ?? []).filter((p) => !(wanted.axes.includes(p.axis) && wanted.works.includes(p.work)));
const limits = Array.from({ length: most }, () => ({ gflops: 0, gbs: 0 }));
for (const [i, limit] of limits.entries()) {
  const { gflopPerSecond, gigabytesPerSecond } = await probeMachine({ backend: 'cpu', threads: i + 1 });
  const earlierLimit = kept?.limits?.[i];
  limit.gflops = Math.max(gflopPerSecond, await densest(i + 1), earlierLimit?.gflops ?? 0);
  limit.gbs = Math.max(gigabytesPerSecond, earlierLimit?.gbs ?? 0);
  console.error(`${i + 1} threads: at most ${limit.gflops.toFixed(0)} GFLOP/s and ${limit.gbs.toFixed(1)} GB/s`);
}
for (const axis of wanted.axes) {
  for (const step of axes[axis]) {
    const { n, d, k, threads } = { ...base, threads: most, [axis]: step };
    const x = randomMatrix(n, d, { clusters: 32 });
    for (const name of wanted.works) {
      const work = WORKS[name];
      if (n > (work.mostRows ?? Number.POSITIVE_INFINITY) && axis === 'n') continue;
      if (axis === 'k' && !work.byK) continue;
      const rows = Math.min(n, work.mostRows ?? n); // the other axes of a work that grows with n^2 are measured on fewer rows
      const part = rows === n ? x : matrix(x.data.subarray(0, rows * d), rows, d);
      const seconds = await best(work, part, k, threads);
      const gflops = work.flops(rows, d, k) / seconds / 1e9;
      points.push({
        axis,
        step,
        work: name,
        n: rows,
        d,
        k,
        threads,
        seconds,
        gflops,
        date: new Date().toISOString(),
        commit: where.commit,
      });
      console.error(`${axis} = ${step}: ${name} ${seconds.toFixed(4)} s, ${gflops.toFixed(1)} GFLOP/s of the plain algorithm`);
    }
    save();
  }
}

function save() {
  mkdirSync(values.out, { recursive: true });
  const order = (p) => Object.keys(axes).indexOf(p.axis) * 1e12 + Object.keys(WORKS).indexOf(p.work) * 1e9 + p.step;
  points.sort((a, b) => order(a) - order(b));
  const columns = ['axis', 'step', 'work', 'n', 'd', 'k', 'threads', 'seconds', 'gflops'];
  const csv = [
    columns.join(','),
    ...points.map((p) => columns.map((c) => (typeof p[c] === 'number' ? Number(p[c].toPrecision(6)) : p[c])).join(',')),
  ];
  writeFileSync(path('csv'), `${csv.join('\n')}\n`);
  const { gflops, gbs } = limits.at(-1);
  const title = `Selection on ${where.cpu}, ${where.isa}, ${most} threads: at most ${gflops.toFixed(0)} GFLOP/s and ${gbs.toFixed(0)} GB/s. n = ${base.n}, d = ${base.d}, k = ${base.k} where not on the axis`;
  /** The least that the machine allows the plain algorithm, and any algorithm that reads its input. */
  const bound = (p) => {
    const limit = limits[p.threads - 1] ?? limits.at(-1);
    return {
      plain: WORKS[p.work].flops(p.n, p.d, p.k) / (limit.gflops * 1e9),
      reading: WORKS[p.work].bytes(p.n, p.d) / (limit.gbs * 1e9),
    };
  };
  writeFileSync(path('svg'), costChart(title, points, { names: Object.keys(WORKS), bound }));
  writeFileSync(path('json'), `${JSON.stringify({ kind: 'selection-cost', machine: where, limits, base, points }, null, 1)}\n`);
}
console.log(`written: ${join(values.out, 'selection-cost.{csv,svg,json}')}`);
