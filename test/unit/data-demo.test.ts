import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { packageRoot } from '../../src/core/package-root.ts';
import { readPairs } from '../../src/data/read-pairs.ts';
import { readPrompts } from '../../src/data/read-prompts.ts';
import { readLambada, readTextRows, readTexts } from '../../src/data/read-texts.ts';
import { scorerWords } from '../../src/evaluate/ngram-features.ts';

const demo = join(packageRoot(), 'assets', 'demo');
const key = (text: string): string => scorerWords(text).join(' ');

describe('the demo data', () => {
  test('pool: 1,200 distinct pairs with short prompts', async () => {
    const { records, duplicates, equalPairs, appendEos } = await readPairs(join(demo, 'pool.jsonl'));
    expect(records).toHaveLength(1200);
    expect({ duplicates, equalPairs, appendEos }).toEqual({ duplicates: 0, equalPairs: 0, appendEos: true });
    for (const { prompt, chosen, rejected } of records) {
      expect(prompt.split(' ').length).toBeLessThanOrEqual(6);
      expect(chosen).toMatch(/^ \S/);
      expect(rejected).toMatch(/^ \S/);
    }
  });

  test('pool and corpus share no sentence', async () => {
    const { records } = await readPairs(join(demo, 'pool.jsonl'));
    const corpus = new Set<string>();
    for (const name of ['paradetox-toxic', 'paradetox-neutral']) {
      for (const text of (await readTexts(join(demo, 'corpus', `${name}.jsonl.gz`))).texts) corpus.add(key(text));
    }
    const shared = records.filter(({ prompt, chosen, rejected }) => corpus.has(key(prompt + chosen)) || corpus.has(key(prompt + rejected)));
    expect(shared).toHaveLength(0);
  });

  test('prompts, running text, last words and normal texts', async () => {
    const { prompts } = await readPrompts(join(demo, 'prompts.jsonl'));
    expect(new Set(prompts.map((prompt) => key(prompt.text))).size).toBe(240);
    const { rows, format } = await readTextRows(join(demo, 'running-text.txt'));
    expect(format).toBe('plain');
    expect(rows.length).toBeGreaterThan(400);
    for (const text of (await readLambada(join(demo, 'last-word.jsonl'))).texts) {
      const word = text.slice(text.lastIndexOf(' ') + 1);
      expect(word).toMatch(/^[A-Za-z]{4,}$/);
      expect(text.slice(0, -word.length).toLowerCase()).toContain(word.toLowerCase());
    }
    expect((await readTexts(join(demo, 'normal.jsonl'))).texts).toHaveLength(400);
  });
});
