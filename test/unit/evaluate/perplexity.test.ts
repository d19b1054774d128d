import { describe, expect, it } from 'vitest';
import { lastWord, targetFigures } from '../../../src/evaluate/lambada.ts';
import { planWindows, resolveWindows, runningPerplexity, weightedNll } from '../../../src/evaluate/perplexity.ts';
import type { LanguageModel } from '../../../src/model/language-model.ts';
import type { TokenSequence } from '../../../src/model/sequences.ts';
import { byteTokenizer } from '../../byte-tokenizer.ts';

describe('planWindows', () => {
  it('scores every token after the first exactly once when windows overlap', () => {
    for (const [tokens, window, stride] of [
      [100, 16, 5],
      [33, 32, 31],
      [64, 64, 1],
      [10, 64, 64],
      [2, 2, 1],
    ] as const) {
      const targets = planWindows(tokens, window, stride).flatMap(({ firstTarget, end }) =>
        Array.from({ length: end - firstTarget }, (_, i) => firstTarget + i),
      );
      expect(targets).toEqual(Array.from({ length: tokens - 1 }, (_, i) => i + 1));
    }
  });
  it('loses the first token of each window without overlap, and a window of one token', () => {
    expect(planWindows(9, 4, 4)).toEqual([
      { begin: 0, end: 4, firstTarget: 1, labels: 4 },
      { begin: 4, end: 8, firstTarget: 5, labels: 4 },
    ]);
    expect(planWindows(9, 4, 3)[1]).toEqual({ begin: 3, end: 7, firstTarget: 4, labels: 3 });
  });
  it('counts the windows of the published texts', () => {
    expect(planWindows(287_644, 1024, 1024)).toHaveLength(281);
    expect(planWindows(287_644, 1024, 1024).at(-1)).toMatchObject({ begin: 286_720, end: 287_644 });
    expect(planWindows(440_534, 1024, 1024)).toHaveLength(431);
    expect(planWindows(428_948, 1024, 1024)).toHaveLength(419);
  });
});

describe('weightedNll', () => {
  it('gives the exact and the published weighting', () => {
    const windows = [
      { begin: 0, end: 4, firstTarget: 1, labels: 4 },
      { begin: 4, end: 9, firstTarget: 5, labels: 5 },
    ];
    expect(Math.exp(weightedNll(windows, [6, 4], 'principled'))).toBeCloseTo(4.172734, 6);
    expect(Math.exp(weightedNll(windows, [6, 4], 'paper'))).toBeCloseTo(4.239496, 6);
    // without overlap the guide's labels - 1 are the targets
    expect(Math.exp(weightedNll(windows, [6, 4], 'hugging-face'))).toBeCloseTo(4.172734, 6);
  });
});

describe('resolveWindows', () => {
  it('defaults to 1024 or the whole context', () => {
    expect(resolveWindows({}, 2048)).toEqual({ window: 1024, stride: 1024, weighting: 'principled' });
    expect(resolveWindows({}, 64).window).toBe(64);
    expect(resolveWindows({ window: 'model', stride: 512 }, 2048)).toMatchObject({ window: 2048, stride: 512 });
  });
  it('refuses windows the model cannot read', () => {
    expect(() => resolveWindows({ window: 1024 }, 64)).toThrowError(/context of 64/);
    expect(() => resolveWindows({ window: 32, stride: 33 }, 64)).toThrowError(/stride/);
    expect(() => resolveWindows({ window: 32, stride: 16, weighting: 'paper' }, 64)).toThrowError(/paper/);
  });
});

describe('runningPerplexity', () => {
  const uniform = {
    tokenizer: byteTokenizer,
    requireTokenizer: () => byteTokenizer,
    summary: { vocab: 257, context: 64, eos: 256 },
    logProbs: async (sequences: TokenSequence[]) => sequences.map((s) => Float64Array.from(s.mask, (m) => (m ? -Math.log(257) : 0))),
  } as unknown as LanguageModel;
  it('is the vocabulary for a model that knows nothing', async () => {
    const result = await runningPerplexity(uniform, 'one two  three'.repeat(20), { window: 32, stride: 16 });
    expect(result.ppl).toBeCloseTo(257, 9);
    expect(result).toMatchObject({ tokens: 280, scoredTokens: 279, words: 41, bytes: 280 });
    expect(result.bytePpl).toBeCloseTo(257 ** (279 / 280), 6);
  });
  it('scores the first token after a start token on request', async () => {
    const result = await runningPerplexity(uniform, 'one two  three'.repeat(20), { window: 32, stride: 16, start: 'text' });
    expect(result).toMatchObject({
      tokens: 280,
      scoredTokens: 280,
      start: 'text',
      convention: expect.stringContaining('an end-of-text token'),
    });
    expect(result.bytePpl).toBeCloseTo(257, 6);
  });
  it('can stop after some windows', async () => {
    const result = await runningPerplexity(uniform, new Int32Array(200).fill(7), { window: 32, maxWindows: 2 });
    expect(result).toMatchObject({ windows: 2, tokens: 64, scoredTokens: 62, wordPpl: null, words: null });
  });
});

describe('LAMBADA last word', () => {
  it('has a perplexity per word', () => {
    const { targetPpl, targetAcc } = targetFigures([
      { logProb: -1.5, allGreedy: true },
      { logProb: -2, allGreedy: false },
      { logProb: -0.25, allGreedy: true },
    ]);
    expect(targetPpl).toBeCloseTo(3.490343, 6);
    expect(targetAcc).toBeCloseTo(2 / 3, 12);
  });
  it('is what follows the last space', () => {
    const whole = lastWord('one two three', byteTokenizer.encode);
    expect(whole?.ids).toHaveLength(13);
    expect(whole?.targetTokens).toBe(6);
    expect(lastWord('single', byteTokenizer.encode)).toBeNull();
    expect(lastWord(' x', byteTokenizer.encode)).toBeNull();
  });
});
