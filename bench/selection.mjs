// What a user of the library sees, by tinybench: the selectors and the algorithms under them, through the public package in dist/.
//   npm run bench -- selection [--only NAME,...] [--rows N] [--time MS]      --help tells all
// The native operations follow where their benchmark is built (cmake -DMENDSET_BENCH=ON), found in build/ or named by --native.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Bench } from 'tinybench';
import * as mendset from '../dist/index.js';
import { machine, root } from './machine.mjs';
import { readOptions, SELECTION_WORKS } from './options.mjs';
import { randomMatrix } from './random-matrix.mjs';

const values = readOptions('selection', process.argv.slice(2));
const { rows: n, columns: d, threads } = values;
const where = machine(mendset.engineInfo());
const embeddings = randomMatrix(n, d, { clusters: 10 });
const points = (await mendset.pca(embeddings, { components: 50, threads })).projected;
const scores = Float64Array.from({ length: n }, (_, i) => embeddings.data[i * d]);
const groups = Int32Array.from({ length: n }, (_, i) => i % 10);
const features = { embeddings, scores, groups, gradientNorms: scores, toxicity: scores };
const run = { threads, poolHash: null };
const choose = (selector, budget = Math.floor(n / 2)) => selector.select({ n, budget, seed: 1, features }, run);

const { kMeans, kCenterGreedy, miniBatchKMeans, pca, nearestNeighbours, facilityLocationGreedy } = mendset;
// The first run of each loads and allocates what the second finds ready: the better of few is reported beside the median.
const bench = new Bench({ time: values.time, iterations: 2, warmup: false });
const passes = 6;
const few = Math.min(100, n);
/** name: [what, work, floating-point operations (a multiply-add counts 2) or null] */
const works = {
  pca: ['pca, 50 components', () => pca(embeddings, { components: 50, threads }), n * d * (d + 1)],
  'k-means-10': [
    'k-means, k = 10, 5 iterations',
    () => kMeans(embeddings, { k: Math.min(10, n), maxIterations: passes - 1, restarts: 1, threads }),
    2 * n * d * 10 * passes,
  ],
  'k-means-256': [
    'k-means, k = 256, 5 iterations',
    () => kMeans(embeddings, { k: Math.min(256, n), maxIterations: passes - 1, centroids: firstRows(Math.min(256, n)), threads }),
    2 * n * d * 256 * passes,
  ],
  'mini-batch': [
    'mini-batch k-means, k = 256, 20 steps of 4096',
    () =>
      miniBatchKMeans(embeddings, {
        k: Math.min(256, n),
        batchSize: 4096,
        maxSteps: 20,
        patience: 0,
        centroids: firstRows(Math.min(256, n)),
        threads,
      }),
    2 * d * 256 * (20 * Math.min(4096, n) + n),
  ],
  'k-center-greedy': [
    'K-Center, 1000 centres',
    () => kCenterGreedy(embeddings, { k: Math.min(1000, n), threads }),
    2 * n * d * Math.min(1000, n),
  ],
  neighbours: [
    '10 nearest neighbours, 50 columns',
    () => nearestNeighbours(points, { k: Math.min(10, n - 1), threads }),
    2 * n * n * points.columns,
  ],
  'facility-location': [
    `facility location, ${few} of them, 50 columns`,
    () => facilityLocationGreedy(points, { budget: few, threads }),
    null,
  ],
  random: ['random', () => choose(mendset.random()), null],
  uniform: ['uniform', () => choose(mendset.uniform()), null],
  stratified: ['stratified by group', () => choose(mendset.stratified({ by: 'group' })), null],
  'k-center': ['k-center (PCA)', () => choose(mendset.kCenter(), Math.min(1000, n)), null],
  grand: ['grand', () => choose(mendset.grand()), null],
  ccs: ['ccs', () => choose(mendset.ccs({ score: 'given' })), null],
  saps: ['saps', () => choose(mendset.saps()), null],
  herding: [`herding (PCA), ${few} of them`, () => choose(mendset.herding({ space: 'pca' }), few), null],
  moderate: ['moderate', () => choose(mendset.moderate()), null],
  d2: ['d2 (PCA)', () => choose(mendset.d2({ score: 'given', space: 'pca' })), null],
  deduplicate: ['deduplicate', () => choose(mendset.deduplicate()), null],
};
const chosen = (values.only ?? SELECTION_WORKS).map((name) => works[name]);
for (const [name, work] of chosen) bench.add(name, work);
bench.addEventListener('cycle', ({ task }) => console.error(`measured: ${task.name}`));
await bench.run();

function firstRows(k) {
  return mendset.matrix(Float64Array.from(embeddings.data.subarray(0, k * d)), k, d);
}

const results = bench.tasks.map(({ name, result }, at) => {
  const flops = chosen[at][2];
  if (result.state !== 'completed') return { name, failed: String(result.error ?? result.state) };
  const { p50, min, samplesCount } = result.latency;
  return { name, medianMs: p50, bestMs: min, samples: samplesCount, gflops: flops === null ? null : flops / p50 / 1e6 };
});
console.log(`${n} x ${d}, ${threads} threads, ${where.isa}, ${where.cpu}`);
for (const r of results)
  console.log(
    r.failed
      ? `${r.name.padEnd(46)} ${r.failed}`
      : `${r.name.padEnd(46)} ${r.medianMs.toFixed(2).padStart(10)} ms  ${r.gflops === null ? '' : `${r.gflops.toFixed(0)} GFLOP/s of the plain algorithm`}`,
  );

const native =
  values.native ??
  readdirSync(join(root, 'build'), { recursive: true })
    .map((name) => join(root, 'build', name))
    .find((name) => /selection_operation_bench(\.exe)?$/.test(name));
const operations = [];
if (values['no-native']) console.log('The native operations were left out.');
else if (native && existsSync(native)) {
  const { stdout } = spawnSync(native, ['--threads', String(threads)], { encoding: 'utf8' });
  for (const line of stdout.trim().split('\n')) if (line.startsWith('{')) operations.push(JSON.parse(line));
  console.log(`${operations.length} native operations measured, see the result file`);
} else console.log('The native operations were not measured: build their benchmark with cmake -DMENDSET_BENCH=ON.');

mkdirSync(dirname(values.out), { recursive: true });
writeFileSync(values.out, `${JSON.stringify({ kind: 'selection', n, d, threads, machine: where, results, operations }, null, 1)}\n`);
console.log(`written: ${values.out}`);
