import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { matrix } from '../../../src/core/matrix.ts';
import { writeNpy } from '../../../src/data/npy.ts';
import { computeFeatures } from '../../../src/features/compute-features.ts';
import type { LanguageModel } from '../../../src/model/language-model.ts';
import type { TokenSequence } from '../../../src/model/sequences.ts';
import { byteTokenizer } from '../../byte-tokenizer.ts';
import { pairRecord, pairRecords } from '../../pair-records.ts';

/** Embeds a text as (number of tokens, first token); keeps the sequences and the kind of each call. */
function fakeModel() {
  const calls: TokenSequence[][] = [];
  const passes: string[] = [];
  const scoresOf = (sequences: TokenSequence[]) =>
    sequences.map((s) => ({ loss: s.ids.length, el2n: 1, margin: 0.5, tokens: 3, logProb: -1, allGreedy: false }));
  const model = {
    tokenizer: byteTokenizer,
    requireTokenizer: () => byteTokenizer,
    hash: 'model-1',
    tensors: [],
    summary: { vocab: 257, context: 64, eos: 256, parameters: 100, backend: 'cpu' },
    embed: async (sequences: TokenSequence[]) => {
      calls.push(sequences);
      return matrix(Float32Array.from(sequences.flatMap((s) => [s.ids.length, s.ids[0] as number])), sequences.length, 2);
    },
    gradientNorms: async (sequences: TokenSequence[], options: { scores?: boolean }) => {
      calls.push(sequences);
      passes.push(options.scores ? 'norms and scores' : 'norms');
      return {
        ...(options.scores ? { scores: scoresOf(sequences) } : {}),
        global: Float64Array.from(sequences, (s) => s.ids.length),
        sumOfTensorNorms: Float64Array.from(sequences, (s) => 2 * s.ids.length),
      };
    },
    score: async (sequences: TokenSequence[]) => {
      calls.push(sequences);
      passes.push('scores');
      return scoresOf(sequences);
    },
  };
  return { model: model as unknown as LanguageModel, calls, passes };
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mendset-features-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('computeFeatures', () => {
  const pool = { records: pairRecords(5), appendEos: false };

  it('computes only what is needed', async () => {
    const { model, calls } = fakeModel();
    expect(await computeFeatures(pool, [], { model })).toEqual({});
    const features = await computeFeatures(pool, ['embeddings'], { model });
    expect(Object.keys(features)).toEqual(['embeddings']);
    expect(calls).toHaveLength(1);
    expect(features.embeddings?.cost.flopsCounted).toBe(2 * 100 * (calls[0] ?? []).reduce((n, s) => n + s.ids.length, 0));
    expect(byteTokenizer.decode(calls[0]?.[0]?.ids ?? [])).toBe('The cat 0\n is kind today.\n is awful 0!');
  });
  it('embeds the raw line under the paper preset', async () => {
    const { model, calls } = fakeModel();
    await computeFeatures(pool, ['embeddings'], { model, preset: 'paper' });
    expect(byteTokenizer.decode(calls[0]?.[0]?.ids ?? [])).toBe(pool.records[0]?.raw.slice(0, 64));
  });
  it('takes values from the cache while model, records and options are the same', async () => {
    const { model, calls } = fakeModel();
    const context = { model, cacheDirectory: folder };
    const first = await computeFeatures(pool, ['embeddings', 'gradientNorms'], context);
    const second = await computeFeatures(pool, ['embeddings', 'gradientNorms'], context);
    expect(calls).toHaveLength(2);
    expect(second.embeddings).toMatchObject({ cached: true, cost: first.embeddings?.cost, incurred: { flopsCounted: 0 } });
    expect(second.embeddings?.values).toEqual(first.embeddings?.values);
    expect(second.gradientNorms?.values).toEqual(first.gradientNorms?.values);
    await computeFeatures({ ...pool, records: pool.records.slice(1) }, ['embeddings'], context);
    await computeFeatures(pool, ['gradientNorms'], { ...context, gradientNorms: { norm: 'sum-of-tensors' } });
    expect(calls).toHaveLength(4);
    expect((await readdir(folder)).filter((f) => f.endsWith('.npy'))).toHaveLength(4);
  });
  it('reads own embeddings and checks their rows', async () => {
    const path = join(folder, 'own.npy');
    await writeNpy(path, new Float32Array(10).fill(1), [5, 2]);
    expect((await computeFeatures(pool, ['embeddings'], { embeddings: { file: path } })).embeddings?.values.columns).toBe(2);
    await expect(
      computeFeatures({ ...pool, records: pairRecords(4) }, ['embeddings'], { embeddings: { file: path } }),
    ).rejects.toThrowError(/4 records/);
    await expect(computeFeatures(pool, ['embeddings'])).rejects.toThrowError(/model/);
  });
  it('scores tokens, by mean or sum', async () => {
    const { model } = fakeModel();
    expect([
      ...((await computeFeatures(pool, ['scores'], { model, scores: { score: 'margin', reduction: 'sum' } })).scores?.values ?? []),
    ]).toEqual(new Array(5).fill(1.5));
    const given = await computeFeatures(pool, ['scores'], { scores: { values: Float64Array.of(1, 2, 3, 4, 5) } });
    expect(given.scores?.options).toEqual({ source: 'given' });
  });
  it('takes gradient norms and scores of the same texts from one pass', async () => {
    const alone = fakeModel();
    const { gradientNorms } = await computeFeatures(pool, ['gradientNorms'], { model: alone.model });
    const { scores } = await computeFeatures(pool, ['scores'], { model: alone.model, scores: { score: 'loss' } });
    expect(alone.passes).toEqual(['norms', 'scores']);
    for (const needs of [
      ['gradientNorms', 'scores'],
      ['scores', 'gradientNorms'],
    ] as const) {
      const { model, passes } = fakeModel();
      const both = await computeFeatures(pool, needs, { model, scores: { score: 'loss' } });
      expect(passes).toEqual(['norms and scores']);
      expect(both.gradientNorms?.values).toEqual(gradientNorms?.values);
      expect(both.scores?.values).toEqual(scores?.values);
      // what they cost alone, and nothing of it now
      expect(both.scores?.cost.flopsCounted).toBe(scores?.cost.flopsCounted);
      expect(both.scores?.incurred.flopsCounted).toBe(0);
      expect(both.gradientNorms?.incurred).toEqual(both.gradientNorms?.cost);
    }
  });
  it.each([
    ['other tokens', { scores: { tokens: 'all' } }, ['norms', 'scores']],
    ['other texts', { gradientNorms: { text: 'gold' } }, ['norms', 'scores']],
    ['another model', { gradientNorms: { model: fakeModel().model } }, ['scores']],
    ['scores that are given', { scores: { values: new Float64Array(5) } }, ['norms']],
  ] as const)('keeps passes apart for %s', async (_, options, expected) => {
    const { model, passes } = fakeModel();
    const records = pool.records.map((r) => ({ ...r, gold: 'gold text' }));
    await computeFeatures({ ...pool, records }, ['gradientNorms', 'scores'], { model, ...options });
    expect(passes).toEqual(expected);
  });
  it('shares no pass that the cache saves', async () => {
    const { model, passes } = fakeModel();
    const context = { model, cacheDirectory: folder };
    await computeFeatures(pool, ['gradientNorms'], context);
    const { scores } = await computeFeatures(pool, ['gradientNorms', 'scores'], context);
    expect(passes).toEqual(['norms', 'scores']);
    expect(scores?.incurred).toEqual(scores?.cost);
    await computeFeatures(pool, ['gradientNorms', 'scores'], {
      ...context,
      gradientNorms: { norm: 'sum-of-tensors' },
      scores: { score: 'margin' },
    });
    expect(passes.slice(2)).toEqual(['norms and scores']);
    const kept = await computeFeatures(pool, ['scores'], { ...context, scores: { score: 'margin' } });
    expect(kept.scores).toMatchObject({ cached: true, cost: { flopsCounted: scores?.cost.flopsCounted } });
    expect(passes).toHaveLength(3);
  });
  it('never takes an unscored text for harmless', async () => {
    const records = [pairRecord({ rejected: 'bad' }), pairRecord({ rejected: 'odd' }), pairRecord({})];
    const score = async (texts: readonly string[]) => texts.map((t) => (t === 'odd' ? null : 0.25));
    const { toxicity } = await computeFeatures({ records, appendEos: false }, ['toxicity'], { toxicity: { score } });
    expect([...(toxicity?.values ?? [])]).toEqual([0.25, Number.NaN, Number.NaN]);
    expect(toxicity?.warnings).toHaveLength(1);
    await expect(computeFeatures({ records, appendEos: false }, ['toxicity'])).rejects.toThrowError(/scorer/);
  });
  it('reads toxicity that came with the records', async () => {
    const records = [pairRecord({ scores: { toxicity: 0.5 } }), pairRecord({})];
    expect([...((await computeFeatures({ records, appendEos: false }, ['toxicity'])).toxicity?.values ?? [])]).toEqual([0.5, Number.NaN]);
  });
});
