// A whole IRepair + KL repair of a model of GPT-2 small's shape (random weights, batches of 4 pairs of 128 tokens), and the memory that the
// process held at its peak. Ends with 1 when that is more than `--limit` (GiB, default 4).
//   node bench/repair-memory.mjs [--pairs 64] [--limit 4] [--optimizer rmsprop|adamw]
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { engineInfo, irepair, LanguageModel, repair } from '../dist/index.js';

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '64' },
    limit: { type: 'string', default: '4' },
    optimizer: { type: 'string', default: 'rmsprop' },
  },
});
const pairs = Number(values.pairs);
const MIB = 2 ** 20;

/** Every letter is a token, so that lengths are known: the vocabulary is GPT-2's, its texts are not needed. */
const letters = {
  vocabularySize: 50257,
  eos: 50256,
  hash: 'letters',
  kind: 'letters',
  encode: (text) => Int32Array.from(text, (c) => (c.charCodeAt(0) * 389) % 50256),
  decode: (ids) => Array.from(ids, (id) => String.fromCharCode(32 + (id % 95))).join(''),
};
const text = (seed, length) => Array.from({ length }, (_, i) => String.fromCharCode(97 + ((seed * 31 + i * 17 + i * i) % 26))).join('');
const record = (i) => {
  const fields = { prompt: text(i, 32), chosen: text(i + 7, 95), rejected: text(i + 13, 95) };
  const raw = JSON.stringify(fields);
  const hash = createHash('sha256').update(raw).digest('hex');
  return { id: hash.slice(0, 16), hash, source: `made:${i + 1}`, raw, ...fields };
};
const data = {
  train: Array.from({ length: pairs }, (_, i) => record(i)),
  validation: Array.from({ length: 16 }, (_, i) => record(1_000_000 + i)),
  normal: Array.from({ length: 2 * pairs }, (_, i) => text(2_000_000 + i, 128)),
  appendEos: true,
};

const config = { model_type: 'gpt2', n_layer: 12, n_embd: 768, n_head: 12, vocab_size: 50257, n_positions: 1024, eos_token_id: 50256 };
const before = process.resourceUsage().maxRSS * 1024;
const model = LanguageModel.create(config, { seed: 1, backend: 'cpu', tokenizer: letters });
const weights = model.summary.bytes;
const begin = performance.now();
const result = await repair(model, data, irepair({ kl: {} }), { optimizer: { kind: values.optimizer }, evalEvery: 16 });
const peak = process.resourceUsage().maxRSS * 1024;
model.dispose();
const { isa, threads } = engineInfo();
console.log(
  JSON.stringify({
    isa,
    threads,
    optimizer: values.optimizer,
    steps: result.steps,
    seconds: Math.round((performance.now() - begin) / 1000),
    processBefore: Math.round(before / MIB),
    weights: Math.round(weights / MIB),
    peakMiB: Math.round(peak / MIB),
  }),
);
if (peak > Number(values.limit) * 1024 * MIB) {
  console.error(`Expected at most ${values.limit} GiB but the process held ${(peak / MIB / 1024).toFixed(2)} GiB.`);
  process.exitCode = 1;
}
