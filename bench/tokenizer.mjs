// npm run bench -- tokenizer [--text FILE] [--tokenizer DIR] [--rounds N] [--out FILE.json]
// MB of UTF-8 that become ids in a second, on one thread: this package beside @huggingface/tokenizers, interleaved, ids compared. Texts are the
// non-empty lines of FILE (a .jsonl: its `text`). cold: a tokenizer that has seen no text; warm: one that has seen the same text before.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { engineInfo, loadTokenizer, readTexts } from '../dist/index.js';
import { machine, median, root } from './machine.mjs';
import { readOptions } from './options.mjs';

const values = readOptions('tokenizer', process.argv.slice(2));
const { rounds } = values;
const { texts } = await readTexts(values.text);
const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);

const folders = [];
const golden = join(root, 'test', 'golden', 'tokenizer');
if (values.tokenizer !== undefined) folders.push({ name: values.tokenizer, directory: values.tokenizer, keep: true });
else {
  const own = async (name, files) => {
    const directory = await mkdtemp(join(tmpdir(), 'mendset-bench-'));
    for (const [file, content] of Object.entries(files)) await writeFile(join(directory, file), content);
    folders.push({ name, directory });
  };
  await own('NeoX byte-level BPE', { 'tokenizer.json': gunzipSync(await readFile(join(golden, 'neox-tokenizer.json.gz'))) });
  const kinds = gunzipSync(await readFile(join(golden, 'kinds.jsonl.gz')))
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  for (const [name, kind] of [
    ['Llama 3 pipeline, small vocabulary', 'llama3'],
    ['Llama 2 pipeline, small vocabulary', 'llama2'],
    ['BERT pipeline, small vocabulary', 'bert-uncased'],
  ])
    await own(name, { 'tokenizer.json': JSON.stringify(kinds.find((entry) => entry.name === kind).tokenizer) });
}

const results = [];
for (const { name, directory, keep } of folders) {
  const json = JSON.parse(await readFile(join(directory, 'tokenizer.json'), 'utf8'));
  const library = new Library({ ...json, truncation: null, padding: null }, {});
  const warm = await loadTokenizer(directory);
  const times = { cold: [], warm: [], library: [] };
  const take = (key, encode) => {
    const start = performance.now();
    const ids = texts.map(encode);
    times[key].push((performance.now() - start) / 1000);
    return ids;
  };
  let different = 0;
  for (let round = 0; round <= rounds; round++) {
    const cold = await loadTokenizer(directory);
    const ours = take('cold', (text) => cold.encode(text));
    take('warm', (text) => warm.encode(text));
    const theirs = take('library', (text) => library.encode(text, { add_special_tokens: false }).ids);
    // The first round warms the compiler up
    if (round === 0) for (const key of Object.keys(times)) times[key].length = 0;
    different = texts.filter((_, i) => String(ours[i]) !== String(theirs[i])).length;
  }
  const speed = Object.fromEntries(Object.entries(times).map(([key, list]) => [key, bytes / median(list) / 1e6]));
  results.push({ name, kind: warm.kind, texts: texts.length, bytes, differentTexts: different, megabytesPerSecond: speed });
  const ratio = (key) => (speed[key] / speed.library).toFixed(1);
  console.log(
    `${name}: cold ${speed.cold.toFixed(2)} MB/s (${ratio('cold')} x), warm ${speed.warm.toFixed(2)} MB/s (${ratio('warm')} x), @huggingface/tokenizers ${speed.library.toFixed(2)} MB/s; ${different} of ${texts.length} texts differ`,
  );
  if (!keep) await rm(directory, { recursive: true, force: true });
}
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify({ ...machine(engineInfo()), rounds, results }, null, 2)}\n`);
