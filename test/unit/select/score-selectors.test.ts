import { describe, expect, it } from 'vitest';
import { PythonRandom, RandomStream } from '../../../src/core/random.ts';
import { engineInfo } from '../../../src/native/engine-info.ts';
import { ccs, defaultBeta, drawNatively, drawPlainly } from '../../../src/select/ccs.ts';
import { grand } from '../../../src/select/grand.ts';
import { random } from '../../../src/select/random.ts';
import { selectIndices } from '../../../src/select/select.ts';

describe('random', () => {
  it('takes the first of stream 2', async () => {
    const selection = await random().select({ n: 10, budget: 4, seed: 43, features: {} });
    expect([...selection.indices]).toEqual([0, 9, 3, 2]);
    expect(selection).toMatchObject({
      method: 'random',
      preset: 'principled',
      seed: '43',
      budget: 4,
      backend: 'javascript',
      isa: process.arch,
      threads: 1,
    });
  });
  it('draws the same permutation in a large window', async () => {
    const n = 70_001;
    const { indices, ...report } = await random().select({ n, budget: 5000, seed: 43, features: {} }, { threads: 2 });
    expect(report).toMatchObject({ backend: 'cpu', isa: engineInfo().isa, threads: 2 });
    expect(indices).toEqual(new RandomStream(43, 2).permutation(n).slice(0, 5000));
  });
  it('paper: takes the first of the Python shuffle', async () => {
    const selection = await random({ preset: 'paper' }).select({ n: 10, budget: 4, seed: 43, features: {} });
    expect([...selection.indices]).toEqual([8, 1, 5, 6]);
  });
});

describe('grand', () => {
  const gradientNorms = Float64Array.of(3, 7, 7, 1, 9);
  it('takes the largest, ties by index', async () => {
    const selection = await grand().select({ n: 5, budget: 3, seed: 0, features: { gradientNorms } });
    expect([...selection.indices]).toEqual([4, 1, 2]);
    expect(selection.scores).toBe(gradientNorms);
  });
  it('skips the hardest with an offset and refuses one too large', async () => {
    const input = { n: 5, budget: 3, seed: 0, features: { gradientNorms } };
    expect([...(await grand({ offset: 2 }).select(input)).indices]).toEqual([2, 0, 3]);
    await expect(grand({ offset: 3 }).select(input)).rejects.toThrow(/offset \+ budget of at most 5/);
  });
  it('takes the smallest margin first', async () => {
    const selection = await grand({ score: 'margin' }).select({
      n: 3,
      budget: 2,
      seed: 0,
      features: { scores: Float64Array.of(0.5, -1, 0.1) },
    });
    expect([...selection.indices]).toEqual([1, 2]);
  });
  it('refuses or drops scores that are not finite', async () => {
    const input = { n: 3, budget: 2, seed: 0, features: { gradientNorms: Float64Array.of(1, Number.NaN, 2) } };
    await expect(grand().select(input)).rejects.toMatchObject({ code: 'non-finite', message: expect.stringContaining('record 1') });
    const selection = await grand({ nonFinite: 'drop' }).select(input);
    expect([...selection.indices]).toEqual([2, 0]);
    expect(selection.dropped).toBe(1);
    await expect(grand({ nonFinite: 'drop' }).select({ ...input, budget: 3 })).rejects.toThrow(/at most 2 scored records/);
  });
  it('paper: half of the scored records whatever the budget', async () => {
    const features = { gradientNorms: Float64Array.of(1, Number.NaN, 2, 5, 4) };
    const selection = await grand({ preset: 'paper' }).select({ n: 5, budget: 4, seed: 0, features });
    expect([...selection.indices]).toEqual([3, 4]);
    expect(selection.warnings).toHaveLength(1);
  });
});

describe('ccs', () => {
  const toxicity = Float64Array.from({ length: 200 }, (_, i) => ((i * 37) % 200) / 200);
  it('covers the strata evenly', async () => {
    const selection = await ccs({ strata: 10 }).select({ n: 200, budget: 100, seed: 1, features: { toxicity } });
    expect([...(selection.quotas ?? [])]).toEqual(new Array(10).fill(10));
    const strata = [...selection.indices].map((i) => selection.clusters?.[i] as number);
    expect(strata).toEqual([...strata].sort((a, b) => a - b));
  });
  it('removes the hardest first', async () => {
    const selection = await ccs({ strata: 10, beta: 0.25 }).select({ n: 200, budget: 100, seed: 1, features: { toxicity } });
    expect(Math.max(...[...selection.indices].map((i) => toxicity[i] as number))).toBeLessThan(0.75);
    const easiest = await ccs({ score: 'margin', beta: 0.25 }).select({ n: 200, budget: 100, seed: 1, features: { scores: toxicity } });
    expect(Math.min(...[...easiest.indices].map((i) => toxicity[i] as number))).toBeGreaterThanOrEqual(0.25);
  });
  it('lowers beta when too few would remain, and says so', async () => {
    const selection = await ccs({ beta: 0.5 }).select({ n: 200, budget: 150, seed: 1, features: { toxicity } });
    expect(selection.indices).toHaveLength(150);
    expect(selection.warnings[0]).toMatch(/beta was lowered from 0.5 to 0.25/);
  });
  it('has the published betas', () => {
    expect([4400, 1320, 1319, 441, 440, 1].map((budget) => defaultBeta(budget, 4400))).toEqual([0, 0, 0.2, 0.2, 0.3, 0.3]);
    expect(defaultBeta(1320, 4401)).toBe(0);
  });
  it('reports equal scores', async () => {
    const selection = await ccs().select({ n: 20, budget: 5, seed: 1, features: { toxicity: new Float64Array(20) } });
    expect(selection.indices).toHaveLength(5);
    expect(selection.warnings[0]).toMatch(/All scores are equal/);
  });
  it('paper: five bins, no redistribution', async () => {
    const scores = Float64Array.of(0.01, 0.01, 0.01, 0.025, 0.035, 0.045, 0.9, 0.8, 0.7, Number.NaN);
    const selection = await ccs({ preset: 'paper' }).select({ n: 10, budget: 10, seed: 43, features: { toxicity: scores } });
    expect([...(selection.quotas ?? [])]).toEqual([2, 1, 1, 1, 2]);
    const source = new PythonRandom(43);
    const bins = [[0, 1, 2, 9], [3], [4], [5], [6, 7, 8]];
    const expected = bins.flatMap((bin, b) => source.sample(bin.length, [2, 1, 1, 1, 2][b] as number).map((at) => bin[at]));
    expect([...selection.indices]).toEqual(expected);
    expect(selection.warnings[0]).toMatch(/chose 7 of 10/);
  });
});

describe('selectIndices', () => {
  it('resolves fractions', async () => {
    const selection = await selectIndices(random(), { n: 10, budget: { fraction: 0.4 }, seed: 43, features: {} });
    expect([...selection.indices]).toEqual([0, 9, 3, 2]);
  });
  it('rejects instead of throwing', async () => {
    await expect(selectIndices(random(), { n: 10, budget: { count: 11 }, features: {} })).rejects.toThrow(/at most 10/);
  });
});

describe('large windows, computed by the engine', () => {
  const n = 70_000;
  const stream = new RandomStream(5, 2);
  const uniform = Float64Array.from({ length: n }, () => stream.uniform());
  const withNaN = uniform.map((value, i) => (i % 7 === 3 ? Number.NaN : value));

  it.each([
    ['high', uniform.map((u) => u ** 3), 'high', 0.15],
    ['low', uniform.map((u) => u - 0.5), 'low', 0.15],
    ['ties', uniform.map((u) => Math.floor(5 * u)), 'high', 0.3],
    ['equal', uniform.map(() => 2), 'high', 0.3],
    ['nothing removed', uniform, 'high', 0],
    ['beta too large', uniform, 'low', 0.99],
    ['not finite', withNaN, 'high', 0.2],
  ] as const)('ccs, %s: the same as the plain form', async (_name, scores, hard, wanted) => {
    const plan = { scores, budget: 9000, wanted, hard, strata: 50, nonFinite: 'drop', what: 'score', seed: 7n } as const;
    const plain = drawPlainly(plan);
    expect(plain.indices).toHaveLength(9000);
    for (const threads of [1, 3]) expect(await drawNatively(plan, { threads })).toEqual(plain);
  });
  it('ccs refuses what is not finite and too few usable records', async () => {
    const features = { scores: withNaN };
    const input = { n, budget: 100, seed: 1, features };
    await expect(ccs({ score: 'given' }).select(input)).rejects.toMatchObject({
      code: 'non-finite',
      message: expect.stringContaining('record 3 has NaN'),
    });
    await expect(ccs({ score: 'given', nonFinite: 'drop' }).select({ ...input, budget: n })).rejects.toThrow(
      /at most 60000 records with a finite given score/,
    );
  });
  it.each(['gradientNorm', 'margin'] as const)('grand by %s: the same as a full sort', async (score) => {
    const features = { scores: withNaN, gradientNorms: withNaN };
    const selector = grand({ score, offset: 10, nonFinite: 'drop' });
    const { indices, dropped, ...report } = await selector.select({ n, budget: 500, seed: 0, features }, { threads: 3 });
    expect(report).toMatchObject({ backend: 'cpu', isa: engineInfo().isa, threads: 3 });
    const usable = [...withNaN.keys()].filter((i) => i % 7 !== 3);
    const sign = score === 'margin' ? 1 : -1;
    usable.sort((a, b) => sign * ((withNaN[a] as number) - (withNaN[b] as number)) || a - b);
    expect([...indices]).toEqual(usable.slice(10, 510));
    expect(dropped).toBe(10_000);
    await expect(grand({ score }).select({ n, budget: 500, seed: 0, features })).rejects.toMatchObject({ code: 'non-finite' });
  });
  it.each([
    ['ccs', (signal: AbortSignal) => ccs({ score: 'given' }).select({ n, budget: 10, seed: 1, features: { scores: uniform } }, { signal })],
    [
      'grand',
      (signal: AbortSignal) => grand({ score: 'given' }).select({ n, budget: 10, seed: 1, features: { scores: uniform } }, { signal }),
    ],
    ['random', (signal: AbortSignal) => random().select({ n, budget: 10, seed: 1, features: {} }, { signal })],
  ] as const)('%s stops at once when it was aborted', async (_name, run) => {
    await expect(run(AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' });
  });
});
