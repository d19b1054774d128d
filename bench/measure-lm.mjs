// One measurement of ours, in a process of its own: prints one JSON line, as bench/peers/measure_lm.py does for the peers.
//   node bench/measure-lm.mjs WORK --model DIR --tokens F.npy [--threads T] [--steps S]
// `seconds` is the median of S runs of the work after one that is not counted. What the original model says (KL, DPO) is computed before.
import { parseArgs } from 'node:util';
import * as mendset from '../dist/index.js';
import { median } from './machine.mjs';
import { timed } from './processor-time.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(['model', 'tokens', 'threads', 'steps'].map((name) => [name, { type: 'string' }])),
});
const [work] = positionals;
const threads = Number(values.threads ?? 2);
const { ids, shape } = await mendset.readNpyIds(values.tokens);
const [rows, length] = shape;
const sequences = Array.from({ length: rows }, (_, i) => ({
  ids: ids.slice(i * length, (i + 1) * length),
  mask: new Uint8Array(length).fill(1, 1),
}));
const half = sequences.slice(0, rows / 2);
const other = sequences.slice(rows / 2);

const model = await mendset.LanguageModel.load(values.model, { backend: 'cpu', threads });
const LR = 1e-7; // small, so that repeated steps do the same work

const works = {
  async forward() {
    const run = async () => mean((await model.logProbs(sequences)).map((row) => -mean(row.subarray(1))));
    return { run };
  },
  async gradient() {
    const trainer = new mendset.Trainer(model);
    return {
      run: async () => (await trainer.step({ loss: 'ce', chosen: mendset.pack(sequences), update: false, gradientNorm: true })).loss,
    };
  },
  async step() {
    const trainer = new mendset.Trainer(model);
    return { run: async () => (await trainer.step({ loss: 'ce', chosen: mendset.pack(sequences), lr: LR })).loss };
  },
  async 'step-kl'() {
    const referenceHidden = await model.hidden(other);
    const trainer = new mendset.Trainer(model, { reference: model });
    const request = {
      loss: 'ce',
      chosen: mendset.pack(half),
      weightRepair: 0.5,
      weightKl: 1,
      normal: mendset.pack(other),
      referenceHidden,
      lr: LR,
    };
    return { run: async () => (await trainer.step(request)).loss };
  },
  async dpo() {
    const sums = async (part) => Float64Array.from(await model.logProbs(part), (row) => row.reduce((sum, value) => sum + value, 0));
    const [referenceChosen, referenceRejected] = [await sums(half), await sums(other)];
    const trainer = new mendset.Trainer(model);
    const request = {
      loss: 'dpo',
      chosen: mendset.pack(half),
      rejected: mendset.pack(other),
      referenceChosen,
      referenceRejected,
      beta: 0.1,
      lr: LR,
    };
    return { run: async () => (await trainer.step(request)).loss };
  },
  async irepair() {
    const trainer = new mendset.Trainer(model);
    const request = { loss: 'ce', chosen: mendset.pack(half), sensitivity: mendset.pack(other), slice: 'most-sensitive', lr: LR };
    let block = null;
    return {
      run: async () => {
        const result = await trainer.step(request);
        block = result.blocks[0] ?? null;
        return result.loss;
      },
      more: () => ({ block }),
    };
  },
  async norms() {
    let norms = null;
    return {
      run: async () => {
        norms = await model.gradientNorms(sequences);
        return mean(norms.global);
      },
      more: () => ({ norm: Array.from(norms.global) }),
    };
  },
  async generate() {
    const newTokens = Number(process.env.MENDSET_BENCH_NEW_TOKENS ?? 20);
    const prompts = sequences.map((s, i) => s.ids.subarray(0, 8 + (i % 5) * 4)); // 8 to 24 tokens
    let made = [];
    return {
      run: async () => {
        made = await model.generate(prompts, { maxNewTokens: newTokens, greedy: true });
        return null;
      },
      more: () => ({ generated: made.map(({ ids: text }) => Array.from(text)) }),
    };
  },
};

const mean = (numbers) => numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
const { run, more } = await works[work]();
let loss = await run(); // not counted
const beforeMore = loss;
const each = [];
for (let step = 0; step < Number(values.steps ?? 3); step++) {
  const { result, ...time } = await timed(run);
  loss = result;
  each.push(time);
}
const { isa } = mendset.engineInfo();
console.log(
  JSON.stringify({
    work,
    peer: 'mendset',
    threads,
    isa,
    seconds: median(each.map((time) => time.seconds)),
    foreign: Math.max(...each.map((time) => time.foreign ?? 0)),
    peakBytes: process.resourceUsage().maxRSS * 1024,
    loss: beforeMore,
    ...more?.(),
  }),
);
