import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { packageRoot } from '../../src/core/package-root.ts';
import { readTexts } from '../../src/data/read-texts.ts';
import { loadTokenizer } from '../../src/tokenizer/load.ts';
import { bpeToTokenizerJson, trainBpe } from '../../src/tokenizer/train-bpe.ts';

test('merges the most frequent pair first, the lower ids among equals', () => {
  // " ab" 3 times, "cd" twice, "ab" once: (a, b) 4, then (" ", "ab") 3, then (c, d) 2
  const { tokens, merges } = trainBpe(['ab ab ab ab', 'cd', 'cd'], 259);
  expect(merges).toEqual([
    ['a', 'b'],
    ['Ġ', 'ab'],
    ['c', 'd'],
  ]);
  expect(tokens.slice(256)).toEqual(['ab', 'Ġab', 'cd']);
  // (x, y) and (y, z) occur equally often
  expect(trainBpe(['xyz', 'xyz'], 257).merges).toEqual([['x', 'y']]);
  expect(trainBpe(['zyx', 'zyx'], 257).merges).toEqual([['y', 'x']]);
});

test('runs of one letter merge from the left', () => {
  const { merges } = trainBpe(['aaaaa', 'aaaaa'], 258);
  expect(merges).toEqual([
    ['a', 'a'],
    ['aa', 'a'],
  ]);
});

test('too little text is refused', () => {
  expect(() => trainBpe(['ab'], 300)).toThrow(expect.objectContaining({ code: 'invalid-data' }) as Error);
});

test('a trained tokenizer is read back, and gives its corpus back', async () => {
  const texts = ['the cat sat on the mat', 'the dog sat on the log\n\nindeed'];
  const directory = await mkdtemp(join(tmpdir(), 'mendset-bpe-'));
  await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(bpeToTokenizerJson(trainBpe(texts, 264), '<|endoftext|>')));
  const tokenizer = await loadTokenizer(directory);
  await rm(directory, { recursive: true });
  expect(tokenizer).toMatchObject({ vocabularySize: 265, eos: 264 });
  for (const text of texts) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  expect([...tokenizer.encode('<|endoftext|>')]).toEqual([264]);
});

test('the demo tokenizer has 4,096 entries and loses nothing', async () => {
  const demo = join(packageRoot(), 'assets', 'demo');
  const tokenizer = await loadTokenizer(join(demo, 'model'));
  expect(tokenizer).toMatchObject({ vocabularySize: 4096, eos: 4095 });
  for (const text of (await readTexts(join(demo, 'normal.jsonl'))).texts) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
});
