// Write a selector of your own and measure it beside mendset's through the same contract.
//
//   node examples/own-selector.mjs
import { defineSelector, kCenter, matrix, RandomStream, random, selectIndices } from 'mendset';

/** Records farthest from the mean of all. */
const outermost = defineSelector({
  name: 'outermost',
  needs: ['embeddings'],
  choose({ budget, features: { embeddings } }) {
    const distances = distancesFromMean(embeddings);
    const order = [...distances.keys()].sort((a, b) => distances[b] - distances[a] || a - b);
    return { indices: Int32Array.from(order.slice(0, budget)), scores: distances };
  },
});

function distancesFromMean({ data, rows, columns }) {
  const mean = new Float64Array(columns);
  for (let i = 0; i < data.length; i++) mean[i % columns] += data[i] / rows;
  return Float64Array.from({ length: rows }, (_, r) =>
    Math.hypot(...data.subarray(r * columns, (r + 1) * columns).map((v, c) => v - mean[c])),
  );
}

/** Largest distance of a record to its nearest chosen one: small is good coverage. */
function coverage({ data, rows, columns }, chosen) {
  let worst = 0;
  for (let r = 0; r < rows; r++) {
    let nearest = Number.POSITIVE_INFINITY;
    for (const c of chosen) {
      let square = 0;
      for (let i = 0; i < columns; i++) square += (data[r * columns + i] - data[c * columns + i]) ** 2;
      nearest = Math.min(nearest, square);
    }
    worst = Math.max(worst, nearest);
  }
  return Math.sqrt(worst);
}

const n = 3000;
const stream = new RandomStream(7, 0);
const embeddings = matrix(
  Float32Array.from({ length: n * 16 }, () => stream.next() / 2 ** 32),
  n,
  16,
);
const results = [];
for (const selector of [random(), kCenter({ space: 'raw' }), outermost]) {
  const start = performance.now();
  const { indices, method } = await selectIndices(selector, { n, budget: { count: 100 }, seed: 43, features: { embeddings } });
  results.push({
    method,
    milliseconds: Math.round(performance.now() - start),
    coverage: Number(coverage(embeddings, indices).toFixed(4)),
    chosen: indices.length,
  });
}
console.table(results);
