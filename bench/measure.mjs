// One measurement of ours, in a process of its own: prints one JSON line, as bench/peers/measure.py does for the peers.
//   node bench/measure.mjs WORK --x X.npy [--start C.npy] [--k K] [--iterations I] [--budget B] [--threads T] [--save RESULT.npy]
// `seconds` is the work alone: loading and a warm-up on a small part come before.
import { parseArgs } from 'node:util';
import * as mendset from '../dist/index.js';
import { timedRepeatedly } from './processor-time.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(['x', 'start', 'k', 'iterations', 'budget', 'threads', 'save'].map((name) => [name, { type: 'string' }])),
});
const [work] = positionals;
const threads = Number(values.threads ?? 2);
const k = Number(values.k ?? 0);
const budget = Number(values.budget ?? 0);
const run = { threads };

const centroids = async (rows) => {
  if (!values.start) return undefined;
  const start = await mendset.readEmbeddings(values.start);
  const count = Math.min(rows, start.rows);
  return mendset.matrix(Float64Array.from(start.data.subarray(0, count * start.columns)), count, start.columns);
};
const part = (x, rows) => mendset.matrix(x.data.subarray(0, Math.min(rows, x.rows) * x.columns), Math.min(rows, x.rows), x.columns);
const WARM_ROWS = 2048;

const works = {
  async 'k-means'() {
    const x = await mendset.readEmbeddings(values.x);
    const start = await centroids(Number.POSITIVE_INFINITY);
    const warm = await centroids(8);
    await mendset.kMeans(part(x, WARM_ROWS), { ...run, k: 8, maxIterations: 2, centroids: warm });
    const options = { ...run, second: false, k: start.rows, maxIterations: Number(values.iterations ?? 10), centroids: start };
    const { result, ...time } = await timedRepeatedly(() => mendset.kMeans(x, options));
    const { iterations, inertia, stop, pairs, computedDistances } = result;
    return {
      ...time,
      passes: iterations + 1,
      iterations,
      inertia,
      stop,
      computedShare: pairs ? computedDistances / pairs : null,
      saved: [result.labels],
    };
  },
  async 'k-center'() {
    const x = await mendset.readEmbeddings(values.x);
    await mendset.kCenterGreedy(part(x, WARM_ROWS), { ...run, k: 8, first: 0 });
    const { result, ...time } = await timedRepeatedly(() => mendset.kCenterGreedy(x, { ...run, k, first: 0 }));
    return { ...time, saved: [result.order] };
  },
  async saps() {
    const embeddings = await mendset.readEmbeddings(values.x);
    const choose = (rows, count) =>
      mendset.saps().select({ n: rows.rows, budget: count, seed: 1, features: { embeddings: rows } }, { ...run, poolHash: null });
    await choose(part(embeddings, WARM_ROWS), 100);
    const { result, ...time } = await timedRepeatedly(() => choose(embeddings, budget));
    return { ...time, inertia: result.inertia, timings: result.timings, saved: [result.indices] };
  },
  async random() {
    const n = (await mendset.readNpyVector(values.x)).length;
    const choose = (rows, count) => mendset.random().select({ n: rows, budget: count, seed: 1, features: {} }, run);
    await choose(100_000, 1000);
    const { result, ...time } = await timedRepeatedly(() => choose(n, budget));
    return { ...time, saved: [result.indices] };
  },
  async ccs() {
    const scores = await mendset.readNpyVector(values.x);
    const choose = (each, count) =>
      mendset
        .ccs({ score: 'given', beta: 0.2 })
        .select({ n: each.length, budget: count, seed: 1, features: { scores: each } }, { ...run, poolHash: null });
    await choose(scores.subarray(0, WARM_ROWS), 100);
    const { result, ...time } = await timedRepeatedly(() => choose(scores, budget));
    return { ...time, saved: [result.indices] };
  },
  async neighbours() {
    const x = await mendset.readEmbeddings(values.x);
    await mendset.nearestNeighbours(part(x, WARM_ROWS), { ...run, k });
    const { result, ...time } = await timedRepeatedly(() => mendset.nearestNeighbours(x, { ...run, k }));
    return { ...time, saved: [result.indices, [x.rows, k]] };
  },
  async 'facility-location'() {
    const x = await mendset.readEmbeddings(values.x);
    await mendset.facilityLocationGreedy(part(x, WARM_ROWS), { ...run, budget: 8 });
    const { result, ...time } = await timedRepeatedly(() => mendset.facilityLocationGreedy(x, { ...run, budget }));
    return { ...time, evaluations: result.evaluations, saved: [result.order] };
  },
};

if (!(work in works) || !values.x) {
  console.error(`Expected one of ${Object.keys(works).join(', ')} and --x FILE.npy but received ${process.argv.slice(2).join(' ')}.`);
  process.exit(2);
}
const { saved, ...report } = await works[work]();
if (values.save) await mendset.writeNpy(values.save, ...saved);
const { isa } = mendset.engineInfo();
console.log(JSON.stringify({ work, peer: 'mendset', threads, isa, peakBytes: process.resourceUsage().maxRSS * 1024, ...report }));
