/**
 * Trains the built-in toxicity scorer and writes its weights and card.
 *
 *   npx tsc -p tsconfig.scripts.json && node build/scripts/scripts/train-scorer.js DATA [OUT]
 *
 * DATA holds paradetox/, davidson-hate-speech/, tinyshakespeare/, hh-rlhf-harmless-test/ and, for the figures of the card,
 * jigsaw-detoxify-samples/ and openai-moderation-1680/. OUT defaults to assets/demo/scorer. Deterministic: seed 1.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { writeFileAtomic } from '../src/core/files.ts';
import { sha256Hex } from '../src/core/hash.ts';
import { packageRoot } from '../src/core/package-root.ts';
import { PythonRandom } from '../src/core/random.ts';
import { forEachNgram, scorerWords } from '../src/evaluate/ngram-features.ts';
import { NgramWeights } from '../src/evaluate/ngram-weights.ts';
import type { Rated } from './classification-metrics.ts';
import { classificationMetrics } from './classification-metrics.ts';
import type { Labelled } from './source-data.ts';
import { groupByKeys, readDavidson, readJigsaw, readModeration, readParaDetox, readShakespeare, textKey } from './source-data.ts';

const SEED = 1;
const BITS = 19;
const EPOCHS = 8;
const LEARNING_RATE = 0.5;
/** Decay of a weight each time an example touches it */
const L2 = 0.0003;
const HELD_OUT = 0.1;

const [, , data, out = join(packageRoot(), 'assets', 'demo', 'scorer')] = process.argv;
if (data === undefined) throw new Error('name the folder of the source data');

interface Example {
  /** [occurrences] */
  readonly buckets: Int32Array;
  readonly toxic: boolean;
  readonly weight: number;
}

/** Groups that share a text stay on one side; a group's side depends on its texts alone. */
function split(groups: readonly (readonly Labelled[])[]): { train: Labelled[]; heldOut: Labelled[] } {
  const train: Labelled[] = [];
  const heldOut: Labelled[] = [];
  for (const group of groups) {
    const least = group.map((entry) => textKey(entry.text)).sort()[0] as string;
    const position = Number.parseInt(sha256Hex(least).slice(0, 8), 16) / 2 ** 32;
    (position < HELD_OUT ? heldOut : train).push(...group);
  }
  return { train, heldOut };
}

const paradetox = split(
  groupByKeys(
    (await readParaDetox(data)).map((row) => [{ text: row.toxic, toxic: true }, ...row.neutrals.map((text) => ({ text, toxic: false }))]),
    (entries) => entries.map((entry) => textKey(entry.text)),
  ).map((group) => group.flat()),
);
const davidson = split(groupByKeys(await readDavidson(data), (entry) => [textKey(entry.text)]));

/** Within a source both classes weigh the same, so that the source itself says nothing about the class. */
function examples(entries: readonly Labelled[], sourceWeight: number): Example[] {
  const toxic = entries.filter((entry) => entry.toxic).length;
  return entries.map((entry) => {
    const buckets: number[] = [];
    forEachNgram(scorerWords(entry.text), BITS, (bucket) => buckets.push(bucket));
    const inClass = entry.toxic ? toxic : entries.length - toxic;
    return { buckets: Int32Array.from(buckets), toxic: entry.toxic, weight: (sourceWeight * entries.length) / (2 * inClass) };
  });
}

/** Passages of 2 to 4 neutral sentences, every other one with a toxic sentence among them: they teach how length counts. */
function passages(entries: readonly Labelled[]): Labelled[] {
  const random = new PythonRandom(SEED);
  const neutral = random.shuffle(entries.filter((entry) => !entry.toxic).map((entry) => entry.text));
  const toxic = random.shuffle(entries.filter((entry) => entry.toxic).map((entry) => entry.text));
  const made: Labelled[] = [];
  for (let next = 0; next < neutral.length; ) {
    const sentences = neutral.slice(next, next + 2 + random.below(3));
    next += sentences.length;
    const insult = made.length % 2 === 1 ? toxic[made.length] : undefined;
    if (insult !== undefined) sentences.splice(random.below(sentences.length + 1), 0, insult);
    made.push({ text: sentences.join(' '), toxic: insult !== undefined });
  }
  return made;
}

/** Speeches: older and longer English, none of it a comment on the web. */
const speeches = (await readShakespeare(data)).split('\n\n').map((text): Labelled => ({ text, toxic: false }));
const speechWeight = 0.3;

const train = [
  ...examples(paradetox.train, 1),
  ...examples(passages(paradetox.train), 1),
  ...examples(davidson.train, 0.5),
  ...examples(speeches, 2 * speechWeight),
].filter((example) => example.buckets.length > 0);

/** AdaGrad over single examples; a weight decays where it is touched. */
function fitWeights(): { weights: Float64Array; bias: number } {
  const weights = new Float64Array(2 ** BITS);
  const squares = new Float64Array(2 ** BITS).fill(1e-2);
  let bias = 0;
  let biasSquares = 1e-2;
  const random = new PythonRandom(SEED);
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    let loss = 0;
    for (const index of random.permutation(train.length)) {
      const { buckets, toxic, weight } = train[index] as Example;
      const norm = 1 / Math.sqrt(buckets.length);
      let sum = 0;
      for (const bucket of buckets) sum += weights[bucket] as number;
      const probability = 1 / (1 + Math.exp(-(bias + sum * norm)));
      loss -= weight * Math.log(Math.max(1e-12, toxic ? probability : 1 - probability));
      const gradient = weight * (probability - (toxic ? 1 : 0));
      for (const bucket of buckets) {
        const step = gradient * norm + L2 * (weights[bucket] as number);
        squares[bucket] = (squares[bucket] as number) + step * step;
        weights[bucket] = (weights[bucket] as number) - (LEARNING_RATE * step) / Math.sqrt(squares[bucket] as number);
      }
      biasSquares += gradient * gradient;
      bias -= (LEARNING_RATE * gradient) / Math.sqrt(biasSquares);
    }
    console.error(`epoch ${epoch + 1}: mean loss ${(loss / train.length).toFixed(4)}`);
  }
  return { weights, bias };
}

const { weights, bias } = fitWeights();
const magnitudes = Float64Array.from(weights, Math.abs)
  .filter((value) => value > 0)
  .sort();
// The strongest 0.02 % are clipped, which leaves finer steps for the rest
const largest = magnitudes[Math.floor(magnitudes.length * 0.9998)] as number;
const scale = largest / 127;
const quantised = Int8Array.from(weights, (value) => Math.max(-127, Math.min(127, Math.round(value / scale))));

function rate(model: NgramWeights, entries: readonly Labelled[]): Rated[] {
  return entries.map((entry) => ({ score: model.score(entry.text), toxic: entry.toxic }));
}

const model = new NgramWeights(BITS, scale, bias, quantised);
const metrics = {
  'paradetox, held-out tenth': classificationMetrics(rate(model, paradetox.heldOut)),
  'davidson, held-out tenth': classificationMetrics(rate(model, davidson.heldOut)),
  'jigsaw samples of Detoxify (any label)': classificationMetrics(rate(model, await readJigsaw(data))),
  'openai-moderation-1680 (any label)': classificationMetrics(
    rate(model, await readModeration(data, ['S', 'H', 'V', 'HR', 'SH', 'S3', 'H2', 'V2'])),
  ),
  'openai-moderation-1680 (hate and harassment: H, H2, HR)': classificationMetrics(
    rate(model, await readModeration(data, ['H', 'H2', 'HR'])),
  ),
};

const bytes = model.toBytes();
const card = {
  name: 'mendset-ngram',
  version: '1',
  labels: ['toxicity'],
  activation: 'sigmoid',
  method: `logistic regression on hashed word 1-2-grams and character 2-5-grams, 2^${BITS} buckets, int8 weights; a text over 32 words scores as its worst passage of 32`,
  weights: { file: 'weights.bin', bytes: bytes.length, sha256: sha256Hex(bytes), nonZero: quantised.filter((value) => value !== 0).length },
  license: 'MIT',
  sources: [
    {
      name: 'ParaDetox',
      role: 'training and held-out tenth',
      license: 'CC0 1.0',
      cite: 'Logacheva et al. 2022, s-nlp/paradetox',
      texts: paradetox.train.length,
    },
    {
      name: 'Hate Speech and Offensive Language',
      role: 'training and held-out tenth; no post is contained, only weights learnt from them',
      license: 'MIT, Copyright (c) 2017 Tom Davidson',
      cite: 'Davidson et al. 2017, t-davidson/hate-speech-and-offensive-language',
      texts: davidson.train.length,
    },
    {
      name: 'tinyshakespeare',
      role: 'training, as neutral text',
      license: 'public domain',
      cite: 'karpathy/char-rnn',
      texts: speeches.length,
    },
    {
      name: 'Jigsaw samples of Detoxify',
      role: 'evaluation only',
      license: 'labels CC0, comments CC BY-SA 3.0',
      cite: 'unitaryai/detoxify',
    },
    { name: 'OpenAI moderation samples', role: 'evaluation only', license: 'MIT', cite: 'openai/moderation-api-release' },
  ],
  splits: 'texts that are equal as the scorer sees them, and the paraphrases of one sentence, lie on one side',
  metrics,
  limits:
    'English; made for short texts; knows words, not meaning: quoted, ironic and coded texts are misjudged, and names of groups may raise the score. Its numbers compare with no other scorer and do not belong in decisions about people.',
  trainedBy: 'scripts/train-scorer.ts',
};
await mkdir(out, { recursive: true });
await writeFileAtomic(join(out, 'weights.bin'), bytes);
await writeFileAtomic(join(out, 'card.json'), `${JSON.stringify(card, null, 2)}\n`);
for (const [name, { bins: _, ...figures }] of Object.entries(metrics)) console.error(name, JSON.stringify(figures));
