// Vectors of real texts for the comparison: texts.jsonl, and demo-model.npy, the mean-pooled hidden states of the demo model.
//   node bench/real-vectors.mjs --out FOLDER [--data FOLDER]
// The texts are those of assets/demo (corpus and pool) and, with --data, every line of the .txt files and every "text" of the .jsonl files there.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { LanguageModel, writeNpy } from '../dist/index.js';
import { root } from './machine.mjs';

const { values } = parseArgs({ options: { out: { type: 'string' }, data: { type: 'string' } } });
const demo = join(root, 'assets', 'demo');

function textsOf(path) {
  const bytes = readFileSync(path);
  const lines = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8').split('\n');
  const texts = /\.jsonl(\.gz)?$/.test(path)
    ? lines
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
        .map((row) => row.text ?? `${row.prompt}${row.chosen}\n${row.rejected}`)
    : lines;
  return texts.filter((text) => typeof text === 'string' && text.trim().length >= 10);
}

const files = [...readdirSync(join(demo, 'corpus')).map((name) => join(demo, 'corpus', name)), join(demo, 'pool.jsonl')];
if (values.data)
  for (const name of readdirSync(values.data, { recursive: true })) if (/\.(txt|jsonl)$/.test(name)) files.push(join(values.data, name));
const texts = files
  .filter((path) => /\.(jsonl|jsonl\.gz|txt)$/.test(path))
  .sort()
  .flatMap(textsOf);
writeFileSync(join(values.out, 'texts.jsonl'), texts.map((text) => `${JSON.stringify({ text })}\n`).join(''));

const model = await LanguageModel.load(join(demo, 'model'));
const limit = Math.min(model.summary.context, 128);
const sequences = texts.map((text) => {
  const ids = model.requireTokenizer().encode(text).slice(0, limit);
  return { ids, mask: new Uint8Array(ids.length).fill(1, 1) };
});
const x = await model.embed(sequences);
model.dispose();
await writeNpy(join(values.out, 'demo-model.npy'), x.data, [x.rows, x.columns]);
// every n / 64-th row is a start
const k = Math.min(64, Math.floor(x.rows / 10));
const start = new Float32Array(k * x.columns);
for (let j = 0; j < k; j++) {
  const row = Math.floor((j * x.rows) / k);
  start.set(x.data.subarray(row * x.columns, (row + 1) * x.columns), j * x.columns);
}
await writeNpy(join(values.out, 'demo-model.start.npy'), start, [k, x.columns]);
console.error(`${texts.length} texts, ${x.columns} columns of the demo model`);
