// Select half of a pool with SAPS, repair the demo model with IRepair + KL on it, and compare before and after.
//
//   node examples/select-and-repair.mjs [output folder]
//
// Replace the four paths by your own model folder (Hugging Face layout) and files.
import { join } from 'node:path';
import {
  buildPool,
  builtinScorer,
  compareToxicity,
  evaluate,
  irepair,
  LanguageModel,
  readPairs,
  readPrompts,
  readTexts,
  repair,
  saps,
  select,
} from 'mendset';

const demo = join(import.meta.dirname, '..', 'assets', 'demo');

const model = await LanguageModel.load(join(demo, 'model'));
const pairs = await readPairs(join(demo, 'pool.jsonl'));
const pool = buildPool(pairs.records, { name: 'demo', dataSeed: 43, window: 120, appendEos: pairs.appendEos });
const normal = (await readTexts(join(demo, 'normal.jsonl'))).texts;
const prompts = (await readPrompts(join(demo, 'prompts.jsonl'))).prompts.slice(0, 40).map((p) => p.text);
const scorer = await builtinScorer();

const before = await evaluate(model, { prompts, scorer });
const chosen = await select(pool, saps({ boundaryRatio: 0.5 }), { budget: { fraction: 0.5 }, model, seed: 43 });
const train = Array.from(chosen.indices, (i) => pool.records[i]);
const result = await repair(
  model,
  { train, validation: pool.validation, normal, appendEos: pool.appendEos },
  irepair({ kl: { weight: 1 } }),
  {
    learningRate: 6e-4,
    warmupSteps: 5,
    onStep: ({ step, loss }) => step % 5 === 0 && console.error(`step ${step}: loss ${loss.toFixed(3)}`),
  },
);
const after = await evaluate(model, { prompts, scorer });
if (process.argv[2]) await model.save(process.argv[2]);

const difference = compareToxicity(before.toxicity, after.toxicity);
console.log(
  JSON.stringify({
    selected: train.length,
    of: pool.records.length,
    steps: result.steps,
    blocks: result.blockCounts,
    toxicity: [before.toxicity.mean, after.toxicity.mean],
    difference,
  }),
);
model.dispose();
