// The language-model engine beside PyTorch and transformers on the same checkpoint and tokens, interleaved, each measurement in a process
// of its own; then every operation beside what the machine allows (roofline), where the native benchmark is built.
//   npm run bench -- lm --python PYTHON [--rounds 5] [--rows NAME,NAME] [--threads 2] [--steps 3] [--inputs FOLDER] [--out FILE.json]
//                       [--no-roofline] [--native FILE]
// The order turns each round. Reported are medians of the ratios within a round; rounds in which other processes kept more than 0.3 cores
// busy are left out where three quiet ones remain, and counted. MENDSET_ISA=avx2 limits ours; --peer-isa avx2 limits PyTorch alike.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { engineInfo, LanguageModel, RandomStream, writeNpy } from '../dist/index.js';
import { LM_ROWS, lmRowTitle } from './lm-rows.mjs';
import { machine, median, root } from './machine.mjs';
import { operationBench } from './operation-bench.mjs';
import { readOptions } from './options.mjs';
import { peerLimits } from './peer-isa.mjs';
import { measureOnce, quietRounds } from './rounds.mjs';

const values = readOptions('lm', process.argv.slice(2));
const { rounds } = values;
const threads = String(values.threads);
const limits = peerLimits(values['peer-isa']);
const wanted = values.rows ?? null;

/** The folder of a row's model; GPT-2 small's shape is written once with random weights. */
async function modelFolder(name) {
  if (name === 'demo') return join(root, 'assets', 'demo', 'model');
  const folder = join(values.inputs, name);
  if (existsSync(join(folder, 'model.safetensors'))) return folder;
  mkdirSync(folder, { recursive: true });
  const config = { model_type: 'gpt2', n_layer: 12, n_head: 12, n_embd: 768, vocab_size: 50257, n_positions: 1024, eos_token_id: 50256 };
  const model = LanguageModel.create(config, { seed: 1, backend: 'cpu' });
  await model.save(folder);
  model.dispose();
  return folder;
}

/** [rows, length] random ids: a pair of batches for the works that read two texts for each example. */
async function tokenFile(row, vocab) {
  const twice = ['step-kl', 'dpo', 'irepair'].includes(row.work);
  const shape = [row.batch * (twice ? 2 : 1), row.work === 'generate' ? 64 : row.length];
  const path = join(values.inputs, `tokens-${shape.join('x')}-${vocab}.npy`);
  if (!existsSync(path)) {
    const stream = new RandomStream(7, 1);
    await writeNpy(
      path,
      Int32Array.from({ length: shape[0] * shape[1] }, () => Math.floor(stream.uniform() * vocab)),
      shape,
    );
  }
  return path;
}

mkdirSync(values.inputs, { recursive: true });
const where = machine(engineInfo());
const results = [];
for (const row of LM_ROWS.filter(({ name }) => wanted === null || wanted.includes(name))) {
  const model = await modelFolder(row.model);
  const tokens = await tokenFile(row, JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')).vocab_size);
  const args = ['--model', model, '--tokens', tokens, '--threads', threads, '--steps', row.model === 'demo' ? '50' : String(values.steps)];
  const who = ['mendset', ...row.peers];
  const measurements = [];
  for (let round = 0; round < rounds; round++) {
    for (let place = 0; place < who.length; place++) {
      const peer = who[(place + round) % who.length];
      const found =
        peer === 'mendset'
          ? measureOnce(process.execPath, [join(root, 'bench/measure-lm.mjs'), row.work, ...args])
          : measureOnce(values.python, [join(root, 'bench/peers/measure_lm.py'), row.work, peer, ...args], limits);
      measurements.push({ round, ...found, peer });
      console.error(
        `${row.name} ${round + 1}/${rounds} ${peer}: ${found.failed ?? `${found.seconds.toFixed(3)} s, ${mib(found.peakBytes)} MiB, ${found.foreign.toFixed(2)} foreign cores`}`,
      );
    }
  }
  results.push(summary(row, measurements, who));
}

function summary(row, measurements, who) {
  const { quiet, counted } = quietRounds(measurements, rounds);
  const of = (peer) => measurements.filter((m) => m.peer === peer && m.seconds !== undefined && counted.includes(m.round));
  const ours = of('mendset');
  const peers = who.slice(1).map((peer) => {
    const theirs = of(peer);
    if (theirs.length === 0) return { peer, failed: measurements.find((m) => m.peer === peer)?.failed };
    const pairs = ours.flatMap((m) => {
      const other = theirs.find((t) => t.round === m.round);
      return other ? [[m, other]] : [];
    });
    return {
      peer,
      version: theirs[0].version,
      seconds: median(theirs.map((m) => m.seconds)),
      ratio: median(pairs.map(([m, other]) => other.seconds / m.seconds)),
      ratios: pairs.map(([m, other]) => other.seconds / m.seconds),
      peakBytes: median(theirs.map((m) => m.peakBytes)),
      memoryRatio: median(pairs.map(([m, other]) => m.peakBytes / other.peakBytes)),
      equal: agreement(ours[0], theirs[0]),
    };
  });
  const tokens = row.batch * row.length * (['step-kl', 'dpo', 'irepair'].includes(row.work) ? 2 : 1);
  const seconds = median(ours.map((m) => m.seconds));
  const measured = measurements.map(({ norm, generated, ...rest }) => rest);
  return {
    name: row.name,
    title: lmRowTitle(row),
    tokens,
    seconds,
    tokensPerSecond: seconds && tokens / seconds,
    peakBytes: median(ours.map((m) => m.peakBytes)),
    target: row.target ?? null,
    memoryTarget: row.memoryTarget ?? null,
    peers,
    rounds,
    quietRounds: quiet.length,
    measurements: measured,
  };
}

/** Whether both did the same work: loss before the first step, norms, texts, chosen block. */
function agreement(ours, theirs) {
  if (ours === undefined) return null;
  const relative = (a, b) => Math.abs(a - b) / Math.max(Math.abs(a), 1e-12);
  const out = {};
  if (ours.loss !== null && theirs.loss !== null && ours.norm === undefined) out.loss = relative(ours.loss, theirs.loss);
  if (ours.norm && theirs.norm) out.norm = Math.max(...ours.norm.map((value, i) => relative(value, theirs.norm[i])));
  if (ours.block !== undefined && ours.block !== null) out.block = ours.block === theirs.block;
  if (ours.generated && theirs.generated) {
    // the end-of-text token, which ours leaves out, ends theirs
    const same = ours.generated.filter((text, i) => text.every((id, t) => id === theirs.generated[i][t])).length;
    out.texts = `${same} of ${ours.generated.length}`;
  }
  return out;
}

const operations = values['no-roofline'] ? null : roofline();

/** Operations with their share of the ceiling: the larger of arithmetic and memory, each against what the machine did in the same run. */
function roofline() {
  const native = operationBench(values.native);
  if (native === undefined) {
    console.log('The operations were not measured: build their benchmark with cmake -DMENDSET_BENCH=ON.');
    return null;
  }
  const { stdout, status } = spawnSync(native, ['--threads', threads], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { MENDSET_ISA: where.isa, ...process.env },
  });
  if (status !== 0) return null;
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const ceilings = lines.filter((line) => line.ceiling);
  return {
    ceilings,
    operations: lines
      .filter((line) => !line.ceiling)
      .map(({ operation, isa, us, gflops, gbps }) => {
        const top = ceilings.find((ceiling) => isa.includes(ceiling.isa)) ?? ceilings[0];
        return { operation, microseconds: us, gflops, gbps, ofPeak: gflops / top.gflops, ofBandwidth: gbps / top.gbps };
      }),
  };
}

const earlier = wanted && existsSync(values.out) ? JSON.parse(readFileSync(values.out, 'utf8')) : null;
const rows = LM_ROWS.flatMap(
  ({ name }) => [...results, ...(earlier?.machine.cpu === where.cpu ? earlier.rows : [])].find((row) => row.name === name) ?? [],
);
mkdirSync(dirname(values.out), { recursive: true });
const kept = {
  kind: 'lm',
  threads: values.threads,
  peerIsa: values['peer-isa'] ?? null,
  machine: where,
  rows,
  roofline: operations ?? earlier?.roofline ?? null,
};
writeFileSync(values.out, `${JSON.stringify(kept, null, 1)}\n`);

console.log(`${where.cpu}, ${values.threads} threads, ${where.isa}`);
console.log('work | ours s | tokens/s | peak MiB | peers: times as long (seconds; our memory as a share of theirs)');
for (const r of results) {
  const peers = r.peers.map((p) =>
    p.failed
      ? `${p.peer}: ${p.failed}`
      : `${p.peer} ${p.ratio.toFixed(2)}x (${p.seconds.toFixed(3)} s; ${p.memoryRatio.toFixed(2)}) ${JSON.stringify(p.equal)}`,
  );
  const target = r.target === null ? '' : ` | wanted ${r.target}${r.memoryTarget === null ? '' : `, memory ${r.memoryTarget}`}`;
  console.log(
    `${r.title} | ${r.seconds?.toFixed(4)} | ${r.tokensPerSecond?.toFixed(0)} | ${mib(r.peakBytes)} | ${peers.join(', ')} | quiet rounds ${r.quietRounds}/${rounds}${target}`,
  );
}
if (operations) {
  for (const c of operations.ceilings)
    console.log(`machine, ${c.isa}: ${c.gflops.toFixed(0)} GFLOP/s, ${c.gbps.toFixed(1)} GB/s from memory`);
  for (const o of operations.operations) {
    console.log(
      `${o.operation.padEnd(52)} ${(o.microseconds / 1000).toFixed(3).padStart(9)} ms ${o.gflops.toFixed(0).padStart(5)} GFLOP/s ${percent(o.ofPeak)} of peak ${o.gbps.toFixed(1).padStart(6)} GB/s ${percent(o.ofBandwidth)}`,
    );
  }
  console.log('More than 100 % of the memory bandwidth: the operands stayed in a cache.');
}
console.log(`written: ${values.out}`);

function mib(bytes) {
  return (bytes / 2 ** 20).toFixed(0);
}
function percent(share) {
  return `${(100 * share).toFixed(0).padStart(3)} %`;
}
