// One piece of the checkpoint benchmark in a process of its own; prints one JSON line.
//   node bench/measure-checkpoint.mjs make --config JSON --dtype F32 --folder DIR
//   node bench/measure-checkpoint.mjs use --folder DIR --weights float32|stored
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { batchOfLengths, forecastMemory, LanguageModel } from '../dist/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(['config', 'dtype', 'folder', 'weights'].map((name) => [name, { type: 'string' }])),
});
const peakBytes = () => process.resourceUsage().maxRSS * 1024;
const seconds = async (work) => {
  const begin = performance.now();
  await work();
  return (performance.now() - begin) / 1000;
};

async function make() {
  const createSeconds = performance.now();
  const model = LanguageModel.create(JSON.parse(values.config), { seed: 1, backend: 'cpu' });
  const saveBegin = performance.now();
  await model.save(values.folder, { dtype: values.dtype });
  return {
    createSeconds: (saveBegin - createSeconds) / 1000,
    saveSeconds: (performance.now() - saveBegin) / 1000,
    weightsBytes: model.summary.bytes,
    peakBytes: peakBytes(),
  };
}

/** Every byte of the weight files through a buffer of 8 MiB. */
async function readFiles() {
  const buffer = Buffer.alloc(8 << 20);
  for (const file of (await readdir(values.folder)).filter((name) => name.endsWith('.safetensors'))) {
    const handle = await open(join(values.folder, file));
    while ((await handle.read(buffer, 0, buffer.length)).bytesRead > 0);
    await handle.close();
  }
}

async function use() {
  const nodeBytes = peakBytes();
  const readSeconds = await seconds(readFiles);
  let model;
  const loadSeconds = await seconds(async () => {
    model = await LanguageModel.load(values.folder, { backend: 'cpu', weights: values.weights });
  });
  const loadPeakBytes = peakBytes();
  const lengths = [128, 128, 128, 128];
  const sequences = lengths.map((length, row) => ({
    ids: Int32Array.from({ length }, (_, i) => (row * 131 + i * 37) % 4000),
    mask: new Uint8Array(length).fill(1, 1),
  }));
  const forecast = await forecastMemory(values.folder, { kind: 'score', batch: batchOfLengths(lengths) }, { weights: values.weights });
  const scoreSeconds = await seconds(() => model.score(sequences));
  return {
    parameters: model.summary.parameters,
    weightsBytes: model.summary.bytes,
    nodeBytes,
    readSeconds,
    loadSeconds,
    loadPeakBytes,
    scoreTokens: lengths.reduce((sum, length) => sum + length, 0),
    scoreSeconds,
    scoreForecastBytes: forecast.peak,
    scorePeakBytes: peakBytes(),
  };
}

console.log(JSON.stringify(await { make, use }[positionals[0]]()));
