import { describe, expect, it } from 'vitest';
import { bootstrapMean, quantile } from '../../../src/core/bootstrap.ts';
import { evaluate } from '../../../src/evaluate/evaluate.ts';
import type { ToxicityScorer } from '../../../src/evaluate/scorer.ts';
import { compareToxicity, repairToxicity } from '../../../src/evaluate/toxicity-repair.ts';
import { rtpFigures, rtpToxicity, rtpUnprompted } from '../../../src/evaluate/toxicity-rtp.ts';
import { combineLabels, scoreTexts } from '../../../src/evaluate/toxicity-scores.ts';
import type { LanguageModel } from '../../../src/model/language-model.ts';
import { byteTokenizer } from '../../byte-tokenizer.ts';

/** Share of the letter x, and half of it; fails on texts with a question mark. */
const scorer: ToxicityScorer = {
  identity: { name: 'letter-x', version: '1', weightsHash: '0', labels: ['x', 'half'], activation: 'none' },
  score: async (texts) =>
    texts.map((t) =>
      t.includes('?') ? null : { x: (t.match(/x/g)?.length ?? 0) / t.length, half: (t.match(/x/g)?.length ?? 0) / t.length / 2 },
    ),
};

/** Answers each prompt with the reverse of its tokens. */
const echo = {
  tokenizer: byteTokenizer,
  requireTokenizer: () => byteTokenizer,
  hash: null,
  summary: { vocab: 257, context: 64, eos: 256, family: 'echo' },
  generate: async (prompts: Int32Array[], { samples = 1 }: { samples?: number }) =>
    prompts.flatMap((p) => Array.from({ length: samples }, () => ({ ids: Int32Array.from(p).reverse(), stopped: false }))),
} as unknown as LanguageModel;

describe('scoring texts', () => {
  it('takes the largest label or a named one', () => {
    expect(combineLabels({ a: 0.2, b: 0.7 }, 'max')).toBe(0.7);
    expect(combineLabels({ a: 0.2, b: 0.7 }, 'a')).toBe(0.2);
    expect(combineLabels({ a: Number.NaN, b: 0.7 }, 'max')).toBeNull();
    expect(combineLabels({ a: 1.5 }, 'max')).toBeNull();
    expect(combineLabels(null, 'max')).toBeNull();
    expect(combineLabels({}, 'max')).toBeNull();
  });
  it('tells empty and failed texts from harmless ones', async () => {
    expect(await scoreTexts(scorer, ['xx', ' ', '?', 'ab'])).toEqual([
      { score: 1 },
      { score: null, reason: 'empty' },
      { score: null, reason: 'failed' },
      { score: 0 },
    ]);
    expect((await scoreTexts(scorer, [''], { emptyAs: 0 }))[0]).toEqual({ score: 0 });
    await expect(scoreTexts(scorer, ['a'], { label: 'none' })).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('repair protocol', () => {
  it('reports the mean over scored prompts and counts the rest', async () => {
    const result = await repairToxicity(echo, ['xx', 'ab', '?', '  '], scorer);
    expect(result).toMatchObject({ mean: 0.5, prompts: 4, scored: 2, empty: 1, failed: 1, incomplete: true, protocol: 'toxicity.repair' });
    expect(result.interval?.low).toBeGreaterThanOrEqual(0);
    expect(result.records[2]).toEqual({ prompt: 2, completion: '?', score: null, reason: 'failed' });
  });
  it('compares two models prompt by prompt', async () => {
    const a = await repairToxicity(echo, ['xx', 'ab', '?'], scorer);
    const b = { ...a, records: a.records.map((r) => ({ ...r, score: r.score === null ? null : r.score / 2 })) };
    expect(compareToxicity(a, b)).toMatchObject({ mean: -0.25, pairs: 2 });
    expect(() => compareToxicity(a, { ...b, scorer: { ...b.scorer, weightsHash: '1' } })).toThrowError(/one scorer/);
  });
});

describe('RealToxicityPrompts protocol', () => {
  const groups = [[0.1, 0.6, null], [0.2, 0.3], [null], [0.5, 0.4]];
  it('gives the golden figures', () => {
    const strict = rtpFigures(groups);
    expect(strict.expectedMaximum).toBeCloseTo(0.466667, 6);
    expect(strict.probability).toBeCloseTo(0.333333, 6);
    expect(strict).toMatchObject({ prompts: 3, dropped: 1 });
    expect(rtpFigures(groups, { comparison: '>=' }).probability).toBeCloseTo(0.666667, 6);
  });
  it('samples each prompt and splits by its own toxicity', async () => {
    const result = await rtpToxicity(echo, ['xx', 'ab'], scorer, { samples: 3, promptToxicity: [0.9, 0.1] });
    expect(result).toMatchObject({ expectedMaximum: 0.5, probability: 0.5, samples: 6 });
    expect(result.toxicPrompts?.expectedMaximum).toBe(1);
    expect(result.nonToxicPrompts?.expectedMaximum).toBe(0);
  });
  it('draws unprompted sets reproducibly', () => {
    const scores = Array.from({ length: 200 }, (_, i) => i / 200);
    expect(rtpUnprompted(scores, { draws: 50 })).toEqual(rtpUnprompted(scores, { draws: 50 }));
    expect(rtpUnprompted([0.3], { draws: 5 }).expectedMaximum).toBeCloseTo(0.3, 12);
  });
});

describe('bootstrap', () => {
  it('covers the mean, and is reproducible', () => {
    const values = Array.from({ length: 300 }, (_, i) => (i * 37) % 101);
    const interval = bootstrapMean(values);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    expect(interval?.low).toBeLessThan(mean);
    expect(interval?.high).toBeGreaterThan(mean);
    expect(bootstrapMean(values)).toEqual(interval);
    expect(bootstrapMean([])).toBeNull();
    expect(bootstrapMean([0.4])).toMatchObject({ low: 0.4, high: 0.4 });
  });
  it('interpolates quantiles as numpy does', () => {
    expect(quantile([1, 2, 3, 4], 0.25)).toBe(1.75);
    expect(quantile([1, 2, 3, 4], 1)).toBe(4);
  });
});

describe('evaluate', () => {
  it('refuses to evaluate nothing, and prompts without a scorer', async () => {
    await expect(evaluate(echo, {})).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(evaluate(echo, { prompts: ['a'] })).rejects.toThrowError(/scorer/);
  });
  it('names every figure and its convention', async () => {
    const result = await evaluate(echo, { prompts: ['xx', 'ab'], scorer });
    expect(result.figures).toEqual([
      {
        name: 'toxicity.repair',
        value: 0.5,
        unit: 'score',
        convention: expect.stringContaining('greedy, 20 new tokens'),
        counts: { prompts: 2, scored: 2, empty: 0, failed: 0 },
        interval: expect.objectContaining({ level: 0.95 }),
      },
    ]);
    expect(JSON.parse(JSON.stringify(result)).toxicity.mean).toBe(0.5);
  });
});
