import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { EncoderModel } from '../../src/model/encoder-model.ts';
import { SequenceClassifier } from '../../src/model/sequence-classifier.ts';

const golden = join(import.meta.dirname, '../golden/encoders');
const temporary: string[] = [];

afterEach(async () => {
  for (const folder of temporary.splice(0)) await rm(folder, { recursive: true });
});

async function copyOf(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mendset-encoder-'));
  temporary.push(folder);
  await cp(join(golden, name), folder, { recursive: true });
  return folder;
}

async function edit(path: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await readFile(path, 'utf8'));
  change(json);
  await writeFile(path, JSON.stringify(json));
}

/** Tensors of a reference file: F32 and I32 alone. */
async function reference(name: string): Promise<Record<string, Float32Array | Int32Array>> {
  const bytes = await readFile(join(golden, name, 'reference.safetensors'));
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, { dtype: string; data_offsets: [number, number] }>;
  return Object.fromEntries(
    Object.entries(header)
      .filter(([key]) => key !== '__metadata__')
      .map(
        ([
          key,
          {
            dtype,
            data_offsets: [begin, end],
          },
        ]) => {
          const data = new Uint8Array(bytes.subarray(8 + length + begin, 8 + length + end)).buffer;
          return [key, dtype === 'F32' ? new Float32Array(data) : new Int32Array(data)];
        },
      ),
  );
}

function sequencesOf(tensors: Record<string, Float32Array | Int32Array>): Int32Array[] {
  const ids = tensors['ids'] as Int32Array;
  const offsets = tensors['offsets'] as Int32Array;
  return Array.from({ length: offsets.length - 1 }, (_, i) => ids.slice(offsets[i], offsets[i + 1]));
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs((a[i] as number) - (b[i] as number)));
  return worst;
}

test('a sentence-transformers folder: pooling, normalisation and length limit are its own, embeddings equal', async () => {
  const tensors = await reference('tiny-minilm');
  using encoder = await EncoderModel.load(join(golden, 'tiny-minilm'));
  expect(encoder.config).toEqual({ pooling: 'mean', normalize: true, maxTokens: 32, weightsPath: '' });
  expect(encoder.maxTokens).toBe(32);
  expect(encoder.hash).toMatch(/^[0-9a-f]{64}$/);
  const sequences = sequencesOf(tensors);
  expect(Math.max(...sequences.map((s) => s.length))).toBe(32);
  const { data } = await encoder.embed(sequences);
  expect(largestDifference(data, tensors['embeddings'] as Float32Array)).toBeLessThan(1e-5);
});

test('poolings can be asked for; a folder without modules is pooled by mean and not normalised', async () => {
  const tensors = await reference('roberta');
  using encoder = await EncoderModel.load(join(golden, 'roberta'));
  expect(encoder.config).toMatchObject({ pooling: 'mean', normalize: false });
  const sequences = sequencesOf(tensors);
  for (const [pooling, tensor] of [
    ['mean', 'mean'],
    ['cls', 'first'],
    ['lasttoken', 'last'],
  ] as const) {
    const { data } = await encoder.embed(sequences, { pooling });
    expect(largestDifference(data, tensors[tensor] as Float32Array)).toBeLessThan(1e-5);
  }
});

test('modules in a folder of their own, the newer spelling, and what is not supported', async () => {
  const folder = await copyOf('tiny-minilm');
  const pooling = join(folder, '1_Pooling', 'config.json');
  await writeFile(pooling, JSON.stringify({ embedding_dimension: 24, pooling_mode: 'cls' }));
  using encoder = await EncoderModel.load(folder);
  expect(encoder.config.pooling).toBe('cls');
  await writeFile(pooling, JSON.stringify({ pooling_mode: ['mean', 'max'] }));
  await expect(EncoderModel.load(folder)).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('mean and max') });
  await writeFile(pooling, '{');
  await expect(EncoderModel.load(folder)).rejects.toMatchObject({ code: 'corrupt' });
  const modules = join(folder, 'modules.json');
  await writeFile(modules, JSON.stringify([{ type: 'sentence_transformers.models.Transformer', path: '../elsewhere' }]));
  await expect(EncoderModel.load(folder)).rejects.toMatchObject({ code: 'corrupt', message: expect.stringContaining('inside the model') });
  await writeFile(
    modules,
    JSON.stringify([
      { type: 'sentence_transformers.models.Transformer', path: '' },
      { type: 'sentence_transformers.models.Dense', path: '2_Dense' },
    ]),
  );
  await expect(EncoderModel.load(folder)).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('Dense') });
});

test('classifiers: logits, labels, and the activation that transformers would choose', async () => {
  for (const [name, activation] of [
    ['bert-classifier', 'sigmoid'],
    ['roberta-classifier', 'softmax'],
  ] as const) {
    const tensors = await reference(name);
    const expected = tensors['logits'] as Float32Array;
    using classifier = await SequenceClassifier.load(join(golden, name));
    const sequences = sequencesOf(tensors);
    const logits = await classifier.logits(sequences);
    expect(largestDifference(logits.data, expected)).toBeLessThan(1e-5);
    expect(classifier.config.activation).toBe(activation);
    const scores = await classifier.scores(sequences);
    for (let i = 0; i < scores.rows; i++) {
      const z = [...expected.subarray(i * scores.columns, (i + 1) * scores.columns)];
      const sum = z.reduce((s, v) => s + Math.exp(v), 0);
      const row = z.map((v) => (activation === 'sigmoid' ? 1 / (1 + Math.exp(-v)) : Math.exp(v) / sum));
      expect(largestDifference(scores.data.subarray(i * scores.columns, (i + 1) * scores.columns), row)).toBeLessThan(1e-5);
    }
  }
  using toxic = await SequenceClassifier.load(join(golden, 'bert-classifier'));
  expect(toxic.config).toMatchObject({
    labels: ['toxic', 'severe_toxic', 'obscene', 'threat', 'insult'],
    problemType: 'multi_label_classification',
  });
});

test('a checkpoint without a classifier, a foreign problem type and a language model are refused', async () => {
  await expect(SequenceClassifier.load(join(golden, 'bert'))).rejects.toMatchObject({
    code: 'corrupt',
    message: expect.stringContaining('classifier.weight'),
  });
  const folder = await copyOf('roberta-classifier');
  await edit(join(folder, 'config.json'), (json) => {
    json['problem_type'] = 'regression';
  });
  await expect(SequenceClassifier.load(folder)).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('regression'),
  });
  await expect(EncoderModel.load(join(golden, '../tiny-hf/tiny-gpt2'))).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('as an encoder; supported are bert, roberta, xlm-roberta'),
  });
});

test('wrong input is refused before any work', async () => {
  using encoder = await EncoderModel.load(join(golden, 'bert'));
  await expect(encoder.embed([[5, 6], []])).rejects.toMatchObject({ code: 'invalid-argument' });
  await expect(encoder.embed([[5, 120]])).rejects.toMatchObject({
    code: 'invalid-argument',
    message: expect.stringContaining('vocabulary'),
  });
  await expect(encoder.embed([new Int32Array(49).fill(5)])).rejects.toMatchObject({ code: 'invalid-argument' });
  expect((await encoder.embed([])).rows).toBe(0);
  const aborted = AbortSignal.abort();
  await expect(encoder.embed([[5, 6]], { signal: aborted })).rejects.toMatchObject({ code: 'aborted' });
});
