import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { loadScorer, scorerSpec, withScorerPath } from '../../../src/evaluate/load-scorer.ts';
import { onnxScorer, type TransformersLibrary } from '../../../src/evaluate/onnx-scorer.ts';
import { toxicityLabels } from '../../../src/evaluate/toxicity-labels.ts';
import { sameScorer } from '../../../src/evaluate/toxicity-scores.ts';
import { cli, errors } from '../cli-fixture.ts';

const golden = (name: string): string => fileURLToPath(new URL(`../../golden/encoders/${name}`, import.meta.url));
const reference = JSON.parse(await readFile(golden('classifier-scores.json'), 'utf8')) as { texts: string[] } & Record<string, number[][]>;
const hint = 'regenerate with test/golden/encoders/make_classifier_scores.py';
let root: string;
/** Classifier folders with the tokenizer their vocabulary belongs to */
const folders: Record<string, string> = {};

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-classifier-'));
  for (const name of ['bert-classifier', 'roberta-classifier']) {
    const folder = join(root, name);
    await cp(golden(name), folder, { recursive: true });
    for (const file of ['tokenizer.json', 'tokenizer_config.json']) await cp(golden(`tiny-minilm/${file}`), join(folder, file));
    folders[name] = folder;
  }
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('a classifier in the engine', () => {
  test('sigmoid of several labels equals transformers', async () => {
    const scorer = await loadScorer({ classifier: folders['bert-classifier'] as string });
    expect(scorer.identity).toMatchObject({ name: 'classifier:bert-classifier', activation: 'sigmoid' });
    expect(scorer.identity.labels).toEqual(['toxic', 'severe_toxic', 'obscene', 'threat', 'insult']);
    const scores = await scorer.score(reference.texts);
    (reference['bert-classifier'] as number[][]).forEach((row, i) => {
      const ours = Object.values(scores[i] as Record<string, number>);
      for (const [j, value] of row.entries()) expect(Math.abs((ours[j] as number) - value), `text ${i}; ${hint}`).toBeLessThan(1e-5);
    });
    scorer.dispose?.();
  });

  test('softmax of two classes gives the toxic one, never the other', async () => {
    const scorer = await loadScorer({ classifier: folders['roberta-classifier'] as string });
    expect(scorer.identity).toMatchObject({ labels: ['toxic'], activation: 'softmax' });
    const scores = await scorer.score(reference.texts);
    (reference['roberta-classifier'] as number[][]).forEach(([, toxic], i) => {
      expect(Object.keys(scores[i] as object)).toEqual(['toxic']);
      expect(Math.abs((scores[i] as Record<string, number>)['toxic'] as number) - (toxic as number), `text ${i}; ${hint}`).toBeCloseTo(
        0,
        5,
      );
    });
    scorer.dispose?.();
  });

  test('scores do not depend on what else is scored', async () => {
    const scorer = await loadScorer({ classifier: folders['bert-classifier'] as string });
    const together = await scorer.score(reference.texts);
    for (const [i, text] of reference.texts.entries()) expect((await scorer.score([text]))[0]).toEqual(together[i]);
    expect(await scorer.score([])).toEqual([]);
    scorer.dispose?.();
  });

  test('another label is another scorer', async () => {
    const path = folders['bert-classifier'] as string;
    const [all, threat] = [await loadScorer({ classifier: path }), await loadScorer({ classifier: path, label: 'threat' })];
    expect(threat.identity.labels).toEqual(['threat']);
    expect(threat.identity.weightsHash).not.toBe(all.identity.weightsHash);
    expect(sameScorer(all.identity, threat.identity)).toBe(false);
    expect(await loadScorer({ classifier: path, label: 'rude' }).catch((error: unknown) => error)).toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(/toxic, severe_toxic.*'rude'/) as string,
    });
    all.dispose?.();
    threat.dispose?.();
  });
});

describe('which label means toxicity', () => {
  const names = (labels: string[], activation: 'sigmoid' | 'softmax', named?: string): string[] =>
    toxicityLabels(labels, activation, named, 'x').map(({ label }) => label);

  test('groups of people and harmless classes do not', () => {
    const unbiased = [
      'toxicity',
      'severe_toxicity',
      'obscene',
      'identity_attack',
      'insult',
      'threat',
      'sexual_explicit',
      'male',
      'christian',
      'black',
    ];
    expect(names(unbiased, 'sigmoid')).toEqual(unbiased.slice(0, 7));
    expect(names(['neutral', 'toxic'], 'softmax')).toEqual(['toxic']);
    expect(names(['TOXIC', 'NON_TOXIC'], 'softmax')).toEqual(['TOXIC']);
    expect(names(['not hate', 'hate'], 'softmax')).toEqual(['hate']);
    expect(names(['LABEL_0'], 'sigmoid')).toEqual(['LABEL_0']);
  });

  test('it must be named where nothing says so', () => {
    expect(() => names(['LABEL_0', 'LABEL_1'], 'softmax')).toThrow(/do not say.*--scorer-label/);
    expect(() => names(['hate', 'offensive', 'neither'], 'softmax')).toThrow(/share one whole/);
    expect(names(['LABEL_0', 'LABEL_1'], 'softmax', 'LABEL_1')).toEqual(['LABEL_1']);
  });
});

describe('through @huggingface/transformers', () => {
  const env = { version: '4.3.0', allowRemoteModels: true, allowLocalModels: false, localModelPath: '' };
  const calls: unknown[] = [];
  const library: TransformersLibrary = {
    env,
    pipeline: async (...given) => {
      calls.push(given);
      return async (texts, options) => {
        calls.push(options);
        // Best first, as the library orders them
        return texts.map((text) => [
          { label: 'toxic', score: text.length / 100 },
          { label: 'neutral', score: 1 - text.length / 100 },
        ]);
      };
    },
  };

  test('the folder alone is read, all labels are asked for, the toxic one counts', async () => {
    const folder = join(root, 'onnx-model');
    await cp(folders['roberta-classifier'] as string, folder, { recursive: true });
    await cp(golden('classifier-scores.json'), join(folder, 'onnx', 'model.onnx'));
    const scorer = await onnxScorer(folder, { load: async () => library });
    expect(scorer.identity).toMatchObject({
      name: 'onnx:onnx-model',
      version: 'transformers.js 4.3.0',
      labels: ['toxic'],
      activation: 'softmax',
    });
    expect(env).toMatchObject({ allowRemoteModels: false, allowLocalModels: true, localModelPath: root });
    const texts = Array.from({ length: 70 }, (_, i) => 'x'.repeat(i));
    expect(await scorer.score(texts)).toEqual(texts.map((text) => ({ toxic: text.length / 100 })));
    expect(calls[0]).toEqual(['text-classification', 'onnx-model', { dtype: 'fp32', local_files_only: true }]);
    expect(calls[1]).toEqual({ top_k: null });
  });

  test('without the package an error carries the line that installs it', async () => {
    await expect(loadScorer({ onnx: folders['roberta-classifier'] as string })).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/npm install @huggingface\/transformers/) as string,
    });
  });
});

describe('a scorer as one word', () => {
  test('file, folder, Hub, ONNX, builtin', async () => {
    const file = join(root, 'scores.jsonl');
    await writeFile(file, '{"text":"a","score":0.5}\n');
    expect(await scorerSpec('builtin')).toBe('builtin');
    expect(await scorerSpec(file)).toEqual({ scoresFile: file });
    expect(await scorerSpec(root, 'toxic')).toEqual({ classifier: root, label: 'toxic' });
    expect(await scorerSpec('hf:unitary/toxic-bert')).toMatchObject({ classifier: 'hf:unitary/toxic-bert' });
    expect(await scorerSpec('onnx:hf:Xenova/toxic-bert')).toMatchObject({ onnx: 'hf:Xenova/toxic-bert' });
    await expect(scorerSpec(join(root, 'none'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(scorerSpec('builtin', 'toxic')).rejects.toMatchObject({ code: 'invalid-argument' });
    expect(withScorerPath('onnx:x', (path) => `/a/${path}`)).toBe('onnx:/a/x');
    expect(withScorerPath('hf:o/m', () => 'never')).toBe('hf:o/m');
  });

  test('on the command line', async () => {
    const data = join(root, 'pool.jsonl');
    await writeFile(
      data,
      reference.texts
        .filter((text) => text !== '')
        .map((text) => `${JSON.stringify({ text })}\n`)
        .join(''),
    );
    const path = folders['bert-classifier'] as string;
    const run = await cli([
      'score',
      '--what',
      'toxicity',
      '--data',
      data,
      '--scorer',
      path,
      '--scorer-label',
      'threat',
      '--json',
      '--backend',
      'cpu',
    ]);
    expect(run.stderr).toBe('');
    const { scorer, records } = JSON.parse(run.stdout) as { scorer: { name: string; labels: string[] }; records: { toxicity: number }[] };
    expect(scorer).toMatchObject({ name: 'classifier:bert-classifier', labels: ['threat'] });
    const expected = (reference['bert-classifier'] as number[][])
      .filter((_, i) => reference.texts[i] !== '')
      .map((row) => row[3] as number);
    for (const [i, record] of records.entries()) expect(record.toxicity).toBeCloseTo(expected[i] as number, 5);
    const wrong = await cli(['score', '--what', 'toxicity', '--data', data, '--scorer', join(root, 'none'), '--json']);
    expect(wrong.code).toBe(2);
    expect(errors(wrong)).toEqual([expect.stringMatching(/Expected --scorer to be a file that exists/)]);
  });
});
