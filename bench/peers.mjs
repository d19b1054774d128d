// Ours and other people's software on the same files, interleaved, each measurement in a process of its own.
//   npm run bench -- peers --python PYTHON [--inputs FOLDER] [--rounds 5] [--rows NAME,NAME] [--threads 2] [--small] [--peer-isa avx2]
//                       [--out FILE.json]
// The order turns each round. Reported are medians of the ratios within a round; rounds in which other processes kept more than 0.3 cores
// busy are left out where enough quiet ones remain, and counted. MENDSET_ISA=avx2 limits ours, --peer-isa avx2 the peers; what each peer used
// in the end is reported.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { engineInfo } from '../dist/index.js';
import { machine, median, root } from './machine.mjs';
import { readOptions } from './options.mjs';
import { peerLimits } from './peer-isa.mjs';
import { ROWS, rowTitle } from './peer-rows.mjs';
import { measureOnce, quietRounds } from './rounds.mjs';

const values = readOptions('peers', process.argv.slice(2));
const { rounds } = values;
const small = values.small ?? false;
const limits = peerLimits(values['peer-isa']);
const inputs = small ? `${values.inputs}-small` : values.inputs;
const saved = join(inputs, 'results');

function runOrExit(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  console.error(`Expected ${command} ${args.join(' ')} to succeed but it ended with ${error?.message ?? status}.`);
  process.exit(1);
}

/** Shape and size of a .npy file, from its header. */
function shapeOf(path) {
  const header = readFileSync(path).subarray(0, 256).toString('latin1');
  const [n, d = 1] = /'shape':\s*\(([^)]*)\)/
    .exec(header)[1]
    .split(',')
    .filter((part) => part.trim())
    .map(Number);
  return { n, d };
}

mkdirSync(saved, { recursive: true });
runOrExit(values.python, [join(root, 'bench/peers/make_inputs.py'), '--out', inputs, ...(small ? ['--small'] : [])]);
const wanted = values.rows;
const rows = ROWS.filter((row) => !wanted || wanted.includes(row.name));
if (rows.some((row) => row.real) && !existsSync(join(inputs, 'tfidf.npy'))) {
  runOrExit(process.execPath, [join(root, 'bench/real-vectors.mjs'), '--out', inputs, ...(values.data ? ['--data', values.data] : [])]);
  runOrExit(values.python, [join(root, 'bench/peers/text_vectors.py'), '--out', inputs, '--texts', join(inputs, 'texts.jsonl')]);
}

const where = machine(engineInfo());
// With --rows the others are kept as an earlier run on the same kind of machine left them; every row says its commit and date.
const earlier = wanted && existsSync(values.out) ? JSON.parse(readFileSync(values.out, 'utf8')) : null;
const kept =
  earlier?.machine.cpu === where.cpu && earlier.small === small && (earlier.peerIsa ?? null) === (values['peer-isa'] ?? null)
    ? earlier.rows.filter((row) => !wanted.includes(row.name))
    : [];
const results = [];
for (const row of rows) {
  const x = join(inputs, row.x);
  const { n, d } = shapeOf(x);
  const start = row.start && join(inputs, row.start);
  const k = start ? shapeOf(start).n : row.k && Math.min(row.k, Math.floor(n / 2));
  const budget = row.share && Math.floor(n * row.share);
  const iterations = row.iterations;
  const measurements = [];
  const who = ['mendset', ...row.peers];
  for (let round = 0; round < rounds; round++) {
    for (let place = 0; place < who.length; place++) {
      const peer = who[(place + round) % who.length];
      const args = ['--x', x, '--threads', String(values.threads), '--save', join(saved, `${row.name}.${peer}.npy`)];
      if (start) args.push('--start', start);
      if (k) args.push('--k', String(k));
      if (budget) args.push('--budget', String(budget));
      // faiss knows no convergence: it gets as many iterations as ours took
      const sameWork = measurements.find((m) => m.peer === 'mendset')?.iterations;
      if (iterations) args.push('--iterations', String(peer === 'faiss' && sameWork ? sameWork : iterations));
      const found =
        peer === 'mendset'
          ? measureOnce(process.execPath, [join(root, 'bench/measure.mjs'), row.work, ...args])
          : measureOnce(values.python, [join(root, 'bench/peers/measure.py'), row.work, peer, ...args], limits);
      measurements.push({ round, ...found, peer });
      console.error(
        `${row.name} ${round + 1}/${rounds} ${peer}: ${found.failed ?? found.skipped ?? `${found.seconds.toFixed(3)} s, ${found.foreign?.toFixed(2)} foreign cores`}`,
      );
    }
  }
  const shape = { n, d, k, budget };
  results.push({ ...summary(row, shape, measurements, who), date: new Date().toISOString(), commit: where.commit, measurements });
  write();
}

function summary(row, shape, measurements, who) {
  const of = (peer) => measurements.filter((m) => m.peer === peer && m.seconds !== undefined);
  const { quiet, counted } = quietRounds(measurements, rounds);
  const peers = who.slice(1).flatMap((peer) => {
    const ratios = counted.flatMap((round) => {
      const [ours, theirs] = ['mendset', peer].map((name) => of(name).find((m) => m.round === round));
      // to equal assignment passes, where the numbers differ
      const share =
        ours?.passes && theirs?.passes && row.work === 'k-means' && row.iterations < 300 && !theirs.approximate
          ? ours.passes / theirs.passes
          : 1;
      return ours && theirs ? [(theirs.seconds * share) / ours.seconds] : [];
    });
    const all = of(peer);
    if (all.length === 0)
      return [{ peer, skipped: measurements.find((m) => m.peer === peer)?.skipped ?? measurements.find((m) => m.peer === peer)?.failed }];
    return [
      {
        peer,
        version: all[0].version,
        kernels: all[0].kernels,
        seconds: median(all.filter((m) => counted.includes(m.round)).map((m) => m.seconds)),
        ratio: median(ratios),
        ratios,
        passes: all[0].passes,
        peakBytes: median(all.map((m) => m.peakBytes)),
        workBytes: median(all.map((m) => m.workBytes)),
        ...(all[0].extrapolated ? { extrapolated: all[0].extrapolated } : {}),
        ...(all[0].approximate ? { approximate: true } : {}),
      },
    ];
  });
  const ours = of('mendset').filter((m) => counted.includes(m.round));
  const seconds = median(ours.map((m) => m.seconds));
  const passes = ours[0]?.passes;
  const flops = row.flops?.({ ...shape, passes });
  const inputBytes = shape.n * shape.d * (row.x === 'scores.npy' ? 8 : 4);
  return {
    name: row.name,
    title: rowTitle(row, shape),
    ...shape,
    target: row.target ?? null,
    seconds,
    passes,
    gflops: flops && seconds ? flops / seconds / 1e9 : null,
    gbs: passes
      ? (inputBytes * passes) / seconds / 1e9
      : shape.k && row.work === 'k-center'
        ? (inputBytes * shape.k) / seconds / 1e9
        : inputBytes / seconds / 1e9,
    peakBytes: median(ours.map((m) => m.peakBytes)),
    workBytes: median(ours.map((m) => m.workBytes)),
    inputBytes,
    peers,
    rounds,
    quietRounds: quiet.length,
    equal: judge(row, who),
  };
}

/** Whether the outputs are equal, by one function for all. */
function judge(row, who) {
  if (!row.judge) return null;
  const files = who.map((peer) => [peer, join(saved, `${row.name}.${peer}.npy`)]).filter(([, path]) => existsSync(path));
  const found = measureJudge([row.judge, '--x', join(inputs, row.x), ...files.map(([, path]) => path)]);
  for (const [, path] of files) rmSync(path);
  return found && { by: row.judge, ...Object.fromEntries(files.map(([peer], i) => [peer, found[i]])) };
}

function measureJudge(args) {
  const { stdout, status } = spawnSync(values.python, [join(root, 'bench/peers/judge.py'), ...args], { encoding: 'utf8' });
  return status === 0 ? JSON.parse(stdout) : null;
}

function write() {
  const ordered = ROWS.flatMap(({ name }) => [...results, ...kept].find((row) => row.name === name) ?? []);
  const manifest = JSON.parse(readFileSync(join(inputs, 'manifest.json'), 'utf8'));
  mkdirSync(join(values.out, '..'), { recursive: true });
  writeFileSync(
    values.out,
    `${JSON.stringify({ kind: 'selection-peers', small, threads: values.threads, peerIsa: values['peer-isa'] ?? null, machine: where, inputs: manifest, rows: ordered }, null, 1)}\n`,
  );
}

const size = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
console.log('work | ours s | GFLOP/s | GB/s | beside the input (input) | peers: ratio (seconds)');
for (const r of results) {
  const peers = r.peers.map((p) =>
    p.skipped
      ? `${p.peer}: ${p.skipped}`
      : `${p.peer} ${p.ratio?.toFixed(2)}x (${p.seconds.toFixed(3)} s${p.workBytes === null ? '' : `, ${size(p.workBytes)}`}${p.extrapolated ? `, ${p.extrapolated}` : ''}${p.approximate ? ', approximate' : ''})`,
  );
  console.log(
    `${r.title} | ${r.seconds?.toFixed(4)} | ${r.gflops?.toFixed(0) ?? '-'} | ${r.gbs?.toFixed(1) ?? '-'} | ${size(r.workBytes)} (${size(r.inputBytes)}) | ${peers.join(', ')} | quiet rounds ${r.quietRounds}/${rounds}${r.equal ? ` | ${JSON.stringify(r.equal)}` : ''}`,
  );
}
const used = new Map(results.flatMap((r) => r.peers.filter((p) => p.kernels).map((p) => [p.peer, p.kernels])));
console.log(`kernels: mendset ${where.isa}; ${[...used].map(([peer, kernels]) => `${peer} ${kernels}`).join('; ')}`);
console.log(`written: ${values.out}`);
