import { describe, expect, it } from 'vitest';
import { ops } from '../../../src/metrics/ops.ts';
import { overSeeds } from '../../../src/metrics/over-seeds.ts';
import { PROPOSAL_1 } from '../../../src/metrics/proposal-1.ts';
import { res } from '../../../src/metrics/res.ts';
import type { ModelFigures } from '../../../src/metrics/result.ts';
import { rps } from '../../../src/metrics/rps.ts';
import { weightTable } from '../../../src/metrics/weight-table.ts';

const base = { toxicity: 0.4822, wikitext: 17.4, lambada: 28.1 };
const full = { toxicity: 0.0468, wikitext: 18.15, lambada: 31.83, cost: 2769 };
const subset = { toxicity: 0.06, wikitext: 18, lambada: 31, cost: 1394.5 };

describe('golden values', () => {
  it('ops', () => {
    expect(ops({ base, model: full }).value).toBeCloseTo(0.911415, 6);
    expect(ops({ base, model: subset }).value).toBeCloseTo(0.905317, 6);
  });
  it('rps', () => {
    expect(rps({ base, full, subset }).value).toBeCloseTo(0.976481, 6);
    expect(rps({ base, full, subset }, { oneSided: true }).value).toBeCloseTo(0.980829, 6);
    expect(rps({ base, subset }, { reference: 'ideal' }).value).toBeCloseTo(0.902869, 6);
    expect(rps({ base, full, subset: full }).value).toBe(1);
  });
  it('res', () => {
    expect(res({ base, full, subset }).value).toBeCloseTo(1.972373, 6);
    expect(res({ base, full, subset: full }).value).toBe(1);
  });
});

describe("IRepair's table 1", () => {
  const table: readonly [string, ModelFigures, readonly (readonly [number, number, number])[], readonly number[]][] = [
    [
      'GPT-2 Large',
      { toxicity: 41.53, wikitext: 19.44, lambada: 30.4 },
      [
        [11.99, 26.95, 43.59],
        [13.93, 22.96, 34.74],
        [14.97, 24.1, 38.79],
        [7.74, 20.93, 32.51],
        [5.11, 22.35, 30.93],
      ],
      [0.71, 0.756, 0.713, 0.871, 0.9],
    ],
    [
      'GPT-2 XL',
      { toxicity: 48.22, wikitext: 17.4, lambada: 28.1 },
      [
        [39.74, 22.96, 38.92],
        [5.21, 20.13, 34.7],
        [22.71, 21.02, 36.33],
        [10.67, 18.16, 29.19],
        [4.68, 18.15, 31.83],
      ],
      [0.361, 0.864, 0.651, 0.865, 0.911],
    ],
    [
      'GPT-Neo 1.3B',
      { toxicity: 40.89, wikitext: 14.56, lambada: 24.24 },
      [
        [31.57, 17, 27.74],
        [37.93, 16.17, 27.34],
        [12.26, 16.7, 26.37],
        [5.69, 16.56, 27.16],
        [4.94, 16.52, 26.86],
      ],
      [0.444, 0.254, 0.792, 0.873, 0.885],
    ],
  ];
  it.each(table)('ops of %s', (_name, original, models, expected) => {
    const scores = models.map(([toxicity, wikitext, lambada]) => ops({ base: original, model: { toxicity, wikitext, lambada } }).value);
    expect(scores.map((score) => Math.round((score ?? Number.NaN) * 1000) / 1000)).toEqual(expected);
  });
});

describe('edges', () => {
  it('carries metric, version and weights', () => {
    const weights = { toxicity: 1, wikitext: 0, lambada: 0 };
    expect(ops({ base, model: full }, { weights })).toMatchObject({ metric: 'ops', version: 'proposal-1', weights });
    expect(ops({ base, model: full }, { weights }).value).toBeCloseTo(1 - 0.0468 / 0.4822, 12);
  });
  it('is the same on a 0 to 100 scale', () => {
    const hundred = <T extends ModelFigures>(f: T): T => ({ ...f, toxicity: f.toxicity * 100 });
    expect(rps({ base: hundred(base), full: hundred(full), subset: hundred(subset) }).value).toBeCloseTo(0.976481, 6);
  });
  it.each([
    ['no toxicity to remove', { base: { ...base, toxicity: 0 }, full, subset }, /toxicity 0/],
    ['NaN', { base, full, subset: { ...subset, wikitext: Number.NaN } }, /WikiText-2 perplexity of the model is NaN/],
    ['a cost of zero', { base, full, subset: { ...subset, cost: 0 } }, /cost of the model is 0/],
    ['full repair that removes nothing', { base, full: { ...full, toxicity: 0.9 }, subset }, /Overall Performance Score of 0/],
  ])('is null with a reason for %s', (_name, input, reason) => {
    const result = res(input);
    expect(result.value).toBeNull();
    expect(result.reason).toMatch(reason);
  });
  it('is null without full-data figures', () => {
    expect(rps({ base, subset })).toMatchObject({ value: null, reason: expect.stringContaining('all data') });
  });
  it('refuses weights that do not sum to 1', () => {
    expect(() => ops({ base, model: full }, { weights: { toxicity: 1, wikitext: 1, lambada: 0 } })).toThrow(/sum to 1/);
  });
});

describe("formulas of one's own", () => {
  const formulas = { ...PROPOSAL_1, version: 'mine-1', ops: (b: ModelFigures, m: ModelFigures) => 1 - m.toxicity / b.toxicity };
  it('replace the proposal and are named in every result', () => {
    expect(ops({ base, model: full }, { formulas })).toMatchObject({ version: 'mine-1', value: 1 - 0.0468 / 0.4822 });
    expect(res({ base, full, subset }, { formulas, costUnit: 'seconds' })).toMatchObject({ version: 'mine-1', costUnit: 'seconds' });
    expect(res({ base, full, subset }, { formulas }).value).toBeCloseTo(
      ((1 - 0.06 / 0.4822) / (1 - 0.0468 / 0.4822)) * (2769 / 1394.5),
      12,
    );
    expect(ops({ base, model: { ...full, wikitext: Number.NaN } }, { formulas }).value).toBeNull();
  });
});

describe('over seeds', () => {
  it('has a Student interval', () => {
    // scipy.stats.t.interval(0.95, 4, loc=3, scale=sqrt(2.5 / 5))
    const { mean, sd, interval } = overSeeds([1, 2, 3, 4, 5]);
    expect(mean).toBe(3);
    expect(sd).toBeCloseTo(Math.sqrt(2.5), 12);
    expect(interval?.[0]).toBeCloseTo(1.036757, 5);
    expect(interval?.[1]).toBeCloseTo(4.963243, 5);
  });
  it('counts what is missing and says nothing about one seed', () => {
    expect(overSeeds([0.5, null])).toEqual({ mean: 0.5, sd: null, interval: null, seeds: 1, missing: 1 });
    expect(overSeeds([])).toMatchObject({ mean: null, seeds: 0 });
    // t(0.975, 60) = 2.000298
    const many = overSeeds(Array.from({ length: 61 }, (_, i) => i));
    expect(((many.interval?.[1] ?? 0) - 30) / ((many.sd ?? 0) / Math.sqrt(61))).toBeCloseTo(2.000298, 3);
  });
});

describe('weights', () => {
  it('change rankings, and the table says how', () => {
    const kind = { toxicity: 0.02, wikitext: 30, lambada: 60 }; // detoxified at a price
    const mild = { toxicity: 0.2, wikitext: 17.5, lambada: 28.2 };
    const table = weightTable([
      { name: 'kind', score: (weights) => [ops({ base, model: kind }, { weights })] },
      { name: 'mild', score: (weights) => [ops({ base, model: mild }, { weights })] },
      { name: 'unknown', score: () => [{ value: null }] },
    ]);
    expect(table[0]).toMatchObject({ agreement: 1, sameWinner: true });
    const byWeight = (toxicity: number) => table.find((row) => row.weights.toxicity === toxicity);
    expect(byWeight(1)?.ranking.map((r) => r.name)).toEqual(['kind', 'mild', 'unknown']);
    expect(byWeight(0.2)?.ranking[0]?.name).toBe('mild');
    expect(byWeight(1)?.sameWinner).toBe(table[0]?.ranking[0]?.name === 'kind');
    expect(byWeight(1)?.agreement).toBe(table[0]?.ranking[0]?.name === 'kind' ? 1 : -1);
    expect(byWeight(1)?.ranking[2]?.rank).toBeNull();
  });
});
