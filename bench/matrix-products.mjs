// The matrix products of linear maps beside PyTorch, OpenBLAS (of numpy) and BLIS on the same shapes, interleaved: GFLOP/s, medians over rounds.
// Ours are whole operations, with bias, activation and bias gradient; the peers' are products alone.
//   npm run bench -- matrix-products --python PYTHON [--rounds 3] [--threads 2] [--filter TEXT] [--blis FILE] [--isa avx2] [--native FILE] [--out FILE.json]
// --isa avx2 limits all of them.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { engineInfo } from '../dist/index.js';
import { machine, median, root } from './machine.mjs';
import { operationBench } from './operation-bench.mjs';
import { readOptions } from './options.mjs';

const values = readOptions('matrix-products', process.argv.slice(2));
const limit = values.isa?.[0];
const LIMITS = {
  avx2: {
    MENDSET_ISA: 'avx2',
    ATEN_CPU_CAPABILITY: 'avx2',
    ONEDNN_MAX_CPU_ISA: 'AVX2',
    MKL_ENABLE_INSTRUCTIONS: 'AVX2',
    OPENBLAS_CORETYPE: 'Zen',
    BLIS_ARCH_TYPE: 'zen3',
  },
};
const native = operationBench(values.native);
if (native === undefined) {
  console.error('Expected the native benchmark of operations but it is not built: cmake -DMENDSET_TESTS=ON -DMENDSET_BENCH=ON.');
  process.exit(2);
}
const where = machine(engineInfo());
const isa = limit ?? where.isa;
const environment = { ...process.env, ...(limit ? LIMITS[limit] : {}), MENDSET_ISA: isa };

function lines(command, args, input) {
  const { stdout, stderr, status } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, env: environment, input });
  if (status !== 0) return { failed: (stderr ?? '').trim().split('\n').at(-1) || `exit ${status}` };
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const ours = () =>
  lines(native, ['--threads', String(values.threads), '--filter', values.filter]).filter(
    (line) => !line.ceiling && line.isa === isa && /^linear_(forward|backward)/.test(line.operation),
  );
const PEERS = ['torch', 'openblas', 'blis'];
const found = new Map();
const failed = {};
const versions = {};
for (let round = 0; round < values.rounds; round++) {
  const who = ['mendset', ...PEERS].filter((peer) => !(peer in failed));
  const turned = who.map((_, place) => who[(place + round) % who.length]);
  const shapes = found.size > 0 ? [...found.keys()] : ours().map((line) => line.operation);
  for (const peer of turned) {
    const script = [join(root, 'bench/peers/measure_products.py'), peer, '--threads', String(values.threads)];
    const library = peer === 'blis' && values.blis ? ['--library', values.blis] : [];
    const result = peer === 'mendset' ? ours() : lines(values.python, [...script, ...library], shapes.join('\n'));
    if (result.failed) {
      failed[peer] = result.failed;
      continue;
    }
    for (const { operation, gflops, version } of result) {
      if (!found.has(operation)) found.set(operation, {});
      const row = found.get(operation);
      row[peer] ??= [];
      row[peer].push(gflops);
      if (version) versions[peer] = version;
    }
    console.error(`${round + 1}/${values.rounds} ${peer}`);
  }
}

const rows = [...found].map(([operation, by]) => {
  const gflops = Object.fromEntries(Object.entries(by).map(([peer, each]) => [peer, median(each)]));
  const best = PEERS.filter((peer) => peer in gflops).sort((a, b) => gflops[b] - gflops[a])[0] ?? null;
  return { operation, gflops, best, ratio: best === null ? null : gflops.mendset / gflops[best] };
});
mkdirSync(dirname(values.out), { recursive: true });
const kept = {
  kind: 'matrix-products',
  threads: values.threads,
  isa,
  machine: where,
  rounds: values.rounds,
  versions,
  failed,
  rows,
};
writeFileSync(values.out, `${JSON.stringify(kept, null, 1)}\n`);
console.log(`${where.cpu}, ${values.threads} threads, ${isa}; ${Object.values(versions).join(', ')}; GFLOP/s`);
for (const [peer, reason] of Object.entries(failed)) console.log(`${peer}: ${reason}`);
console.log(`${'operation'.padEnd(46)} ${['mendset', ...PEERS].map((peer) => peer.padStart(9)).join('')}   ours / best`);
for (const { operation, gflops, best, ratio } of rows) {
  const cells = ['mendset', ...PEERS].map((peer) => (gflops[peer] === undefined ? '-' : gflops[peer].toFixed(0)).padStart(9)).join('');
  console.log(`${operation.padEnd(46)} ${cells}   ${ratio === null ? '-' : `${ratio.toFixed(2)} ${best}`}`);
}
console.log(`written: ${values.out}`);
