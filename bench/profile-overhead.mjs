// What `mendset profile` costs: the same repair of the demo model with and without its recording, in turn.
//     node bench/profile-overhead.mjs [rounds]
// Needs dist (npm run build). Prints the medians and their ratio as JSON.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Trace } from '../dist/cli/trace.js';
import { irepair, LanguageModel, readPairs, repair } from '../dist/index.js';
import { OperationProfile } from '../dist/native/operation-profile.js';

const rounds = Number(process.argv[2] ?? 9);
const demo = join(import.meta.dirname, '..', 'assets', 'demo');
const { records, appendEos } = await readPairs([join(demo, 'pool.jsonl')]);
const normal = readFileSync(join(demo, 'normal.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line).text);
const data = { train: records.slice(0, 160), validation: records.slice(160, 192), normal, appendEos };
const model = await LanguageModel.load(join(demo, 'model'));

async function seconds(recorded) {
  const copy = model.copy();
  const engine = recorded ? new OperationProfile({ mostSpans: 200_000 }) : null;
  const trace = recorded ? new Trace(() => engine.totals()) : null;
  const start = performance.now();
  await repair(copy, data, irepair({ kl: {} }), {
    onProgress: trace ? (event) => trace.progress(event) : undefined,
    onStep: trace ? (log) => trace.step(`step ${log.step}`, { loss: log.loss }) : undefined,
  });
  const elapsed = (performance.now() - start) / 1000;
  engine?.end();
  copy.dispose();
  return elapsed;
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
await seconds(false);
const plain = [];
const recorded = [];
for (let round = 0; round < rounds; round++) {
  // either goes first as often
  for (const which of round % 2 === 0 ? [false, true] : [true, false]) (which ? recorded : plain).push(await seconds(which));
}
const medians = { plainSeconds: median(plain), recordedSeconds: median(recorded) };
process.stdout.write(`${JSON.stringify({ rounds, ...medians, overhead: medians.recordedSeconds / medians.plainSeconds - 1 })}\n`);
model.dispose();
