// What a user of the library sees, by tinybench: the selectors and the algorithms under them, through the public package in dist/.
//   npm run bench -- selection [--rows 24576] [--columns 384] [--threads 2] [--time 1000] [--out FILE.json] [--native FILE]
// The native operations follow where their benchmark is built (cmake -DMENDSET_BENCH=ON), found in build/ or named by --native.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench } from 'tinybench';
import * as mendset from '../dist/index.js';
import { machine, root } from './machine.mjs';
import { randomMatrix } from './random-matrix.mjs';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '24576' },
    columns: { type: 'string', default: '384' },
    threads: { type: 'string', default: '2' },
    time: { type: 'string', default: '1000' },
    native: { type: 'string' },
    out: { type: 'string', default: join(root, 'bench', 'results', 'selection.json') },
  },
});
const [n, d, threads] = [values.rows, values.columns, values.threads].map(Number);
const where = machine(mendset.engineInfo());
const embeddings = randomMatrix(n, d, { clusters: 10 });
const points = (await mendset.pca(embeddings, { components: 50, threads })).projected;
const scores = Float64Array.from({ length: n }, (_, i) => embeddings.data[i * d]);
const groups = Int32Array.from({ length: n }, (_, i) => i % 10);
const features = { embeddings, scores, groups, gradientNorms: scores, toxicity: scores };
const run = { threads, poolHash: null };
const choose = (selector, budget = Math.floor(n / 2)) => selector.select({ n, budget, seed: 1, features }, run);

const { kMeans, kCenterGreedy, pca, nearestNeighbours, facilityLocationGreedy } = mendset;
const bench = new Bench({ time: Number(values.time), iterations: 3, warmupIterations: 1, warmupTime: 0 });
const passes = 6;
/** [name, work, floating-point operations (a multiply-add counts 2) or null] */
const works = [
  ['pca, 50 components', () => pca(embeddings, { components: 50, threads }), n * d * (d + 1)],
  [
    'k-means, k = 10, 5 iterations',
    () => kMeans(embeddings, { k: 10, maxIterations: passes - 1, restarts: 1, threads }),
    2 * n * d * 10 * passes,
  ],
  [
    'k-means, k = 256, 5 iterations',
    () => kMeans(embeddings, { k: 256, maxIterations: passes - 1, centroids: firstRows(256), threads }),
    2 * n * d * 256 * passes,
  ],
  ['K-Center, 1000 centres', () => kCenterGreedy(embeddings, { k: 1000, threads }), 2 * n * d * 1000],
  ['10 nearest neighbours, 50 columns', () => nearestNeighbours(points, { k: 10, threads }), 2 * n * n * points.columns],
  ['facility location, 100 of them, 50 columns', () => facilityLocationGreedy(points, { budget: 100, threads }), null],
  ['random', () => choose(mendset.random()), null],
  ['uniform', () => choose(mendset.uniform()), null],
  ['stratified by group', () => choose(mendset.stratified({ by: 'group' })), null],
  ['k-center (PCA)', () => choose(mendset.kCenter(), 1000), null],
  ['grand', () => choose(mendset.grand()), null],
  ['ccs', () => choose(mendset.ccs({ score: 'given' })), null],
  ['saps', () => choose(mendset.saps()), null],
  ['herding (PCA), 100 of them', () => choose(mendset.herding({ space: 'pca' }), 100), null],
  ['moderate', () => choose(mendset.moderate()), null],
  ['d2 (PCA)', () => choose(mendset.d2({ score: 'given', space: 'pca' })), null],
  ['deduplicate', () => choose(mendset.deduplicate()), null],
];
for (const [name, work] of works) bench.add(name, work);
await bench.run();

function firstRows(k) {
  return mendset.matrix(Float64Array.from(embeddings.data.subarray(0, k * d)), k, d);
}

const results = bench.tasks.map(({ name, result }, at) => {
  const flops = works[at][2];
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
if (native && existsSync(native)) {
  const { stdout } = spawnSync(native, ['--threads', String(threads)], { encoding: 'utf8' });
  for (const line of stdout.trim().split('\n')) if (line.startsWith('{')) operations.push(JSON.parse(line));
  console.log(`${operations.length} native operations measured, see the result file`);
} else console.log('The native operations were not measured: build their benchmark with cmake -DMENDSET_BENCH=ON.');

mkdirSync(dirname(values.out), { recursive: true });
writeFileSync(values.out, `${JSON.stringify({ kind: 'selection', n, d, threads, machine: where, results, operations }, null, 1)}\n`);
console.log(`written: ${values.out}`);
