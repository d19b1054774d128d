import { describe, expect, it } from 'vitest';
import type { Matrix } from '../../src/core/matrix.ts';
import { RandomStream } from '../../src/core/random.ts';
import { ccs } from '../../src/select/ccs.ts';
import { d2 } from '../../src/select/d2.ts';
import { deduplicate } from '../../src/select/deduplicate.ts';
import { facilityLocation } from '../../src/select/facility-location.ts';
import { grand } from '../../src/select/grand.ts';
import { herding } from '../../src/select/herding.ts';
import { kCenter } from '../../src/select/k-center.ts';
import { moderate } from '../../src/select/moderate.ts';
import { random } from '../../src/select/random.ts';
import { saps } from '../../src/select/saps.ts';
import type { AnySelector, FeatureTypes, SelectionInput } from '../../src/select/selector.ts';
import { stratified } from '../../src/select/stratified.ts';
import { uniform } from '../../src/select/uniform.ts';

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
    name: 'saps, stratified',
    selector: saps({ mode: 'stratified' }),
  },
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
  { name: 'uniform', selector: uniform(), skip: [fixedOrder] },
  { name: 'stratified', selector: stratified() },
  { name: 'stratified, evenly by group', selector: stratified({ by: 'group', allocation: 'waterfill' }) },
  {
    name: 'stratified, paper',
    selector: stratified({ preset: 'paper' }),
    skip: [{ promise: 'exact budget', reason: 'the published quotas are floored, but at least 1' }],
  },
  { name: 'facility-location', selector: facilityLocation(), skip: [fixedOrder] },
  { name: 'facility-location, euclidean, pca', selector: facilityLocation({ metric: 'euclidean', space: 'pca' }), skip: [fixedOrder] },
  { name: 'herding', selector: herding(), skip: [fixedOrder] },
  { name: 'herding, nearest, pca', selector: herding({ rule: 'nearest', space: 'pca' }), skip: [fixedOrder] },
  { name: 'herding, paper', selector: herding({ preset: 'paper' }), skip: [fixedOrder] },
  { name: 'moderate', selector: moderate(), skip: [fixedOrder] },
  { name: 'moderate by group', selector: moderate({ by: 'group' }), skip: [fixedOrder] },
  {
    name: 'moderate by group, paper',
    selector: moderate({ by: 'group', preset: 'paper' }),
    skip: [{ promise: 'exact budget', reason: 'the published window is rounded at both ends' }, fixedOrder],
  },
  { name: 'd2', selector: d2(), skip: [fixedOrder] },
  { name: 'd2 by gradient norm, pca', selector: d2({ score: 'gradientNorm', space: 'pca' }), skip: [fixedOrder] },
  { name: 'd2, paper', selector: d2({ preset: 'paper' }), skip: [fixedOrder] },
  { name: 'deduplicate, filled', selector: deduplicate({ fill: true }), skip: [fixedOrder] },
  {
    name: 'deduplicate',
    selector: deduplicate({ threshold: 0.999 }),
    skip: [{ promise: 'exact budget', reason: 'duplicates are left out even where the budget asks for more' }, fixedOrder],
  },
];

function features(n: number, kind: 'distinct' | 'duplicates'): FeatureTypes {
  const stream = new RandomStream(n, 2);
  const columns = 12;
  const value = (): number => (kind === 'distinct' ? stream.uniform() : stream.below(2));
  const data = Float32Array.from({ length: n * columns }, value);
  const embeddings: Matrix = { data, rows: n, columns };
  const scores = Float64Array.from({ length: n }, value);
  const groups = Int32Array.from({ length: n }, (_, i) => (i * 7) % 5);
  return { embeddings, gradientNorms: scores, toxicity: scores.slice(), scores: scores.slice(), groups };
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

  it('names what it chose, and says its pool, memory and work', async () => {
    const given = input(60, 20);
    const ids = Array.from({ length: 60 }, (_, i) => `r${i}`);
    const selection = await selector.select({ ...given, ids });
    expect(selection.ids).toEqual(Array.from(selection.indices, (i) => `r${i}`));
    expect(selection.poolHash).toMatch(/^[0-9a-f]{64}$/);
    expect((await selector.select(given, { poolHash: 'mine' })).poolHash).toBe('mine');
    expect((await selector.select(given, { poolHash: null })).poolHash).toBe(null);
    expect(selection.memory.work).toBe(selector.workBytes?.(60, 12, 20));
    expect(selection.memory.input).toBe(60 * (12 * 4 + 3 * 8 + 4));
    expect(selection.memory.peak).toBeGreaterThan(0);
    expect(Object.keys(selection.work).sort()).toEqual(Object.keys(selection.timings).sort());
    for (const { flops, bytes } of Object.values(selection.work)) {
      expect(flops).toBeGreaterThanOrEqual(0);
      expect(bytes).toBeGreaterThan(0);
    }
    expect(['cpu', 'javascript']).toContain(selection.backend);
    expect(selection.isa).toMatch(/^\w+$/);
    expect(selection.threads).toBeGreaterThan(0);
    await expect(selector.select({ ...given, ids: ['one'] })).rejects.toThrow(/ids of 60 records but received 1/);
  });

  it('refuses what cannot fit before any work', async () => {
    await expect(selector.select(input(60, 20), { memoryLimit: 1000 })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(/fit into 1000 bytes \(the memory limit\) but it needs about/),
    });
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
