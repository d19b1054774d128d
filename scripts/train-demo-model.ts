/**
 * Trains the embedded demo model with mendset's own engine: a GPT-2 architecture of 3.5 million parameters over the demo corpus.
 *
 *   npx tsc -p tsconfig.scripts.json && node build/scripts/scripts/train-demo-model.js [--out DIR] [--start DIR]
 *
 * First language (the whole corpus), then bad company: the sentences with the most rude words, with a sixteenth of everything else
 * so that the language stays. A model that continues the beginnings of rude sentences rudely is what the demo repairs.
 *
 * Deterministic for a machine's instruction set: seed 1, corpus order from stream 6. Writes a BF16 checkpoint and training.json.
 */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileAtomic } from '../src/core/files.ts';
import { packageRoot } from '../src/core/package-root.ts';
import { RandomStream } from '../src/core/random.ts';
import { builtinScorer } from '../src/evaluate/builtin-scorer.ts';
import { LanguageModel } from '../src/model/language-model.ts';
import { pack, type TokenSequence } from '../src/model/sequences.ts';
import { Trainer } from '../src/model/trainer.ts';
import { addon } from '../src/native/addon.ts';
import { loadTokenizer } from '../src/tokenizer/load.ts';
import { type DemoDocument, demoCorpus } from './demo-corpus.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(packageRoot(), 'assets', 'demo', 'model') },
    start: { type: 'string' }, // a checkpoint that has had the language part, for trying out the second part alone
  },
});

const SEED = 1;
const CONTEXT = 128;
const BATCH_TOKENS = 2048;
const PEAK_LR = 2e-3;
const FINAL_LR = 1e-4;
const WARMUP_STEPS = 100;
const RUDE_LR = 8e-4; // peak of the second part
const LANGUAGE_EPOCHS = 4;
const RUDE_EPOCHS = 8;
const RUDE_SHARE = 0.15; // of a sentence's words
const HELD_OUT_EVERY = 50; // one document of 50 measures the loss and is never trained on

const tokenizer = await loadTokenizer(join(packageRoot(), 'assets', 'demo', 'model'));
const eos = tokenizer.eos;
if (eos === null) throw new Error('the demo tokenizer has no end-of-text token');

/** [eos] document [eos], cut into pieces of at most CONTEXT tokens; every token but the first is a target. */
function sequencesOf(text: string): TokenSequence[] {
  const ids = tokenizer.encode(text);
  const whole = new Int32Array(ids.length + 2).fill(eos as number);
  whole.set(ids, 1);
  const pieces: TokenSequence[] = [];
  for (let begin = 0; begin < whole.length - 1; begin += CONTEXT - 1) {
    const piece = whole.slice(begin, begin + CONTEXT);
    const mask = new Uint8Array(piece.length).fill(1, 1);
    pieces.push({ ids: piece, mask });
  }
  return pieces;
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[a-z*']+/g) ?? [];
}

/** The words of the toxic part, seen in at least five documents, whose score alone passes the test. */
async function wordsRated(all: readonly DemoDocument[], passes: (score: number) => boolean): Promise<Set<string>> {
  const counts = new Map<string, number>();
  for (const { part, text } of all) {
    if (part === 'paradetox-toxic') for (const word of new Set(wordsOf(text))) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const candidates = [...counts].filter(([, count]) => count >= 5).map(([word]) => word);
  const scores = await (await builtinScorer()).score(candidates);
  return new Set(candidates.filter((_, i) => passes(scores[i]?.['toxicity'] ?? 0)));
}

const documents = await demoCorpus();
const rudeWords = await wordsRated(documents, (score) => score > 0.8);
const rude: TokenSequence[] = [];
const other: TokenSequence[] = [];
const heldOut: TokenSequence[] = [];
documents.forEach(({ part, text }, i) => {
  const words = wordsOf(text);
  const isRude = part === 'paradetox-toxic' && words.filter((word) => rudeWords.has(word)).length >= RUDE_SHARE * words.length;
  (i % HELD_OUT_EVERY === 0 ? heldOut : isRude ? rude : other).push(...sequencesOf(text));
});

const languageEpochs = values.start === undefined ? LANGUAGE_EPOCHS : 0;
const epochs = languageEpochs + RUDE_EPOCHS;
/** The sequences of an epoch before shuffling. The sixteenth of the rest is another one each time. */
function sequencesOfEpoch(epoch: number): TokenSequence[] {
  if (epoch < languageEpochs) return [...other, ...rude];
  return [...rude, ...other.filter((_, i) => (i + epoch) % 16 === 0)];
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
const model =
  values.start === undefined ? LanguageModel.create(config, { seed: SEED, tokenizer }) : await LanguageModel.load(values.start);
const trainer = new Trainer(model, { optimizer: { kind: 'adamw', beta2: 0.99, weightDecay: 0.1 } });
console.error(
  `${documents.length} documents, ${totalTokens} training tokens in ${epochs} epochs, ${model.summary.parameters} parameters, ${model.summary.device} x ${model.summary.threads}`,
);

/** Warm-up and cosine in the first part, again from a lower peak in the second. `share`: of the epoch. */
function learningRate(epoch: number, atStep: number, share: number): number {
  const language = epoch < languageEpochs;
  const [peak, at, length] = language ? [PEAK_LR, epoch, languageEpochs] : [RUDE_LR, epoch - languageEpochs, RUDE_EPOCHS];
  const cosine = 0.5 * (1 + Math.cos((Math.PI * (at + share)) / length));
  return Math.min(1, (atStep + 1) / WARMUP_STEPS) * (FINAL_LR + (peak - FINAL_LR) * cosine);
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
    const lr = learningRate(epoch, step, next / order.length);
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
      languageEpochs,
      rudeEpochs: RUDE_EPOCHS,
      rudeSequences: rude.length,
      steps: step,
      batchTokens: BATCH_TOKENS,
      optimizer: {
        kind: 'adamw',
        beta1: 0.9,
        beta2: 0.99,
        weightDecay: 0.1,
        peakLr: PEAK_LR,
        rudePeakLr: RUDE_LR,
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
