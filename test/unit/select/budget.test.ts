import { describe, expect, it } from 'vitest';
import { resolveBudget } from '../../../src/select/budget.ts';

describe('resolveBudget', () => {
  it.each([
    [4400, 0.5, 2200],
    [4400, 1, 4400],
    [10, 0.3, 3],
    [10, 0.7, 7],
    [1000, 0.29, 290],
    [3, 0.1, 1],
    [1, 0.5, 1],
  ])('n = %i, fraction %f: %i', (n, fraction, expected) => {
    expect(resolveBudget(n, { fraction })).toBe(expected);
  });
  it('takes counts from 0 to n, and clips only when asked', () => {
    expect(resolveBudget(5, { count: 0 })).toBe(0);
    expect(resolveBudget(5, { count: 5 })).toBe(5);
    expect(() => resolveBudget(5, { count: 6 })).toThrow(/at most 5 records but received 6/);
    expect(resolveBudget(5, { count: 6 }, { clip: true })).toBe(5);
    expect(resolveBudget(0, { count: 0 })).toBe(0);
  });
  it.each([0, -0.1, 1.01, Number.NaN])('refuses the fraction %f', (fraction) => {
    expect(() => resolveBudget(5, { fraction })).toThrow(/fraction above 0 and at most 1/);
  });
  it.each([-1, 1.5, Number.NaN])('refuses the count %f', (count) => {
    expect(() => resolveBudget(5, { count })).toThrow(/integer from 0 to 5/);
  });
  it('refuses a fraction of nothing', () => {
    expect(() => resolveBudget(0, { fraction: 0.5 })).toThrow(/window is empty/);
  });
});
