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

/** Embeds a text as (number of tokens, first token); counts its calls. */
function fakeModel() {
  const calls: TokenSequence[][] = [];
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
    gradientNorms: async (sequences: TokenSequence[]) => {
      calls.push(sequences);
      return {
        global: Float64Array.from(sequences, (s) => s.ids.length),
        sumOfTensorNorms: Float64Array.from(sequences, (s) => 2 * s.ids.length),
      };
    },
    score: async (sequences: TokenSequence[]) => {
      calls.push(sequences);
      return sequences.map((s) => ({ loss: s.ids.length, el2n: 1, margin: 0.5, tokens: 3, logProb: -1, allGreedy: false }));
    },
  };
  return { model: model as unknown as LanguageModel, calls };
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
