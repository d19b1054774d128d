import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { proportional, waterFill } from '../../../src/select/water-fill.ts';

describe('waterFill', () => {
  it.each([
    [8, [5, 1, 0, 10], [3, 1, 0, 4]],
    [10, [3, 3, 3, 3], [2, 2, 3, 3]],
    [7, [0, 0, 2, 9, 1], [0, 0, 2, 4, 1]],
    [2200, [820, 700, 600, 520, 480, 430, 330, 260, 160, 100], [243, 243, 243, 243, 242, 242, 242, 242, 160, 100]],
  ])('shares %i over %j', (budget, sizes, expected) => {
    expect(waterFill(budget, sizes)).toEqual(expected);
  });
  it('shares everything that fits, never more than a bin holds, and as evenly as possible', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(30), { minLength: 1, maxLength: 12 }), fc.nat(400), (sizes, budget) => {
        const quotas = waterFill(budget, sizes);
        const total = sizes.reduce((a, b) => a + b, 0);
        expect(quotas.reduce((a, b) => a + b, 0)).toBe(Math.min(budget, total));
        const open = quotas.filter((quota, i) => quota < (sizes[i] as number));
        for (const [i, quota] of quotas.entries()) {
          expect(quota).toBeLessThanOrEqual(sizes[i] as number);
          for (const other of open) expect(quota).toBeLessThanOrEqual(other + 1);
        }
      }),
    );
  });
});

describe('proportional', () => {
  it('gives the remaining units to the largest fractions', () => {
    expect(proportional(10, [5, 3, 3, 9])).toEqual([3, 2, 1, 4]);
  });
  it('shares everything that fits and never more than a bin holds', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(30), { minLength: 1, maxLength: 12 }), fc.nat(400), (sizes, budget) => {
        const quotas = proportional(budget, sizes);
        expect(quotas.reduce((a, b) => a + b, 0)).toBe(
          Math.min(
            budget,
            sizes.reduce((a, b) => a + b, 0),
          ),
        );
        for (const [i, quota] of quotas.entries()) expect(quota).toBeLessThanOrEqual(sizes[i] as number);
      }),
    );
  });
});
