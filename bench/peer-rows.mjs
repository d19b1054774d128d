// The rows of the comparison: which work, on which file, against whom. n, d and k are those of the full inputs.

const given = (x, extra) => ({ work: 'k-means', x: `${x}.npy`, start: `${x}.start.npy`, judge: 'inertia', ...extra });

/** Work of one row, for GFLOP/s and GB/s: multiply-adds count 2; k-means by its assignment passes alone. */
const kMeansFlops = ({ n, d, k, passes }) => 2 * n * d * k * passes;
const onePassPerCentre = ({ n, d, k }) => 2 * n * d * k;

export const ROWS = [
  { ...given('gaussian', { name: 'k-means-gaussian', iterations: 10, peers: ['sklearn', 'faiss'] }), flops: kMeansFlops, target: 1.5 },
  { ...given('clustered', { name: 'k-means-clustered', iterations: 300, peers: ['sklearn', 'faiss'] }), flops: kMeansFlops, target: 3 },
  { ...given('blobs', { name: 'k-means-blobs', iterations: 10, peers: ['sklearn', 'superkmeans'] }), flops: kMeansFlops, target: 1 },
  {
    name: 'k-center-1000',
    work: 'k-center',
    x: 'unit.npy',
    k: 1000,
    peers: ['numpy', 'torch'],
    judge: 'order',
    flops: onePassPerCentre,
    target: 40,
  },
  {
    name: 'k-center-10000',
    work: 'k-center',
    x: 'unit.npy',
    k: 10_000,
    peers: ['numpy', 'torch'],
    judge: 'order',
    flops: onePassPerCentre,
    target: 20,
  },
  { name: 'saps', work: 'saps', x: 'pool.npy', share: 0.5, peers: ['sklearn'], target: 5 },
  { name: 'random', work: 'random', x: 'scores.npy', share: 0.1, peers: ['numpy'], target: 2 },
  { name: 'ccs', work: 'ccs', x: 'scores.npy', share: 0.1, peers: ['numpy'], target: 2 },
  {
    name: 'neighbours',
    work: 'neighbours',
    x: 'pool.npy',
    k: 10,
    peers: ['sklearn', 'faiss'],
    judge: 'same',
    flops: ({ n, d }) => 2 * n * n * d,
  },
  { ...given('demo-model', { name: 'real-k-means', iterations: 20, peers: ['sklearn', 'faiss'] }), flops: kMeansFlops, real: true },
  { name: 'real-saps', work: 'saps', x: 'demo-model.npy', share: 0.5, peers: ['sklearn'], real: true },
  {
    name: 'real-k-center',
    work: 'k-center',
    x: 'tfidf.npy',
    k: 1000,
    peers: ['numpy', 'torch'],
    judge: 'order',
    flops: onePassPerCentre,
    real: true,
  },
  { ...given('tfidf', { name: 'real-k-means-tfidf', iterations: 20, peers: ['sklearn', 'faiss'] }), flops: kMeansFlops, real: true },
];

/** What a person reads, from the measured shape. */
export function rowTitle(row, { n, d, k, budget }) {
  const shape = d > 1 ? `${format(n)} x ${d}` : `${format(n)} scores`;
  const source = row.x.replace('.npy', '');
  switch (row.work) {
    case 'k-means':
      return `k-means, ${source} ${shape}, k = ${format(k)}, given start, ${row.iterations >= 300 ? 'to convergence' : `${row.iterations} iterations`}`;
    case 'k-center':
      return `K-Center, ${source} ${shape}, ${format(k)} centres`;
    case 'saps':
      return `SAPS whole, ${source} ${shape}, ${format(budget)} chosen`;
    case 'neighbours':
      return `${k} nearest neighbours, ${source} ${shape}`;
    default:
      return `${row.work === 'ccs' ? 'CCS' : 'random'}, ${format(n)} records, ${format(budget)} chosen`;
  }
}

const format = (value) => value.toLocaleString('en-US');
