import { describe, expect, it } from 'vitest';
import { bootstrapCrossed, signFlipTest } from '../../../src/core/bootstrap.ts';
import { RandomStream, STREAM_IDS } from '../../../src/core/random.ts';
import { compareEvaluations } from '../../../src/evaluate/compare-evaluations.ts';
import { evaluate } from '../../../src/evaluate/evaluate.ts';
import type { ToxicityScorer } from '../../../src/evaluate/scorer.ts';
import { rtpFigures, rtpFiguresOverSeeds, rtpToxicity } from '../../../src/evaluate/toxicity-rtp.ts';
import type { LanguageModel } from '../../../src/model/language-model.ts';
import { byteTokenizer } from '../../byte-tokenizer.ts';

const scorer: ToxicityScorer = {
  identity: { name: 'letter-x', version: '1', weightsHash: '0', labels: ['x'], activation: 'none' },
  score: async (texts) => texts.map((t) => (t.includes('?') ? null : { x: (t.match(/x/g)?.length ?? 0) / t.length })),
};

/** Answers with its prompt followed by as many x as the sample's number and the seed say, less `kinder`. */
const model = (kinder: number) =>
  ({
    tokenizer: byteTokenizer,
    requireTokenizer: () => byteTokenizer,
    hash: null,
    summary: { vocab: 257, context: 64, eos: 256, family: 'echo' },
    generate: async (prompts: Int32Array[], { samples = 1, seed = 0 }: { samples?: number; seed?: number }) =>
      prompts.flatMap((p, i) =>
        Array.from({ length: samples }, (_, s) => ({
          ids: byteTokenizer.encode(`${byteTokenizer.decode(p)}${'x'.repeat(Math.max(0, ((i * 7 + s * 3 + seed) % 9) - kinder))}`),
          stopped: false,
        })),
      ),
  }) as unknown as LanguageModel;
const prompts = Array.from({ length: 40 }, (_, i) => `prompt ${i}`);

describe('sign-flip test', () => {
  it('sees a constant effect and no effect', () => {
    expect(signFlipTest(new Array(20).fill(0.1))).toBeLessThan(0.001);
    const random = new RandomStream(1, STREAM_IDS.bootstrap);
    const p = signFlipTest(Array.from({ length: 100 }, () => random.uniform() - 0.5)) as number;
    expect(p).toBeGreaterThan(0.05);
    expect(signFlipTest([])).toBeNull();
    expect(signFlipTest([0, 0, 0])).toBe(1);
  });
  it('is exact for few pairs: all signs equal happens in 2 of 2^5 cases', () => {
    expect(signFlipTest([1, 2, 3, 4, 5], { flips: 40_000 })).toBeCloseTo(2 / 32, 2);
  });
});

describe('crossed bootstrap', () => {
  it('widens when seeds disagree, and leaves gaps out', () => {
    const row = (shift: number) => Array.from({ length: 50 }, (_, i) => ((i * 13) % 50) / 100 + shift);
    const width = (table: (number | null)[][]) => {
      const interval = bootstrapCrossed(table);
      return (interval?.high ?? 0) - (interval?.low ?? 0);
    };
    expect(width([row(0), row(0.4), row(0.2)])).toBeGreaterThan(2 * width([row(0.2), row(0.2), row(0.2)]));
    expect(bootstrapCrossed([[0.5, null, 0.5]])).toMatchObject({ low: 0.5, high: 0.5 });
    expect(bootstrapCrossed([[null], [null]])).toBeNull();
  });
});

describe('RealToxicityPrompts', () => {
  it('equals a plain computation on random scores with gaps', () => {
    const random = new RandomStream(3, STREAM_IDS.bootstrap);
    const groups = Array.from({ length: 200 }, () =>
      Array.from({ length: 25 }, () => (random.uniform() < 0.1 ? null : random.uniform() ** 3)),
    );
    groups[7] = new Array(25).fill(null);
    let sum = 0;
    let hits = 0;
    let n = 0;
    for (const group of groups) {
      const scored = group.filter((s) => s !== null);
      if (scored.length === 0) continue;
      n++;
      sum += Math.max(...scored);
      if (scored.some((s) => s > 0.5)) hits++;
    }
    const own = rtpFigures(groups);
    expect(own).toMatchObject({ prompts: n, dropped: 1 });
    expect(own.expectedMaximum).toBeCloseTo(sum / n, 12);
    expect(own.probability).toBeCloseTo(hits / n, 12);
  });
  it('keeps each sample of each prompt and seed, and averages over seeds', async () => {
    const result = await rtpToxicity(model(0), prompts, scorer, { samples: 4, seeds: [1, 2, 5] });
    expect(result.records).toHaveLength(3 * prompts.length);
    expect(result.records[prompts.length]).toMatchObject({ prompt: 0, seed: 2 });
    expect(result.records.every((r) => r.samples.length === 4)).toBe(true);
    const tables = result.perSeed.map((_, s) =>
      result.records.slice(s * prompts.length, (s + 1) * prompts.length).map((r) => r.samples.map((x) => x.score)),
    );
    expect(result.expectedMaximum).toBeCloseTo(rtpFiguresOverSeeds(tables).expectedMaximum as number, 12);
    const mean = result.perSeed.reduce((sum, f) => sum + (f.expectedMaximum as number), 0) / 3;
    expect(result.expectedMaximum).toBeCloseTo(mean, 12);
    await expect(rtpToxicity(model(0), prompts, scorer, { seeds: [1, 1] })).rejects.toThrowError(/distinct seeds/);
  });
});

describe('compareEvaluations', () => {
  it('pairs figures over prompts and refuses what may not be compared', async () => {
    const options = { prompts, rtpPrompts: prompts, scorer, rtp: { samples: 3 } };
    const [before, after] = [await evaluate(model(0), options), await evaluate(model(3), options)];
    const { figures, refused } = compareEvaluations(before, after);
    expect(refused).toEqual([]);
    const names = figures.map((f) => f.name);
    expect(names).toEqual(['toxicity.repair', 'toxicity.rtp.expectedMaximum', 'toxicity.rtp.probability']);
    for (const figure of figures) {
      expect(figure.pairs).toBe(prompts.length);
      expect(figure.difference).toBeCloseTo((figure.b as number) - (figure.a as number), 12);
    }
    expect(figures[0]?.interval?.high).toBeLessThan(0);
    expect(figures[0]?.pValue).toBeLessThan(0.001);
    const other = await evaluate(model(3), { ...options, rtp: { samples: 4 } });
    expect(compareEvaluations(before, other).refused.map((r) => r.name)).toEqual([
      'toxicity.rtp.expectedMaximum',
      'toxicity.rtp.probability',
    ]);
    const stranger = { ...scorer, identity: { ...scorer.identity, weightsHash: '1' } };
    const strange = await evaluate(model(3), { prompts, scorer: stranger });
    expect(() => compareEvaluations(before, strange)).toThrowError(/different scorers/);
  });
});
