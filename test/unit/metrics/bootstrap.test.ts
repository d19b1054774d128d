import { describe, expect, it } from 'vitest';
import { bootstrap, bootstrapPaired, mean, quantile, standardDeviation } from '../../../src/metrics/bootstrap.ts';

describe('bootstrap', () => {
  const values = Array.from({ length: 200 }, (_, i) => (i % 20) / 20);
  it('is deterministic per seed and contains the mean', () => {
    const interval = bootstrap(values, { seed: 1 });
    expect(interval).toEqual(bootstrap(values, { seed: 1 }));
    expect(interval).not.toEqual(bootstrap(values, { seed: 2 }));
    expect(interval).toMatchObject({ value: mean(values), level: 0.95, resamples: 1000, n: 200 });
    expect(interval.low).toBeLessThan(interval.value);
    expect(interval.high).toBeGreaterThan(interval.value);
    // The normal approximation: 1.96 standard errors on each side.
    expect(interval.high - interval.low).toBeCloseTo((2 * 1.96 * standardDeviation(values)) / Math.sqrt(200), 2);
  });
  it('collapses for one value', () => {
    expect(bootstrap([3])).toMatchObject({ value: 3, low: 3, high: 3 });
  });
  it('is narrower for pairs than for the parts', () => {
    const shifted = values.map((value) => value + 0.01);
    const paired = bootstrapPaired(shifted, values);
    expect(paired.value).toBeCloseTo(0.01, 12);
    expect(paired.high - paired.low).toBeLessThan(1e-12);
  });
  it('takes other statistics', () => {
    expect(bootstrap(values, { statistic: (sample) => Math.max(...sample) }).value).toBe(0.95);
  });
  it('refuses nothing, NaN and unequal pairs', () => {
    expect(() => bootstrap([])).toThrow(/at least one value/);
    expect(() => bootstrap([1, Number.NaN])).toThrow(/value 1 is NaN/);
    expect(() => bootstrapPaired([1], [1, 2])).toThrow(/pairs/);
  });
});

it('interpolates quantiles', () => {
  expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
  expect(quantile([1, 2, 3, 4], 0)).toBe(1);
  expect(quantile([1, 2, 3, 4], 1)).toBe(4);
});
