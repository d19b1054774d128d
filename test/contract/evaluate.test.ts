import { describe, expect, it, vi } from 'vitest';
import { evaluate } from '../../src/evaluate/evaluate.ts';
import { runningPerplexity } from '../../src/evaluate/perplexity.ts';
import type { ToxicityScorer } from '../../src/evaluate/scorer.ts';
import { rtpToxicity } from '../../src/evaluate/toxicity-rtp.ts';
import { computeFeatures } from '../../src/features/compute-features.ts';
import { LanguageModel } from '../../src/model/language-model.ts';
import { byteTokenizer, tinyConfig } from '../byte-tokenizer.ts';
import { pairRecord, pairRecords } from '../pair-records.ts';

const create = (threads = 0) => LanguageModel.create(tinyConfig(), { seed: 5, backend: 'cpu', threads, tokenizer: byteTokenizer });
const text = 'A short text about rain and wind. '.repeat(12);

/** Share of bytes above "m". */
const scorer: ToxicityScorer = {
  identity: { name: 'late-letters', version: '1', weightsHash: '0', labels: ['late'], activation: 'none' },
  score: async (texts) => texts.map((t) => ({ late: [...t].filter((c) => c > 'm').length / [...t].length })),
};

describe('perplexity of a model', () => {
  it('equals the sum over windows done one by one', async () => {
    using model = create();
    const ids = byteTokenizer.encode(text);
    const { nll, scoredTokens } = await runningPerplexity(model, text, { window: 48, stride: 20 });
    let sum = 0;
    let covered = 0;
    for (let begin = 0; covered < ids.length; begin += 20) {
      const end = Math.min(begin + 48, ids.length);
      const mask = new Uint8Array(end - begin).fill(1, Math.max(covered, begin + 1) - begin);
      const [row] = await model.logProbs([{ ids: ids.slice(begin, end), mask }]);
      for (const value of row as Float64Array) sum -= value;
      covered = end;
    }
    expect(scoredTokens).toBe(ids.length - 1);
    expect(nll).toBeCloseTo(sum / scoredTokens, 12);
    // Fresh weights know next to nothing.
    expect(Math.exp(nll)).toBeGreaterThan(200);
    expect(Math.exp(nll)).toBeLessThan(320);
  });
});

describe('evaluate', () => {
  const inputs = {
    prompts: ['Hello there', 'A day'],
    rtpPrompts: ['One', 'Two'],
    rtp: { samples: 3 },
    runningText: [text, text],
    lambada: ['it was a dog', 'we saw the sea'],
    scorer,
  };

  it('gives every figure, the same for any thread count', async () => {
    using one = create(1);
    using five = create(5);
    const a = await evaluate(one, inputs);
    const b = await evaluate(five, inputs);
    expect(a.figures.map((f) => f.name)).toEqual([
      'toxicity.repair',
      'toxicity.rtp.expectedMaximum',
      'toxicity.rtp.probability',
      'wikitext2.tokenPpl',
      'wikitext2.wordPpl',
      'wikitext2.bytePpl',
      'lambada.runningPpl',
      'lambada.runningWordPpl',
      'lambada.runningBytePpl',
      'lambada.targetPpl',
      'lambada.targetAcc',
    ]);
    expect(a.figures.every((f) => Number.isFinite(f.value) && f.convention.length > 10)).toBe(true);
    expect(b.figures).toEqual(a.figures);
    expect(b.toxicity?.records).toEqual(a.toxicity?.records);
  });
  it('samples a prompt alike whatever stands beside it', async () => {
    using model = create();
    const both = await rtpToxicity(model, ['One', 'A much longer prompt'], scorer, { samples: 4 });
    const alone = await rtpToxicity(model, ['One'], scorer, { samples: 4 });
    expect(alone.maxima[0]).toBe(both.maxima[0]);
  });
  it('can be aborted', async () => {
    using model = create();
    const controller = new AbortController();
    const done = evaluate(model, { ...inputs, signal: controller.signal, onProgress: () => controller.abort() });
    await expect(done).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('features of a model', () => {
  const pool = { records: [...pairRecords(6), pairRecord({ prompt: 'empty', chosen: '', rejected: 'x' })], appendEos: false };

  it('score every record that has a counted token', async () => {
    using model = create();
    const { gradientNorms, scores, embeddings } = await computeFeatures(pool, ['gradientNorms', 'scores', 'embeddings'], {
      model,
      scores: { score: 'loss' },
    });
    const finite = (values: Float64Array | undefined) => Array.from(values ?? [], (v) => Number.isFinite(v) && v > 0);
    expect(finite(gradientNorms?.values)).toEqual([true, true, true, true, true, true, false]);
    expect(finite(scores?.values)).toEqual([true, true, true, true, true, true, false]);
    expect(gradientNorms?.warnings).toHaveLength(1);
    expect(embeddings?.values).toMatchObject({ rows: 7, columns: 32 });
    const row = embeddings?.values.data.subarray(0, 32) ?? [];
    expect(Math.hypot(...row)).toBeCloseTo(1, 5);
  });
  it('are the same from one pass as from one for each', async () => {
    using model = create();
    for (const score of ['loss', 'el2n', 'margin'] as const) {
      for (const tokens of ['completion', 'all'] as const) {
        const context = { model, scores: { score, tokens }, gradientNorms: { tokens } };
        const scoring = vi.spyOn(model, 'score');
        const both = await computeFeatures(pool, ['gradientNorms', 'scores'], context);
        expect(scoring).not.toHaveBeenCalled();
        scoring.mockRestore();
        expect(both.scores?.values).toEqual((await computeFeatures(pool, ['scores'], context)).scores?.values);
        expect(both.gradientNorms?.values).toEqual((await computeFeatures(pool, ['gradientNorms'], context)).gradientNorms?.values);
      }
    }
  });
});
