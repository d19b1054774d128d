import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { sha256Hex } from '../../src/core/hash.ts';
import { packageRoot } from '../../src/core/package-root.ts';
import { readPairs } from '../../src/data/read-pairs.ts';
import { readTexts } from '../../src/data/read-texts.ts';
import { loadScorer } from '../../src/evaluate/load-scorer.ts';
import { forEachNgram, scorerWords } from '../../src/evaluate/ngram-features.ts';
import { NgramWeights } from '../../src/evaluate/ngram-weights.ts';
import type { ToxicityScorer } from '../../src/evaluate/scorer.ts';

const demo = join(packageRoot(), 'assets', 'demo');
let root: string;
let scorer: ToxicityScorer;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mendset-scorer-'));
  scorer = await loadScorer('builtin');
});

afterAll(() => rm(root, { recursive: true, force: true }));

async function mean(texts: readonly string[]): Promise<number> {
  const scores = await scorer.score(texts);
  return scores.reduce((sum, score) => sum + (score?.['toxicity'] as number), 0) / texts.length;
}

describe('words as the scorer sees them', () => {
  test.each([
    ['RT @someone: Hello http://t.co/x World &#128514; &amp;', ['hello', 'world']],
    ["I do n't think that 's good", ['i', 'dont', 'think', 'thats', 'good']],
    ['Sooooo g00d, cl4$$ic!!! in 2004, the 7th', ['soo', 'good', 'classic', 'in', '2004', 'the', '7th']],
    ['Ａ naïve ＣＡＦÉ', ['a', 'naïve', 'café']],
    ['... !!! 🔥', []],
  ])('%s', (text, words) => {
    expect(scorerWords(text)).toEqual(words);
  });

  test('n-grams fall into the buckets and are counted', () => {
    const buckets: number[] = [];
    // 2 words, 1 pair, and of " ab " 3 + 2 + 1, of " c " 2 + 1 character n-grams
    expect(forEachNgram(['ab', 'c'], 10, (bucket) => buckets.push(bucket))).toBe(12);
    expect(buckets).toHaveLength(12);
    expect(buckets.every((bucket) => bucket >= 0 && bucket < 1024)).toBe(true);
  });
});

describe('the built-in scorer', () => {
  test('its identity is that of its card', async () => {
    const card = JSON.parse(await readFile(join(demo, 'scorer', 'card.json'), 'utf8')) as Record<string, unknown> & {
      weights: { sha256: string };
      metrics: Record<string, { rocAuc: number }>;
    };
    expect(scorer.identity).toEqual({
      name: card['name'],
      version: card['version'],
      labels: card['labels'],
      activation: card['activation'],
      weightsHash: card.weights.sha256,
    });
    for (const { rocAuc } of Object.values(card.metrics)) expect(rocAuc).toBeGreaterThan(0.7);
  });

  test('tells the toxic from the neutral half of real pairs', async () => {
    const { records } = await readPairs(join(demo, 'pool.jsonl'));
    expect(await mean(records.map((record) => record.rejected ?? ''))).toBeGreaterThan(0.8);
    expect(await mean(records.map((record) => record.chosen))).toBeLessThan(0.15);
    expect(await mean((await readTexts(join(demo, 'normal.jsonl'))).texts)).toBeLessThan(0.15);
  });

  test('rates any text within [0, 1], a text without words 0, and the same text always alike', async () => {
    expect(await scorer.score(['', '...', '!!!'])).toEqual([{ toxicity: 0 }, { toxicity: 0 }, { toxicity: 0 }]);
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), async (text) => {
        const [first, second] = (await scorer.score([text, text])).map((score) => score?.['toxicity'] as number);
        expect(first).toBeGreaterThanOrEqual(0);
        expect(first).toBeLessThanOrEqual(1);
        expect(second).toBe(first);
      }),
      { seed: 1 },
    );
  });

  test('a long text scores as its worst passage', async () => {
    const { records } = await readPairs(join(demo, 'pool.jsonl'));
    const insult = records[0]?.rejected ?? '';
    const calm = 'we went to the market and bought bread and some apples for dinner '.repeat(12);
    const [alone, within] = (await scorer.score([calm, calm + insult + calm])).map((score) => score?.['toxicity'] as number);
    expect(alone).toBeLessThan(0.2);
    expect(within).toBeGreaterThan((alone as number) + 0.3);
  });

  test('reports progress and stops at its signal', async () => {
    const done: number[] = [];
    await scorer.score(Array<string>(600).fill('hello there'), { onProgress: (event) => done.push(event.done) });
    expect(done).toEqual([0, 256, 512, 600]);
    await expect(scorer.score(['a'], { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
  });

  test('weights survive their file format, and damage is noticed', () => {
    const weights = new NgramWeights(
      8,
      0.5,
      -1,
      Int8Array.from({ length: 256 }, (_, i) => i - 128),
    );
    const bytes = weights.toBytes();
    expect(NgramWeights.parse(bytes, 'w')).toEqual(weights);
    expect(() => NgramWeights.parse(bytes.subarray(0, 100), 'w')).toThrow(expect.objectContaining({ code: 'corrupt' }) as Error);
    expect(() => NgramWeights.parse(new Uint8Array(5), 'w')).toThrow(expect.objectContaining({ code: 'corrupt' }) as Error);
  });
});

describe('a file of scores', () => {
  async function open(...rows: unknown[]): Promise<ToxicityScorer> {
    const path = join(root, 'scores.jsonl');
    await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    return loadScorer({ scoresFile: path });
  }

  test('gives the scores it holds and null for other texts', async () => {
    const rows = [
      { text: 'a', score: 0.25 },
      { text: 'b', labels: { insult: 0.5, threat: 1 } },
      { text: 'c', toxicity: 0 },
      { text: 'd', score: null },
    ];
    const file = await open(...rows);
    expect(await file.score(['a', 'b', 'c', 'd', 'e'])).toEqual([
      { toxicity: 0.25 },
      { insult: 0.5, threat: 1 },
      { toxicity: 0 },
      null,
      null,
    ]);
    expect(file.identity).toMatchObject({
      name: 'scores-file:scores.jsonl',
      labels: ['toxicity', 'insult', 'threat'],
      activation: 'none',
      weightsHash: sha256Hex(rows.map((row) => `${JSON.stringify(row)}\n`).join('')),
    });
  });

  test.each([
    ['a score over 1', [{ text: 'a', score: 1.5 }], /:1: .*from 0 to 1/],
    [
      'two scores of a text',
      [
        { text: 'a', score: 0.5 },
        { text: 'a', score: 0.6 },
      ],
      /:2: .*another score/,
    ],
    ['no score', [{ text: 'a' }], /:1: expected 'score'/],
    ['no text', [{ score: 1 }], /:1: expected a text/],
    ['nothing', [], /at least one score/],
  ])('refuses %s', async (_, rows, message) => {
    await expect(open(...rows)).rejects.toMatchObject({ code: 'invalid-data', message: expect.stringMatching(message) as string });
  });

  test('an unknown scorer is refused', async () => {
    await expect(loadScorer('perspective' as 'builtin')).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
