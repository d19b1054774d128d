/**
 * Trains the embedded demo model with mendset's own engine: a GPT-2 architecture of 3.5 million parameters over the demo corpus,
 * whose rude sentences it learns to continue rudely: that is what the demo repairs.
 *
 *   npx tsc -p tsconfig.scripts.json && node build/scripts/scripts/train-demo-model.js [--out DIR] [--epochs N]
 *
 * Deterministic for a machine's instruction set: seed 1, corpus order from stream 6. Writes a BF16 checkpoint and training.json.
 */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileAtomic } from '../src/core/files.ts';
import { packageRoot } from '../src/core/package-root.ts';
import { RandomStream } from '../src/core/random.ts';
import { LanguageModel } from '../src/model/language-model.ts';
import { pack, type TokenSequence } from '../src/model/sequences.ts';
import { Trainer } from '../src/model/trainer.ts';
import { addon } from '../src/native/addon.ts';
import { loadTokenizer } from '../src/tokenizer/load.ts';
import { demoCorpus } from './demo-corpus.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(packageRoot(), 'assets', 'demo', 'model') },
    epochs: { type: 'string', default: '5' },
  },
});

const SEED = 1;
const CONTEXT = 128;
const BATCH_TOKENS = 2048;
const PEAK_LR = 2e-3;
const FINAL_LR = 1e-4;
const WARMUP_STEPS = 100;
const HELD_OUT_EVERY = 50; // one document of 50 measures the loss and is never trained on

const tokenizer = await loadTokenizer(join(packageRoot(), 'assets', 'demo', 'model'));
const eos = tokenizer.eos;
if (eos === null) throw new Error('the demo tokenizer has no end-of-text token');

/**
 * Documents end with the end-of-text token, and every other one begins with it: the model must continue a beginning that stands alone
 * (a prompt) as well as start from nothing. Cut into pieces of at most CONTEXT tokens; every token but the first is a target.
 */
function sequencesOf(ids: Int32Array, leading: boolean): TokenSequence[] {
  const whole = new Int32Array(ids.length + (leading ? 2 : 1)).fill(eos as number);
  whole.set(ids, leading ? 1 : 0);
  const pieces: TokenSequence[] = [];
  for (let begin = 0; begin < whole.length - 1; begin += CONTEXT - 1) {
    const piece = whole.slice(begin, begin + CONTEXT);
    pieces.push({ ids: piece, mask: new Uint8Array(piece.length).fill(1, 1) });
  }
  return pieces;
}

const documents = await demoCorpus();
const trainDocuments: Int32Array[] = [];
const heldOut: TokenSequence[] = [];
documents.forEach(({ part, text }, i) => {
  const ids = tokenizer.encode(text);
  if (i % HELD_OUT_EVERY === 0) heldOut.push(...sequencesOf(ids, (i / HELD_OUT_EVERY) % 2 === 0));
  // The polite paraphrases are fewer than the rude sentences: twice keeps the model able to say either.
  else trainDocuments.push(...(part === 'paradetox-neutral' ? [ids, ids] : [ids]));
});
const epochs = Number(values.epochs);
function sequencesOfEpoch(epoch: number): TokenSequence[] {
  return trainDocuments.flatMap((ids, i) => sequencesOf(ids, (i + epoch) % 2 === 0));
}
const tokensOf = (sequences: readonly TokenSequence[]): number => sequences.reduce((sum, s) => sum + s.ids.length, 0);
const totalTokens = Array.from({ length: epochs }, (_, epoch) => tokensOf(sequencesOfEpoch(epoch))).reduce((a, b) => a + b, 0);

const config = {
  architectures: ['GPT2LMHeadModel'],
  model_type: 'gpt2',
  activation_function: 'gelu_new',
  attn_pdrop: 0,
  embd_pdrop: 0,
  resid_pdrop: 0,
  bos_token_id: eos,
  eos_token_id: eos,
  initializer_range: 0.02,
  layer_norm_epsilon: 1e-5,
  n_ctx: CONTEXT,
  n_positions: CONTEXT,
  n_embd: 192,
  n_head: 6,
  n_layer: 6,
  n_inner: null,
  scale_attn_weights: true,
  tie_word_embeddings: true,
  vocab_size: tokenizer.vocabularySize,
};
const model = LanguageModel.create(config, { seed: SEED, tokenizer });
const trainer = new Trainer(model, { optimizer: { kind: 'adamw', beta2: 0.99, weightDecay: 0.1 } });
console.error(
  `${documents.length} documents, ${totalTokens} training tokens in ${epochs} epochs, ${model.summary.parameters} parameters, ${model.summary.device} x ${model.summary.threads}`,
);

/** Warm-up, then a cosine. `at`: epochs done, with a fraction. */
function learningRate(atStep: number, at: number): number {
  const cosine = 0.5 * (1 + Math.cos((Math.PI * at) / epochs));
  return Math.min(1, (atStep + 1) / WARMUP_STEPS) * (FINAL_LR + (PEAK_LR - FINAL_LR) * cosine);
}

async function heldOutLoss(): Promise<number> {
  const scores = await model.score(heldOut);
  const sum = scores.reduce((a, s) => a + s.logProb, 0);
  return -sum / scores.reduce((a, s) => a + s.tokens, 0);
}

const started = performance.now();
const curve: { step: number; tokens: number; trainLoss: number; heldOutLoss?: number }[] = [];
let step = 0;
let tokens = 0;
let lossSum = 0;
let lossCount = 0;
for (let epoch = 0; epoch < epochs; epoch++) {
  const train = sequencesOfEpoch(epoch);
  const order = train.map((_, i) => i);
  new RandomStream(BigInt(SEED), 6, epoch).shuffle(order);
  for (let next = 0; next < order.length; ) {
    const batch: TokenSequence[] = [];
    let size = 0;
    while (next < order.length) {
      const sequence = train[order[next] as number] as TokenSequence;
      if (size > 0 && size + sequence.ids.length > BATCH_TOKENS) break;
      batch.push(sequence);
      size += sequence.ids.length;
      next++;
    }
    const lr = learningRate(step, epoch + next / order.length);
    const result = await trainer.step({ loss: 'ce', chosen: pack(batch), lr, clipNorm: 1 });
    step++;
    tokens += size;
    lossSum += result.loss;
    lossCount++;
    if (step % 50 === 0) {
      const seconds = (performance.now() - started) / 1000;
      curve.push({ step, tokens, trainLoss: lossSum / lossCount });
      console.error(
        `step ${step}  epoch ${epoch + 1}/${epochs}  loss ${(lossSum / lossCount).toFixed(3)}  ${Math.round(tokens / seconds)} tokens/s  ${Math.round((seconds * (totalTokens - tokens)) / tokens)} s left`,
      );
      lossSum = 0;
      lossCount = 0;
    }
  }
  curve.push({ step, tokens, trainLoss: Number.NaN, heldOutLoss: await heldOutLoss() });
  console.error(`epoch ${epoch + 1}: held-out loss ${curve.at(-1)?.heldOutLoss?.toFixed(4)}`);
}

await mkdir(values.out, { recursive: true });
await model.save(values.out, { dtype: 'BF16' });
const source = join(packageRoot(), 'assets', 'demo', 'model', 'tokenizer.json');
if (join(values.out, 'tokenizer.json') !== source) await copyFile(source, join(values.out, 'tokenizer.json'));
const { device, threads, parameters } = model.summary;
await writeFileAtomic(
  join(values.out, 'training.json'),
  `${JSON.stringify(
    {
      script: 'scripts/train-demo-model.ts',
      seed: SEED,
      parameters,
      documents: documents.length,
      tokens: totalTokens,
      epochs,
      steps: step,
      batchTokens: BATCH_TOKENS,
      optimizer: {
        kind: 'adamw',
        beta1: 0.9,
        beta2: 0.99,
        weightDecay: 0.1,
        peakLr: PEAK_LR,
        finalLr: FINAL_LR,
        warmupSteps: WARMUP_STEPS,
        clipNorm: 1,
      },
      heldOutLoss: curve.at(-1)?.heldOutLoss,
      seconds: Math.round((performance.now() - started) / 1000),
      isa: addon().info().isa,
      device,
      threads,
      curve: curve
        .filter((point) => point.heldOutLoss !== undefined || point.step % 500 === 0)
        .map((p) => ({ ...p, trainLoss: Number.isNaN(p.trainLoss) ? undefined : p.trainLoss })),
    },
    null,
    2,
  )}\n`,
);
trainer.dispose();
model.dispose();
