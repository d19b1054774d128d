import { describe, expect, it } from 'vitest';
import type { Matrix } from '../../src/core/matrix.ts';
import { RandomStream } from '../../src/core/random.ts';
import { ccs } from '../../src/select/ccs.ts';
import { grand } from '../../src/select/grand.ts';
import { kCenter } from '../../src/select/k-center.ts';
import { random } from '../../src/select/random.ts';
import { saps } from '../../src/select/saps.ts';
import type { AnySelector, FeatureTypes, SelectionInput } from '../../src/select/selector.ts';

/** What a preset or option gives up on purpose. */
type Guarantee = 'exact budget' | 'no duplicates' | 'depends on seed';
interface Case {
  readonly name: string;
  readonly selector: AnySelector;
  readonly skip?: readonly { readonly promise: Guarantee; readonly reason: string }[];
}

const fixedOrder = { promise: 'depends on seed', reason: 'the order follows from the features alone' } as const;
const cases: readonly Case[] = [
  { name: 'random', selector: random() },
  { name: 'random, paper', selector: random({ preset: 'paper' }) },
  { name: 'k-center', selector: kCenter() },
  { name: 'k-center, raw, farthest from mean', selector: kCenter({ first: 'farthest-from-mean', space: 'raw' }), skip: [fixedOrder] },
  {
    name: 'k-center, paper',
    selector: kCenter({ preset: 'paper' }),
    skip: [
      { promise: 'exact budget', reason: 'the published code always chooses half' },
      { promise: 'no duplicates', reason: 'the published code does not exclude chosen records' },
      { promise: 'depends on seed', reason: 'the published code draws the first centre with seed 42' },
    ],
  },
  { name: 'grand', selector: grand(), skip: [fixedOrder] },
  { name: 'grand by el2n', selector: grand({ score: 'el2n' }), skip: [fixedOrder] },
  {
    name: 'grand, paper',
    selector: grand({ preset: 'paper' }),
    skip: [{ promise: 'exact budget', reason: 'the published code always chooses half' }, fixedOrder],
  },
  { name: 'ccs', selector: ccs() },
  { name: 'ccs by margin', selector: ccs({ score: 'margin', beta: 0.1 }) },
  {
    name: 'ccs, paper',
    selector: ccs({ preset: 'paper' }),
    skip: [{ promise: 'exact budget', reason: 'five fixed bins, no redistribution' }],
  },
  { name: 'saps', selector: saps(), skip: [fixedOrder] },
  { name: 'saps, mix, proportional', selector: saps({ boundaryRatio: 0.5, allocation: 'proportional' }), skip: [fixedOrder] },
  { name: 'saps, global', selector: saps({ mode: 'global' }), skip: [fixedOrder] },
  { name: 'saps, density', selector: saps({ mode: 'density' }), skip: [fixedOrder] },
  { name: 'saps, random', selector: saps({ mode: 'random' }) },
  {
    name: 'saps, equal quotas',
    selector: saps({ allocation: 'equal-no-redistribute' }),
    skip: [{ promise: 'exact budget', reason: 'the option loses what small clusters cannot fill' }, fixedOrder],
  },
  {
    name: 'saps, paper, mix',
    selector: saps({ preset: 'paper', boundaryRatio: 0.5 }),
    skip: [
      { promise: 'exact budget', reason: 'quotas are never redistributed' },
      { promise: 'no duplicates', reason: 'mix overlaps in clusters smaller than their quota' },
      { promise: 'depends on seed', reason: 'clustering is seeded with 42' },
    ],
  },
];

function features(n: number, kind: 'distinct' | 'duplicates'): FeatureTypes {
  const stream = new RandomStream(n, 2);
  const columns = 12;
  const value = (): number => (kind === 'distinct' ? stream.uniform() : stream.below(2));
  const data = Float32Array.from({ length: n * columns }, value);
  const embeddings: Matrix = { data, rows: n, columns };
  const scores = Float64Array.from({ length: n }, value);
  return { embeddings, gradientNorms: scores, toxicity: scores.slice(), scores: scores.slice() };
}

function input(n: number, budget: number, seed = 43, kind: 'distinct' | 'duplicates' = 'distinct'): SelectionInput<keyof FeatureTypes> {
  return { n, budget, seed, features: features(n, kind) };
}

describe.each(cases)('$name', ({ selector, skip = [] }) => {
  const promised = (promise: Guarantee): boolean => !skip.some((each) => each.promise === promise);

  it.each([
    [0, 0],
    [1, 0],
    [1, 1],
    [2, 1],
    [5, 5],
    [60, 1],
    [60, 29],
    [60, 60],
    [301, 150],
  ])('n = %i, budget %i: valid, distinct, exact', async (n, budget) => {
    for (const kind of ['distinct', 'duplicates'] as const) {
      const selection = await selector.select(input(n, budget, 43, kind));
      const indices = [...selection.indices];
      expect(indices.every((i) => Number.isInteger(i) && i >= 0 && i < n)).toBe(true);
      if (promised('no duplicates')) expect(new Set(indices).size).toBe(indices.length);
      if (promised('exact budget')) expect(indices).toHaveLength(budget);
      if (budget === 0) expect(indices).toEqual([]);
      if (indices.length !== budget) expect(selection.warnings.length).toBeGreaterThan(0);
      expect(selection).toMatchObject({ method: selector.name, preset: selector.preset, n, budget, seed: '43' });
      for (const time of Object.values(selection.timings)) expect(time).toBeGreaterThanOrEqual(0);
    }
  });

  it('gives the same selection for the same seed, threads and options', async () => {
    const first = await selector.select(input(120, 40));
    for (const threads of [1, 2, 5]) {
      const again = await selector.select(input(120, 40), { threads });
      expect([...again.indices]).toEqual([...first.indices]);
      expect(again.scores).toEqual(first.scores);
    }
  });

  it('gives another selection for another seed', async (context) => {
    const given = skip.find((each) => each.promise === 'depends on seed');
    if (given) context.skip(given.reason);
    const first = await selector.select(input(120, 40, 1));
    const second = await selector.select(input(120, 40, 2));
    expect([...second.indices]).not.toEqual([...first.indices]);
  });

  it.each([
    [10, 11, /from 0 to 10 but received 11/],
    [10, -1, /from 0 to 10 but received -1/],
    [10, 2.5, /from 0 to 10 but received 2.5/],
    [0, 1, /from 0 to 0 but received 1/],
  ])('refuses n = %i, budget %f', async (n, budget, message) => {
    await expect(selector.select(input(n, budget))).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringMatching(message),
    });
  });

  it('refuses missing and misshapen features', async () => {
    if (selector.needs.length === 0) return;
    await expect(selector.select({ n: 4, budget: 2, seed: 0, features: {} as FeatureTypes })).rejects.toThrow(
      /Expected .* because .* needs them/,
    );
    await expect(selector.select({ ...input(5, 2), n: 4 })).rejects.toThrow(/for 4 records but received 5/);
  });

  it('stops for an aborted signal', async () => {
    await expect(selector.select(input(60, 20), { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
  });

  it('survives JSON', async () => {
    const { method, preset, parameters, timings, warnings, seed } = await selector.select(input(30, 10));
    expect(JSON.parse(JSON.stringify({ method, preset, parameters, timings, warnings, seed }))).toEqual({
      method,
      preset,
      parameters,
      timings,
      warnings,
      seed,
    });
  });
});
